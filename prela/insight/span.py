"""The span that insight watches: a `Span` that tells when it starts, just before it ends, and if it never does.

Its class is made by `watched`, for each `Settings`, so that no other span pays for the question whether it is watched.
"""

from types import CodeType, TracebackType
from typing import Any, Self

from prela.core import log
from prela.core.details import Details
from prela.core.readable import CLOSED
from prela.core.recording import joined
from prela.core.span import LeftSpan, Span
from prela.insight import leaks
from prela.insight.registry import registry

_begin = Span._begin
_take_out = registry.fresh.pop
_take_out_journaled = registry.journaled.pop


class WatchedSpan(Span):
    """What the classes below have in common. Whatever breaks in the watching, the span itself goes its way."""

    __slots__ = ("__weakref__", "_account", "_code", "_instruction", "_thread")

    _account: Any
    """What is known of where its time goes; None where nothing is."""
    _code: CodeType
    """Of the function that started it, and where in that: what becomes a file and a line only when somebody asks."""
    _instruction: int
    _thread: int
    """`threading.get_ident()` where it started."""

    def __enter__(self) -> Self:
        if self._token is not None:
            return self._enter_started()
        try:
            super().__enter__()
            self._trace.settings.insight.span_started(self)  # type: ignore[union-attr]
        except RecursionError:
            pass  # no stack is left, not even to tell
        except Exception as error:
            log.failed("insight of a start", error)
        except BaseException as interruption:
            self._leave(interruption)  # `__exit__` will not be called
            raise
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        leave = super().__exit__  # looked up while this is still of the class that has it
        try:
            # Of several ways and threads that end a span, one finds it there: `_tell_end`, for the common way.
            if _take_out(id(self), None) is not None or _take_out_journaled(id(self), None) is not None:
                self._trace.settings.insight.span_ended(self)  # type: ignore[union-attr]
                self.__class__ = EndedSpan
        except RecursionError:
            pass
        except Exception as error:
            log.failed("insight of an end", error)
        except BaseException:
            self._leave(exc)  # a signal handler of the user's raised: finish, and let it through
            raise
        try:
            leave(exc_type, exc, traceback)
        except BaseException:
            self._leave(exc)  # likewise, before that had begun; where it had, it finishes by itself
            raise

    def _begin(self) -> None:
        if self._token is None:
            _begin(self)
            try:
                self._trace.settings.insight.span_started(self)  # type: ignore[union-attr]
            except RecursionError:
                pass
            except Exception as error:
                log.failed("insight of a start", error)

    def _finish_once(self, details: Details, error: BaseException | None, stream: bool, end: int) -> None:
        self._tell_end()
        Span._finish_once(self, details, error, stream, end)

    def _tell_end(self) -> None:
        """Tell of the end while attributes can still be set; of several ways to end a span, the first that is taken."""
        try:
            if _take_out(id(self), None) is not None or _take_out_journaled(id(self), None) is not None:
                self._trace.settings.insight.span_ended(self)  # type: ignore[union-attr]
        except RecursionError:
            pass
        except Exception as error:
            log.failed("insight of an end", error)


class InsightSpan(WatchedSpan):
    """A span that is ended when it is collected, if nobody has ended it before."""

    __slots__ = ()

    def __del__(self) -> None:
        try:
            if self._writable is not CLOSED:
                leaks.end(self)
        except Exception:
            pass  # a finalizer has nobody to tell, and may run when half of the interpreter is gone


class EndedSpan(WatchedSpan):
    """What such a span becomes where its block ends it: without a finalizer.

    Not for speed, which is the same: what a signal handler of the user's raises in a finalizer (Ctrl-C) is swallowed.
    """

    __slots__ = ()


class LeftInsightSpan(InsightSpan, LeftSpan):
    """`LeftSpan`, watched."""

    __slots__ = ()


WatchedSpan._left_class = LeftInsightSpan


def watched(made: type[Span]) -> type[Span]:
    """Return the class of spans that are watched, and otherwise start and end as those of `made` do."""
    return joined(InsightSpan, made)
