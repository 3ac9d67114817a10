"""Asks a web application as a browser would, without a server between: every byte of the request is the test's own."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

from starlette.types import ASGIApp, Message

from prela.record import jsonl
from prela.record.model import SpanRecord

HOST = "localhost:4318"


class Answer(NamedTuple):
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


async def ask(
    app: ASGIApp,
    target: str | bytes,
    *,
    method: str = "GET",
    host: str | None = HOST,
    headers: Iterable[tuple[str, str]] = (),
    body: bytes = b"",
) -> Answer:
    raw = target.encode() if isinstance(target, str) else target
    path, _, query = raw.partition(b"?")
    given = ([("host", host)] if host is not None else []) + list(headers)
    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": _unquoted(path),
        "raw_path": path,
        "query_string": query,
        "root_path": "",
        "headers": [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in given],
        "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 4318),
    }
    sent: list[Message] = []
    unread = [{"type": "http.request", "body": body, "more_body": False}]

    async def receive() -> Message:
        return unread.pop() if unread else {"type": "http.disconnect"}

    async def send(message: Message) -> None:
        sent.append(message)

    await app(scope, receive, send)
    start, *rest = sent
    fields = {name.decode(): value.decode("latin-1") for name, value in start["headers"]}
    return Answer(start["status"], fields, b"".join(message.get("body", b"") for message in rest))


def _unquoted(path: bytes) -> str:
    from urllib.parse import unquote

    return unquote(path.decode("ascii", "replace"))


def write(folder: Path, records: Iterable[SpanRecord], name: str = "a.jsonl") -> None:
    folder.mkdir(exist_ok=True)
    with (folder / name).open("ab") as file:
        file.write(jsonl.encode_lines(list(records)))
