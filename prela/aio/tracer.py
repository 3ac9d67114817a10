"""The public tracer: that of `core`, and what needs a task to make sense.

`tracer` is the one of this process; it records nothing until `init()` or `open_tracer()` configures it.
"""

from collections.abc import Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Final

from prela.aio import task_spans
from prela.core import log
from prela.core.span import Span
from prela.core.tracer import CURRENT, Links, Parent, _Current
from prela.core.tracer import Tracer as CoreTracer
from prela.record.enums import SpanKind, SpanType

if TYPE_CHECKING:
    from prela.aio.groups import SpanTaskGroup

TASK_NAME: Final = "prela.task.name"
TASK_ID: Final = "prela.task.id"


class AsyncSpan:
    """What `Tracer.aspan` returns: `async with` it, and the span is current inside."""

    __slots__ = ("_group", "_task_id", "span")

    def __init__(self, span: Span, group: str = "") -> None:
        self.span: Span = span
        self._group = group
        self._task_id: int | None = None

    async def __aenter__(self) -> Span:
        span = self.span
        if span.is_recording:
            _attach(span)
        span.__enter__()
        if span.is_recording:
            self._task_id = _note_task(span, self._group)
        return span

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.span.__exit__(exc_type, exc, traceback)
        if self._task_id is not None:
            try:
                task_spans.leave(self._task_id)
            except Exception as error:
                log.failed("leaving a task's span", error)


class Tracer(CoreTracer):
    """Makes spans. The process has one, `prela.get_tracer()`; while tracing is off, its spans record nothing."""

    __slots__ = ()

    def aspan(
        self,
        name: str,
        span_type: SpanType | str = SpanType.CUSTOM,
        attributes: Mapping[str, object] | None = None,
        *,
        kind: SpanKind | str | None = None,
        links: Links | None = None,
        parent: Parent | _Current = CURRENT,
    ) -> AsyncSpan:
        """Return a span to enter with `async with`. It means what `span` means, and also records the task it runs in.

        The arguments are those of `span`. Neither entering nor leaving it is a checkpoint.
        """
        return AsyncSpan(self.span(name, span_type, attributes, kind=kind, links=links, parent=parent))

    def task_group(
        self,
        name: str,
        span_type: SpanType | str = SpanType.CUSTOM,
        attributes: Mapping[str, object] | None = None,
        *,
        kind: SpanKind | str | None = None,
        links: Links | None = None,
        parent: Parent | _Current = CURRENT,
    ) -> "SpanTaskGroup":
        """Return an anyio task group inside a span: `async with tracer.task_group("fan out") as tg`.

        `tg.start_soon(func, *args, name=None)` gives each child task a span of that name, or the function's. The span
        ends when the last child has. The other arguments are those of `span`.
        """
        from prela.aio.groups import SpanTaskGroup

        return SpanTaskGroup(self, self.aspan(name, span_type, attributes, kind=kind, links=links, parent=parent))


def _attach(span: Span) -> None:
    """Let insight, where it is on, watch the loop that is running here, from before the span starts."""
    try:
        insight = span._trace.settings.insight
        if insight is not None:
            insight.attach()
    except Exception as error:
        log.failed("attaching to the loop", error)


def _note_task(span: Span, group: str) -> int | None:
    """Record the task; its id, if this is the first of our spans that it is in."""
    try:
        import anyio  # not at the top: `import prela` stays quick

        task = anyio.get_current_task()
        name, task_id = task.name or "", task.id
        span.set_attribute(TASK_NAME, name)
        span.set_attribute(TASK_ID, task_id)
        return task_id if task_spans.enter(task_id, name, span, group) else None
    except Exception as error:
        log.debug("prela: no task to record: %s", error)
        return None


tracer: Final = Tracer()
