"""The export worker: takes finished spans from the buffer, makes records of them, and hands batches to every exporter.

It waits, and decides nothing that `core` could: when to shed is the buffer's, when to retry `core.retry`'s. It runs in
whatever loop `run` is awaited in.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import anyio

from prela.aio.batch import Batch
from prela.aio.delivery import Delivery
from prela.aio.flushes import Flushes, reply
from prela.aio.journal import Journal, takes_pending
from prela.aio.losses import Losses
from prela.aio.making import make_records
from prela.aio.outcomes import Outcomes
from prela.aio.pacing import outlive_the_others
from prela.aio.waking import caller_into_this_loop
from prela.core import log
from prela.core.buffer import EXPORT_FAILED, SHUTDOWN, Buffer
from prela.core.context import suppress
from prela.core.convert import summary_record
from prela.core.settings import Settings
from prela.core.shortcut import track
from prela.core.spool import Spool, spool_name
from prela.core.statistics import ExporterStatistics

if TYPE_CHECKING:
    from prela.core.span import Span
    from prela.record.model import SpanRecord

_POLL: Final = 0.1
"""Seconds between looks at the buffer. Ending a span wakes nobody, so a full batch is seen at the next look."""


class Schedule(NamedTuple):
    """When batches leave (OpenTelemetry SDK, "Batching processor", for the names)."""

    delay: float = 1.0
    """Seconds a finished span waits at most; the first spans of a program wait for one look only."""
    batch_size: int = 512
    export_timeout: float = 30.0
    """Seconds an exporter may take over one batch."""


class Worker:
    """The export side of one `init()`: a buffer, the exporters it feeds, and the counts of what became of each span."""

    def __init__(
        self,
        settings: Settings,
        exporters: Mapping[str, Any],
        schedule: Schedule | None = None,
        spool: Spool | None = None,
    ) -> None:
        self.settings = settings
        self.buffer: Buffer = settings.buffer
        self._tail = settings.tail
        self.exporters = exporters
        self.kept_open: list[Any] = []
        """Exporters that somebody else goes on with: they are not closed."""
        self.schedule: Schedule = schedule or Schedule()
        self._spool = spool
        self._deliveries: list[Delivery] = []
        self.outcomes: Outcomes = Outcomes()
        self._flushes = Flushes()
        # Where every batch fails, that is one outage: they come a delay apart.
        self._losses = Losses(self.buffer, self.outcomes, quiet=3 * self.schedule.delay)
        self._journal: Journal | None = None
        if settings.insight is not None:
            self._journal = Journal(settings.insight, settings.buffer, self.schedule.delay)
        self._stopping = False
        self._rest_wanted: Future[bool] | None = None
        self._rest_target: int | None = None
        """How many spans must be answered for before it; None until it was first seen that one is wanted."""
        self._hurry = False
        self._is_pressed = False
        self.is_over: bool = False
        """Whether it has ended: nothing waits in it, and what it left on disk is the next one's."""
        self.on_ready: Callable[[], object] = lambda: None
        """Called once it is running, with every thread it needs."""
        self._call: Callable[[Callable[[], object]], None] | None = None
        self._wake: anyio.Event
        self._scope: anyio.CancelScope
        self._next_due = 0.0

    # --- called from any thread ---------------------------------------------------------------------------------

    def request_flush(self) -> "Future[bool]":
        """Return a future that is True once all spans queued or in flight now are exported or counted as lost; False
        if the worker ends before."""
        answer = self._flushes.ask()
        self._wake_up()
        if self.is_over:
            self._answer_everybody()
        return answer

    def request_rest(self) -> "Future[bool]":
        """Have everything exported and the exporters closed, and go on: what ends after that is exported at once.

        For the end of the interpreter, after which no other loop and no other thread can be had.
        """
        answer: Future[bool] = Future()
        self._rest_wanted = answer
        self._wake_up()
        return answer

    def request_stop(self) -> None:
        """Let `run` return once everything is exported, or on disk, and the exporters are closed."""
        self._stopping = True
        self._wake_up()

    def abandon(self, reason: str) -> None:
        """Give up what is not yet exported, counting it under `reason`, and what still ends under the same."""
        self.buffer.give_up(reason)
        self.outcomes.abandoned = reason
        if self._call is not None:
            self._call(self._scope.cancel)

    def never_ran(self) -> None:
        """There will be no loop for it: answer those who wait."""
        self.is_over = True
        self._answer_everybody()

    def _wake_up(self) -> None:
        if self._call is not None:
            self._call(lambda: self._wake.set())

    # --- counts -------------------------------------------------------------------------------------------------

    def exporter_statistics(self) -> dict[str, ExporterStatistics]:
        """What happened at each exporter."""
        if not self._deliveries:
            return {name: ExporterStatistics(0, {}, 0) for name in self.exporters}
        return {delivery.name: delivery.statistics() for delivery in self._deliveries}

    # --- in its loop --------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Export until `request_stop`, or until cancelled: then what is in flight is counted under `shutdown`.

        Raises no Exception: an error of ours is logged, and what it cost is counted under `export_failed`.
        """
        outlive_the_others()
        self._deliveries = [self._delivery(name, exporter) for name, exporter in self.exporters.items()]
        self._wake = anyio.Event()
        self._scope = anyio.CancelScope()
        self._call = caller_into_this_loop()
        self.on_ready()
        self.buffer.is_drained = True
        try:
            with suppress(), self._scope:
                async with anyio.create_task_group() as group:
                    for delivery in self._deliveries:
                        group.start_soon(delivery.run)
                    await self._work()
        except Exception as error:
            log.failed("the export worker", error)
            self.abandon(EXPORT_FAILED)
        finally:
            self.buffer.is_drained = False
            if self.outcomes.in_flight:
                self.outcomes.abandoned = SHUTDOWN  # what is still queued may find another worker
            if self._tail is not None:
                self._tail.forget()
            self.is_over = True  # before the answers: who asks later answers itself
            self._answer_everybody()
            if self._rest_wanted is not None:
                reply(self._rest_wanted, not self.outcomes.abandoned)

    def _delivery(self, name: str, exporter: Any) -> Delivery:
        limits = self.settings.limits
        options: Any = {
            "max_spans": limits.queue_spans,
            "max_bytes": limits.queue_bytes,
            "timeout": self.schedule.export_timeout,
            "is_cancelled": lambda: self._scope.cancel_called,
            "stays_open": lambda delivery: delivery.exporter in self.kept_open,
            "on_idle": lambda: self._wake.set(),
        }
        if self._spool is None or spool_name(exporter) is None:
            return Delivery(name, exporter, **options)
        from prela.aio.spooled_delivery import SpooledDelivery

        return SpooledDelivery(name, exporter, spool=self._spool, **options)

    async def _work(self) -> None:
        while True:
            if (self._stopping or self._rest_wanted is not None) and not self._is_pressed:
                self._is_pressed = True
                self._press()
            self._admit_flushes()
            self._sift([])
            while self._is_due() and not self._may_rest() and any(delivery.idle for delivery in self._deliveries):
                await self._move_batch()
                self._admit_flushes()
                self._sift([])
            await self._write_down_what_is_open()
            self._answer()
            self._speak_of_losses()
            if self._is_idle():
                if self._stopping and self._nothing_waits():
                    break
                if self._may_rest():
                    await self._rest()
            with anyio.move_on_after(_POLL) as look:
                await self._wake.wait()
            self._wake = anyio.Event()
            if look.cancelled_caught and not any(delivery.idle for delivery in self._deliveries):
                self.buffer.shorten()
        self._speak_of_losses(final=True)
        for delivery in self._deliveries:
            delivery.finish()

    async def _write_down_what_is_open(self) -> None:
        """Hand on records of spans that have not ended, each once, to the exporters that take such."""
        if self._journal is None:
            return
        is_end = (self._stopping or self._rest_wanted is not None) and not self._hurry
        takers = [delivery for delivery in self._deliveries if takes_pending(delivery.exporter)]
        try:
            self._journal.tell_of_leaks()
            while any(taker.idle for taker in takers):
                records = await self._journal.batch(self.schedule.batch_size, is_end=is_end)
                if not records:
                    break
                self._dispatch(records, self.outcomes.batched, 0, takers, counted=False)
            await self._journal.keep_alive(delivery.exporter for delivery in takers)
        except Exception as error:
            log.failed("the journal", error)

    async def _rest(self) -> None:
        """Close the exporters, if that was asked for."""
        wanted, self._rest_wanted = self._rest_wanted, None
        if wanted is None:
            return
        self._rest_target = None
        self._speak_of_losses(final=True)
        self._hurry = True
        async with anyio.create_task_group() as group:
            for delivery in self._deliveries:
                group.start_soon(delivery.close)
        reply(wanted, True)

    def _press(self) -> None:
        for delivery in self._deliveries:
            delivery.press()

    def _is_idle(self) -> bool:
        return not self._flushes.are_asked_for and all(delivery.is_resting for delivery in self._deliveries)

    def _may_rest(self) -> bool:
        """Whether somebody waits for a rest, and what had ended when it was first seen is answered for: a thread that
        goes on tracing at the end of the program does not put it off."""
        if self._rest_wanted is None:
            return False
        if self._rest_target is None:
            self._rest_target = self.outcomes.taken + len(self.buffer.queue)
        return self._nothing_waits() or self._reached() >= self._rest_target

    def _nothing_waits(self) -> bool:
        """Whether every span that has ended is in a batch, or held back by tail sampling."""
        return not self.buffer.queue and (self._tail is None or not self._tail.ready)

    def _is_due(self) -> bool:
        """Whether a batch should leave now."""
        queued = len(self.buffer.queue)
        if self._tail is not None and self._tail.ready:
            return True
        if not queued:
            return False
        if self._stopping or self._hurry or self._flushes or self._rest_wanted or queued >= self.schedule.batch_size:
            return True
        return time.monotonic() + _POLL >= self._next_due

    async def _move_batch(self) -> None:
        """Take a batch from the buffer, and hand on what is to be exported of it."""
        if self._tail is None or not self._tail.ready:
            spans, _ = self.buffer.take(self.schedule.batch_size)
            track(spans)
            self.outcomes.taken += len(spans)
            if not self.buffer.queue:
                self._next_due = time.monotonic() + self.schedule.delay
            if self._tail is None:
                await self._hand_on(spans, self.outcomes.batched)
                return
            self._sift(spans)
        ready = self._tail.ready
        batch = [ready.popleft() for _ in range(min(len(ready), self.schedule.batch_size))]
        await self._hand_on([span for _, span in batch], min((position for position, _ in batch), default=0))

    def _sift(self, spans: "list[Span]") -> None:
        """Let tail sampling decide: of the spans taken; and of what it holds, where somebody cannot wait."""
        tail = self._tail
        if tail is None:
            return
        tail.take(spans, self.outcomes.batched)
        self.outcomes.batched += len(spans)
        if not self.buffer.queue and (self._stopping or self._hurry or self._rest_wanted):
            tail.decide_before(None, self.settings.clock())
        elif (target := self._flushes.furthest_of(self.outcomes.taken)) is not None:
            tail.decide_before(target, self.settings.clock())
        for word, count in tail.refused().items():
            self.outcomes.refuse(word, count)

    async def _hand_on(self, spans: "list[Span]", position: int) -> None:
        """Make records of spans, which the list loses, and hand them to the exporters: in parts, if they are heavy."""
        spans.reverse()
        while spans:
            left = len(spans)
            made = await make_records(spans, self.outcomes)
            if self._tail is None:
                position = self.outcomes.batched
                self.outcomes.batched += left - len(spans)
            if made.records:
                self._dispatch(made.records, position, made.heavy_bytes, self._deliveries)
            if made.are_charged:
                self.buffer.settle()

    def _dispatch(
        self,
        records: "Sequence[SpanRecord]",
        position: int,
        heavy_bytes: int,
        deliveries: list[Delivery],
        *,
        counted: bool = True,
    ) -> None:
        batch = Batch(
            len(records),
            position=position,
            heavy_bytes=heavy_bytes,
            waiting=len(deliveries),
            on_settled=self._settled,
            counted=counted,
        )
        self.outcomes.under_way.add(batch)
        for delivery in deliveries:
            delivery.put_nowait(batch, records)

    def _settled(self, batch: Batch) -> None:
        self.outcomes.settled(batch)
        self._wake.set()

    def _admit_flushes(self) -> None:
        if self._flushes.are_asked_for:
            self._press()
            self._flushes.let_in(lambda: self.outcomes.taken + len(self.buffer.queue))

    def _reached(self) -> int:
        """How many spans, from the first taken on, are answered for without a gap."""
        held = None if self._tail is None else self._tail.next_position()
        reached = self.outcomes.first_under_way()
        return reached if held is None else min(reached, held)

    def _answer(self) -> None:
        """Answer the flushes whose spans are all accounted for."""
        if self._flushes:
            self._flushes.answer(self._reached())

    def _answer_everybody(self) -> None:
        """At the end, answer all who wait."""
        went_well = not self.buffer.queue and not self.outcomes.abandoned
        self._flushes.answer_everybody(self._reached(), went_well)

    def _speak_of_losses(self, *, final: bool = False) -> None:
        self._losses.tell(self._deliveries, self._write_summary, final=final)

    def _write_summary(self, delivery: Delivery, lost: dict[str, int]) -> None:
        """Write down among an exporter's records what they lack."""
        record = summary_record(self.settings, self.settings.wall_clock(), lost)
        self._dispatch([record], self.outcomes.batched, 0, [delivery], counted=False)
