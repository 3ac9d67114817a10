"""What a client sent, made readable: JSON, or the fields and files of a form."""

import json
from dataclasses import dataclass
from email.message import Message
from email.parser import BytesParser
from typing import Any, NamedTuple


class Upload(NamedTuple):
    """A file in a form."""

    filename: str
    content: bytes


@dataclass(frozen=True, slots=True)
class Request:
    """One request, received whole."""

    method: str
    target: str
    headers: dict[str, str]
    """Names in lower case."""
    content: bytes

    @property
    def path(self) -> str:
        return self.target.partition("?")[0]

    def body(self) -> dict[str, Any]:
        """The object that was sent; empty for none.

        Raises:
            ValueError: It is no JSON object.
        """
        content_type = self.headers.get("content-type", "")
        if content_type.startswith("multipart/form-data"):
            return _form(content_type, self.content)
        body = json.loads(self.content or b"{}")
        if not isinstance(body, dict):
            raise ValueError("no object")
        return body


def _form(content_type: str, content: bytes) -> dict[str, Any]:
    """Fields are strings, files are uploads, and a name in `[]` has a list of them."""
    boundary = str(_header(f"content-type: {content_type}".encode()).get_param("boundary", ""))
    form: dict[str, Any] = {}
    # Not by the email package alone: it would look into an upload that is itself an e-mail.
    for part in (b"\r\n" + content).split(f"\r\n--{boundary}".encode())[1:-1]:
        head, _, data = part.removeprefix(b"\r\n").partition(b"\r\n\r\n")
        header = _header(head)
        name = str(header.get_param("name", "", header="content-disposition"))
        filename = header.get_filename()
        value = data.decode(errors="replace") if filename is None else Upload(filename, data)
        if name.endswith("[]"):
            form.setdefault(name, []).append(value)
        else:
            form[name] = value
    return form


def _header(lines: bytes) -> Message:
    return BytesParser().parsebytes(lines, headersonly=True)
