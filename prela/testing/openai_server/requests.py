"""What a client sent, made readable: JSON, or the fields and files of a form."""

import json
from dataclasses import dataclass
from email.parser import BytesParser
from email.policy import HTTP
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
    # MIME's parser reads forms too: both are RFC 2046's multipart, and the form's header says where it is cut.
    message = BytesParser(policy=HTTP).parsebytes(f"content-type: {content_type}\r\n\r\n".encode() + content)
    form: dict[str, Any] = {}
    for part in message.iter_parts():
        data = part.get_payload(decode=True)
        content = data if isinstance(data, bytes) else b""
        filename = part.get_filename()
        value = content.decode(errors="replace") if filename is None else Upload(filename, content)
        name = str(part.get_param("name", "", header="content-disposition"))
        if name.endswith("[]"):
            form.setdefault(name, []).append(value)
        else:
            form[name] = value
    return form
