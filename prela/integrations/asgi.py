"""A middleware for any ASGI application: each request, and each websocket, is a span.

Pure ASGI: it stands between server and application, hands every message on as it is, and looks at it on the way. The
span is current for the application, goes on with the caller's trace, and ends with the last message of the answer, or,
where the answer is an error, when the application has ended, which may say more.
"""

import fnmatch
import re
from collections.abc import Awaitable, Callable, Iterable, Mapping, MutableMapping
from time import perf_counter
from typing import Any, Final, TypeAlias

from prela.aio.tracer import Tracer
from prela.aio.tracer import tracer as process_tracer
from prela.core import log
from prela.core.context import use_span
from prela.core.propagation import RemoteContext, attach, extract
from prela.core.silent import NO_SPAN
from prela.core.span import Span
from prela.integrations import http
from prela.integrations.routes import route_of
from prela.record.enums import SpanKind, SpanStatus

Scope: TypeAlias = MutableMapping[str, Any]
Message: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Message]]
Send: TypeAlias = Callable[[Message], Awaitable[None]]
App: TypeAlias = Callable[[Scope, Receive, Send], Awaitable[None]]

FIRST_BYTE: Final = "prela.http.time_to_first_byte"
"""Seconds from the start of the span to the first byte of the body that was handed to the server."""
CLOSE_CODE: Final = "prela.websocket.close_code"
CLIENT_DISCONNECT: Final = "disconnect"

_SEEN: Final = "prela.traced"
"""Stands in the scope of a request that is traced already: an application inside another is not traced twice."""
_NORMAL_CLOSE: Final = frozenset({1000, 1001, 1005, None})


