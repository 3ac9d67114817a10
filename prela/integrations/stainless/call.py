"""One call of a model under way, from the client's `request` to the last chunk of its answer, and its span.

The program waits for what is done here, so it is little: what is sent and what comes is held on to, and taken apart by
the worker (`completion`).
"""

import sys
from collections.abc import Callable, Mapping
from contextvars import ContextVar, Token
from typing import Any, Final, NamedTuple

from prela.core import log
from prela.core.private import keep_secret, keep_secrets_of, withhold, without_secrets
from prela.core.propagation import inject
from prela.core.silent import SUPPRESSION
from prela.core.span import Span, current_span
from prela.core.tracer import Tracer
from prela.integrations import semconv
from prela.integrations.stainless.completion import Completion
from prela.integrations.stainless.provider import Operation, Provider, Request
from prela.integrations.stainless.streams import is_stream, watch_body, watch_raw, watch_stream
from prela.integrations.stainless.timing import Timing
from prela.record.enums import SpanKind, SpanStatus

_BODY_LIMIT: Final = 8 * 1024 * 1024
"""Bytes of a body read by the program itself that are kept, to be looked into."""
_WEIGHED_AT: Final = 16
"""Events of a stream after which it is asked how much is held on to of them."""
_REQUEST_ID: Final = ("x-request-id", "request-id", "apim-request-id")
_DEFAULT_PORTS: Final = {"http": 80, "https": 443}

_get = current_span.get
_set = current_span.set
_reset = current_span.reset


