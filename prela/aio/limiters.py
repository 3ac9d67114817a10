"""Locks, semaphores and limiters that tell waiting for them apart from the work that they guard.

`traced` returns an object that stands before the one it is given: what is acquired and released, and who waits in what
order, is decided by that one alone.
"""

import sys
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Any, Final, TypeVar, cast

import anyio

from prela.aio.tracer import tracer
from prela.core import log
from prela.core.causality import add_signal, time_of, waiting_span
from prela.core.span import Span
from prela.record import causality

T = TypeVar("T")

HOLDERS: Final = 8
"""How many of those that hold what is waited for are named."""

_KINDS: Final = {"CapacityLimiter": "limiter", "Semaphore": "semaphore", "Lock": "lock", "StrictFIFOLock": "lock"}
"""By the name of the class in anyio, asyncio or trio."""


def traced(primitive: T, name: str) -> T:
    """Return the lock, semaphore or limiter with its waits traced: each is a span `wait NAME`, where there is one.

    What is returned takes the place of what is given, also as `limiter=` of `to_thread`, under a `Condition`, and for
    `isinstance`. Where nothing has to be waited for, there is no span. All who use it must use what is returned: it
    knows of no others.

    The span says what was waited for (`prela.wait.for`: limiter, semaphore or lock; `prela.wait.name`), how many were
    waiting already (`prela.wait.ahead`), and which spans held it then (`prela.wait.held_by`, ids, at most 8).

    Args:
        primitive: A `CapacityLimiter`, `Semaphore` or `Lock` of anyio's or trio's, or a `Semaphore` or `Lock` of
            asyncio's.
        name: What it guards; low in variety.

    Raises:
        TypeError: It is none of these.
    """
    kind = _kind_of(primitive)
    if kind == "limiter":
        return cast(T, TracedLimiter(primitive, kind, name))
    stands_for = TracedLock if hasattr(primitive, "acquire_nowait") else Traced
    return cast(T, stands_for(primitive, kind, name))


def _kind_of(primitive: object) -> str:
    for module in ("anyio", "asyncio", "trio"):
        for name, kind in _KINDS.items():
            found = getattr(sys.modules.get(module), name, None)
            if isinstance(found, type) and isinstance(primitive, found):
                return kind
    raise TypeError(f"prela.aio.traced: {primitive!r} is no lock, semaphore or limiter of anyio, asyncio or trio")


class Traced:
    """Stands before a lock or semaphore; see `traced`."""

    __slots__ = ("__weakref__", "_book", "_inner")

    def __init__(self, inner: Any, kind: str, name: str) -> None:
        object.__setattr__(self, "_inner", inner)
        object.__setattr__(self, "_book", _Book(inner, kind, name))

    @property  # type: ignore[misc]
    def __class__(self) -> type:
        return type(self._inner)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def __setattr__(self, name: str, value: Any) -> None:
        setattr(self._inner, name, value)

    def __repr__(self) -> str:
        return f"<traced {self._inner!r}>"

    async def __aenter__(self) -> Any:
        await self.acquire()
        return self if isinstance(self._inner, anyio.Semaphore) else None

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.release()

    async def acquire(self) -> Any:
        """As the original's."""
        return await self._book.acquired(self._inner.acquire)

    def release(self) -> Any:
        """As the original's."""
        result = self._inner.release()
        self._book.released()
        return result


class TracedLock(Traced):
    """Stands before one that can be acquired without waiting."""

    __slots__ = ()

    def acquire_nowait(self) -> Any:
        """As the original's."""
        result = self._inner.acquire_nowait()
        self._book.holds()
        return result


class TracedLimiter(TracedLock):
    """Stands before a capacity limiter."""

    __slots__ = ()

    async def acquire_on_behalf_of(self, borrower: object) -> Any:
        """As the original's."""
        return await self._book.acquired(self._inner.acquire_on_behalf_of, borrower)

    def acquire_on_behalf_of_nowait(self, borrower: object) -> Any:
        """As the original's."""
        result = self._inner.acquire_on_behalf_of_nowait(borrower)
        self._book.holds(borrower)
        return result

    def release_on_behalf_of(self, borrower: object) -> Any:
        """As the original's."""
        result = self._inner.release_on_behalf_of(borrower)
        self._book.released(borrower)
        return result


