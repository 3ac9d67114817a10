"""The span: what a program holds between the start and the end of a piece of work.

This is the hot path. `Span.__enter__`, `set_attribute` and `__exit__` hold the common case in a few steps each, and
call a method with a longer name for everything else; `benchmarks/` measures what they cost.

The laws that live here (docs/context.md): the current span is one value in one ContextVar; leaving a span restores
what was current when it was entered; a span left elsewhere ends, once, and touches nothing.
"""

from collections.abc import Mapping
from contextvars import ContextVar, Token
from types import MappingProxyType, TracebackType
from typing import Any, Final, NamedTuple, Self

from prela.core import log
from prela.core.outcome import Outcome, exception_attributes, judge
from prela.core.settings import Settings
from prela.record.enums import SpanKind, SpanStatus, SpanType
from prela.record.values import Snapshot

current_span: "ContextVar[Span | None]" = ContextVar("prela.current_span", default=None)

_get = current_span.get
_set = current_span.set
_reset = current_span.reset

_CUSTOM: Final = SpanType.CUSTOM
_SHORT: Final = 128
"""Characters of a string that is not weighed one by one."""
_FEW: Final = 8
"""Attributes that `SPAN_BYTES` covers."""
_ATTRIBUTE_BYTES: Final = 128
_REDACTION_FAILED: Final = "[redaction failed]"


class SpanContext(NamedTuple):
    """What identifies a span to other processes (W3C Trace Context)."""

    trace_id: str
    """32 hexadecimal digits."""
    span_id: str
    """16 hexadecimal digits."""
    sampled: bool = True
    trace_state: str = ""
    is_remote: bool = False


class Link(NamedTuple):
    """A reference from one span to another that is not its parent."""

    context: SpanContext
    attributes: Mapping[str, Any] | None = None


class Event(NamedTuple):
    """Something that happened at one moment of a span."""

    name: str
    time_ns: int
    """Nanoseconds since the Unix epoch."""
    attributes: Mapping[str, Any]


class LocalTrace:
    """What the spans below one local root share. A local root is a span without a parent in this process."""

    __slots__ = (
        "buffer",
        "clock",
        "epoch",
        "incomplete",
        "indexes",
        "parent_id",
        "settings",
        "trace_id",
        "trace_state",
    )

    def __init__(self, settings: Settings, trace_id: int, parent_id: int = 0, trace_state: str = "") -> None:
        self.settings = settings
        self.buffer = settings.buffer
        self.indexes = settings.counters.ids.indexes
        self.clock = settings.clock
        self.epoch = settings.wall_clock() - settings.clock()
        """Added to the clock it gives wall time. Anchored once a local trace: a system clock set back in between
        neither reorders its spans nor changes their durations."""
        self.trace_id = trace_id
        self.parent_id = parent_id
        """The span id of the local root's parent, which is in another process or under older settings; 0: none."""
        self.trace_state = trace_state
        self.incomplete = False
        """Set when a span of this trace was shed."""


class Details:
    """What most spans do not have. Its presence sends a span's end the long way."""

    __slots__ = (
        "cuts",
        "dropped_attributes",
        "dropped_events",
        "dropped_links",
        "events",
        "kind",
        "links",
        "size",
        "status",
        "status_message",
    )

    def __init__(self) -> None:
        self.kind: SpanKind | str = SpanKind.INTERNAL
        self.status: SpanStatus | None = None
        self.status_message: str | None = None
        self.events: list[tuple[str, int, dict[str, Any]]] = []
        self.links: list[Link] = []
        self.dropped_attributes = 0
        self.dropped_events = 0
        self.dropped_links = 0
        self.cuts = 0
        self.size = 0


class _NotEntered:
    """The value of `Span._token` before the span is entered."""


_NOT_ENTERED: Final = _NotEntered()


