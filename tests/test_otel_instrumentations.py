"""Instrumentations that others wrote for OpenTelemetry emit into Prela, under Prela's spans and above them."""

import asyncio
import sqlite3
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import aiohttp
import anyio
import anyio.abc
import httpx
import pytest
import requests
from langchain_core.language_models import FakeListChatModel
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.runnables import RunnableLambda
from langchain_core.tools import tool
from openinference.instrumentation.langchain import LangChainInstrumentor
from opentelemetry.instrumentation.aiohttp_client import AioHttpClientInstrumentor
from opentelemetry.instrumentation.asgi import OpenTelemetryMiddleware
from opentelemetry.instrumentation.httpx import HTTPXClientInstrumentor
from opentelemetry.instrumentation.requests import RequestsInstrumentor
from opentelemetry.instrumentation.sqlite3 import SQLite3Instrumentor

import prela
from prela.record.model import SpanRecord
from prela.testing import Recorder
from tests.otel_fixtures import spans

__all__ = ["spans"]


def children_of(recorder: Recorder, parent: SpanRecord) -> list[SpanRecord]:
    return [record for record in recorder.records if record.parent_span_id == parent.span_id]


@pytest.fixture
def server() -> Iterator[tuple[str, list[str | None]]]:
    """An HTTP server, and the `traceparent` of each request."""
    seen: list[str | None] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            seen.append(self.headers["traceparent"])
            self.send_response(404 if self.path == "/missing" else 200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *args: object) -> None:
            pass

    http = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=http.serve_forever, args=(0.01,))
    thread.start()
    yield f"http://127.0.0.1:{http.server_port}", seen
    http.shutdown()
    thread.join()
    http.server_close()


# --- httpx ----------------------------------------------------------------------------------------------------------
@pytest.fixture
def traced_httpx(spans: Recorder) -> Iterator[None]:
    HTTPXClientInstrumentor().instrument()
    yield
    HTTPXClientInstrumentor().uninstrument()


@pytest.mark.usefixtures("traced_httpx")
def test_a_request_of_httpx_is_a_span_below_ours_and_carries_its_context(
    spans: Recorder, tracer: prela.Tracer, server: tuple[str, list[str | None]]
) -> None:
    url, seen = server
    with tracer.span("agent") as agent, httpx.Client() as client:
        client.get(url)
        client.get(f"{url}/missing")
    found, missing = children_of(spans, spans["agent"])
    assert (found.name, found.kind, found.status, missing.status) == ("GET", "client", "success", "error")
    assert found.scope["name"] == "opentelemetry.instrumentation.httpx"
    assert found.attributes.get("http.method", found.attributes.get("http.request.method")) == "GET"
    assert seen == [f"00-{agent.trace_id}-{record.span_id}-01" for record in (found, missing)]


@pytest.mark.usefixtures("traced_httpx")
async def test_so_is_an_async_one_in_each_of_many_tasks(
    spans: Recorder, tracer: prela.Tracer, server: tuple[str, list[str | None]], anyio_backend: Any
) -> None:
    async def ask(name: str) -> None:
        async with tracer.aspan(name), httpx.AsyncClient() as client:
            await client.get(server[0])

    async with anyio.create_task_group() as group:
        for number in range(5):
            group.start_soon(ask, f"task {number}")
    for number in range(5):
        (child,) = children_of(spans, spans[f"task {number}"])
        assert child.name == "GET"


@pytest.mark.usefixtures("traced_httpx")
async def test_a_request_that_is_cancelled_is_cancelled_and_no_error(spans: Recorder, anyio_backend: Any) -> None:
    listener = await anyio.create_tcp_listener(local_host="127.0.0.1")
    port = listener.extra(anyio.abc.SocketAttribute.local_port)
    async with listener, anyio.create_task_group() as group, httpx.AsyncClient() as client:

        async def silent(connection: anyio.abc.SocketStream) -> None:
            async with connection:
                await connection.receive()
                group.cancel_scope.cancel()  # the request is under way, and will not be answered

        group.start_soon(listener.serve, silent)
        await client.get(f"http://127.0.0.1:{port}/")
    assert (spans["GET"].status, spans["GET"].events) == ("cancelled", ())


@pytest.mark.usefixtures("traced_httpx")
def test_nothing_is_traced_of_a_request_inside_suppress(spans: Recorder, server: tuple[str, list[str | None]]) -> None:
    with prela.suppress():
        httpx.get(server[0])
    assert not spans.records and server[1] == [None]


# --- aiohttp and requests -------------------------------------------------------------------------------------------
def test_a_request_of_aiohttp_that_times_out_is_cancelled_though_its_instrumentation_calls_it_an_error(
    spans: Recorder, tracer: prela.Tracer
) -> None:
    async def main() -> None:
        asked = asyncio.Event()

        async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n")
            asked.set()
            await reader.read()
            writer.close()

        server = await asyncio.start_server(silent, "127.0.0.1", 0)
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
        async with server, tracer.aspan("agent"), aiohttp.ClientSession() as client:
            request = asyncio.create_task(client.get(url))  # type: ignore[arg-type]
            await asked.wait()
            request.cancel()
            with pytest.raises(asyncio.CancelledError):
                await request

    AioHttpClientInstrumentor().instrument()
    try:
        asyncio.run(main())
    finally:
        AioHttpClientInstrumentor().uninstrument()
    (found,) = children_of(spans, spans["agent"])
    assert (found.name, found.kind, found.status, found.status_message) == ("GET", "client", "cancelled", None)


