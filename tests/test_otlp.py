"""OTLP and the record: nothing is lost on the way there, on the way back, or on the way through."""

import json
import math
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import pytest
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans as official_encode
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.trace.v1.trace_pb2 import ScopeSpans
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import Link, SpanContext, SpanKind, StatusCode, TraceFlags

from prela.record import jsonl
from prela.record.model import SpanEvent, SpanLink, SpanRecord
from prela.record.otlp import Records, as_json, as_protobuf, grouped, meaning, request_of, span_of, wire
from prela.record.otlp.wire import encode_plain
from tests.traces import START, record

ENCODINGS = pytest.mark.parametrize("encoding", [as_protobuf, as_json], ids=["protobuf", "json"])
ATTRIBUTE = "key"
AT_ITS_PACE: dict[str, Any] = {"deadline": None, "suppress_health_check": [HealthCheck.too_slow]}
"""Drawing ten of these records takes a fifth of a second alone, and beside other programs more than the second that
hypothesis allows."""


def encoded(encoding: ModuleType, records: list[SpanRecord], *, piece: int = 16, cancelled_as: str = "unset") -> bytes:
    """A request, made in pieces."""
    groups = []
    for group in grouped(records):
        scopes = []
        for scope in group.scopes:
            parts = [scope.records[i : i + piece] for i in range(0, len(scope.records), piece)]
            made = [encoding.encode_spans(part, cancelled_as) for part in parts]
            assert not any(refused for _, refused in made)
            scopes.append([data for data, _ in made])
        groups.append((group, scopes))
    found: bytes = encoding.encode_request(groups)
    return found


def decoded(encoding: ModuleType, body: bytes) -> list[SpanRecord]:
    records = Records(encoding.decode_request(body))
    found = list(records)
    assert not records.refused, records.reason
    return found


def there_and_back(encoding: ModuleType, *records: SpanRecord, **options: Any) -> list[SpanRecord]:
    return decoded(encoding, encoded(encoding, list(records), **options))


def attributes_sent(found: SpanRecord) -> dict[str, Any]:
    return {pair["key"]: pair["value"] for pair in span_of(found)["attributes"]}


# --- record, OTLP, record -------------------------------------------------------------------------------------------

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
OURS = [meaning.STATUS, meaning.SPAN_TYPE, meaning.ADDED, meaning.KEPT]
NAMES = TEXT | st.sampled_from(["$int", "$json", "$dict", *OURS, meaning.OPERATION, meaning.OPENINFERENCE_KIND])
ATOMS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(-(2**70), 2**70)
    | st.floats()
    | TEXT
    | st.binary(max_size=8)
    | st.sampled_from(["chat", "execute_tool", "LLM", "CHAIN"])
)
VALUES = st.recursive(
    ATOMS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3), max_leaves=8
)
ATTRIBUTES = st.dictionaries(NAMES, VALUES, max_size=4)
TIMES = st.integers(1, 2**63 - 1)


def ids(digits: int) -> st.SearchStrategy[str]:
    return st.integers(1, 16**digits - 1).map(lambda number: f"{number:0{digits}x}")


EVENTS = st.builds(SpanEvent, name=TEXT, time_unix_nano=TIMES, attributes=ATTRIBUTES)
LINKS = st.builds(SpanLink, trace_id=ids(32), span_id=ids(16), attributes=ATTRIBUTES, trace_state=TEXT)


@st.composite
def records_of_ours(draw: st.DrawFn) -> SpanRecord:
    """Any record that a program of ours can write."""
    end = draw(st.none() | TIMES)
    statuses = ["success", "error", "cancelled", "another"] if end else ["pending", "error"]
    service = draw(TEXT.filter(bool))
    return SpanRecord(
        trace_id=draw(ids(32)),
        span_id=draw(ids(16)),
        parent_span_id=draw(st.none() | ids(16)),
        name=draw(TEXT),
        span_type=draw(st.sampled_from(["agent", "llm", "tool", "retrieval", "embedding", "custom"]) | TEXT),
        status=draw(st.sampled_from(statuses)),
        status_message=draw(st.none() | TEXT),
        start_time_unix_nano=draw(TIMES),
        end_time_unix_nano=end,
        attributes=draw(ATTRIBUTES),
        events=tuple(draw(st.lists(EVENTS, max_size=2))),
        links=tuple(draw(st.lists(LINKS, max_size=2))),
        service_name=service,
        resource=draw(
            st.sampled_from([{}, {"service.name": service}, {"service.name": "another"}]).flatmap(
                lambda fixed: ATTRIBUTES.map(lambda more: {**more, **fixed})
            )
        ),
        kind=draw(st.sampled_from(["internal", "server", "client", "producer", "consumer", "another"])),
        flags=draw(st.integers(0, 2**32 - 1)),
        trace_state=draw(TEXT),
        scope=draw(st.sampled_from([{}, {"name": "a", "version": "1", "attributes": {"k": [1]}}])),
        dropped=draw(st.sampled_from([{}, {"attributes": 3}, {"events": 1, "links": 2}])),
    )


