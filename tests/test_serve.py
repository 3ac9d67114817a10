"""`prela serve`, as a person runs it: a real process, and real sockets."""

import http.client
import json
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

pytest.importorskip("typer", reason="the command line is an extra")
pytest.importorskip("uvicorn", reason="the web view is an extra")

from tests.conftest import ROOT
from tests.traces import record
from tests.web import write


class Serving:
    """A server in a process of its own."""

    def __init__(self, cwd: Path, *args: str, **env: str) -> None:
        clean = {key: value for key, value in os.environ.items() if not key.startswith(("PRELA_", "OTEL_"))}
        self.process = subprocess.Popen(
            [sys.executable, "-W", "error", "-c", "from prela.cli import main; main()", "serve", *args],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=cwd,
            env={**clean, "PYTHONPATH": str(ROOT), **env},
        )
        assert self.process.stdout is not None
        self.said = self.process.stdout.readline()
        found = re.search(r"http://(\S+?):(\d+)/(\S*)", self.said)
        assert found, self.process.communicate()
        self.host, self.port, self.query = found[1].strip("[]"), int(found[2]), found[3]

    def get(self, target: str, method: str = "GET", **headers: str) -> tuple[http.client.HTTPResponse, bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            connection.request(method, target, headers=headers)
            response = connection.getresponse()
            return response, response.read()
        finally:
            connection.close()

    def send(self, data: bytes, *, half_close: bool = False) -> bytes:
        """All that comes back for these bytes, until the server hangs up."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=30) as sock:
            sock.sendall(data)
            if half_close:
                sock.shutdown(socket.SHUT_WR)
            found = b""
            while piece := sock.recv(65536):
                found += piece
            return found

    def end(self, number: int = signal.SIGINT) -> tuple[int, str]:
        self.process.send_signal(number)
        _, errors = self.process.communicate(timeout=60)
        return self.process.returncode, errors


Start = Callable[..., Serving]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    begun: list[Serving] = []

    def start(*args: str, **env: str) -> Serving:
        begun.append(Serving(tmp_path, "--port", "0", "--no-receive", *args, **env))
        return begun[-1]

    yield start
    for server in begun:
        if server.process.poll() is None:
            server.process.kill()
            server.process.communicate()


def test_it_says_where_it_is_and_ends_well_on_ctrl_c(start: Start, tmp_path: Path) -> None:
    server = start()
    assert server.said == f"the traces in {tmp_path / 'traces'}: http://127.0.0.1:{server.port}/\n"
    response, body = server.get("/api/traces")
    assert (response.status, json.loads(body)["traces"]) == (200, [])
    write(tmp_path / "traces", [record("root")])
    assert json.loads(server.get("/api/traces")[1])["total"] == 1
    assert server.end() == (0, "")


def test_ctrl_c_ends_it_while_connections_are_open(start: Start) -> None:
    server = start()
    with (
        socket.create_connection(("127.0.0.1", server.port)) as idle,
        socket.create_connection(("127.0.0.1", server.port)) as half,
    ):
        half.sendall(b"GET /api/status HTTP/1.1\r\nHost: lo")
        assert server.get("/api/status")[0].status == 200
        assert server.end() == (0, "")
        assert idle.recv(1) == b""


def test_only_loopback_hears_it(start: Start) -> None:
    server = start()
    assert server.host == "127.0.0.1"
    with socket.socket() as other:
        other.settimeout(5)
        with pytest.raises(OSError):  # every address of 127/8 is this machine's; only one of them is listened at
            other.connect(("127.0.0.2", server.port))


def test_a_rebound_name_and_a_foreign_page_get_nothing(start: Start) -> None:
    server = start()
    assert server.get("/api/traces", Host=f"evil.example:{server.port}")[0].status == 421
    assert server.get("/api/traces", Origin="http://evil.example")[0].status == 403
    assert server.get("/api/traces", Host=f"localhost:{server.port}")[0].status == 200


def test_beyond_loopback_there_is_a_token(start: Start) -> None:
    server = start("--host", "0.0.0.0")
    token = server.query.removeprefix("?token=")
    assert len(token) >= 32
    assert server.get("/api/traces")[0].status == 401
    response, _ = server.get(f"/{server.query}")
    assert (response.status, response.getheader("location")) == (303, "/")
    cookie = (response.getheader("set-cookie") or "").partition(";")[0]
    assert server.get("/api/traces", Cookie=cookie)[0].status == 200
    assert server.get("/api/traces", Authorization=f"Bearer {token}")[0].status == 200
    code, errors = server.end()
    assert (code, token in errors) == (0, False)


def test_a_token_may_be_given(start: Start) -> None:
    assert start("--token", "abc").query == "?token=abc"
    server = start(PRELA_TOKEN="from-the-environment")
    assert server.get("/", Authorization="Bearer from-the-environment")[0].status != 401
    assert server.get("/")[0].status == 401


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"GET /api/status HTTP/1.1\r\nConnection: close\r\n\r\n", 400),
        (b"GET /api/status HTTP/1.0\r\n\r\n", 421),
        (b"GET /api/status HTTP/1.1\r\nHost: \xff\xfe\r\nConnection: close\r\n\r\n", 421),
        (b"GET /" + b"a" * 100_000 + b" HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n", 414),
        (b"GET /?" + b"a" * 30_000 + b" HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n", 414),
        (b"GET /\xff HTTP/1.1\r\nHost: localhost\r\n\r\n", 400),
        (b"\x16\x03\x01\x00\xa5\x01\x00\x00\r\n\r\n", 400),
        (b"GET http://evil.example/ HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n", 421),
        (b"POST /api/status HTTP/1.1\r\nHost: PORT\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello", 405),
        (b"GET /api/status HTTP/1.1\r\nHost: PORT\r\nHost: PORT\r\nConnection: close\r\n\r\n", (400, 421)),
    ],
)
def test_what_is_no_proper_request_gets_no_proper_answer(start: Start, data: bytes, status: object) -> None:
    server = start()
    found = server.send(data.replace(b"PORT", f"localhost:{server.port}".encode()))
    assert int(found.split()[1]) in (status if isinstance(status, tuple) else (status,))
    assert server.get("/api/status")[0].status == 200
    assert server.end() == (0, "WARNING:  Invalid HTTP request received.\n" if int(found.split()[1]) == 400 else "")


def test_a_connection_closed_on_one_side_gets_its_answer_or_none(start: Start) -> None:
    server = start()
    request = f"GET /api/status HTTP/1.1\r\nHost: localhost:{server.port}\r\n\r\n".encode()
    assert server.send(request, half_close=True)[:15] in (b"HTTP/1.1 200 OK", b"")
    for _ in range(20):  # and those that hang up at once harm nobody
        with socket.create_connection(("127.0.0.1", server.port)) as sock:
            sock.sendall(request)
    assert server.get("/api/status")[0].status == 200
    assert server.end() == (0, "")


def failed(cwd: Path, *args: str, code: str = "from prela.cli import main; main()") -> str:
    done = subprocess.run(
        [sys.executable, "-c", code, "serve", *args],
        capture_output=True,
        text=True,
        timeout=60,
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr.count("\n") == 1
    return done.stderr


def test_a_port_that_is_taken_is_said(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert f"port {port} of 127.0.0.1 is taken" in failed(tmp_path, "--port", str(port))


def test_a_host_that_is_none_and_a_token_that_is_none_are_said(tmp_path: Path) -> None:
    assert "prela: no.such.host.invalid: " in failed(tmp_path, "--host", "no.such.host.invalid")
    assert "a token is made of" in failed(tmp_path, "--token", "a\tb")
    assert "a token is made of" in failed(tmp_path, "--token", "")


@pytest.mark.parametrize("missing", ["uvicorn", "starlette"])
def test_a_missing_part_is_named_with_how_to_get_it(tmp_path: Path, missing: str) -> None:
    hide = f"import sys; sys.modules[{missing!r}] = None; from prela.cli import main; main()"
    assert failed(tmp_path, code=hide) == f"prela: the web view needs {missing}: pip install 'prela[web]'\n"


# --- receiving --------------------------------------------------------------------------------------------------------


def test_what_it_receives_stands_in_the_folder_and_in_the_list(tmp_path: Path) -> None:
    """A real OpenTelemetry SDK sends; the records are read back from the file, and from the answers."""
    pytest.importorskip("opentelemetry.exporter.otlp.proto.http")
    from opentelemetry.exporter.otlp.proto.http import Compression
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import SimpleSpanProcessor

    server = Serving(tmp_path, "--port", "0", "--trace-dir", "there", "--token", "secret")
    try:
        endpoint = f"http://127.0.0.1:{server.port}/v1/traces"
        bearer = {"authorization": "Bearer secret"}
        exporter = OTLPSpanExporter(endpoint, headers=bearer, compression=Compression.Gzip)
        provider = TracerProvider(resource=Resource({"service.name": "foreign"}))
        provider.add_span_processor(SimpleSpanProcessor(exporter))
        with provider.get_tracer("a").start_as_current_span("outer"):
            with provider.get_tracer("a").start_as_current_span("inner"):
                pass
        provider.shutdown()
        (trace,) = json.loads(server.get("/api/traces", Authorization="Bearer secret")[1])["traces"]
        assert (trace["name"], trace["service"], trace["spans"]) == ("outer", "foreign", 2)
        (path,) = (tmp_path / "there").glob("received-*.jsonl")
        assert len(path.read_bytes().splitlines()) == 2
        assert json.loads(server.get("/api/status", Authorization="Bearer secret")[1])["receives"] is True
        assert server.get("/v1/traces", "POST")[0].status == 401
        foreign = {"Authorization": "Bearer secret", "Origin": "http://evil.example"}
        assert server.get("/v1/traces", "POST", **foreign)[0].status == 403
        assert server.end() == (0, "")
    finally:
        server.process.kill()
        server.process.communicate()


def test_what_is_accepted_does_not_wait_for_acknowledgements() -> None:
    from prela.cli import serving

    with serving._listening("127.0.0.1", 0) as listening, socket.create_connection(listening.getsockname()):
        accepted, _ = listening.accept()
        with accepted:
            assert accepted.proto == socket.IPPROTO_TCP  # by which asyncio knows to switch Nagle's algorithm off
