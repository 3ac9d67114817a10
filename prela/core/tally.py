"""Counting from many threads, signal handlers and finalizers at once, without a lock."""

from itertools import count


class Tally:
    """A count that `add` raises by one, atomically: `next` on an `itertools.count` is one C call."""

    __slots__ = ("_counter", "add")

    def __init__(self) -> None:
        self._counter = count()
        self.add = self._counter.__next__

    @property
    def value(self) -> int:
        return peek(self._counter)


def peek(counter: "count[int]") -> int:
    """Return what `next` would, without taking it. A count tells its value nowhere but in its repr, "count(5)"."""
    return int(repr(counter)[len("count(") : -1])
