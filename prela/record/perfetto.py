"""Records as a trace for ui.perfetto.dev and chrome://tracing, in the Trace Event Format (Google, "Trace Event Format",
2016), which both read.

A process for each service and resource; in it a track for each task or thread that a span names, or that its parent
runs in. Events of one track must nest there: what overlaps, with no task to tell it apart, is put on further *lanes* of
the track. Times are microseconds since the first start, which `otherData` holds.
"""

import math
from collections.abc import Iterable, Iterator
from heapq import heappop, heappush
from typing import Any, Final, NamedTuple

import msgspec

from prela.record.flat import FlatForest, flatten
from prela.record.model import SpanLink, SpanRecord
from prela.record.tree import forest
from prela.record.values import attributes_to_json

_COLOURS: Final = {"error": "terrible", "cancelled": "grey", "pending": "yellow"}
"""Names that chrome://tracing has colours for; Perfetto chooses its own."""

_THREADS: Final = (("prela.task.id", "prela.task.name"), ("thread.id", "thread.name"))
"""Attributes that tell tracks apart, each with the one that names the track."""

Event = dict[str, Any]


class Spot(NamedTuple):
    """Where a span is drawn: numbers of a process and of a track in it."""

    pid: int
    tid: int


def encode_trace(records: Iterable[SpanRecord], *, now: int | None = None) -> bytes:
    """Return records, of one trace or many, as a JSON document that Perfetto opens.

    Args:
        records: One for each span; see `prela.record.jsonl.latest`.
        now: When pending spans are taken to end, in nanoseconds since the Unix epoch; by default the latest moment in
            the records.
    """
    return msgspec.json.encode(trace_document(records, now=now))


def trace_document(records: Iterable[SpanRecord], *, now: int | None = None) -> dict[str, Any]:
    """Return what `encode_trace` encodes."""
    spans = flatten(forest(records), now)
    origin = min(spans.starts, default=0)
    layout = _Layout(spans)
    events = [*layout.names(), *_events(spans, layout.spots, origin)]
    return {
        "traceEvents": events,
        "displayTimeUnit": "ms",
        "otherData": {"origin_time_unix_nano": str(origin), "written_by": "prela"},
    }


# --- events ---------------------------------------------------------------------------------------------------------


def _events(spans: FlatForest, spots: list[Spot], origin: int) -> Iterator[Event]:
    """Those of each span together, parents before children: a reader sorts by time and keeps this order in ties."""
    flows = _flows(spans, spots, origin)
    for i, record in enumerate(spans.records):
        yield _slice(record, spots[i], spans.starts[i] - origin, spans.ends[i] - spans.starts[i])
        yield from flows.get(i, ())
        for event in record.events:
            yield {
                "ph": "i",
                "s": "t",
                "name": _text(event.name),
                "cat": "event",
                **spots[i]._asdict(),
                "ts": _microseconds(event.time_unix_nano - origin),
                "args": attributes_to_json(event.attributes),
            }


def _slice(record: SpanRecord, spot: Spot, start: int, duration: int) -> Event:
    args: dict[str, Any] = {
        "status": record.status,
        "trace_id": record.trace_id,
        "span_id": record.span_id,
        "parent_span_id": record.parent_span_id,
        "kind": record.kind,
    }
    if record.status_message is not None:
        args["status_message"] = _text(record.status_message)
    if record.attributes:
        args["attributes"] = attributes_to_json(record.attributes)
    event = {
        "ph": "X",
        "name": _text(record.name),
        "cat": _text(record.span_type),
        **spot._asdict(),
        "ts": _microseconds(start),
        "dur": _microseconds(duration),
        "args": args,
    }
    if record.status in _COLOURS:
        event["cname"] = _COLOURS[record.status]
    return event


def _flows(spans: FlatForest, spots: list[Spot], origin: int) -> dict[int, list[Event]]:
    """An arrow for each link between two spans that are there, from the one that started first.

    Each end is bound to the slice that its track is in when it comes: so it stands directly behind that slice.
    """
    numbers = {(record.trace_id, record.span_id): i for i, record in enumerate(spans.records)}
    links = [
        (i, link, numbers[key])
        for i, record in enumerate(spans.records)
        for link in record.links
        if (key := (link.trace_id, link.span_id)) in numbers and numbers[key] != i
    ]
    found: dict[int, list[Event]] = {}
    for number, (holder, link, target) in enumerate(links):
        ends = sorted((target, holder), key=lambda i: (spans.starts[i], i))
        for phase, i in zip(("s", "f"), ends, strict=True):
            event = {
                "ph": phase,
                "id": number + 1,
                "name": _link_name(link),
                "cat": "link",
                **spots[i]._asdict(),
                "ts": _microseconds(spans.starts[i] - origin),
            }
            found.setdefault(i, []).append(event | ({"bp": "e"} if phase == "f" else {}))
    return found


def _link_name(link: SpanLink) -> str:
    kind = link.attributes.get("prela.link.kind")
    return _text(kind) if isinstance(kind, str) else "link"


def _microseconds(nanoseconds: int) -> float:
    """Microseconds from which both rounding and truncating readers get the same nanoseconds back."""
    value = nanoseconds / 1000
    return value if int(value * 1000) == nanoseconds else math.nextafter(value, math.copysign(math.inf, nanoseconds))


def _text(text: str) -> str:
    return text.encode(errors="backslashreplace").decode()


