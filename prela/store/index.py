"""The index of a trace folder: a SQLite file that says where each span's line is, and sums up each trace.

It is a cache. It may be deleted at any time, and is made anew when it is of another version or damaged. The folder is
the truth: what is told of a span beyond what stands here is read from its line.
"""

import hashlib
import os
import sqlite3
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Final, NamedTuple

from prela.store.files import FileState, new_lines, trace_files
from prela.store.lines import Entry, entries

SCHEMA_VERSION: Final = 1
INDEX_NAME: Final = ".prela-index.sqlite"
_BUSY_SECONDS: Final = 30.0
"""How long one reader waits while another brings the index up to date."""

_SCHEMA: Final = """
CREATE TABLE files (
    id INTEGER PRIMARY KEY, name TEXT UNIQUE NOT NULL, inode INTEGER NOT NULL, read INTEGER NOT NULL,
    head BLOB NOT NULL, bad INTEGER NOT NULL
);
CREATE TABLE words (id INTEGER PRIMARY KEY, word TEXT UNIQUE NOT NULL);
CREATE TABLE traces (
    id INTEGER PRIMARY KEY, trace_id TEXT UNIQUE NOT NULL, root TEXT, service TEXT, start INTEGER, end INTEGER,
    spans INTEGER, errors INTEGER, cancelled INTEGER, open INTEGER, input_tokens INTEGER, output_tokens INTEGER,
    cost REAL
);
CREATE INDEX traces_by_start ON traces (start);
CREATE TABLE spans (
    trace INTEGER NOT NULL, file INTEGER NOT NULL, offset INTEGER NOT NULL, length INTEGER NOT NULL,
    span_id TEXT NOT NULL, is_root INTEGER NOT NULL, name INTEGER NOT NULL, type INTEGER NOT NULL,
    status INTEGER NOT NULL, service INTEGER NOT NULL, start INTEGER NOT NULL, end INTEGER, model INTEGER,
    input_tokens INTEGER, output_tokens INTEGER, cost REAL
);
"""
_INDEXES: Final = (
    "CREATE INDEX IF NOT EXISTS spans_by_trace ON spans (trace)",
    "CREATE INDEX IF NOT EXISTS spans_by_file ON spans (file)",
)
"""Made after the first spans are in, which is quicker than while they come."""
_SUMMARY: Final = """
INSERT OR REPLACE INTO traces
SELECT t.id, t.trace_id,
    (SELECT w.word FROM spans r JOIN words w ON w.id = r.name WHERE r.trace = t.id
     ORDER BY r.is_root DESC, r.start LIMIT 1),
    (SELECT w.word FROM spans r JOIN words w ON w.id = r.service WHERE r.trace = t.id
     ORDER BY r.is_root DESC, r.start LIMIT 1),
    min(s.start), max(coalesce(s.end, s.start)), count(*),
    sum(s.status = :error), sum(s.status = :cancelled), sum(s.end IS NULL),
    sum(s.input_tokens), sum(s.output_tokens), sum(s.cost)
FROM touched JOIN traces t ON t.id = touched.trace JOIN spans s ON s.trace = t.id
GROUP BY t.id
"""


class Progress(NamedTuple):
    """How far the reading of new lines has come."""

    done: int
    """Bytes."""
    total: int


