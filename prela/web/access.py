"""Who may ask: decisions about a request's headers, and the one place where they are carried out.

A server on loopback is reached by every page that the user's browser shows. So a request must name this server (a page
whose name was bound anew to 127.0.0.1 names its own), must not come from another site's page, and, where a token is
asked for, must bring it. All answers carry headers that keep a browser from taking a trace's text for more than text.
"""

import hmac
import ipaddress
import re
from collections.abc import Iterable
from http.cookies import CookieError, SimpleCookie
from typing import Final, NamedTuple
from urllib.parse import parse_qsl, quote, urlencode

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

_LOOPBACK: Final = frozenset({"localhost", "127.0.0.1", "[::1]"})
_EVERYWHERE: Final = frozenset({"0.0.0.0", "::"})
_LONGEST_TARGET: Final = 16 * 1024
"""Bytes of a path, and of a query."""
_DATA: Final = ("/api/", "/v1/")
_CSP: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "font-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'"
)
HEADERS: Final = {
    "content-security-policy": _CSP,
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "x-frame-options": "DENY",
}
"""On every answer, errors too."""


class Refusal(NamedTuple):
    """Why a request gets no answer."""

    status: int
    reason: str


class Access:
    """What a request must be like.

    Args:
        port: The one that the server listens at.
        host: The address that it is bound to, which is a name that it may be called by. Where it is bound to every
            address, any address is: a foreign page can only make its own *name* lead here.
        names: Further names it may be called by: "traces.example", at any port, or "traces.example:8443".
        token: What every request must bring; None for nothing.
    """

    def __init__(
        self, port: int, *, host: str = "127.0.0.1", names: Iterable[str] = (), token: str | None = None
    ) -> None:
        own = {*_LOOPBACK, _bracketed(host)}
        self._hosts = {f"{name}:{port}" for name in own} | (own if port == 80 else set())
        self._names = {name.lower() for name in names}
        self._port = port
        self._any_address = host in _EVERYWHERE
        self.token: str | None = token
        self.cookie: str = f"prela-token-{port}"
        """Named after the port, since cookies of one host are shared by all its ports."""

    def refusal(self, path: str, headers: Headers) -> Refusal | None:
        """Why this request is refused, whatever token it has; None if it is not."""
        hosts = headers.getlist("host")
        host = hosts[0].lower() if len(hosts) == 1 else ""
        if not self._is_ours(host):
            return Refusal(421, "this server is not called by that name; `prela serve --allow-host NAME` lets it be")
        for origin in headers.getlist("origin"):
            if origin.lower() not in (f"http://{host}", f"https://{host}"):
                return Refusal(403, "requests from pages of other sites are refused")
        if path.startswith(_DATA) and headers.get("sec-fetch-site", "none") not in ("same-origin", "none"):
            return Refusal(403, "requests from pages of other sites are refused")
        return None

    def _is_ours(self, host: str) -> bool:
        name = re.sub(r":\d{1,5}\Z", "", host, flags=re.ASCII)
        if host in self._hosts or host in self._names or name in self._names:
            return True
        return self._any_address and host == f"{name}:{self._port}" and _is_address(name)

    def has_token(self, headers: Headers) -> bool:
        """True where the request brings the token, or none is needed."""
        if self.token is None:
            return True
        scheme, _, given = headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer" and self.is_token(given.strip()):
            return True
        try:
            cookies = SimpleCookie("; ".join(headers.getlist("cookie")))
        except CookieError:
            return False
        return self.cookie in cookies and self.is_token(cookies[self.cookie].value)

    def is_token(self, given: str) -> bool:
        """True for the token; how long it takes to say so tells nothing of it."""
        return self.token is not None and hmac.compare_digest(
            given.encode(errors="surrogatepass"), self.token.encode(errors="surrogatepass")
        )


def _bracketed(host: str) -> str:
    return f"[{host.lower()}]" if ":" in host else host.lower()


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name.removeprefix("[").removesuffix("]"))
    except ValueError:
        return False
    return True


class Guard:
    """Lets through what `Access` lets through. Pure ASGI: it holds no body and starts no task."""

    def __init__(self, app: ASGIApp, access: Access) -> None:
        self._app = app
        self._access = access

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or have it answered."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        if scope["type"] != "http":
            await send({"type": "websocket.close"})
            return

        async def send_safely(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(HEADERS)
            await send(message)

        await (self._instead_of_app(scope) or self._app)(scope, receive, send_safely)

    def _instead_of_app(self, scope: Scope) -> Response | None:
        """The answer to a request that does not reach the application."""
        headers, query = Headers(scope=scope), scope["query_string"]
        if max(len(scope.get("raw_path") or b""), len(scope["path"]), len(query)) > _LONGEST_TARGET:
            return error(414, "the address is too long")
        refused = self._access.refusal(scope["path"], headers)
        if refused:
            return error(*refused)
        if b"token=" in query and scope["method"] == "GET" and not scope["path"].startswith(_DATA):
            return self._let_in(scope["path"], query)
        if not self._access.has_token(headers):
            reason = "this server needs its token: open the address that `prela serve` has printed"
            return error(401, reason, {"www-authenticate": "Bearer"})
        return None

    def _let_in(self, path: str, query: bytes) -> Response | None:
        """Take the token from a page's address into a cookie, and lead to the same address without it."""
        pairs = parse_qsl(query.decode("latin-1"), keep_blank_values=True)
        given = [value for name, value in pairs if name == "token"]
        if self._access.token is None or not given:
            return None
        if not self._access.is_token(given[0]):
            return error(401, "that is not this server's token")
        rest = urlencode([(name, value) for name, value in pairs if name != "token"])
        # One slash only: what begins with two would be another host.
        answer = RedirectResponse("/" + quote(path.lstrip("/")) + (f"?{rest}" if rest else ""), 303)
        answer.headers["cache-control"] = "no-store"
        answer.set_cookie(self._access.cookie, self._access.token, httponly=True, samesite="strict", path="/")
        return answer


def error(status: int, reason: str, headers: dict[str, str] | None = None) -> Response:
    """An answer that says what is wrong: `{"error": "a sentence"}`."""
    return JSONResponse({"error": reason}, status, {"cache-control": "no-store", **(headers or {})})
