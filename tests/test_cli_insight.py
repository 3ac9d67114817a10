"""What the command line tells of a trace in which insight has told everything."""

from pathlib import Path

import pytest

pytest.importorskip("typer", reason="the command line is an extra")

from tests import insight
from tests.test_cli_finding import run


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("traces")
    insight.write(made)
    return made


@pytest.fixture(scope="module", params=[("show", insight.INSIGHT[:8]), ("last",)], ids=lambda args: args[0])
def told(request: pytest.FixtureRequest, folder: Path) -> list[str]:
    done = run(folder, *request.param)
    assert done.exit_code == 0, done.output
    return done.stdout.splitlines()


def row(told: list[str], name: str) -> str:
    return next(line for line in told if f"─ {name} " in line)


def test_rows_tell_where_the_time_went_and_shade_their_bars(told: list[str]) -> None:
    assert row(told, "compute").rstrip().endswith("about: ran 225 ms, ready 30 ms, waited 45 ms")
    assert "█████▓░" in row(told, "compute")
    assert "ran 10 ms, ready 120 ms, waited 270 ms" in row(told, "reader")
    assert "█" not in row(told, "wait pool")
    assert "▓ ready to run, ░ waiting" in told


def test_a_stall_is_told_of_both_sides_with_the_end_of_its_stack(told: list[str]) -> None:
    at = told.index("compute: held its event loop for 120 ms, after 50 ms")
    assert told[at + 1 : at + 3] == [f"    {line}" for line in insight.STACK.splitlines()]
    assert "compute: held up 2 other spans: reader, writer" in told
    assert "compute: ran about 120 ms at one go, at agent.py:52 in digest" in told
    assert "reader: was held up for 120 ms at most by compute" in told
    assert f"writer: was held up by compute, the span {insight.ELSEWHERE}" in told


def test_causes_are_sentences_that_name_the_other_span(told: list[str]) -> None:
    assert "loser: was cancelled because a sibling had failed (no more), by failing in failing" in told
    assert "wait pool: waited for the limiter pool, behind 2 others" in told
    assert "later: waited for the end of reader" in told
    assert "later: was started by agent" in told
    assert "forgotten: was never ended by its program; it was started at agent.py:7 in main" in told


def test_open_and_interrupted_spans_are_told_apart_with_their_ages(told: list[str]) -> None:
    assert "† " in row(told, "cut")
    assert "cut off" in row(told, "cut")
    assert "interrupted 1 m 0" in row(told, "cut")
    assert "open for " in row(told, "running")
    assert told[-1] == "11 spans: 7 success, 1 error, 1 cancelled, 2 pending (1 interrupted)"


def test_a_file_that_is_shown_knows_whether_its_program_is_over(folder: Path) -> None:
    over, running = sorted(folder.glob("agent-*.jsonl"), key=lambda path: path.name[-14:])
    assert "interrupted 1 m 0" in run(folder, "show", str(over)).stdout
    assert "open for" in run(folder, "show", str(running)).stdout


def test_errors_tells_what_failed_first_and_what_was_cut_off(folder: Path) -> None:
    (line,) = run(folder, "errors").stdout.splitlines()[1:]
    assert "1 failed, 1 cancelled, 1 open, 1 interrupted" in line
    assert line.rstrip().endswith("failing: no route")
    (line,) = run(folder, "list").stdout.splitlines()[1:]
    assert "1 open, 1 interrupted" in line
    assert "no route" not in line
