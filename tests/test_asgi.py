"""The ASGI middleware: a span a request, whatever the application does, and messages as they were."""

from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import anyio
import anyio.lowlevel
import pytest
from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.middleware import Middleware
from starlette.responses import PlainTextResponse, StreamingResponse
from starlette.routing import Mount, Route, Router

from prela import get_current_span, get_tracer
from prela.integrations.asgi import TracingMiddleware
from prela.integrations.http import host_and_port, query_to_record, url_to_record
from prela.integrations.routes import route_of
from prela.record.model import SpanRecord
from prela.testing import Recorder, recording

pytestmark = pytest.mark.anyio

TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
App = Callable[[Any, Any, Any], Awaitable[None]]


@pytest.fixture
def recorder() -> Iterator[Recorder]:
    with recording() as found:
        yield found


def request(path: str = "/things/7", *, method: str = "GET", query: bytes = b"", **headers: str) -> dict[str, Any]:
    return {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": path,
        "query_string": query,
        "root_path": "",
        "headers": [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()],
        "client": ("10.0.0.1", 5555),
        "server": ("127.0.0.1", 8000),
    }


class Connection:
    """A server's side of one connection."""

    def __init__(self, *received: dict[str, Any]) -> None:
        self.to_receive = list(received) or [{"type": "http.request", "body": b"", "more_body": False}]
        self.sent: list[dict[str, Any]] = []

    async def receive(self) -> dict[str, Any]:
        await anyio.lowlevel.checkpoint()
        if not self.to_receive:
            await anyio.sleep_forever()  # the client is still there, and says nothing
        return self.to_receive.pop(0)

    async def send(self, message: dict[str, Any]) -> None:
        await anyio.lowlevel.checkpoint()
        self.sent.append(message)


REQUEST = {"type": "http.request", "body": b"", "more_body": False}
GONE = {"type": "http.disconnect"}
START = {"type": "http.response.start", "status": 200, "headers": []}
BODY = {"type": "http.response.body", "body": b"hello"}


def answering(*messages: dict[str, Any]) -> App:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        for message in messages:
            await send(message)

    return app


async def serve(app: App, scope: dict[str, Any] | None = None, *received: dict[str, Any], **options: Any) -> Connection:
    connection = Connection(*received)
    await TracingMiddleware(app, **options)(scope or request(), connection.receive, connection.send)
    return connection


def only(recorder: Recorder) -> SpanRecord:
    (record,) = recorder.records
    return record


# --- attributes -------------------------------------------------------------------------------------------------------


async def test_a_request_is_a_server_span_by_the_conventions(recorder: Recorder) -> None:
    scope = request("/a/b", query=b"x=1&sig=secret", host="shop.example:8443", user_agent="curl", x_other="1")
    await serve(answering(START, BODY), scope)
    record = only(recorder)
    assert (record.name, record.kind, record.status) == ("GET", "server", "success")
    timing = record.attributes.pop("prela.http.time_to_first_byte")
    assert 0 <= timing <= (record.duration or 0) + 1
    assert record.attributes == {
        "http.request.method": "GET",
        "http.response.status_code": 200,
        "url.scheme": "http",
        "url.path": "/a/b",
        "url.query": "x=1&sig=REDACTED",
        "server.address": "shop.example",
        "server.port": 8443,
        "client.address": "10.0.0.1",
        "network.peer.address": "10.0.0.1",
        "network.peer.port": 5555,
        "network.protocol.version": "1.1",
        "user_agent.original": "curl",
    }


@pytest.mark.parametrize(
    ("method", "attributes", "name"),
    [
        ("POST", {"http.request.method": "POST"}, "POST"),
        ("get", {"http.request.method": "GET", "http.request.method_original": "get"}, "GET"),
        ("STEAL", {"http.request.method": "_OTHER", "http.request.method_original": "STEAL"}, "HTTP"),
    ],
)
async def test_methods_that_are_none_of_https_do_not_vary_the_name(
    recorder: Recorder, method: str, attributes: dict[str, str], name: str
) -> None:
    await serve(answering(START, BODY), request(method=method))
    record = only(recorder)
    assert record.name == name
    assert {key: value for key, value in record.attributes.items() if "method" in key} == attributes


async def test_methods_of_ones_own_are_told_by_name_where_they_are_named(recorder: Recorder) -> None:
    await serve(answering(START, BODY), request(method="PURGE"), methods=["GET", "PURGE"])
    await serve(answering(START, BODY), request(method="POST"), methods=["GET", "PURGE"])
    assert recorder.names == ["PURGE", "HTTP"]


