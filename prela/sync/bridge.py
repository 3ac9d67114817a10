"""`prela.aio` in one background thread: for programs that have no loop, or should not lend us theirs.

The thread starts with the first span that ends, and is a daemon: it never keeps a program from ending.
"""

import _thread
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import suppress as ignoring
from contextvars import Context
from itertools import count
from time import monotonic
from typing import TYPE_CHECKING, Any, Final

from prela.core import log
from prela.core.buffer import EXIT_DEADLINE, EXPORT_FAILED, SHUTDOWN, Buffer
from prela.core.retry import delay_until_next
from prela.core.settings import Settings
from prela.sync.private_loop import private_loop

if TYPE_CHECKING:
    import asyncio
    from concurrent.futures import Future

    from prela.aio.worker import Worker

_LONGEST_PAUSE: Final = 2.0
"""Seconds between two tries to make a loop."""


class Bridge:
    """A worker, and the thread it runs in."""

    def __init__(
        self,
        settings: Settings,
        exporters: dict[str, Any],
        make_worker: "Callable[[Settings], Worker]",
        on_start: Callable[[], object] = lambda: None,
    ) -> None:
        self.settings = settings
        self.exporters = exporters
        self.make_worker = make_worker
        self.workers: list[Worker] = []
        self.is_started: bool = False
        """Whether a span has ended under these settings; with insight, whether one has started."""
        self._on_start = on_start
        self._starts = count()
        self._thread: threading.Thread | None = None
        self._ended = threading.Event()
        self._waiting: deque[Future[bool]] = deque()
        self._stop_wanted = False
        self._is_ending = False
        """Whether nothing is to be waited for that may come later: when this stops, and at the end of the program."""
        self._try_now = threading.Event()
        self._is_abandoned = False
        self._kept_open: list[Any] = []
        self._ready = threading.Event()
        self._inline = threading.RLock()
        settings.buffer.watch(self.start)
        if settings.insight is not None:
            settings.insight.on_first_span = self.start  # what is open is written down, even if nothing ever ends

    def start(self) -> None:
        """Start the thread, once. Called where a span ended: maybe in a signal handler or a finalizer."""
        if next(self._starts):
            return
        self.is_started = True
        try:
            self._on_start()
            # Not Thread.start from here: it takes locks that the code we interrupted may hold. The helper only starts
            # the thread proper, and is gone again.
            _thread.start_new_thread(self._start_thread, ())
        except Exception as error:
            self._do_without_thread(error)
        if self.settings.buffer.on_offer == self.start:
            self.settings.buffer.watch(None)

    def _start_thread(self) -> None:
        thread = threading.Thread(target=self._main, name="prela", daemon=True)
        try:
            thread.start()
        except Exception as error:
            self._do_without_thread(error)
        self._answer_if_ended()

    def _do_without_thread(self, error: Exception) -> None:
        log.debug("prela: no thread can be had, as at the end of the interpreter: %s", error)
        self._ended.set()
        self._ready.set()

    def _main(self) -> None:
        self._thread = threading.current_thread()
        try:
            # An empty context: newer interpreters let threads inherit that of whoever starts them.
            Context().run(self._run_worker)
        except BaseException as error:
            log.failed("the export thread", error)
            with ignoring(Exception):
                self.settings.buffer.give_up(EXPORT_FAILED)
        finally:
            self._ended.set()
            self._ready.set()
            for worker in self.workers:
                if not worker.is_over:  # its loop could not be made, as without file descriptors
                    worker.never_ran()
            self._answer_if_ended()

    def _run_worker(self) -> None:
        loop = self._loop_when_there_can_be_one()
        import anyio

        from prela.aio.pacing import on_private_loop

        on_private_loop.set(True)
        try:
            worker = self._new_worker()
            self._pass_on(worker)
            anyio.run(worker.run, backend="asyncio", backend_options={"loop_factory": lambda: loop})
        finally:
            loop.close()

    def _loop_when_there_can_be_one(self) -> "asyncio.AbstractEventLoop":
        """A loop; where the program has used up its file descriptors, as soon as one is free. Spans queue meanwhile."""
        attempt = 0
        while True:
            attempt += 1
            try:
                import anyio  # noqa: F401  (reading modules takes descriptors too)

                return private_loop()
            except OSError as error:
                if self._is_ending:
                    raise
                log.warn_once("no loop", "prela: spans wait, since there can be no loop to export them: %s", error)
                self._try_now.wait(min(_LONGEST_PAUSE, delay_until_next(attempt, None)))
                self._try_now.clear()

    def _end_waiting(self) -> None:
        self._is_ending = True
        self._try_now.set()

    def _new_worker(self) -> "Worker":
        worker = self.make_worker(self.settings)
        worker.kept_open.extend(self._kept_open)
        worker.on_ready = self._ready.set
        self.workers.append(worker)
        return worker

    def _pass_on(self, worker: "Worker") -> None:
        """Give a new worker what was asked for before there was one."""
        for answer in self._take_waiting():
            _chain(worker.request_flush(), answer)
        if self._stop_wanted:
            worker.request_stop()

    def _answer_if_ended(self) -> None:
        if self._ended.is_set():
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
        from concurrent.futures import Future  # it imports logging: not at the top, so that `import prela` stays quick

        answer: Future[bool] = Future()
        if not self.is_started:
            answer.set_result(True)
            return answer
        self._waiting.append(answer)
        self._try_now.set()
        # The thread may have looked a moment ago, or be about to end.
        if self.workers and not self._ended.is_set():
            self._pass_on(self.workers[-1])
        self._answer_if_ended()
        return answer

    def request_stop(self) -> None:
        """Have the worker export what is left, close the exporters, and the thread end."""
        self._stop_wanted = True
        self._end_waiting()
        if self.workers:
            self.workers[-1].request_stop()

    def retire(self, successor: Buffer, kept_open: list[Any]) -> None:
        self.settings.buffer.hand_over(successor)
        self._kept_open.extend(kept_open)
        for worker in self.workers:
            worker.kept_open.extend(kept_open)
        if self.is_started:
            self.request_stop()

    def stop(self, timeout: float, reason: str = SHUTDOWN) -> bool:
        """Stop, and wait for it. What is not exported after `timeout` seconds is counted under `reason`.

        Returns whether everything was answered for and the thread is gone.
        """
        if not self.is_started:
            self.settings.buffer.close(reason)
            return True
        deadline = monotonic() + timeout
        self.request_stop()
        self._ended.wait(timeout)
        if not self._ended.is_set():
            self.abandon(reason)
            return False
        if self._thread is not None:
            self._thread.join(max(0.1, deadline - monotonic()))
        self._export_leftovers(deadline, reason)
        return self._thread is None or not self._thread.is_alive()

    def rest(self, timeout: float, reason: str) -> bool:
        """For the end of the interpreter: export what is left, close the exporters, and go on exporting whatever ends
        even later as it ends. What is not exported after `timeout` seconds in all is counted under `reason`.

        Returns whether all that had ended was answered for.
        """
        deadline = monotonic() + timeout
        done = self._rest_by(deadline) if self.is_started else True
        if done:
            if not self._is_abandoned:
                self.settings.buffer.watch(lambda: self._export_late(deadline, reason))
            return True
        self.abandon(reason)
        return False

    def _rest_by(self, deadline: float) -> bool:
        if self._is_abandoned:
            return True
        self._end_waiting()
        while not self.workers and not self._ended.wait(0.005):
            if monotonic() > deadline:
                return False
        if self._ended.is_set():
            return self.run_inline(deadline)
        return _answered_by(self.workers[-1].request_rest(), deadline)

    def wait_until_ready(self, timeout: float) -> None:
        """Wait until a thread that is being started has all it needs: soon the interpreter will start none any more."""
        self._end_waiting()
        if self.is_started:
            self._ready.wait(timeout)

    def _export_late(self, deadline: float, reason: str) -> None:
        """Called after each span that ends once the exit has begun."""
        if sys.is_finalizing():
            self.settings.buffer.give_up(reason)  # our thread is frozen, and modules are going: nothing can be done
            return
        self.start()
        if monotonic() < deadline and not self.is_here():
            self._ready.wait(deadline - monotonic())
            if self._ended.is_set() or not self.workers:
                done = self.run_inline(deadline)
            else:
                done = _answered_by(self.request_flush(), deadline)
            if done:
                return
        self.abandon(reason)

    def _export_leftovers(self, deadline: float, reason: str) -> None:
        if self.settings.buffer.queue and not self.run_inline(deadline):
            self.abandon(reason)
        self.settings.buffer.close(reason)

    def abandon(self, reason: str) -> None:
        """Give up on what has not been exported, and on what still ends."""
        self._is_abandoned = True
        self.settings.buffer.give_up(reason)
        for worker in self.workers:
            worker.abandon(reason)

    def run_inline(self, deadline: float) -> bool:
        """Export what is queued here and now, in the calling thread: where no thread of ours can be had any more.

        Returns whether it was done by the deadline.
        """
        from prela.aio.pacing import on_private_loop

        def run() -> None:
            on_private_loop.set(True)
            worker = self._new_worker()
            worker.request_stop()
            # Not asyncio.run: that would take the program's own event loop from its thread.
            loop = private_loop()
            loop.call_later(max(0.05, deadline - monotonic()), worker.abandon, EXIT_DEADLINE)
            try:
                loop.run_until_complete(worker.run())
            finally:
                loop.close()

        with self._inline:
            try:
                Context().run(run)
            except Exception as error:
                log.failed("exporting at exit", error)
        return not self.settings.buffer.queue


def _answered_by(answer: "Future[bool]", deadline: float) -> bool:
    try:
        return answer.result(max(0.0, deadline - monotonic()))
    except TimeoutError:
        return False


def _chain(source: "Future[bool]", target: "Future[bool]") -> None:
    def answer(done: "Future[bool]") -> None:
        with ignoring(Exception):  # answered already
            target.set_result(done.result())

    source.add_done_callback(answer)
