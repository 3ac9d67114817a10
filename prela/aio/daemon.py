"""One daemon thread for one plain-`def` exporter, so that a slow or stuck one holds up neither loop nor exit."""

import threading
from collections.abc import Callable
from concurrent.futures import Future
from contextvars import Context, copy_context
from queue import SimpleQueue
from typing import Any

from prela.aio.exporter import RetryableExportError
from prela.aio.waking import answered

_Job = tuple[Future[Any], Context, Callable[[], Any]]


class DaemonCaller:
    """Runs calls one at a time in a daemon thread, which `start` starts and `stop` ends."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._jobs: SimpleQueue[_Job | None] = SimpleQueue()
        self._thread: threading.Thread | None = None
        self._running: Future[Any] | None = None

    def start(self) -> bool:
        """Start the thread ahead of need: at the end of the interpreter no new one can be had. Whether there is one."""
        try:
            self._thread = threading.Thread(target=self._serve, name=self._name, daemon=True)
            self._thread.start()
        except RuntimeError:
            self._thread = None
        return self._thread is not None

    def stop(self) -> None:
        """Let the thread end after the call under way; a stuck one ends with the process."""
        self._jobs.put(None)
        if self._thread is not None and (self._running is None or self._running.done()):
            self._thread.join(timeout=1.0)

    async def call(self, function: Callable[[], Any]) -> Any:
        """Run the function and return its result.

        Raises:
            RuntimeError: There is no thread to be had, as at the end of the interpreter. It is not run here instead:
                it may block, and nothing could end that.
            RetryableExportError: The call before this one, given up by its caller, is still stuck.
        """
        if self._thread is None:
            raise RuntimeError("no thread can be had to run a plain `def` in")
        if self._running is not None and not self._running.done():
            raise RetryableExportError("an earlier export has not returned")
        job: Future[Any] = Future()
        self._running = job
        self._jobs.put((job, copy_context(), function))
        await answered(job)
        return job.result()

    def _serve(self) -> None:
        while (job := self._jobs.get()) is not None:
            future, context, function = job
            try:
                future.set_result(context.run(function))
            except BaseException as error:
                future.set_exception(error)
