"""What there is to say of a span: why it took so long, how it ended. Sentences, with the spans they lead to. Pure."""

from collections.abc import Iterator, Sequence
from typing import Any, Final, NamedTuple

from prela.record import facts
from prela.record.model import SpanRecord
from prela.record.text import Pending, format_duration, one_line, pending_note

_CAUSES: Final = {
    "deadline": "because a deadline had passed",
    "explicit": "because it was told to stop",
    "sibling_failed": "because a sibling had failed",
    "shutdown": "because the program was ending",
    "disconnect": "because the client had gone",
    "unknown": "and nothing says why",
}
LINKS: Final = {
    "join": "waited for the end of",
    "signal": "waited for a signal of",
    "pull": "took items from",
    "spawn": "was started by",
}
"""Kinds of links, `prela.link.kind`, and what a span that has one did."""
_QUEUED_FROM: Final = 0.005
"""Seconds that a call waited for a thread from which it is worth telling: any thread takes some time to take one up."""
_LONGEST: Final = 300
"""Characters of a text that a trace has."""


class Remark(NamedTuple):
    """One sentence about a span, without its subject, which is the span."""

    kind: str
    """open, interrupted, pending, cancelled, group, leaked, stall, victim, step, waiting; or the kind of a link."""
    text: str
    spans: tuple[str, ...] = ()
    """Ids of the spans that the sentence ends in; mostly of the same trace."""
    detail: str = ""
    """For those who ask: a stack, of several lines."""


def remarks(
    record: SpanRecord,
    *,
    victims: Sequence[str] = (),
    deadline_in: str | None = None,
    pending: Pending | None = None,
    now: int = 0,
) -> list[Remark]:
    """Everything there is to say of a span.

    Args:
        victims: The ids of the spans that say that this one held them up.
        deadline_in: The id of the span inside which the deadline was set that cancelled this one, as the trace shows,
            for a record that does not say so itself.
        pending: What is known of a span that has not ended; None to say nothing of that.
        now: For its age; nanoseconds since the Unix epoch.
    """
    return [
        *_state(record, pending, now),
        *_cancellation(record, deadline_in),
        *_failures(record),
        *_leak(record),
        *_stalls(record, victims),
        *_step(record),
        *_wait(record),
        *_queued(record),
        *_links(record),
    ]


def _state(record: SpanRecord, pending: Pending | None, now: int) -> Iterator[Remark]:
    if record.status == "pending" and pending is not None:
        yield Remark(pending.state or "pending", pending_note(record, pending, now))


def _cancellation(record: SpanRecord, deadline_in: str | None) -> Iterator[Remark]:
    if record.status != "cancelled":
        return
    get = record.attributes.get
    cause = _text(get("prela.cancel.cause")) or "unknown"
    told = f"was cancelled {_CAUSES.get(cause, f'({cause})')}"
    told += f" ({reason})" if (reason := _text(get("prela.cancel.reason"))) else ""
    by, span = _text(get("prela.cancel.by")), facts.ids(get("prela.cancel.by_span"))
    told += f", by {by}{' in' if span else ''}" if by else ", by" if span else ""
    yield Remark("cancelled", told, span)
    if scope := facts.ids(get("prela.cancel.scope_span")):
        yield Remark("cancelled", "the deadline had been set in", scope)
    elif named := _text(get("prela.cancel.scope")):
        yield Remark("cancelled", f"the deadline had been set in {named}")
    elif deadline_in is not None:
        yield Remark("cancelled", "the deadline had been set in", (deadline_in,))


def _failures(record: SpanRecord) -> Iterator[Remark]:
    get = record.attributes.get
    if first := _text(get("prela.group.first_failure")):
        cancelled = get("prela.group.cancelled")
        told = f"{_count(cancelled, 'was', 'were')} cancelled; " if type(cancelled) is int and cancelled > 0 else ""
        if span := facts.ids(get("prela.group.first_failure_span")):
            yield Remark("group", f"{told}the first to fail was", span)
        else:
            yield Remark("group", f"{told}{first} failed first")


def _leak(record: SpanRecord) -> Iterator[Remark]:
    if facts.is_leaked(record):
        where = _text(record.attributes.get("prela.leaked.where"))
        yield Remark("leaked", "was never ended by its program" + (f"; it was started at {where}" if where else ""))


def _stalls(record: SpanRecord, victims: Sequence[str]) -> Iterator[Remark]:
    for stall in facts.stalls(record):
        after = format_duration(max(0, stall.begin - record.start_time_unix_nano) / 1e9)
        told = f"held its event loop for {format_duration(stall.seconds)}, after {after}"
        yield Remark("stall", told, detail=stall.stack)
    if victims:
        yield Remark("stall", f"held up {_count(len(victims), 'other span', 'other spans')}:", tuple(victims))
    exposed, culprits = facts.exposed(record), facts.culprits(record)
    if exposed is not None or culprits:
        at_most = "" if exposed is None else f" for {format_duration(exposed)} at most"
        by = "by" if culprits else "while code without a span held its event loop"
        yield Remark("victim", f"was held up{at_most} {by}", culprits)


def _step(record: SpanRecord) -> Iterator[Remark]:
    get = record.attributes.get
    seconds = facts.seconds(get("prela.time.longest_step"))
    if seconds is not None:
        about = "about " if get("prela.time.sampled") is True else ""
        place = _text(get("prela.time.longest_step.place"))
        yield Remark("step", f"ran {about}{format_duration(seconds)} at one go" + (f", at {place}" if place else ""))


def _wait(record: SpanRecord) -> Iterator[Remark]:
    if facts.is_wait(record):
        get = record.attributes.get
        name, ahead = _text(get("prela.wait.name")), get("prela.wait.ahead")
        told = f"waited for the {_text(get('prela.wait.for'))}" + (f" {name}" if name else "")
        told += f", behind {_count(ahead, 'other', 'others')}" if type(ahead) is int and ahead > 0 else ""
        holders = facts.ids(get("prela.wait.held_by"))
        yield Remark("waiting", told + (", held by" if holders else ""), holders)


def _queued(record: SpanRecord) -> Iterator[Remark]:
    queued = facts.seconds(record.attributes.get("prela.time.queued"))
    if queued is not None and queued >= _QUEUED_FROM:
        yield Remark("waiting", f"waited {format_duration(queued)} until a thread took it up")


def _links(record: SpanRecord) -> Iterator[Remark]:
    for kind, told in LINKS.items():
        found = [link.span_id for link in record.links if link.attributes.get("prela.link.kind") == kind]
        if found:
            yield Remark(kind, told, facts.ids(found))


def _count(number: int, one: str, many: str) -> str:
    return f"{number:,} {one if number == 1 else many}"


def _text(value: Any) -> str:
    return one_line(value, _LONGEST) if isinstance(value, str) else ""
