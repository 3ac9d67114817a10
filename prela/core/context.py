"""What flows with the program's own flow: the current span, baggage, attributes for all spans below, suppression.

Everything is one immutable value in a ContextVar, so tasks and copied contexts inherit it and cannot disturb each
other.
"""

import contextvars
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar, Token
from functools import partial, wraps
from types import MappingProxyType
from typing import Any, Final, ParamSpec, TypeVar

from prela.core import log
from prela.core.current import settle_current, take_back
from prela.core.scope import hold_apart
from prela.core.silent import NO_SPAN, SUPPRESSION, RemoteSpan
from prela.core.span import Span
from prela.core.span_context import SpanContext, checked_context
from prela.core.stand_in import StandIn, current_or_none, is_suppressed

P = ParamSpec("P")
T = TypeVar("T")

_EMPTY: Final[Mapping[str, Any]] = MappingProxyType({})

_baggage: "ContextVar[Held | None]" = ContextVar("prela.baggage", default=None)
_propagated: "ContextVar[Held | None]" = ContextVar("prela.propagated", default=None)

_SEMANTIC_NAMES: Final = {"session_id": "session.id", "user_id": "user.id"}
"""Keyword to attribute name, as OpenTelemetry's general attribute registry has them (session, user)."""


class Usage:
    """Whether `propagate_attributes` was ever used: until then, no span pays for looking."""

    __slots__ = ("on_begin", "propagating")

    def __init__(self) -> None:
        self.propagating: bool = False
        self.on_begin: Callable[[], object] = lambda: None
        """Called at the first use."""

    def begin(self) -> None:
        """It is used."""
        if not self.propagating:
            self.propagating = True
            self.on_begin()


usage: Final = Usage()


class Inherited:
    """What this process was started with, and is in force wherever the program has set nothing itself."""

    __slots__ = ("baggage",)

    def __init__(self) -> None:
        self.baggage: Mapping[str, Any] = _EMPTY


inherited: Final = Inherited()


def get_current_span() -> Span:
    """Return the span that a new one would be the child of. Outside any span, one that records nothing."""
    try:
        return current_or_none() or NO_SPAN
    except Exception:
        return NO_SPAN


@contextmanager
def use_span(span: Span | SpanContext) -> Iterator[Span]:
    """Make a span current for the block, without ending it. A `SpanContext` makes the block continue a remote trace."""
    used: Span = NO_SPAN
    try:
        if not is_suppressed():
            used = _usable(span)
            used._begin()
    except Exception as error:
        log.failed("use_span", error)
    if used is NO_SPAN:
        yield used
        return
    with _block(lambda: StandIn(used)):
        yield used


def _usable(span: object) -> Span:
    if isinstance(span, Span):
        return span
    try:
        return RemoteSpan(checked_context(span))
    except ValueError as error:
        log.warn_once("use_span", "prela: use_span() was ignored (told once): %s", error)
        return NO_SPAN


@contextmanager
def without_current_span() -> Iterator[None]:
    """Outside any span, for the block."""
    with _block(lambda: StandIn(None)):
        yield


@contextmanager
def suppress() -> Iterator[None]:
    """Trace nothing inside the block, in tasks and threads started there either."""
    with _block(lambda: StandIn(SUPPRESSION)):
        yield


@contextmanager
def baggage(**entries: Any) -> Iterator[None]:
    """Add entries to the baggage for the block: values that travel with the context, and are on no span."""
    with holding_baggage(entries):
        yield


@contextmanager
def holding_baggage(entries: Mapping[str, Any]) -> Iterator[None]:
    """`baggage`, for entries whose names are no keywords."""
    with _block(lambda: held_baggage({**get_baggage(), **entries})):
        yield


def held_baggage(entries: Mapping[str, Any]) -> "Held":
    """What has this, and nothing else, be the baggage from when it is begun until it is left."""
    return Held(_baggage, MappingProxyType(dict(entries)))


def get_baggage() -> Mapping[str, Any]:
    """Return the baggage in force here, read-only."""
    try:
        held = _in_force(_baggage)
    except Exception:
        return _EMPTY
    return inherited.baggage if held is None else held.value


