"""Requests of httpx and httpx2: a client span each, the trace carried on, and the libraries as they were afterwards."""

import gc
from collections.abc import AsyncIterator, Iterator
from typing import Any

import anyio
import anyio.lowlevel
import httpx
import httpx2
import pytest

import prela
from prela import get_tracer
from prela.integrations.httpx import instrument, uninstrument
from prela.testing import Recorder, recording
from prela.testing.otlp_collector import Collector

pytestmark = pytest.mark.anyio

LIBRARIES = [pytest.param(httpx, id="httpx"), pytest.param(httpx2, id="httpx2")]


@pytest.fixture(params=LIBRARIES)
def library(request: pytest.FixtureRequest) -> Any:
    return request.param


@pytest.fixture
def recorder() -> Iterator[Recorder]:
    with recording() as found:
        instrument()
        yield found
    uninstrument()


class Site:
    """Answers requests, and remembers them."""

    def __init__(self, library: Any) -> None:
        self.library = library
        self.seen: list[Any] = []

    def answer(self, request: Any) -> Any:
        self.seen.append(request)
        if request.url.path == "/fail":
            raise self.library.ConnectError("refused")
        if request.url.path == "/from":
            return self.library.Response(302, headers={"location": "/to"})
        status = 200 if request.url.path in ("/", "/to") else int(request.url.path[1:])
        return self.library.Response(status, text="hello")


@pytest.fixture
def site(library: Any) -> Site:
    return Site(library)


def client(site: Site, **options: Any) -> Any:
    return site.library.Client(transport=site.library.MockTransport(site.answer), **options)


def aclient(site: Site, **options: Any) -> Any:
    return site.library.AsyncClient(transport=site.library.MockTransport(site.answer), **options)


async def test_a_request_is_a_client_span_by_the_conventions(recorder: Recorder, site: Site) -> None:
    url = "https://me:pw@x.example:8443/?sig=secret&a=1"
    with get_tracer().span("caller"):
        with client(site) as one:
            assert one.get(url).text == "hello"
        async with aclient(site) as other:
            assert (await other.get(url)).text == "hello"
    assert recorder.tree() == "caller\n  GET\n  GET"
    for record, request in zip([r for r in recorder.records if r.name == "GET"], site.seen, strict=True):
        assert record.kind == "client"
        assert record.attributes == {
            "http.request.method": "GET",
            "url.full": "https://REDACTED:REDACTED@x.example:8443/?sig=REDACTED&a=1",
            "server.address": "x.example",
            "server.port": 8443,
            "http.response.status_code": 200,
            "network.protocol.version": "1.1",
        }
        assert request.headers["traceparent"] == f"00-{record.trace_id}-{record.span_id}-01"


@pytest.mark.parametrize("status", [404, 503])
async def test_to_a_client_every_error_is_one(recorder: Recorder, site: Site, status: int) -> None:
    client(site).get(f"http://x/{status}")
    record = recorder["GET"]
    assert (record.status, record.attributes["error.type"]) == ("error", str(status))


async def test_what_is_raised_is_recorded_and_raised(recorder: Recorder, site: Site) -> None:
    with pytest.raises(site.library.ConnectError):
        client(site).get("http://x/fail")
    with pytest.raises(site.library.ConnectError):
        await aclient(site).get("http://x/fail")
    assert [record.status for record in recorder.records] == ["error", "error"]
    assert all(r.attributes["error.type"].endswith("ConnectError") for r in recorder.records)


async def test_a_cancelled_request_is_cancelled(recorder: Recorder, library: Any) -> None:
    async def never(request: Any) -> Any:
        await anyio.sleep_forever()

    with anyio.move_on_after(0.01):
        await library.AsyncClient(transport=library.MockTransport(never)).get("http://x/")
    assert recorder["GET"].status == "cancelled"


class Pieces:
    """A body that comes in pieces, and may fail after them."""

    def __init__(self, *pieces: bytes, error: BaseException | None = None) -> None:
        self.pieces = pieces
        self.error = error
        self.is_closed = False

    def of(self, library: Any) -> Any:
        outer = self

        class Stream(library.SyncByteStream, library.AsyncByteStream):  # type: ignore[misc, name-defined]
            def __iter__(self) -> Iterator[bytes]:
                yield from outer.pieces
                if outer.error is not None:
                    raise outer.error

            async def __aiter__(self) -> AsyncIterator[bytes]:
                for piece in self:
                    await anyio.lowlevel.checkpoint()
                    yield piece

            def close(self) -> None:
                outer.is_closed = True

            async def aclose(self) -> None:
                outer.is_closed = True

        return Stream()


def answering(library: Any, pieces: Pieces, status: int = 200) -> dict[str, Any]:
    return {"transport": library.MockTransport(lambda request: library.Response(status, stream=pieces.of(library)))}


async def test_the_span_of_a_streamed_answer_ends_when_it_was_read(recorder: Recorder, library: Any) -> None:
    pieces = Pieces(b"a", b"b")
    with library.Client(**answering(library, pieces)) as one, one.stream("GET", "http://x/") as response:
        assert recorder.names == []
        assert list(response.iter_raw()) == [b"a", b"b"]
        assert recorder.names == ["GET"]
    assert pieces.is_closed
    async with library.AsyncClient(**answering(library, pieces)) as other:
        async with other.stream("GET", "http://x/") as response:
            assert recorder.names == ["GET"]
            assert await response.aread() == b"ab"
    assert [record.attributes["prela.stream.outcome"] for record in recorder.records] == ["completed", "completed"]
    assert {record.status for record in recorder.records} == {"success"}


