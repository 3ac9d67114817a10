"""Who waited for whom, as links on the span that waited: what `prela.store.analysis` works the critical path out from.

The links are not subject to the limit for links, but bounded here: what a program links itself keeps its room.
"""

from typing import Any, Final

from prela.core.span import Span
from prela.core.span_context import Link
from prela.core.stand_in import current_or_none
from prela.record import causality

WAITS: Final = 64
"""How many waits a span tells in links of ours; a group tells of the last of its children to end."""
_LINK_BYTES: Final = 256
_PULLS: Final = 64
"""How many waits one pull tells."""


def waiting_span() -> Span | None:
    """The span on which a wait that begins here is to be told; None where none records."""
    span = current_or_none()
    return span if span is not None and span.is_recording else None


def time_of(span: Span) -> int:
    """Now, in nanoseconds since the Unix epoch, by the clock that a span's own times are taken from."""
    trace = span._trace
    clock = trace.clock
    return clock() + trace.epoch


def has_room(waiter: Span) -> bool:
    """Whether another wait may be told on this span."""
    return waiter._details is None or len(waiter._details.links) < WAITS


def add_join(waiter: Span, target: Span, since: int, until: int) -> None:
    """Tell that `waiter` waited from `since` to `until` for the end of `target`; nothing if that had not ended."""
    if not target.is_recording:
        _add(waiter, target, causality.JOIN, {causality.WAIT_START: since, causality.WAIT_END: until})


def add_signal(waiter: Span, target: Span, since: int, until: int) -> None:
    """Tell that `waiter` waited from `since` to `until` for something that `target` did then."""
    _add(waiter, target, causality.SIGNAL, {causality.WAIT_START: since, causality.WAIT_END: until})


def _add(waiter: Span, target: Span, kind: str, attributes: dict[str, Any]) -> None:
    attributes[causality.LINK_KIND] = kind
    if waiter.is_recording and target._is_started and target is not waiter:
        details = waiter._ensure_details()
        details.links.append(Link(target.context, attributes))
        details.size += _LINK_BYTES


class Pulls:
    """The waits of one span for the next item of another, told in one link that grows.

    When they are too many, those that follow each other most closely are told as one.
    """

    __slots__ = ("_attributes", "_closed", "_gap", "_times", "waiter")

    def __init__(self, waiter: Span, target: Span) -> None:
        self.waiter: Span = waiter
        self._times: list[int] = []
        self._gap = 0
        self._closed = 0
        self._attributes: dict[str, Any] = {causality.PULL_TIMES: self._times}
        _add(waiter, target, causality.PULL, self._attributes)  # which grow there, too

    def add(self, since: int, until: int) -> None:
        """Tell of another wait; nothing once the waiting span has ended."""
        if not self.waiter.is_recording:
            return
        self._append(since, until)
        while len(self._times) > 2 * _PULLS:
            self._gap = max(1_000, 4 * self._gap)
            times = self._times.copy()
            self._times.clear()
            for begin, end in zip(times[::2], times[1::2], strict=True):
                self._append(begin, end)
        if self._closed:
            self._attributes[causality.PULL_CLOSED] = self._closed / 1e9

    def _append(self, since: int, until: int) -> None:
        times = self._times
        if times and since - times[-1] <= self._gap:
            self._closed += max(0, since - times[-1])
            times[-1] = max(until, times[-1])
        else:
            times += (since, until)
