"""The commands that find and look after traces: what they print, and their exit codes."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest

pytest.importorskip("typer", reason="the command line is an extra")

from typer.testing import CliRunner, Result

from prela.aio.spool_folder import SpoolFolder
from prela.cli.commands import app
from prela.core import shortcut
from prela.record import jsonl
from prela.record.model import SpanRecord
from prela.testing.otlp_collector import Answer, Collector

MINUTE = 60 * 10**9
START = 1_790_000_000 * 10**9


def record(number: int, **fields: Any) -> SpanRecord:
    base = SpanRecord(
        trace_id=f"{number:032x}",
        span_id=f"{number:016x}",
        parent_span_id=None,
        name=f"root {number}",
        span_type="agent",
        status="success",
        status_message=None,
        start_time_unix_nano=START + number * MINUTE,
        end_time_unix_nano=START + number * MINUTE + 250_000_000,
        attributes={},
        events=(),
        links=(),
        service_name="shop",
        resource={},
    )
    return msgspec.structs.replace(base, **fields)


USAGE = {
    "gen_ai.request.model": "gpt-4o",
    "gen_ai.usage.input_tokens": 1_200,
    "gen_ai.usage.output_tokens": 30,
    "prela.cost.usd": 0.0033,
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "traces"
    made.mkdir()
    call = record(
        2, span_id="c" * 16, parent_span_id=f"{2:016x}", name="chat gpt-4o", span_type="llm", attributes=USAGE
    )
    failed = record(3, status="error", status_message="no [red]route[/red]\x1b[31m")
    lines = [jsonl.encode(found) for found in (record(1), record(2), call, failed)]
    (made / "shop-1.jsonl").write_bytes(b"".join(lines) + b"no record\n")
    return made


def run(folder: Path, *args: str, **env: str) -> Result:
    clean = {key: "" for key in os.environ if key.startswith(("PRELA_", "OTEL_"))}
    return CliRunner().invoke(app, [*args], env={**clean, "PRELA_TRACE_DIR": str(folder), **env})


def test_list_shows_the_newest_first_with_tokens_and_cost(folder: Path) -> None:
    done = run(folder, "list")
    assert done.exit_code == 0, done.output
    header, *rows = done.stdout.splitlines()
    assert header.split() == ["trace", "start", "duration", "spans", "name", "service", "tokens", "cost"]
    assert [row.split()[0] for row in rows] == [f"{number:032x}"[:12] for number in (3, 2, 1)]
    assert "1 failed" in rows[0]
    assert "1,200 > 30" in rows[1]
    assert "$0.0033" in rows[1]


def test_list_as_json_is_one_object_a_line(folder: Path) -> None:
    found = [json.loads(line) for line in run(folder, "list", "--json", "-n", "2").stdout.splitlines()]
    assert [trace["name"] for trace in found] == ["root 3", "root 2"]
    assert found[1]["input_tokens"] == 1_200
    assert found[1]["duration"] == 0.25


def test_errors_are_traces_with_a_failed_span(folder: Path) -> None:
    done = run(folder, "errors")
    assert len(done.stdout.splitlines()) == 2
    assert "root 3" in done.stdout


def test_last_is_the_newest_trace_as_a_tree(folder: Path) -> None:
    done = run(folder, "last")
    assert "root 3" in done.stdout
    assert "root 2" not in done.stdout


def test_a_trace_is_shown_by_the_first_digits_that_name_it(folder: Path) -> None:
    done = run(folder, "show", f"{2:032x}")
    assert done.exit_code == 0, done.output
    assert "└─ chat gpt-4o [llm]" in done.stdout
    shown = run(folder, "show", f"{2:032x}", "--json").stdout.splitlines()
    assert [jsonl.decode(line).name for line in shown] == ["root 2", "chat gpt-4o"]


def test_digits_that_name_several_traces_or_none_are_an_error(folder: Path) -> None:
    several, none = run(folder, "show", "000"), run(folder, "show", "fff")
    assert (several.exit_code, none.exit_code) == (1, 1)
    assert "several traces" in several.stderr
    assert "no trace fff" in none.stderr


@pytest.mark.parametrize(
    ("args", "names"),
    [
        (("--type", "llm"), ["chat gpt-4o"]),
        (("--status", "error"), ["root 3"]),
        (("--name", "ROOT"), ["root 3", "root 2", "root 1"]),
        (("-a", "gen_ai.request.model=gpt-4o", "-a", "gen_ai.usage.input_tokens=1200"), ["chat gpt-4o"]),
        (("route",), ["root 3"]),
        (("--min-duration", "1ms", "--until", "2026-09-21T14:15:00+00:00"), ["root 1"]),
        (("-n", "1", "--service", "shop"), ["root 3"]),
    ],
)
def test_search_finds_spans(folder: Path, args: tuple[str, ...], names: list[str]) -> None:
    done = run(folder, "search", *args, "--json")
    assert done.exit_code == 0, done.output
    assert [jsonl.decode(line).name for line in done.stdout.splitlines()] == names


def test_what_a_span_says_never_becomes_markup_or_a_terminal_command(folder: Path) -> None:
    done = run(folder, "search", "--status", "error")
    assert "no [red]route[/red]\\x1b[31m" in done.stdout


def test_nothing_found_is_told_on_stderr_with_exit_code_1(folder: Path) -> None:
    done = run(folder, "search", "--name", "nobody")
    assert (done.exit_code, done.stdout) == (1, "")
    assert done.stderr == "prela: no such spans\n"


@pytest.mark.parametrize(
    "args",
    [
        ("search", "-a", "x"),
        ("search", "--since", "soon"),
        ("stats", "--by", "colour"),
        ("prune",),
        ("list", "-n", "0"),
    ],
)
def test_a_wrong_use_has_exit_code_2_and_says_what_is_right(folder: Path, args: tuple[str, ...]) -> None:
    done = run(folder, *args)
    assert done.exit_code == 2
    assert "Usage" in done.stderr


def test_stats_sum_up_by_model(folder: Path) -> None:
    (found,) = [json.loads(line) for line in run(folder, "stats", "--by", "model", "--json").stdout.splitlines()]
    assert found == {
        "group": "gpt-4o",
        "spans": 1,
        "errors": 0,
        "cancelled": 0,
        "p50": 0.25,
        "p95": 0.25,
        "p99": 0.25,
        "input_tokens": 1_200,
        "output_tokens": 30,
        "cost": 0.0033,
    }
    assert "250 ms" in run(folder, "stats", "--by", "status").stdout


def test_prune_deletes_the_oldest_files_and_says_so_first_if_asked(folder: Path) -> None:
    old, own = folder / "shop-20010909T014640Z-1-0123abcd.jsonl", folder / "dataset.jsonl"
    for path in (old, own):
        path.write_bytes(b"x" * 100)
        os.utime(path, (1_000_000_000, 1_000_000_000))
    (folder / "shop-1.jsonl").rename(newest := folder / "shop-20260101T000000Z-1-0123abcd.jsonl")
    assert "would delete" in run(folder, "prune", "--older-than", "7d", "--dry-run").stdout
    assert old.exists()
    assert "1 file, 100 bytes" in run(folder, "prune", "--older-than", "7d").stdout
    assert not old.exists()
    assert newest.exists()
    assert "is no size" in run(folder, "prune", "--max-size", "-5").output
    run(folder, "prune", "--max-size", "10")
    assert not newest.exists()
    assert own.exists(), "what is not called as ours is not ours"


def test_doctor_says_where_each_value_is_from(folder: Path) -> None:
    done = run(folder, "doctor", PRELA_CAPTURE_CONTENT="0")
    assert done.exit_code == 0, done.output
    values = {row.split()[0]: row.split()[1:] for row in done.stdout.splitlines() if row.strip()}
    assert values["capture_content"] == ["False", "PRELA_CAPTURE_CONTENT"]
    assert values["batch_size"] == ["512", "default"]
    assert "traces can be written" in done.stdout
    assert values["short"] == ["cuts", "in", "C", *shortcut.told.split()]


@pytest.mark.parametrize(
    ("variables", "setting", "source"),
    [
        ({"OTEL_RESOURCE_ATTRIBUTES": "service.name=shop"}, "service_name", "OTEL_RESOURCE_ATTRIBUTES"),
        ({"OTEL_RESOURCE_ATTRIBUTES": "a=1", "OTEL_SERVICE_NAME": "b"}, "service_name", "OTEL_SERVICE_NAME"),
        ({"OTEL_BSP_SCHEDULE_DELAY": "abc"}, "export_delay", "default"),
        ({"OTEL_TRACES_SAMPLER": "nonsense"}, "sampler", "default"),
        (
            {"OTEL_TRACES_SAMPLER": "traceidratio", "OTEL_TRACES_SAMPLER_ARG": "0.5"},
            "sampler",
            "OTEL_TRACES_SAMPLER, OTEL_TRACES_SAMPLER_ARG",
        ),
        ({"OTEL_BSP_MAX_QUEUE_SIZE": "100"}, "limits", "OTEL_BSP_MAX_QUEUE_SIZE"),
        ({"PRELA_SPOOL": "1", "PRELA_SPOOL_DIR": "s"}, "spool", "PRELA_SPOOL, PRELA_SPOOL_DIR"),
    ],
)
def test_doctor_names_the_variables_that_were_taken_and_no_others(
    variables: dict[str, str], setting: str, source: str, folder: Path
) -> None:
    rows = run(folder, "doctor", **variables).stdout.splitlines()
    (row,) = [row for row in rows if row.startswith(setting)]
    assert row.rstrip().endswith(f"  {source}")


@pytest.mark.parametrize(
    ("command", "variables", "expected"),
    [
        ("list 2>&-", {}, 0),
        ("list >&-", {}, 0),
        ("last >/dev/full", {}, 1),
        ("last", {"PYTHONIOENCODING": "ascii"}, 0),
        ("last", {"COLUMNS": "0"}, 0),
    ],
)
def test_streams_that_are_closed_full_or_narrow_cost_no_more_than_themselves(
    command: str, variables: dict[str, str], expected: int, folder: Path
) -> None:
    done = subprocess.run(
        f"{sys.executable} -m prela {command}",
        shell=True,
        capture_output=True,
        text=True,
        cwd=Path(__file__).parent.parent,
        env={**os.environ, "PRELA_TRACE_DIR": str(folder), **variables},
    )
    assert done.returncode == expected
    assert "Traceback" not in done.stderr
    if expected:
        assert done.stderr.startswith("prela: ") and len(done.stderr.splitlines()) == 1
    if command == "last":
        assert "root 3" in done.stdout


def test_doctor_fails_with_a_bad_value_and_with_a_folder_that_cannot_be_written(folder: Path, tmp_path: Path) -> None:
    assert "PRELA_CAPTURE_CONTENT" in run(folder, "doctor", PRELA_CAPTURE_CONTENT="maybe").stderr
    (tmp_path / "file").touch()
    assert run(tmp_path / "file" / "below", "doctor").exit_code == 1


def test_doctor_says_whether_the_endpoint_takes_spans(folder: Path) -> None:
    with Collector() as collector:
        variables = {"PRELA_EXPORTER": "otlp", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": collector.endpoint}
        done = run(folder, "doctor", **variables)
        assert done.exit_code == 0, done.output
        assert f"traces can be sent to {collector.endpoint}" in done.stdout
        assert "can be written" not in done.stdout, "the folder is not used"
        collector.answer(Answer(status=401))
        refused = run(folder, "doctor", **variables)
        assert refused.exit_code == 1
        assert "401" in refused.stderr
        assert {fault.partition(" (")[0] for fault in collector.faults} == {"the request has no span"}
    gone = run(folder, "doctor", **variables)
    assert gone.exit_code == 1
    assert f"traces cannot be sent to {collector.endpoint}" in gone.stderr


def test_doctor_says_what_waits_in_the_spool(folder: Path) -> None:
    spool = SpoolFolder(folder / "spool" / "otlp-example")
    for spans in (3, 1500):
        spool.write(b"", spans, sync=False)
    spool.close()
    place = folder / "spool" / "otlp-example"
    for done in (run(folder, "doctor", PRELA_SPOOL="1"), run(folder, "doctor")):  # also where none is in force
        assert done.exit_code == 0, done.output
        assert f"spans that wait in {place}: 1,503, the oldest since 20" in done.stdout


def test_a_folder_that_is_not_there_is_told_with_what_to_do(tmp_path: Path) -> None:
    done = run(tmp_path / "nowhere", "list")
    assert done.exit_code == 1
    assert "prela demo" in done.stderr


@pytest.mark.parametrize(
    "command",
    ["list", "last", "errors", "search", "stats", "show", "diff", "export", "tail", "prune", "doctor", "demo"],
)
def test_every_command_has_help_with_an_example(command: str, tmp_path: Path) -> None:
    assert f"Example: prela {command}" in run(tmp_path, command, "--help").stdout
