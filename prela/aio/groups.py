"""A task group inside a span, each of whose child tasks has a span of its own."""

from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import TYPE_CHECKING, Any

import anyio
import anyio.abc

from prela.aio.kinship import Kinship, Start
from prela.aio.tracer import AsyncSpan
from prela.core.context import get_current_span
from prela.core.silent import NO_SPAN
from prela.core.tracer import CURRENT

if TYPE_CHECKING:
    from prela.aio.tracer import Tracer
    from prela.core.span import Span


class SpanTaskGroup:
    """An anyio task group inside a span. Its exceptions and cancellations are anyio's, unchanged.

    The span tells which of its children it waited for (`docs/causality.md`), which failed first, and how many were
    cancelled for that.
    """

    def __init__(self, tracer: "Tracer", span: "AsyncSpan") -> None:
        self._tracer = tracer
        self._entry = span
        self._group: anyio.abc.TaskGroup
        self._kinship: Kinship
        self.span: Span = NO_SPAN
        """The span that the group is inside; one that records nothing before the group is entered."""

    @property
    def cancel_scope(self) -> anyio.CancelScope:
        """anyio's: cancelling it cancels the children and the body."""
        return self._group.cancel_scope

    async def __aenter__(self) -> "SpanTaskGroup":
        self._group = anyio.create_task_group()
        self.span = await self._entry.__aenter__()
        try:
            await self._group.__aenter__()
        except BaseException as error:
            await self._entry.__aexit__(type(error), error, error.__traceback__)
            raise
        self._kinship = Kinship(self.span, f"{id(self._group.cancel_scope):x}")
        self._kinship.opened()
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> bool | None:
        self._kinship.joins(exc)
        try:
            swallowed = await self._group.__aexit__(exc_type, exc, traceback)
        except BaseException as error:
            self._kinship.tell()
            await self._entry.__aexit__(type(error), error, error.__traceback__)
            raise
        self._kinship.tell()
        left = None if swallowed else exc
        await self._entry.__aexit__(type(left) if left else None, left, traceback)
        return swallowed

    def start_soon(self, func: Callable[..., Awaitable[Any]], *args: Any, name: object = None) -> None:
        """Start a child task in a span of this name, or the function's; the parent is the span current at this call.

        Called where no span is current, it is the group's.
        """
        span_name = _name_of(func, name)
        self._group.start_soon(self._child, span_name, self._parent(), func, args, name=span_name)

    async def start(self, func: Callable[..., Awaitable[Any]], *args: Any, name: object = None) -> Any:
        """Start a child task as `start_soon` does, and wait until it calls `task_status.started()`."""
        span_name = _name_of(func, name)
        start = Start()
        value = await self._group.start(
            self._starting_child, span_name, self._parent(), func, args, start, name=span_name
        )
        start.over()
        return value

    def _parent(self) -> Any:
        return self.span if get_current_span() is NO_SPAN and self.span.is_recording else CURRENT

    async def _child(self, span_name: str, parent: Any, func: Callable[..., Awaitable[Any]], args: Any) -> None:
        entry = AsyncSpan(self._tracer.span(span_name, parent=parent), self._kinship.span_id)
        try:
            async with entry as span:
                self._kinship.began(span)
                try:
                    await func(*args)
                except BaseException as error:
                    self._kinship.left(span, error)
                    raise
        finally:
            self._kinship.ended(entry.span)

    async def _starting_child(
        self,
        span_name: str,
        parent: Any,
        func: Callable[..., Awaitable[Any]],
        args: Any,
        start: Start,
        *,
        task_status: anyio.abc.TaskStatus[Any],
    ) -> None:
        entry = AsyncSpan(self._tracer.span(span_name, parent=parent), self._kinship.span_id)
        try:
            async with entry as span:
                self._kinship.began(span)
                start.child = span
                try:
                    await func(*args, task_status=_WatchedStatus(task_status, start))
                except BaseException as error:
                    if start.has_started:  # else it is raised by `start`, and the group goes on
                        self._kinship.left(span, error)
                    raise
        finally:
            if start.has_started:
                self._kinship.ended(entry.span)


class _WatchedStatus(anyio.abc.TaskStatus[Any]):
    """What a child says `started` to; a failure after that is the group's."""

    def __init__(self, status: anyio.abc.TaskStatus[Any], start: Start) -> None:
        self._status = status
        self._start = start

    def started(self, value: Any = None) -> None:
        self._status.started(value)
        self._start.has_started = True


def _name_of(func: Any, name: object) -> str:
    if name is not None:
        return str(name)
    while hasattr(func, "func"):  # functools.partial
        func = func.func
    return getattr(func, "__qualname__", None) or type(func).__qualname__
