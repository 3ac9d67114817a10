"""A stream inside a span: current only while the stream's own code runs, ended exactly once, and told how."""

from collections.abc import AsyncIterable, AsyncIterator
from types import TracebackType
from typing import Any, Generic, Self, TypeVar

from prela.core.context import Scope
from prela.core.outcome import STREAM_OUTCOME
from prela.core.span import Span

T = TypeVar("T")


def trace_stream(aiter: AsyncIterable[T], span: Span) -> "TracedStream[T]":
    """Return the stream inside the span, which ends with it.

    The span is one that has started (`tracer.start_span`); its parent was fixed then. It is current while the stream
    produces an item, and never while the consumer uses one. At its end `prela.stream.outcome` is completed,
    closed_early, cancelled, error, or abandoned (collected without having been read to its end or closed).

    Everything else the stream can do is still to be found on what is returned.
    """
    return TracedStream(aiter, span)


class TracedStream(Generic[T]):
    """An async iterator around another; see `trace_stream`."""

    def __init__(self, stream: AsyncIterable[T], span: Span) -> None:
        self._stream = stream
        self._iterator: AsyncIterator[T] | None = None
        self._span = span
        self._scope = Scope(span)
        self._ended = False

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> T:
        if self._ended:
            return await self._next()
        self._scope.enter()
        try:
            item = await self._next()
        except StopAsyncIteration:
            self._end("completed")
            raise
        except BaseException as error:
            self._ended = True
            self._span._end_with(error, stream=True)
            raise
        finally:
            self._scope.leave()
        return item

    async def _next(self) -> T:
        if self._iterator is None:
            self._iterator = aiter(self._stream)
        return await anext(self._iterator)

    async def aclose(self) -> None:
        """Close the stream, and end its span as closed early if it was not read to its end."""
        self._scope.enter()
        try:
            for target in (self._iterator, self._stream):
                close = getattr(target, "aclose", None) or getattr(target, "close", None)
                if close is not None:
                    result = close()
                    if hasattr(result, "__await__"):
                        await result
                    break
        finally:
            self._scope.leave()
            self._end("closed_early")

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.aclose()

    def __getattr__(self, name: str) -> Any:
        return getattr(self.__dict__["_stream"], name)

    def __del__(self) -> None:
        if "_ended" in self.__dict__:
            self._end("abandoned")

    def _end(self, outcome: str) -> None:
        if not self._ended:
            self._ended = True
            self._span.set_attribute(STREAM_OUTCOME, outcome)
            self._span.end()
