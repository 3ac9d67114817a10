"""The trace folder: which files it has, and the whole lines that are new in them.

Other processes write there while we read, rotate and delete: a file may grow, end in half a line, shrink, or be gone
between two looks. None of that is an error. What is no regular file (a pipe would never end) is passed over.
"""

import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from stat import S_ISREG
from typing import Final, NamedTuple

from prela.record.file_names import SUFFIX

_CHUNK: Final = 4 * 1024 * 1024
"""Bytes read at once."""
_RUN: Final = 256 * 1024
"""Bytes that are read at once where places follow each other."""
LONGEST_LINE: Final = 256 * 1024 * 1024
"""Bytes. A line beyond this is no record: it is passed over without being held in memory."""


class FileState(NamedTuple):
    """A trace file as it stood at a look."""

    name: str
    """Relative to the folder."""
    size: int
    modified_ns: int
    inode: int


class Block(NamedTuple):
    """Some whole lines of a file."""

    offset: int
    """Where the first begins."""
    data: bytes
    """Empty for a line that was too long."""
    end: int
    """Where the next block begins."""


def trace_files(folder: Path) -> list[FileState]:
    """The trace files of a folder, newest first. A folder that is not there has none."""
    try:
        with os.scandir(folder) as entries:
            names = [entry.name for entry in entries if entry.name.endswith(SUFFIX)]
    except (FileNotFoundError, NotADirectoryError):
        return []
    found = [file for name in names if (file := look(folder, name))]
    return sorted(found, key=lambda file: (file.modified_ns, file.name), reverse=True)


def look(folder: Path, name: str) -> FileState | None:
    """A file as it stands now; None if it is gone."""
    try:
        stat = (folder / name).stat()
    except OSError:
        return None
    return FileState(name, stat.st_size, stat.st_mtime_ns, stat.st_ino) if S_ISREG(stat.st_mode) else None


def new_lines(path: Path, offset: int) -> Iterator[Block]:
    """The lines from an offset on that are whole; half a line at the end is left for another time.

    A file that is gone, or goes while it is read, has no more lines.

    Raises:
        OSError: It is there, and may not or cannot be read.
    """
    try:
        file = path.open("rb", buffering=0)
    except FileNotFoundError:
        return
    with file:
        file.seek(offset)
        parts: list[bytes] = []  # of a line whose end has not been read
        held = 0
        while chunk := file.read(_CHUNK):
            end = chunk.rfind(b"\n") + 1
            if end and held > LONGEST_LINE:
                first = chunk.find(b"\n") + 1
                yield Block(offset, b"", offset + held + first)
                offset += held + first
                parts, held = [], 0
                if first < end:
                    yield Block(offset, chunk[first:end], offset + end - first)
                    offset += end - first
            elif end:
                data = b"".join([*parts, chunk[:end]])
                yield Block(offset, data, offset + len(data))
                offset += len(data)
                parts, held = [], 0
            held += len(chunk) - end
            if held > LONGEST_LINE:
                parts = []
            elif end < len(chunk):
                parts.append(chunk[end:])


def read_at(path: Path, places: list[tuple[int, int]]) -> Iterator[bytes | None]:
    """The bytes at each (offset, length) of a file; None for each where it has none any more."""
    left = len(places)
    try:
        with path.open("rb", buffering=0) as file:
            for begin, run in _runs(places):
                at = begin
                data = os.pread(file.fileno(), sum(run), begin)
                for length in run:
                    found = data[at - begin : at - begin + length]
                    at += length
                    left -= 1
                    yield found if len(found) == length else None
    except OSError:
        yield from [None] * left


def _runs(places: Iterable[tuple[int, int]]) -> Iterator[tuple[int, list[int]]]:
    """Where each stretch of places that follow each other begins, and the lengths in it."""
    begin = end = -1
    lengths: list[int] = []
    for offset, length in places:
        if offset != end or end + length - begin > _RUN:
            if lengths:
                yield begin, lengths
            begin, lengths = offset, []
        lengths.append(length)
        end = offset + length
    if lengths:
        yield begin, lengths
