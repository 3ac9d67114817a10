"""Crossing from a thread into a running loop, without a thread to wait in."""

import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

import anyio
import anyio.lowlevel

from prela.core import log


def is_asyncio() -> bool:
    """Whether the loop that is running here is asyncio's; else it is trio's."""
    return hasattr(anyio.lowlevel.current_token().native_token, "call_soon_threadsafe")


def caller_into_this_loop() -> Callable[[Callable[[], object]], None]:
    """Return a function that has a callback run on the loop that is running here, soon, from any thread.

    It does nothing once that loop has ended.
    """
    native: Any = anyio.lowlevel.current_token().native_token
    call_soon = native.call_soon_threadsafe if is_asyncio() else native.run_sync_soon

    def call(callback: Callable[[], object]) -> None:
        try:
            call_soon(callback)
        except RuntimeError:
            pass  # asyncio: the loop is closed; trio: RunFinishedError

    return call


async def answered(answer: Future[Any]) -> None:
    """Wait until a future that belongs to no loop is done."""
    event = anyio.Event()
    call = caller_into_this_loop()
    answer.add_done_callback(lambda _: call(event.set))
    await event.wait()


async def answered_within(answers: "list[Future[bool]]", timeout: float) -> bool:
    """Wait for answers, on whatever loop; not all of them in time is False, and told."""
    with anyio.move_on_after(timeout):
        for answer in answers:
            await answered(answer)
        return True
    log.warn("prela: flush was not done within %g s", timeout)
    return False


async def in_own_thread(function: Callable[[], bool]) -> bool:
    """Run a blocking function in a thread of its own, and wait without holding the loop.

    Not in anyio's threads: those may all be taken by the program, and shutting down must not queue behind it.
    """
    answer: Future[bool] = Future()

    def run() -> None:
        try:
            answer.set_result(function())
        except Exception as error:
            log.failed("shutdown", error)
            answer.set_result(False)

    thread = threading.Thread(target=run, name="prela-shutdown", daemon=True)
    thread.start()
    await answered(answer)
    thread.join()
    return answer.result()
