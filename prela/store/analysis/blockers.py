"""What a span may have waited for: by the joins it recorded, and by the timing of its children.

A *join* is a link from the span that waited to the span it waited for, with these attributes:

    prela.link.kind                     "join"
    prela.join.end_time_unix_nano       when the wait was over
    prela.join.start_time_unix_nano     when it began; may be missing
"""

from collections.abc import Iterator
from typing import Any, Final, NamedTuple, TypeAlias

from prela.record.flat import FlatForest
from prela.record.model import SpanLink, SpanRecord

LINK_KIND: Final = "prela.link.kind"
JOIN: Final = "join"
JOIN_START: Final = "prela.join.start_time_unix_nano"
JOIN_END: Final = "prela.join.end_time_unix_nano"

_TASK_ID: Final = "prela.task.id"
_TASK_NAME: Final = "prela.task.name"
_CANCEL_CAUSE: Final = "prela.cancel.cause"


_Task: TypeAlias = tuple[Any, Any] | None


class Blocker(NamedTuple):
    """A span that another may have waited for, until `until`."""

    until: int
    span: int
    is_joined: bool


class Blockers:
    """Finds what each span of a forest may have waited for."""

    def __init__(self, forest: FlatForest) -> None:
        self._forest = forest
        self._numbers: dict[tuple[str, str], int] = {}
        self._tasks: list[_Task] = []
        if any(record.links for record in forest.records):
            self._numbers = {(r.trace_id, r.span_id): i for i, r in enumerate(forest.records)}
            self._tasks = _tasks(forest)

    def of(self, span: int) -> list[Blocker]:
        """What `span` may have waited for, in the order in which a walk backwards in time meets it.

        Of those that ended together the cancelled come last, the longest first, then the first by id.
        """
        if not self._forest.children[span] and not self._forest.records[span].links:
            return []
        joined = {blocker.span: blocker for blocker in self._joined(span)}
        found = [*joined.values(), *self._children(span, joined)]
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

    def _joined(self, span: int) -> Iterator[Blocker]:
        """Those whose end a recorded wait saw, later joins last."""
        joins = sorted(
            (times[1], times[0], target)
            for link in self._forest.records[span].links
            if (times := _join_times(link)) and (target := self._numbers.get((link.trace_id, link.span_id))) is not None
        )
        for end, start, target in joins:
            until = self._forest.ends[target]
            if start < until <= end and target != span and self._forest.records[target].status != "pending":
                yield Blocker(until, target, True)

    def _children(self, span: int, joined: dict[int, Blocker]) -> Iterator[Blocker]:
        """Children that ended before their parent did: one that outlived it was not waited for.

        Where joins were recorded, children in other tasks would have been joined.
        """
        forest = self._forest
        parent, end = forest.records[span], forest.ends[span]
        records_joins = any(_join_times(link) for link in parent.links)
        task = self._tasks[span] if records_joins else None
        for child in forest.children[span]:
            record = forest.records[child]
            if child in joined or (record.status == "pending" and parent.status != "pending"):
                continue
            if records_joins and _own_task(record) not in (None, task):
                continue
            if forest.ends[child] <= end:
                yield Blocker(forest.ends[child], child, False)
            elif parent.kind == "client" and record.kind == "server":
                yield Blocker(end, child, False)  # the client has the answer, so only the clocks differ


def released_by(blockers: list[Blocker], at: int, waiting: SpanRecord, forest: FlatForest) -> int | None:
    """When the cancelled blocker at this place was given up because another had ended; None where nothing says so.

    The loser of a race ends last, and yet its winner decided. A deadline, a shutdown or a cancellation of the waiting
    span itself comes from elsewhere: then the cancelled blocker was what was waited for.
    """
    span = blockers[at].span
    record = forest.records[span]
    if record.status != "cancelled" or waiting.status == "cancelled":
        return None
    cause = record.attributes.get(_CANCEL_CAUSE)
    if cause in ("deadline", "shutdown"):
        return None
    for place in range(at + 1, len(blockers)):
        other = blockers[place]
        if other.until <= forest.starts[span]:
            return None
        status = forest.records[other.span].status
        if status == "error" or (cause != "sibling_failed" and status not in ("cancelled", "pending")):
            return other.until
    return None


def _join_times(link: SpanLink) -> tuple[int, int] | None:
    """When a wait began (0: unknown) and ended; None for a link that is no join."""
    if link.attributes.get(LINK_KIND) != JOIN:
        return None
    start, end = link.attributes.get(JOIN_START, 0), link.attributes.get(JOIN_END)
    return (start, end) if isinstance(start, int) and isinstance(end, int) else None


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
