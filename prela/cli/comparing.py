"""Commands that look at a trace as a whole: `diff` of two, and `export` for other programs."""

import csv
import sys
from collections.abc import Callable
from enum import StrEnum
from io import StringIO
from pathlib import Path
from typing import Annotated, Any, Final

import typer
from rich.text import Text

from prela.cli.completing import complete_trace
from prela.cli.folder import AsJson, Limit, TraceDir, fail, opened
from prela.cli.tables import duration_of, print_json, print_table
from prela.record import perfetto
from prela.record.model import SpanRecord
from prela.record.otlp import as_json
from prela.record.tree import forest
from prela.store.analysis import Change, compare
from prela.store.query import as_text

_STYLES = {"slower": "red", "new": "yellow", "faster": "green", "gone": "cyan", "other": ""}
_COLUMNS = (
    "trace_id",
    "span_id",
    "parent_span_id",
    "name",
    "span_type",
    "status",
    "status_message",
    "start_time_unix_nano",
    "end_time_unix_nano",
    "service_name",
)


_FORMULAS: Final = ("=", "+", "-", "@", "\t", "\r", "\n")
"""What a spreadsheet takes for the beginning of a formula, or passes over before one."""


class Form(StrEnum):
    """What `export` can write."""

    PERFETTO = "perfetto"
    OTLP_JSON = "otlp-json"
    CSV = "csv"


def diff(
    before: Annotated[str, typer.Argument(help="The first digits of a trace id.", autocompletion=complete_trace)],
    after: Annotated[str, typer.Argument(help="Those of another of the same kind.", autocompletion=complete_trace)],
    limit: Limit = 20,
    trace_dir: TraceDir = None,
    as_json: AsJson = False,
) -> None:
    """Compare two traces. What got slower in the second, what is new, what is gone?

    Example: prela diff 4b7a46bc 9f02c1d3
    """
    with opened(trace_dir) as store:
        try:
            found = compare(forest(store.trace(before)), forest(store.trace(after)))
        except LookupError as error:
            fail(str(error))
    if as_json:
        print_json(map(_change_object, found.changes[:limit]))
        return
    print(f"{duration_of(found.before)} before, {duration_of(found.after)} after")
    headers = ("", "own time", "duration", "before", "after", "spans", "where")
    print_table(headers, map(_change_row, found.changes[:limit]), ("own time", "duration", "before", "after", "spans"))


def _change_row(change: Change) -> tuple[object, ...]:
    count = (len(change.before.records), len(change.after.records))
    return (
        Text(change.kind, style=_STYLES[change.kind]),
        _signed(change.self_change),
        _signed(change.change),
        duration_of(change.before.duration) if change.before.records else "",
        duration_of(change.after.duration) if change.after.records else "",
        str(count[0]) if count[0] == count[1] else f"{count[0]} > {count[1]}",
        " / ".join(change.place.path),
    )


def _change_object(change: Change) -> dict[str, object]:
    return {
        "kind": change.kind,
        "where": change.place.path,
        "change": change.change,
        "self_change": change.self_change,
        "before": change.before.duration if change.before.records else None,
        "after": change.after.duration if change.after.records else None,
        "spans_before": len(change.before.records),
        "spans_after": len(change.after.records),
    }


def _signed(seconds: float) -> str:
    return f"{'-' if seconds < 0 else '+'}{duration_of(abs(seconds))}"


def export(
    trace: Annotated[str, typer.Argument(help="The first digits of a trace id.", autocompletion=complete_trace)],
    to: Annotated[
        Form,
        typer.Option(help="perfetto opens in ui.perfetto.dev and chrome://tracing; otlp-json is read by collectors."),
    ] = Form.PERFETTO,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="By default, standard output.")] = None,
    trace_dir: TraceDir = None,
) -> None:
    """Write a trace in a form that other programs read.

    Example: prela export 4b7a46bc --to perfetto -o trace.json
    """
    with opened(trace_dir) as store:
        try:
            records = store.trace(trace)
        except LookupError as error:
            fail(str(error))
    data = _ENCODE[to](records)
    if output is None:
        sys.stdout.buffer.write(data)
        return
    try:
        output.write_bytes(data)
    except OSError as error:
        fail(str(error))
    print(f"{len(records)} spans in {output.resolve()}", file=sys.stderr)


def _as_csv(records: list[SpanRecord]) -> bytes:
    """A row a span, with its duration in seconds, and a column for each attribute that any of them has.

    Attributes are told as `search` asks for them. A text that a spreadsheet would take for a formula gets an apostrophe
    in front, as OWASP ("CSV Injection") advises: what a model or a user wrote must not run where the table is opened.
    """
    names = sorted({name for record in records for name in record.attributes})
    text = StringIO(newline="")
    writer = csv.writer(text)
    writer.writerow([*_COLUMNS, "duration", *map(_safe, names)])
    for record in sorted(records, key=lambda found: found.start_time_unix_nano):
        fixed = [_safe(getattr(record, column)) for column in _COLUMNS]
        values = (_safe(_cell(record.attributes[name])) if name in record.attributes else "" for name in names)
        writer.writerow([*fixed, record.duration, *values])
    return text.getvalue().encode(errors="backslashreplace")


def _cell(value: Any) -> Any:
    return value if isinstance(value, int | float) and not isinstance(value, bool) else as_text(value)


def _safe(value: Any) -> Any:
    return f"'{value}" if isinstance(value, str) and value.startswith(_FORMULAS) else value


_ENCODE: Final[dict[Form, Callable[[list[SpanRecord]], bytes]]] = {
    Form.PERFETTO: perfetto.encode_trace,
    Form.OTLP_JSON: as_json.encode_records,
    Form.CSV: _as_csv,
}
