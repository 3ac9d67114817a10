"""Traces made by hand, for the tests of what reads them; and made at random, with every defect a file may hold."""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from hypothesis import strategies as st

from prela.record.model import SpanLink, SpanRecord
from prela.record.tree import Node, forest

MS = 1_000_000
START = 1_700_000_000_000_000_000
TRACE_ID = "0" * 31 + "1"


class Draft(NamedTuple):
    """A span that is not a record yet."""

    name: str
    start: float
    end: float | None
    fields: dict[str, Any]
    below: "tuple[Draft, ...]"


def span(name: str, start: float, end: float | None, *below: Draft, **fields: Any) -> Draft:
    """A span from `start` to `end` in milliseconds, and those below it; without an end it is pending."""
    return Draft(name, start, end, fields, below)


def cancelled(name: str, start: float, end: float, *below: Draft, cause: str | None = None) -> Draft:
    attributes = {} if cause is None else {"prela.cancel.cause": cause}
    return span(name, start, end, *below, status="cancelled", attributes=attributes)


def at(milliseconds: float) -> int:
    return START + round(milliseconds * MS)


def record(name: str = "span", **fields: Any) -> SpanRecord:
    defaults: dict[str, Any] = {
        "trace_id": TRACE_ID,
        "span_id": "0" * 15 + "1",
        "parent_span_id": None,
        "span_type": "custom",
        "status": "success",
        "status_message": None,
        "start_time_unix_nano": START,
        "end_time_unix_nano": START,
        "attributes": {},
        "events": (),
        "links": (),
        "service_name": "service",
        "resource": {},
    }
    return SpanRecord(name=name, **{**defaults, **fields})


def records_of(*drafts: Draft) -> list[SpanRecord]:
    """The drafts and all below as records; their ids are 1, 2, ... depth first."""
    return list(_records(drafts))


def _records(drafts: Sequence[Draft]) -> Iterator[SpanRecord]:
    pending: list[tuple[str | None, Draft]] = [(None, draft) for draft in reversed(drafts)]
    number = 0
    while pending:
        parent, draft = pending.pop()
        number += 1
        span_id = f"{number:016x}"
        times = {
            "start_time_unix_nano": at(draft.start),
            "end_time_unix_nano": None if draft.end is None else at(draft.end),
        }
        status = {"status": "pending"} if draft.end is None else {}
        fields = {"span_id": span_id, "parent_span_id": parent, **times, **status, **draft.fields}
        yield record(draft.name, **fields)
        pending.extend((span_id, child) for child in reversed(draft.below))


def tree(*drafts: Draft) -> list[Node]:
    """The roots that `forest` makes of the drafts."""
    return forest(records_of(*drafts))


def join(number: int, *, end: float, start: float | None = None) -> SpanLink:
    """A recorded wait for the span of that number in `records_of`, over at `end` milliseconds."""
    began = {} if start is None else {"prela.join.start_time_unix_nano": at(start)}
    attributes = {"prela.link.kind": "join", "prela.join.end_time_unix_nano": at(end), **began}
    return SpanLink(trace_id=TRACE_ID, span_id=f"{number:016x}", attributes=attributes)


def link(number: int, kind: str, **attributes: Any) -> SpanLink:
    """A link of this kind to the span of that number in `records_of`."""
    attributes = {f"prela.{key.replace('_', '.', 1)}": value for key, value in attributes.items()}
    return SpanLink(trace_id=TRACE_ID, span_id=f"{number:016x}", attributes={"prela.link.kind": kind, **attributes})


def signal(number: int, *, start: float, end: float) -> SpanLink:
    """A recorded wait for something that the span of that number did at `end` milliseconds."""
    return link(number, "signal", join_start_time_unix_nano=at(start), join_end_time_unix_nano=at(end))


def pull(number: int, *times: float, closed: float | None = None) -> SpanLink:
    """Recorded waits for items of the span of that number: from, to, from, to, in milliseconds."""
    told = {} if closed is None else {"pull_closed": closed}
    return link(number, "pull", pull_times_unix_nano=[at(time) for time in times], **told)


