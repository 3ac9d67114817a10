"""The spans that have started in this process and not ended, as they stand.

With `init(insight=True)` they are known. Without, they are found among all objects that the collector knows: nothing is
paid for it until somebody asks.
"""

import gc
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple, TypeVar

from prela.aio.tracer import TASK_NAME, tracer
from prela.core import log
from prela.core.span import Span
from prela.core.span_context import SpanContext
from prela.insight.places import place_of
from prela.insight.registry import is_open, registry
from prela.insight.span import WatchedSpan
from prela.record.enums import SpanType

T = TypeVar("T")


class OpenSpan(NamedTuple):
    """A span that had started and not ended when `open_spans` was asked."""

    context: SpanContext
    """Its ids."""
    parent_span_id: str | None
    """16 hexadecimal digits, or None for the root of a trace. The parent may have ended."""
    name: str
    span_type: SpanType | str
    service_name: str
    start_time_ns: int
    """Nanoseconds since the Unix epoch."""
    age: float
    """Seconds since then, by the clock that durations come from."""
    attributes: Mapping[str, Any]
    """What had been recorded, read-only; not put through `redact`."""
    task: str | None
    """The name of the task it is in; None where it was not started by `aspan` or a task group."""
    thread: str | None
    """The name of the thread that started it; None without `init(insight=True)`, and when that thread is gone."""
    started_at: str | None
    """Where: "file:line in function"; None without `init(insight=True)`."""


def open_spans() -> tuple[OpenSpan, ...]:
    """Return every span of this process that has started and not ended, oldest first.

    With `init(insight=True)` this costs some microseconds a span. Without, every object that the garbage collector
    knows is looked at, which holds the interpreter for 50 to 100 ms for a million objects, and nothing is paid before;
    what `gc.freeze()` hid from the collector is not found then. Never raises; callable from any thread.
    """
    try:
        return tuple(span for _, span in seen(all_open()))
    except Exception as error:
        log.failed("open_spans", error)
        return ()


def all_open() -> list[Span]:
    """The open spans themselves, in no particular order."""
    if _all_are_watched():
        return list(registry.spans())
    return [span for span in instances(subclasses(Span)) if is_open(span)]


def instances(classes: "Iterable[type[T]]") -> "list[T]":
    """Every object of exactly these classes that the collector knows."""
    wanted = frozenset(classes)
    # By `type`, and not `isinstance`, which would run the code of proxies; and all in one go, since what another thread
    # does in between must not be waited for.
    return [found for found in gc.get_objects() if type(found) in wanted]


def subclasses(base: "type[T]") -> "Iterator[type[T]]":
    """A class and all below it."""
    yield base
    for below in type.__subclasses__(base):
        yield from subclasses(below)


def _all_are_watched() -> bool:
    """Whether there is no open span but those that insight watches: none from before it was on."""
    settings = tracer._settings
    return settings is not None and settings.insight is not None and settings.insight.knows_all


def seen(spans: Iterable[Span]) -> list[tuple[Span, OpenSpan]]:
    """Spans, and what they are at one moment, oldest first; without those that are only being made."""
    moment = _Moment()
    found = [(span, one) for span in spans if (one := _seen(span, moment)) is not None]
    return sorted(found, key=lambda pair: pair[1].start_time_ns)


class _Moment(dict[Callable[[], int], int]):
    """What clocks say, each looked at once, so that no child is older than its parent."""

    def __missing__(self, clock: Callable[[], int]) -> int:
        return self.setdefault(clock, clock())


def _seen(span: Span, moment: _Moment) -> OpenSpan | None:
    try:
        trace = span._trace
        attributes = dict(span._attributes)  # one step, whoever writes to it
        task = attributes.get(TASK_NAME)
        return OpenSpan(
            context=span.context,
            parent_span_id=span.parent_span_id,
            name=str(span.name),
            span_type=span.span_type,
            service_name=trace.settings.service_name,
            start_time_ns=span.start_time_ns,
            age=max(0, moment[trace.clock] - span._start) / 1e9,
            attributes=MappingProxyType(attributes),
            task=None if task is None else str(task),
            thread=thread_name(span._thread) if isinstance(span, WatchedSpan) else None,
            started_at=place_of(span._code, span._instruction) if isinstance(span, WatchedSpan) else None,
        )
    except AttributeError:
        return None  # it is being started, or made, in another thread this very moment


def thread_name(ident: int) -> str | None:
    """The name of a thread that runs; None for one that is gone. Takes no lock, as `threading.enumerate` would."""
    threads: dict[int, threading.Thread] = dict(getattr(threading, "_active", {}))
    found = threads.get(ident)
    return None if found is None else found.name
