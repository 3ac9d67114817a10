"""What several commands need: the folder in force, how to open it, how to fail, and what people write for times."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Final, NoReturn

import typer
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

from prela.config import load
from prela.store.store import Progress as Reading
from prela.store.store import Store
from prela.store.times import read_duration, read_moment
from prela.variables import ConfigurationError

TraceDir = Annotated[
    Path | None, typer.Option(help="The folder with trace files; by default PRELA_TRACE_DIR, or ./traces.")
]
AsJson = Annotated[bool, typer.Option("--json", help="One JSON object a line, for other programs.")]
Limit = Annotated[int, typer.Option("--limit", "-n", min=1, help="How many at most.")]

_SHOW_PROGRESS_FROM: Final = 20 * 1024 * 1024
"""Bytes of new lines from which it is worth a bar."""


def fail(message: str) -> NoReturn:
    """End with a word on stderr, and exit code 1."""
    print(f"prela: {message.removeprefix('prela: ')}", file=sys.stderr)
    raise typer.Exit(1)


def folder_in_force(given: Path | None) -> Path:
    """The folder that was given, or that the configuration says."""
    if given is not None:
        return given
    try:
        return load().trace_dir
    except ConfigurationError as error:
        fail(str(error))


@contextmanager
def opened(trace_dir: Path | None) -> Iterator[Store]:
    """The folder as a store, with a progress bar on stderr while much of it is read for the first time."""
    folder = folder_in_force(trace_dir)
    if not folder.is_dir():
        fail(f"no folder {folder}; run `prela demo`, or a program that calls prela.init()")
    columns = TextColumn("reading the traces"), BarColumn(), DownloadColumn(), TimeRemainingColumn()
    with Progress(*columns, console=Console(stderr=True), transient=True, disable=not sys.stderr.isatty()) as bar:
        task = bar.add_task("", total=None, visible=False)

        def on_progress(reading: Reading) -> None:
            visible = reading.total >= _SHOW_PROGRESS_FROM
            bar.update(task, completed=reading.done, total=reading.total, visible=visible)

        with Store(folder, on_progress=on_progress) as store:
            store.refresh()
            bar.stop()
            if store.notice:
                print(f"prela: {store.notice}", file=sys.stderr)
            yield store


def seconds(text: str) -> float:
    """A duration as people write it: "200ms", "1.5s", "2h"; a bare number is seconds.

    Raises:
        typer.BadParameter: It is none.
    """
    try:
        return read_duration(text)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None


def moment(text: str) -> int:
    """A point in time as nanoseconds since the Unix epoch: "2h" is two hours ago; or a date and time of ISO 8601.

    Raises:
        typer.BadParameter: It is neither.
    """
    try:
        return read_moment(text)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None
