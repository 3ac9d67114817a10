"""Loops whose steps nobody tells of (uvloop, Python 3.11, others): looked at from outside, a hundred times a second.

Each look says which task runs and in which step, and what the loop's thread has used of its processor. Two looks at
one and the same step are exact. Between others the processor's time is shared by those that were seen, and half of it
is kept as not sure; so is all that was used while nobody was seen to run, as by steps too short for a thread that must
wait for the interpreter's lock. A span has an answer only where that is little beside its duration.
"""

import _thread
import sys
import time
from time import monotonic_ns
from typing import Any, Final

from prela.insight.accounting import Account, Books, Mark, Spent

FEWEST_LOOKS: Final = 5
_TOLERATED: Final = 10
"""The part of a span's duration that may be unsure is 1 in this many."""
_HOLE: Final = 25_000_000
"""Nanoseconds between two looks from which too much may have been overlooked, as on a machine that is overloaded."""


class SampledLedger(Books):
    """A loop that is looked at. Two threads may look at once: the second of them then sees nothing.

    Args:
        threshold: Nanoseconds from which a hold is a stall.
        thread: The identity of the loop's thread.
        on_hold: Called as `on_hold(ledger, account, hold, now)` when a hold is over that was a stall.
    """

    __slots__ = (
        "_clock",
        "_last",
        "_lock",
        "_on_hold",
        "held",
        "held_since",
        "held_until",
        "looks",
        "missed",
        "ping",
    )

    open: int
    sample: Any

    def __init__(self, threshold: int, thread: int, on_hold: Any) -> None:
        super().__init__(threshold, thread)
        self.missed: int = 0
        """Processor time used while no task was seen to run."""
        self.looks: int = 0
        self.ping: object = None
        """What was left in the loop to tell one step from the next."""
        self.held: Account | None = None
        """Whoever runs the step that was seen last."""
        self.held_since: int = 0
        self.held_until: int = 0
        self._last: tuple[Account | None, object, int, int] = (None, None, 0, 0)
        self._lock = _thread.allocate_lock()
        self._on_hold = on_hold
        self._clock = _processor_clock(thread)

    def look(self, account: Account | None, step: object) -> bool:
        """Someone looks; `step` is equal in two looks only if no step began or ended in between."""
        if self._clock is None or not self._lock.acquire(False):  # a signal handler may have come between
            return False
        try:
            now = monotonic_ns()
            self.observe(account, step, now, time.clock_gettime_ns(self._clock))
        except OSError:
            return False  # the thread has ended
        finally:
            self._lock.release()
        return True

    def observe(self, account: Account | None, step: object, now: int, cpu: int) -> None:
        """`look`, with the times given: the arithmetic."""
        before, last_step, at, cpu_before = self._last
        self._last = (account, step, now, cpu)
        if account is not None and account is before and step == last_step:
            account.run += now - at
            self.held_until = now
            return
        used = min(max(0, cpu - cpu_before), now - at) if at else 0
        if account is None:
            self.held_until += used
        self._release()
        # Next to nothing else can have used the processor after the loop was seen to be idle, or before.
        since = now - used if before is None else now
        self.held, self.held_since, self.held_until = account, since, now
        seen = {id(a): a for a in (before, account) if a is not None}
        if at and now - at > _HOLE:
            self.missed += now - at  # anybody may have run meanwhile, and waited for a processor as well
        elif not seen:
            self.missed += used
        for shared in seen.values():
            shared.run += used // len(seen)
            shared.unsure += used // 2

    def _release(self) -> None:
        account = self.held
        if account is not None and self.held_until - self.held_since > self.threshold:
            self._on_hold(self, account, self.held_since, self.held_until)
        self.sample = None

    def start(self, account: Account, now: int, span: Any = None) -> Mark:
        """A span starts in the task that runs now, and that was looked at just now."""
        mark = Mark(self, account, now, account.run, span)
        mark.missed = self.missed
        mark.looks = self.looks
        mark.step = self.held_since
        self.open += 1
        return mark

    def finish(self, mark: Mark, now: int, running: Account | None) -> Spent | None:
        """The span of the mark ends, in this account's task, which was looked at just now."""
        self.open -= 1
        mark.remove()
        account = mark.account
        if running is not account or self._clock is None:
            return None
        within_one_step = self.held is account and self.held_since == mark.step
        if account is self.loose and not within_one_step:
            return None
        duration = now - mark.start
        unsure = account.unsure - mark.unsure + self.missed - mark.missed
        if not within_one_step and (self.looks - mark.looks < FEWEST_LOOKS or unsure * _TOLERATED > duration):
            return None
        run = duration if within_one_step else min(duration, account.run - mark.run)
        exposed, culprits = self.stalls.exposure(mark)
        wait = duration - run
        return Spent(run, None, wait, None, None, min(exposed, wait), culprits, is_sampled=True)


def _processor_clock(thread: int) -> int | None:
    clock_of = getattr(time, "pthread_getcpuclockid", None)
    if clock_of is None or not hasattr(time, "clock_gettime_ns"):
        return None
    try:
        return int(clock_of(thread))
    except (OSError, OverflowError, ValueError):
        return None


def frame_of(thread: int) -> Any:
    """The innermost frame of a thread, now."""
    return sys._current_frames().get(thread)
