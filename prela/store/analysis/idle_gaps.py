"""When nothing ran: the time in which only spans that have children were open."""

from collections.abc import Iterator, Sequence
from heapq import heappop, heappush
from typing import NamedTuple

from prela.record.flat import FlatForest, flatten
from prela.record.model import SpanRecord
from prela.record.tree import Node


class Gap(NamedTuple):
    """An interval in which no leaf was open: some parent waited for what was not recorded, or worked itself."""

    record: SpanRecord | None
    """The deepest span that was open all through the gap; None between the roots of a trace that has several."""
    start_time_unix_nano: int
    end_time_unix_nano: int

    @property
    def duration(self) -> float:
        """Seconds."""
        return (self.end_time_unix_nano - self.start_time_unix_nano) / 1e9


def idle_gaps(roots: Sequence[Node] | FlatForest, *, now: int | None = None) -> list[Gap]:
    """Return the gaps between the roots' start and their end, the longest first, and the earlier of equal ones.

    A leaf is a span without children; leaves of no length fill nothing.
    """
    forest = flatten(roots, now)
    gaps = [
        Gap(None if i is None else forest.records[i], start, end)
        for (start, end), i in _with_spans(forest, list(_intervals(forest)))
    ]
    return sorted(gaps, key=lambda gap: (gap.start_time_unix_nano - gap.end_time_unix_nano, gap.start_time_unix_nano))


def _intervals(forest: FlatForest) -> Iterator[tuple[int, int]]:
    """What the union of the leaves leaves out of the extent."""
    reached, end = forest.extent
    for start, finish in sorted(
        (forest.starts[i], forest.ends[i]) for i, children in enumerate(forest.children) if not children
    ):
        if start >= finish:
            continue
        if reached < min(start, end):
            yield reached, min(start, end)
        reached = max(reached, finish)
    if reached < end:
        yield reached, end


def _with_spans(forest: FlatForest, intervals: list[tuple[int, int]]) -> Iterator[tuple[tuple[int, int], int | None]]:
    """Each interval with the deepest parent that covers it; of equally deep ones the later, then the first by id.

    Parents enter the heap once they have started, and leave it for good once they have ended before a gap's end.
    """
    waiting = sorted((i for i, children in enumerate(forest.children) if children), key=forest.starts.__getitem__)
    waiting.reverse()
    candidates: list[tuple[int, int, str, int]] = []
    for start, end in intervals:
        while waiting and forest.starts[waiting[-1]] <= start:
            i = waiting.pop()
            heappush(candidates, (-forest.depths[i], -forest.starts[i], forest.records[i].span_id, i))
        while candidates and forest.ends[candidates[0][3]] < end:
            heappop(candidates)
        yield (start, end), candidates[0][3] if candidates else None
