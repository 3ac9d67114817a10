"""Trace files on the terminal: the rows of `prela.record.text`, with colour where there is a terminal to show it."""

import time
from collections.abc import Mapping
from pathlib import Path

from rich.console import Console
from rich.text import Text

from prela.cli.telling import told_of
from prela.record.jsonl import Lines, latest
from prela.record.model import SpanRecord
from prela.record.text import INTERRUPTED, MARKS, Pending, Row, format_duration, one_line, rows, totals
from prela.record.tree import Node, forest
from prela.store.analysis import critical_path
from prela.store.liveness import look_at

_STYLES = {"success": "green", "error": "bold red", "cancelled": "yellow", "pending": "cyan", "interrupted": "magenta"}
_LABEL = 48
_WORTH_TELLING = 0.02
"""Share of the critical path from which a span's part in it is shown."""


def print_file(path: Path) -> int:
    """Print every trace of a file, totals, and where the file is; return the number of spans.

    Raises:
        OSError: The file cannot be read.
    """
    console = Console(highlight=False, soft_wrap=True)
    with path.open("rb") as file:
        lines = Lines(file)
        records = latest(lines)
    known = look_at(path)
    print_records(records, console, {record.span_id: known for record in records if record.status == "pending"})
    if lines.bad:
        console.print(Text(f"{lines.bad} lines could not be read and were passed over", style="yellow"))
    console.print(Text(f"trace file: {path.resolve()}"))
    return len(records)


def print_records(
    records: list[SpanRecord], console: Console | None = None, pending: Mapping[str, Pending] | None = None
) -> None:
    """Print the traces that some records make, what there is to say of their spans, and totals.

    `pending` is what is known of spans that have not ended, by their ids.
    """
    console = console or Console(highlight=False, soft_wrap=True)
    now = time.time_ns()
    for root in forest(records):
        _print_tree(console, root, pending or {}, now)
    if records:
        console.print(Text(_summary(records, pending or {})))


def _print_tree(console: Console, root: Node, pending: Mapping[str, Pending], now: int) -> None:
    ascii_only = "utf" not in (console.encoding or "").lower()
    found = rows(root, ascii_only=ascii_only, pending=pending, now=now)
    record = root.record
    heading = f"trace {record.trace_id}  {one_line(record.service_name)}  {format_duration(record.duration)}"
    console.print(Text(heading, style="bold"))
    width = min(_LABEL, max(row.label_width for row in found))
    path = critical_path([root])
    waited: dict[str, float] = {}
    for segment in path.segments:
        if segment.record is not None:
            waited[segment.record.span_id] = waited.get(segment.record.span_id, 0.0) + segment.duration
    mark = "*" if ascii_only else "◆"
    for row, (_, node) in zip(found, root.walk(), strict=True):
        line = _styled(row, width)
        if len(found) > 1 and (seconds := waited.get(node.record.span_id, 0.0)) >= _WORTH_TELLING * sum(
            waited.values()
        ):
            line += Text(f"  {mark} {format_duration(seconds)}", style="magenta")
        console.print(line)
    if len(found) > 1:
        basis = {"timing": "judged by timing", "joins": "from recorded joins"}.get(
            path.basis, "partly judged by timing"
        )
        console.print(Text(f"{mark} what the end had to wait for: the critical path, {basis}", style="dim"))
    ready, wait = ("=", "-") if ascii_only else ("▓", "░")
    if any(row.times or wait in row.bar for row in found):
        console.print(Text(f"{ready} ready to run, {wait} waiting", style="dim"))
    for told, status in told_of(root):
        console.print(Text(told, style=_STYLES.get(status, "")))
    console.print()


def _styled(row: Row, width: int) -> Text:
    style = _STYLES.get(row.status, "")
    label = Text(row.branch, style="dim") + Text(row.name)
    if row.span_type:
        label += Text(f" [{row.span_type}]", style="dim cyan")
    label += Text(" " * max(0, width - row.label_width))
    bar = Text(f"  {row.bar}", style=style or "green")
    line = Text(f"{row.mark} ", style=style) + label + Text(f"  {row.duration:>8}") + bar
    if row.note:
        line += Text(f"  {row.note}", style=style)
    if row.times:
        line += Text(f"  {row.times}", style="dim")
    return line


def styled_end(record: SpanRecord) -> Text:
    """A span that has ended, as one line."""
    style = _STYLES.get(record.status, "")
    line = Text(f"{record.trace_id[:12]} ", style="dim") + Text(f"{MARKS.get(record.status, '?')} ", style=style)
    line += Text(f"{format_duration(record.duration):>8}  {one_line(record.name)}")
    if record.span_type != "custom":
        line += Text(f" [{record.span_type}]", style="dim cyan")
    if record.status_message:
        line += Text(f"  {one_line(record.status_message, 120)}", style=style)
    return line


def _summary(records: list[SpanRecord], pending: Mapping[str, Pending]) -> str:
    """Counts by status, and tokens and cost where the spans say them."""
    tokens = [(sum(_number(r, f"gen_ai.usage.{side}_tokens") for r in records), side) for side in ("input", "output")]
    used = ", ".join(f"{count} {side} tokens" for count, side in tokens if count)
    cost = sum(_number(r, "prela.cost.usd") for r in records)
    interrupted = sum(known.state == INTERRUPTED for known in pending.values())
    cut = f" ({interrupted} interrupted)" if interrupted else ""
    return totals(records) + cut + (f"; {used}" if used else "") + (f", ${cost:.2g}" if cost else "")


def _number(record: SpanRecord, name: str) -> float:
    value = record.attributes.get(name)
    return value if isinstance(value, int | float) else 0
