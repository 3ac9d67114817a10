"""Taking the lines of trace files into the index, and letting go of those that are gone. SQL and nothing else.

What a span comes to is decided by what stands in the files, never by the order in which it was read: all its lines
are kept, and one is *shown*. So an index that grew with its folder tells what one made anew would tell.
"""

import os
import sqlite3
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Final, NamedTuple

from prela.store.files import Block, FileState, look, new_lines, trace_files
from prela.store.lines import Lines, span_number, usage

SCHEMA_VERSION: Final = 3
_SCHEMA: Final = """
CREATE TABLE files (
    id INTEGER PRIMARY KEY, name BLOB UNIQUE NOT NULL, inode TEXT NOT NULL, size INTEGER NOT NULL,
    modified INTEGER NOT NULL, read INTEGER NOT NULL, head BLOB NOT NULL, last_at INTEGER NOT NULL, last BLOB NOT NULL,
    bad INTEGER NOT NULL
);
CREATE TABLE words (id INTEGER PRIMARY KEY, word TEXT UNIQUE NOT NULL);
CREATE TABLE traces (
    id INTEGER PRIMARY KEY, trace_id TEXT UNIQUE NOT NULL, root TEXT, service TEXT, start INTEGER, end INTEGER,
    spans INTEGER, errors INTEGER, cancelled INTEGER, open INTEGER, input_tokens INTEGER, output_tokens INTEGER,
    cost REAL
);
CREATE INDEX traces_by_start ON traces (start, trace_id);
CREATE TABLE spans (
    trace INTEGER NOT NULL, file INTEGER NOT NULL, offset INTEGER NOT NULL, length INTEGER NOT NULL,
    span INTEGER NOT NULL, shown INTEGER NOT NULL, is_root INTEGER NOT NULL, name INTEGER NOT NULL,
    type INTEGER NOT NULL, status INTEGER NOT NULL, service INTEGER NOT NULL, start INTEGER NOT NULL, end INTEGER,
    model INTEGER, input_tokens INTEGER, output_tokens INTEGER, cost REAL
);
"""
_INDEXES: Final = (
    "CREATE INDEX IF NOT EXISTS spans_by_trace ON spans (trace)",  # within a trace, in the order in which they came
    "CREATE INDEX IF NOT EXISTS spans_by_place ON spans (file, offset)",
    "CREATE INDEX IF NOT EXISTS spans_hidden ON spans (trace) WHERE NOT shown",
)
"""Made after the first spans are in, which is quicker than while they come."""
_INSERT: Final = "INSERT INTO spans VALUES (?, ?, ?, ?, ?, 1, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
_INSERT_PLAIN: Final = "INSERT INTO spans VALUES (?, ?, ?, ?, ?, 1, ?, ?, ?, ?, ?, ?, ?, NULL, NULL, NULL, NULL)"
"""Of spans that used no model, most of all: for each None that it is given sqlite3 looks for an adapter, in vain."""
_SUMMARY: Final = """
INSERT OR REPLACE INTO traces
SELECT t.id, t.trace_id, name.word, service.word, a.start, a.end, a.spans, a.errors, a.cancelled, a.open,
    a.input_tokens, a.output_tokens, a.cost
FROM (
    SELECT s.trace, min(s.start) AS start, max(coalesce(s.end, s.start)) AS end, count(*) AS spans,
        sum(s.status = :error) AS errors, sum(s.status = :cancelled) AS cancelled, sum(s.end IS NULL) AS open,
        sum(s.input_tokens) AS input_tokens, sum(s.output_tokens) AS output_tokens, sum(s.cost) AS cost
    FROM touched CROSS JOIN spans s ON s.trace = touched.trace WHERE s.shown GROUP BY s.trace
) a
JOIN traces t ON t.id = a.trace
JOIN spans r ON r.rowid = (
    SELECT rowid FROM spans WHERE trace = a.trace AND shown ORDER BY is_root DESC, start, span LIMIT 1
)
JOIN words name ON name.id = r.name JOIN words service ON service.id = r.service
"""
_REPEATED: Final = """
SELECT s.trace, s.span, s.rowid, s.status = :pending
FROM (
    SELECT s.trace FROM touched CROSS JOIN spans s ON s.trace = touched.trace
    GROUP BY s.trace HAVING count(*) > count(DISTINCT s.span)
) repeating
CROSS JOIN spans s ON s.trace = repeating.trace
JOIN files f ON f.id = s.file
ORDER BY f.name, s.offset
"""
"""All lines of the traces in which a span has several."""
_FORGET_WORDS: Final = (
    "DELETE FROM words WHERE id NOT IN (SELECT name FROM spans UNION SELECT type FROM spans UNION SELECT status "
    "FROM spans UNION SELECT service FROM spans UNION SELECT model FROM spans WHERE model IS NOT NULL)"
)
_FEW_WORDS: Final = 1_000
_STEP: Final = 64 * 1024 * 1024
"""Bytes taken in before others are let in and what is done is kept, should this process be killed."""
_HEAD: Final = 256
"""Bytes of the first and of the last line by which a file is known for the one that it was. They hold its ids."""
_RACY_NS: Final = 2_000_000_000
"""A file changed so shortly ago may change again without its time telling; it is looked into the next time."""


