"""Who held a loop, and who lost by it: the arithmetic. Times are given, in integer nanoseconds.

A *hold* is the time from the beginning of one step of a loop to its end, known by its beginning. A hold that is longer
than the threshold is a stall, and charged to the innermost span that was open for so long of it; what an inner span
was charged with is not charged to an outer one again. Every span of other tasks was exposed to it. Nobody is told at
the time: a span asks at its own end what has happened since its start, so a stall costs the same with one victim or
ten thousand.
"""

from collections import deque
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from prela.insight.accounting import Account, Mark

MOST_CULPRITS: Final = 8
"""Culprits that one span names at most."""
_REMEMBERED: Final = 64
"""Stalls of one loop that are remembered one by one. Older ones still count for the exposure."""


class Stall(NamedTuple):
    """A stall that was charged."""

    number: int
    began: int
    ended: int
    account: "Account"
    """The task that held the loop."""
    span_id: str | None
    """The culprit; None where the loop was held by code outside any span."""


class StallBook:
    """The stalls of one loop."""

    __slots__ = ("_hold", "_in_hold", "count", "recent", "total")

    def __init__(self) -> None:
        self.count: int = 0
        self.total: int = 0
        """Nanoseconds charged so far, to whomever."""
        self.recent: deque[Stall] = deque(maxlen=_REMEMBERED)
        self._hold = -1
        self._in_hold = 0

    def charged_in(self, hold: int) -> int:
        """Nanoseconds charged so far of the hold that began then."""
        return self._in_hold if self._hold == hold else 0

    def held_by(self, mark: "Mark", hold: int, now: int) -> int:
        """For how much of the hold the span of this mark has been open, less what was charged meanwhile."""
        if mark.start <= hold:
            return now - hold - self.charged_in(hold)
        return now - mark.start - (self.total - mark.stalled)

    def culprit(self, account: "Account", hold: int, now: int, threshold: int) -> "tuple[Mark | None, int]":
        """The innermost open span of this task that held the loop for longer than the threshold, and for how long.

        None where none did: then for how long the whole hold is not charged to anybody.
        """
        mark = account.tail
        while mark is not None:
            held = self.held_by(mark, hold, now)
            if held > threshold:
                return mark, held
            mark = mark.previous
        return None, now - hold - self.charged_in(hold)

    def charge(self, account: "Account", hold: int, now: int, held: int, span_id: str | None) -> None:
        """Enter a stall of `held` nanoseconds until now, in the hold that began at `hold`."""
        self._hold, self._in_hold = hold, self.charged_in(hold) + held
        self.count += 1
        self.total += held
        account.charged += held
        self.recent.append(Stall(self.count, now - held, now, account, span_id))

    def close(self, account: "Account", hold: int, now: int) -> None:
        """The hold is over, and was a stall: the others were exposed to what is too short to be charged as well."""
        rest = now - hold - self.charged_in(hold)
        self._hold, self._in_hold = hold, now - hold
        self.total += rest
        account.charged += rest

    def exposure(self, mark: "Mark") -> "tuple[int, list[str]]":
        """Nanoseconds of stalls by other tasks since the mark was made, and the ids of the culprits, as far as known.

        A span cannot have run meanwhile; how much of it the span would have run for, nobody knows.
        """
        if self.count == mark.stalls:
            return 0, []
        span = None if mark.span is None else mark.span()
        own_id = None if span is None else span.span_id
        exposed = self.total - mark.stalled - (mark.account.charged - mark.charged) - mark.charged_elsewhere
        culprits: dict[str, None] = {}
        for stall in list(self.recent):
            if stall.number <= mark.stalls or stall.account is mark.account or own_id == stall.span_id is not None:
                continue
            # Only where a task is started eagerly does a span begin during a hold of another's.
            exposed -= max(0, mark.start - stall.began)
            if stall.span_id is not None:
                culprits[stall.span_id] = None
        return max(0, exposed), list(culprits)[:MOST_CULPRITS]
