"""Trees as lists side by side: so walks over a trace are quick, and safe where it is deeper than Python's stack."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from prela.record.model import SpanRecord
from prela.record.tree import Node


class FlatForest(NamedTuple):
    """The spans of some trees, depth first; the n-th entry of each list is about the n-th span."""

    records: list[SpanRecord]
    parents: list[int]
    """The parent's number; -1 for a root."""
    children: list[list[int]]
    depths: list[int]
    starts: list[int]
    """Nanoseconds since the Unix epoch."""
    ends: list[int]
    """Nanoseconds since the Unix epoch; never before the start, which a skewed clock would have it, nor unknown."""

    @property
    def roots(self) -> list[int]:
        return [i for i, parent in enumerate(self.parents) if parent < 0]

    @property
    def extent(self) -> tuple[int, int]:
        """From the first start to the last end of the roots, in nanoseconds: what outlives them is not in it."""
        roots = self.roots
        return min((self.starts[i] for i in roots), default=0), max((self.ends[i] for i in roots), default=0)

    def sizes(self) -> list[int]:
        """How many spans each stands for: itself and all below, which follow it directly."""
        found = [1] * len(self.records)
        for i in range(len(found) - 1, -1, -1):
            if self.parents[i] >= 0:
                found[self.parents[i]] += found[i]
        return found


def flatten(roots: Iterable[Node] | FlatForest, now: int | None = None) -> FlatForest:
    """Return the spans of these trees as lists. Pending spans end at `now`, by default at `latest_moment`.

    What is flat already is returned as it is: who asks several questions about a large trace flattens it once.
    """
    if isinstance(roots, FlatForest):
        return roots
    records: list[SpanRecord] = []
    parents: list[int] = []
    depths: list[int] = []
    for root in roots:
        above: list[int] = []
        for depth, node in root.walk():
            del above[depth:]
            parents.append(above[-1] if above else -1)
            above.append(len(records))
            depths.append(depth)
            records.append(node.record)
    children: list[list[int]] = [[] for _ in records]
    for i, parent in enumerate(parents):
        if parent >= 0:
            children[parent].append(i)
    moment = latest_moment(records) if now is None else now
    starts = [record.start_time_unix_nano for record in records]
    ends = [
        max(record.start_time_unix_nano, moment if record.end_time_unix_nano is None else record.end_time_unix_nano)
        for record in records
    ]
    return FlatForest(records, parents, children, depths, starts, ends)


def latest_moment(records: Sequence[SpanRecord]) -> int:
    """The last start or end among spans, in nanoseconds since the Unix epoch; 0 where there are none."""
    return max((max(r.start_time_unix_nano, r.end_time_unix_nano or 0) for r in records), default=0)