def same(left: SpanRecord, right: SpanRecord) -> bool:
    """Equal, with nan equal to itself and the order of attributes of no account."""
    return json.loads(jsonl.encode(left)) == json.loads(jsonl.encode(right))


@ENCODINGS
@settings(max_examples=60, **AT_ITS_PACE)
@given(records=st.lists(records_of_ours(), max_size=4))
def test_a_record_that_went_to_otlp_comes_back_as_it_was(encoding: ModuleType, records: list[SpanRecord]) -> None:
    found = {(r.trace_id, r.span_id): r for r in there_and_back(encoding, *records, piece=2)}
    for wanted in {(r.trace_id, r.span_id): r for r in records}.values():
        assert same(found[wanted.trace_id, wanted.span_id], wanted)


@ENCODINGS
@settings(max_examples=40, **AT_ITS_PACE)
@given(record=records_of_ours())
def test_a_cancelled_span_that_went_out_as_an_error_comes_back_cancelled(
    encoding: ModuleType, record: SpanRecord
) -> None:
    (found,) = there_and_back(encoding, record, cancelled_as="error")
    assert same(found, record)


@ENCODINGS
def test_values_keep_their_types(encoding: ModuleType) -> None:
    values = {
        "true": True,
        "one": 1,
        "float one": 1.0,
        "nothing": None,
        "bytes": b"\x00\xff",
        "text": "é🎉\x00",
        "least": -(2**63),
        "beyond": 2**63,
        "far beyond": -(10**100),
        "infinity": -math.inf,
        "empty list": [],
        "empty map": {},
        "nested": [1, "a", None, [2.5, {"k": [True]}]],
        "like a tag": {"$int": "5"},
        "like a tag in a list": [{"$bytes": "aGk="}],
    }
    (found,) = there_and_back(encoding, record(attributes=values))
    assert found.attributes == values
    assert {key: type(value) for key, value in found.attributes.items()} == {
        key: type(value) for key, value in values.items()
    }


@ENCODINGS
@pytest.mark.parametrize("of", [list, dict])
def test_values_as_deep_as_a_span_may_hold_are_read_by_others_and_come_back(encoding: ModuleType, of: type) -> None:
    value: Any = b"leaf"
    for _ in range(64):
        value = [value] if of is list else {ATTRIBUTE: value}
    deep = record(events=(SpanEvent(name="e", time_unix_nano=1, attributes={ATTRIBUTE: value}),))
    body = encoded(encoding, [deep])
    if encoding is as_protobuf:
        ExportTraceServiceRequest.FromString(body)  # whose limit is 100 messages
    assert decoded(encoding, body) == [deep]


@ENCODINGS
def test_lone_surrogates_become_escapes_and_cost_nothing_else(encoding: ModuleType) -> None:
    broken = record("a\ud800b", attributes={"k\udfff": ["\ud800"]}, resource={"r": "\ud800"}, service_name="s\ud800")
    (found, other) = there_and_back(encoding, broken, record("other"))
    assert (found.name, found.attributes, found.service_name) == ("a\\ud800b", {"k\\udfff": ["\\ud800"]}, "s\\ud800")
    assert other.name == "other"


@ENCODINGS
def test_a_record_whose_id_is_none_is_refused_and_costs_only_itself(encoding: ModuleType) -> None:
    data, refused = encoding.encode_spans([record("bad", span_id="xyz"), record("good")])
    assert refused == 1
    (group,) = grouped([record("good")])
    (found,) = decoded(encoding, encoding.encode_request([(group, [[data]])]))
    assert found.name == "good"


