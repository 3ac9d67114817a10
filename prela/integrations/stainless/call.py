"""One call of a model under way, from the client's `request` to the last chunk of its answer, and its span.

The program waits for what is done here, so it is little: what is sent and what comes is held on to, and taken apart by
the worker (`completion`).
"""

import sys
from collections.abc import Mapping
from contextvars import ContextVar, Token
from typing import Any, Final, NamedTuple

from prela.core import log
from prela.core.current import current_span
from prela.core.private import keep_secrets_of, withhold, without_secrets
from prela.core.span import Span
from prela.integrations import semconv
from prela.integrations.stainless.completion import Completion
from prela.integrations.stainless.provider import Operation, Provider
from prela.integrations.stainless.reading import Reading
from prela.integrations.stainless.streams import is_stream, watch_body, watch_raw, watch_stream
from prela.integrations.stainless.timing import Timing
from prela.record.enums import SpanStatus

_REQUEST_ID: Final = ("x-request-id", "request-id", "apim-request-id")

_set = current_span.set
_reset = current_span.reset


class Step(NamedTuple):
    """What is to be undone after a piece of the client's own code has run."""

    span: "Token[Span | None] | None"
    call: "Token[Call | None] | None"


class UnrecordedCall:
    """A call whose span is not recorded: its span is made current, so that those below are not recorded either."""

    def __init__(self, span: Span | None, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        self._span = span
        self.args = args
        self.kwargs = kwargs

    def enter(self) -> Step:
        """Begin the client's own code."""
        return Step(None if self._span is None else _set(self._span), current_call.set(None))

    def leave(self, step: Step) -> None:
        """End it."""
        _leave(step)

    def fail(self, error: BaseException) -> None:
        """Nothing is recorded."""

    def returned(self, result: object) -> None:
        """Nothing is recorded."""


class Call:
    """See the module. Its span ends exactly once: the first of `completed`, `closed`, `fail` and `dropped` ends it."""

    __slots__ = (
        "_completion",
        "_ended",
        "_handled",
        "_has_body",
        "_response",
        "_retries",
        "_status_code",
        "_streamed",
        "args",
        "kwargs",
        "provider",
        "reading",
        "span",
        "timing",
    )

    def __init__(
        self,
        span: Span,
        provider: Provider,
        operation: Operation,
        streamed: bool,
        body: Mapping[str, Any],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
    ) -> None:
        self.span: Span = span
        self.provider: Provider = provider
        self.args: tuple[Any, ...] = args
        self.kwargs: dict[str, Any] = kwargs
        self.timing: Timing = Timing(span._trace.clock)
        self._streamed = streamed
        self._has_body = False  # whether one is being watched
        self._response: Any = None
        self._status_code = 0
        self._ended = False
        self._retries = 0
        self._handled = _identity(sys.exception())
        capture = span._trace.settings.capture_content
        self._completion = Completion(provider, operation, body, capture)
        self.reading: Reading = Reading(span, self._completion)

    # --- the call itself ------------------------------------------------------------------------------------------

    def enter(self) -> Step:
        """Begin the client's own code: the span is current while it runs."""
        return Step(_set(self.span), current_call.set(self))

    def leave(self, step: Step) -> None:
        """End it."""
        _leave(step)

    def sends(self, request: Any) -> None:
        """Take note of an HTTP request, one for each attempt."""
        headers, url = request.headers, request.url
        keep_secrets_of(headers, url.params.multi_items() if url.query else ())

    def begin_retry(self, arguments: Mapping[str, Any]) -> tuple[int, dict[str, object]] | None:
        """Take note that an attempt failed, before the client sleeps."""
        try:
            self._retries += 1
            self.timing.gave_up()
            reason: dict[str, object] = {semconv.RETRY_ATTEMPT: self._retries}
            response, error = arguments.get("response"), sys.exception()
            if response is not None:
                reason[semconv.HTTP_STATUS] = response.status_code
            elif error is not None:
                reason[semconv.ERROR_TYPE] = type(error).__qualname__
            return self.span._trace.clock(), reason
        except Exception as failure:
            log.failed("recording a retry", failure)
            return None

    def end_retry(self, retry: tuple[int, dict[str, object]] | None) -> None:
        """Record the attempt, after the client slept, or was cancelled while it did."""
        try:
            if retry is not None:
                began, attributes = retry
                slept = self.span._trace.clock() - began
                self.timing.slept(slept)
                self.span.add_event(semconv.RETRY_EVENT, {**attributes, semconv.RETRY_WAIT: slept / 1e9})
        except Exception as failure:
            log.failed("recording a retry", failure)

    def receives(self, response: Any, *, waits: bool) -> None:
        """Take note of the response, before the client makes anything of it; `waits`: an asynchronous one."""
        try:
            self._response = response
            self._note_response(response)
            self._completion.content_type = response.headers.get("content-type", "")
            if not (response.is_closed or response.is_stream_consumed):
                watch_body(self, response, waits=waits)
                self._has_body = True
        except Exception as error:
            log.failed("watching a response", error)

    def _note_response(self, response: Any) -> None:
        self._status_code = response.status_code
        for name in _REQUEST_ID:
            if name in response.headers:
                self.span.set_attribute(semconv.REQUEST_ID, response.headers[name])
                break

    def returned(self, result: Any) -> None:
        """The client's `request` returned: end the span, or have it end with the stream."""
        response, self._response = self._response, None  # a response that is watched holds this call
        self.args, self.kwargs = (), {}
        try:
            if is_stream(result):
                watch_stream(self, result)
            elif self._has_body:
                if self._streamed and hasattr(result, "_parse"):
                    # Made here, since whoever holds the maker of it holds the client.
                    decoder = result._client._make_sse_decoder()
                    self._completion.make_decoder = lambda: decoder
                    watch_raw(self, result)
            else:
                if response is not None:
                    self._completion.take_body(response.content)
                self._end()
        except Exception as error:
            log.failed("recording a response", error)
            self._end()

    # --- the stream -----------------------------------------------------------------------------------------------

    def completed(self) -> None:
        """The stream was read to its end."""
        self._end("completed")

    def closed(self, error: BaseException | None = None) -> None:
        """The response was closed, while `error` was being handled: its consumer was left by that.

        But not by what the program was handling already when it made the call. And the client closes the response too,
        within a step, when it has read all: then the step says how the stream ended.
        """
        if self._ended or self.reading.is_in_step():
            return
        try:
            if error is None or _identity(error) == self._handled:
                pass
            elif self._is_cancellation(error):
                self._end(
                    "cancelled", error
                )  # or, by a GeneratorExit, which is how generators are closed, closed early
            else:
                self.span.set_attribute(semconv.STREAM_CONSUMER_ERROR, type(error).__qualname__)
        except Exception as failure:
            log.failed("telling how a stream was left", failure)
        self._end("closed_early")

    def dropped(self) -> None:
        """Nobody holds the stream any more."""
        if not self._ended:
            self._end("closed_early" if self.reading.items else "abandoned")

    def dropped_body(self) -> None:
        """Nobody holds the body any more, nor a stream that reads it."""
        if not self.reading.reads_events:
            self.dropped()

    # --- the end --------------------------------------------------------------------------------------------------

    def fail(self, error: BaseException) -> None:
        """An exception is on its way to the program."""
        self._end("error", error)

    def _take_unreturned_body(self) -> None:
        """A response that came whole and was paid for, though the client raised over it, as `parse()` may."""
        response, self._response = self._response, None
        if response is not None and not self._has_body:
            self._completion.take_body(response.content)

    def _is_cancellation(self, error: BaseException) -> bool:
        return not isinstance(error, Exception) or self.span._trace.settings.explain(error) is not None

    def _end(self, outcome: str = "completed", error: BaseException | None = None) -> None:
        if self._ended:
            return
        self._ended = True
        self._response = None
        try:
            self._record_end(outcome, error)
        except Exception as failure:
            log.failed("recording the end of a call", failure)
        self.span._end_with(error, stream=outcome if self._streamed or self._has_body else None)

    def _record_end(self, outcome: str, error: BaseException | None) -> None:
        span, completion = self.span, self._completion
        if error is not None:
            self._record_error(error)
        attributes: dict[str, object] = dict(self.timing.attributes(span._trace.clock()))
        if self._status_code:
            attributes[semconv.HTTP_STATUS] = self._status_code
        if self._retries:
            attributes[semconv.HTTP_RESEND] = self._retries
        attributes.update(self.reading.attributes(self._streamed))
        self.reading.hand_over_body()
        span.set_attributes(attributes)
        if error is None:
            self._record_failure()
        span._complete_later(completion, completion.size, completion.texts)

    def _record_error(self, error: BaseException) -> None:
        self._take_unreturned_body()
        if not self.span._trace.settings.capture_content:
            withhold(error)
        if isinstance(error, Exception) and self.span._trace.settings.explain(error) is None:
            self.span.set_attribute(semconv.ERROR_TYPE, type(error).__qualname__)
        response = getattr(error, "response", None)
        if hasattr(response, "status_code") and hasattr(response, "headers"):
            self._note_response(response)

    def _record_failure(self) -> None:
        """A failure that the response tells, and no exception."""
        failure = self._completion.failure()
        if failure is not None:
            shown = failure.message is not None and self.span._trace.settings.capture_content
            self.span.set_attribute(semconv.ERROR_TYPE, failure.type)
            self.span.set_status(SpanStatus.ERROR, without_secrets(str(failure.message)) if shown else None)


current_call: ContextVar[Call | None] = ContextVar("prela.current_call", default=None)
"""The call whose client's own code is running."""


def _identity(error: BaseException | None) -> tuple[type, int]:
    """What an exception is known by to those who must not hold it."""
    return type(error), id(error)


def _leave(step: Step) -> None:
    try:
        if step.call is not None:
            current_call.reset(step.call)
        if step.span is not None:
            _reset(step.span)
    except (ValueError, RuntimeError):
        pass  # the coroutine was closed in another context
