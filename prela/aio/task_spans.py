"""Which span a task runs in: so that a cancellation can name the span of the task that asked for it.

Loops name the task only, in the words of its repr: trio with its address, asyncio by its name alone. What is kept is
small and holds no span alive: those of tasks that are inside one, and the last few that have left theirs.
"""

from collections import deque
from typing import Final, NamedTuple

from prela.core.ids import IdGenerator
from prela.core.span import Span

_RECENT: Final = 64


class _TaskSpan(NamedTuple):
    task_id: int
    name: str
    number: int
    ids: IdGenerator


_open: dict[int, _TaskSpan] = {}
_recent: deque[_TaskSpan] = deque(maxlen=_RECENT)


def enter(task_id: int, name: str, span: Span) -> bool:
    """Note the span that a task is in; False where the task was in one of ours already."""
    ids = span._trace.settings.counters.ids
    known = _open.get(task_id)
    if known is not None and known.ids is ids:
        return False
    _open[task_id] = _TaskSpan(task_id, name, span._index, ids)
    return True


def leave(task_id: int) -> None:
    """Note that the task has left the span it was in."""
    left = _open.pop(task_id, None)
    if left is not None:
        _recent.append(left)


def span_of(name: str, task_id: int | None) -> str | None:
    """The id of the outermost span of the task of this name and, where the loop tells it, this address.

    None where no such task is known, or more than one: one of the same name may long have been forgotten, but one that
    asked for a cancellation just now has not.
    """
    known = [*_open.values(), *reversed(list(_recent))]
    found = [one for one in known if one.name == name and task_id in (None, one.task_id)]
    if task_id is not None:
        found = found[:1]  # the one that lives, or that left last
    return found[0].ids.span_id(found[0].number) if len(found) == 1 else None
