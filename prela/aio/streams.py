"""A stream inside a span: current only while the stream's own code runs, ended exactly once, and told how."""

from collections.abc import AsyncIterable, AsyncIterator
from types import TracebackType
from typing import Any, Generic, Self, TypeVar

from prela.core import log
from prela.core.causality import Pulls, has_room, time_of, waiting_span
from prela.core.scope import Scope
from prela.core.span import Span
from prela.core.step import Step

T = TypeVar("T")


def trace_stream(aiter: AsyncIterable[T], span: Span) -> "TracedStream[T]":
    """Return the stream inside the span, which ends with it.

    The span is one that has started (`tracer.start_span`); its parent was fixed then. It is current while the stream
    produces an item, and never while the consumer uses one. At its end `prela.stream.outcome` is completed,
    closed_early, cancelled, error, or abandoned (collected without having been read to its end or closed).

    The span that reads it tells when it waited for the next item, in a link (`docs/causality.md`). Everything else the
    stream can do is still to be found on what is returned.
    """
    return TracedStream(aiter, span)


class TracedStream(Generic[T]):
    """An async iterator around another; see `trace_stream`."""

    def __init__(self, stream: AsyncIterable[T], span: Span) -> None:
        span._begin()
        self._stream = stream
        self._iterator: AsyncIterator[T] | None = None
        self._span = span
        self._scope = Scope(span)
        self._ended = False
        self._pulls: Pulls | None = None

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> T:
        try:
            if self._iterator is None:
                self._iterator = aiter(self._stream)
            step = anext(self._iterator)
        except BaseException as error:  # it is no async iterator after all
            self._fail(error)
            raise
        return await self._next(step)

    async def _next(self, step: Any) -> T:
        """Await the next item, or that there is none."""
        try:
            item: T = await self._inside(step)
            return item
        except StopAsyncIteration:
            self._iterator = None  # a stream that can be read again may be
            self._end("completed")
            raise
        except BaseException as error:
            if not getattr(self._iterator, "ag_running", False):  # somebody else reads it, and goes on
                self._fail(error)
            raise

    async def aclose(self) -> None:
        """Close the stream, and end its span as closed early if it was not read to its end."""
        for target in (self._iterator, self._stream):
            close = getattr(target, "aclose", None) or getattr(target, "close", None)
            if close is not None:
                await self._closing(close())
                return
        self._end("closed_early")

    def close(self) -> Any:
        """The stream's own `close`, where it has one; the span ends with it."""
        result = self.__getattr__("close")()
        if hasattr(result, "__await__"):
            return self._closing(result)
        self._end("closed_early")
        return result

    async def __aenter__(self) -> Self:
        enter = getattr(type(self._stream), "__aenter__", None)
        if enter is not None:
            await self._inside(enter(self._stream))
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> Any:
        leave = getattr(type(self._stream), "__aexit__", None)
        if leave is not None:
            return await self._closing(leave(self._stream, exc_type, exc, traceback))
        return await self.aclose()

    def __getattr__(self, name: str) -> Any:
        found = getattr(self.__dict__["_stream"], name)
        if name not in ("asend", "athrow"):
            return found
        # What drives an async generator besides: its code runs then too.
        return lambda *args: self._next(found(*args))

    def __del__(self) -> None:
        if "_ended" in self.__dict__:
            self._end("abandoned")

    async def _inside(self, step: Any) -> Any:
        """Await a step of the stream's own code with the span current."""
        waiter, since = self._begin_wait()
        taken = Step()
        try:
            self._scope.enter(taken)
            return await step if hasattr(step, "__await__") else step
        finally:
            try:
                self._scope.leave(taken)
            except BaseException:
                self._scope.leave(taken)
                raise
            if waiter is not None:
                self._end_wait(waiter, since)

    def _begin_wait(self) -> tuple[Span | None, int]:
        """The span that waits for the step that begins, and since when; None where none that records does."""
        try:
            span = self._span
            waiter = waiting_span() if span.is_recording else None
            return (None, 0) if waiter is None or waiter is span else (waiter, time_of(waiter))
        except Exception as error:
            log.failed("trace_stream", error)
            return None, 0

    def _end_wait(self, waiter: Span, since: int) -> None:
        try:
            if self._pulls is None or self._pulls.waiter is not waiter:
                self._pulls = Pulls(waiter, self._span) if has_room(waiter) else None
            if self._pulls is not None:
                self._pulls.add(since, time_of(waiter))
        except Exception as error:
            log.failed("trace_stream", error)

    async def _closing(self, step: Any) -> Any:
        """Await what closes the stream, and end the span by how that went."""
        try:
            result = await self._inside(step)
        except BaseException as error:
            self._fail(error)
            raise
        self._end("closed_early")
        return result

    def _end(self, outcome: str) -> None:
        if not self._ended:
            self._ended = True
            self._span._end_with(None, stream=outcome)

    def _fail(self, error: BaseException) -> None:
        if not self._ended:
            self._ended = True
            self._span._end_with(error, stream="error")
