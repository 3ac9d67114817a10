"""OTLP as JSON (OTLP specification, "JSON Protobuf Encoding"); which fields mean what is `otlp`'s.

Protobuf's JSON, but ids are hexadecimal, enums numbers, names in lowerCamelCase only, and unknown names are passed
over. `MESSAGES` is the whole of what it knows of the messages; a test holds it against the official descriptors.
"""

import base64
import binascii
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final, NamedTuple

import msgspec

from prela.record.model import SpanRecord
from prela.record.otlp.mapping import Group, grouped, span_of
from prela.record.otlp.values import mended

CONTENT_TYPE: Final = "application/json"


class Field(NamedTuple):
    """How a field stands in JSON."""

    kind: str
    """The name of a message, or how the value is written."""
    is_list: bool = False


_TEXT, _BOOL, _NUMBER, _LARGE, _DOUBLE, _BYTES, _ID = "text", "bool", "number", "large", "double", "bytes", "id"

_ATTRIBUTES: Final = {"attributes": Field("KeyValue", True), "dropped_attributes_count": Field(_NUMBER)}

MESSAGES: Final[Mapping[str, Mapping[str, Field]]] = {
    "ExportTraceServiceRequest": {"resource_spans": Field("ResourceSpans", True)},
    "ResourceSpans": {
        "resource": Field("Resource"),
        "scope_spans": Field("ScopeSpans", True),
        "schema_url": Field(_TEXT),
    },
    "Resource": {**_ATTRIBUTES, "entity_refs": Field("EntityRef", True)},
    "EntityRef": {
        "schema_url": Field(_TEXT),
        "type": Field(_TEXT),
        "id_keys": Field(_TEXT, True),
        "description_keys": Field(_TEXT, True),
    },
    "ScopeSpans": {
        "scope": Field("InstrumentationScope"),
        "spans": Field("Span", True),
        "schema_url": Field(_TEXT),
    },
    "InstrumentationScope": {"name": Field(_TEXT), "version": Field(_TEXT), **_ATTRIBUTES},
    "Span": {
        "trace_id": Field(_ID),
        "span_id": Field(_ID),
        "trace_state": Field(_TEXT),
        "parent_span_id": Field(_ID),
        "flags": Field(_NUMBER),
        "name": Field(_TEXT),
        "kind": Field(_NUMBER),
        "start_time_unix_nano": Field(_LARGE),
        "end_time_unix_nano": Field(_LARGE),
        **_ATTRIBUTES,
        "events": Field("Event", True),
        "dropped_events_count": Field(_NUMBER),
        "links": Field("Link", True),
        "dropped_links_count": Field(_NUMBER),
        "status": Field("Status"),
    },
    "Event": {"time_unix_nano": Field(_LARGE), "name": Field(_TEXT), **_ATTRIBUTES},
    "Link": {
        "trace_id": Field(_ID),
        "span_id": Field(_ID),
        "trace_state": Field(_TEXT),
        **_ATTRIBUTES,
        "flags": Field(_NUMBER),
    },
    "Status": {"message": Field(_TEXT), "code": Field(_NUMBER)},
    "KeyValue": {"key": Field(_TEXT), "value": Field("AnyValue")},
    "AnyValue": {
        "string_value": Field(_TEXT),
        "bool_value": Field(_BOOL),
        "int_value": Field(_LARGE),
        "double_value": Field(_DOUBLE),
        "array_value": Field("ArrayValue"),
        "kvlist_value": Field("KeyValueList"),
        "bytes_value": Field(_BYTES),
    },
    "ArrayValue": {"values": Field("AnyValue", True)},
    "KeyValueList": {"values": Field("KeyValue", True)},
    "ExportTraceServiceResponse": {"partial_success": Field("ExportTracePartialSuccess")},
    "ExportTracePartialSuccess": {"rejected_spans": Field(_LARGE), "error_message": Field(_TEXT)},
    "rpc.Status": {"code": Field(_NUMBER), "message": Field(_TEXT)},
}
"""The fields of each message, by the .proto's names. Those that only profiles use, which receivers of traces must take
for absent (`common.proto`, `string_value_strindex` and `key_strindex`), are not among them."""


