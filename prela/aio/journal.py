"""Writes down, once, what has been open for a while: after a crash or in a hang the file shows what was running.

Which spans are open is insight's to know; what a record says `core.convert`'s; where records go the worker's.
"""

import time
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

from prela.aio.pacing import CHUNK, give_way
from prela.core import log
from prela.core.convert import pending_record_of

if TYPE_CHECKING:
    from prela.core.buffer import Buffer
    from prela.insight.insight import Insight
    from prela.insight.span import WatchedSpan
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
        self._looking: Iterator[WatchedSpan | None] | None = None
        self._is_end = False

    async def batch(self, most: int, *, is_end: bool) -> "list[SpanRecord]":
        """Records of up to so many that are due; none before it is time for the next look.

        `is_end`: tracing ends, and all that is open is due, whatever its age.
        """
        if is_end and not self._is_end:
            self._is_end, self._looking = True, None
        if self._looking is None:
            now = time.monotonic()
            if now < self._next_look and not is_end:
                return []
            self._next_look = now + self._delay
            self._looking = self._insight.spans_to_journal(self._buffer, 0.0 if is_end else self._delay)
        records: list[SpanRecord] = []
        for span in self._looking:
            if span is None:
                await give_way()
                continue
            try:
                records.append(pending_record_of(span))
            except Exception as error:
                log.failed("journaling a span", error)
            if len(records) % CHUNK == 0:
                await give_way()
            if len(records) >= most:
                return records
        self._looking = None
        return records

    def tell_of_leaks(self) -> None:
        """Have insight tell what it could not where it was seen."""
        self._insight.tell_of_leaks()

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
