"""Counting from many threads, signal handlers and finalizers at once, without a lock."""

from itertools import count


class Tally:
    """A count that `add` raises by one, atomically: `next` on an `itertools.count` is one C call."""

    __slots__ = ("_base", "counter")

    def __init__(self) -> None:
        self.counter: count[int] = count()
        """For the hot path, which takes its `next` itself."""
        self._base = 0

    def add(self) -> None:
        next(self.counter)

    @property
    def value(self) -> int:
        return peek(self.counter) - self._base

    def from_zero(self) -> "Tally":
        """A tally that begins at zero, and counts what those add who know this one."""
        tally = Tally()
        tally.counter, tally._base = self.counter, peek(self.counter)
        return tally


def peek(counter: "count[int]") -> int:
    """Return what `next` would, without taking it. A count tells its value nowhere but in its repr, "count(5)"."""
    return int(repr(counter)[len("count(") : -1])