def json_name(name: str) -> str:
    """The name of a field in JSON."""
    first, *others = name.split("_")
    return first + "".join(word.capitalize() for word in others)


# --- to JSON --------------------------------------------------------------------------------------------------------


def encode_spans(records: Sequence[SpanRecord], cancelled_as: str = "unset") -> tuple[bytes, int]:
    """Return records as JSON objects with commas between them, and how many could not be encoded and are not there."""
    pieces, refused = [], 0
    for record in records:
        try:
            pieces.append(_encode(span_of(record, cancelled_as), "Span"))
        except Exception:
            refused += 1
    return b",".join(pieces), refused


def encode_request(groups: Iterable[tuple[Group, Iterable[Iterable[bytes]]]]) -> bytes:
    """Return a request: of each group, and for each of its scopes, the pieces that `encode_spans` made."""
    found = []
    for group, scopes in groups:
        scope_spans = [
            {**_to_json(mended(scope.head), "ScopeSpans"), "spans": msgspec.Raw(b"[" + _joined(pieces) + b"]")}
            for scope, pieces in zip(group.scopes, scopes, strict=True)
        ]
        found.append({**_to_json(mended(group.head), "ResourceSpans"), "scopeSpans": scope_spans})
    return msgspec.json.encode({"resourceSpans": found})


def encode_records(records: Iterable[SpanRecord], *, cancelled_as: str = "unset") -> bytes:
    """Return records as a request in one go."""
    groups = grouped(records)
    return encode_request(
        (group, [[encode_spans(scope.records, cancelled_as)[0]] for scope in group.scopes]) for group in groups
    )


def _joined(pieces: Iterable[bytes]) -> bytes:
    return b",".join(piece for piece in pieces if piece)


def _encode(message: Mapping[str, Any], kind: str) -> bytes:
    found = _to_json(message, kind)
    try:
        return msgspec.json.encode(found)
    except UnicodeEncodeError:
        return msgspec.json.encode(mended(found))


def _to_json(message: Mapping[str, Any], kind: str) -> dict[str, Any]:
    fields = _WRITERS[kind]
    return {fields[name][0]: fields[name][1](value) for name, value in message.items()}


def _double(value: float) -> float | str:
    if math.isfinite(value):
        return value
    return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"


_WRITE: Final[Mapping[str, Callable[[Any], Any]]] = {
    _TEXT: lambda value: value,
    _BOOL: lambda value: value,
    _NUMBER: lambda value: value,
    _LARGE: str,
    _DOUBLE: _double,
    _BYTES: lambda value: base64.b64encode(value).decode("ascii"),
    _ID: bytes.hex,
}


def _writer(field: Field) -> Callable[[Any], Any]:
    kind = field.kind
    write = _WRITE.get(kind) or (lambda message: _to_json(message, kind))
    return (lambda items: [write(item) for item in items]) if field.is_list else write


_WRITERS: Final = {
    kind: {name: (json_name(name), _writer(field)) for name, field in fields.items()}
    for kind, fields in MESSAGES.items()
}


# --- from JSON ------------------------------------------------------------------------------------------------------


def decode_request(body: bytes) -> dict[str, Any]:
    """Return the message that a request's body holds; in the place of a span that is none, the ValueError that says so.

    Raises:
        ValueError: It holds none.
    """
    return _decode(body, "ExportTraceServiceRequest")


def _decode(body: bytes, kind: str) -> dict[str, Any]:
    try:
        return _from_json(msgspec.json.decode(body), kind)
    except RecursionError:
        raise ValueError("the JSON is nested too deep") from None


def _from_json(found: Any, kind: str) -> dict[str, Any]:
    if not isinstance(found, dict):
        raise ValueError(f"{_shown(found)} stands where a JSON object of {kind} should")
    fields, message = _READERS[kind], {}
    for name, value in found.items():
        if name in fields and value is not None:
            message[fields[name][0]] = fields[name][1](value)
    return message