# --- what it looks like to others -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "code", "mark"), [("success", None, None), ("cancelled", None, "cancelled"), ("error", 2, None)]
)
def test_only_an_error_is_an_error_to_others(status: str, code: int | None, mark: str | None) -> None:
    found = record(status=status)
    assert span_of(found).get("status", {}).get("code") == code
    assert attributes_sent(found).get("prela.status", {}).get("string_value") == mark


def test_a_cancelled_span_is_an_error_to_others_where_that_is_wanted() -> None:
    assert span_of(record(status="cancelled"), "error")["status"]["code"] == 2
    assert "status" not in span_of(record(), "error")


@pytest.mark.parametrize(
    ("span_type", "hints"),
    [
        ("agent", {"gen_ai.operation.name": "invoke_agent", "openinference.span.kind": "AGENT"}),
        ("llm", {"openinference.span.kind": "LLM"}),
        ("tool", {"gen_ai.operation.name": "execute_tool", "openinference.span.kind": "TOOL"}),
        ("retrieval", {"gen_ai.operation.name": "retrieval", "openinference.span.kind": "RETRIEVER"}),
        ("embedding", {"gen_ai.operation.name": "embeddings", "openinference.span.kind": "EMBEDDING"}),
        ("custom", {}),
        ("planner", {"prela.span.type": "planner"}),
    ],
)
def test_a_type_is_told_in_the_conventions_words(span_type: str, hints: dict[str, str]) -> None:
    sent = attributes_sent(record(span_type=span_type))
    sent.pop(meaning.ADDED, None)
    assert sent == {name: {"string_value": word} for name, word in hints.items()}


def test_a_span_that_tells_its_type_already_is_sent_as_it_is() -> None:
    call = record(span_type="llm", attributes={"gen_ai.operation.name": "chat"})
    assert attributes_sent(call) == {"gen_ai.operation.name": {"string_value": "chat"}}


@pytest.mark.parametrize(
    ("attributes", "span_type"),
    [
        ({"gen_ai.operation.name": "text_completion"}, "llm"),
        ({"openinference.span.kind": "RETRIEVER"}, "retrieval"),
        ({"openinference.span.kind": "CHAIN"}, "custom"),
        ({"gen_ai.operation.name": "create_agent", "openinference.span.kind": "AGENT"}, "agent"),
        ({"gen_ai.operation.name": ["chat"]}, "custom"),
        ({}, "custom"),
    ],
)
def test_a_foreign_span_has_the_type_its_attributes_tell(attributes: dict[str, Any], span_type: str) -> None:
    foreign = request_of([record(attributes=attributes, span_type="any")])
    (span,) = foreign["resource_spans"][0]["scope_spans"][0]["spans"]
    span["attributes"] = [pair for pair in span["attributes"] if not pair["key"].startswith("prela.")]
    (found,) = Records(foreign)
    assert (found.span_type, found.attributes) == (span_type, attributes)


def test_spans_of_one_resource_and_scope_are_sent_together() -> None:
    one, other = {"service.name": "one"}, {"service.name": "other"}
    groups = grouped(
        [
            record("a", service_name="one", resource=one),
            record("b", service_name="other", resource=other),
            record("c", service_name="one", resource=dict(one)),
            record("d", service_name="one", resource=one, scope={"name": "library"}),
        ]
    )
    names = [[[r.name for r in scope.records] for scope in group.scopes] for group in groups]
    assert names == [[["a", "c"], ["d"]], [["b"]]]


# --- the official messages ------------------------------------------------------------------------------------------

PROFILES_ONLY = {"key_strindex", "string_value_strindex"}
"""Receivers of traces must take these for absent (opentelemetry-proto, common.proto)."""

KINDS = {
    FieldDescriptor.TYPE_STRING: "text",
    FieldDescriptor.TYPE_BOOL: "bool",
    FieldDescriptor.TYPE_DOUBLE: "double",
    FieldDescriptor.TYPE_INT64: "large",
    FieldDescriptor.TYPE_FIXED64: "large",
    FieldDescriptor.TYPE_UINT32: "number",
    FieldDescriptor.TYPE_FIXED32: "number",
    FieldDescriptor.TYPE_ENUM: "number",
}


