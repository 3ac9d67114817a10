"""Writes records as JSON Lines into a folder: one writer a process, rotated by size, the folder capped.

A line is written whole or not at all, as far as the disk allows: writes are unbuffered, and after a short or failed
one the file is cut back to its last newline, so that trying again duplicates nothing.
"""

import io
import os
import secrets
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, Final

from prela.aio.lines import write_lines
from prela.aio.pacing import off_the_loop, on_private_loop
from prela.aio.waking import is_asyncio
from prela.config import absolute
from prela.core import log
from prela.record.file_names import SUFFIX, file_name, is_written_by_prela
from prela.record.model import SpanRecord

_FILE_BYTES: Final = 64 * 1024 * 1024
_FOLDER_BYTES: Final = 1024 * 1024 * 1024
_FOLDER_SECONDS: Final = 7 * 24 * 3600.0


class FileExporter:
    """Writes to `{service}-{utc}-{pid}-{random}.jsonl` in a folder.

    Args:
        folder: Made when the first span is written.
        service_name: The beginning of the files' names.
        max_file_bytes: From this size on a new file is begun.
        max_folder_bytes: Above this the oldest trace files of the folder are deleted, whoever wrote them.
        max_age: Seconds after its last write from which a trace file of the folder is deleted.
    """

    accepts_pending: bool = True
    """Spans that have not ended may be written too: readers let a final record beat a pending one."""

    def __init__(
        self,
        folder: str | os.PathLike[str],
        service_name: str = "prela",
        *,
        max_file_bytes: int = _FILE_BYTES,
        max_folder_bytes: int = _FOLDER_BYTES,
        max_age: float = _FOLDER_SECONDS,
    ) -> None:
        self.folder: Path = absolute(folder)
        """Where it was meant when it was said: a program may change its working folder later."""
        self.path: Path | None = None
        """The file being written, once there is one."""
        self._service_name = service_name
        self._max_file_bytes = max_file_bytes
        self._max_folder_bytes = max_folder_bytes
        self._max_age = max_age
        self._file: Any = None
        self._size = 0
        self._pid = 0

    async def export(self, spans: Sequence[SpanRecord]) -> None:
        """Append a line a span.

        Raises:
            OSError: The folder or the disk did not take the batch; none of it is in the file then.
        """
        if self._pid != os.getpid():
            self._leave_to_parent()
        # Others may cut the file, to make room; or delete or move it, and then it would be written for nobody.
        there = None if self._file is None else await off_the_loop(_size_of, self.path)
        if there is None or self._size >= self._max_file_bytes:
            await self._begin_file()
        else:
            self._size = there
        before = self._size
        try:
            await write_lines(spans, self._append)
        except Exception:
            self._cut_back(before)
            raise

    async def keep_alive(self) -> None:
        """Set the file's time to now: to whoever reads it later, what is open in it was open until then at least."""
        if self.path is not None and self._pid == os.getpid():
            try:
                await off_the_loop(os.utime, self.path)
            except OSError as error:
                log.debug("prela: a trace file's time cannot be set: %s", error)

    def _leave_to_parent(self) -> None:
        """After a fork: the parent's file is the parent's, and this process begins its own."""
        file, self._file, self._pid = self._file, None, os.getpid()
        if file is not None:
            # The file itself, past what wraps it for a loop that is not there: ours, anyio's AsyncFile, or aiofiles'.
            (getattr(file, "wrapped", None) or file._file).close()

    async def aclose(self) -> None:
        """Close the file. A later export begins another."""
        file, self._file = self._file, None
        if file is not None:
            try:
                await (file.aclose if hasattr(file, "aclose") else file.close)()  # ours and anyio's; aiofiles'
            except OSError as error:
                log.failed("closing a trace file", error)

    async def _begin_file(self) -> None:
        await self.aclose()
        path = self.folder / file_name(self._service_name, datetime.now(UTC), os.getpid(), secrets.token_hex(4))
        await off_the_loop(partial(self.folder.mkdir, parents=True, exist_ok=True))
        self._file = await _open(path)
        self.path, self._size = path, 0
        await off_the_loop(
            partial(prune, self.folder, max_bytes=self._max_folder_bytes, max_age=self._max_age, keep=path)
        )

    async def _append(self, lines: bytearray) -> None:
        view = memoryview(lines)
        try:
            while view:
                written = await self._file.write(view)
                self._size += written
                view = view[written:]
        except Exception:
            raise
        except BaseException:
            # Cancelled: a thread may still be writing. The file is left as it is, and the next begun.
            self._size = self._max_file_bytes
            raise

    def _cut_back(self, size: int) -> None:
        try:
            os.truncate(self.path or "", size)
            self._size = size
        except OSError as error:
            # Half a line stands in the file now: leave it there, and write on in another.
            log.failed("cutting back a trace file", error)
            self._size = self._max_file_bytes


def prune(folder: Path, *, max_bytes: int, max_age: float, keep: Path | None = None) -> list[Path]:
    """Delete the oldest trace files of a folder until it is within its bounds; return those deleted.

    Files that are not called as ours are do not count, and stay.
    """
    files = []
    for path in folder.glob(f"*{SUFFIX}"):
        if not is_written_by_prela(path.name):
            continue
        try:
            found = path.stat()
        except OSError:
            continue  # another process was quicker
        files.append((found.st_mtime, found.st_size, path))
    files.sort(reverse=True)
    total, deleted, now = 0, [], time.time()
    for modified, size, path in files:
        total += size
        if path != keep and (total > max_bytes or now - modified > max_age):
            try:
                path.unlink()
                deleted.append(path)
            except OSError as error:
                log.failed("deleting an old trace file", error)
    return deleted


def _size_of(path: Path) -> int | None:
    """Bytes; None where it is not there."""
    try:
        return path.stat().st_size
    except OSError:
        return None


class _InlineFile:
    """A file whose methods are awaited and run where they are: on a loop of our own there is nobody to hold up, at the
    end of the interpreter no executor takes work, and a write by way of one costs half as much again."""

    def __init__(self, wrapped: io.FileIO) -> None:
        self.wrapped: io.FileIO = wrapped

    async def write(self, data: memoryview) -> int:
        return self.wrapped.write(data) or 0

    async def aclose(self) -> None:
        self.wrapped.close()


async def _open(path: Path) -> Any:
    """An unbuffered file in append mode, whose methods are awaited, on asyncio and trio."""
    if on_private_loop.get():
        return _InlineFile(io.FileIO(path, "ab"))
    if is_asyncio():
        import aiofiles

        return await aiofiles.open(path, "ab", buffering=0)
    import anyio

    return await anyio.open_file(path, "ab", buffering=0)
