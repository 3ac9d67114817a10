"""The record as OTLP, OpenTelemetry's protocol, both ways. Pure.

`mapping` is the table of fields, over messages that are dicts; `values` and `meaning` are its parts for attribute
values, and for what type, status and kind are called. `as_protobuf` and `as_json` make bytes of messages and messages
of bytes; `wire` writes the spans that most are straight to bytes. `as_protobuf` needs the extra `otlp` or `web`, and is
imported by those who want it.
"""

from prela.record.otlp.mapping import (
    OUR_SCOPE,
    UNKNOWN_SERVICE,
    Group,
    Records,
    Scope,
    grouped,
    request_of,
    span_of,
)

__all__ = ["OUR_SCOPE", "UNKNOWN_SERVICE", "Group", "Records", "Scope", "grouped", "request_of", "span_of"]