class Caller:
    """Begins the calls of one client library.

    Args:
        tracer: Makes the spans.
        provider: Knows the API.
        stream_usage: Ask for the usage of streams that do not tell it unasked; the consumer then sees one chunk more.
        propagate: Send the trace's ids and the baggage along, as W3C's headers.
    """

    def __init__(
        self, tracer: Tracer, provider: Provider, *, stream_usage: bool = False, propagate: bool = False
    ) -> None:
        self.tracer = tracer
        self.provider = provider
        self.stream_usage = stream_usage
        self.propagate = propagate
        self.is_active = True
        """False after `uninstrument()`, for those who still hold a replaced method."""

    def begin(self, client: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> "Call | UnrecordedCall | None":
        """The call that begins; None where there is nothing to be done for it."""
        try:
            settings = self.tracer._settings
            if settings is None or not self.is_active:
                return None
            if (below := current_call.get()) is not None and below.asks(args, kwargs):
                return None  # a `request` that was replaced has called one that was, too
            if _get() is not SUPPRESSION:
                return self._begin(client, args, kwargs)
        except Exception as error:
            log.failed("tracing a call", error)
        # Below a traced call (one made by a callback of it) the steps of this one must not pass for its own.
        return None if current_call.get() is None else UnrecordedCall(None, args, kwargs)

    def _begin(self, client: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> "Call | UnrecordedCall":
        options = _options_of(args, kwargs)
        streamed = bool(kwargs.get("stream"))
        url = client.base_url
        body = _body_of(options)
        request = Request(str(options.method).upper(), _path_of(str(options.url), url), body, str(url.host), streamed)
        operation = self.provider.describe(request)
        attributes = {
            **operation.attributes,
            semconv.SERVER_ADDRESS: request.host,
            semconv.SERVER_PORT: url.port or _DEFAULT_PORTS.get(url.scheme),
        }
        span = self.tracer.start_span(operation.span_name, operation.span_type, attributes, kind=SpanKind.CLIENT)
        if not span.is_recording:
            return UnrecordedCall(span, args, kwargs)
        try:
            keep_secret(getattr(client, "api_key", None))
            if self.stream_usage and streamed:
                changed = self.provider.with_stream_usage(operation, body)
                if changed is not None:
                    args, kwargs = _with_options(args, kwargs, json_data=changed)
            if self.propagate:
                headers = options.headers if isinstance(options.headers, Mapping) else {}
                args, kwargs = _with_options(args, kwargs, headers=inject(dict(headers), span))
            return Call(span, self.provider, operation, streamed, body, args, kwargs)
        except Exception:
            span.end()
            raise


def _options_of(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    return kwargs["options"] if "options" in kwargs else args[1] if len(args) > 1 else None


def _body_of(options: Any) -> Mapping[str, Any]:
    body = options.json_data if isinstance(options.json_data, Mapping) else {}
    extra = getattr(options, "extra_json", None)
    return {**body, **extra} if isinstance(extra, Mapping) else body


def _path_of(url: str, base: Any) -> str:
    """The path below the base URL, also of an absolute URL."""
    path = url.partition("?")[0].partition("#")[0]
    if "://" in path:
        path = "/" + path.partition("://")[2].partition("/")[2]
        path = path.removeprefix(str(base.path).rstrip("/"))
    return "/" + path.strip("/")


def _with_options(
    args: tuple[Any, ...], kwargs: dict[str, Any], **changes: object
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """The arguments of `request` with other options; the caller's own are not changed."""
    options = _options_of(args, kwargs)
    changed = options.model_copy() if hasattr(options, "model_copy") else options.copy()
    for name, value in changes.items():
        setattr(changed, name, value)
    if "options" in kwargs:
        return args, {**kwargs, "options": changed}
    return (args[0], changed, *args[2:]), kwargs


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
        "_body_parts",
        "_chunks",
        "_completion",
        "_ended",
        "_first_chunk",
        "_first_step",
        "_handled",
        "_has_body",
        "_in_step",
        "_last_step",
        "_read_time",
        "_response",
        "_retries",
        "_status_code",
        "_streamed",
        "args",
        "clock",
        "kwargs",
        "provider",
        "reads_events",
        "span",
        "takes_items",
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
        self.reads_events: bool = False
        """Whether a `Stream` of the client reads the body."""
        self.takes_items: bool = True
        """Whether the items themselves are looked at: pieces of a body, or events that come without their text."""
        self.clock: Callable[[], int] = span._trace.clock
        """Nanoseconds, as the span has them."""
        self._streamed = streamed
        self._has_body = False  # whether one is being watched
        self._response: Any = None
        self._status_code = 0
        self._ended = False
        self._chunks = 0
        self._first_chunk = 0
        self._first_step = 0
        self._last_step = 0
        self._read_time = 0
        self._retries = 0
        self._in_step = False  # only told of steps in which the span could not be made current
        self._body_parts: list[bytes] = []
        self._handled = _identity(sys.exception())
        capture = span._trace.settings.capture_content
        self._completion = Completion(provider, operation, body, capture)

    def asks(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
        """Whether these are the arguments of this very call, passed on."""
        options = _options_of(args, kwargs)
        return options is not None and options is _options_of(self.args, self.kwargs)

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

    def begin_untold(self) -> "Token[Span | None] | None":
        """The client's own code runs for one more item, in a step in which the span must not be made current."""
        self._in_step = True
        return None

    def end_step(self, began: int, token: "Token[Span | None] | None", item: object = None) -> None:
        """It has, since a time by `clock`, with the span made current as the token says, and made an item, or none."""
        if token is None:
            self._in_step = False
        else:
            try:
                _reset(token)
            except (ValueError, RuntimeError):
                pass  # the step was finished in another context, as when the collector closes it
        clock = self.clock
        now = self._last_step = clock()
        self._read_time += now - began
        if item is not None:
            if not self._chunks:
                self._first_step, self._first_chunk = began, now
            self._chunks += 1
            if self.takes_items or not self._chunks % _WEIGHED_AT:
                self._look_at(item)

    def keep_events(self) -> Callable[[str], object]:
        """What keeps the text of an event of the stream."""
        return self._completion.keep_event

    def _look_at(self, item: Any) -> None:
        try:
            if not self.takes_items:
                self._completion.weigh()
            elif self.reads_events:
                self._completion.add_item(item)
            else:
                self._take_bytes(item)
        except Exception as error:
            log.failed("keeping an item of a stream", error)

    def _take_bytes(self, chunk: Any) -> None:
        self._completion.bytes_read += len(chunk)
        if self._completion.bytes_read <= _BODY_LIMIT:
            self._body_parts.append(chunk)

    def is_in_step(self) -> bool:
        """Whether the client's own code is running."""
        return self._in_step or _get() is self.span

    def completed(self) -> None:
        """The stream was read to its end."""
        self._end("completed")

    def closed(self, error: BaseException | None = None) -> None:
        """The response was closed, while `error` was being handled: its consumer was left by that.

        But not by what the program was handling already when it made the call. And the client closes the response too,
        within a step, when it has read all: then the step says how the stream ended.
        """
        if self._ended or self.is_in_step():
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
            self._end("closed_early" if self._chunks else "abandoned")

    def dropped_body(self) -> None:
        """Nobody holds the body any more, nor a stream that reads it."""
        if not self.reads_events:
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
        if self._streamed:
            attributes[semconv.STREAM_CHUNKS] = self._chunks
        if self._read_time:
            attributes[semconv.TIME_RECEIVE] = self._read_time / 1e9
            lasted = self._last_step - self._first_step if self._first_step else self._read_time
            attributes[semconv.TIME_CONSUMER] = max(0, lasted - self._read_time) / 1e9
        if self._first_chunk and self._streamed:
            attributes[semconv.TIME_TO_FIRST_CHUNK] = (self._first_chunk - span._start) / 1e9
        if completion.bytes_read:
            attributes[semconv.STREAM_BYTES] = completion.bytes_read
        if self._body_parts and completion.bytes_read <= _BODY_LIMIT:
            completion.take_body(b"".join(self._body_parts))
        self._body_parts = []
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
