"""A span of Prela's as the OpenTelemetry API has it. It holds nothing of its own: all is written to the span behind it.

So any number of these may stand for one span, and what one is told the others know.
"""

import sys
from collections.abc import Mapping
from types import TracebackType
from typing import Any, Final

from opentelemetry import trace

from prela.core import log
from prela.core.outcome import judge, message_of
from prela.core.private import withhold_quoting
from prela.core.silent import SilentSpan
from prela.core.span import Span
from prela.integrations.otel.convert import STATUS_CODES, from_otel, otel_kind_of, tells_type, to_otel
from prela.record.enums import SpanStatus
from prela.record.otlp.meaning import implied_type

_STATUSES: Final = {trace.StatusCode.OK: SpanStatus.SUCCESS, trace.StatusCode.ERROR: SpanStatus.ERROR}

Attributes = Mapping[str, Any] | None


class OtelSpan(trace.Span):
    """See the module.

    Args:
        span: Where everything is written.
        record_exception: As `Tracer.start_span` was told, for `with` on the span itself.
        set_status_on_exception: Likewise.
    """

    def __init__(self, span: Span, *, record_exception: bool = True, set_status_on_exception: bool = True) -> None:
        self.span = span
        self._records = record_exception
        self._sets_status = set_status_on_exception
        self._context: trace.SpanContext | None = None
        self._handled = id(sys.exception())
        """What was being handled when this was made: not what ends the span."""

    # --- what instrumentations write ----------------------------------------------------------------------------------

    def set_attribute(self, key: str, value: object) -> None:
        """Record a value, as `prela.Span.set_attribute` does; a key that is no name is told of, and left out."""
        try:
            if type(key) is not str or not key:
                log.warn_once("otel key", "prela: an attribute was left out (told once): its key is %r", key)
                return
            self.span.set_attribute(key, value)
            if tells_type(key) and self.span.is_recording:
                self.span.span_type = implied_type(self.span.attributes)
        except Exception as error:
            log.failed("otel set_attribute", error)

    def set_attributes(self, attributes: Mapping[str, object]) -> None:
        """Record several values at once."""
        try:
            for key, value in list((attributes or {}).items()):
                self.set_attribute(key, value)
        except Exception as error:
            log.failed("otel set_attributes", error)

    def add_event(self, name: str, attributes: Attributes = None, timestamp: int | None = None) -> None:
        """Record that something happened, now or at a time in nanoseconds since the Unix epoch."""
        try:
            self.span._add_event_at(name, attributes, timestamp)
        except Exception as error:
            log.failed("otel add_event", error)

    def add_link(self, context: trace.SpanContext, attributes: Attributes = None) -> None:
        """Refer to another span. One without ids is kept only for the attributes or the trace state that it has.

        OpenTelemetry trace API, "Add Link".
        """
        try:
            if not context.is_valid and not attributes and not context.trace_state:
                return
            if isinstance(self.span, SilentSpan):
                return
            if details := self.span._open_details("add_link"):
                details.add_link(self.span._limits, from_otel(context), attributes)
        except Exception as error:
            log.failed("otel add_link", error)

    def update_name(self, name: str) -> None:
        """Call the span something else."""
        if self.span.is_recording:
            self.span.name = name

    def set_status(self, status: trace.Status | trace.StatusCode, description: str | None = None) -> None:
        """Say how the work went. OK is final, UNSET changes nothing, and only an error is described.

        OpenTelemetry trace API, "Set Status". The API has no word for what was cancelled, and instrumentations call it
        an error: one that is told while a cancellation is handled, and says no more than its name, is a cancellation.
        """
        code = status.status_code if isinstance(status, trace.Status) else status
        said = _STATUSES.get(code)
        if said is None or self._is_ok:
            return
        message = status.description if isinstance(status, trace.Status) else description
        if said is SpanStatus.ERROR and self._names_a_cancellation(message):
            said = SpanStatus.CANCELLED
        self.span.set_status(said, message if said is SpanStatus.ERROR else None)

    def _names_a_cancellation(self, message: str | None) -> bool:
        error = sys.exception()
        try:
            if error is None or not self._is_cancelled_by(error):
                return False
            kind, text = type(error), str(error)
            names = {kind.__name__, kind.__qualname__, f"{kind.__module__}.{kind.__qualname__}"}
            return not message or message == text or message.removesuffix(text).removesuffix(": ") in names
        except Exception as failure:
            log.failed("otel set_status", failure)
            return False

    @property
    def _is_ok(self) -> bool:
        return self.span.is_recording and self.span.status is SpanStatus.SUCCESS

    def record_exception(
        self,
        exception: BaseException,
        attributes: Attributes = None,
        timestamp: int | None = None,
        escaped: bool = False,
    ) -> None:
        """Record an exception as an event. `escaped` is deprecated in the conventions, and not recorded."""
        try:
            self.span._record_exception_at(exception, attributes, timestamp)
        except Exception as error:
            log.failed("otel record_exception", error)

    # --- its end ------------------------------------------------------------------------------------------------------

    def end(self, end_time: int | None = None) -> None:
        """End the span, now or at a time in nanoseconds since the Unix epoch.

        `trace.use_span` ends a span without telling it of a cancellation. So what is being handled right now is looked
        at: a cancellation that came after the start cancelled the span.
        """
        error = sys.exception()
        try:
            if error is not None and not self._is_cancelled_by(error):
                error = None
        except Exception as failure:
            log.failed("otel end", failure)
            error = None
        self.span._end_with(error, at=end_time)

    def _is_cancelled_by(self, error: BaseException) -> bool:
        if id(error) == self._handled or not self.span.is_recording:
            return False
        if self.span.status not in (SpanStatus.PENDING, SpanStatus.CANCELLED):
            return False
        return self._outcome(error) is SpanStatus.CANCELLED

    def _outcome(self, error: BaseException) -> SpanStatus:
        return judge(error, self.span._trace.settings.explain).status

    def leave(self, error: BaseException | None, *, records: bool, sets_status: bool, ends: bool) -> None:
        """Leave a block that `error` leaves, and end.

        Exceptions are told as the API tells them, in an event and a status, each if it is wanted; groups,
        cancellations and what else is no `Exception` by our own laws (docs/context.md), and only with the end.
        """
        try:
            if error is not None and self.span.is_recording:
                if self._is_plain(error):
                    self._tell(error, records, sets_status)
                elif ends and sets_status and not self._is_ok:
                    self.span._end_with(error)
        except Exception as failure:
            log.failed("leaving an otel span", failure)
        if ends and self.span.is_recording:
            self.span._end_with(None)

    def _is_plain(self, error: BaseException) -> bool:
        if not isinstance(error, Exception) or isinstance(error, BaseExceptionGroup):
            return False
        return self._outcome(error) is SpanStatus.ERROR

    def _tell(self, error: BaseException, records: bool, sets_status: bool) -> None:
        if not self.span._trace.settings.capture_content:
            withhold_quoting(error)
        if records:
            self.record_exception(error)
        if sets_status:
            self.set_status(trace.StatusCode.ERROR, f"{type(error).__name__}: {message_of(error)}")

    def __exit__(
        self, exc_type: type[BaseException] | None, exc_val: BaseException | None, exc_tb: TracebackType | None
    ) -> None:
        self.leave(exc_val, records=self._records, sets_status=self._sets_status, ends=True)

    # --- what instrumentations read -----------------------------------------------------------------------------------

    def get_span_context(self) -> trace.SpanContext:
        """What identifies the span."""
        try:
            if self._context is None:
                self._context = to_otel(self.span.context)
            return self._context
        except Exception as error:
            log.failed("otel get_span_context", error)
            return trace.INVALID_SPAN_CONTEXT

    def is_recording(self) -> bool:
        """Whether what is set will be seen by anybody."""
        return self.span.is_recording

    # The API has no more than this; but instrumentations read of a span that is recording what the SDK's has, too.

    @property
    def context(self) -> trace.SpanContext:
        """What identifies the span."""
        return self.get_span_context()

    @property
    def name(self) -> str:
        """What the span is called."""
        return self.span.name

    @property
    def kind(self) -> trace.SpanKind:
        """The side of a remote call."""
        return otel_kind_of(self.span)

    @property
    def attributes(self) -> Mapping[str, Any]:
        """What was recorded so far, read-only."""
        return self.span.attributes

    _attributes = attributes
    """OpenInference's name for them (`enable_genai_semconv`); it would raise in the program without."""

    @property
    def status(self) -> trace.Status:
        """What was said of how the work went."""
        code = STATUS_CODES.get(self.span.status, trace.StatusCode.UNSET)
        return trace.Status(code, self.span.status_message if code is trace.StatusCode.ERROR else None)

    @property
    def start_time(self) -> int:
        """Nanoseconds since the Unix epoch."""
        return self.span.start_time_ns

    @property
    def end_time(self) -> int | None:
        """Nanoseconds since the Unix epoch; None while the span is open."""
        return self.span.end_time_ns

    def __eq__(self, other: object) -> bool:
        return isinstance(other, OtelSpan) and other.span is self.span

    def __hash__(self) -> int:
        return hash(self.span)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.span!r}>"
