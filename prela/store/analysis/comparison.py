"""What changed from one trace to another of the same shape."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Literal, NamedTuple

from prela.record.flat import FlatForest, flatten
from prela.record.model import SpanRecord
from prela.record.tree import Node
from prela.store.analysis.self_time import self_nanoseconds


class Place:
    """Where spans stand in a trace: the names from the root down. Places are compared by identity."""

    __slots__ = ("name", "ordinal", "parent", "span_type")

    def __init__(self, parent: "Place | None", name: str, span_type: str, ordinal: int | None) -> None:
        self.parent: Place | None = parent
        self.name: str = name
        self.span_type: str = span_type
        self.ordinal: int | None = ordinal
        """Which of the siblings of this name and type, from 0; None where it stands for all of them."""

    @property
    def path(self) -> list[str]:
        """The names from the root to here; a sibling after the first has its number: "search [2]"."""
        names: list[str] = []
        place: Place | None = self
        while place is not None:
            names.append(place.label)
            place = place.parent
        return names[::-1]

    @property
    def label(self) -> str:
        if self.ordinal is None:
            return f"{self.name} [all]"
        return f"{self.name} [{self.ordinal + 1}]" if self.ordinal else self.name

    def __repr__(self) -> str:
        return f"<Place {self.label!r}>"


class Side(NamedTuple):
    """The spans at a place in one of the two traces."""

    records: tuple[SpanRecord, ...]
    duration: float
    """Seconds, summed over the spans: more than passed, where they ran at once."""
    self_time: float
    """Seconds, summed over the spans."""

    @property
    def errors(self) -> int:
        return sum(record.status == "error" for record in self.records)


class Change(NamedTuple):
    """What is different at one place."""

    place: Place
    before: Side
    after: Side

    @property
    def kind(self) -> Literal["new", "gone", "slower", "faster", "other"]:
        """ "other" has the same duration, but another self time, number of spans, or number of errors."""
        if not self.before.records:
            return "new"
        if not self.after.records:
            return "gone"
        if self.change == 0:
            return "other"
        return "slower" if self.change > 0 else "faster"

    @property
    def change(self) -> float:
        """Seconds by which the duration grew."""
        return self.after.duration - self.before.duration

    @property
    def self_change(self) -> float:
        """Seconds by which the self time grew: the change that no change below it accounts for."""
        return self.after.self_time - self.before.self_time

    @property
    def ratio(self) -> float | None:
        """The duration after by the duration before; None where there was none before."""
        return self.after.duration / self.before.duration if self.before.duration else None


class Comparison(NamedTuple):
    """All that is different, what contributed most first: by self time, then by duration, gains and losses alike."""

    changes: tuple[Change, ...]
    before: float
    """Seconds from the roots' first start to their last end."""
    after: float
    """Seconds, as `before`."""

    def of_kind(self, *kinds: str) -> list[Change]:
        """The changes of these kinds, in their order."""
        return [change for change in self.changes if change.kind in kinds]

    def tops(self, kind: Literal["new", "gone"]) -> list[Change]:
        """What is new, or gone, without what is below it."""
        found = self.of_kind(kind)
        places = {id(change.place) for change in found}
        return [change for change in found if id(change.place.parent) not in places]


class _Pair(NamedTuple):
    """Spans of two traces that stand at the same place."""

    place: Place | None
    before: list[int]
    after: list[int]


def compare(before: Sequence[Node], after: Sequence[Node], *, now: int | None = None) -> Comparison:
    """Return what is different in the trace `after` from the trace `before`.

    Spans match when they have the same name, type and ordinal among such siblings, below parents that match. Where
    there are more of them in one trace than in the other, all of them, and all below them, are summed up by name and
    type. Two traces of one root each match at the root, whatever it is called.
    """
    old, new = flatten(before, now), flatten(after, now)
    old_self, new_self = self_nanoseconds(old), self_nanoseconds(new)
    changes = [
        Change(pair.place, _side(old, old_self, pair.before), _side(new, new_self, pair.after))
        for pair in _pairs(old, new)
        if pair.place is not None
    ]
    found = sorted(filter(_differs, changes), key=lambda c: (-abs(c.self_change), -abs(c.change)))
    return Comparison(tuple(found), _length(old), _length(new))


def _pairs(old: FlatForest, new: FlatForest) -> Iterator[_Pair]:
    """Every span of both traces at its place, each place once, depth first."""
    pending = list(_match(old, new, _Pair(None, old.roots, new.roots)))[::-1]
    while pending:
        pair = pending.pop()
        yield pair
        below = _Pair(pair.place, _children(old, pair.before), _children(new, pair.after))
        pending.extend(reversed(list(_match(old, new, below))))


def _match(old: FlatForest, new: FlatForest, pair: _Pair) -> Iterator[_Pair]:
    """The pairs that spans with the same parents make."""
    place = pair.place
    if place is None and len(pair.before) == len(pair.after) == 1:
        record = old.records[pair.before[0]]
        yield _Pair(Place(None, record.name, record.span_type, 0), pair.before, pair.after)
        return
    groups: dict[tuple[str, str], tuple[list[int], list[int]]] = {}
    for side, forest, spans in ((0, old, pair.before), (1, new, pair.after)):
        for i in spans:
            record = forest.records[i]
            groups.setdefault((record.name, record.span_type), ([], []))[side].append(i)
    is_sum = place is not None and place.ordinal is None
    for (name, span_type), (ones, others) in groups.items():
        if not is_sum and len(ones) == len(others):
            for ordinal, (one, other) in enumerate(zip(ones, others, strict=True)):
                yield _Pair(Place(place, name, span_type, ordinal), [one], [other])
        else:
            is_alone = not is_sum and len(ones) + len(others) == 1
            yield _Pair(Place(place, name, span_type, 0 if is_alone else None), ones, others)


def _children(forest: FlatForest, spans: Iterable[int]) -> list[int]:
    return [child for i in spans for child in forest.children[i]]


def _side(forest: FlatForest, own: list[int], spans: list[int]) -> Side:
    return Side(
        tuple(forest.records[i] for i in spans),
        sum(forest.ends[i] - forest.starts[i] for i in spans) / 1e9,
        sum(own[i] for i in spans) / 1e9,
    )


def _differs(change: Change) -> bool:
    before, after = change.before, change.after
    return (before.duration, before.self_time, len(before.records), before.errors) != (
        after.duration,
        after.self_time,
        len(after.records),
        after.errors,
    )


def _length(forest: FlatForest) -> float:
    start, end = forest.extent
    return (end - start) / 1e9
