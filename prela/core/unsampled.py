"""What stands for the spans of a trace that is not recorded: it was not sampled, or was refused for lack of room."""

from collections.abc import Callable
from itertools import count
from random import SystemRandom
from types import TracebackType
from typing import ClassVar, Final, Self

from prela.core.current import HeldToken, current_span, gives_way, settle_current, token_of
from prela.core.ids import RANDOM_BITS
from prela.core.shortcut import shorten
from prela.core.silent import SharedSpan, SilentSpan
from prela.core.span import Span
from prela.core.span_context import SpanContext
from prela.core.stand_in import current_or_none
from prela.core.tally import Tally

_get = current_span.get
_set = current_span.set
_reset = current_span.reset

getrandbits: Callable[[int], int] = SystemRandom().getrandbits


class UnsampledRoot(SilentSpan):
    """The local root of a trace that is not recorded. It is made current, so that its descendants follow it.

    Programs that record one trace in a hundred make ninety-nine of these, so the tracer makes them where it stands, of
    a class that counts them and their descendants: see `unsampled_class`.
    """

    __slots__ = ("_trace_number", "lower_bits")

    descendants: "ClassVar[count[int]]"
    """Counts them under the reason for which the trace is not recorded."""
    lower_bits: int
    """Those of the trace id that decided, where any did."""
    _trace_number: int
    """The trace id, once it is known."""
    _own_class: "ClassVar[type[UnsampledRoot]]"
    """What it was made as."""

    def __enter__(self) -> Self:
        if self._token is None:
            self._token = _set(self)
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        try:
            if _get() is self or settle_current() is self:
                _reset(self._token)  # type: ignore[arg-type]
                return
        except (ValueError, RuntimeError):  # another context than it was entered in
            if gives_way(self):
                return
        except TypeError:
            if not isinstance(self._token, HeldToken):
                return  # it was not entered, but made current by others, and is left to them
            if gives_way(self):
                settle_current()  # what it had covered was left before it
                return
        self._be_passed_over()

    def _settle_when_left(self) -> None:
        if (token := token_of(self)) is not None:
            self._token = HeldToken(token)

    @property
    def context(self) -> SpanContext:
        number = self._known_number()
        # W3C wants a parent id that is not zero; nobody will look for this one.
        return SpanContext(f"{number:032x}", f"{number & (1 << 64) - 1 or 1:016x}", sampled=False)

    def _known_number(self) -> int:
        try:
            return self._trace_number
        except AttributeError:
            lower = self.lower_bits if hasattr(self, "lower_bits") else getrandbits(RANDOM_BITS)
            self._trace_number = getrandbits(128 - RANDOM_BITS) << RANDOM_BITS | lower or 1
            return self._trace_number


def unsampled_class(tally: Tally) -> type[UnsampledRoot]:
    """Return a class of local roots that are counted, with all below them, under one reason not to record a trace."""
    made: type[UnsampledRoot] = type("UnsampledRoot", (UnsampledRoot,), {"__slots__": (), "descendants": tally.counter})
    shorten(made, "unsampled root")
    made._own_class = made
    made._left_class = type("LeftUnsampledRoot", (made,), {"__slots__": (), "is_left": True})
    return made


def unsampled_root(kind: type[UnsampledRoot], trace_number: int) -> UnsampledRoot:
    """Count a local root under the reason for which its trace is not recorded, and return what stands for it."""
    next(kind.descendants)
    return _made(kind, trace_number)


def unsampled_apart(above: Span | None, kind: type[UnsampledRoot]) -> UnsampledRoot:
    """Return what stands for a span of a trace that is not recorded, and may be entered, or be a parent, where its root
    is not current. It is counted already. `kind` is its class, where the span above does not say."""
    if isinstance(above, UnsampledRoot):
        return _made(above._own_class, above._known_number())
    return _made(kind, getrandbits(128) or 1)


def _made(kind: type[UnsampledRoot], trace_number: int) -> UnsampledRoot:
    root = kind()
    root._trace_number = trace_number
    root._token = None
    return root


class UnsampledChild(SharedSpan):
    """Stands for every span below the unsampled root that is current; entering it leaves that so."""

    __slots__ = ()

    @property
    def context(self) -> SpanContext:
        current = current_or_none()
        return current.context if isinstance(current, UnsampledRoot) else super().context


UNSAMPLED: Final = UnsampledChild()
