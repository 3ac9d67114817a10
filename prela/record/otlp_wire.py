"""Most spans straight to Protobuf's wire format: flat attributes, no events and no links.

An exporter's time is mostly this. By way of dicts and the official messages such a span takes twice as long; what is
not so plain goes that way, and tests hold the two against each other. Numbers of fields are those of `trace.proto` and
`common.proto`, which never change (Protobuf, "Updating A Message Type").
"""

from collections.abc import Mapping, Sequence
from struct import Struct
from typing import Any, Final

from prela.record import otlp_meaning as meaning
from prela.record.model import SpanRecord

SPANS: Final = 2
"""ScopeSpans.spans."""
_TABLE: Final = 2048
_LARGE: Final = 1 << 63
_KEYS: Final = 4096
"""Keys whose bytes are remembered; programs have few, and one that makes them up must not fill the memory."""

_times: Final = Struct("<BQBQ").pack
_double: Final = Struct("<BBd").pack
_flags: Final = Struct("<HI").pack


def varint(number: int) -> bytes:
    """A number in as many bytes as it takes (Protobuf encoding guide, "Base 128 Varints")."""
    found = bytearray()
    while number > 0x7F:
        found.append(number & 0x7F | 0x80)
        number >>= 7
    found.append(number)
    return bytes(found)


def _text_head(size: int) -> bytes:
    """An AnyValue's length and, in it, what stands before so many bytes of text."""
    inner = b"\x0a" + varint(size)
    return varint(len(inner) + size) + inner


def _number(value: int) -> bytes:
    """An AnyValue's length, and the AnyValue; negative numbers as their complement to 2^64."""
    inner = b"\x18" + varint(value & 0xFFFF_FFFF_FFFF_FFFF)
    return varint(len(inner)) + inner


# What most lengths and numbers look up.
_VARINTS: Final = [varint(number) for number in range(_TABLE)]
_TEXTS: Final = [_text_head(size) for size in range(_TABLE)]
_NUMBERS: Final = [_number(value) for value in range(_TABLE)]
_PAIRS: Final = [b"J" + length for length in _VARINTS]
_heads: dict[str, bytes] = {}


def encode_plain(records: Sequence[SpanRecord], cancelled_as: str) -> bytes | None:
    """Return records as a piece of a ScopeSpans; None if one of them is not plain.

    Raises:
        ValueError: An id is none, or a text no UTF-8.
        struct.error: A number is out of its range.
    """
    table, found = _VARINTS, []
    for record in records:
        span = _span(record, cancelled_as)
        if span is None:
            return None
        size = len(span)
        found.append(b"\x12" + (table[size] if size < _TABLE else varint(size)) + span)
    return b"".join(found)


def _span(record: SpanRecord, cancelled_as: str) -> bytes | None:
    end = record.end_time_unix_nano
    if record.events or record.links or record.otlp or record.dropped or record.trace_state or not end:
        return None
    status, attributes = record.status, record.attributes
    marks: dict[str, Any] | None = None
    if meaning.implied_type(attributes) != record.span_type:
        marks = meaning.hints_of_type(record.span_type, attributes)
    code = b""
    if status != "success" or record.status_message is not None:
        if status != "cancelled" or record.status_message is not None:
            return None
        if cancelled_as == "error":
            code = b"\x7a\x02\x18\x02"
        marks = {**(marks or {}), meaning.STATUS: "cancelled"}
    kind = meaning.KINDS.get(record.kind)
    trace_id, span_id = bytes.fromhex(record.trace_id), bytes.fromhex(record.span_id)
    parent_id = record.parent_span_id
    parent = b"" if parent_id is None else b'"\x08' + bytes.fromhex(parent_id)
    if kind is None or len(trace_id) != 16 or len(span_id) != 8 or len(parent) not in (0, 10):
        return None
    pairs = encode_attributes(meaning.marked(attributes, marks or {}))
    if pairs is None:
        return None
    name = record.name.encode()
    size = len(name)
    return b"".join(
        (
            b"\x0a\x10",
            trace_id,
            b"\x12\x08",
            span_id,
            parent,
            b"*",
            _VARINTS[size] if size < _TABLE else varint(size),
            name,
            b"0",
            _VARINTS[kind],
            _times(0x39, record.start_time_unix_nano, 0x41, end),
            *pairs,
            code,
            _flags(0x0185, record.flags),
        )
    )


def encode_attributes(attributes: Mapping[str, Any]) -> list[bytes] | None:
    """Return the attributes of a span as pieces of it; None if one of them is a list, a map or a large integer."""
    found, heads = [], _heads
    for key, value in attributes.items():
        kind = type(value)
        head = heads.get(key) or _head(key)
        if kind is str:
            data = value.encode()
            size = len(data)
            pair = head + (_TEXTS[size] if size < _TABLE else _text_head(size)) + data
        elif kind is int:
            if 0 <= value < _TABLE:
                pair = head + _NUMBERS[value]
            elif -_LARGE <= value < _LARGE:
                pair = head + _number(value)
            else:
                return None
        elif kind is float:
            pair = head + _double(9, 0x21, value)
        elif kind is bool:
            pair = head + (b"\x02\x10\x01" if value else b"\x02\x10\x00")
        else:
            return None
        size = len(pair)
        found.append(_PAIRS[size] if size < _TABLE else b"J" + varint(size))
        found.append(pair)
    return found


def _head(key: str) -> bytes:
    """What a KeyValue begins with: its key, and the tag of its value."""
    data = key.encode()
    head = b"\x0a" + varint(len(data)) + data + b"\x12"
    if len(_heads) < _KEYS and len(data) < 100:
        _heads[key] = head
    return head
