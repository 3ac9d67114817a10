"""`diff` and `export`: two traces side by side, and a trace for other programs."""

import csv
import json
from pathlib import Path
from typing import Any

import msgspec
import pytest

pytest.importorskip("typer", reason="the command line is an extra")

from prela.record import jsonl
from prela.record.otlp import Records, as_json
from tests.test_cli_finding import run
from tests.traces import Draft, records_of, span

HOSTILE = '=HYPERLINK("http://x";"y")'


def write(folder: Path, trace_id: str, *drafts: Draft) -> None:
    folder.mkdir(exist_ok=True)
    records = [msgspec.structs.replace(record, trace_id=trace_id * 32) for record in records_of(*drafts)]
    (folder / f"{trace_id}.jsonl").write_bytes(b"".join(map(jsonl.encode, records)))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "traces"
    write(made, "a", span("root", 0, 10_000, span("search", 0, 4_000), span("answer", 4_000, 9_000)))
    write(
        made,
        "b",
        span("root", 0, 13_000, span("search", 0, 8_000), span("answer", 8_000, 12_000), span("check", 12_000, 12_500)),
    )
    return made


def test_diff_tells_what_contributed_most_first(folder: Path) -> None:
    done = run(folder, "diff", "a", "b")
    assert done.exit_code == 0, done.output
    first, header, *rows = done.stdout.splitlines()
    assert first == "10 s before, 13 s after"
    assert header.split() == ["own", "time", "duration", "before", "after", "spans", "where"]
    assert [row.split()[0] for row in rows] == ["slower", "faster", "slower", "new"]
    assert rows[0].split()[1:7] == ["+4", "s", "+4", "s", "4", "s"]
    assert rows[0].endswith("root / search")
    assert rows[3].rstrip().endswith("root / check")


def test_diff_as_json_is_one_change_a_line(folder: Path) -> None:
    found = [json.loads(line) for line in run(folder, "diff", "a", "b", "--json", "-n", "1").stdout.splitlines()]
    assert found == [
        {
            "kind": "slower",
            "where": ["root", "search"],
            "change": 4.0,
            "self_change": 4.0,
            "before": 4.0,
            "after": 8.0,
            "spans_before": 1,
            "spans_after": 1,
        }
    ]


@pytest.mark.parametrize("args", [("diff", "a", "f"), ("export", "f"), ("export", "a", "-o", "nowhere/there.json")])
def test_what_is_not_there_is_one_line_and_exit_code_1(folder: Path, args: tuple[str, ...]) -> None:
    done = run(folder, *args)
    assert (done.exit_code, done.stdout) == (1, "")
    assert done.stderr.startswith("prela: ")
    assert done.stderr.count("\n") == 1


def test_a_form_that_is_none_is_a_wrong_use(folder: Path) -> None:
    done = run(folder, "export", "a", "--to", "excel")
    assert done.exit_code == 2
    assert "csv" in done.stderr


def test_export_to_perfetto_is_one_document_with_a_slice_a_span(folder: Path, tmp_path: Path) -> None:
    done = run(folder, "export", "a")
    slices = [event for event in json.loads(done.stdout)["traceEvents"] if event["ph"] == "X"]
    assert [(event["name"], event["ts"], event["dur"]) for event in slices] == [
        ("root", 0, 10_000_000),
        ("search", 0, 4_000_000),
        ("answer", 4_000_000, 5_000_000),
    ]
    to_file = run(folder, "export", "a", "-o", str(tmp_path / "trace.json"))
    assert to_file.stdout == ""
    assert "3 spans in " in to_file.stderr
    assert (tmp_path / "trace.json").read_text() == done.stdout


def test_export_to_otlp_is_one_request_that_holds_the_same_spans(folder: Path) -> None:
    done = run(folder, "export", "a", "--to", "otlp-json")
    found = list(Records(as_json.decode_request(done.stdout_bytes)))
    stored = [record for path in folder.glob("*.jsonl") for record in jsonl.Lines(path.read_bytes().splitlines())]
    assert sorted(map(jsonl.encode, found)) == sorted(
        jsonl.encode(record) for record in stored if record.trace_id.startswith("a")
    )


def table(folder: Path, trace: str) -> list[dict[str, str]]:
    done = run(folder, "export", trace, "--to", "csv")
    assert done.exit_code == 0, done.output
    return list(csv.DictReader(done.stdout_bytes.decode().splitlines(keepends=True)))


def test_export_to_csv_is_a_row_a_span_with_a_column_an_attribute(folder: Path) -> None:
    attributes: dict[str, Any] = {"n": -5, "share": 0.5, "ok": True, "list": [1, "ü"], "text": 'a "b"\r\nc,d'}
    write(
        folder, "c", span("root", 0, 2_000, span("child", 500, 1_000, attributes=attributes), span("open", 600, None))
    )
    root, child, unfinished = table(folder, "c")
    assert (root["name"], root["duration"], root["parent_span_id"], root["n"]) == ("root", "2.0", "", "")
    assert child["parent_span_id"] == root["span_id"]
    assert {name: child[name] for name in attributes} == {
        "n": "-5",
        "share": "0.5",
        "ok": "true",
        "list": '[1,"ü"]',
        "text": 'a "b"\r\nc,d',
    }
    assert (unfinished["status"], unfinished["duration"], unfinished["end_time_unix_nano"]) == ("pending", "", "")


@pytest.mark.parametrize("begin", ["=", "+", "-", "@", "\t=", "\r=", "\n="])
def test_no_text_of_a_trace_is_a_formula_in_a_spreadsheet(folder: Path, begin: str) -> None:
    text = begin + HOSTILE
    fields: dict[str, Any] = {"status_message": text, "service_name": text, "attributes": {text: text}}
    write(folder, "d", span(text, 0, 1, **fields))
    (row,) = table(folder, "d")
    assert row["name"] == row["status_message"] == row["service_name"] == row["'" + text] == "'" + text
    assert not any(cell.startswith(begin) for pair in row.items() for cell in pair)
