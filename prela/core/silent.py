"""Spans that record nothing: outside any span, in traces that were not sampled or were shed, under `suppress()`.

They have every method of a `Span`, so that no program has to ask before it calls one.
"""

from collections.abc import Callable, Iterable, Mapping
from functools import partial
from itertools import count, repeat
from random import SystemRandom
from types import TracebackType
from typing import Any, ClassVar, Final, Self

from prela.core.current import current_span, gives_way, settle_current
from prela.core.details import Complete
from prela.core.ids import RANDOM_BITS
from prela.core.span import Span
from prela.core.span_context import Event, Link, SpanContext
from prela.core.tally import Tally
from prela.record.enums import SpanKind, SpanStatus, SpanType

_get = current_span.get
_set = current_span.set
_reset = current_span.reset

getrandbits: Callable[[int], int] = SystemRandom().getrandbits


class SilentSpan(Span):
    """Does nothing, and is not even made current by entering it: what is current stays so."""

    __slots__ = ()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        pass

    def set_attribute(self, key: str, value: object) -> None:
        pass

    def set_attributes(self, attributes: Mapping[str, object]) -> None:
        pass

    def add_event(self, name: str, attributes: Mapping[str, object] | None = None) -> None:
        pass

    def add_link(self, context: Span | SpanContext | Link, attributes: Mapping[str, object] | None = None) -> None:
        pass

    def record_exception(self, exception: BaseException, attributes: Mapping[str, object] | None = None) -> None:
        pass

    def set_status(self, status: SpanStatus | str, message: str | None = None) -> None:
        pass

    def _complete_later(self, complete: Complete, size: int, texts: Iterable[str] = ()) -> None:
        pass

    def end(self) -> None:
        pass

    def _end_with(self, error: BaseException | None, *, stream: str | None = None, at: int | None = None) -> None:
        pass

    def _add_event_at(self, name: str, attributes: Mapping[str, object] | None, at: int | None) -> None:
        pass

    def _record_exception_at(
        self, exception: BaseException, attributes: Mapping[str, object] | None, at: int | None
    ) -> None:
        pass

    def _begin(self) -> None:
        pass

    def _settle_when_left(self) -> None:
        pass

    def _start_at(self, at: int) -> None:
        pass

    @property
    def context(self) -> SpanContext:
        return SpanContext("0" * 32, "0" * 16, sampled=False)

    @property
    def trace_id(self) -> str:
        return self.context.trace_id

    @property
    def span_id(self) -> str:
        return self.context.span_id

    @property
    def parent_span_id(self) -> str | None:
        return None

    @property
    def name(self) -> str:
        return ""

    @name.setter
    def name(self, name: str) -> None:
        pass

    @property
    def span_type(self) -> SpanType | str:
        return SpanType.CUSTOM

    @span_type.setter
    def span_type(self, span_type: SpanType | str) -> None:
        pass

    @property
    def kind(self) -> SpanKind | str:
        return SpanKind.INTERNAL

    @property
    def status(self) -> SpanStatus:
        return SpanStatus.PENDING

    @property
    def status_message(self) -> str | None:
        return None

    @property
    def start_time_ns(self) -> int:
        return 0

    @property
    def end_time_ns(self) -> int | None:
        return None

    @property
    def duration(self) -> float | None:
        return None

    @property
    def attributes(self) -> Mapping[str, Any]:
        return {}

    @property
    def events(self) -> tuple[Event, ...]:
        return ()

    @property
    def links(self) -> tuple[Link, ...]:
        return ()

    @property
    def is_recording(self) -> bool:
        return False

    def __repr__(self) -> str:
        return f"<{type(self).__name__}>"


class SharedSpan(SilentSpan):
    """A silent span of which there is one in the process, so that nothing is made where nothing is recorded."""

    __slots__ = ()

    _one: "ClassVar[SharedSpan | None]" = None

    def __new__(cls) -> Self:
        if isinstance(cls._one, cls):
            return cls._one  # a copy of it, or what was pickled
        cls._one = one = super().__new__(cls)
        # Entering gives the one there is. `with` calls this with nothing, and an ExitStack with the span, which then is
        # the default of a `next` that never needs one. No frame is made: a fifth less of what such a span costs.
        setattr(cls, "__enter__", staticmethod(partial(next, repeat(one))))  # noqa: B010  (not typed: it is the same)
        return one


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
            return  # it was not entered, but made current by others, and is left to them
        self._be_passed_over()

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
    made._left_class = type("LeftUnsampledRoot", (made,), {"__slots__": (), "is_left": True})
    return made


def unsampled_root(kind: type[UnsampledRoot], trace_number: int) -> UnsampledRoot:
    """Count a local root under the reason for which its trace is not recorded, and return what stands for it."""
    next(kind.descendants)
    root = kind()
    root._trace_number = trace_number
    root._token = None
    return root


class UnsampledChild(SharedSpan):
    """Stands for every span below an unsampled root; whatever has it for a parent is not recorded either."""

    __slots__ = ()

    @property
    def context(self) -> SpanContext:
        current = current_or_none()
        return current.context if isinstance(current, UnsampledRoot) else super().context


class RemoteSpan(SilentSpan):
    """A span of another process, made current so that those started here become its children."""

    __slots__ = ("_context",)

    def __init__(self, context: SpanContext) -> None:
        self._context = context

    @property
    def context(self) -> SpanContext:
        return self._context


class StandIn(SilentSpan):
    """Current for as long as a block lasts, in the place of a span: of one that `use_span` is given, of one that the
    context of another framework names, or of none, or of suppression.

    One and the same span may be used many times, in several tasks, and the blocks be left in any order; a span has one
    token, so each block has a stand-in with a token of its own. Nobody is handed it: `current_or_none` looks behind it.
    """

    __slots__ = ("stands_for",)

    stands_for: Span | None
    """None where the other context names no span: what starts below it is a root."""

    def __init__(self, stands_for: Span | None) -> None:
        self.stands_for = stands_for
        self._token = _set(self)

    def leave(self) -> None:
        """Make current what was before, or be passed over from now on, as a span left out of order or elsewhere is."""
        if settle_current() is self and gives_way(self):
            settle_current()
        else:
            self._be_passed_over()


class LeftStandIn(StandIn):
    """What a stand-in becomes that was left out of order or in another context."""

    __slots__ = ()

    is_left = True


StandIn._left_class = LeftStandIn


def current_or_none() -> Span | None:
    """Return the span that is current here, after `settle_current`, and the one meant where a stand-in is."""
    return meant(settle_current())


def meant(found: Span | None) -> Span | None:
    """The span itself, or that which it stands in for."""
    return found.stands_for if isinstance(found, StandIn) else found


def is_suppressed() -> bool:
    """Whether nothing is to be traced here."""
    found = _get()
    if found is not None and (found.is_left or isinstance(found, StandIn)):
        found = current_or_none()
    return found is SUPPRESSION


class Suppression(SharedSpan):
    """Current inside `suppress()`: nothing is traced below it, whatever its parent is said to be."""

    __slots__ = ()


class NoSpan(SharedSpan):
    """Stands for "outside any span", and for every span while tracing is off."""

    __slots__ = ()


NO_SPAN: Final = NoSpan()
SUPPRESSION: Final = Suppression()
UNSAMPLED: Final = UnsampledChild()
