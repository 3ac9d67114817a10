"""From the lines of a trace file to what the index keeps of each; quickly, since a folder may hold millions."""

from typing import Any, Final, NamedTuple

import msgspec

from prela.record import jsonl


class _Attributes(msgspec.Struct):
    """The attributes that totals are made of."""

    input_tokens: int | None = msgspec.field(name="gen_ai.usage.input_tokens", default=None)
    output_tokens: int | None = msgspec.field(name="gen_ai.usage.output_tokens", default=None)
    request_model: str | None = msgspec.field(name="gen_ai.request.model", default=None)
    response_model: str | None = msgspec.field(name="gen_ai.response.model", default=None)
    cost: float | None = msgspec.field(name="prela.cost.usd", default=None)


class _Line(msgspec.Struct):
    """The fields of a record that the index keeps. What else is in a line is passed over without being looked at."""

    trace_id: str
    span_id: str
    parent_span_id: str | None
    name: str
    span_type: str
    status: str
    start_time_unix_nano: int
    end_time_unix_nano: int | None
    service_name: str
    attributes: _Attributes
    v: int


_decoder: Final = msgspec.json.Decoder(_Line)
_VERSION: Final = 1


class Entry(NamedTuple):
    """What the index keeps of a span."""

    offset: int
    """Of its line in the file."""
    length: int
    trace_id: str
    span_id: str
    parent_span_id: str | None
    name: str
    span_type: str
    status: str
    start: int
    """Nanoseconds since the Unix epoch."""
    end: int | None
    service: str
    model: str | None
    input_tokens: int | None
    output_tokens: int | None
    cost: float | None
    """US dollars."""


def entries(data: bytes, offset: int) -> tuple[list[Entry], int]:
    """What the lines of a block hold, and how many of them hold no record."""
    lines = data.split(b"\n")
    lines.pop()  # what follows the last newline: nothing
    found: list[Entry] = []
    bad = 0
    for line in lines:
        length = len(line) + 1
        record = _decoded(line)
        if record is not None:
            attributes = record.attributes
            found.append(
                Entry(
                    offset,
                    length,
                    record.trace_id,
                    record.span_id,
                    record.parent_span_id,
                    record.name,
                    record.span_type,
                    record.status,
                    record.start_time_unix_nano,
                    record.end_time_unix_nano,
                    record.service_name,
                    attributes.response_model or attributes.request_model,
                    attributes.input_tokens,
                    attributes.output_tokens,
                    attributes.cost,
                )
            )
        elif line.strip():
            bad += 1
        offset += length
    return found, bad


def _decoded(line: bytes) -> _Line | None:
    try:
        record = _decoder.decode(line)
        return record if record.v == _VERSION else None
    except (msgspec.DecodeError, UnicodeError):
        return _decoded_slowly(line)


def _decoded_slowly(line: bytes) -> _Line | None:
    """A record whose attributes are not of the types that they have by the conventions: it is one nevertheless."""
    try:
        record = jsonl.decode(line)
    except (ValueError, RecursionError):
        return None
    known: dict[str, Any] = {}
    for field in msgspec.structs.fields(_Attributes):
        value = record.attributes.get(field.encode_name)
        try:
            known[field.name] = msgspec.convert(value, field.type)
        except msgspec.ValidationError:
            known[field.name] = None
    return _Line(
        trace_id=record.trace_id,
        span_id=record.span_id,
        parent_span_id=record.parent_span_id,
        name=record.name,
        span_type=record.span_type,
        status=record.status,
        start_time_unix_nano=record.start_time_unix_nano,
        end_time_unix_nano=record.end_time_unix_nano,
        service_name=record.service_name,
        attributes=_Attributes(**known),
        v=_VERSION,
    )
