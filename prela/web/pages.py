"""The files that the pages are made of, read once when the server starts.

What a request asks for is looked up in a table. No path of a request reaches the file system.
"""

from hashlib import blake2b
from importlib.resources import files
from importlib.resources.abc import Traversable
from typing import Final, NamedTuple

from starlette.requests import Request
from starlette.responses import Response

_TYPES: Final = {
    "html": "text/html; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "mjs": "text/javascript; charset=utf-8",
    "css": "text/css; charset=utf-8",
    "svg": "image/svg+xml",
    "png": "image/png",
    "ico": "image/x-icon",
    "woff2": "font/woff2",
    "json": "application/json",
    "txt": "text/plain; charset=utf-8",
    "md": "text/plain; charset=utf-8",
}
"""By ending. A system's own table may say otherwise, and a browser refuses a script of another type."""
INDEX: Final = "index.html"


class File(NamedTuple):
    """One file, as it is sent."""

    body: bytes
    content_type: str
    etag: str


def static_files() -> dict[str, File]:
    """The files of the package, by their paths below `static/`."""
    table: dict[str, File] = {}
    pending = [("", files("prela.web").joinpath("static"))]
    while pending:
        prefix, folder = pending.pop()
        for entry in folder.iterdir() if folder.is_dir() else ():
            if entry.is_dir():
                pending.append((f"{prefix}{entry.name}/", entry))
            elif (kind := entry.name.rpartition(".")[2]) in _TYPES:
                table[prefix + entry.name] = _file(entry, _TYPES[kind])
    return table


def _file(entry: Traversable, content_type: str) -> File:
    body = entry.read_bytes()
    return File(body, content_type, f'"{blake2b(body, digest_size=12).hexdigest()}"')


def answer(request: Request, file: File) -> Response:
    """A file, or that it is still the one that the browser has."""
    headers = {"etag": file.etag, "cache-control": "no-cache"}
    if is_current(request, file.etag):
        return Response(status_code=304, headers=headers)
    return Response(file.body, headers=headers, media_type=file.content_type)


def is_current(request: Request, etag: str) -> bool:
    """True where the one who asks has what is of this tag (RFC 9110, section 13.1.2; tags are compared weakly)."""
    given = [tag.strip().removeprefix("W/") for tag in request.headers.get("if-none-match", "").split(",")]
    return etag in given or "*" in given
