"""A trace folder that can be asked: which traces, one trace, which spans, and what they come to.

Every question first takes in what is new in the folder. What the index does not have, attributes and texts, is looked
for in the files themselves.
"""

import math
import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, Final, NamedTuple, Self

from prela.record import jsonl
from prela.record.model import SpanRecord
from prela.store.files import read_at
from prela.store.index import Index
from prela.store.intake import OnProgress, Progress
from prela.store.query import Needles, Query, conditions, encodable, has_attributes, needles

__all__ = ["AmbiguousTraceError", "Progress", "Query", "Store", "Total", "TraceSummary", "percentile"]

_PAGE: Final = 1_000
_MOST_ROWS: Final = (1 << 63) - 1
_Place = tuple[bytes, int, int]
"""File, offset and length of a line."""


class TraceSummary(NamedTuple):
    """One trace, as a list shows it."""

    trace_id: str
    name: str
    """Of its root; of its earliest span where no root is there."""
    service: str
    start: int
    """Nanoseconds since the Unix epoch."""
    duration: float
    """Seconds from the first start to the last end."""
    spans: int
    errors: int
    cancelled: int
    open: int
    """Spans without an end."""
    input_tokens: int
    output_tokens: int
    cost: float | None
    """US dollars; None where no span told any."""


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


class AmbiguousTraceError(LookupError):
    """Several traces begin with the digits that were given."""