class Span:
    """A piece of work being traced. Made by a tracer; entered with `with`, or ended by `end()`.

    Every method may be called from any thread, never raises, and is ignored (and counted) once the span has ended.
    """

    __slots__ = (
        "__weakref__",
        "_attributes",
        "_details",
        "_end",
        "_index",
        "_parent",
        "_start",
        "_token",
        "_trace",
        "name",
        "span_type",
    )

    name: str
    span_type: SpanType | str
    _trace: LocalTrace
    _parent: "Span | int | None"  # None: a local root; an int, once exported: the id, so that no chain of spans is kept
    _attributes: dict[str, Any]
    _token: "Token[Span | None] | _NotEntered | None"
    _details: Details | None
    _index: int
    _start: int
    _end: int  # 0 while the span is open

    # --- the hot path -------------------------------------------------------------------------------------------

    def __enter__(self) -> Self:
        if self._token is not _NOT_ENTERED:
            return self  # entered before, or ended: a second time would give one span two lives
        try:
            trace = self._trace
            self._index = next(trace.indexes)
            self._token = _set(self)
            self._start = trace.clock()
        except Exception as error:
            self._give_up(error)
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        try:
            if exc is not None or self._details is not None or _get() is not self:
                self._leave(exc)
                return
            trace = self._trace
            self._end = trace.clock()
            _reset(self._token)  # type: ignore[arg-type]
            self._token = None
            buffer = trace.buffer
            if len(queue := buffer.queue) < buffer.limit:
                queue.append(self)
            else:
                buffer.offer(self, 0, self._parent is None)
        except (ValueError, RuntimeError):
            # `reset` in another context than `enter`: a copy of it, in which this span is current too.
            self._end = 0
            self._leave(exc)
        except Exception as error:
            log.failed("Span.__exit__", error)

    def set_attribute(self, key: str, value: object) -> None:
        """Record a value under a name, as it is now; later changes of the object are not seen."""
        try:
            kind = type(value)
            if (
                (len(value) <= _SHORT if kind is str else kind is int or kind is float or kind is bool)  # type: ignore[arg-type]
                and len(attributes := self._attributes) < _FEW
                and not self._end
            ):
                attributes[key] = value
            else:
                self._set_weighed(key, value)
        except Exception as error:
            log.failed("set_attribute", error)

    # --- the rest of the public face ----------------------------------------------------------------------------

    def set_attributes(self, attributes: Mapping[str, object]) -> None:
        """Record several values at once."""
        try:
            for key, value in list(attributes.items()):
                self.set_attribute(key, value)
        except Exception as error:
            log.failed("set_attributes", error)

    def add_event(self, name: str, attributes: Mapping[str, object] | None = None) -> None:
        """Record that something happened now."""
        try:
            if details := self._open_details("add_event"):
                self._add_event(details, name, attributes)
        except Exception as error:
            log.failed("add_event", error)

    def add_link(
        self, context: "Span | SpanContext | Link", attributes: Mapping[str, object] | None = None
    ) -> None:
        """Refer to another span that is related to this one, and not its parent."""
        try:
            if details := self._open_details("add_link"):
                self._add_link(details, context, attributes)
        except Exception as error:
            log.failed("add_link", error)

    def record_exception(
        self, exception: BaseException, attributes: Mapping[str, object] | None = None
    ) -> None:
        """Record an exception as an event. The status stays as it is."""
        try:
            if details := self._open_details("record_exception"):
                recorded = exception_attributes(exception)
                self._add_event(details, "exception", {**recorded, **(attributes or {})})
        except Exception as error:
            log.failed("record_exception", error)

    def set_status(self, status: SpanStatus | str, message: str | None = None) -> None:
        """Say how the work went. An exception that leaves the span overrides it."""
        try:
            if details := self._open_details("set_status"):
                details.status = SpanStatus(status)
                details.status_message = None if message is None else str(message)
        except Exception as error:
            log.failed("set_status", error)

    def end(self) -> None:
        """End the span now. It stays current where it was entered, until it is left."""
        try:
            if self._token is _NOT_ENTERED and not hasattr(self, "_start"):
                log.warn_once("end", "prela: end() of a span that was never started: %r", self.name)
            elif details := self._open_details("end"):
                self._finish(details, None)
        except Exception as error:
            log.failed("end", error)

    def _end_with(self, error: BaseException, *, stream: bool = False) -> None:
        """End the span now with the status that `error` gives it; `stream` records the stream's outcome too."""
        try:
            if details := self._open_details("end"):
                self._finish(details, error, stream=stream)
        except Exception as failure:
            log.failed("end", failure)

    @property
    def trace_id(self) -> str:
        """32 hexadecimal digits."""
        return f"{self._trace.trace_id:032x}"

    @property
    def span_id(self) -> str:
        """16 hexadecimal digits."""
        return f"{self._trace.settings.counters.ids.span_id(self._index):016x}" if self._is_started else "0" * 16

    @property
    def parent_span_id(self) -> str | None:
        """16 hexadecimal digits, or None for the root of a trace."""
        parent = self._parent
        if isinstance(parent, Span):
            return parent.span_id
        parent_id = self._trace.parent_id if parent is None else parent
        return f"{parent_id:016x}" if parent_id else None

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
        return SpanStatus.SUCCESS if self._end else SpanStatus.PENDING

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
        return self._end + self._trace.epoch if self._end else None

    @property
    def duration(self) -> float | None:
        """Seconds; None while the span is open."""
        return (self._end - self._start) / 1e9 if self._end else None

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
        return not self._end

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name!r} {self.status.value} trace_id={self.trace_id} span_id={self.span_id}>"

    # --- the long way -------------------------------------------------------------------------------------------

    @property
    def _is_started(self) -> bool:
        return hasattr(self, "_start")

    def _begin(self) -> None:
        """Start without becoming current, for `Tracer.start_span`."""
        trace = self._trace
        self._index = next(trace.indexes)
        self._start = trace.clock()

    def _give_up(self, error: Exception) -> None:
        """An error of ours while entering: make the span harmless."""
        log.failed("Span.__enter__", error)
        self._details = self._details or Details()
        if not hasattr(self, "_index"):
            self._index = -1
        if not hasattr(self, "_start"):
            self._start = 1

    def _open_details(self, caller: str) -> Details | None:
        """The details, made if need be; None, counted and told once, when the span has ended."""
        if self._end:
            self._trace.settings.counters.late_calls.add()
            log.warn_once("late", "prela: %s() on the ended span %r was ignored (told once)", caller, self.name)
            return None
        if self._details is None:
            self._details = Details()
        return self._details

    def _set_weighed(self, key: str, value: object) -> None:
        """`set_attribute` for what is not plainly small: copied, cut to the limits, and charged for its size."""
        details = self._open_details("set_attribute")
        if details is None:
            return
        if type(key) is not str:
            key = str(key)
        attributes = self._attributes
        limits = self._trace.settings.limits
        if len(attributes) >= limits.attributes and key not in attributes:
            details.dropped_attributes += 1
            return
        copy = Snapshot(limits.string_length, limits.nodes)
        if key in attributes:
            # Overwriting must not add up: what the old value was charged for is taken off again.
            copy.take(attributes[key])
            details.size -= copy.size
            copy = Snapshot(limits.string_length, limits.nodes)
        attributes[key] = copy.take(value)
        details.cuts += copy.cuts
        details.size += copy.size + (_ATTRIBUTE_BYTES if len(attributes) > _FEW else 0)

    def _copied(self, details: Details, attributes: Mapping[str, object] | None) -> dict[str, Any]:
        """The attributes of an event or a link, under the same limits as a span's."""
        if not attributes:
            return {}
        limits = self._trace.settings.limits
        copy = Snapshot(limits.string_length, limits.nodes)
        items = list(attributes.items())
        copied = {str(key): copy.take(value) for key, value in items[: limits.attributes]}
        details.dropped_attributes += len(items) - len(copied)
        details.cuts += copy.cuts
        details.size += copy.size
        return copied

    def _add_event(
        self, details: Details, name: str, attributes: Mapping[str, object] | None, at: int | None = None
    ) -> None:
        if len(details.events) >= self._trace.settings.limits.events:
            details.dropped_events += 1
            return
        details.size += _ATTRIBUTE_BYTES
        at = self._trace.clock() if at is None else at
        details.events.append((str(name), at, self._copied(details, attributes)))

    def _add_link(
        self, details: Details, target: "Span | SpanContext | Link", attributes: Mapping[str, object] | None
    ) -> None:
        if len(details.links) >= self._trace.settings.limits.links:
            details.dropped_links += 1
            return
        if isinstance(target, Link):
            attributes = {**(target.attributes or {}), **(attributes or {})}
            target = target.context
        context = target.context if isinstance(target, Span) else SpanContext(*target)
        details.size += _ATTRIBUTE_BYTES
        details.links.append(Link(context, self._copied(details, attributes)))

    def _leave(self, error: BaseException | None) -> None:
        """`__exit__` for everything but the common case."""
        try:
            details = self._details = self._details or Details()
            self._restore()
            if not self._end:
                self._finish(details, error)
        except Exception as failure:
            log.failed("leaving a span", failure)

    def _restore(self) -> None:
        """Make current what was current before, if this is the context, and the order, in which to do so."""
        token = self._token
        if isinstance(token, Token):
            if nearest_open(_get()) is self:
                try:
                    _reset(token)
                    self._token = None
                    return
                except ValueError:
                    pass  # a copy of the context; the one this span was entered in still has it
            # Left out of order or elsewhere: whoever finds it current looks through it (`nearest_open`).
            self.__class__ = LeftSpan  # type: ignore[assignment]

    def _finish(self, details: Details, error: BaseException | None, *, stream: bool = False) -> None:
        trace = self._trace
        end = trace.clock()
        if error is not None:
            self._record_outcome(details, judge(error, trace.settings.explain, stream=stream), end)
        self._end = end
        if trace.settings.redact is not None:
            self._redact(details, trace.settings.redact)
        trace.buffer.offer(self, self._extra_bytes(), self._parent is None)

    def _record_outcome(self, details: Details, outcome: Outcome, at: int) -> None:
        details.status = outcome.status
        details.status_message = None
        if outcome.message is not None:
            details.status_message = self._copied(details, {"message": outcome.message})["message"]
        for key, value in outcome.attributes.items():
            self._set_weighed(key, value)
        for error, branch in outcome.exceptions:
            self._add_event(details, "exception", exception_attributes(error, branch), at)

    def _extra_bytes(self) -> int:
        """Bytes beyond what every span is charged."""
        return 0 if self._details is None else max(0, self._details.size)

    def _redact(self, details: Details, redact: Any) -> None:
        self._attributes = {key: _redacted(redact, key, value) for key, value in self._attributes.items()}
        details.events = [
            (name, at, {key: _redacted(redact, key, value) for key, value in attributes.items()})
            for name, at, attributes in details.events
        ]
        details.links = [
            Link(context, {key: _redacted(redact, key, value) for key, value in (attributes or {}).items()})
            for context, attributes in details.links
        ]
        if details.status_message is not None:
            details.status_message = str(_redacted(redact, "status_message", details.status_message))


class RedactedSpan(Span):
    """A span whose values go through `redact` at its end; a type of its own, so that no other pays for the question."""

    __slots__ = ()

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._leave(exc)


class LeftSpan(Span):
    """What a span becomes that was left out of order or in another context, and may still be found current."""

    __slots__ = ()


def nearest_open(span: Span | None) -> Span | None:
    """The span itself, or, where it was left out of order or elsewhere, the nearest before it that was not."""
    while type(span) is LeftSpan:
        token = span._token
        previous = token.old_value if isinstance(token, Token) else None
        span = previous if isinstance(previous, Span) else None
    return span


def _redacted(redact: Any, key: str, value: Any) -> Any:
    """`redact` for every leaf of a value; where it raises, nothing of the value is kept."""
    if type(value) is list:
        return [_redacted(redact, key, item) for item in value]
    if type(value) is dict:
        return {name: _redacted(redact, f"{key}.{name}", item) for name, item in value.items()}
    try:
        return Snapshot().take(redact(key, value))
    except Exception as error:
        log.failed("redact", error)
        return _REDACTION_FAILED
