"""One trace as columns: what a page draws a waterfall from, the n-th entry of each about the n-th span. Pure.

Points in time are integer nanoseconds since the trace's `begin`, the earliest start of its spans; so a page can
reckon with them, which it could not with those since the Unix epoch.
"""

from collections.abc import Container, Sequence
from typing import Any, Final, NamedTuple

import msgspec

from prela.record import facts
from prela.record.flat import FlatForest, flatten
from prela.record.model import SpanRecord
from prela.record.text import INTERRUPTED, note, one_line
from prela.record.tree import forest
from prela.store.analysis import Segment, critical_path, idle_gaps, profile
from prela.store.analysis.deadlines import set_inside
from prela.store.analysis.self_time import self_nanoseconds
from prela.store.store import TraceSummary

MOST_MARKS: Final = 2_000
"""Events that are told of."""
MOST_GAPS: Final = 200
"""Idle gaps that are told of: the longest."""
_LONGEST_WORD: Final = 1_000
"""Characters of a name, as far as a row shows it."""
_TIMES: Final = {"run": "prela.time.run", "ready": "prela.time.ready", "wait": "prela.time.wait"}
"""Columns, and the attributes that tell them, in seconds."""
_FIRST_CHUNK: Final = "gen_ai.response.time_to_first_chunk"
_encoder: Final = msgspec.json.Encoder()


class Neighbours(NamedTuple):
    """What stands around a span."""

    children: list[str]
    before: str | None
    """The sibling that started before it."""
    after: str | None
    self_ns: int
    links_from: list[dict[str, str]]
    """The spans of the same trace that link to it, and by what kind of link."""
    victims: list[str]
    """The spans of the same trace that it has held up."""
    deadline_in: str | None
    """The span inside which the deadline was set that cancelled it."""


class Timeline:
    """A trace that has been worked out.

    Args:
        summary: Of the trace.
        records: Of its spans; at least one.
        interrupted: The ids of those that never ended, and whose program is over.
    """

    def __init__(
        self, summary: TraceSummary, records: Sequence[SpanRecord], interrupted: Container[str] = frozenset()
    ) -> None:
        flat = flatten(forest(records))
        self._ids = [record.span_id for record in flat.records]
        self._numbers = {span_id: i for i, span_id in enumerate(self._ids)}
        self._parents, self._children, self._roots = flat.parents, flat.children, flat.roots
        self._self = self_nanoseconds(flat)
        self._links_from = _links_from(flat)
        self._victims = _victims(flat)
        self._set_inside = set_inside(flat)
        begin, end = min(flat.starts), max(flat.ends)
        path, running = critical_path(flat), profile(flat)
        columns, words = _columns(flat, begin, self._self, interrupted)
        marks, is_cut = _marks(flat, begin)
        self.encoded: bytes = _encoder.encode(
            {
                "trace_id": summary.trace_id,
                "name": summary.name,
                "service": summary.service,
                "begin": str(begin),
                "duration_ns": end - begin,
                "spans": len(records),
                "errors": summary.errors,
                "cancelled": summary.cancelled,
                "open": summary.open,
                "interrupted": sum(record.span_id in interrupted for record in flat.records),
                "input_tokens": summary.input_tokens,
                "output_tokens": summary.output_tokens,
                "cost": summary.cost,
                **words,
                "columns": columns,
                "notes": {str(i): text for i, record in enumerate(flat.records) if (text := note(record))},
                "stalls": _stalls(flat, begin),
                "victims": self._victims_by_place(),
                "waiting": [i for i, record in enumerate(flat.records) if facts.is_wait(record)],
                "marks": marks,
                "marks_cut": is_cut,
                "critical": {
                    "is_exact": path.basis == "joins",
                    "basis": path.basis,
                    "segments": [self._segment(segment, begin) for segment in path.segments],
                },
                "concurrency": {
                    "steps": [(step.time_unix_nano - begin, step.running) for step in running.steps],
                    "peak": running.peak,
                    "average": running.average,
                    "serial_share": running.serial_share,
                },
                "idle": [
                    (gap.start_time_unix_nano - begin, gap.end_time_unix_nano - begin)
                    for gap in idle_gaps(flat)[:MOST_GAPS]
                ],
                "first_chunk": {
                    str(i): ns
                    for i, record in enumerate(flat.records)
                    if (ns := _nanoseconds(record.attributes.get(_FIRST_CHUNK))) is not None
                },
            }
        )
        """The answer about the trace, as JSON."""

    def around(self, span_id: str) -> Neighbours:
        """What stands around a span.

        Raises:
            LookupError: It is not in the trace.
        """
        number = self._numbers[span_id]
        parent = self._parents[number]
        siblings = self._roots if parent < 0 else self._children[parent]
        at = siblings.index(number)
        return Neighbours(
            children=[self._ids[child] for child in self._children[number]],
            before=self._ids[siblings[at - 1]] if at else None,
            after=self._ids[siblings[at + 1]] if at + 1 < len(siblings) else None,
            self_ns=self._self[number],
            links_from=self._links_from.get(span_id, []),
            victims=self._victims.get(span_id, []),
            deadline_in=self._set_inside.get(span_id),
        )

    def _victims_by_place(self) -> dict[str, list[int]]:
        """The spans that were held up, each with those of the trace that held the event loop meanwhile."""
        found: dict[str, list[int]] = {}
        for culprit, victims in self._victims.items():
            if culprit in self._numbers:
                for victim in victims:
                    found.setdefault(str(self._numbers[victim]), []).append(self._numbers[culprit])
        return found

    def _segment(self, segment: Segment, begin: int) -> tuple[int, int, int]:
        number = -1 if segment.record is None else self._numbers[segment.record.span_id]
        return number, segment.start_time_unix_nano - begin, segment.end_time_unix_nano - begin


