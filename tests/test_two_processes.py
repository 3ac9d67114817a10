"""A request that is followed through two processes, threads and a process pool is one tree."""

import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import httpx2
import pytest

import prela
from prela import get_tracer
from prela.integrations.httpx import instrument, uninstrument
from prela.record import jsonl
from prela.record.tree import forest
from prela.testing import recording
from tests.conftest import ROOT

SERVER = """
import socket, sys, threading
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context

import anyio
import prela
from prela.integrations.asgi import TracingMiddleware
from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.responses import JSONResponse, StreamingResponse
from starlette.routing import Route, WebSocketRoute

init = partial(prela.init, service_name="server", trace_dir={folder!r})
tracer = prela.get_tracer()


def in_thread():
    with tracer.span("thread"):
        return dict(prela.get_baggage())


def in_process(number):
    with tracer.span("process"):
        return number


async def order(request):
    baggage = await prela.aio.to_thread(in_thread, name="to thread")
    call = prela.copy_context_to_process(in_process)
    number = await anyio.to_thread.run_sync(lambda: pool.submit(call, 7).result())
    return JSONResponse({{"baggage": baggage, "number": number}}, background=BackgroundTask(after))


async def after():
    with tracer.span("background"):
        pass


async def endless(request):
    async def chunks():
        while True:
            yield b"x" * 1000
            await anyio.sleep(0.01)

    return StreamingResponse(chunks())


async def talk(websocket):
    await websocket.accept()
    with tracer.span("echo"):
        await websocket.send_text(await websocket.receive_text())
    await websocket.close()


routes = [Route("/orders/{{id}}", order, methods=["POST"]), Route("/endless", endless), WebSocketRoute("/talk", talk)]
app = TracingMiddleware(Starlette(routes=routes), exclude=["/health"])


def run_uvicorn(bound):
    import uvicorn

    server = uvicorn.Server(uvicorn.Config(app, log_level="critical", ws="websockets-sansio"))

    def stop():
        sys.stdin.read()
        server.should_exit = True

    threading.Thread(target=stop, daemon=True).start()
    server.run(sockets=[bound])


def run_hypercorn(bound):
    import trio
    from hypercorn.config import Config
    from hypercorn.trio import serve

    config = Config()
    config.bind = [f"fd://{{bound.fileno()}}"]
    config.loglevel = "CRITICAL"

    async def stop():
        await trio.to_thread.run_sync(sys.stdin.read)

    trio.run(partial(serve, app, config, shutdown_trigger=stop))


if __name__ == "__main__":
    init()
    bound = socket.socket()
    bound.bind(("127.0.0.1", 0))
    bound.listen()
    print(bound.getsockname()[1], flush=True)
    with ProcessPoolExecutor(1, mp_context=get_context("spawn"), initializer=init) as pool:
        run_{server}(bound)
"""


@contextmanager
def running(server: str, folder: Path) -> Iterator[str]:
    """A server of its own; its address. It has ended, and exported all, when the block is left."""
    program = folder / "server.py"
    program.write_text(SERVER.format(folder=str(folder), server=server))
    process = subprocess.Popen(
        [sys.executable, str(program)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin"},
    )
    assert process.stdout is not None
    assert process.stdin is not None
    try:
        yield f"127.0.0.1:{int(process.stdout.readline())}"
        process.stdin.close()
        process.wait(60)
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def records_in(folder: Path) -> list[Any]:
    return [record for path in folder.glob("*.jsonl") for record in jsonl.Lines(path.read_bytes().splitlines())]


@pytest.mark.parametrize("library", [httpx, httpx2], ids=["httpx", "httpx2"])
@pytest.mark.parametrize("server", ["uvicorn", "hypercorn"])
def test_a_request_through_http_threads_and_a_process_pool_is_one_tree(
    server: str, library: Any, tmp_path: Path
) -> None:
    with recording() as recorder, running(server, tmp_path) as address:
        instrument()
        try:
            with get_tracer().span("client"), prela.baggage(user="ü"), library.Client() as client:
                answer = client.post(f"http://{address}/orders/9", timeout=60).json()
        finally:
            uninstrument()
    assert answer == {"baggage": {"user": "ü"}, "number": 7}
    records = [*recorder.records, *records_in(tmp_path)]
    assert {record.trace_id for record in records} == {recorder["client"].trace_id}
    (root,) = forest(records)
    assert ["  " * depth + node.record.name for depth, node in root.walk()] == [
        "client",
        "  POST",
        "    POST /orders/{id}",
        "      to thread",
        "        thread",
        "      process",
        "      background",
    ]
    (handled,) = [record for record in records if record.name == "POST /orders/{id}"]
    assert (handled.kind, handled.attributes["http.route"], handled.status) == ("server", "/orders/{id}", "success")


@pytest.mark.parametrize("server", ["uvicorn", "hypercorn"])
def test_a_client_that_goes_away_in_the_middle_of_a_stream_is_told(server: str, tmp_path: Path) -> None:
    with running(server, tmp_path) as address:
        host, port = address.split(":")
        with socket.create_connection((host, int(port))) as connection:
            connection.sendall(b"GET /endless HTTP/1.1\r\nHost: x\r\n\r\n")
            assert connection.recv(100).startswith(b"HTTP/1.1 200")
    (record,) = records_in(tmp_path)
    assert (record.name, record.status) == ("GET /endless", "cancelled")
    assert record.attributes["prela.cancel.cause"] == "disconnect"
    assert record.attributes["prela.http.time_to_first_byte"] > 0


@pytest.mark.parametrize("server", ["uvicorn", "hypercorn"])
def test_a_websocket_over_a_real_server_is_one_span(server: str, tmp_path: Path) -> None:
    from websockets.sync.client import connect

    with running(server, tmp_path) as address, connect(f"ws://{address}/talk") as websocket:
        websocket.send("hi")
        assert websocket.recv() == "hi"
    names = {record.name: record for record in records_in(tmp_path)}
    assert set(names) == {"GET /talk", "echo"}
    assert names["echo"].parent_span_id == names["GET /talk"].span_id
    assert names["GET /talk"].attributes["http.response.status_code"] == 101
