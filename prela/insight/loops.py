"""Which loop runs here, how it is watched, and what spans are told of their time.

asyncio's own loops (from 3.12) and trio's runs tell of each step; every other loop is looked at from outside; a thread
without a loop has a clock of its own. What cannot be known of a span is left out.
"""

import os
import sys
from threading import RLock, get_ident
from time import monotonic_ns, thread_time_ns
from typing import Any, Final, NamedTuple
from weakref import ref

from prela.insight.accounting import PLACED_FROM, Account, Books, Ledger, Mark, Spent
from prela.insight.accounts import account_of, accounts
from prela.insight.charging import place_here, settle_hold, settle_span, take_sample
from prela.insight.leaks import LEAKED
from prela.insight.sampling import SampledLedger, frame_of
from prela.insight.span import WatchedSpan
from prela.insight.watchdog import SAMPLING_INTERVAL, Watchdog

RUN: Final = "prela.time.run"
READY: Final = "prela.time.ready"
WAIT: Final = "prela.time.wait"
SAMPLED: Final = "prela.time.sampled"
LONGEST_STEP: Final = "prela.time.longest_step"
LONGEST_STEP_PLACE: Final = "prela.time.longest_step.place"
VICTIM_OF: Final = "prela.stall.victim_of"
EXPOSED: Final = "prela.stall.exposed"


class ThreadMark(NamedTuple):
    """What a span notes that starts in a thread which runs no loop."""

    thread: int
    cpu: int
    start: int