# --- tracks ---------------------------------------------------------------------------------------------------------


class _Lane:
    """One track as it is filled, in the order of time: the spans that are open on it, the outermost first."""

    __slots__ = ("number", "open")

    def __init__(self, number: int) -> None:
        self.number = number
        self.open: list[int] = []


class _Track:
    """A task, a thread, or the spans below a root that names neither: one lane, and more where spans overlap."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.lanes: list[_Lane] = []
        self._free: list[int] = []
        self._busy: list[tuple[int, int]] = []

    def place(self, span: int, above: _Lane | None, spans: FlatForest, sizes: list[int]) -> _Lane:
        """Put a span on a lane: below what it is part of if that is where it nests, else on the first that is free."""
        lane = above if above is not None and self._nests(span, above, spans, sizes) else self._free_lane(span, spans)
        if not lane.open:
            heappush(self._busy, (spans.ends[span], lane.number))
        lane.open.append(span)
        return lane

    @staticmethod
    def _nests(span: int, lane: _Lane, spans: FlatForest, sizes: list[int]) -> bool:
        _close(lane, spans, spans.starts[span])
        if not lane.open:
            return True
        top = lane.open[-1]
        return top < span < top + sizes[top] and spans.ends[span] <= spans.ends[top]

    def _free_lane(self, span: int, spans: FlatForest) -> _Lane:
        """The first lane on which nothing is open. One that was filled meanwhile is busy again, and passed over."""
        start = spans.starts[span]
        while self._busy and self._busy[0][0] <= start:
            heappush(self._free, heappop(self._busy)[1])
        while self._free:
            lane = self.lanes[heappop(self._free)]
            _close(lane, spans, start)
            if not lane.open:
                return lane
        self.lanes.append(_Lane(len(self.lanes)))
        return self.lanes[-1]


def _close(lane: _Lane, spans: FlatForest, time: int) -> None:
    while lane.open and spans.ends[lane.open[-1]] <= time:
        lane.open.pop()


class _Layout:
    """Says on which track each span is drawn."""

    def __init__(self, spans: FlatForest) -> None:
        self._processes: dict[tuple[str, bytes], int] = {}
        self._services: list[str] = []
        self._tracks: dict[tuple[int, object], _Track] = {}
        self._tids: dict[tuple[int, object, int], int] = {}
        self.spots: list[Spot] = [Spot(0, 0)] * len(spans.records)
        self._lay_out(spans)

    def names(self) -> Iterator[Event]:
        """Metadata events: what processes and tracks are called, and in which order they are shown."""
        for number, service in enumerate(self._services, 1):
            yield {"ph": "M", "name": "process_name", "pid": number, "tid": 0, "args": {"name": service}}
            yield {"ph": "M", "name": "process_sort_index", "pid": number, "tid": 0, "args": {"sort_index": number}}
        for (pid, key, lane), tid in self._tids.items():
            name = self._tracks[pid, key].name + (f" ({lane + 1})" if lane else "")
            yield {"ph": "M", "name": "thread_name", "pid": pid, "tid": tid, "args": {"name": name}}
            yield {"ph": "M", "name": "thread_sort_index", "pid": pid, "tid": tid, "args": {"sort_index": tid}}

    def _lay_out(self, spans: FlatForest) -> None:
        keys = self._keys(spans)
        sizes = spans.sizes()
        lanes: list[_Lane | None] = [None] * len(keys)
        in_time = sorted(range(len(keys)), key=lambda i: (spans.starts[i], -spans.ends[i], i))
        for i in in_time:
            parent = spans.parents[i]
            above = lanes[parent] if parent >= 0 and keys[parent] == keys[i] else None
            lanes[i] = self._tracks[keys[i]].place(i, above, spans, sizes)
        for i, key in enumerate(keys):  # numbered depth first, so that tracks stand below the one that started them
            lane = lanes[i]
            assert lane is not None
            tid = self._tids.setdefault((*key, lane.number), len(self._tids) + 1)
            self.spots[i] = Spot(key[0], tid)

    def _keys(self, spans: FlatForest) -> list[tuple[int, object]]:
        """The process and track of each span: its own task or thread, else its parent's in the same process."""
        found: list[tuple[int, object]] = []
        for i, record in enumerate(spans.records):
            pid = self._process(record)
            parent = spans.parents[i]
            own = _thread(record)
            if own is not None:
                key: tuple[int, object] = (pid, own[:2])
            elif parent >= 0 and found[parent][0] == pid:
                key = found[parent]
            else:
                key = (pid, i)
            if key not in self._tracks:
                self._tracks[key] = _Track(_text(own[2] if own else record.name))
            found.append(key)
        return found

    def _process(self, record: SpanRecord) -> int:
        key = (record.service_name, msgspec.json.encode(attributes_to_json(record.resource), order="sorted"))
        if key not in self._processes:
            self._services.append(_text(record.service_name))
            self._processes[key] = len(self._services)
        return self._processes[key]


def _thread(record: SpanRecord) -> tuple[str, str, str] | None:
    """The kind, number and name of the task or thread that a span names."""
    for number, name in _THREADS:
        if number in record.attributes:
            value = str(record.attributes[number])
            label = str(record.attributes.get(name) or "")
            return number, f"{value} {label}", label or f"{number.split('.')[-2]} {value}"
    return None
