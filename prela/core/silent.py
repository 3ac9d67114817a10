"""Spans that record nothing: outside any span, under `suppress()`, and those of other processes.

They have every method of a `Span`, so that no program has to ask before it calls one.
"""

from collections.abc import Iterable, Mapping
from functools import partial
from itertools import repeat
from types import TracebackType
from typing import Any, ClassVar, Final, Self

from prela.core.details import Complete
from prela.core.readable import NOT_ENTERED
from prela.core.shortcut import shorten
from prela.core.span import Span
from prela.core.span_context import Event, Link, SpanContext
from prela.record.enums import SpanKind, SpanStatus, SpanType


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
        one._token = NOT_ENTERED
        # Entering gives the one there is. `with` calls this with nothing, and an ExitStack with the span, which then is
        # the default of a `next` that never needs one. No frame is made: a fifth less of what such a span costs.
        setattr(cls, "__enter__", staticmethod(partial(next, repeat(one))))  # noqa: B010  (not typed: it is the same)
        shorten(cls, "shared")
        return one


class RemoteSpan(SilentSpan):
    """A span of another process, made current so that those started here become its children."""

    __slots__ = ("_context",)

    def __init__(self, context: SpanContext) -> None:
        self._context = context

    @property
    def context(self) -> SpanContext:
        return self._context


class Suppression(SharedSpan):
    """Current inside `suppress()`: nothing is traced below it, whatever its parent is said to be."""

    __slots__ = ()


class NoSpan(SharedSpan):
    """Stands for "outside any span", and for every span while tracing is off."""

    __slots__ = ()


NO_SPAN: Final = NoSpan()
SUPPRESSION: Final = Suppression()