def messages(of: Descriptor, found: dict[str, Descriptor] | None = None) -> dict[str, Descriptor]:
    """All that can stand in a message, and it itself, by name."""
    found = {} if found is None else found
    if of.name not in found:
        found[of.name] = of
        for field in of.fields:
            if field.message_type is not None:
                messages(field.message_type, found)
    return found


def test_the_table_of_json_fields_is_that_of_the_official_messages() -> None:
    for official in (ExportTraceServiceRequest, ExportTraceServiceResponse):
        for name, message in messages(official.DESCRIPTOR).items():
            fields = {field.name: field for field in message.fields if field.name not in PROFILES_ONLY}
            table = as_json.MESSAGES[name]
            assert set(table) == set(fields), name
            for field in fields.values():
                assert as_json.json_name(field.name) == field.json_name
                assert table[field.name].is_list == field.is_repeated, field.full_name
                kind = table[field.name].kind
                if field.type == FieldDescriptor.TYPE_BYTES:
                    assert kind == ("id" if field.name.endswith("_id") else "bytes")
                else:
                    assert kind == (field.message_type.name if field.message_type else KINDS[field.type])


def paths(of: Descriptor, above: tuple[str, ...] = ()) -> Iterator[tuple[FieldDescriptor, ...]]:
    """The way to every field of a message and of those in it; into values of values once only."""
    for field in of.fields:
        if field.name in PROFILES_ONLY or above.count(field.full_name) > 0:
            continue
        if field.message_type is None:
            yield (field,)
        else:
            for way in paths(field.message_type, (*above, field.full_name)):
                yield (field, *way)


SAMPLES: dict[int, list[Any]] = {
    FieldDescriptor.TYPE_STRING: ["text"],
    FieldDescriptor.TYPE_BOOL: [True],
    FieldDescriptor.TYPE_DOUBLE: [2.5],
    FieldDescriptor.TYPE_INT64: [-5, 2**63 - 1],
    FieldDescriptor.TYPE_FIXED64: [1, 2**63 - 1],
    FieldDescriptor.TYPE_UINT32: [1, 2**32 - 1],
    FieldDescriptor.TYPE_FIXED32: [1, 2**32 - 1],
    FieldDescriptor.TYPE_ENUM: [0, 1, 2, 3],
    FieldDescriptor.TYPE_BYTES: [b"\x01\x02\x03\x04\x05\x06\x07\x08"],
}


def foreign_request(way: tuple[FieldDescriptor, ...], value: Any) -> ExportTraceServiceRequest:
    """A request with one span that has its ids, and one more field."""
    request = ExportTraceServiceRequest()
    span = request.resource_spans.add().scope_spans.add().spans.add()
    span.trace_id, span.span_id, span.end_time_unix_nano = bytes(range(16)), bytes(range(1, 9)), 1
    message: Message = request
    for field in way[:-1]:
        inner = getattr(message, field.name)
        if field.is_repeated:
            inner = inner[0] if len(inner) else inner.add()
        message = inner
    last = way[-1]
    if last.full_name.endswith("Span.trace_id"):
        value = b"\x07" * 16
    if last.is_repeated:
        getattr(message, last.name).append(value)
    else:
        setattr(message, last.name, value)
    return request


def meaningful(message: Message) -> Any:
    """What a message says, an empty one inside as none, as readers of Protobuf take it; but a value is there or not."""
    if message.DESCRIPTOR.name in ("AnyValue", "ArrayValue", "KeyValueList"):
        return [
            (field.name, [meaningful(item) for item in value] if field.is_repeated else inner_of(value))
            for field, value in message.ListFields()
        ]
    found = {}
    for field, value in message.ListFields():
        if field.message_type is None:
            found[field.name] = list(value) if field.is_repeated else value
        else:
            inner = [meaningful(item) for item in value] if field.is_repeated else meaningful(value)
            if inner:
                found[field.name] = inner
    return found


def inner_of(value: Any) -> Any:
    return meaningful(value) if isinstance(value, Message) else value


