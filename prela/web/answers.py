"""What the store tells, as the objects of the HTTP answers; `docs/web.md` lists them. Plain functions."""

import time
from collections.abc import Iterable
from typing import Any, Final

import msgspec

from prela.record import jsonl
from prela.record.model import SpanRecord
from prela.record.remarks import Remark, remarks
from prela.record.text import Pending
from prela.store.analysis import Change, Comparison
from prela.store.series import Series
from prela.store.store import Total, TraceSummary
from prela.web.reading import State
from prela.web.timeline import Neighbours

_LARGEST: Final = (1 << 53) - 1
"""Up to which every integer is a number of JavaScript."""
MOST_LED_TO: Final = 100
"""Spans that one remark leads to; how many more there are is told."""
MOST_CHANGES: Final = 1_000
"""Of a comparison; what contributed most comes first."""


def status(state: State, folder: str, version: str, *, receives: bool) -> dict[str, Any]:
    """The answer of /api/status."""
    progress = state.indexing
    return {
        "folder": folder,
        "version": version,
        **state.counts._asdict(),
        "notice": state.notice,
        "indexing": progress and {"read": progress.done, "total": progress.total, "spans": progress.spans},
        "receives": receives,
    }


def trace(summary: TraceSummary, interrupted: int = 0) -> dict[str, Any]:
    """One trace, as a list shows it; of its open spans so many are of programs that are over."""
    return {**summary._asdict(), "interrupted": interrupted, "start": str(summary.start)}


def found_span(record: SpanRecord) -> dict[str, Any]:
    """One span, as a search shows it."""
    return {
        "trace_id": record.trace_id,
        "span_id": record.span_id,
        "name": record.name,
        "span_type": record.span_type,
        "status": record.status,
        "status_message": record.status_message,
        "service": record.service_name,
        "start": str(record.start_time_unix_nano),
        "duration": record.duration,
    }


def span(record: SpanRecord, around: Neighbours, pending: Pending | None) -> dict[str, Any]:
    """The answer about one span: all of its record, and what there is to say of it."""
    found = remarks(record, victims=around.victims, deadline_in=around.deadline_in, pending=pending, now=time.time_ns())
    line = msgspec.json.decode(jsonl.encode(record))
    line["start_time_unix_nano"] = str(record.start_time_unix_nano)
    line["end_time_unix_nano"] = None if record.end_time_unix_nano is None else str(record.end_time_unix_nano)
    for event, written in zip(record.events, line["events"], strict=True):
        written["time_unix_nano"] = str(event.time_unix_nano)
    return {
        "record": _with_whole_numbers(line),
        "children": around.children,
        "self_ns": around.self_ns,
        "siblings": [around.before, around.after],
        "remarks": [_remark(remark) for remark in found],
        "links_from": around.links_from,
    }


def _remark(remark: Remark) -> dict[str, Any]:
    kind, text, spans, detail = remark
    return {
        "kind": kind,
        "text": text,
        "spans": list(spans[:MOST_LED_TO]),
        "more": max(0, len(spans) - MOST_LED_TO),
        "detail": detail,
    }


def _with_whole_numbers(value: Any) -> Any:
    """Tag the integers that JavaScript would round, as the record tags those beyond 64 bits."""
    if isinstance(value, dict):
        return {name: _with_whole_numbers(item) for name, item in value.items()}
    if isinstance(value, list):
        return [_with_whole_numbers(item) for item in value]
    if type(value) is int and abs(value) > _LARGEST:
        return {"$int": str(value)}
    return value


def totals(found: Iterable[Total]) -> dict[str, Any]:
    """The answer of /api/stats."""
    return {"totals": [total._asdict() for total in found]}


def series(found: Series) -> dict[str, Any]:
    """The answer of /api/series: columns, as charts want them."""
    buckets = found.buckets
    return {
        "bucket_seconds": found.length / 1e9,
        "times": [bucket.start / 1e9 for bucket in buckets],
        "first": [None if bucket.first is None else str(bucket.first) for bucket in buckets],
        "spans": [bucket.spans for bucket in buckets],
        "errors": [bucket.errors for bucket in buckets],
        "cancelled": [bucket.cancelled for bucket in buckets],
        "p50": [bucket.p50 for bucket in buckets],
        "p95": [bucket.p95 for bucket in buckets],
        "p99": [bucket.p99 for bucket in buckets],
        "cost": [bucket.cost or 0.0 for bucket in buckets],
        "tokens": [bucket.input_tokens + bucket.output_tokens for bucket in buckets],
    }


def comparison(before: TraceSummary, after: TraceSummary, found: Comparison) -> dict[str, Any]:
    """The answer of /api/compare."""
    return {
        "before": trace(before),
        "after": trace(after),
        "before_s": found.before,
        "after_s": found.after,
        "changes": [_change(change) for change in found.changes[:MOST_CHANGES]],
        "cut": len(found.changes) > MOST_CHANGES,
    }


def _change(change: Change) -> dict[str, Any]:
    before, after = change.before, change.after
    return {
        "kind": change.kind,
        "where": change.place.path,
        "change": change.change,
        "self_change": change.self_change,
        "before": before.duration if before.records else None,
        "after": after.duration if after.records else None,
        "spans_before": len(before.records),
        "spans_after": len(after.records),
        "span_before": _longest(before.records),
        "span_after": _longest(after.records),
    }


def _longest(records: Iterable[SpanRecord]) -> str | None:
    """The span to look at, where there may be several."""
    record = max(records, key=lambda found: found.duration or 0.0, default=None)
    return None if record is None else record.span_id
