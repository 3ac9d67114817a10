"""Into worker threads and back, in the context of the caller."""

from collections.abc import Callable
from typing import TypeVar

import anyio
import anyio.to_thread

from prela.aio.tracer import tracer

T = TypeVar("T")


async def to_thread(
    func: Callable[..., T], *args: object, limiter: anyio.CapacityLimiter | None = None, name: str | None = None
) -> T:
    """Run a plain function in a worker thread, in this context, and return its result.

    Args:
        func: Called with `args`; the spans it makes are children of the span that is current here.
        args: Positional arguments.
        limiter: Bounds the threads in use; anyio's default bounds them to 40.
        name: Gives the call a span of this name, from the moment a thread takes it up.
    """
    if name is None:
        return await anyio.to_thread.run_sync(func, *args, limiter=limiter)
    span = tracer.span(name)

    def in_span() -> T:
        with span:
            return func(*args)

    return await anyio.to_thread.run_sync(in_span, limiter=limiter)
