"""A trace folder that can be asked: which traces, one trace, which spans, and what they come to.

Every question first takes in what is new in the folder. What the index does not have, attributes and texts, is looked
for in the files themselves.
"""

import json
import math
import mmap
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Final, NamedTuple, Self

import msgspec

from prela.record import jsonl
from prela.record.model import SpanRecord
from prela.record.values import to_json
from prela.store.files import read_at
from prela.store.index import Index, Progress

_PAGE: Final = 1_000


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


class Query(NamedTuple):
    """What is looked for. None of a field: all."""

    name: str | None = None
    """A part of the name, in any case."""
    span_type: str | None = None
    status: str | None = None
    service: str | None = None
    attributes: Mapping[str, str] = {}
    """Names and the values they must have, as texts: "4" finds 4, and "true" finds true."""
    text: str | None = None
    """Anywhere in the record, as it is written."""
    since: int | None = None
    """Nanoseconds since the Unix epoch; spans that start earlier are left out."""
    until: int | None = None
    min_duration: float | None = None
    """Seconds."""


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

    Args:
        folder: Need not exist: then it holds nothing.
        index: Where the index is kept, if not in the folder.
        on_progress: Called while new lines are read.
    """

    def __init__(
        self,
        folder: Path,
        index: Path | None = None,
        on_progress: Callable[[Progress], object] = lambda progress: None,
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
        """Take in what is new in the folder."""
        self._index.refresh(self._on_progress)

    def bad_lines(self) -> int:
        """Lines that hold no record."""
        found: int = self._value("SELECT coalesce(sum(bad), 0) FROM files")
        return found

    # --- traces ---------------------------------------------------------------------------------------------------

    def traces(self, limit: int = 50, *, offset: int = 0, errors_only: bool = False) -> list[TraceSummary]:
        """The traces, newest first."""
        self.refresh()
        where = "WHERE errors > 0" if errors_only else ""
        rows = self._rows(
            "SELECT trace_id, coalesce(root, ''), coalesce(service, ''), start, (end - start) / 1e9, spans, errors, "
            "cancelled, open, coalesce(input_tokens, 0), coalesce(output_tokens, 0), cost "
            f"FROM traces {where} ORDER BY start DESC, id DESC LIMIT ? OFFSET ?",
            limit,
            offset,
        )
        return [TraceSummary(*row) for row in rows]

    def trace(self, trace_id: str) -> list[SpanRecord]:
        """The records of one trace, one a span.

        Args:
            trace_id: Its first digits are enough, if they are enough.

        Raises:
            LookupError: There is no such trace.
            AmbiguousTraceError: There are several.
        """
        self.refresh()
        wanted = trace_id.lower()
        found = self._rows(
            "SELECT id, trace_id FROM traces WHERE trace_id >= ? AND trace_id < ? LIMIT 2", wanted, wanted + "g"
        )
        if not found:
            raise LookupError(f"no trace {trace_id} in {self.folder}")
        if len(found) > 1 and found[0][1] != wanted:
            raise AmbiguousTraceError(f"several traces begin with {trace_id}")
        places = self._rows(
            "SELECT f.name, s.offset, s.length FROM spans s JOIN files f ON f.id = s.file WHERE s.trace = ? "
            "ORDER BY f.name, s.offset",
            found[0][0],
        )
        return jsonl.latest(record for _, record in self._read(places))

    def _read(self, places: list[tuple[str, int, int]]) -> Iterator[tuple[tuple[str, int, int], SpanRecord]]:
        """The records at some places, which stand in the order of their files; what is gone since is left out."""
        by_file: dict[str, list[tuple[int, int]]] = {}
        for name, offset, length in places:
            by_file.setdefault(name, []).append((offset, length))
        for name, within in by_file.items():
            for place, line in zip(within, read_at(self.folder / name, within), strict=True):
                try:
                    if line is not None:
                        yield (name, *place), jsonl.decode(line)
                except ValueError:
                    pass  # the file was written anew since

    # --- spans ----------------------------------------------------------------------------------------------------

    def search(self, query: Query, limit: int = 100) -> list[SpanRecord]:
        """The spans that a query finds, newest first, as they stand in the files."""
        self.refresh()
        needles = _needles(query)
        found: list[SpanRecord] = []
        for record in self._with_text(query, needles) if needles else self._by_time(query):
            if _has_attributes(record, query.attributes):
                found.append(record)
                if not needles and len(found) >= limit:
                    break  # these come in the order that is wanted
        found.sort(key=lambda record: record.start_time_unix_nano, reverse=True)
        return found[:limit]

    def _by_time(self, query: Query) -> Iterator[SpanRecord]:
        where, parameters = _where(query)
        offset = 0
        while True:
            places = self._rows(
                f"SELECT f.name, s.offset, s.length FROM spans s JOIN files f ON f.id = s.file {where} "
                f"ORDER BY s.start DESC LIMIT {_PAGE} OFFSET {offset}",
                *parameters,
            )
            read = dict(self._read(places))
            yield from (read[place] for place in places if place in read)
            if len(places) < _PAGE:
                return
            offset += _PAGE

    def _with_text(self, query: Query, needles: set[bytes]) -> Iterator[SpanRecord]:
        """The spans in whose lines one of these stands, of those that the rest of the query allows."""
        where, parameters = _where(query)
        files = self._rows("SELECT id, name, read FROM files ORDER BY id")
        for number, name, end in files:
            hits = {offset for needle in needles for offset in _lines_with(self.folder / name, needle, end)}
            if not hits:
                continue
            places = [
                (name, offset, length)
                for offset, length in self._rows(
                    f"SELECT s.offset, s.length FROM spans s {where} {'AND' if where else 'WHERE'} s.file = ? "
                    "ORDER BY s.offset",
                    *parameters,
                    number,
                )
                if offset in hits
            ]
            yield from (record for _, record in self._read(places))

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
        where, parameters = _where(query)
        rows = self._rows(
            f"SELECT {_GROUPS[by]}, (s.end - s.start) / 1e9, s.status, s.input_tokens, s.output_tokens, s.cost "
            f"FROM spans s {where}",
            *parameters,
        )
        words = dict(self._rows("SELECT id, word FROM words"))
        groups: dict[Any, list[Any]] = {}
        for row in rows:
            groups.setdefault(row[0], []).append(row)
        found = [_total(words.get(group, ""), members, words) for group, members in groups.items() if group is not None]
        return sorted(found, key=lambda total: (-total.spans, total.group))

    # --- the index ------------------------------------------------------------------------------------------------

    def _rows(self, sql: str, *parameters: Any) -> list[Any]:
        return self._index.connection.execute(sql, parameters).fetchall()

    def _value(self, sql: str, *parameters: Any) -> Any:
        return self._index.connection.execute(sql, parameters).fetchone()[0]


_GROUPS: Final = {
    "name": "s.name",
    "model": "s.model",
    "status": "s.status",
    "type": "s.type",
    "service": "s.service",
}


def _where(query: Query) -> tuple[str, list[Any]]:
    """The part of a query that the index can answer, as SQL."""
    conditions: list[str] = []
    parameters: list[Any] = []
    for column, word in (("type", query.span_type), ("status", query.status), ("service", query.service)):
        if word is not None:
            conditions.append(f"s.{column} = (SELECT id FROM words WHERE word = ?)")
            parameters.append(word)
    if query.name is not None:
        conditions.append("s.name IN (SELECT id FROM words WHERE instr(lower(word), lower(?)))")
        parameters.append(query.name)
    for condition, value in (("s.start >= ?", query.since), ("s.start <= ?", query.until)):
        if value is not None:
            conditions.append(condition)
            parameters.append(value)
    if query.min_duration is not None:
        conditions.append("s.end - s.start >= ?")
        parameters.append(int(query.min_duration * 1e9))
    return ("WHERE " + " AND ".join(conditions) if conditions else ""), parameters


def _needles(query: Query) -> set[bytes]:
    """Bytes of which some are in every line that the query finds; none where the index alone can tell.

    A text stands in a line as JSON writes it, with quotation marks escaped; and what is not ASCII in one of two ways.
    """
    texts = [query.text] if query.text else [*query.attributes.values(), *query.attributes]
    text = max(filter(None, texts), key=len, default=None)
    if text is None:
        return set()
    return {msgspec.json.encode(text)[1:-1], json.dumps(text)[1:-1].encode()}


def _lines_with(path: Path, needle: bytes, end: int) -> Iterator[int]:
    """The offsets of the lines in which some bytes stand."""
    try:
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            at = data.find(needle, 0, end)
            while at >= 0:
                yield data.rfind(b"\n", 0, at) + 1
                following = data.find(b"\n", at, end)
                at = data.find(needle, following, end) if following >= 0 else -1
    except (OSError, ValueError):
        return  # gone since, or empty


def _has_attributes(record: SpanRecord, wanted: Mapping[str, str]) -> bool:
    return all(key in record.attributes and _as_text(record.attributes[key]) == value for key, value in wanted.items())


def _as_text(value: Any) -> str:
    return value if isinstance(value, str) else msgspec.json.encode(to_json(value)).decode()


def _total(group: str, rows: list[Any], words: Mapping[int, str]) -> Total:
    durations = sorted(row[1] for row in rows if row[1] is not None)
    statuses = [words.get(row[2]) for row in rows]
    costs = [row[5] for row in rows if row[5] is not None]
    return Total(
        group,
        len(rows),
        statuses.count("error"),
        statuses.count("cancelled"),
        percentile(durations, 0.50),
        percentile(durations, 0.95),
        percentile(durations, 0.99),
        sum(row[3] or 0 for row in rows),
        sum(row[4] or 0 for row in rows),
        sum(costs) if costs else None,
    )


def percentile(ordered: list[float], share: float) -> float:
    """The value below which a share of the ordered values lies, by the nearest rank; 0 of none."""
    if not ordered:
        return 0.0
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]