async def test_while_a_body_is_read_its_span_is_not_current(recorder: Recorder, library: Any) -> None:
    with get_tracer().span("caller") as caller:
        async with library.AsyncClient(**answering(library, Pieces(b"a", b"b"))) as client:
            async with client.stream("GET", "http://x/") as response:
                async for _ in response.aiter_raw():
                    assert prela.get_current_span() is caller
                    with get_tracer().span("work"):
                        pass
    assert recorder.tree() == "caller\n  GET\n  work\n  work"


async def test_a_streamed_answer_that_is_closed_early_says_so(recorder: Recorder, library: Any) -> None:
    with library.Client(**answering(library, Pieces(b"a"), 503)) as one, one.stream("GET", "http://x/"):
        pass
    async with library.AsyncClient(**answering(library, Pieces(b"a"), 503)) as other:
        async with other.stream("GET", "http://x/"):
            pass
    for record in recorder.records:
        assert (record.status, record.attributes["prela.stream.outcome"]) == ("error", "closed_early")
        assert record.attributes["error.type"] == "503"
    assert len(recorder) == 2


async def test_a_body_that_breaks_off_is_an_error_and_raised(recorder: Recorder, library: Any) -> None:
    pieces = Pieces(b"a", error=library.ReadError("cut"))
    with pytest.raises(library.ReadError):
        with library.Client(**answering(library, pieces)) as one, one.stream("GET", "http://x/") as response:
            response.read()
    with pytest.raises(library.ReadError):
        async with library.AsyncClient(**answering(library, pieces)) as other:
            async with other.stream("GET", "http://x/") as response:
                await response.aread()
    assert [record.status for record in recorder.records] == ["error", "error"]
    assert all(record.attributes["error.type"].endswith("ReadError") for record in recorder.records)


async def test_a_streamed_answer_that_nobody_closes_is_abandoned(recorder: Recorder, library: Any) -> None:
    client = library.Client(**answering(library, Pieces(b"a")))
    response = client.send(library.Request("GET", "http://x/"), stream=True)
    assert recorder.names == []
    del response
    gc.collect()
    assert recorder["GET"].attributes["prela.stream.outcome"] == "abandoned"


async def test_methods_of_ones_own_are_told_by_name_where_they_are_named(recorder: Recorder, site: Site) -> None:
    client(site).request("PURGE", "http://x/")
    instrument(methods=["GET", "PURGE"])
    client(site).request("PURGE", "http://x/")
    assert recorder.names == ["HTTP", "PURGE"]
    assert [record.attributes["http.request.method"] for record in recorder.records] == ["_OTHER", "PURGE"]


async def test_over_a_real_connection_the_peer_is_told(recorder: Recorder, library: Any) -> None:
    with Collector() as collector:
        async with library.AsyncClient() as one:
            await one.post(collector.endpoint, content=b"{}")
        with library.Client() as other:
            other.post(collector.endpoint, content=b"{}")
    for record in recorder.records:
        assert record.attributes["network.peer.address"] == "127.0.0.1"
        assert record.attributes["network.peer.port"] == collector.port
    assert len(recorder) == 2


async def test_redirects_and_streams_are_one_span(recorder: Recorder, site: Site) -> None:
    assert client(site, follow_redirects=True).get("http://x/from").url.path == "/to"
    async with aclient(site).stream("GET", "http://x/") as response:
        assert await response.aread() == b"hello"
    assert recorder.names == ["GET", "GET"]


@pytest.mark.parametrize(
    ("propagate", "sent"),
    [
        (True, True),
        (False, False),
        ([], False),
        (["*.example"], True),
        ("x.EXAMPLE", True),
        (["example", "y.example"], False),
    ],
)
async def test_the_trace_is_told_to_chosen_hosts_only(
    recorder: Recorder, site: Site, propagate: Any, sent: bool
) -> None:
    instrument(propagate=propagate)
    with prela.baggage(user=7):
        client(site).get("http://x.example/")
    assert ("traceparent" in site.seen[0].headers, "baggage" in site.seen[0].headers) == (sent, sent)
    assert recorder.names == ["GET"]


async def test_what_is_suppressed_is_neither_traced_nor_told(recorder: Recorder, site: Site) -> None:
    with prela.suppress():
        client(site).get("http://x/")
    assert recorder.names == []
    assert "traceparent" not in site.seen[0].headers


async def test_a_remote_trace_passes_through_where_tracing_is_off(site: Site) -> None:
    instrument()
    headers = {"traceparent": f"00-{'a' * 32}-{'b' * 16}-01"}
    try:
        with prela.attach(headers):
            client(site).get("http://x/")
    finally:
        uninstrument()
    assert site.seen[0].headers["traceparent"] == headers["traceparent"]


async def test_uninstrumented_they_are_as_they_were(library: Any, site: Site) -> None:
    before = (library.Client.send, library.AsyncClient.send)
    with recording() as recorder:
        assert set(instrument()) == set(instrument()) == {"httpx", "httpx2"}
        ours = library.Client.send
        assert ours is not before[0]
        assert ours.__wrapped__ is before[0]
        uninstrument()
        assert (library.Client.send, library.AsyncClient.send) == before
        with get_tracer().span("here"):
            ours(client(site), library.Request("GET", "http://x/"))  # held on to by somebody
    assert recorder.names == ["here"]
    assert "traceparent" not in site.seen[0].headers
