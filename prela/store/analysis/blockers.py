"""What a span may have waited for: by the waits it recorded, and by the timing of its children.

Recorded waits are links from the span that waited to the one it waited for (`prela.record.causality`):

    prela.link.kind                     "join": for its end; "signal": for something it did; "pull": for its next item
    prela.join.end_time_unix_nano       of a join or a signal: when the wait was over
    prela.join.start_time_unix_nano     when it began; may be missing
    prela.pull.times_unix_nano          of a pull: when each wait began and was over, in turn
"""

from collections.abc import Iterator
from itertools import pairwise
from typing import Any, Final, NamedTuple, TypeAlias

from prela.record.causality import (
    CANCEL_BY_SPAN,
    CANCEL_CAUSE,
    JOIN,
    JOINED_BY,
    LINK_KIND,
    PULL,
    PULL_CLOSED,
    PULL_TIMES,
    SIGNAL,
    SPAWN,
    TASK_GROUP,
    WAIT_END,
    WAIT_START,
)
from prela.record.flat import FlatForest
from prela.record.model import SpanLink, SpanRecord

_TASK_ID: Final = "prela.task.id"
_TASK_NAME: Final = "prela.task.name"
_TELLING: Final = {JOINED_BY, TASK_GROUP}


_Task: TypeAlias = tuple[Any, Any] | None


class Blocker(NamedTuple):
    """A span that another may have waited for, until `until`."""

    until: int
    span: int
    is_known: bool
    """Whether the wait was recorded, or could not but be: a call within one task, beside which nothing ran."""
    is_join: bool = False
    """Whether what it waited for ran by itself, as another task does, and not only when it was waited for."""
    entry: int | None = None
    """Where in the span's time to go on backwards; by default its end."""
    began: int | None = None
    """When the wait began, of a join."""
    since: int | None = None
    """When the wait began, if the span did nothing for the waiting one before that."""

    @property
    def is_recorded(self) -> bool:
        """Whether a link says so."""
        return self.is_join or self.since is not None


class Blockers:
    """Finds what each span of a forest may have waited for."""

    def __init__(self, forest: FlatForest) -> None:
        self._forest = forest
        self._numbers: dict[tuple[str, str], int] = {}
        self._tasks: list[_Task] = []
        if any(record.links or _TELLING & record.attributes.keys() for record in forest.records):
            self._numbers = {(r.trace_id, r.span_id): i for i, r in enumerate(forest.records)}
            self._tasks = _tasks(forest)

    def of(self, span: int) -> list[Blocker]:
        """What `span` may have waited for, in the order in which a walk backwards in time meets it.

        Of those that ended together the cancelled come last, the longest first, then the first by id.
        """
        if not self._forest.children[span] and not self._forest.records[span].links:
            return []
        recorded = [*self._joined(span), *self._signalled(span), *self._pulled(span)]
        found = [*recorded, *self._children(span, {blocker.span for blocker in recorded})]
        starts, records = self._forest.starts, self._forest.records
        return sorted(
            found,
            key=lambda b: (
                -b.until,
                records[b.span].status == "cancelled",
                starts[b.span],
                records[b.span].span_id,
            ),
        )

    def creator(self, span: int) -> int | None:
        """The span that created the task of this one, where that is recorded, and is not its parent."""
        return next((target for _, target in self._links(span, SPAWN)), None)

    def _links(self, span: int, kind: str) -> Iterator[tuple[SpanLink, int]]:
        """The links of this kind to other spans of the forest, and which these are."""
        for link in self._forest.records[span].links:
            if link.attributes.get(LINK_KIND) == kind:
                target = self._numbers.get((link.trace_id, link.span_id))
                if target is not None and target != span:
                    yield link, target

    def _timed(self, span: int, kind: str) -> Iterator[tuple[int, int, int]]:
        """The waits of this kind: start, end, and for which span."""
        for link, target in self._links(span, kind):
            if (times := _times(link)) is not None:
                yield *times, target

    def _joined(self, span: int) -> Iterator[Blocker]:
        """Those whose end a recorded wait saw; of several waits for one, the last counts."""
        forest, found = self._forest, dict[int, Blocker]()
        for start, end, target in sorted(self._timed(span, JOIN), key=lambda found: found[1]):
            until = forest.ends[target]
            if start < until <= end and forest.records[target].status != "pending":
                found[target] = Blocker(until, target, True, is_join=True, began=start or None)
        own = forest.records[span].span_id
        for child in forest.children[span]:
            if forest.records[child].attributes.get(JOINED_BY) == own and forest.ends[child] <= forest.ends[span]:
                found.setdefault(child, Blocker(forest.ends[child], child, True, is_join=True))
        yield from found.values()

    def _signalled(self, span: int) -> Iterator[Blocker]:
        """Those that did at some moment what a recorded wait was for."""
        for start, end, target in self._timed(span, SIGNAL):
            if (until := min(end, self._forest.ends[target])) > start:
                yield Blocker(until, target, True, is_join=True, entry=until)

    def _pulled(self, span: int) -> Iterator[Blocker]:
        """Those that made items, one after the other, whenever they were waited for."""
        for link, target in self._links(span, PULL):
            is_known = not link.attributes.get(PULL_CLOSED)
            for start, end in _pairs(link.attributes.get(PULL_TIMES)):
                # The last wait is over a moment after the span has ended.
                if max(start, self._forest.starts[target]) < (until := min(end, self._forest.ends[target])):
                    yield Blocker(until, target, is_known, entry=until, since=start)

    def _children(self, span: int, recorded: set[int]) -> Iterator[Blocker]:
        """Children that ended before their parent did: one that outlived it was not waited for.

        Nor was a child of a task group of ours, unless that says so.
        """
        forest = self._forest
        parent, end = forest.records[span], forest.ends[span]
        task = self._tasks[span] if self._tasks else None
        found: list[int] = []
        for child in forest.children[span]:
            record = forest.records[child]
            if child in recorded or (record.status == "pending" and parent.status != "pending"):
                continue
            if TASK_GROUP in record.attributes and self._is_over(record):
                continue
            if forest.ends[child] <= end:
                found.append(child)
            elif parent.kind == "client" and record.kind == "server":
                yield Blocker(end, child, False)  # the client has the answer, so only the clocks differ
        at_once = self._at_once(found)
        for child in found:
            is_call = child not in at_once and (task is None or _own_task(forest.records[child]) in (None, task))
            yield Blocker(forest.ends[child], child, is_call)

    def _is_over(self, child: SpanRecord) -> bool:
        """Whether the group of a child task has told whom it waited for: it does so when it ends."""
        group = self._numbers.get((child.trace_id, str(child.attributes[TASK_GROUP])))
        return group is not None and self._forest.records[group].status != "pending"

    def _at_once(self, spans: list[int]) -> set[int]:
        """Those that were open while another of them was: they did not all run in one task, one after the other."""
        starts, ends = self._forest.starts, self._forest.ends
        found: set[int] = set()
        ordered = sorted((i for i in spans if starts[i] < ends[i]), key=starts.__getitem__)
        last = ordered[:1]
        for i in ordered[1:]:
            if starts[i] < ends[last[0]]:
                found |= {i, last[0]}
            if ends[i] > ends[last[0]]:
                last = [i]
        return found


