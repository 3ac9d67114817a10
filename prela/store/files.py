"""The trace folder: which files it has, and the whole lines that are new in them.

Other processes write there while we read, rotate and delete: a file may grow, end in half a line, shrink, or be gone
between two looks. None of that is an error.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

SUFFIX: Final = ".jsonl"
_CHUNK: Final = 4 * 1024 * 1024
"""Bytes read at once."""


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


def trace_files(folder: Path) -> list[FileState]:
    """The trace files of a folder, newest first. A folder that is not there has none."""
    found = []
    try:
        paths = list(folder.glob(f"*{SUFFIX}"))
    except OSError:
        return []
    for path in paths:
        try:
            stat = path.stat()
        except OSError:
            continue  # deleted since
        found.append(FileState(path.name, stat.st_size, stat.st_mtime_ns, stat.st_ino))
    return sorted(found, key=lambda file: (file.modified_ns, file.name), reverse=True)


def new_lines(path: Path, offset: int) -> Iterator[Block]:
    """The lines from an offset on that are whole; half a line at the end is left for another time.

    A file that is gone, or goes while it is read, has no more lines.
    """
    try:
        with path.open("rb") as file:
            file.seek(offset)
            rest = b""
            while chunk := file.read(_CHUNK):
                data = rest + chunk
                end = data.rfind(b"\n") + 1
                if end:
                    yield Block(offset, data[:end])
                    offset += end
                rest = data[end:]
    except OSError:
        return


def read_at(path: Path, places: list[tuple[int, int]]) -> Iterator[bytes | None]:
    """The bytes at each (offset, length) of a file; None for each where it has none any more."""
    try:
        with path.open("rb") as file:
            for offset, length in places:
                file.seek(offset)
                data = file.read(length)
                yield data if len(data) == length else None
    except OSError:
        yield from [None] * len(places)