async def test_the_root_that_a_proxy_names_is_part_of_the_route(recorder: Recorder) -> None:
    await serve(starlette_app(), {**request("/api/users/7/items/3"), "root_path": "/api"})
    assert only(recorder).attributes["http.route"] == "/api/users/{user}/items/{item:int}"


def test_secrets_of_urls_are_not_recorded() -> None:
    assert url_to_record("https://me:pw@x.org:1/a?b=1&Signature=s#f") == (
        "https://REDACTED:REDACTED@x.org:1/a?b=1&Signature=REDACTED#f"
    )
    assert query_to_record("sig=a&signal=b&AWSAccessKeyId=c") == "sig=REDACTED&signal=b&AWSAccessKeyId=REDACTED"
    assert host_and_port("[::1]:8000", "http") == ("::1", 8000)
    assert host_and_port("x.org", "https") == ("x.org", 443)
    assert host_and_port("x.org:port", "https") == ("", None)


@pytest.mark.parametrize(
    ("status", "outcome", "kind"), [(404, "success", None), (500, "error", "500"), (503, "error", "503")]
)
async def test_only_errors_of_the_server_are_errors(
    recorder: Recorder, status: int, outcome: str, kind: str | None
) -> None:
    await serve(answering({**START, "status": status}, BODY))
    record = only(recorder)
    assert (record.status, record.attributes.get("error.type")) == (outcome, kind)


# --- trace ------------------------------------------------------------------------------------------------------------


async def test_a_request_goes_on_with_its_callers_trace_and_is_the_parent_of_what_it_does(recorder: Recorder) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        with get_tracer().span("work"):
            await answering(START, BODY)(scope, receive, send)

    with get_tracer().span("server's own"):
        await serve(app, request(traceparent=f"00-{TRACE}-{SPAN}-01"))
        await serve(app, request())
    first, second = [record for record in recorder.records if record.name == "GET"]
    assert (first.trace_id, first.parent_span_id) == (TRACE, SPAN)
    assert second.parent_span_id is None
    assert {r.parent_span_id for r in recorder.records if r.name == "work"} == {first.span_id, second.span_id}


async def test_a_caller_that_is_not_trusted_is_a_link(recorder: Recorder) -> None:
    await serve(answering(START, BODY), request(traceparent=f"00-{TRACE}-{SPAN}-01"), trust_caller=False)
    record = only(recorder)
    assert record.parent_span_id is None
    assert [(link.trace_id, link.span_id) for link in record.links] == [(TRACE, SPAN)]


async def test_an_application_in_another_is_not_traced_twice(recorder: Recorder) -> None:
    await serve(TracingMiddleware(answering(START, BODY)))
    assert len(recorder) == 1


@pytest.mark.parametrize(("path", "count"), [("/health", 0), ("/static/a/b.js", 0), ("/healthy", 1), ("/", 1)])
async def test_paths_can_be_left_out(recorder: Recorder, path: str, count: int) -> None:
    connection = await serve(answering(START, BODY), request(path), exclude=["/health", "/static/*"])
    assert connection.sent == [START, BODY]
    assert len(recorder) == count


async def test_lifespan_is_left_alone(recorder: Recorder) -> None:
    seen: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        seen.extend((scope, receive, send))

    connection = Connection()
    scope, receive, send = {"type": "lifespan"}, connection.receive, connection.send
    await TracingMiddleware(app)(scope, receive, send)
    assert seen == [scope, receive, send]
    assert scope == {"type": "lifespan"}
    assert len(recorder) == 0


# --- streams, background work, ends -----------------------------------------------------------------------------------


async def test_the_span_ends_with_the_last_message_and_not_with_background_work(recorder: Recorder) -> None:
    chunk = {"type": "http.response.body", "body": b"x", "more_body": True}

    async def app(scope: Any, receive: Any, send: Any) -> None:
        span = get_current_span()
        await answering(START, {**chunk, "body": b""})(scope, receive, send)
        assert "prela.http.time_to_first_byte" not in span.attributes
        await send(chunk)
        assert "prela.http.time_to_first_byte" in span.attributes
        assert span.end_time_ns is None
        await send({"type": "http.response.body"})
        assert span.end_time_ns is not None
        with get_tracer().span("background"):
            pass

    await serve(app)
    assert recorder.tree() == "GET\n  background"


