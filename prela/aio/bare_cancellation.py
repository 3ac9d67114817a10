"""What can be inferred of a cancellation about which asyncio and anyio say nothing: timeouts, groups, and shutdown.

Only what is certain is said. Some of it shows at once, in who is running the loop; some only when an error leaves a
span further out, and says what the cancellation was for. By then the spans inside have ended, but are not exported yet:
what they tell is completed then.
"""

import sys
import weakref
from collections.abc import Mapping
from types import FrameType
from typing import Any, Final

from prela.aio.deadlines import deadline_handed_on, deadline_of
from prela.core.outcome import Cancellation
from prela.core.span import Span
from prela.record.causality import CANCEL_CAUSE, CANCEL_SCOPE, CANCEL_SCOPE_SPAN

_TIMEOUTS: Final = ("asyncio.timeouts", "asyncio.tasks")
_TASK_GROUPS: Final = "asyncio.taskgroups"


class _Sequel:
    """What has become known of a cancellation since a span was left by it."""

    __slots__ = ("attributes",)

    def __init__(self) -> None:
        self.attributes: dict[str, object] = {}

    def tell(self) -> Mapping[str, object]:
        return self.attributes


_sequels: dict[int, tuple[Any, _Sequel]] = {}
"""By the id() of a CancelledError that lives: a weak reference to it, and what became known since."""


def explain(error: BaseException) -> Cancellation:
    """Return what is certain of a CancelledError without a message, now or when its span is exported."""
    task, later = _current_task(), _sequel_of(error).tell
    if _is_the_only_one(error, task):
        known = _from_runner(id(task))
        if known is not None:
            return known._replace(later=later)
        if _is_given_up():
            return Cancellation("sibling_failed", later=later)
    known = None if task is None else deadline_handed_on(task)
    return known or Cancellation(later=later)


def _is_the_only_one(error: BaseException, task: Any) -> bool:
    """Whether an error can be but that which the task's one cancellation has brought: nobody else has asked for one,
    and none was being handled already, as in the cleaning up after it, where others may come of whatever."""
    seen = error.__context__
    for _ in range(100):
        if seen is None:
            break
        if isinstance(seen, type(error)):
            return False
        seen = seen.__context__
    return task is None or task.cancelling() <= 1


def passed_on(host_id: int | None) -> Cancellation:
    """Return what is certain of a cancellation that a task group hands on to its children, because its task was."""
    if host_id is None:
        return Cancellation()
    return _from_runner(host_id) or deadline_of(host_id) or Cancellation()


def by_nobody(scope: str) -> Cancellation:
    """Return what is certain when a scope of anyio's was cancelled by no task; `scope`: its `id()`, as anyio writes it.

    anyio's task group does that when a child has failed, as its task is done by then; so may any callback of the loop.
    """
    found = _anyio_scope(scope)
    inner = [getattr(child, "_host_task", None) for child in getattr(found, "_child_scopes", ())]
    for task in [*getattr(found, "_tasks", ()), *inner]:
        group = _anyio_group(task)
        if group is not None and group.cancel_scope is found:
            failures = [error for error in group._exceptions if not _came_of(error, scope)]
            return Cancellation("sibling_failed") if failures else Cancellation()
    return Cancellation()


def settle(error: BaseException, span: Span) -> None:
    """An error leaves a span: if asyncio raised it in the place of a CancelledError, say so on the spans inside."""
    module = _raised_in(error)
    if module in _TIMEOUTS and isinstance(error, TimeoutError):
        found = _known_sequel(error.__cause__) or _known_sequel(error.__context__)
        if found is not None:
            known: dict[str, object] = {
                CANCEL_CAUSE: "deadline",
                CANCEL_SCOPE: str(span.name),
                CANCEL_SCOPE_SPAN: span.span_id,
            }
            found.attributes = found.attributes or known
    elif module == _TASK_GROUPS and isinstance(error, BaseExceptionGroup) and _is_uncancelled():
        found = _known_sequel(error.__context__)
        if found is not None:
            found.attributes = found.attributes or {CANCEL_CAUSE: "sibling_failed"}