def released_by(blockers: list[Blocker], at: int, waiting: SpanRecord, forest: FlatForest) -> int | None:
    """When the cancelled blocker at this place was given up because another had ended; None where nothing says so.

    The loser of a race ends last, and yet its winner decided. A deadline, a shutdown or a cancellation of the waiting
    span itself comes from elsewhere: then the cancelled blocker was what was waited for.
    """
    span = blockers[at].span
    record = forest.records[span]
    if record.status != "cancelled" or waiting.status == "cancelled":
        return None
    cause = record.attributes.get(CANCEL_CAUSE)
    if cause in ("deadline", "shutdown"):
        return None
    failed = record.attributes.get(CANCEL_BY_SPAN) if cause == "sibling_failed" else None
    if failed == waiting.span_id:  # the group's own body, after which it joined the children
        return blockers[at].began
    for place in range(at + 1, len(blockers)):
        other = blockers[place]
        if other.until <= forest.starts[span]:
            return None
        if failed is not None:
            if forest.records[other.span].span_id == failed:
                return other.until
            continue
        status = forest.records[other.span].status
        if status == "error" or (cause != "sibling_failed" and status not in ("cancelled", "pending")):
            return other.until
    return None


def _times(link: SpanLink) -> tuple[int, int] | None:
    """When a wait began (0: unknown) and ended; None for a link that does not tell."""
    start, end = link.attributes.get(WAIT_START, 0), link.attributes.get(WAIT_END)
    return (start, end) if isinstance(start, int) and isinstance(end, int) else None


def _pairs(times: object) -> list[tuple[int, int]]:
    """When each wait of a pull began and ended; nothing where that is not told in the order of time."""
    if not isinstance(times, list) or len(times) % 2 or not all(isinstance(time, int) for time in times):
        return []
    if any(later < earlier for earlier, later in pairwise(times)):
        return []
    return list(zip(times[::2], times[1::2], strict=True))


def _tasks(forest: FlatForest) -> list[_Task]:
    """The task that each span runs in: its own, or that of the nearest above that knows."""
    found: list[_Task] = []
    for record, parent in zip(forest.records, forest.parents, strict=True):
        own = _own_task(record)
        found.append(found[parent] if own is None and parent >= 0 else own)
    return found


def _own_task(record: SpanRecord) -> _Task:
    if _TASK_ID not in record.attributes:
        return None
    return (record.attributes[_TASK_ID], record.attributes.get(_TASK_NAME))
