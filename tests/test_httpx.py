"""Requests of httpx and httpx2: a client span each, the trace carried on, and the libraries as they were afterwards."""

from collections.abc import Iterator
from typing import Any

import anyio
import httpx
import httpx2
import pytest

import prela
from prela import get_tracer
from prela.integrations.httpx import instrument, uninstrument
from prela.testing import Recorder, recording

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
