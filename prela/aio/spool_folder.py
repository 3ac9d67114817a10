"""A spool on disk: one folder for each process that delivers to a place, and in it a file for each batch.

A process holds a lock on its folder while it lives, and the system lets go of that however it ends: what lies in a
folder that nobody holds is moved to one's own, and delivered from there. The lock is POSIX's, which a forked child
does not inherit. A file is written under another name, and given its own when it is whole.

All of this touches the disk, and is called where that holds up nobody.
"""

import fcntl
import os
import secrets
import time
from contextlib import suppress as ignoring
from pathlib import Path
from typing import Final, NamedTuple

from prela.core import log
from prela.core.spool import FileName, read_name

_LOCK: Final = "lock"
_PART: Final = ".part"
_NEW: Final = ".new"
_NEW_FOR: Final = 60.0
"""Seconds from which a folder that was begun and never made ready counts as left."""

_held: dict[Path, int] = {}
"""The folders that this process holds, and its id: a process is never kept from taking its own lock once more."""


class StoredBatch(NamedTuple):
    """A batch's file."""

    name: FileName
    size: int
    """Bytes."""


class SpoolFolder:
    """The folder of this process, below the one that is shared by all that deliver to the same place."""

    def __init__(self, shared: Path) -> None:
        self.shared: Path = shared.absolute()
        self._own: Path | None = None
        self._lock: int | None = None

    def write(self, lines: bytes | bytearray, spans: int, *, sync: bool) -> StoredBatch:
        """Write a batch.

        Args:
            lines: Its records.
            spans: How many of them count.
            sync: Whether it is to outlive a power cut too, and not only this process.

        Raises:
            OSError: It cannot be written; nothing of it is left.
        """
        name = FileName(time.time_ns(), spans, secrets.token_hex(4))
        own = self._own
        if own is None or not own.exists():  # or somebody deleted it, and with it what was in it
            own = self._begin()
        part = own / f"{name}{_PART}"
        try:
            with part.open("xb", buffering=0) as file:
                view = memoryview(lines)
                while view:
                    view = view[file.write(view) :]
                if sync:
                    os.fsync(file.fileno())
            part.rename(own / str(name))
        except OSError:
            with ignoring(OSError):
                part.unlink()
            raise
        return StoredBatch(name, len(lines))

    def read(self, batch: StoredBatch) -> bytes:
        """Return the lines of a batch.

        Raises:
            OSError: It cannot be read.
        """
        return self._path(batch).read_bytes()

    def remove(self, batch: StoredBatch) -> None:
        """Delete a batch.

        Raises:
            OSError: It is there and cannot be deleted.
        """
        self._path(batch).unlink(missing_ok=True)

    def adopt(self) -> list[StoredBatch]:
        """Take over what others have left; return it, the oldest first.

        Raises:
            OSError: The folder cannot be used.
        """
        found: list[StoredBatch] = []
        try:
            others = sorted(path for path in self.shared.iterdir() if path.is_dir())
        except FileNotFoundError:
            return []
        for other in others:
            if _held.get(other) == os.getpid() or (other.suffix == _NEW and not _is_old(other)):
                continue
            try:
                found += self._adopt_from(other)
            except OSError as error:  # another was quicker, or it is not ours to take
                log.debug("prela: a spool cannot be taken over: %s", error)
        return sorted(found)

    def close(self) -> None:
        """Let go of the folder, for others to deliver what is left; delete it if nothing is."""
        own, lock = self._own, self._lock
        self._own = self._lock = None
        if own is None or lock is None or _held.get(own) != os.getpid():
            return
        with ignoring(OSError):
            if not any(read_name(path.name) for path in own.iterdir()):
                _delete(own)
        os.close(lock)
        _held.pop(own, None)

    def _path(self, batch: StoredBatch) -> Path:
        if self._own is None:
            raise FileNotFoundError("the spool is closed")
        return self._own / str(batch.name)

    def _begin(self) -> Path:
        """Make a folder that is held from the moment that it has its name."""
        self.close()
        own = self.shared / f"{os.getpid()}-{secrets.token_hex(4)}"
        new = own.with_suffix(_NEW)
        new.mkdir(parents=True)
        self._lock = _locked(new)
        new.rename(own)
        self._own = own
        _held[own] = os.getpid()
        return own

    def _adopt_from(self, other: Path) -> list[StoredBatch]:
        lock = _locked(other)
        found = []
        try:
            for path in list(other.iterdir()):
                name = read_name(path.name)
                if name is not None:
                    size = path.stat().st_size
                    path.rename((self._own or self._begin()) / path.name)
                    found.append(StoredBatch(name, size))
            _delete(other)
        finally:
            os.close(lock)
        return found


def _locked(folder: Path) -> int:
    """Hold a folder; return what to close to let go of it.

    Raises:
        OSError: Another process holds it, or it is gone.
    """
    lock = os.open(folder / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    try:
        fcntl.lockf(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(lock)
        raise
    return lock


def _delete(folder: Path) -> None:
    """Delete a folder that is held and has no batch: whatever half-written files are in it, the lock last."""
    for path in sorted(folder.iterdir(), key=lambda path: path.name == _LOCK):
        if path.name == _LOCK or path.suffix == _PART:
            path.unlink(missing_ok=True)
    folder.rmdir()


def _is_old(folder: Path) -> bool:
    try:
        return time.time() - folder.stat().st_mtime > _NEW_FOR
    except OSError:
        return False
