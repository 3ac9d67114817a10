"""One exporter's side of the pipeline: its backlog, its retries, and what it answered for.

A slow or failing exporter is held up, and fills up, alone.
"""

from collections import deque
from collections.abc import Callable, Sequence
from inspect import isawaitable, iscoroutinefunction
from time import monotonic
from typing import TYPE_CHECKING, Any

import anyio

from prela.aio.cancellation import is_being_cancelled
from prela.aio.daemon import DaemonCaller
from prela.aio.exporter import RetryableExportError
from prela.core import log
from prela.core.buffer import EXPORT_FAILED, QUEUE_FULL, SPAN_BYTES
from prela.core.retry import delay_before_retry

if TYPE_CHECKING:
    from prela.record.model import SpanRecord


class Batch:
    """Records on their way to every exporter; settled when each has answered."""

    __slots__ = ("_on_settled", "bytes", "counted", "position", "reason", "records", "waiting")

    def __init__(
        self,
        records: "Sequence[SpanRecord]",
        *,
        position: int,
        heavy_bytes: int,
        waiting: int,
        on_settled: "Callable[[Batch], None]",
        counted: bool = True,
    ) -> None:
        self.records = records
        self.position = position
        """How many spans the buffer had given out before this batch."""
        self.bytes = len(records) * SPAN_BYTES + heavy_bytes
        self.waiting = waiting
        self.reason: str | None = None
        """Why an exporter did not take it; None while every answer so far was good."""
        self.counted = counted
        """False for records of our own making, which no statistics are kept of."""
        self._on_settled = on_settled

    def settle(self, reason: str | None) -> None:
        """Note one exporter's answer."""
        self.reason = self.reason or reason
        self.waiting -= 1
        if self.waiting == 0:
            self._on_settled(self)


class Delivery:
    """Feeds one exporter, one batch at a time."""

    def __init__(self, name: str, exporter: Any, *, max_spans: int, max_bytes: int, timeout: float) -> None:
        self.name = name
        self.exported = 0
        self.dropped: dict[str, int] = {}
        self._exporter = exporter
        self._max_spans = max_spans
        self._max_bytes = max_bytes
        self._timeout = timeout
        self._backlog: deque[Batch] = deque()
        self._current: Batch | None = None
        self._news = anyio.Event()
        self._finishing = False
        self._caller: DaemonCaller | None = None

    @property
    def idle(self) -> bool:
        return self._current is None and not self._backlog

    @property
    def waiting(self) -> int:
        """Spans given to this exporter that it has not answered for."""
        return sum(len(batch.records) for batch in self._pending() if batch.counted)

    def _pending(self) -> list[Batch]:
        return [*self._backlog, *([self._current] if self._current else [])]

    def put_nowait(self, batch: Batch) -> None:
        """Queue a batch, or settle it at once as lost when the backlog is full."""
        spans = sum(len(b.records) for b in self._backlog) + len(batch.records)
        size = sum(b.bytes for b in self._backlog) + batch.bytes
        if self._backlog and (spans > self._max_spans or size > self._max_bytes):
            self._settle(batch, QUEUE_FULL)
        else:
            self._backlog.append(batch)
            self._news.set()

    def finish(self) -> None:
        """End `run` once the backlog is empty."""
        self._finishing = True
        self._news.set()

    async def run(self) -> None:
        """Export until `finish`, then close the exporter."""
        if _is_plain(self._exporter, "export"):
            self._caller = DaemonCaller(f"prela-exporter-{self.name}")
            self._caller.start()
        try:
            while self._backlog or not self._finishing:
                if not self._backlog:
                    await self._news.wait()
                    self._news = anyio.Event()
                    continue
                self._current = self._backlog.popleft()
                reason = await self._deliver(self._current.records)
                batch, self._current = self._current, None
                self._settle(batch, reason)
            await self._close()
        finally:
            if self._caller is not None:
                self._caller.stop()

    def _settle(self, batch: Batch, reason: str | None) -> None:
        if batch.counted and reason is None:
            self.exported += len(batch.records)
        elif batch.counted and reason is not None:
            self.dropped[reason] = self.dropped.get(reason, 0) + len(batch.records)
        batch.settle(reason)

    async def _deliver(self, records: "Sequence[SpanRecord]") -> str | None:
        """Export with retries; return None, or the reason why the batch is lost."""
        began = monotonic()
        attempt = 0
        while True:
            attempt += 1
            retry_after: float | None = None
            try:
                with anyio.fail_after(self._timeout):
                    if await self._call("export", records) is False:
                        self._tell("refused a batch (returned False)")
                        return EXPORT_FAILED
                return None
            except TimeoutError:
                self._tell(f"did not answer within {self._timeout:g} s")
            except RetryableExportError as error:
                retry_after = error.retry_after
                log.debug("prela: exporter %r asks to be tried again: %s", self.name, error)
            except Exception as error:
                self._tell(f"failed: {type(error).__name__}: {error}")
                log.debug("prela: exporter %r failed", self.name, exc_info=error)
                return EXPORT_FAILED
            delay = delay_before_retry(attempt, monotonic() - began, retry_after)
            if delay is None:
                self._tell(f"was given up after {attempt} attempts")
                return EXPORT_FAILED
            await anyio.sleep(delay)

    async def _call(self, method: str, *args: object) -> Any:
        """Call a method of the exporter, wherever it may run; a cancellation of its own making is an error of its."""
        function = getattr(self._exporter, method)
        try:
            if self._caller is not None and _is_plain(self._exporter, method):
                return await self._caller.call(lambda: function(*args))
            result = function(*args)
            return await result if isawaitable(result) else result
        except anyio.get_cancelled_exc_class() as error:
            if is_being_cancelled():
                raise
            raise RuntimeError(f"the exporter raised {type(error).__name__}") from error
        except (SystemExit, KeyboardInterrupt, GeneratorExit) as error:
            raise RuntimeError(f"the exporter raised {type(error).__name__}") from error

    async def _close(self) -> None:
        if not hasattr(self._exporter, "aclose"):
            return
        try:
            with anyio.fail_after(self._timeout):
                await self._call("aclose")
        except (Exception, TimeoutError) as error:
            self._tell(f"failed to close: {type(error).__name__}: {error}")

    def _tell(self, what: str) -> None:
        log.warn_once(f"exporter:{self.name}:{what}", "prela: exporter %r %s (told once)", self.name, what)


def _is_plain(exporter: object, method: str) -> bool:
    """Whether the method is a plain function, which may block."""
    return not iscoroutinefunction(getattr(exporter, method, None))
