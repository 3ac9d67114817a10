"""Prints each trace as a tree when its root has ended; spans that end after their root are printed apart."""

import os
import select
import sys
from collections import deque
from collections.abc import Sequence
from typing import Final, TextIO

from prela.record.jsonl import CheckedRecords
from prela.record.model import SpanRecord
from prela.record.text import lines
from prela.record.tree import forest

_HELD_SPANS: Final = 10_000
"""Spans kept while their roots are open; past this the oldest trace is printed as far as it has come."""
_REMEMBERED_TRACES: Final = 1_000
_PATIENCE: Final = 30.0
"""Seconds to wait for a stderr that does not block, and takes nothing more."""


class ConsoleExporter:
    """Writes trees to a stream, stderr by default, as far as its encoding goes."""

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = stream
        self._open: dict[str, list[SpanRecord]] = {}
        self._held = 0
        self._pid = os.getpid()
        self._printed: deque[str] = deque(maxlen=_REMEMBERED_TRACES)

    async def export(self, spans: Sequence[SpanRecord]) -> None:
        """Print the traces that these spans complete."""
        if self._pid != os.getpid():
            self._open, self._held, self._pid = {}, 0, os.getpid()  # what was open at a fork is the parent's to print
        finished = []
        below_others = spans.local_roots if isinstance(spans, CheckedRecords) else ()
        for place, record in enumerate(spans):
            self._open.setdefault(record.trace_id, []).append(record)
            self._held += 1
            if record.parent_span_id is None or place in below_others:
                finished.append(record.trace_id)
        for trace_id in finished:
            self._print(trace_id)
        for trace_id in [trace_id for trace_id in self._open if trace_id in self._printed]:
            self._print(trace_id, late=True)
        while self._held > _HELD_SPANS:
            self._print(next(iter(self._open)))

    async def aclose(self) -> None:
        """Print what is left: the spans whose roots have not been seen."""
        for trace_id in list(self._open):
            self._print(trace_id)

    def _print(self, trace_id: str, *, late: bool = False) -> None:
        records = self._open.pop(trace_id, [])
        self._held -= len(records)
        if not records:
            return
        self._printed.append(trace_id)
        stream = self._stream or sys.stderr
        ascii_only = "utf" not in (getattr(stream, "encoding", None) or "ascii").lower()
        heading = f"trace {trace_id[:8]} ({records[0].service_name})" + (", late:" if late else "")
        text = [heading, *(line for root in forest(records) for line in lines(root, ascii_only=ascii_only))]
        encoding = getattr(stream, "encoding", None) or "ascii"
        _write(stream, ("\n".join(text) + "\n").encode(encoding, "backslashreplace"), encoding)


def _write(stream: TextIO, text: bytes, encoding: str) -> None:
    """Write all of it. To the real stderr past its lock: where nobody reads that, who holds the lock is stuck, and so
    would be the end of the program, which flushes it."""
    try:
        descriptor = stream.fileno() if stream is sys.__stderr__ else None
    except (OSError, ValueError, AttributeError):  # something else was put in its place
        descriptor = None
    if descriptor is None:
        stream.write(text.decode(encoding))
        stream.flush()
        return
    stream.flush()
    left = memoryview(text)
    while left:
        try:
            left = left[os.write(descriptor, left) :]
        except BlockingIOError:  # somebody made it so, and reads slowly
            if not select.select([], [descriptor], [], _PATIENCE)[1]:
                raise
