"""From ended spans to records, many at a time, and to lines: the quick way says what the slow way would."""

import math
from contextlib import ExitStack
from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st

import prela
from prela.core.convert import _known_keys, move_plain, record_of
from prela.core.settings import Limits, Settings
from prela.core.span import Span
from prela.record.jsonl import CheckedRecords, encode, encode_lines, plain_lines
from prela.record.model import SpanRecord

KEYS = st.sampled_from(["a", "b", "gen_ai.request.model", "$dollar"])
FLOATS = st.sampled_from([0.5, math.nan, math.inf, -math.inf])
PLAIN = st.integers(-(2**65), 2**65) | FLOATS | st.booleans() | st.text(max_size=5)
ODD = st.sampled_from([10**5_000, None, "x" * 200, b"\xff", [1]])
VALUES = PLAIN | PLAIN | ODD
SPANS = st.tuples(st.integers(0, 3), st.dictionaries(KEYS | st.text(max_size=5), VALUES, max_size=2), st.booleans())
RESOURCES = st.just({"service.name": "test"}) | st.sampled_from([{"host.ip": ["10.0.0.1"]}, {"id": b"\x01"}])


def ended(described: list[tuple[int, dict[str, Any], bool]], resource: dict[str, Any]) -> list[Span]:
    """Spans that have ended: each at a depth, with these attributes, and with an event or without."""
    settings = Settings(service_name="test", resource=resource)
    tracer = prela.Tracer(settings)
    for depth, attributes, has_event in described:
        with ExitStack() as above:
            for _ in range(depth):
                above.enter_context(tracer.span("above"))
            for _ in range(2):
                with tracer.span("span", attributes=attributes) as span:
                    if has_event:
                        span.add_event("event", {"n": 1})
    return settings.buffer.take(1_000)[0]


def moved(spans: list[Span]) -> CheckedRecords:
    """Records as the worker makes them."""
    spans.reverse()
    records = CheckedRecords()
    while spans:
        if not move_plain(spans, records, 16):
            records.append_unplain(record_of(spans.pop()))
    return records


@given(st.lists(SPANS, max_size=40), RESOURCES)
def test_many_records_at_a_time_are_what_each_would_be_alone(
    described: list[tuple[int, dict[str, Any], bool]], resource: dict[str, Any]
) -> None:
    spans = ended(described, resource)
    seen = [
        (span.name, span.trace_id, span.span_id, span.parent_span_id, span.start_time_ns, span.end_time_ns)
        for span in spans
    ]
    attributes = [dict(span.attributes) for span in spans]
    records = moved(list(spans))
    assert seen == [
        (r.name, r.trace_id, r.span_id, r.parent_span_id, r.start_time_unix_nano, r.end_time_unix_nano) for r in records
    ]
    for record, given_attributes in zip(records, attributes, strict=True):
        for key, value in given_attributes.items():
            recorded = record.attributes[key]
            assert recorded == value or value != value or value == 10**5_000
        assert record.attributes.get("a") != 10**5_000
    assert {event.name for record in records for event in record.events} <= {"event"}
    for place, record in enumerate(records):
        if place not in records.unplain and is_encodable(record):
            assert msgspec.json.encode(record) + b"\n" == encode(record)
    lines = b"".join(plain_lines(records, n, n + 1) or encode(records[n]) for n in range(len(records)))
    assert lines == encode_lines(list(records))


def is_encodable(record: SpanRecord) -> bool:
    try:
        return bool(msgspec.json.encode(record))
    except UnicodeEncodeError:
        return False


def test_common_spans_are_known_to_be_plain_once_their_keys_are() -> None:
    described: Any = [(0, {"number": 1, "text": "hello", "share": 0.5, "is": True}, False)] * 10
    moved(ended(described, {"service.name": "test"}))
    records = moved(ended(described, {"service.name": "test"}))
    assert len(records) == 20
    assert not records.unplain


def test_a_text_that_a_higher_limit_let_in_is_whole_though_its_key_was_never_seen_and_a_number_must_be_mended() -> None:
    _known_keys.clear()
    settings = Settings(limits=Limits(string_length=200_000))
    with prela.Tracer(settings).span("span") as span:
        span.set_attribute("long", "x" * 150_000)
        span.set_attribute("digits", 10**5_000)
    (record,) = moved(settings.buffer.take(1)[0])
    assert record.attributes["long"] == "x" * 150_000
    assert "bits" in record.attributes["digits"]


def test_a_span_that_is_set_slowly_and_its_record_share_nothing_that_a_late_thread_could_write_to() -> None:
    settings = Settings()
    with prela.Tracer(settings).span("span") as span:
        span.set_attribute("long", [1])
    late = span._attributes  # what a thread has that weighs a value while the span ends
    (record,) = moved(settings.buffer.take(1)[0])
    late["late"] = 1
    assert record.attributes == {"long": [1]}
