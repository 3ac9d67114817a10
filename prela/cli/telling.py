"""What a terminal says below a tree: of each span that is not as the tree itself shows, why."""

from collections.abc import Iterator
from typing import Final

from prela.record import facts
from prela.record.remarks import LINKS, Remark, remarks
from prela.record.text import one_line
from prela.record.tree import Node
from prela.store.analysis.deadlines import set_inside

_MOST: Final = 30
"""Lines below one tree."""
_MOST_NAMES: Final = 4
_STEP_WORTH_TELLING: Final = 0.01
"""Seconds from which the longest step of a tree is told of."""
_STACK_LINES: Final = 4
"""Of the stack of a stall: the last ones, where the time went."""


def told_of(root: Node) -> list[tuple[str, str]]:
    """The lines, each with the status of its span."""
    nodes = [node for _, node in root.walk()]
    names = {node.record.span_id: one_line(node.record.name) for node in nodes}
    victims: dict[str, list[str]] = {}
    for node in nodes:
        for culprit in facts.culprits(node.record):
            victims.setdefault(culprit, []).append(node.record.span_id)
    set_in = set_inside([root])
    parents = {child.record.span_id: node.record.span_id for node in nodes for child in node.children}
    longest = max((_step(node) for node in nodes), default=0.0)
    found: list[tuple[str, str]] = []
    for node in nodes:
        below = {child.record.span_id for child in node.children}
        span = node.record.span_id
        deadline_in = set_in.get(span)
        is_told_above = deadline_in is not None and deadline_in == set_in.get(parents.get(span, ""))
        for remark in remarks(node.record, victims=victims.get(span, ()), deadline_in=deadline_in):
            if is_told_above and remark.kind == "cancelled":
                continue  # one deadline, told of once
            is_longest = longest >= _STEP_WORTH_TELLING and _step(node) == longest
            if _says_more_than_the_tree(remark, below, is_longest):
                found += [(line, node.record.status) for line in _lines(names[span], remark, names)]
    left = len(found) - _MOST
    return found if left <= 0 else [*found[:_MOST], (f"and {left} lines more, which `prela serve` shows", "")]


def _step(node: Node) -> float:
    return facts.seconds(node.record.attributes.get("prela.time.longest_step")) or 0.0


def _says_more_than_the_tree(remark: Remark, below: set[str], is_longest: bool) -> bool:
    if remark.kind == "step":
        return is_longest
    if remark.kind in LINKS:
        return not below.issuperset(remark.spans)  # that a parent waits for its children is seen
    return True


def _lines(name: str, remark: Remark, names: dict[str, str]) -> Iterator[str]:
    told = f"{name}: {remark.text}"
    if remark.spans:
        shown = [names.get(span, f"the span {one_line(span)}") for span in remark.spans[:_MOST_NAMES]]
        left = len(remark.spans) - len(shown)
        told += f" {', '.join(shown)}" + (f" and {left} more" if left else "")
    yield told
    for line in remark.detail.splitlines()[-_STACK_LINES:]:
        yield f"    {one_line(line.rstrip())}"
