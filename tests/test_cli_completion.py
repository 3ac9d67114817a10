"""Completion in the shell: right words, quickly, and never a word too many."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("typer", reason="the command line is an extra")

from prela.store.index import INDEX_NAME
from prela.store.store import Store
from tests.conftest import ROOT
from tests.test_store import line, write


def complete(words: str, folder: Path, **env: str) -> tuple[str, list[str]]:
    """What stood on stderr, and what the shell is told for the word that the line ends in."""
    done = subprocess.run(
        [sys.executable, "-c", "from prela.cli import main; main()"],
        capture_output=True,
        text=True,
        timeout=60,
        env={
            **{key: value for key, value in os.environ.items() if not key.startswith(("PRELA_", "OTEL_"))},
            "PYTHONPATH": str(ROOT),
            "PRELA_TRACE_DIR": str(folder),
            "_PRELA_COMPLETE": "complete_bash",
            "COMP_WORDS": words,
            "COMP_CWORD": str(len(words.split(" ")) - 1),
            **env,
        },
    )
    return done.stderr, done.stdout.split()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write(tmp_path / "a.jsonl", line("old", trace_id="ab" * 16), line("new", trace_id="ac" * 16))
    with Store(tmp_path) as store:
        store.refresh()
    return tmp_path


@pytest.mark.parametrize("command", ["show", "export", "diff", "diff ac"])
def test_trace_ids_are_completed_from_the_index_newest_first(folder: Path, command: str) -> None:
    assert complete(f"prela {command} ", folder) == ("", ["ac" * 6, "ab" * 6])
    assert complete(f"prela {command} ab", folder) == ("", ["ab" * 6])
    assert complete(f"prela {command} {'ab' * 7}", folder) == ("", ["ab" * 7])


def test_the_folder_on_the_line_is_the_one_that_counts(folder: Path, tmp_path: Path) -> None:
    assert complete(f"prela show --trace-dir {folder} ", tmp_path / "nowhere") == ("", ["ac" * 6, "ab" * 6])


@pytest.mark.parametrize(
    ("words", "found"),
    [
        ("prela search --type l", ["llm"]),
        ("prela search --status c", ["cancelled"]),
        ("prela stats --by s", ["status", "service"]),
        ("prela export ab --to c", ["csv"]),
        ("prela dif", ["diff"]),
    ],
)
def test_the_values_of_options_are_completed(folder: Path, words: str, found: list[str]) -> None:
    assert complete(words, folder) == ("", found)


@pytest.mark.parametrize("content", [None, b"", b"garbage" * 1000])
def test_without_a_sound_index_nothing_is_completed_said_or_made(tmp_path: Path, content: bytes | None) -> None:
    if content is not None:
        (tmp_path / INDEX_NAME).write_bytes(content)
    before = sorted(os.listdir(tmp_path))
    assert complete("prela show ", tmp_path, XDG_CACHE_HOME=str(tmp_path)) == ("", [])
    assert sorted(os.listdir(tmp_path)) == before


def test_a_bad_environment_completes_nothing_and_says_nothing(folder: Path) -> None:
    assert complete("prela show ", folder, PRELA_SAMPLE_RATE="2") == ("", [])


def test_a_shell_gets_its_script(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", "from prela.cli import main; main()", "--show-completion", "bash"],
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, "PYTHONPATH": str(ROOT), "_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION": "1"},
    )
    assert done.returncode == 0, done.stderr
    assert "_PRELA_COMPLETE=complete_bash" in done.stdout
