"""What became of the spans that one worker took from its buffer: counts that add up, and the batches under way.

Every span taken is in a batch under way, exported, in no trace that was kept, or lost under a reason.
"""

from prela.aio.batch import Batch
from prela.core.tail import UNSAMPLED


class Outcomes:
    """See the module. Changed by the worker only; read from any thread."""

    __slots__ = ("_lost", "abandoned", "batched", "exported", "taken", "under_way", "unsampled")

    def __init__(self) -> None:
        self.taken: int = 0
        """From the buffer."""
        self.batched: int = 0
        """Of these, made into batches; less while records are being made."""
        self.exported: int = 0
        """Acknowledged by every exporter."""
        self.unsampled: int = 0
        """Of traces that tail sampling did not keep."""
        self.under_way: set[Batch] = set()
        """Those that not every exporter has answered for."""
        self.abandoned: str | None = None
        """The reason under which all that was not answered for is lost, once it has been given up."""
        self._lost: dict[str, int] = {}

    @property
    def in_flight(self) -> int:
        """Spans taken and not yet answered for."""
        return 0 if self.abandoned else self._unanswered()

    @property
    def spooled(self) -> int:
        """Spans taken, and on disk wherever they are not answered for."""
        return sum(batch.size for batch in list(self.under_way) if batch.counted and batch.is_safe)

    def _unanswered(self) -> int:
        return self.taken - self.exported - self.unsampled - sum(self._lost.values()) - self.spooled

    def lost(self) -> dict[str, int]:
        """Spans lost, by reason."""
        counts = dict(self._lost)
        if self.abandoned and self._unanswered():
            counts[self.abandoned] = counts.get(self.abandoned, 0) + self._unanswered()
        return counts

    def lose(self, reason: str, count: int) -> None:
        """Count spans as lost under a reason."""
        self._lost[reason] = self._lost.get(reason, 0) + count

    def refuse(self, why: str, count: int) -> None:
        """Count spans of a trace that tail sampling does not keep, under the verdict's reason."""
        if why == UNSAMPLED.why:
            self.unsampled += count
        else:
            self.lose(why, count)

    def lost_under(self, reason: str) -> int:
        """How many were lost under a reason, but for what was given up."""
        return self._lost.get(reason, 0)

    def settled(self, batch: Batch) -> None:
        """Every exporter has answered for the batch."""
        self.under_way.discard(batch)
        if batch.counted:
            self.exported += batch.size - batch.lost
            if batch.reason is not None:
                self.lose(batch.reason, batch.lost)

    def first_under_way(self) -> int:
        """How many spans, from the first taken on, are answered for without a gap."""
        return min((batch.position for batch in self.under_way), default=self.batched)
