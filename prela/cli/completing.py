"""What the shell may complete: trace ids that the index knows, and the few values that some options have.

A shell runs these between two key strokes: they print nothing, raise nothing, and read no trace file.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Final

import typer

from prela.config import load
from prela.record.enums import SpanStatus, SpanType
from prela.record.text import one_line
from prela.store.glance import known_traces

GROUPINGS: Final = ("name", "model", "status", "type", "service")
_ID_DIGITS: Final = 12

Completion = Callable[[str], list[str]]


def complete_trace(context: typer.Context, incomplete: str) -> list[tuple[str, str]]:
    """Trace ids, newest first, each with the name of its root."""
    try:
        given = context.params.get("trace_dir")
        folder = Path(given) if given else load().trace_dir
        found = known_traces(folder, incomplete)
    except Exception:
        return []  # a bad environment is told when the command runs
    digits = max(_ID_DIGITS, len(incomplete))
    return [(trace.trace_id[:digits], one_line(trace.name, 60)) for trace in found]


def _one_of(*words: str) -> Completion:
    def complete(incomplete: str) -> list[str]:
        return [word for word in words if word.startswith(incomplete.lower())]

    return complete


complete_type: Final[Completion] = _one_of(*(kind.value for kind in SpanType))
complete_status: Final[Completion] = _one_of(*(status.value for status in SpanStatus))
complete_grouping: Final[Completion] = _one_of(*GROUPINGS)
