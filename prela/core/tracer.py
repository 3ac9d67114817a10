"""The tracer: decides for each new span whether it is recorded, in which trace, and below which parent.

What it leaves to others: waiting (`prela.aio.tracer` adds `aspan` and `task_group`) and being set up (`lifecycle`).
"""

from collections.abc import Iterable, Mapping
from types import EllipsisType
from typing import Any, Final
from weakref import WeakSet

from prela.core import log
from prela.core.context import get_propagated_attributes, usage
from prela.core.current import current_span
from prela.core.ids import RANDOM_BITS
from prela.core.local_trace import LocalTrace
from prela.core.sampler import SamplingRequest
from prela.core.settings import Settings
from prela.core.shortcut import shorten_tracer
from prela.core.silent import NO_SPAN, SUPPRESSION, RemoteSpan, SilentSpan
from prela.core.span import Span
from prela.core.span_context import Link, SpanContext, checked_context
from prela.core.stand_in import current_or_none
from prela.core.unsampled import UNSAMPLED, UnsampledChild, UnsampledRoot, unsampled_apart, unsampled_root
from prela.record.enums import SpanKind, SpanType

Parent = Span | SpanContext | None
Links = Iterable[Span | SpanContext | Link]

_get = current_span.get
_CUSTOM: Final = SpanType.CUSTOM


class _Current:
    """The type of the default of `parent`: the span that is current at the call."""

    def __repr__(self) -> str:
        return "<current>"


CURRENT: Final = _Current()


_tracers: "WeakSet[Tracer]" = WeakSet()


def _look_what_is_propagated() -> None:
    """From now on there is more to ask about each span."""
    for tracer in list(_tracers):
        tracer._span_class = None


usage.on_begin = _look_what_is_propagated