async def test_trailers_and_files_end_an_answer_too(recorder: Recorder) -> None:
    seen: list[Any] = []

    def looking(*messages: dict[str, Any]) -> App:
        async def app(scope: Any, receive: Any, send: Any) -> None:
            for message in messages:
                await send(message)
                seen.append(get_current_span().end_time_ns is not None)

        return app

    await serve(looking({**START, "trailers": True}, BODY, {"type": "http.response.trailers", "headers": []}))
    await serve(looking(START, {"type": "http.response.pathsend", "path": "/x"}))
    assert seen == [False, False, True, False, True]


async def test_an_exception_is_recorded_and_raised_even_after_the_answer(recorder: Recorder) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await answering({**START, "status": 500}, BODY)(scope, receive, send)
        raise ZeroDivisionError("by zero")

    with pytest.raises(ZeroDivisionError):
        await serve(app)
    record = only(recorder)
    assert (record.status, record.attributes["error.type"]) == ("error", "ZeroDivisionError")
    assert record.attributes["http.response.status_code"] == 500
    assert [event.name for event in record.events] == ["exception"]


async def test_an_application_that_does_not_answer_is_an_error(recorder: Recorder) -> None:
    await serve(answering())
    record = only(recorder)
    assert (record.status, record.attributes["error.type"]) == ("error", "_OTHER")


async def test_a_client_that_went_away_is_a_cancellation(recorder: Recorder) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send(START)
        while (await receive())["type"] != "http.disconnect":
            pass

    async def raising(scope: Any, receive: Any, send: Any) -> None:
        await app(scope, receive, send)
        raise OSError("gone")

    await serve(app, None, REQUEST, GONE)
    with pytest.raises(OSError, match="gone"):
        await serve(raising, None, REQUEST, GONE)
    for record in recorder.records:
        assert (record.status, record.attributes["prela.cancel.cause"]) == ("cancelled", "disconnect")
        assert record.events == ()


async def test_a_failure_after_the_client_went_away_is_still_a_failure(recorder: Recorder) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await receive()
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await serve(app, None, REQUEST, GONE)
    assert only(recorder).status == "error"


async def test_a_disconnect_after_the_answer_is_none(recorder: Recorder) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await answering(START, BODY)(scope, receive, send)
        await receive()
        assert (await receive())["type"] == "http.disconnect"

    await serve(app, None, REQUEST, GONE)
    assert only(recorder).status == "success"


async def test_a_disconnect_after_an_error_was_answered_leaves_it_an_error(recorder: Recorder) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await answering({**START, "status": 500}, BODY)(scope, receive, send)
        assert (await receive())["type"] == "http.disconnect"

    await serve(app, None, GONE)
    assert only(recorder).status == "error"


async def test_a_cancelled_request_says_why_and_stays_cancelled(recorder: Recorder) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await anyio.sleep_forever()

    with anyio.move_on_after(0.01) as scope:
        await serve(app)
    assert scope.cancelled_caught
    assert only(recorder).status == "cancelled"


async def test_messages_and_scope_are_handed_on_as_they_are(recorder: Recorder) -> None:
    message = {"type": "http.request", "body": b"x" * 10, "more_body": False, "extra": object()}
    strange = {"type": "no.such.message", "x": 1}
    seen: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        seen.extend((scope, await receive()))
        for one in (strange, START, BODY):
            await send(one)

    scope = request()
    connection = await serve(app, scope, message)
    assert seen[0] is scope
    assert seen[1] is message
    assert all(sent is given for sent, given in zip(connection.sent, (strange, START, BODY), strict=True))


@pytest.mark.parametrize("missing", ["headers", "path", "method", "client", "server", "scheme", "query_string"])
async def test_a_scope_that_lacks_something_is_served(recorder: Recorder, missing: str) -> None:
    scope = request()
    del scope[missing]
    assert (await serve(answering(START, BODY), scope)).sent == [START, BODY]


@pytest.mark.parametrize("status", [None, "x", object()])
async def test_messages_that_break_the_rules_are_handed_on(recorder: Recorder, status: Any) -> None:
    bad = {"type": "http.response.start", "status": status}
    assert (await serve(answering(bad, {"type": "http.response.body", "body": 3}))).sent[0] is bad
    assert len(recorder) == 1


async def test_while_tracing_is_off_nothing_is_different() -> None:
    assert (await serve(answering(START, BODY))).sent == [START, BODY]


# --- websockets -------------------------------------------------------------------------------------------------------


def websocket(**headers: str) -> dict[str, Any]:
    scope = request("/ws", **headers)
    del scope["method"]
    return {**scope, "type": "websocket", "scheme": "ws"}


