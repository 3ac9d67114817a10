"""The event loop of our own thread: asyncio's, with what is of no use or does harm beside a program's own left out."""

import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import asyncio


def private_loop() -> "asyncio.AbstractEventLoop":
    """A loop of our own: not of the policy's, which is the program's, and may refuse other threads.

    Raises OSError where no file descriptors are left for it.
    """
    import asyncio

    loop = asyncio.SelectorEventLoop.__new__(asyncio.SelectorEventLoop)
    try:
        loop.__init__()  # type: ignore[misc]
    except BaseException:
        loop.is_closed = lambda: True  # type: ignore[method-assign]  # else its finalizer tells of what it has not got
        raise
    loop.set_debug(False)  # whether our steps are slow concerns nobody, under `-X dev` neither
    loop.set_task_factory(_task_but_no_finalizers)
    loop.getaddrinfo = _resolve  # type: ignore[method-assign]
    return loop


async def _resolve(host: Any, port: Any, *, family: int = 0, type: int = 0, proto: int = 0, flags: int = 0) -> Any:
    """Resolve a name in a daemon thread. asyncio does it in an executor, which takes no work at the end of the
    interpreter, when a short program's spans are sent."""
    import socket

    from prela.aio.daemon import DaemonCaller

    def resolve() -> Any:
        return socket.getaddrinfo(host, port, family, type, proto, flags)

    caller = DaemonCaller("prela-resolver")
    if not caller.start():
        return resolve()  # no thread can be had any more, and nobody is on this loop who could be held up
    try:
        return await caller.call(resolve)
    finally:
        caller.stop()


def _task_but_no_finalizers(loop: "asyncio.AbstractEventLoop", coro: Any, **options: Any) -> Any:
    """A task; but none for the finalizer of an object of the program's, which the collector happened to run here.

    Such as close their connections in a task "if there is a running loop" would use ours for transports of another
    (httpx clients do; seen: "Event loop is closed", told by our loop of somebody else's). In any other thread there
    would be no running loop, and so there is none for them here.
    """
    import asyncio

    frame = sys._getframe(1)
    while frame is not None:
        if frame.f_code.co_name == "__del__":
            coro.close()
            nothing: asyncio.Future[None] = loop.create_future()
            nothing.set_result(None)
            return nothing
        frame = frame.f_back  # type: ignore[assignment]
    return asyncio.Task(coro, loop=loop, **options)
