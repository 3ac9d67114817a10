"""Time and ids that a test can foretell."""

from collections.abc import Callable
from itertools import count

from prela.core.ids import BLOCK_BITS, WITHIN_BLOCK, IdGenerator


class TickingClock:
    """A clock that goes on by one step each time it is read.

    Args:
        start: Nanoseconds that the first reading gives.
        step: Nanoseconds between two readings.
    """

    def __init__(self, start: int = 1_000_000_000, step: int = 1_000_000) -> None:
        self._readings = count(start, step)

    def __call__(self) -> int:
        return next(self._readings)


class CountingIds(IdGenerator):
    """Trace ids 1, 2, 3 and so on; span ids the same, in the order of starting."""

    __slots__ = ()

    def __init__(self) -> None:
        super().__init__()
        trace_ids = count(1)
        self.draw: Callable[[int], int] = lambda bits: next(trace_ids)

    def new_trace_id(self, lower: int | None = None) -> int:
        return self.draw(128) if lower is None else lower

    def _make_block(self, number: int) -> list[str]:
        first = (number << BLOCK_BITS) + 1
        return [f"{one:016x}" for one in range(first, first + WITHIN_BLOCK + 1)]