class Index:
    """Opens the index of a folder, making it if need be.

    Args:
        folder: The trace folder.
        path: Where the index is kept; by default in the folder, or, where nothing can be written there, in the user's
            cache, or else in memory.

    Attributes:
        notice: A word about what happened to the index that was there; None if all is as usual.
    """

    def __init__(self, folder: Path, path: Path | None = None) -> None:
        self.folder = folder
        self.notice: str | None = None
        self.connection: sqlite3.Connection = self._open(path)
        self._words: dict[str, int] = {}

    def close(self) -> None:
        """Let go of the index."""
        self.connection.close()

    # --- opening --------------------------------------------------------------------------------------------------

    def _open(self, path: Path | None) -> sqlite3.Connection:
        for place in [path] if path else [self.folder / INDEX_NAME, _in_cache(self.folder)]:
            try:
                return self._open_at(place)
            except (OSError, sqlite3.OperationalError):
                continue  # nothing can be written there
        self.notice = "no place for an index could be written to: the folder is read anew each time"
        return self._prepared(sqlite3.connect(":memory:"))

    def _open_at(self, path: Path) -> sqlite3.Connection:
        if not self.folder.is_dir():
            raise FileNotFoundError(self.folder)
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            return self._prepared(_connect(path))
        except sqlite3.OperationalError:
            raise
        except sqlite3.DatabaseError:
            self.notice = "the index was damaged, and is made anew"
            _delete(path)
            return self._prepared(_connect(path))

    def _prepared(self, connection: sqlite3.Connection) -> sqlite3.Connection:
        try:
            version = connection.execute("PRAGMA user_version").fetchone()[0]
            if version != SCHEMA_VERSION:
                with _exclusively(connection):
                    version = connection.execute("PRAGMA user_version").fetchone()[0]
                    if version not in (0, SCHEMA_VERSION):
                        self.notice = f"the index was of version {version}, and is made anew"
                    if version != SCHEMA_VERSION:
                        _make_schema(connection)
            return connection
        except BaseException:
            connection.close()
            raise

    # --- bringing it up to date -----------------------------------------------------------------------------------

    def refresh(self, on_progress: Callable[[Progress], object] = lambda progress: None) -> None:
        """Take in what is new in the folder since last time, and let go of what is no longer there.

        Two readers may do so at once: one waits for the other.
        """
        with _exclusively(self.connection):
            self._words = dict(self.connection.execute("SELECT word, id FROM words"))
            self.connection.execute("CREATE TEMP TABLE IF NOT EXISTS touched (trace INTEGER PRIMARY KEY)")
            self.connection.execute("DELETE FROM touched")
            files = trace_files(self.folder)
            known = {
                name: (number, inode, read, head)
                for number, name, inode, read, head in self.connection.execute(
                    "SELECT id, name, inode, read, head FROM files"
                )
            }
            for name in known.keys() - {file.name for file in files}:
                self._forget(known[name][0])
            self._take_in(files, known, on_progress)
            self._sum_up()

    def _take_in(
        self,
        files: list[FileState],
        known: dict[str, tuple[int, int, int, bytes]],
        on_progress: Callable[[Progress], object],
    ) -> None:
        total = sum(file.size for file in files) - sum(read for _, _, read, _ in known.values())
        done = 0
        for file in reversed(files):
            path = self.folder / file.name
            number, inode, read, head = known.get(file.name, (None, file.inode, 0, b""))
            if number is not None and (file.size < read or inode != file.inode or _head(path, len(head)) != head):
                self._forget(number)  # truncated, or another file of that name
                number, read = None, 0
            if number is not None and file.size == read:
                continue
            if number is None:
                cursor = self.connection.execute(
                    "INSERT INTO files (name, inode, read, head, bad) VALUES (?, ?, 0, ?, 0)",
                    (file.name, file.inode, _head(path, 64)),
                )
                number = cursor.lastrowid or 0
            for block in new_lines(path, read):
                found, bad = entries(block.data, block.offset)
                self._insert(number, found)
                read = block.offset + len(block.data)
                self.connection.execute("UPDATE files SET read = ?, bad = bad + ? WHERE id = ?", (read, bad, number))
                done += len(block.data)
                on_progress(Progress(done, max(done, total)))

    def _insert(self, file: int, found: list[Entry]) -> None:
        execute = self.connection.execute
        names = {entry.trace_id for entry in found}
        traces = self._trace_numbers(names)
        word = self._word
        self.connection.executemany(
            "INSERT INTO spans VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            [
                (
                    traces[entry.trace_id],
                    file,
                    entry.offset,
                    entry.length,
                    entry.span_id,
                    entry.parent_span_id is None,
                    word(entry.name),
                    word(entry.span_type),
                    word(entry.status),
                    word(entry.service),
                    entry.start,
                    entry.end,
                    None if entry.model is None else word(entry.model),
                    entry.input_tokens,
                    entry.output_tokens,
                    entry.cost,
                )
                for entry in found
            ],
        )
        for trace in traces.values():
            execute("INSERT OR IGNORE INTO touched VALUES (?)", (trace,))
        self._drop_pending(traces, [entry for entry in found if entry.end is None])

    def _trace_numbers(self, trace_ids: Iterable[str]) -> dict[str, int]:
        numbers = {}
        for trace_id in trace_ids:
            row = self.connection.execute("SELECT id FROM traces WHERE trace_id = ?", (trace_id,)).fetchone()
            if row is None:
                cursor = self.connection.execute("INSERT INTO traces (trace_id) VALUES (?)", (trace_id,))
                numbers[trace_id] = cursor.lastrowid or 0
            else:
                numbers[trace_id] = row[0]
        return numbers

    def _word(self, text: str) -> int:
        number = self._words.get(text)
        if number is None:
            cursor = self.connection.execute("INSERT INTO words (word) VALUES (?)", (text,))
            number = self._words[text] = cursor.lastrowid or 0
        return number

    def _drop_pending(self, traces: dict[str, int], pending: list[Entry]) -> None:
        """Where a span has a final record, that beats a pending one, in whatever order they come."""
        places = (
            set(traces.values())
            if pending
            else {row[0] for row in self.connection.execute("SELECT id FROM traces WHERE open > 0")}
            & set(traces.values())
        )
        for trace in places:
            self.connection.execute(
                "DELETE FROM spans WHERE trace = ? AND end IS NULL AND span_id IN "
                "(SELECT span_id FROM spans WHERE trace = ? AND end IS NOT NULL)",
                (trace, trace),
            )

    def _forget(self, file: int) -> None:
        execute = self.connection.execute
        execute("INSERT OR IGNORE INTO touched SELECT DISTINCT trace FROM spans WHERE file = ?", (file,))
        execute("DELETE FROM spans WHERE file = ?", (file,))
        execute("DELETE FROM files WHERE id = ?", (file,))

    def _sum_up(self) -> None:
        execute = self.connection.execute
        for statement in _INDEXES:
            execute(statement)
        parameters = {name: self._words.get(name, -1) for name in ("error", "cancelled")}
        execute(_SUMMARY, parameters)
        execute(
            "DELETE FROM traces WHERE id IN (SELECT trace FROM touched) AND NOT EXISTS "
            "(SELECT 1 FROM spans WHERE spans.trace = traces.id)"
        )