@contextmanager
def propagate_attributes(
    *, session_id: str | None = None, user_id: str | None = None, **attributes: Any
) -> Iterator[None]:
    """Set these attributes on every span started inside the block, through tasks and threads too.

    `session_id` and `user_id` are recorded as `session.id` and `user.id`; a span's own attributes win.
    """
    known = {"session_id": session_id, "user_id": user_id}
    named = {_SEMANTIC_NAMES[key]: value for key, value in known.items() if value is not None}

    def make() -> Held:
        usage.begin()
        return Held(_propagated, MappingProxyType({**get_propagated_attributes(), **named, **attributes}))

    with _block(make):
        yield


def get_propagated_attributes() -> Mapping[str, Any]:
    """Return the attributes that a span started here is given."""
    held = _in_force(_propagated)
    return _EMPTY if held is None else held.value


@contextmanager
def _block(make: "Callable[[], Held | StandIn]") -> Iterator[None]:
    """Begin what `make` returns, and leave it at the end. Whatever breaks in that, the block is run."""
    held: Held | StandIn | None = None
    try:
        try:
            held = make()
            held.begin()
        except Exception as error:
            log.failed("entering a block", error)
        yield
    finally:
        try:
            _leave(held)
        except BaseException:  # Ctrl-C came in between
            _leave(held)
            raise


def _leave(held: "Held | StandIn | None") -> None:
    try:
        if held is not None:
            held.leave()
    except Exception as error:
        log.failed("leaving a block", error)


class Held:
    """A value for as long as a block lasts, in a context variable. It is left as a span is: out of order, or in another
    context than it was put in, it is passed over from then on."""

    __slots__ = ("_before", "_is_left", "_token", "_variable", "value")

    def __init__(self, variable: "ContextVar[Held | None]", value: Mapping[str, Any]) -> None:
        self.value: Mapping[str, Any] = value
        self._is_left = False
        self._variable = variable
        self._before: Held | None = None
        self._token: Token[Held | None] | None = None

    def begin(self) -> None:
        """Be in force from now on."""
        self._before = self._variable.get()
        self._token = self._variable.set(self)

    def leave(self) -> None:
        """Have what was before be in force again. May be called again after an interruption."""
        if self._token is None and self._variable.get() is self:
            self._variable.set(self._before)  # `begin` was interrupted
        self._is_left = True
        _in_force(self._variable)


def _in_force(variable: "ContextVar[Held | None]") -> "Held | None":
    """What a variable holds here, after taking back what was left behind; a context that inherited it keeps it."""
    while (held := variable.get()) is not None and held._is_left:
        if held._token is None or not take_back(variable, held._token):
            break
    return held


def _inherit(variable: "ContextVar[Held | None]") -> "Held | None":
    """What a generator that begins here has: the value, which no step can take back."""
    held = _in_force(variable)
    return None if held is None else Held(variable, held.value)


for _variable in (_baggage, _propagated):
    hold_apart(_variable, partial(_inherit, _variable))


def copy_context_to_thread(func: Callable[P, T]) -> Callable[P, T]:
    """Return `func` bound to the context of this moment, for a thread pool.

    What is current here, spans and every other context variable, is current in each call, wherever it runs. It may be
    called many times and from many threads at once: each call runs in a copy of its own, so none sees another's
    changes.

    Raises:
        TypeError: `func` is a coroutine function. Its call would only make a coroutine, which would then run in
            whatever context awaits it. Start a task instead: tasks inherit the context by themselves.
    """
    from inspect import isasyncgenfunction, iscoroutinefunction

    for callee in (func, getattr(type(func), "__call__", None)):  # noqa: B004
        if iscoroutinefunction(callee) or isasyncgenfunction(callee):
            raise TypeError(
                f"copy_context_to_thread: {func!r} is a coroutine function; threads run plain functions. "
                "A task started here inherits the context by itself."
            )
    settle_current()  # nobody in the copy could: a span that was left elsewhere would be current there for good
    captured = contextvars.copy_context()

    @wraps(func)
    def in_captured_context(*args: P.args, **kwargs: P.kwargs) -> T:
        # A context may be entered only once at a time, and a pool calls this from several threads at once.
        return captured.copy().run(func, *args, **kwargs)

    return in_captured_context
