"""The index of a trace folder: a SQLite file that says where each span's line is, and sums up each trace.

It is a cache. It may be deleted at any time, and is made anew when it is of another version or damaged. The folder is
the truth: what is told of a span beyond what stands here is read from its line. This module finds a place for it,
opens it and keeps it sound; `intake` fills it.
"""

import hashlib
import os
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Final, TypeVar

from prela.store.intake import SCHEMA_VERSION, Intake, OnProgress, make_schema, transaction

T = TypeVar("T")

INDEX_NAME: Final = ".prela-index.sqlite"
_BUSY_SECONDS: Final = 30.0
"""How long one reader waits while another brings the index up to date."""
_NO_PLACE: Final = frozenset(
    {sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM}
)
"""What SQLite says where the index may be sound, and cannot be written."""
_BUSY: Final = frozenset({sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED})
_DAMAGE: Final = (sqlite3.DatabaseError, UnicodeDecodeError)
"""What a damaged index raises: also the second, where SQLite's own message quotes the garbage it found."""
_IN_MEMORY: Final = "no place for an index could be written to: the folder is read anew each time"


class Index:
    """Opens the index of a folder, making it if need be.

    One thread at a time may use it, whichever that is; several at once need one each.

    Args:
        folder: The trace folder.
        path: Where the index is kept; by default in the folder, or, where nothing can be written there, in the user's
            cache, or else in memory.
    """

    def __init__(self, folder: Path, path: Path | None = None) -> None:
        self.folder = folder
        self._notice: str | None = None
        self._notice_of_now: str | None = None
        self._wanted = path
        self._path: Path | None = None
        self._identity: tuple[int, int] | None = None
        self._is_without_folder = False
        self._connection: sqlite3.Connection = self._open()

    def close(self) -> None:
        """Let go of the index."""
        self._connection.close()

    @property
    def notice(self) -> str | None:
        """A word about what happened to the index, or stood in the way of the last refresh; None if all is as usual."""
        return "; ".join(filter(None, (self._notice, self._notice_of_now))) or None

    @property
    def path(self) -> Path | None:
        """Where the index is kept; None in memory, where no other reader shares it."""
        return self._path

    def refresh(self, on_progress: OnProgress = lambda progress: None) -> None:
        """Take in what is new in the folder since last time, and let go of what is no longer there.

        Two readers may do so at once: one waits for the other, and where that takes long goes on with what there is.
        """
        self.follow()
        self._mending(lambda: self._take_in(on_progress))

    def follow(self) -> None:
        """Go on with the index that stands in its place now, without taking anything in."""
        if self._path is None:
            if self._is_without_folder and self.folder.is_dir():
                self._reopen(self._open)  # there was no folder, so there was no place
        elif _identity(self._path) != self._identity:
            self._reopen(self._open)  # deleted, or made anew by another reader

    def ask(self, question: Callable[[sqlite3.Connection], T]) -> T:
        """Ask the index. One that turns out to be damaged is made anew first."""
        return self._mending(lambda: question(self._connection))

    def _take_in(self, on_progress: OnProgress) -> None:
        self._notice_of_now = None
        intake = Intake(self._connection, self.folder, on_progress)
        try:
            intake.run()
        except sqlite3.OperationalError as error:
            if _code(error) not in _BUSY:
                raise
            self._notice_of_now = "another reader is bringing the index up to date; what is newest may be missing"
        if intake.unreadable:
            self._notice_of_now = f"could not be read: {', '.join(intake.unreadable)}"

    def _mending(self, action: Callable[[], T]) -> T:
        """Do it; if the index is damaged, with one made anew; if it cannot be written, with one in memory."""
        try:
            return action()
        except _DAMAGE as error:
            if isinstance(error, sqlite3.ProgrammingError) or self._path is None:
                raise
            if _code(error) not in _NO_PLACE | _BUSY:
                self._reopen(self._made_anew)
                try:
                    Intake(self._connection, self.folder, lambda progress: None).run()
                    return action()
                except _DAMAGE:
                    pass  # then it is the place that is damaged
        self._reopen(self._in_memory)
        Intake(self._connection, self.folder, lambda progress: None).run()
        return action()

    # --- opening --------------------------------------------------------------------------------------------------

    def _reopen(self, how: Callable[[], sqlite3.Connection]) -> None:
        self._connection.close()
        self._connection = how()

    def _open(self) -> sqlite3.Connection:
        for place in [self._wanted] if self._wanted else places(self.folder):
            try:
                return self._open_at(place)
            except (OSError, sqlite3.OperationalError):
                continue  # nothing can be written there
        return self._in_memory()

    def _in_memory(self) -> sqlite3.Connection:
        self._is_without_folder = not self.folder.is_dir()
        self._notice = None if self._is_without_folder else _IN_MEMORY
        self._path = self._identity = None
        return self._connected(":memory:")

    def _made_anew(self) -> sqlite3.Connection:
        self._notice = "the index was damaged, and is made anew"
        if self._path is not None:
            _delete(self._path)
        return self._open()

    def _open_at(self, path: Path) -> sqlite3.Connection:
        if not self.folder.is_dir():
            raise FileNotFoundError(self.folder)
        path.parent.mkdir(parents=True, exist_ok=True)
        if not all(os.access(place, os.W_OK) for place in (path.parent, path) if place.exists()):
            raise PermissionError(path)
        try:
            connection = self._connected(path)
        except sqlite3.OperationalError:
            raise
        except _DAMAGE:
            self._notice = "the index was damaged, and is made anew"
            _delete(path)
            connection = self._connected(path)
        self._path, self._identity = path, _identity(path)
        return connection

    def _connected(self, path: Path | str) -> sqlite3.Connection:
        connection = sqlite3.connect(path, timeout=_BUSY_SECONDS, isolation_level=None, check_same_thread=False)
        try:
            connection.execute("PRAGMA trusted_schema = OFF")
            connection.execute("PRAGMA page_size = 16384")  # of a new index; a tenth quicker to fill
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = OFF")  # a cache: what a power cut takes is made again
            connection.execute("PRAGMA cache_size = -65536")
            connection.execute("PRAGMA temp_store = MEMORY")
            connection.create_function("folded", 1, str.casefold, deterministic=True)
            if _version(connection) != SCHEMA_VERSION:
                with transaction(connection):
                    self._make_schema(connection)
            return connection
        except BaseException:
            connection.close()
            raise

    def _make_schema(self, connection: sqlite3.Connection) -> None:
        version = _version(connection)  # another reader may have been quicker
        if version not in (0, SCHEMA_VERSION):
            self._notice = f"the index was of version {version}, and is made anew"
        if version != SCHEMA_VERSION:
            make_schema(connection)


def _version(connection: sqlite3.Connection) -> int:
    found: int = connection.execute("PRAGMA user_version").fetchone()[0]
    return found


def _code(error: Exception) -> int:
    """SQLite's primary result code."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        stat = path.stat()
    except OSError:
        return None
    return stat.st_dev, stat.st_ino


def places(folder: Path) -> list[Path]:
    """Where the index of a folder may be kept, best first."""
    places = [folder / INDEX_NAME]
    name = f"{hashlib.sha256(os.fsencode(folder.resolve())).hexdigest()[:32]}.sqlite"
    try:
        places.append(Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "prela" / name)
    except RuntimeError:
        pass  # no home
    return places


def _delete(path: Path) -> None:
    for suffix in ("", "-wal", "-shm"):
        Path(f"{path}{suffix}").unlink(missing_ok=True)
