"""Most spans straight to Protobuf's wire format: flat attributes, no events and no links.

An exporter's time is mostly this. By way of dicts and the official messages such a span takes twice as long; what is
not so plain goes that way, and tests hold the two against each other. Numbers of fields are those of `trace.proto` and
`common.proto`, which never change (Protobuf, "Updating A Message Type").
"""

from collections.abc import Mapping, Sequence
from struct import Struct
from typing import Any, Final

from prela.record.model import SpanRecord
from prela.record.otlp import meaning

SPANS: Final = 2
"""ScopeSpans.spans."""
_TABLE: Final = 2048
_LARGE: Final = 1 << 63
_ONE_BYTE, _TWO_BYTES, _THREE_BYTES = 1 << 7, 1 << 14, 1 << 21
"""The first numbers that take more bytes than one, two and three."""
_KEYS: Final = 4096
"""Keys, names and texts whose bytes are remembered, of each; most programs have few, and one that makes them up must
not fill the memory."""
_SHORT: Final = 100
"""Bytes from which on they are not."""
_WITHOUT_MESSAGE: Final = frozenset({"success", "cancelled"})

_kind_and_times: Final = Struct("<BBBQBQ").pack
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
    """An AnyValue's length, and the AnyValue; negative numbers as their complement to 2^64.

    Those of two and three bytes, such as most counts are, in one go.
    """
    if _ONE_BYTE <= value < _TWO_BYTES:
        return bytes((3, 0x18, value & 0x7F | 0x80, value >> 7))
    if _TWO_BYTES <= value < _THREE_BYTES:
        return bytes((4, 0x18, value & 0x7F | 0x80, value >> 7 & 0x7F | 0x80, value >> 14))
    inner = b"\x18" + varint(value & 0xFFFF_FFFF_FFFF_FFFF)
    return varint(len(inner)) + inner


# What most lengths and numbers look up.
_VARINTS: Final = [varint(number) for number in range(_TABLE)]
_TEXTS: Final = [_text_head(size) for size in range(_TABLE)]
_NUMBERS: Final = [_number(value) for value in range(_TABLE)]
_PAIRS: Final = [b"J" + length for length in _VARINTS]
_heads: dict[str, bytes] = {}
_names: dict[str, bytes] = {}
_texts: dict[str, bytes] = {}


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
    attributes: Mapping[str, Any] = record.attributes
    code = b""
    if record.status != "success" or record.span_type != "custom" or not meaning.TELLING.isdisjoint(attributes):
        if record.status not in _WITHOUT_MESSAGE:
            return None
        marks = meaning.hints_of_type(record.span_type, attributes)
        if record.status == "cancelled":
            marks[meaning.STATUS] = "cancelled"
            code = b"\x7a\x02\x18\x02" if cancelled_as == "error" else b""
        attributes = meaning.marked(attributes, marks)
    kind, ids, pairs = meaning.KINDS.get(record.kind), _ids(record), encode_attributes(attributes)
    if kind is None or ids is None or pairs is None or record.status_message is not None:
        return None
    name = _names.get(record.name) or _name(record.name)
    times = _kind_and_times(0x30, kind, 0x39, record.start_time_unix_nano, 0x41, end)
    return b"".join((ids, name, times, *pairs, code, _flags(0x0185, record.flags)))


def _ids(record: SpanRecord) -> bytes | None:
    """The three ids, each behind its tag and its length: in hexadecimal, so that all is read in one go."""
    trace_id, span_id, parent_id = record.trace_id, record.span_id, record.parent_span_id
    if parent_id is None:
        found, size = bytes.fromhex(f"0a10{trace_id}1208{span_id}"), 28
    else:
        found, size = bytes.fromhex(f"0a10{trace_id}1208{span_id}2208{parent_id}"), 38
        if len(parent_id) != 16:
            return None
    # Of the bytes too: `fromhex` passes over spaces.
    return found if len(trace_id) == 32 and len(span_id) == 16 and len(found) == size else None


def _name(name: str) -> bytes:
    """The span's name behind its tag and its length."""
    data = name.encode()
    found = b"*" + varint(len(data)) + data
    if len(_names) < _KEYS and len(data) < _SHORT:
        _names[name] = found
    return found


def encode_attributes(attributes: Mapping[str, Any]) -> list[bytes] | None:
    """Return the attributes of a span as pieces of it; None if one of them is a list, a map or a large integer."""
    found: list[bytes] = []
    for key, value in attributes.items():
        kind = type(value)
        if kind is str:
            data = _texts.get(value) or _text(value)
        elif kind is int:
            if 0 <= value < _TABLE:
                data = _NUMBERS[value]
            elif -_LARGE <= value < _LARGE:
                data = _number(value)
            else:
                return None
        elif kind is float:
            data = _double(9, 0x21, value)
        elif kind is bool:
            data = b"\x02\x10\x01" if value else b"\x02\x10\x00"
        else:
            return None
        head = _heads.get(key) or _head(key)
        size = len(head) + len(data)
        found += (_PAIRS[size] if size < _TABLE else b"J" + varint(size), head, data)
    return found


def _head(key: str) -> bytes:
    """What a KeyValue begins with: its key, and the tag of its value."""
    data = key.encode()
    head = b"\x0a" + varint(len(data)) + data + b"\x12"
    if len(_heads) < _KEYS and len(data) < _SHORT:
        _heads[key] = head
    return head


def _text(value: str) -> bytes:
    """A text as an AnyValue, behind its length."""
    data = value.encode()
    size = len(data)
    found = (_TEXTS[size] if size < _TABLE else _text_head(size)) + data
    if size < _SHORT and len(_texts) < _KEYS:
        _texts[value] = found
    return found
