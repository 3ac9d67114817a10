"""`prela tail`, as a process of its own that is watched while files change."""

import os
import queue
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.test_store import PENDING, SPAN, line, write

pytest.importorskip("typer", reason="the command line is an extra")
pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="POSIX only")

PATIENCE = 30.0


class Tail:
    """A running `prela tail`, line by line."""

    def __init__(self, folder: Path, *args: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", "from prela.cli import main; main()", "tail", "--trace-dir", str(folder), *args],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONIOENCODING": "utf-8"},
        )
        self._lines: queue.Queue[str] = queue.Queue()
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for text in self.process.stdout:
            self._lines.put(text.rstrip("\n"))

    def next(self) -> str:
        return self._lines.get(timeout=PATIENCE)

    def stop(self) -> tuple[int, str, list[str]]:
        """Press Ctrl-C; the exit code, what stood on stderr, and the lines that nobody has read."""
        self.process.send_signal(signal.SIGINT)
        assert self.process.stderr is not None
        errors = self.process.stderr.read()
        code = self.process.wait(PATIENCE)
        self._reader.join(PATIENCE)
        self.process.stdout.close()  # type: ignore[union-attr]
        self.process.stderr.close()
        return code, errors, list(self._lines.queue)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "traces"


@pytest.fixture
def tail(folder: Path) -> Iterator[Tail]:
    write(folder / "a.jsonl", line("before"))
    running = Tail(folder, "--from-start")
    try:
        assert running.next().endswith("before")
        yield running
    finally:
        if running.process.poll() is None:
            running.process.kill()
            running.stop()


def test_spans_are_told_as_they_end_in_files_old_and_new(tail: Tail, folder: Path) -> None:
    whole = line("second", status="error", status_message="no [red]route\x1b[0m", span_type="llm")
    write(folder / "a.jsonl", line("first"), whole[:40])
    assert tail.next().endswith("first")
    write(folder / "a.jsonl", whole[40:])
    told = tail.next()
    assert "✗" in told
    assert told.endswith("second [llm]  no [red]route\\x1b[0m")
    write(folder / "rotated.jsonl", b"no record\n", line("third"))
    assert tail.next().endswith("third")


def test_open_spans_are_marked_and_told_again_when_they_end(tail: Tail, folder: Path) -> None:
    write(folder / "a.jsonl", line("work", **SPAN, **PENDING))
    told = tail.next()
    assert "…" in told
    assert "open" in told
    write(folder / "a.jsonl", line("work", **SPAN))
    told = tail.next()
    assert "✓" in told
    assert "open" not in told


def test_files_that_are_deleted_cut_or_replaced_are_followed_on(tail: Tail, folder: Path, tmp_path: Path) -> None:
    (folder / "a.jsonl").write_bytes(line("x"))  # shorter than it was
    assert tail.next().endswith("x")
    write(tmp_path / "other.jsonl", line("an other file of the same name, and a longer one"))
    (tmp_path / "other.jsonl").replace(folder / "a.jsonl")
    assert tail.next().endswith("a longer one")
    (folder / "a.jsonl").unlink()
    write(folder / "b.jsonl", line("on"))
    assert tail.next().endswith("on")


def test_ctrl_c_ends_it_quietly_with_exit_code_0(tail: Tail) -> None:
    assert tail.stop() == (0, "", [])


def test_without_from_start_only_what_comes_is_told_even_of_a_line_that_was_half_there(folder: Path) -> None:
    half = line("half")
    write(folder / "a.jsonl", line("old"), half[:60])
    running = Tail(folder)
    number = 0
    told = ""
    while not told:  # until it looks at the folder, what is written there is old
        number += 1
        write(folder / f"{number}.jsonl", line(f"new {number}"))
        try:
            told = running._lines.get(timeout=0.5)
        except queue.Empty:
            continue
    assert "new" in told
    write(folder / "a.jsonl", half[60:])
    while not (told := running.next()).endswith("half"):
        assert "new" in told
    code, _, rest = running.stop()
    assert code == 0
    assert not any("old" in text for text in rest)


def test_a_reader_that_goes_away_ends_it_without_a_word(folder: Path) -> None:
    write(folder / "a.jsonl", *(line(f"span {n}") for n in range(5_000)))  # more than a pipe holds
    code = "from prela.cli import main; main()"
    done = subprocess.run(
        f'{sys.executable} -c "{code}" tail --from-start | head -n 1',
        shell=True,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        env={**os.environ, "PYTHONPATH": str(ROOT), "PRELA_TRACE_DIR": str(folder), "PYTHONIOENCODING": "utf-8"},
    )
    assert done.stdout.endswith("span 0\n")
    assert done.stderr == ""
