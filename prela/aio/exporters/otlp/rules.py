"""What an answer means (OTLP specification, "OTLP/HTTP Response"). Plain functions.

When to try again is `prela.core.retry`'s.
"""

from datetime import UTC
from email.utils import parsedate_to_datetime
from enum import Enum
from typing import Final

_RETRYABLE: Final = frozenset({429, 502, 503, 504})
_TOO_LARGE: Final = 413


class Verdict(Enum):
    """What to do after an answer."""

    TAKEN = "taken"
    TRY_AGAIN = "try again"
    SPLIT = "split"
    """The request was too large: its halves may not be."""
    REFUSED = "refused"
    """For good: the same request would be refused again."""


def verdict_on(status: int) -> Verdict:
    """What the status of an answer means."""
    if 200 <= status < 300:
        return Verdict.TAKEN
    if status in _RETRYABLE:
        return Verdict.TRY_AGAIN
    return Verdict.SPLIT if status == _TOO_LARGE else Verdict.REFUSED


def seconds_to_wait(retry_after: str | None, now: float) -> float | None:
    """What a `Retry-After` asks for, in either of its forms (RFC 9110, section 10.2.3): seconds, or a date.

    Args:
        retry_after: The header's value; None where there is none.
        now: Seconds since the Unix epoch.

    Returns:
        Seconds from now, 0 for a date gone by; None where the header says nothing that can be understood.
    """
    text = (retry_after or "").strip()
    if text.isascii() and text.isdecimal():
        return float(text[:18])
    try:
        date = parsedate_to_datetime(text)
    except ValueError:
        return None
    if date.tzinfo is None:
        date = date.replace(tzinfo=UTC)
    return max(0.0, date.timestamp() - now)


def rejected_of(told: int, sent: int) -> int:
    """How many spans a partial success counts as rejected: what the receiver said, within what it was sent."""
    return max(0, min(told, sent))
