"""The half of a span that can be read: what it holds, and how that is told to whoever asks."""

from collections.abc import Mapping
from contextvars import Token
from types import MappingProxyType
from typing import Any, Final, Self

from prela.core.details import Details
from prela.core.local_trace import LocalTrace
from prela.core.settings import QUICK_ATTRIBUTES
from prela.core.span_context import Event, Link, SpanContext
from prela.record.enums import SpanKind, SpanStatus, SpanType

CLOSED: Final[dict[str, Any]] = {str(i): None for i in range(QUICK_ATTRIBUTES)}
"""What an ended span has for `_writable`: full, so that the fast way of `set_attribute` is closed to it."""


class Marker:
    """A value of `Span._token` that is no token."""


NOT_ENTERED: Final = Marker()
"""Started by `start_span`, and current nowhere."""
LEFT: Final = Marker()
"""Its token was used."""


class ReadableSpan:
    """What a span holds. Ids and times are kept as they are cheapest to take, and made readable when asked for."""

    __slots__ = (
        "_attributes",
        "_details",
        "_end",
        "_index",
        "_parent",
        "_start",
        "_token",
        "_trace",
        "_writable",
        "name",
        "span_type",
    )

    is_left = False
    """True for those that `settle_current` passes over."""

    name: str
    span_type: SpanType | str
    _trace: LocalTrace
    _parent: "ReadableSpan | str | None"  # None: a local root; its id once exported, so that no chain of spans is kept
    _attributes: dict[str, Any]
    _writable: dict[str, Any]  # the same dict while the span is open, and `CLOSED` afterwards
    _token: "Token[Any] | Marker | None"  # None: not started
    _details: Details | None
    _index: int
    _start: int
    _end: int

    @property
    def trace_id(self) -> str:
        """32 hexadecimal digits."""
        return self._trace.hex_id

    @property
    def span_id(self) -> str:
        """16 hexadecimal digits."""
        return self._trace.settings.counters.ids.span_id(self._index) if self._is_started else "0" * 16

    @property
    def parent_span_id(self) -> str | None:
        """16 hexadecimal digits, or None for the root of a trace."""
        parent = self._parent
        if isinstance(parent, ReadableSpan):
            return parent.span_id
        return self._trace.parent_id if parent is None else parent

    @property
    def context(self) -> SpanContext:
        """What another process needs to continue this trace."""
        return SpanContext(self.trace_id, self.span_id, True, self._trace.trace_state)

    @property
    def kind(self) -> SpanKind | str:
        return SpanKind.INTERNAL if self._details is None else self._details.kind

    @property
    def status(self) -> SpanStatus:
        """PENDING until the span has ended or a status was set."""
        if self._details is not None and self._details.status is not None:
            return self._details.status
        return SpanStatus.PENDING if self.is_recording else SpanStatus.SUCCESS

    @property
    def status_message(self) -> str | None:
        return None if self._details is None else self._details.status_message

    @property
    def start_time_ns(self) -> int:
        """Nanoseconds since the Unix epoch; 0 before the span has started."""
        return self._start + self._trace.epoch if self._is_started else 0

    @property
    def end_time_ns(self) -> int | None:
        """Nanoseconds since the Unix epoch; None while the span is open."""
        return None if self.is_recording else self._end + self._trace.epoch

    @property
    def duration(self) -> float | None:
        """Seconds; None while the span is open."""
        return None if self.is_recording else (self._end - self._start) / 1e9

    @property
    def attributes(self) -> Mapping[str, Any]:
        """What has been recorded so far, read-only."""
        return MappingProxyType(self._attributes)

    @property
    def events(self) -> tuple[Event, ...]:
        details = self._details
        if details is None:
            return ()
        epoch = self._trace.epoch
        return tuple(Event(name, at + epoch, MappingProxyType(attributes)) for name, at, attributes in details.events)

    @property
    def links(self) -> tuple[Link, ...]:
        return () if self._details is None else tuple(self._details.links)

    @property
    def is_recording(self) -> bool:
        """Whether what is set on this span will be seen by anybody."""
        return self._writable is not CLOSED

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, memo: object) -> Self:
        # What holds a span may be copied; the span is one, whoever holds it.
        return self

    def __repr__(self) -> str:
        return f"<Span {self.name!r} {self.status.value} trace_id={self.trace_id} span_id={self.span_id}>"

    @property
    def _is_started(self) -> bool:
        return self._token is not None
