"""The tree of everything in flight as text: ages, and where each task and thread is at this moment.

For a program that hangs: bounded in size, without a lock of ours, and nothing of it raises.
"""

import os
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Final, TextIO

from prela.aio.tracer import TASK_ID
from prela.core import log
from prela.core.context import suppress
from prela.core.span import Span
from prela.insight.snapshot import OpenSpan, all_open, seen
from prela.insight.waiting import Waiting, tasks_by_span, threads_running
from prela.record.model import SpanRecord
from prela.record.text import branches, format_duration, one_line
from prela.record.tree import forest

_MOST_SPANS: Final = 1_000
_MOST_TASKS: Final = 4
"""Printed below one span."""
_MOST_THREADS: Final = 16
_OUTER_FRAMES: Final = 2
_INNER_FRAMES: Final = 10
"""What is printed of a stack: so many from its outer end, and so many from where it stands."""


def dump_open_spans(file: TextIO | None = None) -> None:
    """Print the tree of all open spans, with their ages, and where each task and thread is right now.

    At most 1,000 spans, the oldest, are printed, and of each stack its ends. Neither attributes nor values are.

    Args:
        file: Where to; stderr by default. Whatever goes wrong, nothing is raised.
    """
    try:
        stream = file if file is not None else sys.stderr
        if stream is None:
            return
        encoding = getattr(stream, "encoding", None) or "utf-8"
        text = dump(ascii_only="utf" not in encoding.lower()).encode(encoding, "backslashreplace")
        if file is not None or not _write_to_descriptor(stream, text):
            with suppress():  # not before: it would take the place of the span that is current in the task that asks
                stream.write(text.decode(encoding))
                stream.flush()
    except Exception as error:
        log.failed("dump_open_spans", error)


def dump(*, ascii_only: bool = False) -> str:
    """What `dump_open_spans` prints."""
    return "\n".join(_lines(ascii_only)) + "\n"


def _lines(ascii_only: bool) -> Iterator[str]:
    found = seen(all_open())
    now = datetime.now(UTC).isoformat(timespec="milliseconds")
    yield f"prela: {len(found)} open span{'' if len(found) == 1 else 's'} in process {os.getpid()} at {now}"
    tasks = tasks_by_span(_entered_by(found))
    yield from _tree(found[:_MOST_SPANS], tasks, ascii_only)
    if len(found) > _MOST_SPANS:
        yield f"... and {len(found) - _MOST_SPANS} younger spans"
    if tasks.get(0):
        yield f"tasks outside any open span: {len(tasks[0])}"
    threads = threads_running()
    for thread in threads[:_MOST_THREADS]:
        yield f"thread {one_line(thread.name)!r}:"
        yield from _stack(thread.stack, "  ")
    if len(threads) > _MOST_THREADS:
        yield f"... and {len(threads) - _MOST_THREADS} threads"
    yield "prela: end of the dump"


def _entered_by(found: list[tuple[Span, OpenSpan]]) -> dict[int, int]:
    """The youngest span of each task that `aspan` told its task of."""
    return {task: id(span) for span, told in found if type(task := told.attributes.get(TASK_ID)) is int}


def _tree(found: list[tuple[Span, OpenSpan]], tasks: dict[int, list[Waiting]], ascii_only: bool) -> Iterator[str]:
    by_ids = {(told.context.trace_id, told.context.span_id): (id(span), told) for span, told in found}
    for root in forest([_record(span) for _, span in found]):
        for branch, node in branches(root, ascii_only=ascii_only):
            key, span = by_ids[node.record.trace_id, node.record.span_id]
            yield branch + _line(span, is_root=node is root)
            below = _below(branch, has_children=bool(node.children), ascii_only=ascii_only)
            waiting = tasks.get(key, [])
            for task in waiting[:_MOST_TASKS]:
                yield below + _heading(task)
                yield from _stack(task.stack, below + "  ")
            if len(waiting) > _MOST_TASKS:
                yield f"{below}... and {len(waiting) - _MOST_TASKS} tasks"


def _below(branch: str, *, has_children: bool, ascii_only: bool) -> str:
    """What stands at the left of what is said of a span, below its line: the tree goes on there."""
    pipe, forks = ("|", "|- ") if ascii_only else ("│", "├─ ")
    before = branch[:-3] + (f"{pipe}  " if branch.endswith(forks) else "   " * bool(branch))
    return before + (f"{pipe} " if has_children else "  ")


def _line(span: OpenSpan, *, is_root: bool) -> str:
    kind = "" if span.span_type == "custom" else f" [{one_line(str(span.span_type))}]"
    parts = [f"{one_line(span.name)}{kind}  {format_duration(span.age)}"]
    if span.task is not None:
        parts.append(f"task {one_line(span.task)!r}")
    if span.thread is not None:
        parts.append(f"thread {one_line(span.thread)!r}")
    if span.started_at is not None:
        parts.append(f"started at {one_line(span.started_at)}")
    if is_root:
        parts.append(f"trace {span.context.trace_id}")
    return "  ".join(parts)


def _heading(task: Waiting) -> str:
    name = one_line(task.name)
    if task.runs_in is not None:
        return f"task {name!r} runs in thread {one_line(task.runs_in)!r}:"
    return f"task {name!r} waits" + (":" if task.awaits is None else f" for task {one_line(task.awaits)!r}:")


def _stack(places: list[str], indent: str) -> Iterator[str]:
    left_out = len(places) - _OUTER_FRAMES - _INNER_FRAMES
    for number, place in enumerate(places):
        if left_out > 1 and _OUTER_FRAMES <= number < _OUTER_FRAMES + left_out:
            if number == _OUTER_FRAMES:
                yield f"{indent}... {left_out} more"
            continue
        yield indent + one_line(place, 400)


def _record(span: OpenSpan) -> SpanRecord:
    """As much of a record as a tree is made of."""
    return SpanRecord(
        trace_id=span.context.trace_id,
        span_id=span.context.span_id,
        parent_span_id=span.parent_span_id,
        name=span.name,
        span_type=str(span.span_type),
        status="pending",
        status_message=None,
        start_time_unix_nano=span.start_time_ns,
        end_time_unix_nano=None,
        attributes={},
        events=(),
        links=(),
        service_name=span.service_name,
        resource={},
    )


def _write_to_descriptor(stream: TextIO, data: bytes) -> bool:
    """Write past the stream's own buffer and its lock, which a thread that hangs may hold; whether it could be."""
    try:
        descriptor = stream.fileno()
    except (OSError, ValueError, AttributeError):
        return False
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]
    return True