class TracingMiddleware:
    """Traces the requests of an ASGI application: `app = TracingMiddleware(app)`.

    Args:
        app: The application.
        exclude: Paths that are not traced, such as `["/health", "/static/*"]`; `*` stands for anything.
        tracer: Makes the spans; by default the process's, which records nothing before `prela.init()`.
        trust_caller: Go on with the trace that a request brings. Off for a server that strangers may call: then each
            request is a trace of its own, with a link to what it brought.
        methods: The methods that are told by name, instead of HTTP's own; all others are `_OTHER`.
    """

    def __init__(
        self,
        app: App,
        *,
        exclude: Iterable[str] = (),
        tracer: Tracer | None = None,
        trust_caller: bool = True,
        methods: Iterable[str] = http.KNOWN_METHODS,
    ) -> None:
        self.app: App = app
        self._methods = frozenset(methods)
        self._tracer = tracer or process_tracer
        self._trust_caller = trust_caller
        patterns = [exclude] if isinstance(exclude, str) else list(exclude)
        self._excluded = re.compile("|".join(map(fnmatch.translate, patterns)) or r"(?!)")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one connection."""
        watch, remote = self._watch(scope)
        if watch is None:
            await self.app(scope, receive, send)
            return
        with attach(remote), use_span(watch.span):
            try:
                await self.app(scope, watch.receiving(receive), watch.sending(send))
            except BaseException as error:
                watch.left(error)
                raise
            watch.left(None)

    def _watch(self, scope: Scope) -> "tuple[_Watch | None, RemoteContext]":
        nothing = RemoteContext(None, {})
        try:
            if scope["type"] not in ("http", "websocket") or _SEEN in scope or self._excluded.match(scope["path"]):
                return None, nothing
            remote = extract(scope["headers"])
            links = None
            if not self._trust_caller:
                links, remote = [remote.parent] if remote.parent else None, nothing
            attributes = _request_attributes(scope, self._methods)
            span = self._tracer.start_span(
                http.span_name(attributes[http.METHOD]),
                attributes=attributes,
                kind=SpanKind.SERVER,
                links=links,
                parent=remote.parent,
            )
            scope[_SEEN] = True
            if span is NO_SPAN:
                return None, remote
            return _Watch(span, scope, attributes[http.METHOD]), remote
        except Exception as error:
            log.failed("TracingMiddleware", error)
            return None, nothing


class _Watch:
    """One connection as its messages pass."""

    def __init__(self, span: Span, scope: Scope, method: str) -> None:
        self.span = span
        self._scope = scope
        self._method = method
        self._root = str(scope.get("root_path") or "")  # now: frameworks add to it what they mount
        self._began = perf_counter()
        self._is_websocket = scope["type"] == "websocket"
        self._status: int | None = None
        self._has_trailers = False
        self._has_begun = self._is_complete = self._is_gone = False

    def receiving(self, receive: Receive) -> Receive:
        """`receive`, looked at."""

        async def receive_and_look() -> Message:
            message = await receive()
            self._guarded(self._received, message)
            return message

        return receive_and_look

    def sending(self, send: Send) -> Send:
        """`send`, looked at once the server has taken the message."""

        async def send_and_look(message: Message) -> None:
            await send(message)
            self._guarded(self._sent, message)

        return send_and_look

    def left(self, error: BaseException | None) -> None:
        """The application has ended."""
        self._guarded(self._end, error)

    def _guarded(self, look: Callable[[Any], None], what: object) -> None:
        try:
            look(what)
        except Exception as failure:
            log.failed("TracingMiddleware", failure)

    def _received(self, message: Message) -> None:
        if message["type"] == "http.disconnect":
            self._is_gone = not self._is_complete  # servers also say so once all is done
        elif message["type"] == "websocket.disconnect" and not self._is_complete:
            self._is_complete = True
            code = message.get("code")
            self._is_gone = code not in _NORMAL_CLOSE
            if code is not None:
                self.span.set_attribute(CLOSE_CODE, code)

    def _sent(self, message: Message) -> None:
        kind = message["type"]
        if kind in ("http.response.start", "websocket.http.response.start"):
            self._has_trailers = bool(message.get("trailers"))
            self._answered(message["status"])
        elif kind in ("http.response.body", "websocket.http.response.body"):
            if message.get("body"):
                self._first_byte()
            if not message.get("more_body") and not self._has_trailers:
                self._complete()
        elif kind == "http.response.trailers" and not message.get("more_trailers"):
            self._complete()
        elif kind == "http.response.pathsend":
            self._first_byte()
            self._complete()
        elif kind == "websocket.accept":
            self._answered(101)
        elif kind == "websocket.close" and not self._is_complete:
            self._is_complete = True
            if self._status is None:
                self._answered(403)  # refused before it was accepted (ASGI specification, "Close - send event")
            else:
                self.span.set_attribute(CLOSE_CODE, message.get("code") or 1000)

    def _answered(self, status: int) -> None:
        if self._status is None:
            self._status = int(status)
            self.span.set_attribute(http.STATUS_CODE, self._status)

    def _first_byte(self) -> None:
        if not self._has_begun:
            self._has_begun = True
            self.span.set_attribute(FIRST_BYTE, perf_counter() - self._began)

    def _complete(self) -> None:
        self._is_complete = True
        if self._status is not None and self._status < 500:
            self._end(None)  # what the application still does, background tasks, is not part of the request

    def _end(self, error: BaseException | None) -> None:
        span = self.span
        if span.end_time_ns is not None or not span.is_recording:
            return
        self._name()
        if self._is_gone and not (isinstance(error, Exception) and not _tells_of_disconnect(error)):
            span.set_attribute("prela.cancel.cause", CLIENT_DISCONNECT)
            span.set_status(SpanStatus.CANCELLED)
            span.end()
            return
        if error is not None:
            if isinstance(error, Exception):
                span.set_attribute(http.ERROR_TYPE, http.error_type(error))
        elif self._status is not None and self._status >= 500:
            span.set_attribute(http.ERROR_TYPE, str(self._status))
            span.set_status(SpanStatus.ERROR)
        elif self._status is None and not self._is_websocket:
            span.set_attribute(http.ERROR_TYPE, http.OTHER)
            span.set_status(SpanStatus.ERROR, "the application ended without an answer")
        span._end_with(error)

    def _name(self) -> None:
        route = route_of(self._scope)
        if route is not None:
            if not route.startswith(self._root):
                route = self._root + route  # conventions, `http.route`: with the root of the application
            self.span.set_attribute(http.ROUTE, route)
            self.span.name = http.span_name(self._method, route)


def _tells_of_disconnect(error: Exception) -> bool:
    """Servers and frameworks tell who goes on sending by an error of the system, or one of this name."""
    return isinstance(error, OSError) or type(error).__name__ in ("ClientDisconnect", "ClientDisconnected")


def _request_attributes(scope: Mapping[str, Any], methods: frozenset[str]) -> dict[str, Any]:
    headers = {name.lower(): value for name, value in reversed(list(scope["headers"]))}
    scheme = scope.get("scheme") or ("ws" if scope["type"] == "websocket" else "http")
    found: dict[str, Any] = {
        **http.method_attributes(scope.get("method") or "GET", methods),
        http.URL_SCHEME: scheme,
        http.URL_PATH: scope["path"],
        http.PROTOCOL_VERSION: scope.get("http_version"),
    }
    if scope.get("query_string"):
        found[http.URL_QUERY] = http.query_to_record(scope["query_string"].decode("latin-1"))
    server = scope.get("server") or (None, None)
    host, port = http.host_and_port(headers[b"host"].decode("latin-1"), scheme) if b"host" in headers else server
    found[http.SERVER_ADDRESS], found[http.SERVER_PORT] = host, port
    client = scope.get("client")
    if client:
        found[http.CLIENT_ADDRESS] = found[http.PEER_ADDRESS] = client[0]
        found[http.PEER_PORT] = client[1]
    if b"user-agent" in headers:
        found[http.USER_AGENT] = headers[b"user-agent"].decode("latin-1")
    return {name: value for name, value in found.items() if value not in (None, "")}
