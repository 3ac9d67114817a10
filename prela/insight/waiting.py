"""Where tasks and threads are right now: the stacks that a suspended task awaits through, and those of threads.

Tasks are found among the collector's objects, those of asyncio and of trio in whatever thread; nothing is asked of a
loop, which may hang. Each is matched with the span that is current in its context.
"""

import gc
import sys
from collections.abc import Iterator, Mapping
from contextvars import Context
from types import FrameType
from typing import Any, Final, NamedTuple

from prela.core.current import current_span
from prela.core.readable import ReadableSpan
from prela.core.silent import SUPPRESSION
from prela.core.span import Span
from prela.core.stand_in import meant
from prela.insight.places import place_in
from prela.insight.registry import is_open
from prela.insight.snapshot import instances, subclasses, thread_name

_MOST_STEPS: Final = 1_000
"""Of a chain of awaits that are followed; one that bites its tail ends there."""
_LOOKED_THROUGH: Final = frozenset(
    {"async_generator_asend", "async_generator_athrow", "anext_awaitable", "coroutine_wrapper"}
)
"""Types of CPython's between a frame and the one it awaits that tell nothing of that, but to the collector."""


class Waiting(NamedTuple):
    """A task that has not ended, and where it is."""

    name: str
    stack: list[str]
    """Places, outermost first; the last is where it waits, or runs."""
    runs_in: str | None
    """The thread in which it is being run at this moment; None while it is suspended."""
    awaits: str | None
    """The name of the task that it awaits, where that is all it waits for."""


class RunningThread(NamedTuple):
    """A thread, and where it is."""

    name: str
    stack: list[str]
    """Places, outermost first."""


def tasks_by_span(entered_by: Mapping[int, int]) -> dict[int, list[Waiting]]:
    """The tasks of all loops by the `id()` of the span that is current in them; 0 stands for none that is open.

    But for tasks in which nothing is traced, as in those of ours that export. `entered_by` has the `id()` of the span
    that a task has entered last, by the task's: for tasks whose code is run in another context than their own.
    """
    found: dict[int, list[Waiting]] = {}
    threads = sys._current_frames()
    for task in _tasks():
        try:
            current = _current_in(task)
            coroutine = task.get_coro() if hasattr(task, "get_coro") else task.coro
            waiting = None if current is SUPPRESSION else _waiting(task, coroutine, threads)
            if waiting is not None:
                span = _nearest_open(current)
                key = entered_by.get(id(task), 0) if span is None else id(span)
                found.setdefault(key, []).append(waiting)
        except Exception:
            continue  # it has ended meanwhile, or is no task as we know them
    return found


def threads_running() -> list[RunningThread]:
    """Every thread that runs Python, but the one that asks, and those that export."""
    here = sys._getframe()
    found = []
    for ident, frame in sys._current_frames().items():
        frames = list(_outwards(frame))
        name = thread_name(ident) or str(ident)
        if here not in frames and name != "prela" and not name.startswith("prela-"):
            found.append(RunningThread(name, [place_in(f) for f in reversed(frames)]))
    return found


def stack_of(coroutine: object) -> list[FrameType]:
    """The frames that a coroutine, or whatever else can be awaited, waits through, outermost first."""
    frames: list[FrameType] = []
    step: Any = coroutine
    for _ in range(_MOST_STEPS):
        frame, step = _inwards(step)
        if type(frame) is FrameType:
            frames.append(frame)
        if step is None:
            break
    return frames


def _inwards(step: Any) -> tuple[object, Any]:
    """The frame of something that awaits, and what it awaits; None for what there is none of."""
    for prefix, awaited in (("cr", "cr_await"), ("gi", "gi_yieldfrom"), ("ag", "ag_await")):
        frame = getattr(step, f"{prefix}_frame", None)
        if frame is not None:
            return frame, getattr(step, awaited, None)
    if type(step).__name__ in _LOOKED_THROUGH:
        for referent in gc.get_referents(step):
            if any(hasattr(referent, name) for name in ("cr_frame", "gi_frame", "ag_frame")):
                return None, referent
            if type(referent).__name__ in _LOOKED_THROUGH:
                return None, referent
    return None, None


def _waiting(task: Any, coroutine: object, threads: dict[int, FrameType]) -> Waiting | None:
    frames = stack_of(coroutine)
    if not frames:
        return None  # it has ended
    name = task.get_name() if hasattr(task, "get_name") else task.name
    for ident, innermost in threads.items():
        running = list(_outwards(innermost))
        if frames[0] in running:
            inside = running[: running.index(frames[0]) + 1]
            return Waiting(str(name), [place_in(frame) for frame in reversed(inside)], thread_name(ident), None)
    awaited = getattr(task, "_fut_waiter", None)  # asyncio's, where another task is waited for and nothing else
    awaits = None if awaited is None or not hasattr(awaited, "get_name") else str(awaited.get_name())
    return Waiting(str(name), [place_in(frame) for frame in frames], None, awaits)


def _outwards(frame: FrameType | None) -> Iterator[FrameType]:
    while frame is not None:
        yield frame
        frame = frame.f_back


def _tasks() -> list[Any]:
    """Every task that the collector knows; the classes are those of loops that were imported."""
    classes: list[type[Any]] = []
    for module, name in (("asyncio", "Task"), ("trio.lowlevel", "Task")):
        found = getattr(sys.modules.get(module), name, None)
        if isinstance(found, type):
            classes += subclasses(found)
    return [task for task in instances(classes) if not (hasattr(task, "done") and task.done())]


def _current_in(task: Any) -> Span | None:
    context = _context_of(task)
    return None if context is None else meant(context.get(current_span))


def _nearest_open(span: Span | None) -> Span | None:
    """A span, or if it has ended the nearest above it that has not."""
    found: ReadableSpan | str | None = span
    while isinstance(found, Span) and not is_open(found):
        found = getattr(found, "_parent", None)  # spans that record nothing have none
    return found if isinstance(found, Span) else None


def _context_of(task: Any) -> Context | None:
    if hasattr(task, "get_context"):  # asyncio, from 3.12 on
        return task.get_context()  # type: ignore[no-any-return]
    if hasattr(task, "context"):  # trio
        return task.context  # type: ignore[no-any-return]
    contexts = [referent for referent in gc.get_referents(task) if type(referent) is Context]
    return contexts[0] if contexts else None
