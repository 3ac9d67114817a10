"""How work of ours shares the loop it runs on: a private loop in a thread of its own, or the application's."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextvars import ContextVar
from functools import partial
from typing import TYPE_CHECKING, Any, Final, TypeVar

from prela.core import log

if TYPE_CHECKING:
    from prela.record.model import SpanRecord

T = TypeVar("T")

CHUNK = 64
"""Spans worked on between two calls of `give_way`."""

_SLICE = 0.001
"""Seconds to hold the GIL at a time. Beside a worker that encoded 512 spans in one go, a 1 ms ticker was late by 7.5 ms
at p99 (design, section 5). Each time the GIL is given up costs 5 ms for every thread that computes without a pause, so
giving it up more often than this starves the worker beside a few of them."""

on_private_loop: ContextVar[bool] = ContextVar("prela.on_private_loop", default=False)
"""True in the worker's own thread, where blocking holds up nobody but ourselves."""

_NESTED: Final[frozenset[type]] = frozenset({list, dict})

_next_turn = 0.0


def is_turn_over() -> bool:
    """Whether our turn has lasted long enough: to be asked after each piece of work that may be large."""
    return time.monotonic() >= _next_turn


async def give_way() -> None:
    """Let others run: on a private loop other threads (by giving up the GIL), elsewhere the loop's other tasks."""
    global _next_turn
    if not on_private_loop.get():
        import anyio.lowlevel

        await anyio.lowlevel.checkpoint()
        _next_turn = time.monotonic() + _SLICE
    elif is_turn_over():
        time.sleep(0)  # noqa: ASYNC251  (on purpose: there is nobody on this loop to hold up)
        _next_turn = time.monotonic() + _SLICE


async def off_the_loop(function: Callable[..., T], *args: object) -> T:
    """Call a function that touches the disk: here on a loop of our own, in a thread on the application's."""
    if on_private_loop.get():
        return function(*args)
    from prela.aio.waking import is_asyncio

    if is_asyncio():
        # Not anyio's threads: where a loop is left with its main task unfinished, the interpreter waits for them.
        import asyncio

        return await asyncio.get_running_loop().run_in_executor(None, partial(function, *args))
    import anyio.to_thread

    return await anyio.to_thread.run_sync(function, *args)


def chunks(records: "Sequence[SpanRecord]") -> "Iterator[Sequence[SpanRecord]]":
    """What is encoded in one go: up to `CHUNK` records, or one that may be large, which nested values tell."""
    begun = 0
    for index, record in enumerate(records):
        is_large = not _NESTED.isdisjoint(map(type, record.attributes.values()))
        if is_large and begun < index:
            yield records[begun:index]
            begun = index
        if is_large or index + 1 - begun == CHUNK:
            yield records[begun : index + 1]
            begun = index + 1
    if begun < len(records):
        yield records[begun:]


def outlive_the_others() -> None:
    """Have the task that runs here not be cancelled with all others, as `asyncio.run` does at its end.

    It is ended by whoever began it, who is among the others: the last spans are made while those are left.
    """
    from prela.aio.waking import is_asyncio

    if is_asyncio():
        import asyncio

        task: Any = asyncio.current_task()
        try:
            asyncio._unregister_task(task)  # documented: "Extending asyncio"
            task._log_destroy_pending = False
        except Exception as error:
            log.debug("prela: a task of ours is like any other: %s", error)
