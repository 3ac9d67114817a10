"""The HTTP client, over asyncio and trio, and what it was made for: one process, one loop."""

import base64
import os
import ssl
from collections.abc import Mapping
from typing import Final, NamedTuple
from urllib.request import getproxies, proxy_bypass

import anyio
import anyio.lowlevel
import httpx2

from prela.core.endpoint import OtlpSettings

_ANSWER_BYTES: Final = 64 * 1024
"""The most that is read of an answer: it says what was wrong, and need not say it at length."""
_PASSING: Final = (httpx2.TimeoutException, httpx2.NetworkError, httpx2.RemoteProtocolError, httpx2.ProxyError)
"""Failures of the connection that may pass."""

_left_behind: list[httpx2.AsyncHTTPTransport] = []
"""Those of a parent process: their sockets are the parent's, and closing them is its affair."""


class ConnectionFailedError(Exception):
    """No answer came, for a reason that may pass."""


class UntrustedServerError(Exception):
    """The server's certificate is not one that is trusted, and will not be the next time."""


class Answer(NamedTuple):
    """What the receiver said."""

    status: int
    headers: Mapping[str, str]
    content: bytes
    """The beginning of it, where it is long."""


class Connection:
    """Posts bodies to one URL, over a connection that is kept alive.

    By httpx2's transport and not by its client: what that adds, redirects, cookies, defaults, is not wanted here, and
    took a fifth of the time of a request. A transport belongs to the loop and the process that it was made in: after a
    fork, or in another loop, another is made.
    """

    def __init__(self, settings: OtlpSettings, headers: Mapping[str, str]) -> None:
        self._settings = settings
        self._url = httpx2.URL(settings.endpoint)
        self._headers = httpx2.Headers({**_authorization(self._url), **headers, **settings.headers})
        self._transport: httpx2.AsyncHTTPTransport | None = None
        self._made_in: tuple[int, object] | None = None

    async def post(self, content: bytes) -> Answer:
        """Post a body, and return the answer.

        Raises:
            ConnectionFailedError: There was none.
            UntrustedServerError: Its certificate is not trusted.
            Exception: It could not even be tried, and trying again would change nothing.
        """
        transport = self._transport_here()
        request = httpx2.Request("POST", self._url, headers=self._headers, content=content)
        url, timeout = self._settings.endpoint, self._settings.timeout
        try:
            with anyio.fail_after(timeout):
                response = await transport.handle_async_request(request)
                try:
                    return Answer(response.status_code, response.headers, await _beginning(response))
                finally:
                    await response.aclose()
        except TimeoutError:
            raise ConnectionFailedError(f"no answer from {_shown(url)} within {timeout:g} s") from None
        except _PASSING as error:
            if (untrusted := _untrusted(error)) is not None:
                raise UntrustedServerError(f"{_shown(url)}: {untrusted.verify_message}") from None
            raise ConnectionFailedError(f"{_shown(url)}: {type(error).__name__}: {error}") from None

    async def aclose(self) -> None:
        """Close the connection. A later post opens another."""
        transport, self._transport = self._transport, None
        if transport is not None and self._made_in == _here():
            await transport.aclose()

    def _transport_here(self) -> httpx2.AsyncHTTPTransport:
        here = _here()
        if self._transport is None or self._made_in != here:
            if self._transport is not None and self._made_in is not None and self._made_in[0] != here[0]:
                _left_behind.append(self._transport)
            self._transport = httpx2.AsyncHTTPTransport(
                verify=_tls(self._settings),
                limits=httpx2.Limits(max_connections=1, max_keepalive_connections=1),
                proxy=_proxy(self._url),
            )
            self._made_in = here
        return self._transport


def _here() -> tuple[int, object]:
    return os.getpid(), anyio.lowlevel.current_token().native_token


def _authorization(url: httpx2.URL) -> dict[str, str]:
    """The header for what stands before the host in a URL (RFC 7617)."""
    if not url.userinfo:
        return {}
    credentials = f"{url.username}:{url.password}".encode()
    return {"authorization": f"Basic {base64.b64encode(credentials).decode()}"}


def _proxy(url: httpx2.URL) -> str | None:
    """The proxy that the environment names for a URL: `HTTP_PROXY`, `HTTPS_PROXY`, `ALL_PROXY`, unless `NO_PROXY`."""
    proxies = getproxies()
    if proxy_bypass(f"{url.host}:{url.port}" if url.port else url.host):
        return None
    return proxies.get(url.scheme) or proxies.get("all")


def _tls(settings: OtlpSettings) -> ssl.SSLContext | bool:
    """What the server's certificate is checked with.

    Raises:
        OSError: A file is not there, or not what it should be.
    """
    if not settings.endpoint.startswith("https:"):
        return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # never used: and reading the system's certificates takes 20 ms
    if settings.certificate is None and settings.client_certificate is None:
        return True
    context = ssl.create_default_context(cafile=settings.certificate)
    if settings.client_certificate is not None:
        context.load_cert_chain(settings.client_certificate, settings.client_key)
    return context


def _untrusted(error: BaseException) -> ssl.SSLCertVerificationError | None:
    """What the TLS library said of the certificate, if that is why there is no connection."""
    cause: BaseException | None = error
    while cause is not None and not isinstance(cause, ssl.SSLCertVerificationError):
        cause = cause.__cause__ or cause.__context__
    return cause


async def _beginning(response: httpx2.Response) -> bytes:
    """The answer as it came over the wire: it is asked for uncompressed, and not decompressed if it is not."""
    found = bytearray()
    with anyio.CancelScope() as enough:
        async for piece in response.aiter_raw():
            found += piece[: _ANSWER_BYTES - len(found)]
            if len(found) == _ANSWER_BYTES:
                # Not `break`: it would leave the generators below this one to the collector, of which trio complains.
                enough.cancel()
    return bytes(found)


def _shown(url: str) -> str:
    """The URL without what may be secret in it."""
    parts = httpx2.URL(url)
    return str(parts.copy_with(userinfo=b"", query=None))