def _sequel_of(error: BaseException) -> _Sequel:
    known = _known_sequel(error)
    if known is None:
        key, known = id(error), _Sequel()
        _sequels[key] = (weakref.ref(error, lambda _: _sequels.pop(key, None)), known)
    return known


def _known_sequel(error: BaseException | None) -> _Sequel | None:
    reference, sequel = _sequels.get(id(error), (None, None))
    return sequel if reference is not None and reference() is error else None


def _raised_in(error: BaseException) -> str:
    """The module whose code raised an exception."""
    traceback = error.__traceback__
    while traceback is not None and traceback.tb_next is not None:
        traceback = traceback.tb_next
    return "" if traceback is None else str(traceback.tb_frame.f_globals.get("__name__"))


def _is_uncancelled() -> bool:
    """Whether nobody but the group that has just ended had asked for this task's cancellation."""
    task = _current_task()
    return task is not None and task.cancelling() == 0


def _current_task() -> Any:
    try:
        return sys.modules["asyncio"].current_task()
    except (RuntimeError, KeyError):  # no loop runs here
        return None


def _from_runner(task_id: int) -> Cancellation | None:
    """What `asyncio.Runner` has done to a task, if it did: it cancels all at its end, and the first at an interrupt.

    It stands at the bottom of the stack while a task runs.
    """
    runners = sys.modules.get("asyncio.runners")
    end = getattr(getattr(runners, "_cancel_all_tasks", None), "__code__", None)
    run = getattr(getattr(getattr(runners, "Runner", None), "run", None), "__code__", None)
    frame: FrameType | None = sys._getframe()
    while frame is not None:
        if frame.f_code is end:
            cancelled = frame.f_locals.get("to_cancel") or ()  # what was started since is not among them
            return Cancellation("shutdown") if any(id(task) == task_id for task in cancelled) else None
        if frame.f_code is run:
            return _interrupted(frame.f_locals, task_id)
        frame = frame.f_back
    return None


def _interrupted(running: Mapping[str, Any], task_id: int) -> Cancellation | None:
    """Whether the runner has cancelled the task of this id because of an interrupt."""
    if id(running.get("task")) == task_id and getattr(running.get("self"), "_interrupt_count", None):
        return Cancellation("explicit", "KeyboardInterrupt")
    return None


def _anyio_scope(name: str) -> Any:
    """The cancel scope of that name around the current task."""
    states = getattr(sys.modules.get("anyio._backends._asyncio"), "_task_states", {})
    task = _current_task()
    scope = None if task is None else getattr(states.get(task), "cancel_scope", None)
    while scope is not None and f"{id(scope):x}" != name:
        scope = getattr(scope, "_parent_scope", None)
    return scope


def _anyio_group(task: Any) -> Any:
    """anyio's task group that a task is a child of: the one that is told when it is done."""
    kind = getattr(sys.modules.get("anyio._backends._asyncio"), "TaskGroup", ())
    for entry in getattr(task, "_callbacks", None) or ():
        for cell in getattr(entry[0] if isinstance(entry, tuple) else entry, "__closure__", None) or ():
            try:
                if isinstance(cell.cell_contents, kind):
                    return cell.cell_contents
            except ValueError:  # it is empty
                pass
    return None


def _came_of(error: BaseException, scope: str) -> bool:
    """Whether an error was raised while a cancellation by that scope was handled: the effect, not the cause."""
    message = f"Cancelled via cancel scope {scope}"
    seen: BaseException | None = error
    for _ in range(100):
        if seen is None or seen.args == (message,):
            return seen is not None
        seen = seen.__context__
    return False


def _is_given_up() -> bool:
    """Whether this task is a child of an `asyncio.TaskGroup` that gave its children up because one had failed."""
    kind = getattr(sys.modules.get("asyncio"), "TaskGroup", ())
    for entry in getattr(_current_task(), "_callbacks", None) or ():
        owner: Any = getattr(entry[0] if isinstance(entry, tuple) else entry, "__self__", None)
        if isinstance(owner, kind) and getattr(owner, "_aborting", None) and getattr(owner, "_errors", None):
            return True
    return False
