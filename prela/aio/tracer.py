"""The public tracer: that of `core`, and what needs a task to make sense.

`tracer` is the one of this process; it records nothing until `init()` or `open_tracer()` configures it.
"""

from collections.abc import Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Final

from prela.core import log
from prela.core.span import Span
from prela.core.tracer import _INTERNAL, CURRENT, Links, Parent, _Current
from prela.core.tracer import Tracer as CoreTracer
from prela.record.enums import SpanKind, SpanType

if TYPE_CHECKING:
    from prela.aio.groups import SpanTaskGroup

TASK_NAME: Final = "prela.task.name"
TASK_ID: Final = "prela.task.id"


class AsyncSpan:
    """What `Tracer.aspan` returns: `async with` it, and the span is current inside."""

    __slots__ = ("_span",)

    def __init__(self, span: Span) -> None:
        self._span = span

    async def __aenter__(self) -> Span:
        span = self._span
        if span.is_recording:
            _attach(span)
        span.__enter__()
        if span.is_recording:
            _note_task(span)
        return span

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._span.__exit__(exc_type, exc, traceback)


class Tracer(CoreTracer):
    """Makes spans. The process has one, `prela.get_tracer()`; while tracing is off, its spans record nothing."""

    __slots__ = ()

    def aspan(
        self,
        name: str,
        span_type: SpanType | str = SpanType.CUSTOM,
        attributes: Mapping[str, object] | None = None,
        *,
        kind: SpanKind | str = _INTERNAL,
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
        kind: SpanKind | str = _INTERNAL,
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


def _note_task(span: Span) -> None:
    try:
        import anyio  # not at the top: `import prela` stays quick

        task = anyio.get_current_task()
        span.set_attribute(TASK_NAME, task.name or "")
        span.set_attribute(TASK_ID, task.id)
    except Exception as error:
        log.debug("prela: no task to record: %s", error)


tracer: Final = Tracer()
