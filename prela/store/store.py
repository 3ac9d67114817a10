"""A trace folder that can be asked: which traces, one trace, which spans, and what they come to.

Every question first takes in what is new in the folder. What the index does not have, attributes and texts, is looked
for in the files themselves.
"""

import os
import sqlite3
from collections.abc import Container, Iterator
from hashlib import blake2b
from pathlib import Path
from types import TracebackType
from typing import Any, Final, NamedTuple, Self, TypedDict, Unpack

import msgspec

from prela.record import jsonl
from prela.record.model import SpanRecord
from prela.record.text import INTERRUPTED, Pending
from prela.store.files import read_at
from prela.store.index import Index
from prela.store.intake import OnProgress, Progress
from prela.store.lines import span_number
from prela.store.liveness import look_at
from prela.store.query import Needles, Query, as_time, conditions, encodable, has_attributes, needles
from prela.store.series import Bucket, Series, series
from prela.store.totals import GROUPS, Total, needs_index_only, percentile, totals

__all__ = [
    "AmbiguousTraceError",
    "Bucket",
    "Counts",
    "Progress",
    "Query",
    "Series",
    "Store",
    "Total",
    "TraceFilter",
    "TraceSummary",
    "percentile",
]

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


class TraceFilter(TypedDict, total=False):
    """Which traces a list is of. What is left out, or None, does not matter."""

    errors_only: bool
    """Those in which a span has failed."""
    name: str | None
    """A part of the root's name, in any case; or the first digits of the trace's id."""
    service: str | None
    """The whole name of the root's service."""
    since: int | None
    """Nanoseconds since the Unix epoch; traces that start earlier are left out."""
    until: int | None
    """And those that start later."""


class Counts(NamedTuple):
    """How much the index knows of."""

    traces: int
    spans: int
    files: int
    bad_lines: int
    """Lines that hold no record."""


class _TraceLines(NamedTuple):
    """Which lines of which files a trace stands in."""

    trace_id: str
    files: list[tuple[int, bytes, str, bytes]]
    """Number, name, inode and first bytes, by name."""
    rows: list[tuple[int, int, int, int, int, int | None]]
    """File, offset and length of each line; span, start and end."""

    @property
    def revision(self) -> str:
        return blake2b(msgspec.msgpack.encode(tuple(self)), digest_size=12).hexdigest()

    @property
    def places(self) -> list[_Place]:
        """By the names of the files, and in each in the order of its lines."""
        found: dict[int, list[_Place]] = {number: [] for number, *_ in self.files}
        names = {number: name for number, name, *_ in self.files}
        for file, offset, length, *_ in self.rows:
            if file in found:  # else it came between the two questions, and is in the next revision
                found[file].append((names[file], offset, length))
        return [place for places in found.values() for place in places]


class AmbiguousTraceError(LookupError):
    """Several traces begin with the digits that were given."""


