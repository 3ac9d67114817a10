"""One exporter's side of the pipeline: its backlog, its retries, and what it answered for.

A slow or failing exporter is held up, and fills up, alone.
"""

from collections import deque
from collections.abc import Callable, Sequence
from inspect import isawaitable, iscoroutinefunction
from time import monotonic
from typing import TYPE_CHECKING, Any, NamedTuple

import anyio

from prela.aio.batch import Batch, Loss
from prela.aio.cancellation import is_being_cancelled
from prela.aio.daemon import DaemonCaller
from prela.aio.exporter import PartialExportError, RetryableExportError
from prela.aio.pacing import outlive_the_others
from prela.core import log
from prela.core.buffer import EXPORT_FAILED, QUEUE_FULL, REJECTED
from prela.core.outage import Outage
from prela.core.outcome import message_of
from prela.core.retry import delay_before_retry, seconds_or_none
from prela.core.statistics import ExporterStatistics

if TYPE_CHECKING:
    from prela.record.model import SpanRecord


class Again(NamedTuple):
    """An exporter did not take a batch now, and may later."""

    why: str
    retry_after: float | None
    """Seconds to wait before that, where it said so."""


class Parcel(NamedTuple):
    """A batch, and its records for one exporter."""

    batch: Batch
    records: "Sequence[SpanRecord]"


