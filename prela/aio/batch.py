"""A batch, while it is on its way to every exporter, and what became of it."""

from collections.abc import Callable
from typing import NamedTuple

from prela.core.buffer import SPAN_BYTES


class Batch:
    """Records on their way; settled when each exporter has answered. The records themselves are the deliveries'."""

    __slots__ = ("_on_settled", "bytes", "counted", "lost", "position", "reason", "size", "stored", "waiting")

    def __init__(
        self,
        size: int,
        *,
        position: int,
        heavy_bytes: int,
        waiting: int,
        on_settled: "Callable[[Batch], None]",
        counted: bool = True,
    ) -> None:
        self.size: int = size
        """How many records."""
        self.position: int = position
        """How many spans the buffer had given out before this batch."""
        self.bytes: int = size * SPAN_BYTES + heavy_bytes
        self.waiting: int = waiting
        """How many exporters have not answered."""
        self.stored: int = 0
        """For how many of these it lies on disk."""
        self.reason: str | None = None
        """Why an exporter did not take it; None while every answer so far was good."""
        self.lost: int = 0
        """How many of the records an exporter did not take: of several, the one that took the least."""
        self.counted: bool = counted
        """False for records of our own making, which no statistics are kept of."""
        self._on_settled = on_settled

    @property
    def is_safe(self) -> bool:
        """Whether it outlives this process: all that it waits for has it on disk."""
        return 0 < self.waiting == self.stored

    def settle(self, loss: "Loss | None") -> None:
        """Note one exporter's answer."""
        if loss is not None and loss.spans > self.lost:
            self.reason, self.lost = loss.reason, loss.spans
        self.waiting -= 1
        if self.waiting == 0:
            self._on_settled(self)


class Loss(NamedTuple):
    """What an exporter did not take of a batch."""

    reason: str
    spans: int
