"""Why it took so long: the chain of spans that decided when the root could end."""

from collections.abc import Sequence
from typing import Literal, NamedTuple

from prela.record.flat import FlatForest, flatten
from prela.record.model import SpanRecord
from prela.record.tree import Node
from prela.store.analysis.blockers import Blocker, Blockers, released_by


class Segment(NamedTuple):
    """From `start` to `end` the trace waited for this span's own work."""

    record: SpanRecord | None
    """None where no root was open, in a trace that has several."""
    start_time_unix_nano: int
    end_time_unix_nano: int

    @property
    def duration(self) -> float:
        """Seconds."""
        return (self.end_time_unix_nano - self.start_time_unix_nano) / 1e9


class CriticalPath(NamedTuple):
    """The chain that decided when the roots could end."""

    segments: tuple[Segment, ...]
    """In the order of time: each begins where the one before ends; together they cover the roots' extent."""
    basis: Literal["joins", "timing", "mixed"]
    """How it is known who waited for whom. "joins" is exact: every wait of a task for another on the path was recorded.
    "timing" is judged by when spans ended; "mixed" is some of both."""


def critical_path(roots: Sequence[Node] | FlatForest, *, now: int | None = None) -> CriticalPath:
    """Return the critical path from the roots' first start to their last end.

    Walked backwards: what a span waited for last is the blocker that ended last before that moment; before that one
    began, the same is asked again; between them the span itself was at work. Where a span has recorded joins, these say
    what it waited for, and of its other children only those in its own task count.
    """
    forest = flatten(roots, now)
    walk = _Walk(forest)
    for root in sorted(forest.roots, key=lambda i: (-forest.ends[i], forest.starts[i], forest.records[i].span_id)):
        while forest.starts[root] < walk.frontier:  # again after a join has led into another root's tree, and out of it
            walk.spend(None, forest.ends[root])
            walk.through(root)
    return CriticalPath(tuple(reversed(walk.segments)), walk.basis)


class _Limit(NamedTuple):
    """Before this time the path is this span's."""

    time: int
    span: int
    is_call: bool
    """Whether it is there because the span began to wait for another then, which did nothing for it before."""


class _Walk:
    """Backwards in time, from what ended to what it had waited for.

    `frontier` is how far back the path reaches yet. A span's own idea of the time may be ahead of it: a server's clock
    that is fast, or a root that overlaps a later one. Every step is taken by the span's times, and only what lies
    before the frontier is kept. A span's blockers are taken up once and never gone back to, so that the walk is linear.
    """

    def __init__(self, forest: FlatForest) -> None:
        self.segments: list[Segment] = []
        self._forest = forest
        _, self.frontier = forest.extent
        self._blockers = Blockers(forest)
        self._lists: dict[int, list[Blocker]] = {}
        self._next: dict[int, int] = {}
        self._limits: list[_Limit] = []
        self._joined = self._timed = 0
        self._floors = list(forest.starts)
        for i, parent in enumerate(forest.parents):
            if parent >= 0:
                self._floors[i] = max(self._floors[i], self._floors[parent])

    @property
    def basis(self) -> Literal["joins", "timing", "mixed"]:
        if not self._joined:
            return "timing"
        return "mixed" if self._timed else "joins"

    def spend(self, span: int | None, since: int) -> None:
        """Put the time between `since` and the frontier down to a span."""
        if since < self.frontier:
            record = None if span is None else self._forest.records[span]
            self.segments.append(Segment(record, since, self.frontier))
            self.frontier = since

    def through(self, root: int) -> None:
        """Walk from a root's end through all that it waited for, to its start or another root's."""
        self._limits.clear()
        span, cursor = root, self._forest.ends[root]
        while span >= 0:
            floor = self._floor(span)
            blocker = self._blocker(span, cursor, floor)
            if blocker is not None:
                self.spend(span, blocker.until)
                span = blocker.span
                cursor = self._forest.ends[span] if blocker.entry is None else blocker.entry
                continue
            self.spend(span, floor)
            cursor = floor
            if self._limits and self._limits[-1].time == floor:
                span = self._limits.pop().span
            else:
                span = self._before(span, cursor)

    def _before(self, span: int, time: int) -> int:
        """What led to a span that started at this time: the span that created its task, or one above."""
        creator = self._blockers.creator(span) if self._forest.starts[span] == time else None
        # Strictly earlier, so that the walk always gets on: records may say that spans created each other.
        if creator is not None and self._floors[creator] < time <= self._forest.ends[creator]:
            return creator
        return self._open_above(span, time)

    def _open_above(self, span: int, time: int) -> int:
        """What was open above a span at this time; -1 for nothing, where a join led to what its parents left behind."""
        span = self._forest.parents[span]
        while span >= 0 and self._forest.ends[span] < time:
            span = self._forest.parents[span]
        return span

    def _floor(self, span: int) -> int:
        """Where a span's part in the path begins: not before any span above it, nor before what gave it up."""
        floor = self._floors[span]
        return max(floor, self._limits[-1].time) if self._limits else floor

    def _blocker(self, span: int, cursor: int, floor: int) -> Blocker | None:
        """The next blocker of `span` that ended between the floor and the cursor, taken up."""
        if span not in self._lists:
            self._lists[span] = self._blockers.of(span)
            self._next[span] = 0
        blockers = self._lists[span]
        while (at := self._next[span]) < len(blockers):
            blocker = blockers[at]
            if blocker.until <= floor:
                return None
            self._next[span] += 1
            if blocker.until > cursor or self._floors[blocker.span] >= min(self.frontier, blocker.until):
                continue
            self._limit(blockers, at, span, floor)
            self._joined += blocker.is_known and blocker.is_recorded
            self._timed += not blocker.is_known
            return blocker
        return None

    def _limit(self, blockers: list[Blocker], at: int, waiting: int, floor: int) -> None:
        """Have the walk come back to the waiting span where what it is about to enter had no part in it yet."""
        blocker = blockers[at]
        if blocker.is_join:
            begun = self._forest.starts[blocker.span]
            while self._limits and self._limits[-1].is_call and begun < self._limits[-1].time:
                self._limits.pop()  # what is waited for now ran before the call, too
        released = released_by(blockers, at, self._forest.records[waiting], self._forest)
        for time, is_call in ((released, False), (blocker.since, True)):
            if time is not None and time > max(floor, self._floors[blocker.span]):
                self._limits.append(_Limit(time, waiting, is_call))
