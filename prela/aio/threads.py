"""Into worker threads and back, in the context of the caller."""

from collections.abc import Callable
from typing import TypeVar

import anyio
import anyio.to_thread

from prela.aio.tracer import tracer
from prela.core import log
from prela.core.causality import add_join, has_room, time_of, waiting_span
from prela.core.span import Span
from prela.record import causality

T = TypeVar("T")


async def to_thread(
    func: Callable[..., T], *args: object, limiter: anyio.CapacityLimiter | None = None, name: str | None = None
) -> T:
    """Run a plain function in a worker thread, in this context, and return its result.

    Args:
        func: Called with `args`; the spans it makes are children of the span that is current here.
        args: Positional arguments.
        limiter: Bounds the threads in use; anyio's default bounds them to 40.
        name: Gives the call a span of this name, from the moment a thread takes it up; `prela.time.queued` says how
            many seconds it waited for that.
    """
    if name is None:
        return await anyio.to_thread.run_sync(func, *args, limiter=limiter)
    call = _Call(tracer.span(name))

    def in_span() -> T:
        with call.span:
            call.taken_up()
            try:
                return func(*args)
            finally:
                call.done()

    try:
        return await anyio.to_thread.run_sync(in_span, limiter=limiter)
    finally:
        call.returned()


class _Call:
    """One call in a thread, and the wait for it. Its methods raise nothing."""

    __slots__ = ("_is_left", "_is_told_above", "_since", "_waiter", "span")

    def __init__(self, span: Span) -> None:
        self.span = span
        self._waiter: Span | None = None
        self._since = 0
        self._is_told_above = self._is_left = False
        try:
            waiter = waiting_span()
            if waiter is not None and span.is_recording:
                self._since = time_of(waiter)
                self._is_told_above = has_room(waiter)
                self._waiter = waiter
        except Exception as error:
            log.failed("to_thread", error)

    def taken_up(self) -> None:
        """A thread has begun with it."""
        try:
            if self._waiter is not None and self.span.is_recording:
                self.span.set_attribute(causality.QUEUED, max(0, self.span.start_time_ns - self._since) / 1e9)
        except Exception as error:
            log.failed("to_thread", error)

    def done(self) -> None:
        """The function has ended, in the thread."""
        try:
            if self._waiter is not None and not self._is_told_above and not self._is_left:
                self.span.set_attribute(causality.JOINED_BY, self._waiter.span_id)
        except Exception as error:
            log.failed("to_thread", error)

    def returned(self) -> None:
        """The caller goes on; before the function has ended, if asyncio's own `Task.cancel()` had it leave."""
        try:
            self._is_left = True
            if self._waiter is not None and self._is_told_above and self.span._is_started:
                add_join(self._waiter, self.span, self._since, time_of(self._waiter))
        except Exception as error:
            log.failed("to_thread", error)
