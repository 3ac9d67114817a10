"""One exporter's side of the pipeline, by way of the disk: each batch is written there first, and deleted once taken.

So nothing that the worker has taken is in memory only: a killed process loses no more than it would have had to export
yet. Batches that nobody takes now wait there, the oldest first to be tried and first to go when there are too many.
What cannot be written is delivered from memory, as without a spool.
"""

from collections import deque
from collections.abc import Sequence
from functools import partial
from time import monotonic
from typing import TYPE_CHECKING, Any, Final

import anyio

from prela.aio.batch import Batch, Loss
from prela.aio.delivery import Again, Delivery, Parcel
from prela.aio.lines import lines_of
from prela.aio.pacing import CHUNK, give_way, off_the_loop
from prela.aio.spool_folder import SpoolFolder, StoredBatch
from prela.core import log
from prela.core.buffer import EXPORT_FAILED, QUEUE_FULL, SPOOL_FULL
from prela.core.retry import GIVE_UP_AFTER, delay_until_next
from prela.core.spool import Spool, how_many_go, spool_name
from prela.core.statistics import ExporterStatistics
from prela.record.jsonl import Lines

if TYPE_CHECKING:
    from prela.record.model import SpanRecord

_LOOK: Final = 60.0
"""Seconds between looks for what others have left."""
_TRIES_AT_END: Final = 2
"""Attempts, once somebody waits, after which what nobody takes is left for the next process."""
_PASSED_OVER: Final = 8
"""Failures of one batch after which another is tried first: it may be this one that the receiver cannot take."""


class _Entry:
    """A batch that waits to be delivered."""

    __slots__ = ("batch", "began", "failures", "records", "stored")

    def __init__(
        self, stored: StoredBatch | None, batch: Batch | None = None, records: "Sequence[SpanRecord] | None" = None
    ) -> None:
        self.stored = stored
        """None where it is in memory only."""
        self.batch = batch
        """None where another process began it."""
        self.records = records
        """None where they are to be read from disk."""
        self.failures = 0
        self.began = 0.0

    @property
    def spans(self) -> int:
        """How many count."""
        if self.stored is not None:
            return self.stored.name.spans
        return self.batch.size if self.batch is not None and self.batch.counted else 0


