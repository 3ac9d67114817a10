"""Rows for people on a terminal, and the same rows, plain and whole, for a pipe."""

import json
import sys
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

import msgspec
from rich.console import Console
from rich.table import Table
from rich.text import Text

from prela.record import jsonl
from prela.record.model import SpanRecord
from prela.record.text import format_duration, one_line

_WIDE = 10_000
"""Columns of a page that nobody sees: in a pipe nothing is wrapped or cut."""


def print_table(headers: Sequence[str], rows: Iterable[Sequence[object]], numbers: Iterable[str] = ()) -> None:
    """Print rows below headers; the columns named in `numbers` stand to the right."""
    console = Console(highlight=False, width=None if sys.stdout.isatty() else _WIDE)
    table = Table(box=None, pad_edge=False, header_style="bold")
    for header in headers:
        table.add_column(header, justify="right" if header in set(numbers) else "left", overflow="ellipsis")
    for row in rows:
        table.add_row(*(cell if isinstance(cell, Text) else Text(one_line(str(cell))) for cell in row))
    console.print(table)


def print_json(values: Iterable[Any]) -> None:
    """Print one JSON object a line."""
    for value in values:
        if isinstance(value, SpanRecord):
            print(jsonl.encode(value).decode(), end="")
            continue
        plain = msgspec.to_builtins(value._asdict() if hasattr(value, "_asdict") else value)
        print(json.dumps(plain, ensure_ascii=False))


def time_of(nanoseconds: int) -> str:
    """A point in time, in the local zone."""
    try:
        return datetime.fromtimestamp(nanoseconds / 1e9).isoformat(" ", "milliseconds")
    except (ValueError, OverflowError, OSError):
        return str(nanoseconds)  # what a damaged line holds


def cost_of(dollars: float | None) -> str:
    """US dollars, to three digits; nothing where none are known."""
    return "" if dollars is None else f"${dollars:.3g}"


def tokens_of(incoming: int, outgoing: int) -> str:
    """Tokens in and out; nothing where there are none."""
    return f"{incoming:,} > {outgoing:,}" if incoming or outgoing else ""


def duration_of(value: float | None) -> str:
    """A duration for people."""
    return format_duration(value)
