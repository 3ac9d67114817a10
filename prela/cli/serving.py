"""The command `serve`: a socket, who may ask at it, where received spans go, and the application between them."""

import asyncio
import contextlib
import gc
import secrets
import socket
import sys
import webbrowser
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from errno import EADDRINUSE
from ipaddress import ip_address
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final, NamedTuple

import typer

from prela.aio.exporters.file import FileExporter
from prela.cli.folder import TraceDir, fail, folder_in_force
from prela.record.model import SpanRecord

if TYPE_CHECKING:
    from prela.web.app import Sink

PORT: Final = 4318
"""OTLP's own over HTTP: programs that export traces anywhere send them here unless they are told otherwise."""
_GOODBYE_SECONDS: Final = 3
"""How long an answer under way may take once the server has been told to end."""
_OBJECTS_A_COLLECTION: Final = 100_000
"""A large trace is some 100,000 objects that all stay: by Python's default of 700 the collector would go through them
again and again while they are made, and take a third of the time."""
_SECONDS_A_TURN: Final = 0.001
"""For how long a thread that works out a trace keeps the others waiting. By Python's default of 5 ms each of the page's
files would come that much later, several times over."""


class _Place(NamedTuple):
    """Where the server is to be found."""

    host: str
    port: int
    token: str | None

    @property
    def url(self) -> str:
        host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(self.host, self.host)
        query = f"?token={self.token}" if self.token else ""
        return f"http://{f'[{host}]' if ':' in host else host}:{self.port}/{query}"


def serve(
    trace_dir: TraceDir = None,
    port: Annotated[int, typer.Option(min=0, max=65535, help="Where to listen; 0 for any free port.")] = PORT,
    host: Annotated[
        str, typer.Option(help="The address to listen at; beyond loopback a token is needed.")
    ] = "127.0.0.1",
    allow_host: Annotated[
        list[str] | None, typer.Option(metavar="NAME", help="A further name that the server may be called by.")
    ] = None,
    token: Annotated[str | None, typer.Option(envvar="PRELA_TOKEN", help="What requests must bring.")] = None,
    open_browser: Annotated[
        bool | None, typer.Option("--open/--no-open", help="Open the browser; by default, on a terminal.")
    ] = None,
    receive: Annotated[
        bool, typer.Option("--receive/--no-receive", help="Take spans over OTLP/HTTP at /v1/traces.")
    ] = True,
) -> None:
    """Show the traces in the browser, and receive those of others. Stop with Ctrl-C.

    Example: prela serve --port 8080
    """
    try:
        import uvicorn  # noqa: F401

        import prela.web.app  # noqa: F401
    except ModuleNotFoundError as error:
        missing = (error.name or "").partition(".")[0]
        if missing in ("", "prela"):
            raise
        fail(f"the web view needs {missing}: pip install 'prela[web]'")
    folder = folder_in_force(trace_dir)
    if token is not None and not (token.isascii() and token.isprintable() and token.strip() == token and token):
        fail("a token is made of letters, digits and punctuation")
    if token is None and not _is_loopback(host):
        token = secrets.token_urlsafe(24)
    listening = _listening(host, port)
    place = _Place(host, listening.getsockname()[1], token)
    print(f"the traces in {folder}: {place.url}", flush=True)
    if receive:
        print(f"receives OTLP over HTTP at {place._replace(token=None).url}v1/traces", flush=True)
    if open_browser if open_browser is not None else sys.stdout.isatty():
        webbrowser.open(place.url)
    gc.set_threshold(_OBJECTS_A_COLLECTION, 20, 20)
    gc.freeze()
    sys.setswitchinterval(_SECONDS_A_TURN)
    # A server that was told to end has ended well.
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(_serve(folder, place, listening, allow_host or (), receives=receive))


async def _serve(
    folder: Path, place: _Place, listening: socket.socket, names: Sequence[str], *, receives: bool
) -> None:
    import uvicorn

    from prela.web.access import Access
    from prela.web.app import make_app

    access = Access(place.port, host=place.host, names=names, token=place.token)
    config = uvicorn.Config(
        make_app(folder, access=access, sink=_file_sink(folder) if receives else None),
        # The same parts everywhere, whatever else is installed; and h11 bounds what it reads of a request's head.
        http="h11",
        loop="asyncio",
        ws="none",
        lifespan="on",
        access_log=False,
        log_level="warning",
        server_header=False,
        proxy_headers=False,
        timeout_graceful_shutdown=_GOODBYE_SECONDS,
    )
    await uvicorn.Server(config).serve(sockets=[listening])


@asynccontextmanager
async def _file_sink(folder: Path) -> "AsyncIterator[Sink]":
    """Where received spans go: a trace file of this process, begun with the first of them."""
    exporter = FileExporter(folder, "received")
    one_at_a_time = asyncio.Lock()

    async def take(spans: Sequence[SpanRecord]) -> None:
        async with one_at_a_time:
            await exporter.export(spans)

    try:
        yield take
    finally:
        await exporter.aclose()


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _listening(host: str, port: int) -> socket.socket:
    """A socket that listens, or a word on why there is none."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        # With its protocol named: only then does asyncio switch off Nagle's algorithm for what is accepted. With that
        # algorithm each answer's body waits 40 ms for the other side to acknowledge its head.
        made = socket.socket(family, kind, protocol)
    except (OSError, UnicodeError) as error:
        fail(f"{host}: {error}")
    try:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.bind(address)
        made.listen(128)
    except OSError as error:
        made.close()
        if error.errno == EADDRINUSE:
            fail(f"port {port} of {host} is taken; give another with --port, or --port 0 for any that is free")
        fail(f"{host}:{port}: {error.strerror}")
    return made
