"""When to speak of losses: one line as they begin, one total when they have ended."""

from collections.abc import Mapping
from time import monotonic


def spans_were(count: int) -> str:
    """So many spans, as the beginning of a sentence."""
    return "1 span was" if count == 1 else f"{count} spans were"


class Outage:
    """Told the totals of what was dropped from time to time, it says what is worth saying.

    An outage begins with the first drop after a quiet time, and ends at the first look after which there was no new one
    for so many seconds.
    """

    __slots__ = ("_begun", "_last", "_quiet", "_reported", "_seen")

    def __init__(self, quiet: float = 0.0) -> None:
        self._quiet = quiet
        self._last = 0.0
        self._seen: dict[str, int] = {}
        self._reported: dict[str, int] = {}
        self._begun = False

    def begins(self, dropped: Mapping[str, int]) -> bool:
        """Whether these totals are the first news of an outage. Call before `ended`, with the same totals."""
        news = dict(dropped) != self._seen
        first = news and not self._begun
        self._begun = self._begun or news
        if news:
            self._last = monotonic()
        return first

    def ended(self, dropped: Mapping[str, int], *, final: bool = False) -> dict[str, int]:
        """What was lost in the outage that has just ended, by reason; empty while it lasts, and while there is none.

        `final` ends it now: there will be no further look.
        """
        quiet = dict(dropped) == self._seen and monotonic() - self._last >= self._quiet
        self._seen = dict(dropped)
        if not self._begun or not (quiet or final):
            return {}
        lost = {reason: count - self._reported.get(reason, 0) for reason, count in dropped.items()}
        self._reported = dict(dropped)
        self._begun = False
        return {reason: count for reason, count in lost.items() if count}
