"""OTLP as Protobuf, by the official messages (`opentelemetry-proto`); which fields mean what is `otlp`'s.

Messages are made from nested dicts in one call of C: that took 6 us a span, where the OpenTelemetry SDK's encoder took
24 and making a message at a time 8. The spans that most are, flat ones, `wire` writes in 2.4. Importing this module
needs the extra `otlp` or `web`.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from google.protobuf.message import DecodeError, Message
from google.rpc.status_pb2 import Status  # type: ignore[import-untyped]
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, ScopeSpans

from prela.record.model import SpanRecord
from prela.record.otlp.mapping import Group, span_of
from prela.record.otlp.values import mended
from prela.record.otlp.wire import encode_plain, varint

CONTENT_TYPE: Final = "application/x-protobuf"

_RESOURCE_SPANS: Final = ExportTraceServiceRequest.RESOURCE_SPANS_FIELD_NUMBER
_SCOPE_SPANS: Final = ResourceSpans.SCOPE_SPANS_FIELD_NUMBER


def encode_spans(records: Sequence[SpanRecord], cancelled_as: str = "unset") -> tuple[bytes, int]:
    """Return records as a piece of a ScopeSpans, and how many could not be encoded and are not in it.

    Pieces may be put one after the other: Protobuf takes repeated fields from wherever they stand.
    """
    try:
        plain = encode_plain(records, cancelled_as)
        if plain is not None:
            return plain, 0
        return _encode({"spans": [span_of(record, cancelled_as) for record in records]}, ScopeSpans), 0
    except Exception:
        pieces, refused = [], 0
    for record in records:
        try:
            pieces.append(_encode({"spans": [mended(span_of(record, cancelled_as))]}, ScopeSpans))
        except Exception:
            refused += 1
    return b"".join(pieces), refused


def encode_request(groups: Iterable[tuple[Group, Iterable[Iterable[bytes]]]]) -> bytes:
    """Return a request: of each group, and for each of its scopes, the pieces that `encode_spans` made."""
    found = []
    for group, scopes in groups:
        body = _encode(mended(group.head), ResourceSpans)
        for scope, pieces in zip(group.scopes, scopes, strict=True):
            body += _field(_SCOPE_SPANS, _encode(mended(scope.head), ScopeSpans) + b"".join(pieces))
        found.append(_field(_RESOURCE_SPANS, body))
    return b"".join(found)


def _encode(message: Mapping[str, Any], kind: type[Message]) -> bytes:
    return kind(**message).SerializeToString()


def _field(number: int, content: bytes) -> bytes:
    """A field that holds a message: its tag, its length and its bytes (Protobuf encoding guide, "Submessages")."""
    return varint(number << 3 | 2) + varint(len(content)) + content


def decode_request(body: bytes) -> dict[str, Any]:
    """Return the message that a request's body holds.

    Raises:
        ValueError: It holds none.
    """
    try:
        return _dict_of(ExportTraceServiceRequest.FromString(body))
    except DecodeError as error:
        raise ValueError(str(error)) from None


def _dict_of(message: Message) -> dict[str, Any]:
    """A message's fields by name; those at their defaults are left out."""
    return {field.name: _plain(value) for field, value in message.ListFields()}


def _plain(value: Any) -> Any:
    if isinstance(value, Message):
        return _dict_of(value)
    if isinstance(value, str | bytes | int | float):
        return value
    return [_plain(item) for item in value]


def encode_response(refused: int = 0, reason: str = "") -> bytes:
    """Return an ExportTraceServiceResponse: with a partial success, where spans were refused."""
    partial = {"partial_success": {"rejected_spans": refused, "error_message": reason}} if refused else {}
    return _encode(partial, ExportTraceServiceResponse)


def decode_response(body: bytes) -> tuple[int, str]:
    """Return how many spans a receiver refused, and what it says of it.

    Raises:
        ValueError: It is no ExportTraceServiceResponse.
    """
    try:
        found = ExportTraceServiceResponse.FromString(body).partial_success
    except DecodeError as error:
        raise ValueError(str(error)) from None
    return found.rejected_spans, found.error_message


def encode_error(message: str) -> bytes:
    """Return a google.rpc.Status, as failures are answered with."""
    return _encode({"message": mended(message)}, Status)


def decode_error(body: bytes) -> str:
    """Return what a google.rpc.Status says.

    Raises:
        ValueError: It is none.
    """
    try:
        return str(Status.FromString(body).message)
    except DecodeError as error:
        raise ValueError(str(error)) from None
