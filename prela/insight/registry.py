"""The open spans of this process, those that insight watches: known without keeping any of them alive.

A span is entered when it starts and taken out when it ends, from any thread, a signal handler or a finalizer: each is
one step of a dict, and no lock is taken.
"""

import os
from collections.abc import Iterator
from typing import TYPE_CHECKING, Final
from weakref import ref

if TYPE_CHECKING:
    from prela.insight.span import InsightSpan


class Registry:
    """Open spans by their `id()`, oldest first: a span takes itself out before its id can be another's."""

    __slots__ = ("fresh", "journaled")

    def __init__(self) -> None:
        self.fresh: dict[int, ref[InsightSpan]] = {}
        """Those that were not journaled."""
        self.journaled: dict[int, ref[InsightSpan]] = {}

    def take_out(self, key: int) -> bool:
        """Take out the span of this id; whether it was in. Of several threads at once, one is told so."""
        return self.fresh.pop(key, None) is not None or self.journaled.pop(key, None) is not None

    def spans(self) -> "Iterator[InsightSpan]":
        """Those that are in, oldest first as far as they started in order."""
        for known in (self.journaled, self.fresh):
            yield from alive(known)

    def clear(self) -> None:
        """After a fork, in the child: the parent's spans end in the parent."""
        self.fresh.clear()
        self.journaled.clear()


def alive(known: "dict[int, ref[InsightSpan]]") -> "list[InsightSpan]":
    """The spans of a part of the registry. Its copy is one step, in which no other thread can change it."""
    return [span for reference in known.copy().values() if (span := reference()) is not None]


registry: Final = Registry()

if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=registry.clear)