class Tracer:
    """Makes spans. The process has one, `prela.get_tracer()`; while tracing is off, its spans record nothing."""

    __slots__ = ("__weakref__", "_settings", "_span_class")

    _settings: Settings | None
    _span_class: type[Span] | None
    """What these settings record: a span of it has a child of it, and nothing more to ask. None where there is."""

    def __init__(self, settings: Settings | None = None) -> None:
        _tracers.add(self)
        self.configure(settings)

    def configure(self, settings: Settings | None) -> None:
        """Use these settings for spans started from now on; None turns tracing off."""
        self._settings = settings
        self._span_class = None if settings is None else settings.span_class
        if usage.propagating:  # looked at last: who begins it meanwhile, in another thread, may have come before
            self._span_class = None

    def span(
        self,
        name: str,
        span_type: SpanType | str = _CUSTOM,
        attributes: Mapping[str, object] | None = None,
        kind: SpanKind | str | None = None,
        links: Links | None = None,
        parent: Parent | _Current = CURRENT,
    ) -> Span:
        """Return a span that starts when it is entered with `with`, and is current inside; right in async code too.

        `kind` and what follows are meant as keywords. The signature does not insist: CPython 3.11 looks each one left
        out up in a dict, which costs every span a tenth more.

        Args:
            name: What the work is called; low in variety, if totals by name are to mean something.
            span_type: What sort of work it is.
            attributes: Recorded as by `Span.set_attributes`.
            kind: The side of a remote call; None stands for `SpanKind.INTERNAL`.
            links: Spans that are related, and not the parent.
            parent: By default the span that is current at this call; None starts a new trace.
        """
        try:
            current: Any = _get()  # of the class that is compared below
            if current is None:
                settings = self._settings
                if settings is None:
                    return NO_SPAN
                if parent is CURRENT:
                    span_class = settings.unsampled_class  # CPython 3.11 is slower to call it where it stands
                    if settings.refuses_roots:
                        next(settings.unsampled_counter)
                        span = span_class()
                        span._token = None
                        return span
                    if (bound := settings.root_bound) is not None:
                        lower = settings.draw(RANDOM_BITS)
                        if lower < bound:
                            return self._new_span(settings, name, span_type, attributes, kind, links, parent, lower)
                        next(settings.unsampled_counter)
                        span = span_class()
                        span._token = None
                        span.lower_bits = lower
                        return span
            else:
                span_class = type(current)
                if span_class is self._span_class and parent is CURRENT and kind is None and links is None:
                    span = span_class()
                    span.name = name
                    span.span_type = span_type
                    span._trace = current._trace
                    span._parent = current
                    span._attributes = span._writable = {}
                    span._details = span._token = None
                    if attributes:
                        span.set_attributes(attributes)
                    return span
                settings = self._settings
                if settings is None:
                    return NO_SPAN
                if span_class is settings.unsampled_class and parent is CURRENT:
                    next(settings.unsampled_counter)
                    return UNSAMPLED
            return self._new_span(settings, name, span_type, attributes, kind, links, parent)
        except RecursionError:
            return NO_SPAN  # no stack is left, not even to tell
        except Exception as error:
            log.failed("Tracer.span", error)
            return NO_SPAN

    def start_span(
        self,
        name: str,
        span_type: SpanType | str = _CUSTOM,
        attributes: Mapping[str, object] | None = None,
        *,
        kind: SpanKind | str | None = None,
        links: Links | None = None,
        parent: Parent | _Current = CURRENT,
    ) -> Span:
        """Return a span that has started and is not current; end it with `end()`. The arguments are those of `span`."""
        span = self.span(name, span_type, attributes, kind=kind, links=links, parent=parent)
        try:
            if span is UNSAMPLED and (settings := self._settings) is not None:
                span = unsampled_apart(current_or_none(), settings.unsampled_class)  # it is made to be handed on
            span._begin()
        except Exception as error:
            log.failed("Tracer.start_span", error)
            return NO_SPAN
        return span

    def _new_span(
        self,
        settings: Settings,
        name: str,
        span_type: SpanType | str,
        attributes: Mapping[str, object] | None,
        kind: SpanKind | str | None,
        links: Links | None,
        parent: Parent | _Current,
        lower: int | None = None,
    ) -> Span:
        """`span` for everything but a plain child of a recorded span. `lower`: bits that decided on a new trace."""
        current = current_or_none()
        if current is SUPPRESSION:
            return SUPPRESSION
        if isinstance(span_type, EllipsisType):  # left out, by the signature of the short cut
            span_type = _CUSTOM
        if isinstance(parent, EllipsisType):
            parent = CURRENT
        chosen = current if isinstance(parent, _Current) else parent
        if chosen is None and parent is CURRENT:
            chosen = settings.parent
        if isinstance(chosen, UnsampledRoot | UnsampledChild):
            root = current if isinstance(chosen, UnsampledChild) and isinstance(current, UnsampledRoot) else chosen
            next(root.descendants if isinstance(root, UnsampledRoot) else settings.unsampled_counter)
            return UNSAMPLED if root is current else unsampled_apart(root, settings.unsampled_class)
        if isinstance(chosen, Span) and not isinstance(chosen, SilentSpan) and chosen._is_started:
            trace, local_parent = self._trace_below(chosen, settings)
        else:
            started = self._start_trace(settings, _remote(chosen), name, span_type, lower)
            if not isinstance(started, LocalTrace):
                return started
            trace, local_parent = started, None
        span = settings.span_class()
        span.name = name
        span.span_type = span_type
        span._trace = trace
        span._parent = local_parent
        span._attributes = span._writable = {}
        span._details = span._token = None
        self._dress(span, attributes, kind, links)
        return span

    def _trace_below(self, parent: Span, settings: Settings) -> tuple[LocalTrace, Span | None]:
        """The local trace of a new child: its parent's, but for a parent of older settings, or of before a fork."""
        trace = parent._trace
        if trace.settings is settings:
            return trace, parent
        return trace.continued(settings, parent.span_id), None

    def _start_trace(
        self,
        settings: Settings,
        remote: SpanContext | None,
        name: str,
        span_type: SpanType | str,
        lower: int | None = None,
    ) -> LocalTrace | UnsampledRoot:
        """A new local trace, or what stands for one that is refused or not sampled."""
        trace_id = settings.counters.ids.new_trace_id(lower) if remote is None else int(remote.trace_id, 16)
        if settings.buffer.overloaded:
            return unsampled_root(settings.refused_class, trace_id)
        decided = remote is None and (settings.records_roots or lower is not None)
        if not decided and not _is_sampled(settings, SamplingRequest(trace_id, name, span_type, remote)):
            return unsampled_root(settings.unsampled_class, trace_id)
        if remote is None:
            return LocalTrace(settings, trace_id).begun()
        return LocalTrace(settings, trace_id, remote.span_id, remote.trace_state).begun()

    def _dress(
        self, span: Span, attributes: Mapping[str, object] | None, kind: SpanKind | str | None, links: Links | None
    ) -> None:
        if usage.propagating:
            span.set_attributes(get_propagated_attributes())
        if attributes:
            span.set_attributes(attributes)
        if kind is not None and kind is not SpanKind.INTERNAL:
            span._ensure_details().kind = kind
        try:
            for link in links or ():
                span.add_link(link)
        except TypeError as error:
            log.failed("links", error)


shorten_tracer(Tracer, _CUSTOM, NO_SPAN, UNSAMPLED)


def _remote(parent: object) -> SpanContext | None:
    """The remote context that a parent stands for; None for no parent at all, and for one that cannot be."""
    if isinstance(parent, RemoteSpan):
        return parent.context
    if parent is None or isinstance(parent, Span):
        return None
    try:
        return checked_context(parent)
    except ValueError as error:
        log.warn_once("parent", "prela: a parent was ignored (told once): %s", error)
        return None


def _is_sampled(settings: Settings, request: SamplingRequest) -> bool:
    before = _get()
    try:
        current_span.set(SUPPRESSION)  # a traced sampler would come back here for its own spans
        return bool(settings.sampler.should_sample(request))
    except Exception as error:
        log.failed("sampler.should_sample", error)
        return True
    finally:
        current_span.set(before)  # not by a token: Ctrl-C may come before that is kept