@pytest.mark.parametrize(
    ("code", "status"), [(1000, "success"), (1001, "success"), (1005, "success"), (1006, "cancelled")]
)
async def test_a_websocket_is_one_span_from_its_opening_to_its_close(
    recorder: Recorder, code: int, status: str
) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        assert (await receive())["type"] == "websocket.connect"
        await send({"type": "websocket.accept"})
        while (message := await receive())["type"] != "websocket.disconnect":
            with get_tracer().span("echo"):
                await send({"type": "websocket.send", "text": message["text"]})

    messages = [{"type": "websocket.connect"}, {"type": "websocket.receive", "text": "hi"}]
    await serve(app, websocket(), *messages, {"type": "websocket.disconnect", "code": code})
    assert recorder.tree().splitlines() == ["GET" + ("" if status == "success" else " cancelled"), "  echo"]
    attributes = recorder["GET"].attributes
    assert (attributes["http.response.status_code"], attributes["prela.websocket.close_code"]) == (101, code)
    assert attributes["url.scheme"] == "ws"


async def test_a_websocket_that_is_refused_is_a_403(recorder: Recorder) -> None:
    await serve(answering({"type": "websocket.close"}), websocket())
    assert only(recorder).attributes["http.response.status_code"] == 403


# --- frameworks -------------------------------------------------------------------------------------------------------


def starlette_app() -> Any:
    async def item(request: Any) -> Any:
        return PlainTextResponse("item")

    inner = Router([Route("/items/{item:int}", item), Route("/", item)])
    return Starlette(routes=[Mount("/users/{user}", inner), Route("/files/{path:path}", item), Route("/plain", item)])


@pytest.mark.parametrize(
    ("path", "route"),
    [
        ("/users/7/items/3", "/users/{user}/items/{item:int}"),
        ("/users/7/", "/users/{user}/"),
        ("/files/a/b", "/files/{path:path}"),
        ("/plain", "/plain"),
        ("/nowhere", None),
    ],
)
async def test_the_route_of_starlette_is_told_with_what_it_is_mounted_in(
    recorder: Recorder, path: str, route: str | None
) -> None:
    await serve(starlette_app(), request(path))
    record = only(recorder)
    assert record.attributes.get("http.route") == route
    assert record.name == ("GET" if route is None else f"GET {route}")


def test_of_several_places_of_an_endpoint_the_one_that_fits_the_path_is_the_route() -> None:
    async def item(request: Any) -> None: ...

    router = Router([Route("/a/{x}", item), Mount("/m", routes=[Route("/b/{x:path}", item)]), Route("/c", item)])
    scope = {"router": router, "endpoint": item}
    assert route_of({**scope, "path": "/m/b/1/2"}) == "/m/b/{x:path}"
    assert route_of({**scope, "path": "/c"}) == "/c"
    assert route_of({**scope, "path": "/a/1"}) == "/a/{x}"
    assert route_of({"endpoint": item, "path": "/a/1"}) is None


async def test_the_route_that_litestar_names_is_told(recorder: Recorder) -> None:
    async def litestar(scope: Any, receive: Any, send: Any) -> None:
        scope["path_template"] = "/things/{thing}"
        await answering(START, BODY)(scope, receive, send)

    await serve(litestar)
    assert only(recorder).name == "GET /things/{thing}"


async def test_starlettes_own_middleware_background_tasks_and_errors_are_as_they_were(recorder: Recorder) -> None:
    async def stream() -> Any:
        for n in range(3):
            with get_tracer().span(f"chunk {n}"):
                await anyio.lowlevel.checkpoint()
            yield str(n)

    async def later() -> None:
        with get_tracer().span("later"):
            await anyio.lowlevel.checkpoint()

    async def ok(request: Any) -> Any:
        return StreamingResponse(stream(), background=BackgroundTask(later))

    async def fails(request: Any) -> Any:
        raise ZeroDivisionError

    app = Starlette(
        routes=[Route("/ok", ok), Route("/fails", fails)], middleware=[Middleware(TracingMiddleware, exclude="/x")]
    )
    connection = Connection()
    await app(request("/ok"), connection.receive, connection.send)
    assert b"".join(message.get("body", b"") for message in connection.sent) == b"012"
    assert recorder.tree().splitlines() == ["GET /ok", "  chunk 0", "  chunk 1", "  chunk 2", "  later"]
    recorder.clear()
    with pytest.raises(ZeroDivisionError):
        await app(request("/fails"), Connection().receive, Connection().send)
    record = only(recorder)
    assert (record.name, record.status) == ("GET /fails", "error")
