"""Records of one or many traces as trees. Pure; what a tree means in time is for `store` and `text`."""

from collections.abc import Collection, Iterable, Iterator
from typing import NamedTuple

from prela.record.model import SpanRecord


class Node(NamedTuple):
    """A span and those below it, in the order they started."""

    record: SpanRecord
    children: "list[Node]"

    def walk(self, depth: int = 0) -> "Iterator[tuple[int, Node]]":
        """This node and all below, each with its depth; not recursive, since traces nest deeper than Python may."""
        pending = [(depth, self)]
        while pending:
            level, node = pending.pop()
            yield level, node
            pending.extend((level + 1, child) for child in reversed(node.children))


def forest(records: Iterable[SpanRecord]) -> list[Node]:
    """Return the trees that the records make. A span whose parent is not among them is a root here.

    Roots and children stand in the order of their start times. A cycle of parents, which only a damaged file can
    hold, is cut at its earliest span.
    """
    ordered = sorted(records, key=lambda r: (r.start_time_unix_nano, r.span_id))
    nodes = {(r.trace_id, r.span_id): Node(r, []) for r in ordered}
    roots = []
    for node in nodes.values():
        parent = nodes.get((node.record.trace_id, node.record.parent_span_id or ""))
        if parent is None or parent is node:
            roots.append(node)
        else:
            parent.children.append(node)
    return [*roots, *_cut_cycles(nodes.values(), roots)]


def _below(roots: list[Node]) -> set[int]:
    """Which nodes some trees hold."""
    pending, found = list(roots), set[int]()
    while pending:
        node = pending.pop()
        found.add(id(node))
        pending.extend(node.children)
    return found


def _cut_cycles(nodes: Collection[Node], roots: list[Node]) -> list[Node]:
    reached = _below(roots)
    if len(reached) == len(nodes):
        return []
    extra = []
    for node in nodes:
        if id(node) in reached:
            continue
        pending = [node]
        while pending:
            found = pending.pop()
            reached.add(id(found))
            found.children[:] = [child for child in found.children if id(child) not in reached]
            pending.extend(found.children)
        extra.append(node)
    return extra
