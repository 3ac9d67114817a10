"""Requests of `httpx` and `httpx2`, the same library under two names: each is a client span, and carries the trace on.

The public `send` of both clients is wrapped; every request passes there, those of `get` and `stream` too. A span covers
what `send` does: redirects, and the whole body. Of an answer that is streamed it ends when that was read or closed,
which `httpx_bodies` watches.
"""

import fnmatch
import os
import re
import sys
from collections.abc import Awaitable, Callable, Iterable
from functools import wraps
from importlib import import_module
from threading import Lock
from types import ModuleType
from typing import Any, Final

from prela.aio.tracer import Tracer
from prela.aio.tracer import tracer as process_tracer
from prela.core import log
from prela.core.context import use_span
from prela.core.propagation import inject
from prela.core.silent import NO_SPAN
from prela.core.span import Span
from prela.integrations import http
from prela.integrations.httpx_bodies import failed, watched
from prela.record.enums import SpanKind, SpanStatus

MODULES: Final = ("httpx2", "httpx")

_lock = Lock()
_replaced: list[tuple[type, Callable[..., Any], Callable[..., Any]]] = []
"""Each class with its own `send`, and with the one that stands there now."""

if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=lambda: globals().update(_lock=Lock()))


class _Settings:
    """What calls of `instrument` change for wrappers that are in place."""

    tracer: Tracer = process_tracer
    hosts: re.Pattern[str] = re.compile("")
    methods: frozenset[str] = http.KNOWN_METHODS
    is_active: bool = False


_settings: Final = _Settings()


def instrument(
    *,
    tracer: Tracer | None = None,
    propagate: bool | Iterable[str] = True,
    methods: Iterable[str] = http.KNOWN_METHODS,
) -> list[str]:
    """Trace the requests of `httpx2` and `httpx`, of those that are installed, from now on.

    Calling it again changes nothing but the arguments in force.

    Args:
        tracer: Makes the spans; by default the process's, which records nothing before `prela.init()`.
        propagate: To which hosts `traceparent`, `tracestate` and `baggage` are sent: all, none, or those of a list such
            as `["*.example.com", "localhost"]`. Baggage is for those you trust with it.
        methods: The methods that are told by name, instead of HTTP's own; all others are `_OTHER`.

    Returns:
        The names of the libraries that are traced now.

    Raises:
        ImportError: Neither is installed.
    """
    with _lock:
        found = [module for name in MODULES if (module := _imported(name)) is not None]
        if not found:
            raise ImportError("neither httpx2 nor httpx is installed")
        _settings.tracer = tracer or process_tracer
        _settings.hosts = _pattern(propagate)
        _settings.methods = frozenset(methods)
        _settings.is_active = True
        known = [owner for owner, _, _ in _replaced]
        for module in found:
            for owner, wrapper in ((module.Client, _traced), (module.AsyncClient, _traced_async)):
                if owner not in known:
                    original = owner.send
                    owner.send = wrapper(original)
                    _replaced.append((owner, original, owner.send))
        return [module.__name__ for module in found]


def uninstrument() -> None:
    """Leave the libraries as they were, but for what others have wrapped since; that does nothing of ours any more."""
    with _lock:
        _settings.is_active = False
        for owner, original, ours in _replaced:
            if owner.__dict__.get("send") is ours:
                owner.send = original  # type: ignore[attr-defined]
        _replaced.clear()


def _imported(name: str) -> ModuleType | None:
    try:
        return import_module(name)
    except ImportError:
        return sys.modules.get(name)


def _pattern(propagate: bool | Iterable[str]) -> re.Pattern[str]:
    if isinstance(propagate, bool):
        return re.compile("" if propagate else "(?!)")
    hosts = [propagate] if isinstance(propagate, str) else list(propagate)
    return re.compile("|".join(fnmatch.translate(host.lower()) for host in hosts) or "(?!)")


def _traced(original: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(original)
    def send(self: Any, request: Any, *args: Any, **kwargs: Any) -> Any:
        span = _begun(request)
        if span is NO_SPAN:
            _carry_on(request)
            return original(self, request, *args, **kwargs)
        try:
            with use_span(span):
                _carry_on(request)
                response = original(self, request, *args, **kwargs)
        except BaseException as error:
            failed(span, error)
            raise
        _answered(span, response, kwargs.get("stream", False))
        return response

    return send


def _traced_async(original: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
    @wraps(original)
    async def send(self: Any, request: Any, *args: Any, **kwargs: Any) -> Any:
        span = _begun(request)
        if span is NO_SPAN:
            _carry_on(request)
            return await original(self, request, *args, **kwargs)
        try:
            with use_span(span):
                _carry_on(request)
                response = await original(self, request, *args, **kwargs)
        except BaseException as error:
            failed(span, error)
            raise
        _answered(span, response, kwargs.get("stream", False))
        return response

    return send


def _begun(request: Any) -> Span:
    """The span of a request; the one that records nothing where it is not to be traced."""
    try:
        if not _settings.is_active:
            return NO_SPAN
        url = request.url
        method = http.method_attributes(request.method, _settings.methods)
        _, port = http.host_and_port(url.netloc.decode("ascii"), url.scheme)
        attributes = {
            **method,
            http.URL_FULL: http.url_to_record(str(url)),
            http.SERVER_ADDRESS: url.host,
            http.SERVER_PORT: port or 0,
        }
        name = http.span_name(method[http.METHOD])
        return _settings.tracer.start_span(name, attributes=attributes, kind=SpanKind.CLIENT)
    except Exception as error:
        log.failed("tracing a request", error)
        return NO_SPAN


def _carry_on(request: Any) -> None:
    try:
        if _settings.is_active and _settings.hosts.match(request.url.host.lower()):
            inject(request.headers)
    except Exception as error:
        log.failed("tracing a request", error)


def _answered(span: Span, response: Any, is_streamed: bool) -> None:
    """The headers are here: the span ends, or its end is left to who reads the body."""
    try:
        _tell(span, response)
        if is_streamed and not response.is_closed:
            response.stream = watched(response.stream, span)
            return
    except Exception as error:
        log.failed("tracing a request", error)
    span.end()


def _tell(span: Span, response: Any) -> None:
    status = int(response.status_code)
    span.set_attribute(http.STATUS_CODE, status)
    version = str(response.http_version).partition("/")[2]
    if version:
        span.set_attribute(http.PROTOCOL_VERSION, version)
    if status >= 400:
        span.set_attribute(http.ERROR_TYPE, str(status))
        span.set_status(SpanStatus.ERROR)
    connection = response.extensions.get("network_stream")
    peer = connection.get_extra_info("server_addr") if connection is not None else None
    if isinstance(peer, tuple) and len(peer) >= 2:
        span.set_attributes({http.PEER_ADDRESS: peer[0], http.PEER_PORT: peer[1]})
