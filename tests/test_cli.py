"""`prela demo` and `prela show`, as a person runs them."""

import json
import os
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

from prela import get_tracer
from prela.record import jsonl
from prela.testing import recording
from tests.conftest import ROOT

pytest.importorskip("typer", reason="the command line is an extra")


def prela(*args: str, cwd: Path, **env: str) -> "subprocess.CompletedProcess[str]":
    clean = {key: value for key, value in os.environ.items() if not key.startswith(("PRELA_", "OTEL_"))}
    return subprocess.run(
        [sys.executable, "-c", "from prela.cli import main; main()", *args],
        capture_output=True,
        text=True,
        timeout=60,
        cwd=cwd,
        env={**clean, "PYTHONPATH": str(ROOT), "PYTHONIOENCODING": "utf-8", **env},
    )


def test_the_demo_runs_and_shows_its_trace(tmp_path: Path) -> None:
    done = prela("demo", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    (path,) = (tmp_path / "traces").glob("prela-demo-*.jsonl")
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    by_id = {line["span_id"]: line["name"] for line in lines}
    parents = {(line["name"], by_id.get(line["parent_span_id"])) for line in lines}
    assert {
        ("research_agent", None),
        ("search", "research_agent"),
        ("query_archive", "fan_out"),
        ("count_words", "map"),
        ("summarise cancellation", "summarise_all"),
        ("slow attempt", "race"),
        ("page 7", "fetch_pages"),
        ("write_report", "research_agent"),
    } <= parents
    assert {line["status"] for line in lines} == {"success", "error", "cancelled"}
    assert "█" in done.stdout
    assert "archive: connection refused" in done.stdout
    assert "cancelled: explicit" in done.stdout
    assert f"{len(lines)} spans: " in done.stdout
    assert str(path) in done.stdout

    shown = prela("show", cwd=tmp_path)
    assert shown.stdout == done.stdout


def test_show_passes_over_lines_it_cannot_read_and_says_so(tmp_path: Path) -> None:
    with recording() as recorder, get_tracer().span("root"), get_tracer().span("child"):
        pass
    lines = [jsonl.encode(record) for record in recorder.records]
    file = tmp_path / "cut.jsonl"
    file.write_bytes(b"".join(lines) + b"not json\n" + lines[0][:40])
    done = prela("show", str(file), cwd=tmp_path)
    assert done.returncode == 0
    assert "└─ child" in done.stdout
    assert "2 spans: 2 success" in done.stdout
    assert "2 lines could not be read" in done.stdout


@pytest.mark.parametrize(
    ("args", "says"),
    [
        (["show", "nowhere.jsonl"], "there is no such file"),
        (["show"], "no trace files"),
        (["show", "empty.jsonl"], "no spans"),
        (["show", "."], "this is a folder"),
    ],
)
def test_bad_input_is_one_clear_line_and_exit_status_1(args: list[str], says: str, tmp_path: Path) -> None:
    (tmp_path / "empty.jsonl").touch()
    done = prela(*args, cwd=tmp_path)
    assert done.returncode == 1
    assert says in done.stderr
    assert done.stderr.count("\n") == 1


def test_a_bad_environment_is_one_clear_line(tmp_path: Path) -> None:
    done = prela("show", cwd=tmp_path, PRELA_SAMPLE_RATE="2")
    assert done.returncode == 1
    assert done.stderr.startswith("prela: PRELA_SAMPLE_RATE is '2'; allowed is a number from 0 to 1")


def test_the_list_of_commands_is_not_cut_and_the_version_is_the_packages(tmp_path: Path) -> None:
    _, _, commands = prela("--help", cwd=tmp_path).stdout.partition("Commands:")
    assert "serve" in commands
    assert "..." not in commands
    assert prela("--version", cwd=tmp_path).stdout == f"prela {version('prela')}\n"


def test_the_demo_says_where_it_could_not_write(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    done = prela("demo", "--trace-dir", "file/traces", cwd=tmp_path)
    assert done.returncode == 1
    assert "could not be written" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("command", ["demo", "show"])
def test_help_has_an_example(command: str, tmp_path: Path) -> None:
    done = prela(command, "--help", cwd=tmp_path)
    assert done.returncode == 0
    assert f"Example: prela {command}" in done.stdout
