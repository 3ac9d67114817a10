"""The body of an answer that is streamed: the span of its request ends when it was read, closed, or let go of.

The stream of the library is wrapped in one of the same class, so that the library takes it; pieces are handed on as
they are, and the span is never current while one is waited for.
"""

from collections.abc import AsyncIterator, Iterator
from functools import cache
from typing import Any, Final

from prela.core.span import Span
from prela.integrations import http

COMPLETED: Final = "completed"
CLOSED_EARLY: Final = "closed_early"
ABANDONED: Final = "abandoned"


def watched(stream: Any, span: Span) -> Any:
    """Return the stream of a response, watched: its end is the span's."""
    return _kind_of(stream.__class__)(stream, _Ending(span))


def failed(span: Span, error: BaseException) -> None:
    """End a span with what was raised."""
    if isinstance(error, Exception):
        span.set_attribute(http.ERROR_TYPE, http.error_type(error))
    span._end_with(error)


class _Ending:
    """Ends a span once, and says how. A stream that is collected unread takes its ending with it."""

    def __init__(self, span: Span) -> None:
        self._span: Span | None = span
        self.is_read = False

    def raised(self, error: BaseException) -> None:
        span, self._span = self._span, None
        if span is not None:
            failed(span, error)

    def closed(self) -> None:
        self._end(COMPLETED if self.is_read else CLOSED_EARLY)

    def _end(self, outcome: str) -> None:
        span, self._span = self._span, None
        if span is not None:
            span._end_with(None, stream=outcome)

    def __del__(self) -> None:
        self._end(ABANDONED)


@cache
def _kind_of(kind: type) -> type:
    """A class of watched streams, which the library takes for what it has wrapped: httpx and httpx2 look at the class.

    Raises:
        TypeError: It is none that is known.
    """
    for base in kind.__mro__:
        if base.__name__ in _MIXINS:
            return type(f"Watched{base.__name__}", (_MIXINS[base.__name__], base), {})
    raise TypeError(f"{kind.__qualname__} is no stream of httpx")


class _Watched:
    def __init__(self, inner: Any, ending: _Ending) -> None:
        self._inner = inner
        self._ending = ending

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)


class _WatchedSync(_Watched):
    def __iter__(self) -> Iterator[bytes]:
        try:
            yield from self._inner
        except GeneratorExit:
            raise
        except BaseException as error:
            self._ending.raised(error)
            raise
        self._ending.is_read = True

    def close(self) -> None:
        try:
            self._inner.close()
        finally:
            self._ending.closed()


class _WatchedAsync(_Watched):
    async def __aiter__(self) -> AsyncIterator[bytes]:
        pieces = self._inner.__aiter__()
        try:
            async for piece in pieces:
                yield piece
        except GeneratorExit:
            raise
        except BaseException as error:
            self._ending.raised(error)
            raise
        finally:
            if hasattr(pieces, "aclose"):
                await pieces.aclose()  # a generator of theirs, which is not to be left to the collector
        self._ending.is_read = True

    async def aclose(self) -> None:
        try:
            await self._inner.aclose()
        finally:
            self._ending.closed()


_MIXINS: Final = {"SyncByteStream": _WatchedSync, "AsyncByteStream": _WatchedAsync}
