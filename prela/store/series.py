"""What the spans that a query finds come to, over time: in intervals of one length, by when they started."""

import sqlite3
from typing import Final, NamedTuple

from prela.store.query import Query, conditions
from prela.store.totals import SHARES, percentile, status_words

_SECOND: Final = 10**9
_LENGTHS: Final[tuple[int, ...]] = (
    *(step * int(10**power) for power in range(9) for step in (1, 2, 5)),
    *(seconds * _SECOND for seconds in (1, 2, 5, 10, 15, 30)),
    *(minutes * 60 * _SECOND for minutes in (1, 2, 5, 10, 15, 30)),
    *(hours * 3600 * _SECOND for hours in (1, 2, 3, 6, 12)),
    *(days * 86400 * _SECOND for days in (1, 2, 7)),
)
"""Nanoseconds that people count time in."""

_FEWEST: Final = 4
"""So that even between the first and the last time of 64 bits an interval's length is an integer to SQLite."""
_LAST_TIME: Final = (1 << 63) - 1


class Bucket(NamedTuple):
    """What the spans that started in one interval come to."""

    start: int
    """Nanoseconds since the Unix epoch; a whole multiple of the interval's length."""
    spans: int
    errors: int
    cancelled: int
    p50: float | None
    """Seconds; of spans that have ended. None where none has."""
    p95: float | None
    p99: float | None
    input_tokens: int
    output_tokens: int
    cost: float | None
    """US dollars; None where no span told any."""
    first: int | None = None
    """When the first of them started, in nanoseconds since the Unix epoch; None where there are none."""


class Series(NamedTuple):
    """Intervals of one length, in the order of time and without a hole."""

    length: int
    """Nanoseconds, in every interval."""
    buckets: tuple[Bucket, ...]


def interval(extent: int, most: int) -> int:
    """The shortest length that people count in, and of which no more than `most` make up an extent. Nanoseconds."""
    needed = -(-extent // most)
    for length in _LENGTHS:
        if length >= needed:
            return length
    week = _LENGTHS[-1]
    return -(-needed // week) * week


def series(connection: sqlite3.Connection, query: Query, most: int) -> Series:
    """About `most` intervals, at most one more, from the first to the last span; or of what the query says of time."""
    where, parameters = conditions(query)
    first, last = connection.execute(
        f"SELECT min(s.start), max(s.start) FROM spans s WHERE {where}", parameters
    ).fetchone()
    if first is None:
        return Series(0, ())
    begin = first if query.since is None else max(query.since, -_LAST_TIME)
    end = last if query.until is None else min(query.until, _LAST_TIME)
    length = interval(end - begin + 1, max(_FEWEST, most))
    origin = begin // length * length
    return Series(length, _buckets(connection, where, parameters, origin, length, (end - origin) // length + 1))


def _buckets(
    connection: sqlite3.Connection, where: str, parameters: list[object], origin: int, length: int, count: int
) -> tuple[Bucket, ...]:
    # Divided first: what lies between two times may need a bit more than SQLite's integers have. It rounds towards 0.
    number = f"(s.start / {length} - {origin // length} - (s.start % {length} < 0))"
    durations: list[list[float]] = [[] for _ in range(count)]
    for at, duration in connection.execute(
        f"SELECT {number}, (s.end - s.start) / 1e9 FROM spans s WHERE {where} AND s.end IS NOT NULL", parameters
    ):
        durations[at].append(duration)
    sums = {
        at: rest
        for at, *rest in connection.execute(
            f"SELECT {number}, count(*), sum(s.status = ?), sum(s.status = ?), coalesce(sum(s.input_tokens), 0), "
            f"coalesce(sum(s.output_tokens), 0), sum(s.cost), min(s.start) FROM spans s WHERE {where} GROUP BY 1",
            [*status_words(connection), *parameters],
        )
    }
    found = []
    for at, members in enumerate(durations):
        members.sort()
        spans, errors, cancelled, *usage = sums.get(at, (0, 0, 0, 0, 0, None, None))
        p50, p95, p99 = (percentile(members, share) if members else None for share in SHARES)
        found.append(Bucket(origin + at * length, spans, errors, cancelled, p50, p95, p99, *usage))
    return tuple(found)
