"""Which span a task runs in: so that a cancellation can name the span of the task that asked for it.

Loops name the task only, in the words of its repr: trio with its address, asyncio by its name alone. What is kept is
small and holds no span alive: those of tasks that are inside one, and the last few that have left theirs.
"""

from collections import deque
from time import monotonic
from typing import Final, NamedTuple

from prela.core.ids import IdGenerator
from prela.core.span import Span

_RECENT: Final = 64
_RECENTLY: Final = 1.0
"""Seconds. What asked for a cancellation that is only just being felt had not left its span longer ago."""


class _TaskSpan(NamedTuple):
    task_id: int
    name: str
    group: str
    """The id of the span of the group that the task is a child of; empty for others."""
    number: int
    ids: IdGenerator


_open: dict[int, _TaskSpan] = {}
_recent: deque[tuple[float, _TaskSpan]] = deque(maxlen=_RECENT)


def enter(task_id: int, name: str, span: Span, group: str) -> bool:
    """Note the span that a task is in; False where the task was in one of ours already."""
    ids = span._trace.settings.counters.ids
    known = _open.get(task_id)
    if known is not None and known.ids is ids:
        return False
    _open[task_id] = _TaskSpan(task_id, name, group, span._index, ids)
    return True


def leave(task_id: int) -> None:
    """Note that the task has left the span it was in."""
    left = _open.pop(task_id, None)
    if left is not None:
        _recent.append((monotonic(), left))


def span_of(name: str, *, task_id: int | None = None, group: str = "") -> str | None:
    """The id of the outermost span of a task that is running, or was just now; None where it is not certain which.

    Args:
        name: The task's.
        task_id: Its address, where the loop tells it.
        group: The span id of the group that it cancelled: of several tasks of a name, one of its children is meant.
    """
    since = monotonic() - _RECENTLY
    known = [*_open.values(), *(one for left, one in reversed(list(_recent)) if left >= since)]
    found = [one for one in known if one.name == name and task_id in (None, one.task_id)]
    if task_id is not None:
        found = found[:1]  # the one that lives, or that left last
    elif len(found) > 1:
        found = [one for one in found if group and one.group == group]
    return found[0].ids.span_id(found[0].number) if len(found) == 1 else None
