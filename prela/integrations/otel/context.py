"""OpenTelemetry's current context and Prela's current span as one thing, seen from two sides.

The span, and the baggage, that are current in Prela's context variables are so in OpenTelemetry's context: whoever asks
for that gets what was attached last, with Prela's in it. And attaching one of OpenTelemetry's contexts makes the span
and the baggage in it Prela's. So Prela's own spans pay nothing for it: who asks, pays.

Detaching follows the laws of docs/context.md, and is quiet: out of order, the context is passed over when those above
it are gone; in another context than it was attached in, nothing is touched there.
"""

from collections.abc import Mapping
from contextvars import ContextVar, Token
from typing import Any, Final, cast

from opentelemetry import baggage as otel_baggage
from opentelemetry import context as otel_context
from opentelemetry import trace
from opentelemetry.context.context import Context, _RuntimeContext
from opentelemetry.context.contextvars_context import ContextVarsRuntimeContext

from prela.core import log
from prela.core.context import _EMPTY, Held, get_baggage, held_baggage
from prela.core.current import settle_current, take_back
from prela.core.scope import hold_apart
from prela.core.silent import SUPPRESSION, RemoteSpan
from prela.core.span import Span
from prela.core.stand_in import StandIn, is_suppressed, meant
from prela.integrations.otel.convert import from_otel
from prela.integrations.otel.flushing import sdk_watch
from prela.integrations.otel.force import force
from prela.integrations.otel.span import OtelSpan

_SUPPRESSED: Final = (
    "suppress_instrumentation",
    *(
        getattr(otel_context, name)
        for name in ("_SUPPRESS_INSTRUMENTATION_KEY", "_SUPPRESS_HTTP_INSTRUMENTATION_KEY")
        if hasattr(otel_context, name)
    ),
)
"""The keys under which instrumentations look whether they are to trace nothing; the API calls their place temporary."""


class Attachment:
    """A context that was attached; also the token for detaching it."""

    __slots__ = ("_held_baggage", "_is_over", "_token", "baggage", "context", "is_left", "stand_in")

    def __init__(self, context: Context) -> None:
        self.context: Context = context
        self.is_left: bool = False
        """Detached, and still to be found where it was attached."""
        self._is_over = False
        self.stand_in: StandIn | None = None
        self._held_baggage: Held | None = None
        if force.is_shared:
            if force.handing_over:
                sdk_watch.look()
            self._share(_span_in(context), otel_baggage.get_all(context))
        self.baggage: Mapping[str, Any] = get_baggage()
        self._token = _attached.set(self)

    def _share(self, span: Span | None, baggage: Mapping[str, Any]) -> None:
        if not is_suppressed():
            self.stand_in = StandIn(span)
            self.stand_in.begin()
        if baggage != get_baggage():
            self._held_baggage = held_baggage(baggage)
            self._held_baggage.begin()

    def detach(self) -> None:
        """Make current what was before, or be passed over from now on."""
        if self._is_over:
            return
        self._is_over = True
        if last_attached() is not self or not self.take_back():
            self.is_left = True
        if self.stand_in is not None:
            self.stand_in.leave()
        if self._held_baggage is not None:
            self._held_baggage.leave()

    def take_back(self) -> bool:
        """Have the one before be the last; whether this is the context in which to do so."""
        return take_back(_attached, self._token)

    def inherited(self) -> "Attachment":
        """The same context for a generator, which is not attached by it and so cannot be taken back."""
        copy = Attachment.__new__(Attachment)
        copy.context, copy.baggage, copy.stand_in = self.context, self.baggage, self.stand_in
        copy.is_left, copy._is_over = False, True
        return copy


_attached: ContextVar[Attachment | None] = ContextVar("prela.otel.attached", default=None)


def last_attached() -> Attachment | None:
    """What was attached last here, and not detached since."""
    while (attachment := _attached.get()) is not None and attachment.is_left:
        if not attachment.take_back():
            break
    return attachment


def _inherit() -> Attachment | None:
    attachment = last_attached()
    return None if attachment is None else attachment.inherited()


hold_apart(_attached, _inherit)


def _span_in(context: Context) -> Span | None:
    """The span of a context as one of ours; None where there is none, or one without ids."""
    found = trace.get_current_span(context)
    if isinstance(found, OtelSpan):
        return found.span
    span_context = found.get_span_context()
    return RemoteSpan(from_otel(span_context)) if span_context.is_valid else None


class PrelaRuntimeContext(_RuntimeContext):
    """See the module.

    While the two have nothing to do with each other (`Force.is_shared`) it does what the one before it does.

    Args:
        before: The one whose place it takes.
    """

    def __init__(self, before: _RuntimeContext | None = None) -> None:
        self.before: _RuntimeContext = before or ContextVarsRuntimeContext()

    def attach(self, context: Context) -> Token[Context]:
        """Make a context current; the token is for `detach`, from wherever."""
        try:
            if force.is_shared or last_attached() is not None:
                return cast(Token[Context], Attachment(context))
        except Exception as error:
            log.failed("otel attach", error)
        return self.before.attach(context)

    def detach(self, token: Token[Context]) -> None:
        """Make current what was current before the context of this token."""
        if not isinstance(cast(object, token), Attachment):
            self.before.detach(token)
            return
        attachment = cast(Attachment, token)
        try:
            attachment.detach()
        except Exception as error:
            attachment.is_left = True
            log.failed("otel detach", error)

    def get_current(self) -> Context:
        """The context that was attached last, with what is current in Prela."""
        attachment = _attached.get()
        try:
            attachment = last_attached()
            if force.is_shared:
                return _with_ours(self._context_of(attachment), attachment)
        except Exception as error:
            log.failed("otel get_current", error)
        return self._context_of(attachment)

    def _context_of(self, attachment: Attachment | None) -> Context:
        return self.before.get_current() if attachment is None else attachment.context


def _with_ours(context: Context, attachment: Attachment | None) -> Context:
    """The context, with the span and the baggage that are current in Prela, where those are not the context's own."""
    current = settle_current()
    if current is not (None if attachment is None else attachment.stand_in):
        context = _with_span(context, current)
    baggage = get_baggage()
    if baggage is not (_EMPTY if attachment is None else attachment.baggage):
        context = otel_baggage.clear(context)
        for name, value in baggage.items():
            context = otel_baggage.set_baggage(name, value, context)
    return context


def _with_span(context: Context, current: Span | None) -> Context:
    current = meant(current)
    if current is SUPPRESSION:
        for key in _SUPPRESSED:
            context = otel_context.set_value(key, True, context)
    is_span = current is not None and current is not SUPPRESSION
    return trace.set_span_in_context(OtelSpan(cast(Span, current)) if is_span else trace.INVALID_SPAN, context)
