"""What counts as a cancellation on asyncio, trio and in thread pools, and what the runtime tells of its cause.

No loop is imported here: an exception of asyncio's or trio's can only exist in a program that has imported it.
"""

import re
import sys
from collections.abc import Callable
from typing import Any, Final, NamedTuple

from prela.aio import bare_cancellation, task_spans
from prela.aio.pacing import on_private_loop
from prela.core import log
from prela.core.outcome import Cancellation, explain_builtin, leaves
from prela.core.span import Span

_TRIO_CAUSES: Final = {
    "deadline": "deadline",
    "explicit": "explicit",
    "nursery": "sibling_failed",
    "shutdown": "shutdown",
    "KeyboardInterrupt": "explicit",
}

_ANYIO_MESSAGE: Final = re.compile(
    r"Cancelled via cancel scope (?P<scope>[0-9a-f]+)(?: by (?P<by>.+?))?(?:; reason: (?P<reason>.*))?", re.DOTALL
)
"""What anyio gives asyncio as the message of a cancellation (4.x, `_backends/_asyncio.py`)."""

_ASYNCIO_TASK: Final = re.compile(r"<Task \w+ name=(?P<quote>['\"])(?P<name>.*?)(?P=quote)", re.DOTALL)
_TRIO_TASK: Final = re.compile(r"<Task (?P<quote>['\"])(?P<name>.*)(?P=quote) at (?P<id>0x[0-9a-f]+)>", re.DOTALL)

_INTERRUPTED: Final = " raised exception KeyboardInterrupt("
"""What trio gives as the reason where Ctrl-C came in a nursery's body (0.31, `_core/_run.py`)."""


class Failure(NamedTuple):
    """The child of a group that failed first, or its body."""

    name: str
    span_id: str


class GroupFacts:
    """What the cancellations of a task group of ours can be explained from."""

    __slots__ = ("failure", "host_id", "host_name", "is_joining", "passed_on", "span")

    def __init__(self, span: Span, host_id: int | None, host_name: str | None) -> None:
        self.span: Span = span
        self.host_id: int | None = host_id
        self.host_name: str | None = host_name
        self.failure: Failure | None = None
        self.is_joining: bool = False
        """Whether its body has ended: what its task cancels then, it cancels because it was cancelled itself."""
        self.passed_on: Cancellation | None = None
        """The cancellation that the body was left by."""


open_groups: dict[str, GroupFacts] = {}
"""The task groups of ours, by their cancel scopes as anyio names them in messages to asyncio."""

failed_tasks: dict[int, Failure] = {}
"""What failed in them first, by the task it failed in, as trio names it."""


def explain(error: BaseException) -> Cancellation | None:
    """Return what is known of a cancellation, or None for an exception that is none."""
    if isinstance(error, _class("asyncio.exceptions", "CancelledError")):
        return _known(_explain_asyncio, error)
    if isinstance(error, _class("trio", "Cancelled")):
        return _known(_explain_trio, error)
    if isinstance(error, _class("concurrent.futures", "CancelledError")):
        return Cancellation("explicit")
    return explain_builtin(error)


def _known(explain: Callable[[Any], Cancellation], error: BaseException) -> Cancellation:
    """What is known; a cancellation stays one where the insides of a loop are not what they were."""
    try:
        return explain(error)
    except Exception as broken:
        log.failed("finding the cause of a cancellation", broken)
        return Cancellation()


def _class(module: str, name: str) -> type | tuple[()]:
    """A class of a module, if that was imported; else something nothing is an instance of."""
    found = getattr(sys.modules.get(module), name, ())
    return found if isinstance(found, type) else ()