@ENCODINGS
@pytest.mark.parametrize(
    "way",
    list(paths(ExportTraceServiceRequest.DESCRIPTOR)),
    ids=lambda way: ".".join(field.name for field in way[1:]),
)
def test_every_field_of_a_foreign_span_is_handed_on_through_the_file(
    encoding: ModuleType, way: tuple[FieldDescriptor, ...]
) -> None:
    for value in SAMPLES[way[-1].type]:
        request = foreign_request(way, value)
        body = request.SerializeToString()
        if encoding is as_json:
            body = as_json._encode(as_protobuf.decode_request(body), "ExportTraceServiceRequest")
        lines = [jsonl.encode(found) for found in decoded(encoding, body)]
        again = encoded(encoding, [jsonl.decode(line) for line in lines])
        if encoding is as_json:
            again = ExportTraceServiceRequest(**as_json.decode_request(again)).SerializeToString()
        assert meaningful(ExportTraceServiceRequest.FromString(again)) == meaningful(request), value


def official_spans() -> list[Any]:
    """Spans of the OpenTelemetry SDK, with everything that it can put into one."""
    kept = InMemorySpanExporter()
    provider = TracerProvider(resource=Resource.create({"service.name": "theirs", "list": ["a", "b"]}))
    provider.add_span_processor(SimpleSpanProcessor(kept))
    tracer = provider.get_tracer("library", "1.2", "https://example.com/schema", {"k": 1})
    linked = SpanContext(5, 6, is_remote=True, trace_flags=TraceFlags(1))
    attributes = {"text": "a", "int": 5, "float": 0.5, "bool": True, "list": ["a", "b"], "bytes": b"\x00"}
    with tracer.start_as_current_span("outer", kind=SpanKind.SERVER, links=[Link(linked, {"k": 2})]) as outer:
        outer.set_attributes(attributes)  # type: ignore[arg-type]
        outer.add_event("event", {"k": "v"}, timestamp=START)
        outer.set_status(StatusCode.OK)
        with tracer.start_as_current_span("inner") as inner:
            inner.set_status(StatusCode.ERROR, "because")
    provider.get_tracer("other").start_span("alone").end()
    return list(kept.get_finished_spans())


@ENCODINGS
def test_what_the_official_encoder_makes_is_handed_on_as_it_was(encoding: ModuleType) -> None:
    request = official_encode(official_spans())
    again = encoded(encoding, decoded(as_protobuf, request.SerializeToString()))
    if encoding is as_json:
        again = ExportTraceServiceRequest(**as_json.decode_request(again)).SerializeToString()
    assert meaningful(ExportTraceServiceRequest.FromString(again)) == meaningful(request)


def test_spans_of_the_official_sdk_are_records_that_say_the_same() -> None:
    inner, outer, alone = decoded(as_protobuf, official_encode(official_spans()).SerializeToString())
    assert (inner.name, inner.status, inner.status_message, inner.parent_span_id) == (
        "inner",
        "error",
        "because",
        outer.span_id,
    )
    assert (outer.status, outer.kind, outer.service_name, outer.resource["list"]) == (
        "success",
        "server",
        "theirs",
        ["a", "b"],
    )
    assert outer.attributes["list"] == ["a", "b"]
    assert outer.events == (SpanEvent(name="event", time_unix_nano=START, attributes={"k": "v"}),)
    assert (outer.links[0].trace_id, outer.links[0].span_id) == (f"{5:032x}", f"{6:016x}")
    assert outer.scope == {"name": "library", "version": "1.2", "attributes": {"k": 1}}
    assert outer.otlp["scope_spans"] == {"schema_url": "https://example.com/schema"}
    assert alone.scope == {"name": "other"}


@settings(max_examples=30, **AT_ITS_PACE)
@given(records=st.lists(records_of_ours(), min_size=1, max_size=4))
def test_our_bytes_are_those_of_the_official_messages(records: list[SpanRecord]) -> None:
    whole = ExportTraceServiceRequest(**request_of(records))
    assert ExportTraceServiceRequest.FromString(encoded(as_protobuf, records, piece=1)) == whole
    assert as_json.encode_records(records) == encoded(as_json, records, piece=1)


