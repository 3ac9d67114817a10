"""Keeps records in memory, for tests and notebooks."""

from collections import deque
from collections.abc import Sequence

from prela.record.model import SpanRecord


class MemoryExporter:
    """Keeps the newest records, up to a bound."""

    def __init__(self, most: int = 100_000) -> None:
        self._records: deque[SpanRecord] = deque(maxlen=most)

    @property
    def records(self) -> list[SpanRecord]:
        """What has been exported, oldest first."""
        return list(self._records)

    def clear(self) -> None:
        """Forget what has been exported."""
        self._records.clear()

    async def export(self, spans: Sequence[SpanRecord]) -> None:
        """Keep the batch."""
        self._records.extend(spans)