class Progress(NamedTuple):
    """How far the reading of new lines has come."""

    done: int
    """Bytes."""
    total: int
    spans: int = 0
    """Lines that were found to hold one."""


OnProgress = Callable[[Progress], object]


class Known(NamedTuple):
    """What the index knows of a file."""

    id: int
    name: bytes
    inode: str
    size: int
    modified: int
    read: int
    """Up to where its lines are in the index."""
    head: bytes
    last_at: int
    """Where the last of those lines begins."""
    last: bytes

    def is_unchanged(self, file: FileState) -> bool:
        """True where nothing needs to be read to know that nothing is new."""
        return (self.size, self.modified, self.inode) == (file.size, file.modified_ns, str(file.inode))

    def is_continued_by(self, file: FileState, path: Path) -> bool:
        """True where the file is still the one that was read, and has at most grown."""
        if self.inode != str(file.inode) or file.size < self.read:
            return False
        with path.open("rb", buffering=0) as opened:
            if opened.read(len(self.head)) != self.head:
                return False
            opened.seek(self.last_at)
            return opened.read(len(self.last)) == self.last


def make_schema(connection: sqlite3.Connection) -> None:
    """Make the tables, in place of whatever there is."""
    for kind, name in connection.execute(
        "SELECT type, name FROM sqlite_master WHERE name NOT LIKE 'sqlite_%' ORDER BY type = 'table'"
    ).fetchall():
        connection.execute(f"DROP {kind} IF EXISTS " + '"' + name.replace('"', '""') + '"')
    for statement in _SCHEMA.split(";"):
        connection.execute(statement)
    connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")