def _explain_asyncio(error: BaseException) -> Cancellation:
    message = error.args[0] if error.args and isinstance(error.args[0], str) else None
    if message is None:
        return bare_cancellation.explain(error)
    match = _ANYIO_MESSAGE.fullmatch(message)
    if match is None:
        return Cancellation("explicit", message)
    reason, group = match["reason"], open_groups.get(match["scope"])
    if reason == "deadline exceeded":
        return Cancellation("deadline") if group is None else _by_own_deadline(group)
    if group is not None and group.failure is not None and reason is None:
        return Cancellation("sibling_failed", None, *group.failure)
    if not match["by"]:
        return bare_cancellation.by_nobody(match["scope"]) if reason is None else Cancellation("unknown", reason)
    by = task_name(match["by"])
    if group is not None and group.is_joining and by == group.host_name:
        return group.passed_on or bare_cancellation.passed_on(group.host_id)
    return Cancellation(
        "explicit", reason, by, task_spans.span_of(by, group="" if group is None else group.span.span_id)
    )


def _by_own_deadline(group: GroupFacts) -> Cancellation:
    return Cancellation("deadline", scope=group.span.name, scope_span=group.span.span_id)


def _explain_trio(error: Any) -> Cancellation:
    known = _in_force() or _one_that_knows(error)
    source: str = getattr(known, "source", "unknown")  # trio 0.31 and newer
    cause, reason = _TRIO_CAUSES.get(source, "unknown"), getattr(known, "reason", None)
    if source == "KeyboardInterrupt":
        return Cancellation(cause, reason or source)
    if source == "nursery" and _INTERRUPTED in (reason or ""):
        return Cancellation("explicit", "KeyboardInterrupt")  # nobody failed
    described = getattr(known, "source_task", None)
    if described is None:
        return Cancellation(cause, reason)
    match = _TRIO_TASK.fullmatch(described)
    if match is None:
        return Cancellation(cause, reason, described)
    name, task_id = match["name"], int(match["id"], 16)
    if cause == "sibling_failed" and task_id in failed_tasks:
        return Cancellation(cause, reason, *failed_tasks[task_id])
    return Cancellation(cause, reason, name, task_spans.span_of(name, task_id=task_id))


def _in_force() -> Any:
    """What trio has noted of the cancellation that is in force in this task, where it lets that be seen.

    The exception itself tells of the scope it was raised for. That may be one further in, which has let it through
    since the task is cancelled from outside as well: as that of a `sleep` which was over in the same moment.
    """
    try:
        status = sys.modules["trio"].lowlevel.current_task()._cancel_status
        return status._scope._cancel_reason if status.effectively_cancelled else None
    except (AttributeError, RuntimeError):
        return None


def _one_that_knows(error: Any) -> Any:
    """The exception that trio raised, for one that anyio's task group has raised from it, or from a group of them."""
    for known in (error, error.__cause__, error.__context__):
        for one, _ in leaves(known) if isinstance(known, BaseExceptionGroup) else [(known, "")]:
            if isinstance(one, type(error)) and getattr(one, "source", "unknown") != "unknown":
                return one
    return error


def task_name(described: str) -> str:
    """The name in a task's repr, or the repr where no name is found in it."""
    match = _ASYNCIO_TASK.match(described) or _TRIO_TASK.match(described)
    return match["name"] if match else described


def is_being_cancelled(error: BaseException) -> bool:
    """Whether what was just caught is a cancellation that was meant for this task.

    On asyncio anybody can raise a CancelledError; one that was asked for is counted by the task. On trio only trio can.
    """
    from prela.aio.waking import is_asyncio  # it imports anyio, which `import prela` does not

    if not is_asyncio():
        cancelled = _class("trio", "Cancelled")
        found = [leaf for leaf, _ in leaves(error)] if isinstance(error, BaseExceptionGroup) else [error]
        return any(isinstance(leaf, cancelled) for leaf in found)
    import asyncio

    task = asyncio.current_task()
    if task is None:
        return True
    if task.cancelling() and on_private_loop.get():
        task.uncancel()  # nobody but the exporter itself can have done that there: what is ours is a scope's
        return False
    return task.cancelling() > 0