class Watching:
    """All that is watched in this process."""

    def __init__(self) -> None:
        self._monitor: Any = None
        self._monitor_lock = RLock()
        """Held for a moment when a loop's first span starts, and by `detach`; a signal handler may come in between."""
        self._watchdog = Watchdog(_look, _interval)

    # --- spans ------------------------------------------------------------------------------------------------------

    def started(self, span: WatchedSpan, threshold: float) -> "Mark | ThreadMark | None":
        """What the span is to keep until its end. Spans of a clock that is not the real one have no answer."""
        if span._trace.clock is not monotonic_ns:
            return None
        found = self._here(threshold)
        if found is None:
            return None
        ledger, task = found
        if ledger is None:
            return None if "gevent" in sys.modules else ThreadMark(get_ident(), thread_time_ns(), monotonic_ns())
        account = ledger.loose if task is None else account_of(task, ledger.threshold)
        mark = _start(ledger, account, task, span)
        if self._watchdog.parked:
            self._watchdog.wake()
        return mark

    def ended(self, span: WatchedSpan) -> None:
        """Record where the time of the span went."""
        mark = span._account
        try:
            if isinstance(mark, Mark):
                self._end_in_loop(span, mark)  # meanwhile a stall may still be charged to it
            elif isinstance(mark, ThreadMark):
                self._end_in_thread(span, mark)
        finally:
            span._account = None

    def _end_in_thread(self, span: WatchedSpan, mark: ThreadMark) -> None:
        if mark.thread == get_ident() and self._here(None) == _THREAD and LEAKED not in span._attributes:
            duration = monotonic_ns() - mark.start
            run = min(duration, thread_time_ns() - mark.cpu)
            span.set_attribute(RUN, run / 1e9)
            span.set_attribute(WAIT, (duration - run) / 1e9)

    def _end_in_loop(self, span: WatchedSpan, mark: Mark) -> None:
        ledger = mark.ledger
        found = self._here(None)
        running = None
        if found is not None and found[0] is ledger and ledger.loop() is not None:
            task = found[1]
            running = ledger.loose if task is None else accounts.get(id(task))
            if isinstance(ledger, SampledLedger):
                ledger.look(running, _step_of(ledger, task, sys._getframe(0)))
        spent = _finish(ledger, mark, monotonic_ns(), running, span)
        if spent is not None and LEAKED not in span._attributes:  # when it was over, nobody knows
            _record(span, spent)

    # --- loops ------------------------------------------------------------------------------------------------------

    def attach(self, threshold: float) -> None:
        """Watch the loop that is running here, if it is not watched yet."""
        self._here(threshold)

    def _here(self, threshold: float | None) -> "tuple[Books | None, Any] | None":
        """The ledger of the loop that runs here, made unless `threshold` is None, and the task.

        `_THREAD` where no loop runs; None where one does that is not watched, or nobody knows which one it is.
        """
        events = sys.modules.get("asyncio.events")
        loop = None if events is None else events._get_running_loop()
        trio = _trio() if "trio" in sys.modules else None
        if loop is None:
            return _THREAD if trio is None else self._in_trio(trio, threshold)
        on_asyncio = _on_asyncio or _import_asyncio()
        task = on_asyncio.current_task(loop)
        if trio is not None:
            return None if task is not None else self._in_trio(trio, threshold)
        ledger = on_asyncio.here.ledger
        if ledger is None or ledger.loop() is not loop:
            if threshold is None:
                return None
            ledger = self._watch_asyncio(loop, on_asyncio, int(threshold * 1e9))
        return ledger, task

    def _watch_asyncio(self, loop: Any, on_asyncio: Any, threshold: int) -> Books:
        watchdog = self._watchdog  # before anything else: see `detach`
        with self._monitor_lock:
            if self._monitor is None:
                self._monitor = on_asyncio.Monitor()
            sees_steps = self._monitor.start(on_asyncio.runs_steps_of(loop))
        ledger: Books
        if sees_steps:
            ledger = Ledger(threshold, get_ident(), settle_hold, on_asyncio.locate)
        else:
            ledger = SampledLedger(threshold, get_ident(), settle_hold)
        ledger.loop = ref(loop)
        on_asyncio.here.ledger = ledger
        on_asyncio.here.exact = ledger if isinstance(ledger, Ledger) else None
        self._add(watchdog, ledger)
        return ledger

    def _in_trio(self, trio: Any, threshold: float | None) -> "tuple[Books | None, Any] | None":
        ledger = trio.here.ledger
        if ledger is None or ledger.loop() is None:
            if threshold is None:
                return None
            watchdog = self._watchdog
            ledger = Ledger(int(threshold * 1e9), get_ident(), settle_hold, trio.locate)
            trio.watch(ledger)
            self._add(watchdog, ledger)
        return ledger, trio.current_task()

    def _add(self, watchdog: Watchdog, ledger: Books) -> None:
        """Have a loop looked at; what was known of it before, as from another thread, is closed."""
        for known in list(watchdog.ledgers.values()):
            if known.loop() is ledger.loop():
                known.close()
        watchdog.add(ledger)
        if self._watchdog is not watchdog:
            ledger.close()  # `detach` came in between, and may not have seen it: the next span begins anew

    def detach(self) -> None:
        """Watch nothing any more. Spans that are open now have no answer.

        Loops in other threads go on meanwhile, and may begin to be watched again at any moment. So the steps are no
        longer seen first, then whoever begins does so with the next watchdog, and then what the last one has is closed:
        whoever had taken that one before closes his ledger himself (`_add`).
        """
        with self._monitor_lock:
            if self._monitor is not None:
                self._monitor.stop()
        before, self._watchdog = self._watchdog, Watchdog(_look, _interval)
        for ledger in list(before.ledgers.values()):
            ledger.close()
        before.stop()
        accounts.clear()

    def forget(self) -> None:
        """After a fork, in the child: the thread is gone, and no span of the parent's ends here."""
        self._monitor_lock = RLock()
        for ledger in self._watchdog.ledgers.values():
            ledger.close()
        self._watchdog = Watchdog(_look, _interval)
        if self._monitor is not None:
            self._monitor.stop()
        accounts.clear()


_THREAD: Final = (None, None)


_on_asyncio: Any = None
_on_trio: Any = None


