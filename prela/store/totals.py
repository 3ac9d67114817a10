"""What the spans that a query finds come to, by group. SQL for what is added up, Python for what is put in order."""

import math
import sqlite3
from typing import Any, Final, NamedTuple

from prela.store.query import Query, conditions


class Total(NamedTuple):
    """What the spans of one group come to."""

    group: str
    spans: int
    errors: int
    cancelled: int
    p50: float
    """Seconds; of spans that have ended."""
    p95: float
    p99: float
    input_tokens: int
    output_tokens: int
    cost: float | None


SHARES: Final = (0.5, 0.95, 0.99)
"""The percentiles that are told."""
GROUPS: Final = {
    "name": "s.name",
    "model": "s.model",
    "status": "s.status",
    "type": "s.type",
    "service": "s.service",
}


def needs_index_only(query: Query) -> None:
    """Let a query pass that the index alone can answer.

    Raises:
        ValueError: It asks for attributes or text, which stand in the files.
    """
    if query.attributes or query.text:
        raise ValueError("totals can be narrowed by name, model, type, status, service, time and duration only")


def totals(connection: sqlite3.Connection, by: str, query: Query) -> list[Total]:
    """The totals by one of `GROUPS`, the most frequent first."""
    group = GROUPS[by]
    where, parameters = conditions(query)
    durations: dict[int, list[float]] = {}
    for number, duration in connection.execute(
        f"SELECT {group}, (s.end - s.start) / 1e9 FROM spans s WHERE {where} AND s.end IS NOT NULL", parameters
    ):
        durations.setdefault(number, []).append(duration)
    for members in durations.values():
        members.sort()
    words = status_words(connection)
    rows = connection.execute(
        f"SELECT {group}, w.word, count(*), sum(s.status = ?), sum(s.status = ?), coalesce(sum(s.input_tokens), 0), "
        f"coalesce(sum(s.output_tokens), 0), sum(s.cost) FROM spans s JOIN words w ON w.id = {group} WHERE {where} "
        f"GROUP BY {group}",
        [*words, *parameters],
    ).fetchall()
    found = [
        Total(name, *counts, *(percentile(durations.get(number, []), share) for share in SHARES), *sums)
        for number, name, *both in rows
        for counts, sums in [(both[:3], both[3:])]
    ]
    return sorted(found, key=lambda total: (-total.spans, total.group))


def status_words(connection: sqlite3.Connection) -> tuple[int, int]:
    """The numbers of the words "error" and "cancelled"; one that no word has where there are none."""
    words: dict[str, Any] = dict(
        connection.execute("SELECT word, id FROM words WHERE word IN ('error', 'cancelled')").fetchall()
    )
    return words.get("error", -1), words.get("cancelled", -1)


def percentile(ordered: list[float], share: float) -> float:
    """The value below which a share of the ordered values lies, by the nearest rank; 0 of none."""
    if not ordered:
        return 0.0
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]