class Delivery:
    """Feeds one exporter, one batch at a time."""

    def __init__(
        self,
        name: str,
        exporter: Any,
        *,
        max_spans: int,
        max_bytes: int,
        timeout: float,
        is_cancelled: Callable[[], bool],
        stays_open: "Callable[[Delivery], bool]",
        on_idle: Callable[[], object],
    ) -> None:
        """`on_idle` is called when it would start on another batch, and has none."""
        self.name = name
        self.exporter = exporter
        self.exported: int = 0
        self.dropped: dict[str, int] = {}
        self.outage: Outage = Outage()
        """What this exporter's records say of what they lack."""
        self._max_spans = max_spans
        self._max_bytes = max_bytes
        self._timeout = timeout
        self._is_cancelled = is_cancelled
        self._stays_open = stays_open
        self._on_idle = on_idle
        self._backlog: deque[Parcel] = deque()
        self._current: Parcel | None = None
        self._news = anyio.Event()
        self._finishing = False
        self._caller: DaemonCaller | None = None
        if any(_is_plain(exporter, method) for method in ("export", "aclose")):
            self._caller = DaemonCaller(f"prela-exporter-{name}")
            self._caller.start()

    @property
    def idle(self) -> bool:
        """Whether it would start on another batch at once."""
        return self._current is None and not self._backlog

    @property
    def is_resting(self) -> bool:
        """Whether the end need not wait for it."""
        return self.idle

    def statistics(self) -> ExporterStatistics:
        """What happened so far."""
        parcels = [*self._backlog, *([self._current] if self._current else [])]
        waiting = sum(parcel.batch.size for parcel in parcels if parcel.batch.counted)
        return ExporterStatistics(self.exported, dict(self.dropped), waiting)

    def press(self) -> None:
        """Somebody waits: for a flush, or for the end."""

    def put_nowait(self, batch: Batch, records: "Sequence[SpanRecord]") -> None:
        """Queue a batch, or settle it at once as lost when the backlog is full."""
        if self._has_room_for(batch, [parcel.batch for parcel in self._backlog]):
            self._backlog.append(Parcel(batch, records))
            self._news.set()
        else:
            self._settle(batch, Loss(QUEUE_FULL, batch.size))

    def _has_room_for(self, batch: Batch, others: Sequence[Batch]) -> bool:
        """Whether memory may hold a batch beside these; one alone it may always."""
        together = [*others, batch]
        spans, size = sum(one.size for one in together), sum(one.bytes for one in together)
        return not others or (spans <= self._max_spans and size <= self._max_bytes)

    def finish(self) -> None:
        """End `run` once the backlog is empty."""
        self._finishing = True
        self._news.set()

    async def run(self) -> None:
        """Export until `finish`, then close the exporter."""
        outlive_the_others()
        try:
            await self._feed()
            await self.close()
        finally:
            if self._caller is not None:
                self._caller.stop()

    async def _feed(self) -> None:
        while (parcel := await self._next_parcel()) is not None:
            loss = await self._deliver(parcel.records)
            self._current = None
            self._settle(parcel.batch, loss)
            if self.idle:
                self._on_idle()  # others may be slower, and hold nobody up

    async def _next_parcel(self) -> Parcel | None:
        """Wait for a batch, and make it the current one; None once there will be none."""
        while not self._backlog:
            if self._finishing:
                return None
            await self._news.wait()
            self._news = anyio.Event()
        self._current = self._backlog.popleft()
        return self._current

    def _settle(self, batch: Batch, loss: Loss | None) -> None:
        if batch.counted:
            self.exported += batch.size - (0 if loss is None else loss.spans)
            if loss is not None:
                self.dropped[loss.reason] = self.dropped.get(loss.reason, 0) + loss.spans
        batch.settle(loss)

    async def _deliver(self, records: "Sequence[SpanRecord]") -> Loss | None:
        """Export with retries; return None, or what of the batch is lost."""
        began = monotonic()
        attempt = 0
        while True:
            attempt += 1
            answer = await self._attempt(records)
            if not isinstance(answer, Again):
                return answer
            delay = delay_before_retry(attempt, monotonic() - began, answer.retry_after)
            if delay is None:
                self._tell("given up", f"was given up after {attempt} attempts: {answer.why}")
                return Loss(EXPORT_FAILED, len(records))
            await anyio.sleep(delay)

    async def _attempt(self, records: "Sequence[SpanRecord]") -> Loss | Again | None:
        """Export once; return None, or what of the batch is lost, or that it may be tried again."""
        try:
            if await self._call("export", records) is not False:
                return None
            self._tell("refused", "refused a batch (returned False)")
        except _NoAnswerError:
            why = f"did not answer within {self._timeout:g} s"
            self._tell("silent", why)
            return Again(why, None)
        except RetryableExportError as error:
            why = message_of(error)
            self._tell("later", f"could not take a batch, which will be tried again: {why}")
            return Again(why, seconds_or_none(error.retry_after))
        except PartialExportError as error:
            self._tell("partial", f"did not take every span: {message_of(error)}")
            return _part_lost(error.lost, len(records))
        except Exception as error:
            self._tell(type(error).__name__, f"failed: {type(error).__name__}: {message_of(error)}")
            log.debug("prela: exporter %r failed", self.name, exc_info=error)
        return Loss(EXPORT_FAILED, len(records))

    async def _call(self, name: str, *args: object) -> Any:
        """Call a method of the exporter, wherever it may run.

        Raises:
            _NoAnswerError: It took too long.
            Exception: What it raised. What is none, a cancellation of its own making too, becomes a RuntimeError:
                nothing that an exporter does ends the worker.
        """
        method = getattr(self.exporter, name)
        with anyio.move_on_after(self._timeout) as scope:
            try:
                if self._caller is not None and not iscoroutinefunction(method):
                    result = await self._caller.call(lambda: method(*args))
                else:
                    result = method(*args)
                return await result if isawaitable(result) else result
            except Exception:
                raise
            except BaseException as error:
                if scope.cancel_called or self._is_cancelled() or is_being_cancelled(error):
                    raise
                raise RuntimeError(f"the exporter raised {type(error).__name__}") from error
        raise _NoAnswerError

    async def close(self) -> None:
        """Close the exporter, if it can be, and nobody else goes on with it."""
        try:
            if hasattr(self.exporter, "aclose") and not self._stays_open(self):
                await self._call("aclose")
        except Exception as error:
            self._tell("aclose", f"failed to close: {type(error).__name__}: {message_of(error)}")

    def _tell(self, kind: str, what: str) -> None:
        log.warn_once(f"exporter:{self.name}:{kind}", "prela: exporter %r %s (told once)", self.name, what)


def _part_lost(count: object, of: int) -> Loss | None:
    """What an exporter said is lost, within what it was given; all, where it said nothing that can be understood."""
    lost = min(count, of) if isinstance(count, int) and count >= 0 else of
    return Loss(REJECTED, lost) if lost else None


class _NoAnswerError(Exception):
    """An exporter took longer than it may."""


def _is_plain(exporter: object, method: str) -> bool:
    """Whether the method is a plain function, which may block."""
    try:
        found = getattr(exporter, method, None)
    except Exception:
        return False
    return found is not None and not iscoroutinefunction(found)
