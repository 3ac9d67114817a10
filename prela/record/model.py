"""The record itself, as Python sees it: what exporters are given and readers get back.

`docs/record.md` is the promise that goes with these names; the golden files in the tests hold it.
"""

from typing import Any

import msgspec

FORMAT_VERSION = 1


class SpanEvent(msgspec.Struct, frozen=True, kw_only=True):
    """Something that happened at one moment of a span."""

    name: str
    time_unix_nano: int
    attributes: dict[str, Any] = {}


class SpanLink(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A reference to a span that is related, and not the parent."""

    trace_id: str
    span_id: str
    attributes: dict[str, Any]
    trace_state: str = ""


class SpanRecord(msgspec.Struct, frozen=True, omit_defaults=True, tag_field="v", tag=FORMAT_VERSION, gc=False):
    """One span, finished or, where `status` is "pending", as it stood when it was written down.

    Attribute values are plain Python: str, int, float, bool, None, bytes, and lists and str-keyed dicts of these.
    `prela.record.jsonl` knows how to tag those that JSON lacks.
    """

    trace_id: str
    """32 hexadecimal digits."""
    span_id: str
    """16 hexadecimal digits."""
    parent_span_id: str | None
    name: str
    span_type: str
    status: str
    status_message: str | None
    start_time_unix_nano: int
    end_time_unix_nano: int | None
    """None while the span is pending."""
    attributes: dict[str, Any]
    events: tuple[SpanEvent, ...]
    links: tuple[SpanLink, ...]
    service_name: str
    resource: dict[str, Any]
    kind: str = "internal"
    flags: int = 1
    """W3C trace flags; bit 0 is "sampled"."""
    trace_state: str = ""
    scope: dict[str, Any] = {}
    """OpenTelemetry's instrumentation scope: name, version, attributes."""
    dropped: dict[str, int] = {}
    """How many attributes, events and links were cut by a limit."""
    otlp: dict[str, Any] = {}
    """Of a span that came over OTLP: what it held beyond all these, so that it can be handed on whole; see `otlp`."""

    @property
    def duration(self) -> float | None:
        """Seconds from start to end; None while the span is pending."""
        if self.end_time_unix_nano is None:
            return None
        return (self.end_time_unix_nano - self.start_time_unix_nano) / 1e9
