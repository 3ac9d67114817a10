"""The web application: which address is answered by what. What is asked is read here; what is told is in `answers`.

Questions to the store run in threads, a few at once; the event loop only passes things on.
"""

from collections import OrderedDict
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from hashlib import blake2b
from pathlib import Path
from typing import Final, TypeAlias, TypeVar

import msgspec
from anyio import CapacityLimiter, to_thread
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp

from prela import __version__
from prela.record.model import SpanRecord
from prela.record.tree import forest
from prela.store.analysis import compare
from prela.store.store import AmbiguousTraceError, Store, TraceSummary
from prela.web import answers, asking, pages
from prela.web.access import Access, Guard, error
from prela.web.reading import Reading
from prela.web.timeline import Timeline

__all__ = ["Sink", "make_app"]

T = TypeVar("T")

Sink: TypeAlias = Callable[[Sequence[SpanRecord]], Awaitable[None]]
"""Takes the spans that were received; raises where it cannot."""

_QUESTIONS_AT_ONCE: Final = 4
_TIMELINES_KEPT: Final = 8
_MOST_SPANS_A_TRACE: Final = 200_000
"""Of a trace that is worked out for a page: some seconds of work, and 30 MB for the browser."""
_MOST_TRACES: Final = 1_000
_MOST_SPANS: Final = 1_000
_MOST_BUCKETS: Final = 1_000
_PAGES: Final = ("/", "/traces", "/traces/{trace_id}", "/search", "/stats", "/compare")


def make_app(folder: Path, *, access: Access, sink: AbstractAsyncContextManager[Sink] | None = None) -> ASGIApp:
    """The application over one trace folder.

    It lets go of the folder when the server tells it, by ASGI's lifespan, that it ends.

    Args:
        folder: Need not exist.
        access: Who may ask.
        sink: Where received spans go, from the server's beginning to its end; None for receiving none.
    """
    web = _Web(folder, receives=sink is not None)

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        async with AsyncExitStack() as stack:
            stack.push_async_callback(to_thread.run_sync, web.reading.close)
            if sink is not None:
                from prela.web import receiver

                app.router.routes.append(receiver.route(await stack.enter_async_context(sink)))
            yield

    app = Starlette(
        routes=web.routes(), lifespan=lifespan, exception_handlers={HTTPException: _told, Exception: _failed}
    )
    app.router.redirect_slashes = False
    return Guard(app, access)