def _span(found: Any) -> dict[str, Any] | ValueError:
    """A span that is none costs itself only."""
    try:
        return _from_json(found, "Span")
    except (ValueError, RecursionError) as error:
        return ValueError(str(error))


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError(f"{_shown(value)} stands where text should")
    return value


def _bool(value: Any) -> bool:
    if not isinstance(value, bool):
        raise ValueError(f"{_shown(value)} stands where true or false should")
    return value


def _whole(low: int, high: int) -> Callable[[Any], int]:
    """Numbers and text are both allowed (Protobuf's JSON mapping)."""

    def read(value: Any) -> int:
        try:
            number = int(value) if isinstance(value, str) and len(value) <= 20 else value
            if isinstance(number, bool) or int(number) != number or not low <= number < high:
                raise ValueError
            return int(number)
        except (ValueError, TypeError, OverflowError):
            raise ValueError(f"{_shown(value)} stands where a whole number should") from None

    return read


def _float(value: Any) -> float:
    try:
        if isinstance(value, bool) or not isinstance(value, int | float | str):
            raise ValueError
        return float(value)
    except (ValueError, OverflowError):
        raise ValueError(f"{_shown(value)} stands where a number should") from None


def _bytes(value: Any) -> bytes:
    """Base64 with the standard or the URL-safe letters, padded or not (Protobuf's JSON mapping)."""
    text = _text(value).replace("-", "+").replace("_", "/").rstrip("=")
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except (binascii.Error, ValueError):
        raise ValueError(f"{_shown(value)} stands where base64 should") from None


def _id(value: Any) -> bytes:
    try:
        return bytes.fromhex(_text(value))
    except ValueError:
        raise ValueError(f"{_shown(value)} stands where hexadecimal digits should") from None


def _shown(value: Any) -> str:
    return repr(value)[:80]


_READ: Final[Mapping[str, Callable[[Any], Any]]] = {
    _TEXT: _text,
    _BOOL: _bool,
    _NUMBER: _whole(-(1 << 31), 1 << 32),
    _LARGE: _whole(-(1 << 63), 1 << 64),
    _DOUBLE: _float,
    _BYTES: _bytes,
    _ID: _id,
    "Span": _span,
}


def _reader(field: Field) -> Callable[[Any], Any]:
    kind = field.kind
    read = _READ.get(kind) or (lambda found: _from_json(found, kind))

    def read_list(found: Any) -> list[Any]:
        if not isinstance(found, list):
            raise ValueError(f"{_shown(found)} stands where a JSON array should")
        return [read(item) for item in found]

    return read_list if field.is_list else read


_READERS: Final = {
    kind: {json_name(name): (name, _reader(field)) for name, field in fields.items()}
    for kind, fields in MESSAGES.items()
}


# --- answers --------------------------------------------------------------------------------------------------------


def encode_response(refused: int = 0, reason: str = "") -> bytes:
    """Return an ExportTraceServiceResponse: with a partial success, where spans were refused."""
    partial = {"partial_success": {"rejected_spans": refused, "error_message": reason}} if refused else {}
    return _encode(partial, "ExportTraceServiceResponse")


def decode_response(body: bytes) -> tuple[int, str]:
    """Return how many spans a receiver refused, and what it says of it.

    Raises:
        ValueError: It is no ExportTraceServiceResponse.
    """
    partial = _decode(body, "ExportTraceServiceResponse").get("partial_success", {})
    return partial.get("rejected_spans", 0), partial.get("error_message", "")


def encode_error(message: str) -> bytes:
    """Return a google.rpc.Status, as failures are answered with."""
    return _encode({"message": message}, "rpc.Status")


def decode_error(body: bytes) -> str:
    """Return what a google.rpc.Status says.

    Raises:
        ValueError: It is none.
    """
    return str(_decode(body, "rpc.Status").get("message", ""))
