"""How much ran at once: the number of spans at work, over time."""

from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from types import MappingProxyType
from typing import Final, NamedTuple

from prela.record.flat import FlatForest, flatten
from prela.record.tree import Node


class Step(NamedTuple):
    """From this moment until the next step, so many spans were at work."""

    time_unix_nano: int
    running: int


class Profile(NamedTuple):
    """How many spans were at work over time."""

    steps: tuple[Step, ...]
    """In the order of time, each with another number than the one before, the last with 0; empty if nothing ran."""
    peak: int
    average: float
    """Spans at work, averaged over the trace's whole time, in which `total` may be less than it lasts."""
    total: float
    """Seconds of work: the integral of the steps."""
    busy: float
    """Seconds in which at least one was at work."""
    serial: float
    """Seconds in which exactly one was at work."""

    @property
    def serial_share(self) -> float:
        """What part of the busy time had one span at work only: 1.0 is a serial program; 0.0 where nothing ran."""
        return self.serial / self.busy if self.busy else 0.0


class Concurrency(NamedTuple):
    """The profile of a trace, and of each type of span in it."""

    all: Profile
    by_type: Mapping[str, Profile]
    """By span type, in alphabetical order; types of which none was ever at work are left out."""


NOTHING: Final = Profile((), 0, 0.0, 0.0, 0.0, 0.0)


def concurrency(roots: Sequence[Node] | FlatForest, *, now: int | None = None) -> Concurrency:
    """Return how many spans were at work over the time of a trace.

    A span is at work while it is open and none of its children is: so a parent that waits does not count beside those
    it waits for, and the integral of the profile is the sum of all self times.
    """
    forest = flatten(roots, now)
    if not forest.records:
        return Concurrency(NOTHING, MappingProxyType({}))
    changes = _changes(forest)
    extent = max(forest.ends) - min(forest.starts)
    by_type: dict[str, list[tuple[int, int]]] = {}
    for time, i, change in changes:
        by_type.setdefault(forest.records[i].span_type, []).append((time, change))
    return Concurrency(
        _profile(((time, change) for time, _, change in changes), extent),
        MappingProxyType(
            {name: found for name in sorted(by_type) if (found := _profile(by_type[name], extent)).steps},
        ),
    )


def profile(roots: Sequence[Node] | FlatForest, *, now: int | None = None) -> Profile:
    """Return what `concurrency` says of all types of spans together."""
    forest = flatten(roots, now)
    if not forest.records:
        return NOTHING
    extent = max(forest.ends) - min(forest.starts)
    return _profile(((time, change) for time, _, change in _changes(forest)), extent)


def _changes(forest: FlatForest) -> list[tuple[int, int, int]]:
    """When a span came to work (+1) or left off (-1): (time, span, change), in the order of time."""
    moments = [(end, 0, i) for i, end in enumerate(forest.ends) if forest.starts[i] < end]
    moments += [(start, 1, i) for i, start in enumerate(forest.starts) if start < forest.ends[i]]
    is_open = bytearray(len(forest.records))
    open_children = [0] * len(forest.records)
    found: list[tuple[int, int, int]] = []
    for time, opens, i in sorted(moments):
        change = 1 if opens else -1
        is_open[i] = opens
        if not open_children[i]:
            found.append((time, i, change))
        parent = forest.parents[i]
        if parent < 0:
            continue
        before = open_children[parent]
        open_children[parent] = before + change
        if is_open[parent] and not (before and open_children[parent]):
            found.append((time, parent, -change))
    return found


def _profile(changes: Iterable[tuple[int, int]], extent: int) -> Profile:
    steps = _steps(changes)
    total = busy = serial = 0
    for (time, count), (until, _) in pairwise(steps):
        total += count * (until - time)
        busy += until - time if count else 0
        serial += until - time if count == 1 else 0
    return Profile(
        steps=tuple(steps),
        peak=max((step.running for step in steps), default=0),
        average=total / extent if extent else 0.0,
        total=total / 1e9,
        busy=busy / 1e9,
        serial=serial / 1e9,
    )


def _steps(changes: Iterable[tuple[int, int]]) -> list[Step]:
    """Sum up changes; those of one moment are one step, and none where they cancel out."""
    sums: dict[int, int] = {}
    for time, change in changes:
        sums[time] = sums.get(time, 0) + change
    steps: list[Step] = []
    count = 0
    for time, change in sums.items():
        if change:
            count += change
            steps.append(Step(time, count))
    return steps
