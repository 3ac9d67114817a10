"""asyncio's own timeouts: inside which span each was set, and which task it has cancelled.

`asyncio.timeout` says nothing of itself in the cancellation that it makes. Who can see its methods begin (`insight`,
from CPython 3.12) tells of them here; without that, nothing is known.
"""

from collections.abc import Iterator
from typing import Any, Final
from weakref import WeakKeyDictionary, ref

from prela.core.outcome import Cancellation
from prela.core.span import Span

_MOST_LEVELS: Final = 50
"""Tasks that wait for each other, up to which it is looked whose deadline it was."""

_set_in: Final[WeakKeyDictionary[Any, Span]] = WeakKeyDictionary()
"""By the timeout."""
_expired: Final[dict[int, list[ref[Any]]]] = {}
"""The timeouts that have expired and still exist, in that order, by the `id()` of the task that each has cancelled."""


def entered(timeout: Any, span: Any) -> None:
    """A timeout is set, while this span is current."""
    if isinstance(span, Span):
        _set_in[timeout] = span


def expired(timeout: Any) -> None:
    """A timeout is about to cancel its task."""
    key = id(timeout._task)

    def forget(gone: ref[Any]) -> None:
        left = _expired.get(key, [])
        if gone in left:
            left.remove(gone)
        if not left:
            _expired.pop(key, None)

    _expired.setdefault(key, []).append(ref(timeout, forget))


def deadline_of(task_id: int) -> Cancellation | None:
    """What a task was cancelled by, if that can only be a timeout of its own; by the task's `id()`."""
    found = [timeout for timeout in _timeouts(task_id) if timeout._state.name == "EXPIRING"]
    if not found or found[0]._task.cancelling() > min(timeout._cancelling for timeout in found) + len(found):
        return None  # somebody else has cancelled it, too
    span = _set_in.get(found[0])
    if span is None:
        return Cancellation("deadline")
    return Cancellation("deadline", scope=str(span.name), scope_span=span.span_id)


def deadline_handed_on(task: Any, levels: int = _MOST_LEVELS) -> Cancellation | None:
    """The same, for a task that was cancelled because one that waits for it was."""
    known = deadline_of(id(task))
    if known is not None or levels == 0 or task.cancelling() != 1:
        return known  # not cancelled but told of another's cancellation; or by two, of whom one may be somebody else
    for waiting in _waiting_for(task):
        known = deadline_handed_on(waiting, levels - 1)
        if known is not None:
            return known
    return None


def _timeouts(task_id: int) -> Iterator[Any]:
    for reference in list(_expired.get(task_id, ())):
        timeout = reference()
        if timeout is not None and id(timeout._task) == task_id:
            yield timeout


def _waiting_for(future: Any) -> Iterator[Any]:
    """The tasks that await a task or future, by themselves, in `gather`, or at the end of a TaskGroup.

    asyncio keeps them only in what is called when the future is done.
    """
    for entry in getattr(future, "_callbacks", None) or ():
        callback = entry[0] if isinstance(entry, tuple) else entry
        owner: Any = getattr(callback, "__self__", None)
        if getattr(owner, "_fut_waiter", None) is future:
            yield owner
        elif getattr(owner, "_aborting", False) and not getattr(owner, "_errors", True):
            yield owner._parent_task  # a TaskGroup in which nothing has failed: what it was waiting in was cancelled
        elif getattr(callback, "__module__", None) == "asyncio.tasks" and callback.__closure__ is not None:
            cells = dict(zip(callback.__code__.co_freevars, callback.__closure__, strict=True))
            if "outer" in cells and "children" in cells:
                yield from _waiting_for(cells["outer"].cell_contents)