def _connect(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, timeout=_BUSY_SECONDS, isolation_level=None)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = OFF")  # a cache: what a power cut takes is made again
    connection.execute("PRAGMA cache_size = -65536")
    return connection


def _make_schema(connection: sqlite3.Connection) -> None:
    for kind, name in connection.execute(
        "SELECT type, name FROM sqlite_master WHERE name NOT LIKE 'sqlite_%'"
    ).fetchall():
        connection.execute(f'DROP {kind} IF EXISTS "{name}"')
    for statement in _SCHEMA.split(";"):
        connection.execute(statement)
    connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")


class _exclusively:  # noqa: N801
    """A write transaction: all of it, or nothing."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def __enter__(self) -> None:
        self._connection.execute("BEGIN IMMEDIATE")

    def __exit__(self, exc_type: type[BaseException] | None, exc: object, traceback: object) -> None:
        self._connection.execute("COMMIT" if exc_type is None else "ROLLBACK")


def _head(path: Path, length: int) -> bytes:
    """The beginning of a file, by which another of the same name is known."""
    try:
        with path.open("rb") as file:
            return file.read(length)
    except OSError:
        return b""


def _in_cache(folder: Path) -> Path:
    base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return base / "prela" / f"{hashlib.sha256(str(folder.resolve()).encode()).hexdigest()[:32]}.sqlite"


def _delete(path: Path) -> None:
    for suffix in ("", "-wal", "-shm"):
        Path(f"{path}{suffix}").unlink(missing_ok=True)
