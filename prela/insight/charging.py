"""Stalls become events of the span that was the cause; those of code outside any span are told and counted."""

import sys
from collections.abc import Sequence
from types import FrameType
from typing import Any, Final, NamedTuple

from prela.core import log
from prela.core.current import current_span
from prela.core.stand_in import meant
from prela.core.tally import Tally
from prela.insight.accounting import Account, Books, Mark
from prela.insight.frames import own_place, stack_of
from prela.insight.sampling import SampledLedger
from prela.insight.span import WatchedSpan
from prela.insight.waiting import _context_of

STALL: Final = "prela.stall"
STALL_DURATION: Final = "prela.stall.duration"
STALL_STACK: Final = "prela.stall.stack"
STALL_SAMPLED: Final = "prela.stall.sampled"

unowned: Final = Tally()
"""Stalls by code outside any span, so far."""


class Sample(NamedTuple):
    """What a hold looked like from outside, while it lasted."""

    hold: int
    at: int
    stack: list[str]
    span: WatchedSpan | None
    """The span that was current there, where that could be seen."""

    @property
    def place(self) -> str | None:
        return self.stack[0] if self.stack else None


def take_sample(ledger: Books, hold: int, now: int, frame: FrameType | None, task: Any = None) -> None:
    """Keep what the hold in progress looks like now; `task` is that which runs, where that is known."""
    context = _context_of_step(frame) if task is None else _context_of(task)
    span = None if context is None else meant(context.get(current_span))
    ledger.sample = Sample(hold, now, stack_of(frame), span if isinstance(span, WatchedSpan) else None)


def settle_hold(ledger: Books, account: Account, hold: int, now: int) -> None:
    """A hold that was longer than the threshold is over: charge what was not charged while it lasted."""
    try:
        while True:  # once for each of several spans that are open inside each other, and held it for long enough
            mark, held = ledger.stalls.culprit(account, hold, now, ledger.threshold)
            if held <= ledger.threshold:
                break
            span = _inherited(ledger, account) if mark is None else _span_of(mark)
            _charge(ledger, account, span, hold, now, held)
        ledger.stalls.close(account, hold, now)
    except Exception as error:
        log.failed("charging a stall", error)


def settle_span(ledger: Books, mark: Mark, hold: int, now: int, span: WatchedSpan) -> None:
    """A span ends within a hold: charge it with its part of that, if that is a stall by itself."""
    found, held = ledger.stalls.culprit(mark.account, hold, now, ledger.threshold)
    if found is mark:
        _charge(ledger, mark.account, span, hold, now, held, stack_of(sys._getframe(1)))


def _charge(
    ledger: Books,
    account: Account,
    span: WatchedSpan | None,
    hold: int,
    now: int,
    held: int,
    stack: Sequence[str] = (),
) -> None:
    """Charge a span with `held` nanoseconds until now; `stack` is that of now, if the hold goes on."""
    ledger.stalls.charge(account, hold, now, held, None if span is None else span.span_id)
    sample = ledger.sample
    if isinstance(sample, Sample) and sample.hold == hold and sample.at >= now - held:
        stack = sample.stack
    if span is None:
        unowned.add()
        place = stack[0] if stack else "a place that was not seen"
        log.warn_once(
            f"stall:{place}",
            "prela: code outside any span held an event loop for %.3f s, at %s (told once for each place)",
            held / 1e9,
            place,
        )
        return
    if isinstance(span._account, Mark) and span._account.account is not account:
        span._account.charged_elsewhere += held
    if span.is_recording:
        attributes: dict[str, Any] = {STALL_DURATION: held / 1e9}
        if stack:
            attributes[STALL_STACK] = list(stack)
        if isinstance(ledger, SampledLedger):
            attributes[STALL_SAMPLED] = True
        span.add_event(STALL, attributes)


def _inherited(ledger: Books, account: Account) -> WatchedSpan | None:
    """The span that a task inherited which held the loop outside any span of its own."""
    span: Any = ledger.sample.span if isinstance(ledger.sample, Sample) else None
    if span is None and not isinstance(ledger, SampledLedger):  # the step is at its end just now
        task = ledger.current or (None if account.task is None else account.task())
        context = _context_of_step(sys._getframe(1)) if task is None else _context_of(task)
        span = None if context is None else meant(context.get(current_span))
    while isinstance(span, WatchedSpan) and isinstance(span._account, Mark) and span._account.account is account:
        span = span._parent  # too short for all of it, or it would have been charged already
    return span if isinstance(span, WatchedSpan) else None


def _span_of(mark: Mark) -> WatchedSpan | None:
    span = None if mark.span is None else mark.span()
    return span if isinstance(span, WatchedSpan) else None


def _context_of_step(frame: FrameType | None) -> Any:
    module = sys.modules.get("prela.insight.asyncio")
    return None if module is None else module.context_of_step(frame)


def place_here() -> str | None:
    """The line of the program's own that called us."""
    return own_place(sys._getframe(1))
