"""What insight is, to the rest of Prela: one object for each `Settings`, told of loops and of spans.

It knows the open spans. What it says of their time is the accounts' affair.
"""

from sys import _getframe
from threading import get_ident
from typing import TYPE_CHECKING, Final
from weakref import ref

from prela.insight.registry import registry
from prela.insight.span import CarefulInsightSpan, InsightSpan

if TYPE_CHECKING:
    from typing import Self

    from prela.core.span import Span

DEFAULT_STALL_THRESHOLD: Final = 0.1

_fresh = registry.fresh


class Insight:
    """See the module.

    Args:
        stall_threshold: Seconds from which one step that holds an event loop is a stall.
    """

    __slots__ = ("stall_threshold",)

    def __init__(self, *, stall_threshold: float = DEFAULT_STALL_THRESHOLD) -> None:
        self.stall_threshold: float = stall_threshold

    def span_class(self, is_careful: bool) -> "type[Span]":
        """What spans are made of that this object is told of."""
        return CarefulInsightSpan if is_careful else InsightSpan

    def attach(self) -> None:
        """Watch the loop that is running here, if it is not watched. Called in a task, before an async span starts."""

    def span_started(self, span: InsightSpan) -> None:
        """Told by a span in the thread and task that started it; entered or not, it has a start and an index."""
        if not span._is_started:
            return  # no stack was left to start it
        frame = _getframe(2)
        span._code = frame.f_code
        span._instruction = frame.f_lasti
        span._thread = get_ident()
        span._account = None
        _fresh[id(span)] = ref(span)

    def span_ended(self, span: InsightSpan) -> None:
        """Told once, just before a span ends, wherever that is; attributes can still be set."""

    def after_fork(self) -> "Self":
        """The same for a child process, which watches nothing yet."""
        return type(self)(stall_threshold=self.stall_threshold)
