"""HTTP on a span: the names and values of OpenTelemetry's semantic conventions, for servers and clients alike.

"Semantic Conventions for HTTP Spans" (stable since 1.23). Pure: text in, attributes out.
"""

import re
from collections.abc import Collection
from typing import Final
from urllib.parse import SplitResult, urlsplit

METHOD: Final = "http.request.method"
METHOD_ORIGINAL: Final = "http.request.method_original"
STATUS_CODE: Final = "http.response.status_code"
ROUTE: Final = "http.route"
URL_FULL: Final = "url.full"
URL_SCHEME: Final = "url.scheme"
URL_PATH: Final = "url.path"
URL_QUERY: Final = "url.query"
SERVER_ADDRESS: Final = "server.address"
SERVER_PORT: Final = "server.port"
CLIENT_ADDRESS: Final = "client.address"
PEER_ADDRESS: Final = "network.peer.address"
PEER_PORT: Final = "network.peer.port"
PROTOCOL_VERSION: Final = "network.protocol.version"
USER_AGENT: Final = "user_agent.original"
ERROR_TYPE: Final = "error.type"

OTHER: Final = "_OTHER"
KNOWN_METHODS: Final = frozenset(
    {"CONNECT", "DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT", "QUERY", "TRACE"}
)
_DEFAULT_PORTS: Final = {"http": 80, "https": 443, "ws": 80, "wss": 443}
_SECRETS: Final = re.compile(r"(?i)((?:^|&)(?:awsaccesskeyid|signature|sig|x-goog-signature)=)[^&]*")
"""Parameters whose values the conventions have redacted by default."""


def method_attributes(method: str, known: Collection[str] = KNOWN_METHODS) -> dict[str, str]:
    """The request's method; what is none of those known becomes `_OTHER`, so that it cannot be made to vary at will."""
    if method in known:
        return {METHOD: method}
    upper = method.upper()
    return {METHOD: upper if upper in known else OTHER, METHOD_ORIGINAL: method}


def span_name(method: str, target: str | None = None) -> str:
    """The name of an HTTP span: the method, and the route or template where it is known. Never the path itself."""
    first = "HTTP" if method == OTHER else method
    return f"{first} {target}" if target else first


def query_to_record(query: str) -> str:
    """The query of a URL without what the conventions hold to be secret."""
    return _SECRETS.sub(r"\1REDACTED", query)


def url_to_record(url: str) -> str:
    """A URL without the credentials in it, and without what its query holds of secrets."""
    parts = urlsplit(url)
    host = parts.netloc.rpartition("@")[2]
    netloc = f"REDACTED:REDACTED@{host}" if "@" in parts.netloc else host
    return SplitResult(parts.scheme, netloc, parts.path, query_to_record(parts.query), parts.fragment).geturl()


def host_and_port(authority: str, scheme: str) -> tuple[str, int | None]:
    """A host and its port from what stands in a `Host` header; the scheme's own port where it names none."""
    try:
        parts = urlsplit(f"//{authority}")
        return parts.hostname or "", parts.port or _DEFAULT_PORTS.get(scheme)
    except ValueError:
        return "", None


def error_type(error: BaseException) -> str:
    """The value of `error.type` for an exception: its qualified name."""
    kind = type(error)
    return kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"
