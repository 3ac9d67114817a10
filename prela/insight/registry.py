"""The open spans of this process, those that insight watches: known without keeping any of them alive.

A span is entered when it starts and taken out when it ends, from any thread, a signal handler or a finalizer: each is
one step of a dict, and no lock is taken.
"""

import os
from collections.abc import Iterator
from typing import TYPE_CHECKING, Final
from weakref import ref

if TYPE_CHECKING:
    from prela.core.buffer import Buffer
    from prela.core.span import Span
    from prela.insight.span import WatchedSpan


_AT_ONCE: Final = 64
"""Spans looked at between two moments at which others may be let in."""


class Registry:
    """Open spans by their `id()`, oldest first: a span takes itself out before its id can be another's."""

    __slots__ = ("fresh", "journaled")

    def __init__(self) -> None:
        self.fresh: dict[int, ref[WatchedSpan]] = {}
        """Those that were not journaled."""
        self.journaled: dict[int, ref[WatchedSpan]] = {}

    def has(self, key: int) -> bool:
        """Whether the span of this id is in."""
        return key in self.fresh or key in self.journaled

    def spans(self) -> "Iterator[WatchedSpan]":
        """Those that are open, in no particular order."""
        for known in (self.journaled, self.fresh):
            yield from alive(known)

    def journal(self, buffer: "Buffer", age: float) -> "Iterator[WatchedSpan | None]":
        """Give each span once that has been open for so many seconds and will end into this buffer.

        With tail sampling, only those of traces that are certain to be kept. None comes in between, where others may
        be let in: there may be many spans. Only the worker of the buffer calls this.
        """
        for number, reference in enumerate(self.fresh.copy().values(), 1):
            span = reference()
            if span is not None and is_open(span) and _is_due(span, buffer, age):
                key = id(span)  # which nobody else has while we hold the span
                self.journaled[key] = reference
                if self.fresh.pop(key, None) is None:
                    self.journaled.pop(key, None)  # it has just ended
                else:
                    yield span
            if number % _AT_ONCE == 0:
                yield None

    def clear(self) -> None:
        """After a fork, in the child: the parent's spans end in the parent."""
        self.fresh.clear()
        self.journaled.clear()


def alive(known: "dict[int, ref[WatchedSpan]]") -> "list[WatchedSpan]":
    """The open spans of a part of the registry. Its copy is one step, in which no other thread can change it."""
    found = [span for reference in known.copy().values() if (span := reference()) is not None]
    return [span for span in found if is_open(span)]


def is_open(span: "Span") -> bool:
    """Whether a span has started in this process and not ended; one that was never finished making is neither."""
    try:
        return span._is_started and span.is_recording and not span._trace.buffer.is_disowned
    except AttributeError:
        return False


def _is_due(span: "Span", buffer: "Buffer", age: float) -> bool:
    trace = span._trace
    is_kept = trace.settings.tail is None or (trace.verdict is not None and trace.verdict.keeps)
    return is_kept and trace.clock() - span._start >= age * 1e9 and trace.buffer.leads_to(buffer)


registry: Final = Registry()

if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=registry.clear)
