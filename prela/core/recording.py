"""The hot path: starting a span, and ending it where nothing out of the ordinary has happened.

Each `Settings` has a class of spans of its own, whose two methods hold its clock, its counter and its queue as they
are: nothing is looked up on the way, and one comparison of types tells the tracer that a span was made under the
settings in force. Everything else that a span does is in `span`, and the same for all.
"""

from types import TracebackType
from typing import TYPE_CHECKING, Self

from prela.core import log
from prela.core.current import current_span
from prela.core.readable import CLOSED, LEFT
from prela.core.shortcut import shorten
from prela.core.span import CarefulSpan, Span

if TYPE_CHECKING:
    from prela.core.settings import Settings

_get = current_span.get
_set = current_span.set
_reset = current_span.reset


def recording_class(settings: "Settings") -> type[Span]:
    """Return the class of the spans that are recorded under these settings."""
    clock, indexes, buffer = settings.clock, settings.counters.ids.indexes, settings.buffer
    queue = buffer.queue

    class RecordedSpan(Span):
        __slots__ = ()

        def __enter__(self) -> Self:
            if self._token is not None:
                return self._enter_started()
            try:
                self._start = clock()
                self._index = next(indexes)
                self._token = _set(self)
            except RecursionError:
                # No stack is left to do anything, so the span stays as it was, not started. What was counted must be
                # taken back, in steps that call nothing: `_index` is read only to see whether there is one.
                try:
                    self._index  # noqa: B018
                    buffer.false_starts += 1
                except AttributeError:
                    pass
            except Exception as error:
                log.failed("Span.__enter__", error)
            except BaseException as interruption:
                self._leave_entry(interruption)
                raise
            return self

        def __exit__(
            self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
        ) -> None:
            try:
                if exc is not None or self._details is not None or _get() is not self:
                    self._leave(exc)
                    return
                self._end = clock()
                _reset(self._token)  # type: ignore[arg-type]
                self._token = LEFT
                if len(queue) >= buffer.limit:
                    self._offer(exc)
                    return
                # From here on nothing is called until it is queued: no signal handler and no thread comes in between.
                if self._details is not None or self._writable is CLOSED:
                    self._leave(exc)  # one has, and called `end`; or entered it at the same time, and left it
                    return
                self._writable = CLOSED
                queue.append(self)
            except RecursionError:
                # No stack is left for more, so nothing was queued; `settle_current` ends it once there is.
                self._writable = self._attributes
                self.__class__ = self._left_class  # type: ignore[assignment]
            except (ValueError, RuntimeError, TypeError):
                # `reset` in another context than `enter`, a copy of it, in which this span is current too; or of a span
                # that was not entered, but made current.
                self._leave(exc)
            except Exception as error:
                log.failed("Span.__exit__", error)
            except BaseException:
                self._leave(exc)  # a signal handler of the user's raised in the middle: finish, and let it through
                raise

    if settings.is_careful:
        return joined(CarefulSpan, RecordedSpan)
    shorten(RecordedSpan, "recorded")
    return RecordedSpan


def joined(first: type[Span], *others: type[Span]) -> type[Span]:
    """Return a class of spans that does as the first of these, and what that leaves open as those after it."""
    return type(first.__name__, (first, *others), {"__slots__": ()})


def start_under(before: "Settings", now: "Settings") -> None:
    """After a fork, in the child: have spans that were made under the settings before, and not started, start under
    those of now. They are then below the same parent, which is in another process."""

    def moved(span: Span) -> bool:
        if span._token is not None:
            return False
        span._trace, span._parent = span._trace.continued(now, span.parent_span_id), None
        span.__class__ = now.span_class
        return True

    def enter(span: Span) -> Span:
        return span.__enter__() if moved(span) else span._enter_started()

    def begin(span: Span) -> None:
        if moved(span):
            span._begin()

    setattr(before.span_class, "__enter__", enter)  # noqa: B010  (not typed: they are methods)
    setattr(before.span_class, "_begin", begin)  # noqa: B010
