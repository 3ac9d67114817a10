"""The beginning of a traced call: what is asked of the client becomes a span, or it is let through."""

from collections.abc import Mapping
from typing import Any, Final

from prela.core import log
from prela.core.private import keep_secret
from prela.core.propagation import inject
from prela.core.stand_in import is_suppressed
from prela.core.tracer import Tracer
from prela.integrations import semconv
from prela.integrations.stainless.call import Call, UnrecordedCall, current_call
from prela.integrations.stainless.provider import Provider, Request
from prela.record.enums import SpanKind

_DEFAULT_PORTS: Final = {"http": 80, "https": 443}


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
            if (below := current_call.get()) is not None and _asks(below, args, kwargs):
                return None  # a `request` that was replaced has called one that was, too
            if not is_suppressed():
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
        path, query = _path_of(str(options.url), url), _query_of(options)
        request = Request(str(options.method).upper(), path, body, str(url.host), streamed, query)
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


def _asks(call: Call, args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
    """Whether these are the arguments of this very call, passed on."""
    options = _options_of(args, kwargs)
    return options is not None and options is _options_of(call.args, call.kwargs)


def _options_of(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    return kwargs["options"] if "options" in kwargs else args[1] if len(args) > 1 else None


def _body_of(options: Any) -> Mapping[str, Any]:
    body = options.json_data if isinstance(options.json_data, Mapping) else {}
    extra = getattr(options, "extra_json", None)
    return {**body, **extra} if isinstance(extra, Mapping) else body


def _query_of(options: Any) -> Mapping[str, Any]:
    query = getattr(options, "params", None)
    return query if isinstance(query, Mapping) else {}


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
