"""Where the time was spent: in a span's own code, or in those it started."""

from collections.abc import Sequence
from typing import NamedTuple

from prela.record.flat import FlatForest, flatten
from prela.record.model import SpanRecord
from prela.record.tree import Node


class SelfTime(NamedTuple):
    """A span's time, and what of it none of its children accounts for."""

    record: SpanRecord
    duration: float
    """Seconds; for a pending span until `now`."""
    self_time: float
    """Seconds of the duration in which no child was open."""


def self_times(roots: Sequence[Node], *, now: int | None = None) -> list[SelfTime]:
    """Return the self time of every span, depth first.

    What children do before their parent starts or after it has ended is not the parent's time, and costs it nothing.
    """
    forest = flatten(roots, now)
    return [
        SelfTime(record, (end - start) / 1e9, own / 1e9)
        for record, start, end, own in zip(
            forest.records, forest.starts, forest.ends, self_nanoseconds(forest), strict=True
        )
    ]


def self_nanoseconds(forest: FlatForest) -> list[int]:
    """The self time of every span of a forest, in nanoseconds."""
    return [
        end - start - _covered(forest, children, start, end)
        for children, start, end in zip(forest.children, forest.starts, forest.ends, strict=True)
    ]


def _covered(forest: FlatForest, children: list[int], start: int, end: int) -> int:
    """How much of an interval the union of some spans covers, in nanoseconds."""
    covered, reached = 0, start
    for begin, finish in sorted((forest.starts[i], forest.ends[i]) for i in children):
        begin, finish = max(begin, reached), min(finish, end)
        if begin < finish:
            covered += finish - begin
            reached = finish
    return covered
