"""Requests of `httpx` and `httpx2`, the same library under two names: each is a client span, and carries the trace on.

The public `send` of both clients is wrapped; every request passes there, those of `get` and `stream` too. A span covers
what `send` does: redirects, and the whole body unless it is streamed; of a streamed answer, up to its headers.
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
from prela.core.propagation import inject
from prela.core.silent import NO_SPAN
from prela.core.span import Span
from prela.integrations import http
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
    is_active: bool = False


_settings: Final = _Settings()


def instrument(*, tracer: Tracer | None = None, propagate: bool | Iterable[str] = True) -> list[str]:
    """Trace the requests of `httpx2` and `httpx`, of those that are installed, from now on.

    Calling it again changes nothing but the arguments in force.

    Args:
        tracer: Makes the spans; by default the process's, which records nothing before `prela.init()`.
        propagate: To which hosts `traceparent`, `tracestate` and `baggage` are sent: all, none, or those of a list such
            as `["*.example.com", "localhost"]`. Baggage is for those you trust with it.

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
        with span:
            _carry_on(request)
            try:
                response = original(self, request, *args, **kwargs)
            except Exception as error:
                span.set_attribute(http.ERROR_TYPE, http.error_type(error))
                raise
            _answered(span, response)
            return response

    return send


def _traced_async(original: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
    @wraps(original)
    async def send(self: Any, request: Any, *args: Any, **kwargs: Any) -> Any:
        span = _begun(request)
        with span:
            _carry_on(request)
            try:
                response = await original(self, request, *args, **kwargs)
            except Exception as error:
                span.set_attribute(http.ERROR_TYPE, http.error_type(error))
                raise
            _answered(span, response)
            return response

    return send


def _begun(request: Any) -> Span:
    """The span of a request, not started yet; one that records nothing where it is not to be traced."""
    try:
        if not _settings.is_active:
            return NO_SPAN
        url = request.url
        method = http.method_attributes(request.method)
        _, port = http.host_and_port(url.netloc.decode("ascii"), url.scheme)
        attributes = {
            **method,
            http.URL_FULL: http.url_to_record(str(url)),
            http.SERVER_ADDRESS: url.host,
            http.SERVER_PORT: port or 0,
        }
        return _settings.tracer.span(http.span_name(method[http.METHOD]), attributes=attributes, kind=SpanKind.CLIENT)
    except Exception as error:
        log.failed("tracing a request", error)
        return NO_SPAN


def _carry_on(request: Any) -> None:
    try:
        if _settings.is_active and _settings.hosts.match(request.url.host.lower()):
            inject(request.headers)
    except Exception as error:
        log.failed("tracing a request", error)


def _answered(span: Span, response: Any) -> None:
    try:
        status = int(response.status_code)
        span.set_attribute(http.STATUS_CODE, status)
        version = str(response.http_version).partition("/")[2]
        if version:
            span.set_attribute(http.PROTOCOL_VERSION, version)
        if status >= 400:
            span.set_attribute(http.ERROR_TYPE, str(status))
            span.set_status(SpanStatus.ERROR)
    except Exception as error:
        log.failed("tracing a request", error)
