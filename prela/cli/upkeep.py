"""Commands that look after the folder: `tail`, `prune`."""

import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Final

import typer
from rich.console import Console

from prela.cli.folder import TraceDir, fail, folder_in_force, seconds
from prela.cli.printing import styled_end
from prela.record import jsonl
from prela.record.file_names import is_written_by_prela
from prela.record.model import SpanRecord
from prela.store.files import FileState, new_lines, read_at, trace_files

_LOOK_EVERY: Final = 0.25
"""Seconds between two looks of `tail`."""
_SIZES: Final = {"": 1, "k": 1024, "m": 1024**2, "g": 1024**3, "t": 1024**4}


def size(text: str) -> int:
    """Bytes as people write them: "500M", "2G".

    Raises:
        typer.BadParameter: It is no size.
    """
    cleaned = text.strip().lower().removesuffix("ib").removesuffix("b")
    unit = cleaned[-1:] if cleaned[-1:].isalpha() else ""
    number = cleaned.removesuffix(unit) if unit else cleaned
    try:
        found = int(float(number) * _SIZES[unit])
    except (ValueError, KeyError, OverflowError):
        found = -1
    if found < 0:
        raise typer.BadParameter(f"{text!r} is no size; write 500M or 2G")
    return found


def tail(
    trace_dir: TraceDir = None,
    from_start: Annotated[bool, typer.Option("--from-start", help="Also what is there already.")] = False,
) -> None:
    """Follow the spans of running programs, each as it ends. Those still open are shown where a file tells of them.

    Stop with Ctrl-C.

    Example: prela tail
    """
    folder = folder_in_force(trace_dir)
    console = Console(highlight=False, soft_wrap=True)
    read = {} if from_start else {file.name: (file.inode, _end_of_lines(folder, file)) for file in trace_files(folder)}
    try:
        while True:
            files = trace_files(folder)
            read = {file.name: read[file.name] for file in files if file.name in read}
            for file in reversed(files):
                for record in _new_records(folder, file, read):
                    console.print(styled_end(record))
            time.sleep(_LOOK_EVERY)
    except KeyboardInterrupt:
        return


def _new_records(folder: Path, file: FileState, read: dict[str, tuple[int, int]]) -> Iterator[SpanRecord]:
    """What is new in a file since it was read, from its start if it was cut or is another of the same name."""
    inode, offset = read.get(file.name, (file.inode, 0))
    if inode != file.inode or file.size < offset:
        offset = 0
    read[file.name] = (file.inode, offset)
    try:
        for block in new_lines(folder / file.name, offset):
            read[file.name] = (file.inode, block.end)
            yield from jsonl.Lines(block.data.split(b"\n"))
    except OSError as error:
        print(f"prela: {file.name}: {error.strerror}", file=sys.stderr)
        read[file.name] = (file.inode, file.size)  # and that was said once


def _end_of_lines(folder: Path, file: FileState) -> int:
    """Where the last whole line of a file ends; half a line that is there already will be read once it is whole."""
    step = 1 << 16
    end = file.size
    while end > 0:
        begin = max(0, end - step)
        (data,) = read_at(folder / file.name, [(begin, end - begin)])
        if data is None:
            return 0
        if (at := data.rfind(b"\n")) >= 0:
            return begin + at + 1
        end = begin
    return 0


def prune(
    older_than: Annotated[
        float | None, typer.Option(parser=seconds, metavar="DURATION", help="Files not written to for so long: 7d.")
    ] = None,
    max_size: Annotated[
        int | None, typer.Option(parser=size, metavar="SIZE", help="The oldest files, until the rest is no more: 1G.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be deleted.")] = False,
    trace_dir: TraceDir = None,
) -> None:
    """Delete old trace files. Files that are not called as Prela calls its own stay.

    Example: prela prune --older-than 7d --max-size 1G --dry-run
    """
    if older_than is None and max_size is None:
        raise typer.BadParameter("say what is to go: --older-than, --max-size, or both")
    folder = folder_in_force(trace_dir)
    kept = freed = deleted = 0
    for file in trace_files(folder):
        if not is_written_by_prela(file.name):
            continue
        too_old = older_than is not None and time.time() - file.modified_ns / 1e9 > older_than
        too_much = max_size is not None and kept + file.size > max_size
        if not (too_old or too_much):
            kept += file.size
            continue
        if not dry_run:
            try:
                (folder / file.name).unlink(missing_ok=True)
            except OSError as error:
                fail(str(error))
        print(f"{'would delete' if dry_run else 'deleted'} {folder / file.name} ({file.size:,} bytes)")
        freed, deleted = freed + file.size, deleted + 1
    print(f"{deleted} {'file' if deleted == 1 else 'files'}, {freed:,} bytes; {kept:,} bytes stay")