@pytest.mark.parametrize(
    "ids",
    [
        {"trace_id": "1" * 30 + "  ", "parent_span_id": "2" * 18},
        {"trace_id": "1" * 31, "span_id": "3" * 17},
        {"span_id": "3" * 14 + "  ", "parent_span_id": "2" * 18},
        {"parent_span_id": "2" * 15},
        {"trace_id": "x" * 32},
    ],
    ids=repr,
)
def test_ids_that_are_none_are_not_taken_for_others(ids: dict[str, str]) -> None:
    assert as_protobuf.encode_spans([record("bad", **ids), record("good")])[1] == 1


FLAT = st.dictionaries(
    NAMES,
    st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.integers(0, 3000)
    | st.integers(0, 2**22)
    | st.sampled_from([2**7 - 1, 2**7, 2**14 - 1, 2**14, 2**21 - 1, 2**21])
    | st.floats()
    | TEXT
    | st.text("x", min_size=120),
    max_size=5,
)


@settings(max_examples=200, **AT_ITS_PACE)
@given(
    attributes=FLAT,
    span_type=st.sampled_from(["llm", "custom", "another"]),
    status=st.sampled_from(["success", "cancelled"]),
    kind=st.sampled_from(list(meaning.KINDS)),
    parent=st.none() | ids(16),
    name=TEXT | st.just("n" * 3000),
    times=st.tuples(TIMES, TIMES),
    flags=st.integers(0, 2**32 - 1),
    cancelled_as=st.sampled_from(["unset", "error"]),
)
def test_what_is_written_by_hand_is_what_the_official_messages_write(
    attributes: dict[str, Any],
    span_type: str,
    status: str,
    kind: str,
    parent: str | None,
    name: str,
    times: tuple[int, int],
    flags: int,
    cancelled_as: str,
) -> None:
    found = record(
        name,
        attributes={key: value for key, value in attributes.items() if key not in OURS},
        span_type=span_type,
        status=status,
        kind=kind,
        parent_span_id=parent,
        start_time_unix_nano=times[0],
        end_time_unix_nano=times[1],
        flags=flags,
    )
    written = encode_plain([found, found], cancelled_as)
    assert written is not None
    official = ScopeSpans(spans=[span_of(found, cancelled_as)] * 2)
    assert ScopeSpans.FromString(written).SerializeToString(deterministic=True) == official.SerializeToString(
        deterministic=True
    )


@pytest.mark.parametrize(
    "fields",
    [
        {"attributes": {"k": None}},
        {"attributes": {"k": []}},
        {"attributes": {"k": 2**63}},
        {"attributes": {meaning.STATUS: "mine"}},
        {"events": [SpanEvent(name="e", time_unix_nano=1, attributes={})]},
        {"links": [SpanLink(trace_id="1" * 32, span_id="2" * 16, attributes={})]},
        {"status": "error"},
        {"status_message": ""},
        {"end_time_unix_nano": None, "status": "pending"},
        {"kind": "another"},
        {"trace_state": "a=b"},
        {"dropped": {"events": 1}},
        {"otlp": {"span": {"kind": 0}}},
        {"trace_id": "12"},
        {"parent_span_id": "12"},
    ],
    ids=repr,
)
def test_what_is_not_plain_is_not_written_by_hand(fields: dict[str, Any]) -> None:
    assert encode_plain([record(), record(**fields)], "unset") is None


def test_keys_that_a_program_makes_up_do_not_fill_the_memory() -> None:
    for number in range(10_000):
        assert encode_plain([record(attributes={f"key {number}": 1})], "unset")
    assert len(wire._heads) <= wire._KEYS


# --- JSON as others write it ----------------------------------------------------------------------------------------


def json_request(**fields: Any) -> bytes:
    span = {"traceId": "AB" * 16, "spanId": "0" * 15 + "1", "name": "s", "endTimeUnixNano": "1", **fields}
    return json.dumps({"resourceSpans": [{"scopeSpans": [{"spans": [span]}]}]}).encode()