class SpooledDelivery(Delivery):
    """Feeds one exporter, which has a `spool_name`."""

    def __init__(self, name: str, exporter: Any, *, spool: Spool, **options: Any) -> None:
        super().__init__(name, exporter, **options)
        assert spool.folder is not None
        self.recovered: int = 0
        self._folder = SpoolFolder(spool.folder / (spool_name(exporter) or name))
        self._max_spool_bytes = spool.max_bytes
        self._entries: deque[_Entry] = deque()
        self._sending: _Entry | None = None
        self._is_stored = False
        """Whether there will be no further entry."""
        self._is_down = False
        self._attempts = 0
        """Failed, since the last that did not."""
        self._tries = 0
        """Attempts left to those who wait."""
        self._hurry = anyio.Event()
        self._arrived = anyio.Event()
        self._next_look = 0.0

    @property
    def is_resting(self) -> bool:
        """Whether nothing is to be stored or sent; what is on disk, and nobody takes, may be left there."""
        if not self.idle or self._sending is not None:
            return False
        return not self._entries or (self._gives_up and all(entry.stored is not None for entry in self._entries))

    @property
    def _gives_up(self) -> bool:
        return self._is_down and self._tries <= 0

    def statistics(self) -> ExporterStatistics:
        """What happened so far."""
        found = super().statistics()
        entries = list(self._entries)
        return found._replace(
            waiting=found.waiting + sum(entry.spans for entry in entries if entry.batch is not None),
            spooled=sum(entry.spans for entry in entries if entry.stored is not None),
            recovered=self.recovered,
        )

    def press(self) -> None:
        """Try soon, and no longer than is worth waiting for."""
        self._tries = _TRIES_AT_END
        self._attempts = 0
        self._hurry.set()

    def finish(self) -> None:
        """End `run` once all is stored, and sent or not to be sent now."""
        super().finish()
        self._hurry.set()

    async def run(self) -> None:
        """Deliver until `finish`, then close the exporter."""
        try:
            await super().run()
        finally:
            if left := sum(entry.spans for entry in self._entries if entry.stored is not None):
                log.warn(
                    "prela: %d spans for exporter %r lie in %s, for the next process", left, self.name, self._where
                )
            self._folder.close()

    async def _feed(self) -> None:
        async with anyio.create_task_group() as group:
            group.start_soon(self._send_all)
            await self._store_all()

    # --- to the disk ----------------------------------------------------------------------------------------------

    async def _store_all(self) -> None:
        await self._adopt()
        while (parcel := await self._next_parcel()) is not None:
            entry = await self._stored(parcel)
            self._current = None
            if entry is not None:
                self._entries.append(entry)
                await self._keep_within_bound()
                self._arrived.set()
            if monotonic() > self._next_look:
                await self._adopt()
        self._is_stored = True
        self._arrived.set()

    async def _stored(self, parcel: Parcel) -> _Entry | None:
        """Write a batch; where that fails, keep it in memory, or lose it if there is too much of that."""
        batch = parcel.batch
        spans = batch.size if batch.counted else 0
        lines = await lines_of(parcel.records)
        try:
            stored = await off_the_loop(partial(self._folder.write, lines, spans, sync=self._is_down))
        except OSError as error:
            self._tell(type(error).__name__, f"cannot have its spool in {self._where}, and does without: {error}")
            in_memory = [entry.batch for entry in self._entries if entry.stored is None and entry.batch is not None]
            if self._has_room_for(batch, in_memory):
                return _Entry(None, batch, parcel.records)
            self._settle(batch, Loss(QUEUE_FULL, batch.size))
            return None
        batch.stored += 1
        return _Entry(stored, batch, parcel.records if len(self._entries) <= 1 else None)

    async def _adopt(self) -> None:
        """Take over what ended processes have left."""
        self._next_look = monotonic() + _LOOK
        try:
            found = await off_the_loop(self._folder.adopt)
        except OSError as error:
            self._tell("adopt", f"cannot look into its spool in {self._where}: {error}")
            return
        if found:
            self._entries.extendleft(map(_Entry, reversed(found)))
            await self._keep_within_bound()
            self._arrived.set()

    async def _keep_within_bound(self) -> None:
        sending = self._sending.stored if self._sending is not None else None
        bound = max(0, self._max_spool_bytes - (sending.size if sending is not None else 0))
        waiting = [entry for entry in self._entries if entry.stored is not None and entry is not self._sending]
        for entry in waiting[: how_many_go([entry.stored.size for entry in waiting if entry.stored], bound)]:
            self._tell(SPOOL_FULL, f"has more waiting than its spool may hold: the oldest go ({self._where})")
            await self._done(entry, Loss(SPOOL_FULL, entry.spans))

    # --- to the exporter ------------------------------------------------------------------------------------------

    async def _send_all(self) -> None:
        while True:
            if self._entries and not (self._is_stored and self._finishing and self._gives_up):
                await self._send(self._entries[0])
            elif self._is_stored:
                return
            else:
                with anyio.move_on_after(_LOOK):
                    await self._arrived.wait()
                self._arrived = anyio.Event()
                if monotonic() > self._next_look:
                    await self._adopt()

    async def _send(self, entry: _Entry) -> None:
        self._hurry = anyio.Event()
        self._sending = entry
        answer: Loss | Again | None = Loss(EXPORT_FAILED, entry.spans)
        records = await self._records_of(entry)
        if records:
            answer = await self._attempt(records)
        if isinstance(answer, Again):
            await self._put_off(entry, answer)
            return
        if self._is_down:
            log.warn("prela: exporter %r delivers again", self.name)
        self._is_down, self._attempts = False, 0
        await self._done(entry, answer)
        self._sending = None

    async def _put_off(self, entry: _Entry, answer: Again) -> None:
        """Wait until another attempt is due."""
        entry.failures += 1
        entry.began = entry.began or monotonic()
        self._attempts += 1
        self._tries = self._tries - 1 if answer.retry_after is None else 0
        if not self._is_down:
            log.warn("prela: exporter %r does not deliver (%s): spans wait in %s", self.name, answer.why, self._where)
        self._is_down = True
        if entry.stored is None and monotonic() - entry.began > GIVE_UP_AFTER:
            await self._done(entry, Loss(EXPORT_FAILED, entry.spans))
        elif entry.failures % _PASSED_OVER == 0 and self._entries[0] is entry:
            self._entries.rotate(-1)
            entry.records = entry.records if entry.stored is None else None
        self._sending = None
        delay = delay_until_next(self._attempts, answer.retry_after)
        with anyio.move_on_after(delay):
            await self._hurry.wait()
            if answer.retry_after is not None and not self._finishing:
                await anyio.sleep(delay)  # nobody is in such a hurry that the receiver would not be obeyed

    async def _records_of(self, entry: _Entry) -> "Sequence[SpanRecord]":
        """The records of a batch; fewer, or none, where the file does not hold them any more."""
        if entry.records is None and entry.stored is not None:
            try:
                content = await off_the_loop(self._folder.read, entry.stored)
            except OSError as error:
                self._tell("read", f"cannot read its spool in {self._where}: {error}")
                return []
            lines, found = Lines(content.splitlines()), []
            for record in lines:
                found.append(record)
                if len(found) % CHUNK == 0:
                    await give_way()
            if lines.bad:
                self._tell("bad", f"found {lines.bad} broken lines in its spool in {self._where}")
            entry.records = found
        return entry.records or []

    async def _done(self, entry: _Entry, loss: Loss | None) -> None:
        """Forget a batch, delivered or lost."""
        self._entries.remove(entry)
        if entry.stored is not None:
            try:
                await off_the_loop(self._folder.remove, entry.stored)
            except OSError as error:
                self._tell("remove", f"cannot delete from its spool, and may deliver twice: {error}")
        missing = 0 if entry.records is None else max(0, entry.spans - len(entry.records))
        if missing and (loss is None or loss.spans < missing):
            loss = Loss(EXPORT_FAILED, missing)
        if entry.batch is None:
            self.recovered += entry.spans - (0 if loss is None else min(loss.spans, entry.spans))
            return
        if entry.stored is not None:
            entry.batch.stored -= 1
        self._settle(entry.batch, loss)

    @property
    def _where(self) -> str:
        return str(self._folder.shared)
