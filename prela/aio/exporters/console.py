"""Prints each trace as a tree when its root has ended; spans that end after their root are printed apart."""

import os
import sys
from collections import deque
from collections.abc import Sequence
from typing import Final, TextIO

from prela.record.model import SpanRecord
from prela.record.text import lines
from prela.record.tree import forest

_HELD_SPANS: Final = 10_000
"""Spans kept while their roots are open; past this the oldest trace is printed as far as it has come."""
_REMEMBERED_TRACES: Final = 1_000


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
        for record in spans:
            self._open.setdefault(record.trace_id, []).append(record)
            self._held += 1
            if record.parent_span_id is None:
                finished.append(record.trace_id)
        late = [trace_id for trace_id in self._open if trace_id in self._printed and trace_id not in finished]
        for trace_id in [*finished, *late]:
            self._print(trace_id)
        while self._held > _HELD_SPANS:
            self._print(next(iter(self._open)))

    async def aclose(self) -> None:
        """Print what is left: the spans whose roots have not been seen."""
        for trace_id in list(self._open):
            self._print(trace_id)

    def _print(self, trace_id: str) -> None:
        records = self._open.pop(trace_id, [])
        self._held -= len(records)
        if not records:
            return
        late = trace_id in self._printed
        self._printed.append(trace_id)
        stream = self._stream or sys.stderr
        ascii_only = "utf" not in (getattr(stream, "encoding", None) or "ascii").lower()
        heading = f"trace {trace_id[:8]} ({records[0].service_name})" + (", late:" if late else "")
        text = [heading, *(line for root in forest(records) for line in lines(root, ascii_only=ascii_only))]
        encoding = getattr(stream, "encoding", None) or "ascii"
        stream.write("\n".join(text).encode(encoding, "backslashreplace").decode(encoding) + "\n")
        stream.flush()
