"""The middleware under FastAPI, Litestar and Starlette as users run them: their routes, on uvicorn, over a socket."""

import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import anyio
import fastapi
import httpx
import litestar
import litestar.background_tasks
import litestar.exceptions
import litestar.response
import pytest
import starlette.applications
import starlette.background
import starlette.exceptions
import starlette.responses
import starlette.routing
import uvicorn
from starlette.websockets import WebSocket
from websockets.sync.client import connect

from prela import get_tracer
from prela.integrations.asgi import TracingMiddleware
from prela.record.model import SpanRecord
from prela.testing import Recorder, recording

TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"


async def pieces() -> AsyncIterator[str]:
    for number in range(3):
        with get_tracer().span(f"piece {number}"):
            await anyio.sleep(0.001)
        yield str(number)


async def endless() -> AsyncIterator[str]:
    while True:
        yield "more"
        await anyio.sleep(0.001)


async def later() -> None:
    with get_tracer().span("later"):
        await anyio.sleep(0.001)


@asynccontextmanager
async def lifespan(app: Any) -> AsyncIterator[None]:
    with get_tracer().span("lifespan"):
        yield


def of_fastapi() -> Any:
    app = fastapi.FastAPI(lifespan=lifespan)
    router = fastapi.APIRouter(prefix="/shops/{shop}")

    @router.get("/items/{item}")
    async def item(shop: str, item: int) -> dict[str, int]:
        with get_tracer().span("work"):
            return {"item": item}

    @app.get("/sync/{item}")
    def in_a_thread(item: int) -> dict[str, int]:
        with get_tracer().span("work"):
            return {"item": item}

    @app.get("/stream")
    async def stream() -> Any:
        return fastapi.responses.StreamingResponse(pieces())

    @app.get("/endless")
    async def without_end() -> Any:
        return fastapi.responses.StreamingResponse(endless())

    @app.get("/later")
    async def with_more(tasks: fastapi.BackgroundTasks) -> dict[str, str]:
        tasks.add_task(later)
        return {}

    @app.get("/refuse")
    async def refuse() -> None:
        raise fastapi.HTTPException(404)

    @app.get("/fail")
    async def fail() -> None:
        raise ZeroDivisionError

    @app.websocket("/ws/{room}")
    async def websocket(websocket: fastapi.WebSocket, room: str) -> None:
        await echo(websocket)

    app.include_router(router)
    return app


async def echo(websocket: WebSocket) -> None:
    await websocket.accept()
    async for text in websocket.iter_text():
        with get_tracer().span("echo"):
            await websocket.send_text(text)


def of_starlette() -> Any:
    async def item(request: Any) -> Any:
        with get_tracer().span("work"):
            return starlette.responses.JSONResponse({"item": request.path_params["item"]})

    def in_a_thread(request: Any) -> Any:
        with get_tracer().span("work"):
            return starlette.responses.JSONResponse({"item": request.path_params["item"]})

    async def stream(request: Any) -> Any:
        return starlette.responses.StreamingResponse(pieces())

    async def without_end(request: Any) -> Any:
        return starlette.responses.StreamingResponse(endless())

    async def with_more(request: Any) -> Any:
        return starlette.responses.Response(background=starlette.background.BackgroundTask(later))

    async def refuse(request: Any) -> Any:
        raise starlette.exceptions.HTTPException(404)

    async def fail(request: Any) -> Any:
        raise ZeroDivisionError

    route, mount = starlette.routing.Route, starlette.routing.Mount
    return starlette.applications.Starlette(
        lifespan=lifespan,
        routes=[
            mount("/shops/{shop}", routes=[route("/items/{item}", item)]),
            route("/sync/{item}", in_a_thread),
            route("/stream", stream),
            route("/endless", without_end),
            route("/later", with_more),
            route("/refuse", refuse),
            route("/fail", fail),
            starlette.routing.WebSocketRoute("/ws/{room}", echo),
        ],
    )


def of_litestar() -> Any:
    @litestar.get("/items/{item:int}")
    async def item(request: litestar.Request[Any, Any, Any]) -> dict[str, int]:
        with get_tracer().span("work"):
            return {"item": request.path_params["item"]}

    @litestar.get("/sync/{item:int}", sync_to_thread=True)
    def in_a_thread(request: litestar.Request[Any, Any, Any]) -> dict[str, int]:
        with get_tracer().span("work"):
            return {"item": request.path_params["item"]}

    @litestar.get("/stream")
    async def stream() -> litestar.response.Stream:
        return litestar.response.Stream(pieces())

    @litestar.get("/endless")
    async def without_end() -> litestar.response.Stream:
        return litestar.response.Stream(endless())

    @litestar.get("/later")
    async def with_more() -> litestar.Response[None]:
        return litestar.Response(None, background=litestar.background_tasks.BackgroundTask(later))

    @litestar.get("/refuse")
    async def refuse() -> None:
        raise litestar.exceptions.NotFoundException

    @litestar.get("/fail")
    async def fail() -> None:
        raise ZeroDivisionError

    @litestar.websocket("/ws/{room:str}")
    async def websocket(socket: litestar.WebSocket[Any, Any, Any]) -> None:
        await socket.accept()
        async for text in socket.iter_data():
            with get_tracer().span("echo"):
                await socket.send_text(text)

    shop = litestar.Router("/shops/{shop:str}", route_handlers=[item])
    handlers = [shop, in_a_thread, stream, without_end, with_more, refuse, fail, websocket]
    return litestar.Litestar(handlers, lifespan=[lifespan], logging_config=None)


