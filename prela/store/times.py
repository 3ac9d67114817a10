"""Times as people write them when they ask for spans."""

import re
import time
from datetime import datetime
from typing import Final

_UNITS: Final = {"us": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, "w": 604800.0}
_NANOSECONDS: Final = re.compile(r"-?\d{15,19}", re.ASCII)
"""What is a point in time and no duration: as seconds it would be thirty million years."""


def read_duration(text: str) -> float:
    """A duration in seconds: "200ms", "1.5s", "2h"; a bare number is seconds.

    Raises:
        ValueError: It is none.
    """
    match = re.fullmatch(r"(\d{1,15}(?:\.\d{1,15})?)\s*([a-z]*)", text.strip().lower(), re.ASCII)
    if match is None or match[2] not in {"", *_UNITS}:
        raise ValueError(f"{text[:100]!r} is no duration; write 200ms, 1.5s, 10m, 2h or 7d")
    return float(match[1]) * _UNITS.get(match[2], 1.0)


def read_moment(text: str) -> int:
    """A point in time, in nanoseconds since the Unix epoch.

    "2h" and "2h ago" are two hours ago; or a date and time of ISO 8601, in the local zone unless it names one; or those
    nanoseconds.

    Raises:
        ValueError: It is none of these.
    """
    stripped = text.strip()
    if _NANOSECONDS.fullmatch(stripped):
        return int(stripped)
    try:
        return int(datetime.fromisoformat(stripped).timestamp() * 1e9)
    except (ValueError, OverflowError, OSError):
        pass
    try:
        return time.time_ns() - int(read_duration(stripped.lower().removesuffix("ago")) * 1e9)
    except ValueError:
        raise ValueError(f"{text[:100]!r} is no time; write 2h for two hours ago, or 2026-11-23T14:00") from None