class transaction:  # noqa: N801
    """A write transaction: all of it, or nothing. One process is in one at a time, and others wait."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def __enter__(self) -> None:
        self._connection.execute("BEGIN IMMEDIATE")

    def __exit__(self, exc_type: type[BaseException] | None, exc: object, traceback: object) -> None:
        try:
            if exc_type is None:
                self._connection.execute("COMMIT")
        finally:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")


class _Numbers(dict[str, int]):
    """The numbers that texts have in a table, asked for and given as they come; good within one transaction."""

    def __init__(self, connection: sqlite3.Connection, find: str, add: str) -> None:
        self._execute = connection.execute
        self._find = find
        self._add = add

    def __missing__(self, text: str) -> int:
        row: Any = self._execute(self._find, (text,)).fetchone()
        number: int = row[0] if row else self._execute(self._add, (text,)).lastrowid or 0
        self[text] = number
        return number


class Intake:
    """One bringing up to date."""

    def __init__(self, connection: sqlite3.Connection, folder: Path, on_progress: OnProgress) -> None:
        self.unreadable: list[str] = []
        """Files that are there and could not be read, and why."""
        self._connection = connection
        self._execute = connection.execute
        self._folder = folder
        self._on_progress = on_progress
        self._words = _Numbers(connection, "SELECT id FROM words WHERE word = ?", "INSERT INTO words (word) VALUES (?)")
        self._traces = _Numbers(
            connection, "SELECT id FROM traces WHERE trace_id = ?", "INSERT INTO traces (trace_id) VALUES (?)"
        )
        self._left: set[int] = set()
        """Traces of which a file is gone."""
        self._done = 0
        self._total = 0
        self._spans = 0

    def run(self) -> None:
        """Take in what is new, some at a time, and let go of what is no longer there."""
        files = {os.fsencode(file.name): file for file in reversed(trace_files(self._folder))}  # oldest first
        known = {row.name: row for row in self._known()}
        changed = [name for name, file in files.items() if name not in known or not known[name].is_unchanged(file)]
        self._total = sum(files[name].size - (known[name].read if name in known else 0) for name in changed)
        names = [*(known.keys() - files.keys()), *changed]
        at = 0
        while at < len(names):
            with transaction(self._connection):
                for numbers in (self._words, self._traces, self._left):
                    numbers.clear()
                until = self._done + _STEP
                while at < len(names) and self._done < until:
                    self._look_into(names[at])
                    at += 1
                self._sum_up()

    def _known(self, name: bytes | None = None) -> Iterable[Known]:
        where, values = ("", ()) if name is None else ("WHERE name = ?", (name,))
        columns = ", ".join(Known._fields)
        return [Known(*row) for row in self._execute(f"SELECT {columns} FROM files {where}", values).fetchall()]

    def _look_into(self, name: bytes) -> None:
        """Bring one file up to date; what it was outside of the transaction may be long past."""
        known = next(iter(self._known(name)), None)
        file = look(self._folder, os.fsdecode(name))
        path = self._folder / os.fsdecode(name)
        try:
            if known and not (file and known.is_continued_by(file, path)):
                self._forget(known.id)  # gone, cut, or another of the same name
                known = None
            if file:
                self._take_in(file, path, known or self._begin(file, path))
        except FileNotFoundError:
            if known:
                self._forget(known.id)
        except OSError as error:
            self.unreadable.append(f"{os.fsdecode(name)}: {error.strerror}")

    def _begin(self, file: FileState, path: Path) -> Known:
        with path.open("rb", buffering=0):
            pass  # one that cannot be read is not known
        name = os.fsencode(file.name)
        self._execute(
            "INSERT INTO files (name, inode, size, modified, read, head, last_at, last, bad) "
            "VALUES (?, ?, 0, 0, 0, x'', 0, x'', 0)",
            (name, str(file.inode)),
        )
        return next(iter(self._known(name)))

    def _take_in(self, file: FileState, path: Path, known: Known) -> None:
        try:
            for block in new_lines(path, known.read):
                lines = Lines(block.data, block.offset)
                self._insert(known.id, lines)
                known = self._after(known, block, lines.bad if block.data else 1)
        except OSError as error:
            self.unreadable.append(f"{file.name}: {error.strerror}")
        is_settled = time.time_ns() - file.modified_ns > _RACY_NS
        self._execute(
            "UPDATE files SET size = ?, modified = ? WHERE id = ?",
            (file.size, file.modified_ns if is_settled else -1, known.id),
        )

    def _after(self, known: Known, block: Block, bad: int) -> Known:
        """Note that a block of a file is in the index."""
        data = block.data
        last = data.rfind(b"\n", 0, -1) + 1
        self._done += block.end - known.read
        known = known._replace(
            read=block.end,
            head=known.head if block.offset else data[: min(_HEAD, data.find(b"\n") + 1)],
            last_at=block.offset + last if data else known.last_at,
            last=data[last : last + _HEAD] if data else known.last,
        )
        self._execute(
            "UPDATE files SET read = ?, head = ?, last_at = ?, last = ?, bad = bad + ? WHERE id = ?",
            (known.read, known.head, known.last_at, known.last, bad, known.id),
        )
        self._on_progress(Progress(self._done, max(self._done, self._total), self._spans))
        return known

    def _insert(self, file: int, lines: Lines) -> None:
        traces, words = self._traces, self._words
        plain: list[tuple[object, ...]] = []
        using: list[tuple[object, ...]] = []
        for offset, length, record in lines:
            row = (
                traces[record.trace_id],
                file,
                offset,
                length,
                span_number(record.span_id),
                0 if record.parent_span_id else 1,
                words[record.name],
                words[record.span_type],
                words[record.status],
                words[record.service_name],
                record.start_time_unix_nano,
                record.end_time_unix_nano,
            )
            used = usage(record.attributes)
            if used is None:
                plain.append(row)
            else:
                model, incoming, outgoing, cost = used
                using.append((*row, None if model is None else words[model], incoming, outgoing, cost))
        self._connection.executemany(_INSERT_PLAIN, plain)
        self._connection.executemany(_INSERT, using)
        self._spans += len(plain) + len(using)

    def _forget(self, file: int) -> None:
        self._left.update(row[0] for row in self._execute("SELECT DISTINCT trace FROM spans WHERE file = ?", (file,)))
        self._execute("DELETE FROM spans WHERE file = ?", (file,))
        self._execute("DELETE FROM files WHERE id = ?", (file,))

    def _sum_up(self) -> None:
        """Tell anew what the touched traces come to."""
        for statement in _INDEXES:
            self._execute(statement)
        self._execute("CREATE TEMP TABLE IF NOT EXISTS touched (trace INTEGER PRIMARY KEY)")
        self._execute("DELETE FROM touched")
        self._connection.executemany(
            "INSERT INTO touched VALUES (?)", [(trace,) for trace in sorted({*self._traces.values(), *self._left})]
        )
        self._choose_shown()
        self._execute(_SUMMARY, {name: self._words[name] for name in ("error", "cancelled")})
        self._execute(
            "DELETE FROM traces WHERE id IN (SELECT trace FROM touched) AND NOT EXISTS "
            "(SELECT 1 FROM spans WHERE spans.trace = traces.id)"
        )
        if self._left:
            self._forget_words()

    def _forget_words(self) -> None:
        """Let go of words that no span says any more, once they are the most: to look for them takes a while."""
        words, spans = self._execute("SELECT (SELECT count(*) FROM words), (SELECT count(*) FROM spans)").fetchone()
        if words > _FEW_WORDS + 2 * spans:
            self._execute(_FORGET_WORDS)

    def _choose_shown(self) -> None:
        """Of several lines of one span, show what `prela.record.jsonl.latest` would keep of them."""
        self._execute("UPDATE spans SET shown = 1 WHERE NOT shown AND trace IN (SELECT trace FROM touched)")
        chosen: dict[tuple[int, int], tuple[int, bool]] = {}
        hidden = []
        for trace, span, row, is_pending in self._execute(_REPEATED, {"pending": self._words["pending"]}):
            key = (trace, span)
            before = chosen.get(key)
            if before is None:
                chosen[key] = (row, is_pending)
            elif before[1]:
                hidden.append(before[0])
                chosen[key] = (row, is_pending)
            else:
                hidden.append(row)
        self._connection.executemany("UPDATE spans SET shown = 0 WHERE rowid = ?", [(row,) for row in hidden])
