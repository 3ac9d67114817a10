"""The OTLP receiver: what others send becomes records, and what they should not have sent costs nobody else."""

import gzip
import json
import threading
import zlib
from collections.abc import Awaitable, Callable, Iterator, Sequence
from types import ModuleType
from typing import Any

import pytest

pytest.importorskip("starlette", reason="the web view is an extra")

import httpx2
import uvicorn
from opentelemetry.exporter.otlp.proto.http import Compression
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from starlette.applications import Starlette

from prela.record.model import SpanRecord
from prela.record.otlp import as_json, as_protobuf, request_of
from prela.web import receiver
from tests.traces import record

ENCODINGS = pytest.mark.parametrize("encoding", [as_protobuf, as_json], ids=["protobuf", "json"])
pytestmark = pytest.mark.anyio

LIMIT = 100_000


class Kept:
    """A sink, and what came into it."""

    def __init__(self) -> None:
        self.records: list[SpanRecord] = []
        self.error: Exception | None = None

    async def __call__(self, records: Sequence[SpanRecord]) -> None:
        if self.error is not None:
            raise self.error
        self.records.extend(records)


@pytest.fixture
def kept() -> Kept:
    return Kept()


@pytest.fixture
def post(kept: Kept) -> Callable[..., Awaitable[httpx2.Response]]:
    app = Starlette(routes=[receiver.route(kept, body_bytes=LIMIT)])

    async def post(content: Any, content_type: str, **headers: str) -> httpx2.Response:
        async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app), base_url="http://prela") as client:
            names = {name.replace("_", "-"): value for name, value in headers.items()}
            return await client.post("/v1/traces", content=content, headers={"content-type": content_type, **names})

    return post


def body_of(encoding: ModuleType, *records: SpanRecord) -> bytes:
    if encoding is as_json:
        return as_json.encode_records(records)
    return as_protobuf.ExportTraceServiceRequest(**request_of(records)).SerializeToString()


Post = Callable[..., Awaitable[httpx2.Response]]

COMPRESS: dict[str, Callable[[bytes], bytes]] = {
    "": lambda body: body,
    "identity": lambda body: body,
    "gzip": gzip.compress,
    "deflate": zlib.compress,
}


@ENCODINGS
@pytest.mark.parametrize("compression", COMPRESS)
async def test_spans_that_are_posted_are_kept(post: Post, kept: Kept, encoding: ModuleType, compression: str) -> None:
    sent = [record("one"), record("two", attributes={"k": [b"bytes"]})]
    response = await post(
        COMPRESS[compression](body_of(encoding, *sent)), encoding.CONTENT_TYPE, content_encoding=compression
    )
    assert response.status_code == 200
    assert response.headers["content-type"] == encoding.CONTENT_TYPE
    assert encoding.decode_response(response.content) == (0, "")
    assert [(found.name, found.attributes) for found in kept.records] == [(r.name, r.attributes) for r in sent]


@ENCODINGS
async def test_a_bad_span_is_refused_and_told_of_and_the_others_are_kept(
    post: Post, kept: Kept, encoding: ModuleType
) -> None:
    request = request_of([record("good"), record("bad")])
    request["resource_spans"][0]["scope_spans"][0]["spans"][1]["span_id"] = b"\x01"
    body = as_protobuf.ExportTraceServiceRequest(**request).SerializeToString()
    if encoding is as_json:
        body = json.dumps(json.loads(as_json._encode(request, "ExportTraceServiceRequest"))).encode()
    response = await post(body, encoding.CONTENT_TYPE)
    assert response.status_code == 200
    refused, reason = encoding.decode_response(response.content)
    assert refused == 1
    assert "span_id" in reason
    assert [found.name for found in kept.records] == ["good"]


@ENCODINGS
async def test_an_empty_request_is_a_success(post: Post, kept: Kept, encoding: ModuleType) -> None:
    response = await post(body_of(encoding), encoding.CONTENT_TYPE)
    assert (response.status_code, kept.records) == (200, [])


