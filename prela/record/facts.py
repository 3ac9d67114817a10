"""What a record says of its span's time, read from its attributes and events. Pure.

`docs/analysis.md` lists the names. A value that is not of its type says nothing: anybody may write a trace file.
"""

from collections.abc import Iterable
from typing import Any, Final, NamedTuple

from prela.record.model import SpanRecord

STALL: Final = "prela.stall"
"""The event of a span that held its event loop."""
_LONGEST_SECONDS: Final = 1e9


class Times(NamedTuple):
    """Where a span's time went, in seconds; what nobody recorded is 0.0."""

    run: float
    ready: float
    wait: float
    is_sampled: bool
    """Looked at now and then, and not told by the event loop: the numbers are near the truth."""


def times(record: SpanRecord) -> Times | None:
    """How long a span ran, was ready to run, and waited; None where nobody recorded it."""
    get = record.attributes.get
    run, wait = seconds(get("prela.time.run")), seconds(get("prela.time.wait"))
    if run is None or wait is None:
        return None
    return Times(run, seconds(get("prela.time.ready")) or 0.0, wait, get("prela.time.sampled") is True)


class Stall(NamedTuple):
    """A time for which a span held its event loop."""

    begin: int
    """Nanoseconds since the Unix epoch."""
    end: int
    seconds: float
    stack: str
    """As it was meanwhile, on several lines, the innermost call last; empty where nobody saw it."""


def stalls(record: SpanRecord) -> list[Stall]:
    """How a span held its event loop. The events that tell it were added as each time was over."""
    found = []
    for event in record.events:
        if event.name == STALL and (held := seconds(event.attributes.get("prela.stall.duration"))) is not None:
            begin = max(record.start_time_unix_nano, event.time_unix_nano - round(held * 1e9))
            end = max(begin, event.time_unix_nano)
            found.append(Stall(begin, end, held, _stack(event.attributes.get("prela.stall.stack"))))
    return found


def _stack(value: Any) -> str:
    """A stack as text; what is recorded as a list of calls begins with the innermost."""
    if isinstance(value, list):
        return "\n".join(call for call in reversed(value) if isinstance(call, str))
    return value if isinstance(value, str) else ""


def culprits(record: SpanRecord) -> tuple[str, ...]:
    """The ids of the spans that held the event loop while this one was open."""
    return ids(record.attributes.get("prela.stall.victim_of"))


def exposed(record: SpanRecord) -> float | None:
    """For how many seconds at most a span was held up by others."""
    return seconds(record.attributes.get("prela.stall.exposed"))


def is_wait(record: SpanRecord) -> bool:
    """Whether a span is nothing but waiting: for a limiter, a semaphore, a lock."""
    return isinstance(record.attributes.get("prela.wait.for"), str)


def is_leaked(record: SpanRecord) -> bool:
    """Whether a span was never ended by its program, and was ended when it was collected."""
    return record.attributes.get("prela.leaked") is True


def seconds(value: Any) -> float | None:
    """A duration; None for what is none."""
    if isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < _LONGEST_SECONDS:
        return float(value)
    return None


def ids(*given: Any) -> tuple[str, ...]:
    """The ids among some values, and in lists of them, each once."""
    flat: Iterable[Any] = (item for value in given for item in (value if isinstance(value, list) else [value]))
    return tuple(dict.fromkeys(item for item in flat if isinstance(item, str) and item))
