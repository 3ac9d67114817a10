"""Where spans go over OTLP, and how: the settings, and what is allowed for each.

Names, defaults and forms are those of OpenTelemetry's "OpenTelemetry Protocol Exporter" specification. Nothing here
reads the environment: that is `config`'s.
"""

import re
from collections.abc import Mapping
from hashlib import sha256
from typing import Any, Final, NamedTuple
from urllib.parse import unquote, urlsplit

DEFAULT_ENDPOINT: Final = "http://localhost:4318/v1/traces"
PROTOCOLS: Final = ("http/protobuf", "http/json")
COMPRESSIONS: Final = ("none", "gzip")
CANCELLED_AS: Final = ("unset", "error")
REQUEST_BYTES: Final = 64 * 1024 * 1024
_TOKEN: Final = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
"""A header's name (RFC 9110, section 5.6.2)."""


class OtlpSettings(NamedTuple):
    """What an OTLP exporter is told; see `prela.aio.exporters.otlp.OtlpExporter`."""

    endpoint: str = DEFAULT_ENDPOINT
    """The URL that traces are posted to."""
    headers: Mapping[str, str] = {}
    timeout: float = 10.0
    """Seconds that one request may take."""
    compression: str = "none"
    protocol: str = "http/protobuf"
    certificate: str | None = None
    """A file of certificates that the server's is checked against, in place of the system's."""
    client_certificate: str | None = None
    """A file with the client's certificate and those above it."""
    client_key: str | None = None
    """A file with the client's private key; None where it stands in the same file."""
    cancelled_as: str = "unset"


def checked_url(value: Any) -> str:
    """The URL, if OTLP can be posted to it.

    Raises:
        ValueError: It is none; says what is allowed.
    """
    try:
        found = urlsplit(value)
        good = found.scheme in ("http", "https") and bool(found.hostname) and (found.port is None or found.port > 0)
    except (ValueError, TypeError, AttributeError):
        good = False
    if not good or not isinstance(value, str) or not value.isprintable() or " " in value:
        raise ValueError("an http:// or https:// URL")
    return value


def url_of_traces(base: str) -> str:
    """The URL for traces below an endpoint that is for all signals ("Endpoint URLs for OTLP/HTTP").

    Raises:
        ValueError: The endpoint is no URL.
    """
    return f"{checked_url(base).rstrip('/')}/v1/traces"


def spool_name_of(endpoint: str) -> str:
    """What tells an endpoint from others, without what may be secret in it: its host, and digits that stand for all."""
    parts = urlsplit(endpoint)
    place = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"
    return f"otlp-{parts.netloc.rpartition('@')[2]}-{sha256(place.encode()).hexdigest()[:8]}"


def checked_headers(value: Any) -> dict[str, str]:
    """Headers, if they can be sent.

    Raises:
        ValueError: They cannot; says what is allowed.
    """
    allowed = "a mapping of header names to text without line breaks"
    if not isinstance(value, Mapping):
        raise ValueError(allowed)
    for name, text in value.items():
        if not isinstance(name, str) or not _TOKEN.fullmatch(name):
            raise ValueError(allowed)
        if not isinstance(text, str) or not text.isascii() or not (text.isprintable() or not text):
            raise ValueError(allowed)
    return dict(value)


def headers_of_list(text: str) -> dict[str, str]:
    """Headers from `name=value,name=value`, values percent-encoded ("Specifying headers via environment variables").

    Raises:
        ValueError: It is no such list.
    """
    found = {}
    for pair in text.split(","):
        name, equals, value = pair.partition("=")
        if pair.strip() and not equals:
            raise ValueError("name=value pairs, separated by commas")
        if equals:
            found[unquote(name.strip())] = unquote(value.strip())
    return checked_headers(found)


def one_of(*allowed: str) -> Any:
    """What takes one of these words.

    Raises:
        ValueError: (what it returns does) It is none of them.
    """

    def check(value: Any) -> str:
        if value not in allowed:
            raise ValueError(f"one of {', '.join(allowed)}")
        return str(value)

    return check
