"""What is said of the spans that were lost: to the log for the whole worker, and among the records of each exporter."""

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from prela.aio.outcomes import Outcomes
from prela.core import log
from prela.core.buffer import ENCODE_FAILED, Buffer
from prela.core.outage import Outage, spans_were

if TYPE_CHECKING:
    from prela.aio.delivery import Delivery


class Losses:
    """Spans lost in the buffer and since. When to speak of them is `Outage`'s to say."""

    __slots__ = ("_buffer", "_outage", "_outcomes")

    def __init__(self, buffer: Buffer, outcomes: Outcomes, quiet: float) -> None:
        """`quiet`: seconds without a loss after which the next is news."""
        self._buffer = buffer
        self._outcomes = outcomes
        self._outage = Outage(quiet=quiet)

    def counts(self) -> dict[str, int]:
        """How many, by reason."""
        counts = self._buffer.dropped_counts()
        for reason, count in self._outcomes.lost().items():
            counts[reason] = counts.get(reason, 0) + count
        return counts

    def tell(
        self,
        deliveries: "Iterable[Delivery]",
        write: "Callable[[Delivery, dict[str, int]], object]",
        *,
        final: bool = False,
    ) -> None:
        """Say what is worth saying: by `write`, to an exporter what its records lack. `final`: there is no further
        look."""
        counts = self.counts()
        if self._outage.begins(counts):
            log.warn("prela: spans are being dropped: %s", counts)
        lost = self._outage.ended(counts, final=final)
        if lost:
            log.warn("prela: %s lost: %s", spans_were(sum(lost.values())), lost)
        common = {**self._buffer.dropped_counts(), ENCODE_FAILED: self._outcomes.lost_under(ENCODE_FAILED)}
        for delivery in deliveries:
            lacking = {**common, **delivery.dropped}
            delivery.outage.begins(lacking)
            if lost := delivery.outage.ended(lacking, final=final):
                write(delivery, lost)
