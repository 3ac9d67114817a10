"""What insight is, to the rest of Prela: one object for each `Settings`, told of loops and of spans.

It knows the open spans. What it says of their time is the accounts' affair.
"""

from collections.abc import Callable, Iterator
from sys import _getframe
from threading import get_ident
from typing import TYPE_CHECKING, Final
from weakref import ref

from prela.aio.process import process
from prela.aio.tracer import tracer
from prela.insight import leaks
from prela.insight.loops import watching
from prela.insight.places import OWN_FILES
from prela.insight.registry import registry
from prela.insight.span import WatchedSpan, watched

if TYPE_CHECKING:
    from typing import Self

    from prela.core.buffer import Buffer
    from prela.core.span import Span

DEFAULT_STALL_THRESHOLD: Final = 0.1

_fresh = registry.fresh


def _knows_all() -> bool:
    settings = tracer._settings
    if settings is None or settings.insight is None:
        return process.counters.ids.started == 0
    return settings.insight.knows_all


class Insight:
    """See the module.

    Args:
        stall_threshold: Seconds from which one step that holds an event loop is a stall.
    """

    __slots__ = ("knows_all", "on_first_span", "stall_threshold")

    def __init__(self, *, stall_threshold: float = DEFAULT_STALL_THRESHOLD) -> None:
        self.stall_threshold: float = stall_threshold
        self.knows_all: bool = _knows_all()
        """Whether no span of this process was started without insight."""
        self.on_first_span: Callable[[], object] | None = None
        """Called once, where the first span starts."""

    def span_class(self, made: "type[Span]") -> "type[Span]":
        """What spans are made of that this object is told of, and that start and end as those of a class do."""
        return watched(made)

    def attach(self) -> None:
        """Watch the loop that is running here, if it is not watched. Called in a task, before an async span starts."""
        watching.attach(self.stall_threshold)

    def detach(self) -> None:
        """Watch no loop any more, and end the thread that does: these settings are no longer in force."""
        watching.detach()

    def span_started(self, span: WatchedSpan) -> None:
        """Told by a span in the thread and task that started it, and two calls above the code that did."""
        frame = _getframe(2)
        while frame.f_code.co_filename in OWN_FILES and frame.f_back is not None:
            frame = frame.f_back
        span._code = frame.f_code
        span._instruction = frame.f_lasti
        span._thread = get_ident()
        span._account = None
        _fresh[id(span)] = ref(span)
        if self.on_first_span is not None:
            wake, self.on_first_span = self.on_first_span, None
            wake()
        span._account = watching.started(span, self.stall_threshold)

    def span_ended(self, span: WatchedSpan) -> None:
        """Told once, just before a span ends, wherever that is, in a finalizer too; attributes can still be set."""
        watching.ended(span)

    def spans_to_journal(self, buffer: "Buffer", age: float) -> "Iterator[WatchedSpan | None]":
        """Those that have been open for so many seconds, were never given before, and will end into this buffer.

        None comes in between, where others may be let in.
        """
        return registry.journal(buffer, age)

    def has_journaled(self) -> bool:
        """Whether any span that was journaled is still open."""
        return bool(registry.journaled)

    def tell_of_leaks(self) -> None:
        """Warn of spans that were never ended, each place once. Called where logging may be, and nowhere else."""
        leaks.tell()

    def after_fork(self) -> "Self":
        """The same for a child process, which watches nothing yet."""
        return type(self)(stall_threshold=self.stall_threshold)
