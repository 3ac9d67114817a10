"""Whose deadline it was: the span inside which the scope had been opened that gave others up."""

from collections.abc import Sequence
from typing import Final, NamedTuple

from prela.record.causality import CANCEL_CAUSE, CANCEL_SCOPE_SPAN
from prela.record.flat import FlatForest, flatten
from prela.record.model import SpanRecord
from prela.record.tree import Node

_DEADLINE: Final = "deadline"


class Deadline(NamedTuple):
    """A deadline that passed, and what it gave up."""

    owner: SpanRecord
    """The innermost span that it did not cancel: it was set inside this one."""
    cancelled: tuple[SpanRecord, ...]
    """The spans that it cancelled, depth first."""


def deadlines(roots: Sequence[Node] | FlatForest) -> list[Deadline]:
    """Return the deadlines that cancelled spans of a trace, in the order of their owners, depth first.

    A cancellation leaves every span up to the scope whose deadline has passed, and no further: the first span above
    that was not left by it has the scope inside. Two deadlines inside one span cannot be told apart. Where all spans
    above were cancelled too, or had ended before, no owner is known, and nothing is returned.
    """
    forest = flatten(roots)
    numbers = {record.span_id: i for i, record in enumerate(forest.records)}
    found: dict[int, list[SpanRecord]] = {}
    owners: list[int] = []
    for span, record in enumerate(forest.records):
        owners.append(_owner(forest, owners, numbers, span))
        if owners[span] >= 0 and _is_given_up(record):
            found.setdefault(owners[span], []).append(record)
    return [Deadline(forest.records[owner], tuple(found[owner])) for owner in sorted(found)]


def set_inside(roots: Sequence[Node] | FlatForest) -> dict[str, str]:
    """For each span that a deadline cancelled, the id of the span inside which that was set, where it is known."""
    return {record.span_id: found.owner.span_id for found in deadlines(roots) for record in found.cancelled}


def _owner(forest: FlatForest, owners: list[int], numbers: dict[str, int], span: int) -> int:
    """The owner of the deadline that gave a span up, by what it says or by its parent's; -1 for none."""
    record, parent = forest.records[span], forest.parents[span]
    if not _is_given_up(record):
        return -1
    told = numbers.get(str(record.attributes.get(CANCEL_SCOPE_SPAN)))
    if told is not None:
        return told
    if parent >= 0 and _is_given_up(forest.records[parent]):
        return owners[parent]
    return -1 if parent < 0 or forest.ends[parent] < forest.ends[span] else parent


def _is_given_up(record: SpanRecord) -> bool:
    return record.status == "cancelled" and record.attributes.get(CANCEL_CAUSE) == _DEADLINE
