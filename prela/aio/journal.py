"""Writes down, once, what has been open for a while: after a crash or in a hang the file shows what was running.

Which spans are open is insight's to know; what a record says `core.convert`'s; where records go the worker's.
"""

import time
from collections.abc import AsyncIterator, Iterable
from typing import TYPE_CHECKING, Any

from prela.aio.pacing import CHUNK, give_way
from prela.core import log
from prela.core.convert import pending_record_of

if TYPE_CHECKING:
    from prela.core.buffer import Buffer
    from prela.insight.insight import Insight
    from prela.record.model import SpanRecord


class Journal:
    """The open spans of one worker, those that will end into its buffer.

    Args:
        insight: Knows them.
        buffer: The worker's.
        delay: Seconds between two looks, and for which a span must have been open to be written down.
    """

    def __init__(self, insight: "Insight", buffer: "Buffer", delay: float) -> None:
        self._insight = insight
        self._buffer = buffer
        self._delay = delay
        self._next_look = 0.0
        self._next_sign = 0.0

    async def batches(self, most: int, *, is_end: bool, is_read: bool) -> "AsyncIterator[list[SpanRecord]]":
        """Records of those that are due, if it is time to look: at the end of the worker whatever their age.

        `is_read` says whether there is anybody to take them; what insight has to tell is told in any case.
        """
        self._insight.tell_of_leaks()
        now = time.monotonic()
        if not is_read or (now < self._next_look and not is_end):
            return
        self._next_look = now + self._delay
        records: list[SpanRecord] = []
        spans = self._insight.spans_to_journal(self._buffer, 0.0 if is_end else self._delay)
        for number, span in enumerate(spans, 1):
            try:
                records.append(pending_record_of(span))
            except Exception as error:
                log.failed("journaling a span", error)
            if number % CHUNK == 0:
                await give_way()
            if len(records) >= most:
                yield records
                records = []
        if records:
            yield records

    async def keep_alive(self, exporters: "Iterable[Any]") -> None:
        """Have exporters that can show that the program is alive, while there is anything open in what they wrote."""
        now = time.monotonic()
        if now < self._next_sign or not self._insight.has_journaled():
            return
        self._next_sign = now + self._delay
        for exporter in exporters:
            try:
                if (keep_alive := getattr(exporter, "keep_alive", None)) is not None:
                    await keep_alive()
            except Exception as error:
                log.failed("keeping a journal alive", error)


def takes_pending(exporter: Any) -> bool:
    """Whether an exporter says that it takes records of spans that have not ended."""
    try:
        return getattr(exporter, "accepts_pending", False) is True
    except Exception:
        return False