class Store:
    """A trace folder. Use it with `with`, or `close()` it.

    One thread at a time may use it, whichever that is; several at once need one each.

    Args:
        folder: Need not exist: then it holds nothing.
        index: Where the index is kept, if not in the folder.
        on_progress: Called while new lines are read.
    """

    def __init__(
        self,
        folder: Path,
        index: Path | None = None,
        on_progress: OnProgress = lambda progress: None,
    ) -> None:
        self.folder: Path = folder
        self._index = Index(folder, index)
        self._on_progress = on_progress

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the index."""
        self._index.close()

    @property
    def notice(self) -> str | None:
        """A word about the index, if something was amiss with it."""
        return self._index.notice

    def refresh(self) -> None:
        """Take in what is new in the folder.

        Raises:
            OSError: The folder is there, and may not be read.
        """
        self._index.refresh(self._on_progress)

    def bad_lines(self) -> int:
        """Lines that hold no record."""
        found: int = self._rows("SELECT coalesce(sum(bad), 0) FROM files")[0][0]
        return found

    # --- traces ---------------------------------------------------------------------------------------------------

    def traces(self, limit: int = 50, *, offset: int = 0, errors_only: bool = False) -> list[TraceSummary]:
        """The traces, newest first."""
        self.refresh()
        where = "WHERE errors > 0" if errors_only else ""
        rows = self._rows(
            "SELECT trace_id, coalesce(root, ''), coalesce(service, ''), start, (end - start) / 1e9, spans, errors, "
            "cancelled, open, coalesce(input_tokens, 0), coalesce(output_tokens, 0), cost "
            f"FROM traces {where} ORDER BY start DESC, trace_id DESC LIMIT ? OFFSET ?",
            _row_count(limit),
            _row_count(offset),
        )
        return [TraceSummary(*row) for row in rows]

    def trace(self, trace_id: str) -> list[SpanRecord]:
        """The records of one trace, one a span.

        Args:
            trace_id: Its first digits are enough, if they are enough; in any case.

        Raises:
            LookupError: There is no such trace.
            AmbiguousTraceError: There are several.
        """
        self.refresh()
        number, whole = self._trace_called(trace_id)
        places = self._rows(
            "SELECT f.name, s.offset, s.length FROM spans s JOIN files f ON f.id = s.file "
            "WHERE s.trace = ? AND s.shown ORDER BY f.name, s.offset",
            number,
        )
        return [record for _, record in self._read(places) if record.trace_id == whole]

    def _trace_called(self, trace_id: str) -> tuple[int, str]:
        found: dict[str, int] = {}
        for begin in {encodable(trace_id), encodable(trace_id).lower(), encodable(trace_id).upper()}:
            rows = self._rows(
                "SELECT trace_id, id FROM traces WHERE trace_id >= ? AND trace_id < ? ORDER BY trace_id LIMIT 2",
                begin,
                begin + "\U0010ffff",
            )
            found.update(rows)
        exact = [whole for whole in (trace_id, trace_id.lower(), trace_id.upper()) if whole in found]
        if not found:
            raise LookupError(f"no trace {trace_id} in {self.folder}")
        if len(found) > 1 and not exact:
            raise AmbiguousTraceError(f"several traces begin with {trace_id}")
        whole = (exact or list(found))[0]
        return found[whole], whole

    def _read(self, places: list[_Place]) -> Iterator[tuple[_Place, SpanRecord]]:
        """The records at some places, file by file; what is gone since is left out."""
        by_file: dict[bytes, list[tuple[int, int]]] = {}
        for name, offset, length in places:
            by_file.setdefault(name, []).append((offset, length))
        for name, within in by_file.items():
            for place, line in zip(within, read_at(self.folder / os.fsdecode(name), within), strict=True):
                try:
                    if line is not None:
                        yield (name, *place), jsonl.decode(line)
                except (ValueError, RecursionError):
                    pass  # the file was written anew since; or values nest deeper than Python may

    # --- spans ----------------------------------------------------------------------------------------------------

    def search(self, query: Query, limit: int = 100) -> list[SpanRecord]:
        """The spans that a query finds, newest first, as they stand in the files."""
        self.refresh()
        return self._index.ask(lambda connection: self._found(connection, query, max(0, limit)))

    def _found(self, connection: sqlite3.Connection, query: Query, limit: int) -> list[SpanRecord]:
        where, parameters = conditions(query)
        wanted = needles(query)
        source = "spans s"
        if wanted:
            self._mark_hits(connection, wanted)
            source = "hits CROSS JOIN spans s ON s.file = hits.file AND s.offset = hits.offset"
        cursor = connection.execute(
            f"SELECT f.name, s.offset, s.length FROM {source} JOIN files f ON f.id = s.file WHERE {where} "
            "ORDER BY s.start DESC, s.trace DESC, s.span DESC LIMIT ?",
            [*parameters, _MOST_ROWS if query.attributes else _row_count(limit)],
        )
        found: list[SpanRecord] = []
        try:
            while len(found) < limit and (places := cursor.fetchmany(min(limit, _PAGE))):
                read = dict(self._read(places))
                records = [read[place] for place in places if place in read]
                found += [record for record in records if has_attributes(record, query.attributes)]
        finally:
            cursor.close()  # and with it, what it holds of the index
        found.sort(key=lambda record: (record.start_time_unix_nano, record.trace_id, record.span_id), reverse=True)
        return found[:limit]

    def _mark_hits(self, connection: sqlite3.Connection, wanted: Needles) -> None:
        connection.execute("CREATE TEMP TABLE IF NOT EXISTS hits (file INTEGER, offset INTEGER)")
        connection.execute("DELETE FROM hits")
        connection.execute("BEGIN")
        try:
            for number, name, end in connection.execute("SELECT id, name, read FROM files").fetchall():
                path = self.folder / os.fsdecode(name)
                rows = ((number, offset) for offset in wanted.offsets(path, end))
                connection.executemany("INSERT INTO hits VALUES (?, ?)", rows)
        finally:
            connection.execute("COMMIT")

    # --- totals ---------------------------------------------------------------------------------------------------

    def totals(self, by: str = "name", query: Query | None = None) -> list[Total]:
        """What the spans come to, by `name`, `model`, `status`, `type` or `service`; the most frequent first.

        Raises:
            ValueError: No such grouping; or the query asks for attributes or text, which the index does not have.
        """
        if by not in _GROUPS:
            raise ValueError(f"totals are by {', '.join(_GROUPS)}, and not by {by!r}")
        query = query or Query()
        if query.attributes or query.text:
            raise ValueError("totals can be narrowed by name, type, status, service, time and duration only")
        self.refresh()
        found = self._index.ask(lambda connection: _totals(connection, _GROUPS[by], *conditions(query)))
        return sorted(found, key=lambda total: (-total.spans, total.group))

    def _rows(self, sql: str, *parameters: Any) -> list[Any]:
        return self._index.ask(lambda connection: connection.execute(sql, parameters).fetchall())


_GROUPS: Final = {
    "name": "s.name",
    "model": "s.model",
    "status": "s.status",
    "type": "s.type",
    "service": "s.service",
}


def _row_count(number: int) -> int:
    """A limit that SQLite takes; to it, a negative one means none."""
    return min(max(0, number), _MOST_ROWS)


def _totals(connection: sqlite3.Connection, group: str, where: str, parameters: list[Any]) -> list[Total]:
    durations: dict[int, list[float]] = {}
    for number, duration in connection.execute(
        f"SELECT {group}, (s.end - s.start) / 1e9 FROM spans s WHERE {where} AND s.end IS NOT NULL", parameters
    ):
        durations.setdefault(number, []).append(duration)
    for members in durations.values():
        members.sort()
    words = dict(connection.execute("SELECT word, id FROM words WHERE word IN ('error', 'cancelled')"))
    rows = connection.execute(
        f"SELECT {group}, w.word, count(*), sum(s.status = ?), sum(s.status = ?), coalesce(sum(s.input_tokens), 0), "
        f"coalesce(sum(s.output_tokens), 0), sum(s.cost) FROM spans s JOIN words w ON w.id = {group} WHERE {where} "
        f"GROUP BY {group}",
        [words.get("error", -1), words.get("cancelled", -1), *parameters],
    ).fetchall()
    return [
        Total(name, *counts, *(percentile(durations.get(number, []), share) for share in (0.5, 0.95, 0.99)), *sums)
        for number, name, *both in rows
        for counts, sums in [(both[:3], both[3:])]
    ]


def percentile(ordered: list[float], share: float) -> float:
    """The value below which a share of the ordered values lies, by the nearest rank; 0 of none."""
    if not ordered:
        return 0.0
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]