FRAMEWORKS: dict[str, Callable[[], Any]] = {"fastapi": of_fastapi, "litestar": of_litestar, "starlette": of_starlette}


@contextmanager
def serving(app: Callable[..., Awaitable[None]]) -> Iterator[str]:
    """The address of uvicorn, which serves the application for a block."""
    config = uvicorn.Config(app, port=0, log_level="critical", ws="websockets-sansio", timeout_graceful_shutdown=5)
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        wait_until(lambda: server.started or not thread.is_alive())
        yield f"127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(timeout=20)


def wait_until(done: Callable[[], bool], seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < deadline
        time.sleep(0.005)


@pytest.fixture
def recorder() -> Iterator[Recorder]:
    with recording() as found:
        yield found


@pytest.fixture(params=list(FRAMEWORKS))
def framework(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def address(framework: str, recorder: Recorder) -> Iterator[str]:
    with serving(TracingMiddleware(FRAMEWORKS[framework]())) as found:
        yield found


def ended(recorder: Recorder, count: int = 1) -> list[SpanRecord]:
    """The spans of requests, once so many have ended."""
    found: list[SpanRecord] = []

    def are_there() -> bool:
        found[:] = [record for record in recorder.records if record.kind == "server"]
        return len(found) >= count

    wait_until(are_there)
    return found


ROUTES = {
    "fastapi": ("/shops/{shop}/items/{item}", "/sync/{item}", "/ws/{room}"),
    "litestar": ("/shops/{shop}/items/{item}", "/sync/{item}", "/ws/{room}"),
    "starlette": ("/shops/{shop}/items/{item}", "/sync/{item}", "/ws/{room}"),
}


def test_a_request_is_called_by_its_route_and_is_the_parent_of_the_work(
    framework: str, address: str, recorder: Recorder
) -> None:
    item, in_a_thread, _ = ROUTES[framework]
    headers = {"traceparent": f"00-{TRACE}-{SPAN}-01"}
    assert httpx.get(f"http://{address}/shops/north/items/7?q=1", headers=headers).status_code == 200
    assert httpx.get(f"http://{address}/sync/8").status_code == 200
    first, second = ended(recorder, 2)
    assert (first.name, first.attributes["http.route"]) == (f"GET {item}", item)
    assert (first.trace_id, first.parent_span_id) == (TRACE, SPAN)
    assert (first.attributes["url.path"], first.attributes["url.query"]) == ("/shops/north/items/7", "q=1")
    assert f"{first.attributes['server.address']}:{first.attributes['server.port']}" == address
    assert (second.name, second.attributes["http.route"]) == (f"GET {in_a_thread}", in_a_thread)
    assert [r.parent_span_id for r in recorder.records if r.name == "work"] == [first.span_id, second.span_id]


def test_a_streamed_answer_counts_whole(address: str, recorder: Recorder) -> None:
    assert httpx.get(f"http://{address}/stream").text == "012"
    (record,) = ended(recorder)
    inside = [r for r in recorder.records if r.name.startswith("piece")]
    assert [r.parent_span_id for r in inside] == [record.span_id] * 3
    assert all(r.end_time_unix_nano <= record.end_time_unix_nano for r in inside)  # type: ignore[operator]
    assert (record.name, record.status) == ("GET /stream", "success")


def test_background_work_is_below_the_request_and_outlives_it(address: str, recorder: Recorder) -> None:
    httpx.get(f"http://{address}/later")
    wait_until(lambda: "later" in recorder.names)
    (record,) = ended(recorder)
    assert recorder["later"].parent_span_id == record.span_id
    assert record.end_time_unix_nano <= recorder["later"].end_time_unix_nano  # type: ignore[operator]


def test_what_is_refused_is_no_error_and_what_fails_is_one(address: str, recorder: Recorder) -> None:
    assert [httpx.get(f"http://{address}/{path}").status_code for path in ("refuse", "fail", "no/where")] == [
        404,
        500,
        404,
    ]
    refused, failed, unknown = ended(recorder, 3)
    assert (refused.name, refused.status) == ("GET /refuse", "success")
    assert (failed.name, failed.status, failed.attributes["http.response.status_code"]) == ("GET /fail", "error", 500)
    assert failed.attributes["error.type"] in ("ZeroDivisionError", "500")  # Litestar keeps the exception to itself
    assert (unknown.name, unknown.status) == ("GET", "success")
    assert "http.route" not in unknown.attributes


def test_a_client_that_goes_away_cancels_the_request(address: str, recorder: Recorder) -> None:
    with httpx.stream("GET", f"http://{address}/endless") as response:
        next(response.iter_bytes())
    (record,) = ended(recorder)
    assert (record.name, record.status) == ("GET /endless", "cancelled")
    assert record.attributes["prela.cancel.cause"] == "disconnect"


def test_a_websocket_is_one_span(framework: str, address: str, recorder: Recorder) -> None:
    with connect(f"ws://{address}/ws/blue") as client:
        client.send("hello")
        assert client.recv() == "hello"
    (record,) = ended(recorder)
    route = ROUTES[framework][2]
    assert (record.name, record.attributes["http.route"], record.status) == (f"GET {route}", route, "success")
    assert record.attributes["prela.websocket.close_code"] == 1000
    assert recorder["echo"].parent_span_id == record.span_id


def test_lifespan_runs_and_is_no_request(framework: str, recorder: Recorder) -> None:
    with serving(TracingMiddleware(FRAMEWORKS[framework]())) as address:
        httpx.get(f"http://{address}/later")
        (record,) = ended(recorder)
    assert recorder["lifespan"].parent_span_id is None
    assert record.parent_span_id is None
    assert recorder["lifespan"].status == "success"
