"""`prela.aio` in one background thread: for programs that have no loop, or should not lend us theirs.

The thread starts with the first span that ends, and is a daemon: it never keeps a program from ending.
"""

import _thread
import threading
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextvars import Context
from itertools import count
from time import monotonic
from typing import TYPE_CHECKING, Any

from prela.core import log
from prela.core.buffer import EXPORT_FAILED, SHUTDOWN, Buffer
from prela.core.settings import Settings

if TYPE_CHECKING:
    from prela.aio.worker import Worker


started_hooks: list[Callable[[], None]] = []
"""Called in each new worker thread before anything else."""


class Bridge:
    """A worker, and the thread it runs in."""

    def __init__(
        self, settings: Settings, exporters: dict[str, Any], make_worker: "Callable[[Settings], Worker]"
    ) -> None:
        self.settings = settings
        self.exporters = exporters
        self.workers: list[Worker] = []
        self.make_worker = make_worker
        self._starts = count()
        self.is_started = False
        """Whether a span has ended under these settings."""
        self._thread: threading.Thread | None = None
        self._ended = threading.Event()
        self._waiting: deque[Future[bool]] = deque()
        self._stop_wanted = False
        self._inline = threading.RLock()
        settings.buffer.watch(self.start)

    def start(self) -> None:
        """Start the thread, once. Called where a span ended: maybe in a signal handler or a finalizer."""
        if next(self._starts):
            return
        self.is_started = True
        try:
            # Not Thread.start from here: it takes locks that the code we interrupted may hold. The helper only starts
            # the thread proper, and is gone again.
            _thread.start_new_thread(self._start_thread, ())
        except RuntimeError as error:
            log.debug("prela: no thread at the end of the interpreter: %s", error)
            self._ended.set()
        self.settings.buffer.watch(None)

    def _start_thread(self) -> None:
        try:
            thread = threading.Thread(target=self._main, name="prela", daemon=True)
            self._thread = thread
            thread.start()
        except Exception as error:
            log.failed("starting the export thread", error)
            self._ended.set()

    def _main(self) -> None:
        try:
            for hook in started_hooks:
                hook()
            # An empty context: newer interpreters let threads inherit that of whoever starts them.
            Context().run(self._run_worker)
        except BaseException as error:
            log.failed("the export thread", error)
            self.settings.buffer.give_up(EXPORT_FAILED)
        finally:
            self._ended.set()
            self._answer_waiting()

    def _run_worker(self) -> None:
        import anyio

        from prela.aio.pacing import on_private_loop

        on_private_loop.set(True)
        worker = self.make_worker(self.settings)
        self.workers.append(worker)
        self._pass_on(worker)
        anyio.run(worker.run, backend="asyncio")

    def _pass_on(self, worker: "Worker") -> None:
        """Give a new worker what was asked for before there was one."""
        for answer in self._take_waiting():
            _chain(worker.request_flush(), answer)
        if self._stop_wanted:
            worker.request_stop()

    def _answer_waiting(self) -> None:
        for answer in self._take_waiting():
            answer.set_result(not self.settings.buffer.queue)

    def _take_waiting(self) -> "Iterator[Future[bool]]":
        while True:
            try:
                yield self._waiting.popleft()
            except IndexError:  # another thread was quicker
                return

    @property
    def is_running(self) -> bool:
        thread = self._thread
        alive = not self._ended.is_set() or (thread is not None and thread.is_alive())
        return self.is_started and (alive or bool(self.settings.buffer.queue))

    def is_here(self) -> bool:
        return threading.current_thread() is self._thread

    def request_flush(self) -> "Future[bool]":
        """See `Worker.request_flush`. Where no span has ended there is nothing to wait for."""
        answer: Future[bool] = Future()
        self._waiting.append(answer)
        # The thread may have looked a moment ago, or be about to end.
        if self.workers and not self._ended.is_set():
            self._pass_on(self.workers[-1])
        if not self.is_started:
            self._answer_waiting()
        elif self._ended.is_set():
            if self.settings.buffer.queue:
                self.run_inline()
            self._answer_waiting()
        return answer

    def request_stop(self) -> None:
        """Have the worker export what is left, close the exporters, and the thread end."""
        self._stop_wanted = True
        if self.workers:
            self.workers[-1].request_stop()

    def retire(self, successor: Buffer) -> None:
        self.settings.buffer.hand_over(successor)
        if self.is_started:
            self.request_stop()

    def stop(self, timeout: float, reason: str = SHUTDOWN) -> bool:
        """Stop, and wait for it. What is not exported after `timeout` seconds is counted under `reason`.

        Returns whether everything was exported and the thread is gone.
        """
        if not self.is_started:
            self.settings.buffer.close(reason)
            return True
        deadline = monotonic() + timeout
        self.request_stop()
        self._ended.wait(timeout)
        thread = self._thread
        if self._ended.is_set() and thread is not None:
            thread.join(max(0.1, deadline - monotonic()))
        if self.settings.buffer.queue and self._ended.is_set():
            self.run_inline()
        if self._ended.is_set():
            self.settings.buffer.close(reason)
            return not self.settings.buffer.queue and (thread is None or not thread.is_alive())
        self._abandon(reason)
        return False

    def _abandon(self, reason: str) -> None:
        """Give up on a worker that does not end."""
        if self.workers:
            self.workers[-1].abandon(reason)
        else:
            self.settings.buffer.give_up(reason)

    def run_inline(self) -> bool:
        """Export what is queued here and now, in the calling thread: at the end of the interpreter, when the worker's
        thread has ended or none can be had. Returns whether the queue is empty."""
        import anyio

        from prela.aio.pacing import on_private_loop

        def run() -> None:
            on_private_loop.set(True)
            worker = self.make_worker(self.settings)
            self.workers.append(worker)
            worker.request_stop()
            anyio.run(worker.run, backend="asyncio")

        with self._inline:
            try:
                Context().run(run)
            except Exception as error:
                log.failed("exporting at exit", error)
        return not self.settings.buffer.queue


def _chain(source: "Future[bool]", target: "Future[bool]") -> None:
    def answer(done: "Future[bool]") -> None:
        if not target.done():
            target.set_result(done.result())

    source.add_done_callback(answer)