class Store:
    """A trace folder. Use it with `with`, or `close()` it.

    One thread at a time may use it, whichever that is; several at once need one each.

    Args:
        folder: Need not exist: then it holds nothing.
        index: Where the index is kept, if not in the folder.
        on_progress: Called while new lines are read. What it raises stops the reading; what was taken in by then
            may be kept, and the rest is taken in another time.
        refreshes: Whether each question first takes in what is new. If not, `refresh` does, of this store or of another
            on the same index.
    """

    def __init__(
        self,
        folder: Path,
        index: Path | None = None,
        on_progress: OnProgress = lambda progress: None,
        *,
        refreshes: bool = True,
    ) -> None:
        self.folder: Path = folder
        self._index = Index(folder, index)
        self._on_progress = on_progress
        self._refreshes = refreshes

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

    def _look(self) -> None:
        """What every question does first."""
        self.refresh() if self._refreshes else self._index.follow()

    @property
    def index_path(self) -> Path | None:
        """Where the index is kept; None in memory, where no other store shares it."""
        return self._index.path

    def bad_lines(self) -> int:
        """Lines that hold no record."""
        return self.counts().bad_lines

    def counts(self) -> Counts:
        """How much the index knows of now; takes in nothing."""
        traces = self._rows("SELECT count(*), coalesce(sum(spans), 0) FROM traces")[0]
        return Counts(*traces, *self._rows("SELECT count(*), coalesce(sum(bad), 0) FROM files")[0])

    # --- traces ---------------------------------------------------------------------------------------------------

    def traces(self, limit: int = 50, *, offset: int = 0, **wanted: Unpack[TraceFilter]) -> list[TraceSummary]:
        """The traces, newest first."""
        self._look()
        where, parameters = _trace_conditions(wanted)
        rows = self._rows(
            f"SELECT {_SUMMARY} FROM traces WHERE {where} ORDER BY start DESC, trace_id DESC LIMIT ? OFFSET ?",
            *parameters,
            _row_count(limit),
            _row_count(offset),
        )
        return [TraceSummary(*row) for row in rows]

    def count_traces(self, **wanted: Unpack[TraceFilter]) -> int:
        """How many traces there are."""
        self._look()
        where, parameters = _trace_conditions(wanted)
        found: int = self._rows(f"SELECT count(*) FROM traces WHERE {where}", *parameters)[0][0]
        return found

    def summary(self, trace_id: str) -> TraceSummary:
        """One trace as a list shows it; `trace_id` and what is raised are as in `trace`."""
        self._look()
        number, _ = self._trace_called(trace_id)
        return TraceSummary(*self._rows(f"SELECT {_SUMMARY} FROM traces WHERE id = ?", number)[0])

    def revision(self, trace_id: str) -> str:
        """A short text that is another one as soon as what `trace` returns may be.

        It tells which bytes of which files the trace stands in; `trace_id` and what is raised are as in `trace`.
        """
        return self._lines_of(trace_id).revision

    def trace_unless(self, trace_id: str, known: Container[str]) -> tuple[str, list[SpanRecord] | None]:
        """A trace's revision, and what `trace` returns at that revision; None for records of a revision that is known.

        `trace_id` and what is raised are as in `trace`.
        """
        lines = self._lines_of(trace_id)
        return lines.revision, None if lines.revision in known else self._records(lines)

    def trace(self, trace_id: str) -> list[SpanRecord]:
        """The records of one trace, one a span.

        Args:
            trace_id: Its first digits are enough, if they are enough; in any case.

        Raises:
            LookupError: There is no such trace.
            AmbiguousTraceError: There are several.
        """
        return self._records(self._lines_of(trace_id))

    def _lines_of(self, trace_id: str) -> "_TraceLines":
        self._look()
        number, whole = self._trace_called(trace_id)
        files = self._rows(
            "SELECT id, name, inode, head FROM files WHERE id IN (SELECT file FROM spans WHERE trace = ?) "
            "ORDER BY name",
            number,
        )
        rows = self._rows(
            "SELECT file, offset, length, span, start, end FROM spans WHERE trace = ? AND shown ORDER BY file, offset",
            number,
        )
        return _TraceLines(whole, files, rows)

    def _records(self, lines: "_TraceLines") -> list[SpanRecord]:
        return [record for _, record in self._read(lines.places) if record.trace_id == lines.trace_id]

    def pending(self, trace_id: str) -> dict[str, Pending]:
        """What is known of the spans of a trace that have not ended, by their ids; see `prela.store.liveness`.

        `trace_id` and what is raised are as in `trace`.
        """
        self._look()
        number, whole = self._trace_called(trace_id)
        places = self._places("s.trace = ? AND s.end IS NULL", number)
        files = {name: look_at(self.folder / os.fsdecode(name)) for name in {place[0] for place in places}}
        return {record.span_id: files[name] for (name, *_), record in self._read(places) if record.trace_id == whole}

    def interrupted(self, trace_id: str) -> frozenset[str]:
        """The ids of the spans of a trace that never ended, and whose program is over.

        `trace_id` and what is raised are as in `trace`.
        """
        return frozenset(span for span, known in self.pending(trace_id).items() if known.state == INTERRUPTED)

    def span(self, trace_id: str, span_id: str) -> SpanRecord:
        """The record of one span.

        Args:
            trace_id: As in `trace`.
            span_id: All of its digits.

        Raises:
            LookupError: There is no such trace, or no such span in it.
            AmbiguousTraceError: There are several such traces.
        """
        self._look()
        number, whole = self._trace_called(trace_id)
        places = self._places("s.trace = ? AND s.span = ?", number, span_number(encodable(span_id)))
        for _, record in self._read(places):
            if (record.trace_id, record.span_id) == (whole, span_id):
                return record
        raise LookupError(f"no span {span_id} in the trace {whole}")

    def first_error(self, trace_id: str) -> SpanRecord | None:
        """The span of a trace that failed first; None where none did.

        `trace_id` and what is raised are as in `trace`.
        """
        self._look()
        number, whole = self._trace_called(trace_id)
        is_error = "s.status = (SELECT id FROM words WHERE word = 'error')"
        places = self._places(f"s.trace = ? AND {is_error} ORDER BY s.end, s.start DESC, s.span LIMIT 1", number)
        return next((record for _, record in self._read(places) if record.trace_id == whole), None)

    def _places(self, where: str, *parameters: Any) -> list[_Place]:
        source = "spans s JOIN files f ON f.id = s.file"
        return self._rows(f"SELECT f.name, s.offset, s.length FROM {source} WHERE s.shown AND {where}", *parameters)

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
        self._look()
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
        if by not in GROUPS:
            raise ValueError(f"totals are by {', '.join(GROUPS)}, and not by {by!r}")
        needs_index_only(query or Query())
        self._look()
        return self._index.ask(lambda connection: totals(connection, by, query or Query()))

    def series(self, query: Query | None = None, buckets: int = 60) -> Series:
        """What the spans come to over time, in about that many intervals by when they started.

        Raises:
            ValueError: The query asks for attributes or text, which the index does not have.
        """
        needs_index_only(query or Query())
        self._look()
        return self._index.ask(lambda connection: series(connection, query or Query(), buckets))

    def _rows(self, sql: str, *parameters: Any) -> list[Any]:
        return self._index.ask(lambda connection: connection.execute(sql, parameters).fetchall())


_SUMMARY: Final = (
    "trace_id, coalesce(root, ''), coalesce(service, ''), start, (end - start) / 1e9, spans, errors, cancelled, open, "
    "coalesce(input_tokens, 0), coalesce(output_tokens, 0), cost"
)
"""The columns of a `TraceSummary`."""


def _trace_conditions(wanted: TraceFilter) -> tuple[str, list[Any]]:
    """SQL for after WHERE, and its parameters."""
    found, parameters = ["1"], list[Any]()
    if wanted.get("errors_only"):
        found.append("errors > 0")
    name, service = wanted.get("name"), wanted.get("service")
    if name:
        found.append("(instr(folded(root), ?) OR instr(lower(trace_id), ?) = 1)")
        parameters += [encodable(name).casefold()] * 2
    if service:
        found.append("service = ?")
        parameters.append(encodable(service))
    for condition, value in (("start >= ?", wanted.get("since")), ("start <= ?", wanted.get("until"))):
        if value is not None:
            found.append(condition)
            parameters.append(as_time(value))
    return " AND ".join(found), parameters


def _row_count(number: int) -> int:
    """A limit that SQLite takes; to it, a negative one means none."""
    return min(max(0, number), _MOST_ROWS)
