"""Exporters that misbehave, each in one way."""

from collections.abc import Sequence
from concurrent.futures import Future

from prela.aio.waking import answered
from prela.record.model import SpanRecord


class FailingExporter:
    """Raises at every export, or at the first few.

    Args:
        error: What is raised; by default a RuntimeError.
        times: How many exports fail; None for all.
    """

    def __init__(self, error: Exception | None = None, *, times: int | None = None) -> None:
        self._error = error or RuntimeError("this exporter always fails")
        self._left = times
        self.attempts: int = 0
        self.records: list[SpanRecord] = []

    async def export(self, spans: Sequence[SpanRecord]) -> None:
        """Raise, or keep the batch once the failures are used up."""
        self.attempts += 1
        if self._left is None or self._left > 0:
            if self._left is not None:
                self._left -= 1
            raise self._error
        self.records.extend(spans)


class HangingExporter:
    """Does not return from an export until it is released or cancelled."""

    def __init__(self) -> None:
        self._released: Future[None] = Future()
        self.records: list[SpanRecord] = []

    def release(self) -> None:
        """Let exports through from now on."""
        self._released.set_result(None)

    async def export(self, spans: Sequence[SpanRecord]) -> None:
        """Wait for the release, then keep the batch."""
        await answered(self._released)
        self.records.extend(spans)