def test_json_is_written_as_its_specification_says() -> None:
    found = record(
        kind="client",
        attributes={"int": 5, "bytes": b"\xff", "nan": math.nan},
        status="error",
        flags=1,
        service_name="service",
        resource={"service.name": "service"},
    )
    assert json.loads(as_json.encode_records([found])) == {
        "resourceSpans": [
            {
                "resource": {"attributes": [{"key": "service.name", "value": {"stringValue": "service"}}]},
                "scopeSpans": [
                    {
                        "scope": {"name": "prela"},
                        "spans": [
                            {
                                "traceId": found.trace_id,
                                "spanId": found.span_id,
                                "flags": 1,
                                "name": "span",
                                "kind": 3,
                                "startTimeUnixNano": str(START),
                                "endTimeUnixNano": str(START),
                                "attributes": [
                                    {"key": "int", "value": {"intValue": "5"}},
                                    {"key": "bytes", "value": {"bytesValue": "/w=="}},
                                    {"key": "nan", "value": {"doubleValue": "NaN"}},
                                ],
                                "status": {"code": 2, "message": ""},
                            }
                        ],
                    }
                ],
            }
        ]
    }


@pytest.mark.parametrize(
    ("value", "wanted"),
    [
        ({"intValue": 5}, 5),
        ({"intValue": "-5"}, -5),
        ({"intValue": 5.0}, 5),
        ({"doubleValue": 5}, 5.0),
        ({"doubleValue": "-Infinity"}, -math.inf),
        ({"bytesValue": "_-8"}, b"\xff\xef"),
        ({"bytesValue": "/+8="}, b"\xff\xef"),
        ({"unknownValue": 1}, None),
        ({"stringValue": None}, None),
        ({"stringValueStrindex": 3}, None),
        ({"arrayValue": {}}, []),
    ],
)
def test_json_is_read_in_every_form_that_its_specification_allows(value: Any, wanted: Any) -> None:
    body = json_request(attributes=[{"key": "k", "value": value}], unknown={"a": 1})
    (found,) = decoded(as_json, body)
    assert found.trace_id == "ab" * 16
    assert found.attributes == {"k": wanted}
    assert type(found.attributes["k"]) is type(wanted)


@pytest.mark.parametrize(
    "fields",
    [
        {"traceId": "xyz"},
        {"traceId": "00" * 16},
        {"spanId": "01"},
        {"name": 5},
        {"startTimeUnixNano": "soon"},
        {"startTimeUnixNano": 1.5},
        {"startTimeUnixNano": True},
        {"startTimeUnixNano": "9" * 5000},
        {"startTimeUnixNano": -(2**64)},
        {"attributes": {"k": "v"}},
        {"attributes": [{"key": "k", "value": {"bytesValue": "?"}}]},
        {"attributes": [{"key": "k", "value": {"boolValue": "true"}}]},
        {"attributes": [{"key": "k", "value": {"doubleValue": "much"}}]},
        {"attributes": ["k"]},
        {"events": [{"timeUnixNano": {}}]},
        {"status": []},
    ],
    ids=repr,
)
def test_a_span_that_is_none_is_refused_with_a_reason_and_costs_only_itself(fields: dict[str, Any]) -> None:
    request = json.loads(json_request(**fields))
    request["resourceSpans"][0]["scopeSpans"][0]["spans"].append(
        json.loads(json_request(name="good"))["resourceSpans"][0]["scopeSpans"][0]["spans"][0]
    )
    records = Records(as_json.decode_request(json.dumps(request).encode()))
    assert [found.name for found in records] == ["good"]
    assert records.refused == 1
    assert records.reason


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'{"resourceSpans": {}}', b'{"resourceSpans": [1]}', b"[" * 9999])
def test_what_is_no_request_is_a_value_error(body: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        as_json.decode_request(body)


def test_hostile_depth_costs_the_span_only() -> None:
    value: Any = {"intValue": 1}
    for _ in range(100):
        value = {"arrayValue": {"values": [value]}}
    records = Records(as_json.decode_request(json_request(attributes=[{"key": "k", "value": value}])))
    assert list(records) == []
    assert "nested deeper" in records.reason


@ENCODINGS
def test_answers_and_errors_are_read_as_they_were_written(encoding: ModuleType) -> None:
    assert encoding.decode_response(encoding.encode_response()) == (0, "")
    assert encoding.decode_response(encoding.encode_response(3, "why")) == (3, "why")
    assert encoding.decode_error(encoding.encode_error("why")) == "why"
    for decode in (encoding.decode_response, encoding.decode_error):
        with pytest.raises(ValueError, match=r"."):
            decode(b"\xff\xff")
