"""When to try an export again: exponential backoff with full jitter, bounded in time."""

from collections.abc import Callable
from random import uniform
from typing import Final

SHORTEST_DELAY: Final = 0.05
"""Seconds that even a receiver asking for less is given."""
FIRST_DELAY: Final = 0.5
LONGEST_DELAY: Final = 30.0
_STEPS: Final = 16
"""Doublings after which the longest delay is reached for certain: more would be no number any more."""
GIVE_UP_AFTER: Final = 60.0
"""Seconds since the first attempt, past which a batch is given up."""


def delay_before_retry(
    attempt: int,
    elapsed: float,
    retry_after: float | None,
    *,
    draw: Callable[[float, float], float] = uniform,
) -> float | None:
    """Seconds to wait before the next attempt, or None to give up.

    Args:
        attempt: How many attempts have failed; 1 after the first.
        elapsed: Seconds since the first attempt began.
        retry_after: What the receiver asked for, in seconds; it is waited in full, if at all.
        draw: Draws a number between two; `random.uniform`, but for tests.
    """
    delay = delay_until_next(attempt, retry_after, draw=draw)
    return None if elapsed + delay > GIVE_UP_AFTER else delay


def delay_until_next(
    attempt: int, retry_after: float | None, *, draw: Callable[[float, float], float] = uniform
) -> float:
    """Seconds to wait before the next attempt, where nothing is given up. The arguments are those above."""
    longest = min(LONGEST_DELAY, FIRST_DELAY * 2 ** min(attempt - 1, _STEPS))
    return max(SHORTEST_DELAY, retry_after if retry_after is not None else draw(0.0, longest))


def seconds_or_none(given: object) -> float | None:
    """What an exporter gave for `retry_after`, as seconds; None where it is none."""
    try:
        seconds = float(given)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return None
    return seconds if 0.0 <= seconds < float("inf") else None