def _import_asyncio() -> Any:
    """What knows asyncio, which this program has imported already."""
    global _on_asyncio
    from prela.insight import asyncio

    _on_asyncio = asyncio
    return asyncio


def _trio() -> Any:
    """What knows trio, which this program has imported already, if the caller is in a task of it."""
    global _on_trio
    if _on_trio is None:
        try:
            from prela.insight import trio
        except ImportError:
            return None  # it is being imported at this moment
        _on_trio = trio
    return _on_trio if _on_trio.in_task() else None


def _start(ledger: Books, account: Account, task: Any, span: WatchedSpan) -> Mark | None:
    if isinstance(ledger, SampledLedger):
        ledger.look(account, _step_of(ledger, task, sys._getframe(1)))
        return ledger.start(account, monotonic_ns(), ref(span))
    assert isinstance(ledger, Ledger)
    now = monotonic_ns()
    return ledger.start(account, now, ref(span)) if ledger.take_up(account, now) else None


def _finish(ledger: Books, mark: Mark, now: int, running: Account | None, span: WatchedSpan) -> Spent | None:
    if isinstance(ledger, SampledLedger):
        if running is mark.account and ledger.held is running:
            settle_span(ledger, mark, ledger.held_since, now, span)
        return ledger.finish(mark, now, running)
    assert isinstance(ledger, Ledger)
    place = None
    if running is mark.account and running is ledger.account and ledger.begin:
        hold = ledger.hold or ledger.begin
        if now - max(ledger.begin, mark.start) > PLACED_FROM:
            place = place_here()
        if now - hold > ledger.threshold:
            settle_span(ledger, mark, hold, now, span)
    return ledger.finish(mark, now, running, place)


def _record(span: WatchedSpan, spent: Spent) -> None:
    span.set_attribute(RUN, spent.run / 1e9)
    if spent.ready is not None:
        span.set_attribute(READY, spent.ready / 1e9)
    span.set_attribute(WAIT, spent.wait / 1e9)
    if spent.is_sampled:
        span.set_attribute(SAMPLED, True)
    if spent.longest is not None:
        span.set_attribute(LONGEST_STEP, spent.longest / 1e9)
        if spent.place is not None:
            span.set_attribute(LONGEST_STEP_PLACE, spent.place)
    if spent.exposed:
        span.set_attribute(EXPOSED, spent.exposed / 1e9)
        if spent.culprits:
            span.set_attribute(VICTIM_OF, spent.culprits)


def _interval(ledger: Books) -> float:
    return SAMPLING_INTERVAL if isinstance(ledger, SampledLedger) else min(0.25, ledger.threshold / 4e9)


def _look(ledger: Books, now: int) -> None:
    """What the watchdog does for each loop."""
    task = None
    if isinstance(ledger, SampledLedger):
        task = _look_from_outside(ledger)
        hold = ledger.held_since if ledger.held is not None else 0
    elif isinstance(ledger, Ledger):
        hold = ledger.begin and (ledger.hold or ledger.begin)
    else:
        return
    if hold and now - hold > ledger.threshold // 2:
        sample = ledger.sample
        if sample is None or sample.hold != hold or now - sample.at > ledger.threshold:
            take_sample(ledger, hold, now, frame_of(ledger.thread), task)


def _look_from_outside(ledger: SampledLedger) -> Any:
    """Look at a loop, and return the task that runs."""
    loop: Any = ledger.loop()
    task = _on_asyncio.current_task(loop)
    step = _step_of(ledger, task, frame_of(ledger.thread))
    if task is None:
        account = ledger.loose if _on_asyncio.is_step(step) else None
    else:
        account = accounts.get(id(task), ledger.loose)
    ledger.looks += 1
    ledger.look(account, step)
    return task


def _step_of(ledger: SampledLedger, task: Any, frame: Any) -> object:
    """What is the same for as long as one step of the loop lasts."""
    step: object = _on_asyncio.step_of(ledger, task, frame)
    return step


watching: Final = Watching()

if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=lambda: watching.forget())