def chain(depth: int) -> list[SpanRecord]:
    """One span inside the other, each a nanosecond shorter on either side."""
    return [
        record(
            "deep",
            span_id=f"{i + 1:016x}",
            parent_span_id=f"{i:016x}" if i else None,
            start_time_unix_nano=START + i,
            end_time_unix_nano=START + 2 * depth - i,
        )
        for i in range(depth)
    ]


# --- at random ------------------------------------------------------------------------------------------------------

_SOME = st.integers(0, 12)
_LINKS = st.lists(st.tuples(_SOME, _SOME, st.none() | _SOME), max_size=2)


@st.composite
def any_records(draw: st.DrawFn, *, plain: bool = False) -> list[SpanRecord]:
    """Up to a dozen spans of a few nanoseconds: overlapping, outliving, skewed, pending, orphaned, in several roots.

    With `plain` all have succeeded, and nothing but their times says who waited for whom.
    """
    found = []
    for number in range(1, draw(st.integers(1, 12)) + 1):
        start, length = draw(_SOME), draw(st.integers(-1, 12))
        parent = draw(st.integers(0, number - 1)) or draw(st.sampled_from([None, 99]))
        fields: dict[str, Any] = {}
        if not plain:
            fields = {
                "status": draw(st.sampled_from(["success", "success", "error", "cancelled"])),
                "kind": draw(st.sampled_from(["internal", "client", "server"])),
                "span_type": draw(st.sampled_from(["custom", "llm"])),
                "attributes": draw(
                    st.sampled_from(
                        [
                            {},
                            {"prela.task.id": 1, "prela.task.name": "one"},
                            {"prela.task.id": 2},
                            {"prela.task.joined_by": f"{1:016x}"},
                            {"prela.task.group": f"{1:016x}"},
                            {"prela.cancel.cause": "deadline"},
                            {"prela.cancel.cause": "sibling_failed"},
                        ]
                    )
                ),
                "service_name": draw(st.sampled_from(["service", "other"])),
                "links": [
                    SpanLink(
                        trace_id=TRACE_ID,
                        span_id=f"{target:016x}",
                        attributes={
                            "prela.link.kind": draw(st.sampled_from(["join", "join", "signal", "pull", "spawn"])),
                            "prela.pull.times_unix_nano": [START + (began or 0), START + end],
                            "prela.join.end_time_unix_nano": START + end,
                            **({} if began is None else {"prela.join.start_time_unix_nano": START + began}),
                        },
                    )
                    for target, end, began in draw(_LINKS)
                ],
            }
        ended = {"end_time_unix_nano": START + start + length}
        if not plain and draw(st.integers(0, 5)) == 0:
            ended = {"end_time_unix_nano": None, "status": "pending"}  # type: ignore[dict-item]
        found.append(
            record(
                draw(st.sampled_from("abc")),
                **{
                    "span_id": f"{number:016x}",
                    "parent_span_id": f"{parent:016x}" if parent else None,
                    "start_time_unix_nano": START + start,
                    **fields,
                    **ended,
                },
            )
        )
    return found


@st.composite
def orderly_records(draw: st.DrawFn) -> list[SpanRecord]:
    """A trace of one root in which every span lies within its parent and behind its siblings."""
    length = draw(st.integers(0, 60))
    found = [record("root", span_id=f"{1:016x}", end_time_unix_nano=START + length)]
    room = [(1, 0, length)]  # parent, and what is still free of it
    for number in range(2, draw(st.integers(0, 15)) + 2):
        place = draw(st.integers(0, len(room) - 1))
        parent, begin, end = room.pop(place)
        first = draw(st.integers(begin, end))
        last = draw(st.integers(first, end))
        found.append(
            record(
                draw(st.sampled_from("abc")),
                span_id=f"{number:016x}",
                parent_span_id=f"{parent:016x}",
                start_time_unix_nano=START + first,
                end_time_unix_nano=START + last,
            )
        )
        room += [(parent, begin, first), (number, first, last), (parent, last, end)]
    return found