def test_requests_in_a_thread_pool_are_spans_below_the_work_that_made_them(
    spans: Recorder, tracer: prela.Tracer, server: tuple[str, list[str | None]]
) -> None:
    def fetch(name: str) -> None:
        with tracer.span(name):
            requests.get(server[0], timeout=10).close()

    RequestsInstrumentor().instrument()
    try:
        with tracer.span("agent"), ThreadPoolExecutor(2) as pool:
            list(pool.map(prela.copy_context_to_thread(fetch), ["a", "b", "c"]))
    finally:
        RequestsInstrumentor().uninstrument()
    for name in ("a", "b", "c"):
        assert spans[name].parent_span_id == spans["agent"].span_id
        (found,) = children_of(spans, spans[name])
        assert (found.name, found.kind, found.status) == ("GET", "client", "success")


# --- sqlite3 --------------------------------------------------------------------------------------------------------
def test_queries_of_sqlite3_are_spans_below_ours(spans: Recorder, tracer: prela.Tracer) -> None:
    instrumentor = SQLite3Instrumentor()
    instrumentor.instrument()
    try:
        with tracer.span("report"):
            connection = sqlite3.connect(":memory:")
            connection.cursor().execute("create table t (a)")
            with pytest.raises(sqlite3.OperationalError):
                connection.cursor().execute("select * from missing")
            connection.close()
    finally:
        instrumentor.uninstrument()
    create, select = children_of(spans, spans["report"])
    assert (create.name, create.status, select.name, select.status) == ("create", "success", "select", "error")
    assert "no such table" in str(select.status_message) and select.events[0].name == "exception"


# --- ASGI -----------------------------------------------------------------------------------------------------------
async def test_a_request_of_an_asgi_application_is_above_our_spans(
    spans: Recorder, tracer: prela.Tracer, anyio_backend: Any
) -> None:
    async def application(scope: Any, receive: Any, send: Any) -> None:
        async with tracer.aspan("handler"):
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": b"ok"})

    remote = {"traceparent": f"00-{'a' * 32}-{'b' * 16}-01", "baggage": "user=ana"}
    transport = httpx.ASGITransport(OpenTelemetryMiddleware(application))
    async with httpx.AsyncClient(transport=transport) as client:
        assert (await client.get("http://service/path", headers=remote)).text == "ok"
    (request,) = [record for record in spans.records if record.kind == "server"]
    assert (request.trace_id, request.parent_span_id) == ("a" * 32, "b" * 16)
    assert spans["handler"].parent_span_id == request.span_id
    assert spans["handler"].span_id in {record.parent_span_id for record in spans.records}, "sends are below it"


# --- OpenInference for LangChain ------------------------------------------------------------------------------------
@tool
def weather(city: str) -> str:
    """The weather in a city."""
    with prela.get_tracer().span("looking it up"):
        return f"sunny in {city}"


@pytest.fixture
def traced_langchain(spans: Recorder) -> Iterator[None]:
    LangChainInstrumentor().instrument()
    yield
    LangChainInstrumentor().uninstrument()


def chain() -> Any:
    prompt = ChatPromptTemplate.from_template("Say {word}")
    return prompt | FakeListChatModel(responses=["hello"]) | StrOutputParser()


@pytest.mark.usefixtures("traced_langchain")
def test_a_chain_of_langchain_is_a_tree_below_our_span_with_types(spans: Recorder, tracer: prela.Tracer) -> None:
    with tracer.span("agent", prela.SpanType.AGENT):
        assert chain().invoke({"word": "hello"}) == "hello"
        assert weather.invoke({"city": "Turin"}) == "sunny in Turin"
    tree = spans.tree().splitlines()
    assert tree[0] == "agent [agent]"
    assert {"    FakeListChatModel [llm]", "  RunnableSequence", "  weather [tool]"} <= set(tree)
    model = spans["FakeListChatModel"]
    assert model.attributes["llm.output_messages.0.message.content"] == "hello"
    assert model.scope["name"] == "openinference.instrumentation.langchain"


@pytest.mark.usefixtures("traced_langchain")
def test_so_are_many_at_once(spans: Recorder, tracer: prela.Tracer) -> None:
    async def ask(number: int) -> None:
        async with tracer.aspan(f"task {number}"):
            await chain().ainvoke({"word": "hello"})

    async def ask_all() -> None:
        await asyncio.gather(*(ask(number) for number in range(5)))

    asyncio.run(ask_all())  # LangChain runs on asyncio alone
    for number in range(5):
        (sequence,) = children_of(spans, spans[f"task {number}"])
        assert sequence.name == "RunnableSequence" and len(children_of(spans, sequence)) == 3


@pytest.mark.usefixtures("traced_langchain")
def test_a_streamed_chain_and_one_that_fails_are_told_as_they_were(spans: Recorder, tracer: prela.Tracer) -> None:
    def fail(text: str) -> str:
        raise ValueError(f"no {text}")

    with tracer.span("streaming"):
        assert "".join(chain().stream({"word": "hello"})) == "hello"
        assert prela.get_current_span().name == "streaming"
    with tracer.span("failing"), pytest.raises(ValueError):
        (chain() | RunnableLambda(fail)).invoke({"word": "hello"})
    (streamed,), (failed,) = (children_of(spans, spans[name]) for name in ("streaming", "failing"))
    assert (streamed.status, failed.status) == ("success", "error")
    assert spans["fail"].events[0].attributes["exception.type"] == "ValueError"