@pytest.mark.parametrize("content_type", ["", "text/plain", "application/xml"])
async def test_another_content_type_is_415(post: Post, content_type: str) -> None:
    response = await post(b"{}", content_type)
    assert response.status_code == 415
    assert "application/json" in as_json.decode_error(response.content)


async def test_a_content_type_may_have_parameters(post: Post) -> None:
    assert (await post(b"{}", "Application/JSON; charset=utf-8")).status_code == 200


@ENCODINGS
@pytest.mark.parametrize(
    ("content", "headers", "status"),
    [
        (b"\xff\xff garbage", {}, 400),
        (gzip.compress(b"\x0a" * 500)[:-12], {"content_encoding": "gzip"}, 400),
        (b"not gzip", {"content_encoding": "gzip"}, 400),
        (b"", {"content_encoding": "br"}, 415),
        (b"x" * (LIMIT + 1), {}, 413),
        (gzip.compress(b"\0" * 50_000_000), {"content_encoding": "gzip"}, 413),
        (zlib.compress(b"\0" * 50_000_000), {"content_encoding": "deflate"}, 413),
    ],
    ids=["garbage", "cut gzip", "no gzip", "brotli", "too large", "gzip bomb", "deflate bomb"],
)
async def test_what_cannot_be_taken_is_answered_with_a_status_that_says_why(
    post: Post, kept: Kept, encoding: ModuleType, content: bytes, headers: dict[str, str], status: int
) -> None:
    response = await post(content, encoding.CONTENT_TYPE, **headers)
    assert response.status_code == status
    assert response.headers["content-type"] == encoding.CONTENT_TYPE
    assert encoding.decode_error(response.content)
    assert kept.records == []


@ENCODINGS
async def test_what_the_sink_does_not_take_may_be_sent_again(post: Post, kept: Kept, encoding: ModuleType) -> None:
    kept.error = OSError("no space")
    response = await post(body_of(encoding, record()), encoding.CONTENT_TYPE)
    assert response.status_code == 503
    assert int(response.headers["retry-after"]) > 0
    assert "no space" not in encoding.decode_error(response.content)


async def test_the_body_is_not_read_beyond_the_limit(post: Post) -> None:
    sent = 0

    async def endless() -> Any:
        nonlocal sent
        while True:
            sent += 10_000
            yield b"x" * 10_000

    app = Starlette(routes=[receiver.route(Kept(), body_bytes=LIMIT)])
    pieces = endless()

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": await anext(pieces), "more_body": True}

    answers: list[Any] = []

    async def send(message: Any) -> None:
        answers.append(message)

    scope = {
        "type": "http",
        "method": "POST",
        "path": "/v1/traces",
        "query_string": b"",
        "headers": [(b"content-type", b"application/json")],
    }
    await app(scope, receive, send)
    await pieces.aclose()
    assert answers[0]["status"] == 413
    assert sent <= LIMIT + 20_000


# --- the OpenTelemetry SDK's exporter -------------------------------------------------------------------------------


@pytest.fixture
def url(kept: Kept) -> Iterator[str]:
    """A server on a port of its own, in a thread."""
    app = Starlette(routes=[receiver.route(kept)])
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="error", lifespan="off"))
    socket = server.config.bind_socket()
    thread = threading.Thread(target=server.run, kwargs={"sockets": [socket]})
    thread.start()
    yield f"http://127.0.0.1:{socket.getsockname()[1]}/v1/traces"
    server.should_exit = True
    thread.join()
    socket.close()


@pytest.mark.parametrize("compression", [Compression.NoCompression, Compression.Gzip, Compression.Deflate])
def test_the_official_exporter_is_understood(url: str, kept: Kept, compression: Compression) -> None:
    provider = TracerProvider()
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(url, compression=compression)))
    tracer = provider.get_tracer("library")
    with tracer.start_as_current_span("outer") as outer, tracer.start_as_current_span("inner"):
        outer.set_attribute("openinference.span.kind", "AGENT")
    provider.shutdown()
    inner, found = kept.records
    assert (inner.name, inner.parent_span_id) == ("inner", found.span_id)
    assert (found.name, found.span_type, found.scope) == ("outer", "agent", {"name": "library"})