class _Words:
    """Gives each word a number, the first time it comes."""

    def __init__(self) -> None:
        self._numbers: dict[str, int] = {}

    def number(self, word: str) -> int:
        return self._numbers.setdefault(word, len(self._numbers))

    @property
    def table(self) -> list[str]:
        return [one_line(word, _LONGEST_WORD) for word in self._numbers]


def _columns(
    flat: FlatForest, begin: int, own: list[int], interrupted: Container[str]
) -> tuple[dict[str, Any], dict[str, list[str]]]:
    """The columns, and the tables of words that some of them point into."""
    tables = {"names": _Words(), "types": _Words(), "statuses": _Words(), "services": _Words()}
    names, types, statuses, services = tables.values()
    records = flat.records
    columns: dict[str, Any] = {
        "span_id": [record.span_id for record in records],
        "parent": flat.parents,
        "depth": flat.depths,
        "name": [names.number(record.name) for record in records],
        "type": [types.number(record.span_type) for record in records],
        "status": [
            statuses.number(
                INTERRUPTED if record.status == "pending" and record.span_id in interrupted else record.status
            )
            for record in records
        ],
        "service": [services.number(record.service_name) for record in records],
        "start": [start - begin for start in flat.starts],
        "end": [end - begin for end in flat.ends],
        "self": own,
    }
    for name, attribute in _TIMES.items():
        is_told = any(attribute in record.attributes for record in records)
        columns[name] = [_nanoseconds(record.attributes.get(attribute)) for record in records] if is_told else None
    return columns, {name: words.table for name, words in tables.items()}


def _nanoseconds(seconds: object) -> int | None:
    """A duration that an attribute tells; None for what is none."""
    found = facts.seconds(seconds)
    return None if found is None else round(found * 1e9)


def _marks(flat: FlatForest, begin: int) -> tuple[dict[str, list[tuple[int, str]]], bool]:
    """The events of the spans, as many as a page is told of; and whether there are more."""
    found: dict[str, list[tuple[int, str]]] = {}
    left = MOST_MARKS
    for i, record in enumerate(flat.records):
        if record.events:
            marks = sorted((_within(e.time_unix_nano - begin), e.name) for e in record.events if e.name != facts.STALL)
            if left and marks:
                found[str(i)] = [(offset, one_line(name)) for offset, name in marks[:left]]
            left -= len(marks[:left]) if len(marks) <= left else left + 1
            if left < 0:
                return found, True
    return found, False


def _within(offset: int) -> int:
    """Within what a page can reckon with, whatever a damaged line holds."""
    return min(max(offset, -(1 << 53)), 1 << 53)


def _stalls(flat: FlatForest, begin: int) -> dict[str, list[tuple[int, int]]]:
    """When spans held their event loops: begin and end, by the span's place."""
    found: dict[str, list[tuple[int, int]]] = {}
    left = MOST_MARKS
    for i, record in enumerate(flat.records):
        if record.events and left > 0 and (stalls := facts.stalls(record)[:left]):
            left -= len(stalls)
            found[str(i)] = [(_within(stall.begin - begin), _within(stall.end - begin)) for stall in stalls]
    return found


def _victims(flat: FlatForest) -> dict[str, list[str]]:
    """The spans that were held up, by the ids of those that held the event loop meanwhile."""
    found: dict[str, list[str]] = {}
    for record in flat.records:
        for culprit in facts.culprits(record):
            found.setdefault(culprit, []).append(record.span_id)
    return found


def _links_from(flat: FlatForest) -> dict[str, list[dict[str, str]]]:
    found: dict[str, list[dict[str, str]]] = {}
    for record in flat.records:
        for link in record.links:
            if link.trace_id == record.trace_id:
                kind = link.attributes.get("prela.link.kind")
                origin = {
                    "trace_id": record.trace_id,
                    "span_id": record.span_id,
                    "name": one_line(record.name),
                    "kind": kind if isinstance(kind, str) else "",
                }
                found.setdefault(link.span_id, []).append(origin)
    return found
