"""One daemon thread that looks at the loops in which spans are open, and at nothing while there are none."""

import _thread
import threading
from collections.abc import Callable
from time import monotonic_ns
from typing import Final

from prela.core import log
from prela.insight.accounting import Books

SAMPLING_INTERVAL: Final = 0.005
"""Seconds between two looks at a loop that is sampled."""


class Watchdog:
    """The thread, and what wakes it.

    Args:
        look: Called as `look(ledger, now)` for each loop with open spans, every so often.
        interval: Returns the seconds between two looks at a ledger's loop.
    """

    def __init__(self, look: Callable[[Books, int], None], interval: Callable[[Books], float]) -> None:
        self._look = look
        self._interval = interval
        self.ledgers: dict[int, Books] = {}
        """By their `id()`."""
        self.parked: bool = False
        """Whether the thread sleeps until it is woken."""
        # Not an Event, which has a lock that a span started in a signal handler could wait for for ever: to release
        # this one waits for nothing.
        self._bell = _thread.allocate_lock()
        self._bell.acquire()
        self._begun = _thread.allocate_lock()
        self._thread: threading.Thread | None = None
        self._is_running = False
        self._stop_wanted = False

    def add(self, ledger: Books) -> None:
        """Look at this loop too, and no more at those that are gone; the thread is started if need be."""
        for known in list(self.ledgers.values()):
            if not known.is_watched():
                self.ledgers.pop(id(known), None)
        self.ledgers[id(ledger)] = ledger
        if self._is_running:
            self.wake()
            return
        self._is_running = True
        self._begun.acquire(False)
        try:
            # Not Thread.start from here, which takes locks that the code a signal handler interrupted may hold.
            _thread.start_new_thread(self._begin, ())
        except RuntimeError as error:  # no thread can be had, as at the end of the interpreter
            self._is_running = False
            log.debug("prela: no thread to watch loops with: %s", error)

    def _begin(self) -> None:
        try:
            self._thread = threading.Thread(target=self._run, name="prela-watchdog", daemon=True)
            self._thread.start()
        except Exception as error:
            log.failed("starting to watch loops", error)
        finally:
            self._begun.release()

    def wake(self) -> None:
        """A span has started. Takes no lock and waits for nothing, so it may be called anywhere."""
        self.parked = False
        try:
            self._bell.release()
        except RuntimeError:
            pass  # it rings already

    def stop(self) -> None:
        """End the thread, and wait for it."""
        self.ledgers.clear()
        if self._is_running:
            self._stop_wanted = True
            self.wake()
            if self._begun.acquire(timeout=1.0) and self._thread is not None and self._thread.is_alive():
                self._thread.join(timeout=1.0)

    def _run(self) -> None:
        try:
            while not self._stop_wanted:
                busy = [ledger for ledger in list(self.ledgers.values()) if ledger.open > 0]
                if busy:
                    self._bell.acquire(timeout=min(self._interval(ledger) for ledger in busy))
                    self._look_at(busy)
                else:
                    self._park()
        except Exception as error:
            log.failed("watching the loops", error)

    def _park(self) -> None:
        self.parked = True
        # One that started before this was said has woken nobody.
        if not any(ledger.open > 0 for ledger in list(self.ledgers.values())) and not self._stop_wanted:
            self._bell.acquire()
        self.parked = False

    def _look_at(self, busy: list[Books]) -> None:
        for ledger in busy:
            if not ledger.is_watched():
                self.ledgers.pop(id(ledger), None)
                continue
            try:
                self._look(ledger, monotonic_ns())
            except Exception as error:
                log.failed("looking at a loop", error)