class _Web:
    """What the answers are made from."""

    def __init__(self, folder: Path, *, receives: bool) -> None:
        self.reading = Reading(folder)
        self._receives = receives
        self._files = pages.static_files()
        self._limiter = CapacityLimiter(_QUESTIONS_AT_ONCE)
        self._status_limiter = CapacityLimiter(_QUESTIONS_AT_ONCE)  # so that it never waits behind a slow search
        self._timelines: OrderedDict[tuple[str, str, frozenset[str]], Timeline] = OrderedDict()

    def routes(self) -> list[Route]:
        questions: Mapping[str, Callable[[Request], Awaitable[Response]]] = {
            "/api/status": self.status,
            "/api/traces": self.traces,
            "/api/traces/{trace_id}": self.trace,
            "/api/traces/{trace_id}/spans/{span_id}": self.span,
            "/api/search": self.search,
            "/api/stats": self.stats,
            "/api/series": self.series,
            "/api/compare": self.compare,
            "/static/{path:path}": self.static,
            **dict.fromkeys(_PAGES, self.page),
        }
        return [Route(path, endpoint, methods=["GET"]) for path, endpoint in questions.items()]

    async def _ask(self, question: Callable[[Store], T]) -> T:
        try:
            return await to_thread.run_sync(self.reading.ask, question, limiter=self._limiter)
        except AmbiguousTraceError as problem:
            raise HTTPException(400, str(problem)) from None
        except LookupError as problem:
            raise HTTPException(404, str(problem)) from None

    # --- the data -------------------------------------------------------------------------------------------------

    async def status(self, request: Request) -> Response:
        state = await to_thread.run_sync(self.reading.state, limiter=self._status_limiter)
        return _json(answers.status(state, str(self.reading.folder), __version__, receives=self._receives))

    async def traces(self, request: Request) -> Response:
        given = asking.Parameters(request.query_params)
        limit, offset = given.number("limit", 50, _MOST_TRACES), given.number("offset", 0, (1 << 63) - 1)
        wanted = given.trace_filter()

        def look(store: Store) -> dict[str, object]:
            found = store.traces(limit, offset=offset, **wanted)
            cut = [len(store.interrupted(summary.trace_id)) if summary.open else 0 for summary in found]
            traces = [answers.trace(summary, number) for summary, number in zip(found, cut, strict=True)]
            return {"traces": traces, "total": store.count_traces(**wanted)}

        content = await self._ask(look)
        revision = blake2b(_encoded(content), digest_size=12).hexdigest()
        return _unless_current(request, revision) or _json({**content, "revision": revision}, revision)

    async def trace(self, request: Request) -> Response:
        trace_id = request.path_params["trace_id"]
        revision, timeline = await self._ask(lambda store: self._timeline(store, trace_id))
        return _unless_current(request, revision) or _sent(timeline.encoded, revision)

    async def span(self, request: Request) -> Response:
        trace_id, span_id = request.path_params["trace_id"], request.path_params["span_id"]

        def look(store: Store) -> bytes:
            record = store.span(trace_id, span_id)
            _, timeline = self._timeline(store, record.trace_id)
            pending = store.pending(record.trace_id).get(span_id) if record.status == "pending" else None
            return _encoded(answers.span(record, timeline.around(span_id), pending))

        return _sent(await self._ask(look))

    async def search(self, request: Request) -> Response:
        given = asking.Parameters(request.query_params)
        query, limit = given.query(), given.number("limit", 100, _MOST_SPANS)
        found = await self._ask(lambda store: store.search(query, limit + 1))
        return _json({"spans": [answers.found_span(record) for record in found[:limit]], "cut": len(found) > limit})

    async def stats(self, request: Request) -> Response:
        given = asking.Parameters(request.query_params)
        by, query = given.grouping(), given.query_of_index()
        return _json(answers.totals(await self._ask(lambda store: store.totals(by, query))))

    async def series(self, request: Request) -> Response:
        given = asking.Parameters(request.query_params)
        query, buckets = given.query_of_index(), given.number("buckets", 60, _MOST_BUCKETS)
        return _json(answers.series(await self._ask(lambda store: store.series(query, buckets))))

    async def compare(self, request: Request) -> Response:
        given = asking.Parameters(request.query_params)
        ids = given.needed("before"), given.needed("after")

        def look(store: Store) -> bytes:
            before, after = (_small_enough(store.summary(trace_id)) for trace_id in ids)
            found = compare(forest(store.trace(before.trace_id)), forest(store.trace(after.trace_id)))
            return _encoded(answers.comparison(before, after, found))

        return _sent(await self._ask(look))

    def _timeline(self, store: Store, trace_id: str) -> tuple[str, Timeline]:
        """A trace and its revision; the newest few are kept. Several threads may be here at once, and none waits."""
        summary = _small_enough(store.summary(trace_id))
        interrupted = store.interrupted(summary.trace_id) if summary.open else frozenset[str]()
        kept = [*self._timelines.items()]
        known = {
            revision: timeline
            for (whole, revision, cut), timeline in kept
            if (whole, cut) == (summary.trace_id, interrupted)
        }
        revision, records = store.trace_unless(summary.trace_id, known)
        if records is None:
            timeline = known[revision]
        elif records:
            timeline = Timeline(summary, records, interrupted)
        else:
            raise LookupError(f"the trace {summary.trace_id} is gone")
        key = (summary.trace_id, revision, interrupted)
        self._timelines.pop(key, None)
        self._timelines[key] = timeline
        while len(self._timelines) > _TIMELINES_KEPT:
            try:
                self._timelines.popitem(last=False)
            except KeyError:
                break  # another thread was quicker
        # That a program ended is in no line of its files: so it is told beside their revision.
        return f"{revision}-{len(interrupted)}" if interrupted else revision, timeline

    # --- the pages ------------------------------------------------------------------------------------------------

    async def page(self, request: Request) -> Response:
        index = self._files.get(pages.INDEX)
        if index is None:
            return PlainTextResponse("the pages are missing from this installation of prela", 404)
        answer = pages.answer(request, index)
        trace_id = request.path_params.get("trace_id", "")
        if trace_id.isascii() and trace_id.isalnum():
            # The browser asks for the trace at once, and not behind all of the page's scripts; app.js takes it over.
            answer.headers["link"] = f"</api/traces/{trace_id}>; rel=preload; as=fetch; crossorigin"
        return answer

    async def static(self, request: Request) -> Response:
        file = self._files.get(request.path_params["path"])
        if file is None:
            raise HTTPException(404, "there is no such file")
        return pages.answer(request, file)


def _small_enough(summary: TraceSummary) -> TraceSummary:
    """The summary of a trace that a page can hold.

    Raises:
        HTTPException: It cannot.
    """
    if summary.spans <= _MOST_SPANS_A_TRACE:
        return summary
    trace_id = summary.trace_id
    raise HTTPException(
        413,
        f"this trace has {summary.spans:,} spans, and a page holds {_MOST_SPANS_A_TRACE:,}. Search finds spans in it; "
        f"`prela show {trace_id[:12]}` prints it, `prela export {trace_id[:12]} --to perfetto` takes it elsewhere",
    )


# --- answers as HTTP has them -----------------------------------------------------------------------------------------


def _encoded(content: object) -> bytes:
    return msgspec.json.encode(content)


def _json(content: object, revision: str | None = None) -> Response:
    return _sent(_encoded(content), revision)


def _sent(body: bytes, revision: str | None = None) -> Response:
    return Response(body, headers=_headers(revision), media_type="application/json")


def _unless_current(request: Request, revision: str) -> Response | None:
    """That nothing has changed, where the one who asks has this revision."""
    headers = _headers(revision)
    return Response(status_code=304, headers=headers) if pages.is_current(request, headers["etag"]) else None


def _headers(revision: str | None) -> dict[str, str]:
    return {"cache-control": "no-store", **({"etag": f'"{revision}"'} if revision else {})}


async def _told(request: Request, problem: Exception) -> Response:
    assert isinstance(problem, HTTPException)
    return error(problem.status_code, problem.detail, dict(problem.headers or {}))


async def _failed(request: Request, problem: Exception) -> Response:
    return error(500, f"the server failed: {type(problem).__name__}")