class _Book:
    """Who holds it, as far as that is certain, and the spans of those who wait. What it notes raises nothing.

    A holder is known by the span that is current where it acquires, or by the borrower that it names. Once something is
    released by one that is not known to hold it, it is no more certain who does.
    """

    __slots__ = ("_holders", "_inner", "_kind", "_last", "_name", "_releases", "_unnamed")

    def __init__(self, inner: Any, kind: str, name: str) -> None:
        self._inner = inner
        self._kind = kind
        self._name = name
        self._holders: dict[object, list[Span]] = {}
        self._unnamed = 0
        """Holders outside any span."""
        self._last: Span | None = None
        """Who released it last."""
        self._releases = 0

    async def acquired(self, acquire: Callable[..., Awaitable[Any]], *borrower: object) -> Any:
        """Acquire, in a span if that has to wait; return what it returns."""
        if not self._must_wait():
            self.holds(*borrower)  # it is given at once, and others run before that returns
            try:
                return await acquire(*borrower)
            except BaseException:
                self._drop(*borrower)
                raise
        with tracer.span(f"wait {self._name}") as span:
            since, releases = self._begin_wait(span), self._releases
            result = await acquire(*borrower)
            self._end_wait(span, since, releases)
        self.holds(*borrower)
        return result

    def holds(self, *borrower: object) -> None:
        """It has been acquired here."""
        try:
            span = waiting_span()
            if span is None and not borrower:
                self._unnamed += 1
            elif span is not None:
                self._holders.setdefault(borrower[0] if borrower else span, []).append(span)
        except Exception as error:
            log.failed("noting who holds a lock", error)

    def released(self, *borrower: object) -> None:
        """It has been released here."""
        try:
            self._last = waiting_span()
            self._releases += 1
        except Exception as error:
            log.failed("noting who releases a lock", error)
        self._drop(*borrower)

    def _drop(self, *borrower: object) -> None:
        try:
            span = waiting_span()
            key = borrower[0] if borrower else span
            if (spans := self._holders.get(key)) is not None:
                spans.pop()
                if not spans:
                    del self._holders[key]
            elif span is None and self._unnamed:
                self._unnamed -= 1
            elif not borrower:
                self._holders.clear()
                self._unnamed = 0
        except Exception as error:
            log.failed("noting who holds a lock", error)

    def _must_wait(self) -> bool:
        inner = self._inner
        try:
            if self._kind == "limiter":
                return bool(inner.available_tokens <= 0)
            if hasattr(inner, "value"):  # a semaphore of anyio's or trio's; asyncio's has `locked`
                return bool(inner.value == 0 or inner.statistics().tasks_waiting)
            return bool(inner.locked() or self._waiting())
        except Exception as error:
            log.failed("asking a lock", error)
            return False

    def _waiting(self) -> int:
        """How many wait for it."""
        statistics = getattr(self._inner, "statistics", None)
        if statistics is not None:
            return int(statistics().tasks_waiting)
        return sum(not waiter.done() for waiter in getattr(self._inner, "_waiters", None) or ())  # asyncio's own

    def _begin_wait(self, span: Span) -> int:
        try:
            if not span.is_recording:
                return 0
            span.set_attribute(causality.WAIT_FOR, self._kind)
            span.set_attribute(causality.WAIT_NAME, self._name)
            span.set_attribute(causality.WAIT_AHEAD, self._waiting())
            held_by = dict.fromkeys(holder.span_id for holders in self._holders.values() for holder in holders)
            if held_by:
                span.set_attribute(causality.WAIT_HELD_BY, list(held_by)[:HOLDERS])
            return time_of(span)
        except Exception as error:
            log.failed("telling of a wait", error)
            return 0

    def _end_wait(self, span: Span, since: int, releases: int) -> None:
        """Tell who let it go: whoever released a lock last, or was the only one to release anything meanwhile."""
        try:
            is_certain = self._kind == "lock" or self._releases == releases + 1
            if since and self._last is not None and self._releases > releases and is_certain:
                add_signal(span, self._last, since, time_of(span))
        except Exception as error:
            log.failed("telling of a wait", error)
