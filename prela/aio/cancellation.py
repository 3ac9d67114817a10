"""What counts as a cancellation on asyncio, trio and in thread pools, and what the runtime tells of its cause.

No loop is imported here: an exception of asyncio's or trio's can only exist in a program that has imported it.
"""

import re
import sys
from typing import Any, Final

from prela.aio.pacing import on_private_loop
from prela.core.outcome import Cancellation, explain_builtin, leaves

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

_TASK_NAME: Final = re.compile(r"<Task \w+ name='(?P<name>[^']*)'|<Task '(?P<trio>[^']*)'")

failed_groups: dict[str, str] = {}
"""The cancel scopes, as anyio names them in messages, of task groups of ours in which a child has failed, and which."""


def explain(error: BaseException) -> Cancellation | None:
    """Return what is known of a cancellation, or None for an exception that is none."""
    if isinstance(error, _class("asyncio.exceptions", "CancelledError")):
        return _explain_asyncio(error)
    if isinstance(error, _class("trio", "Cancelled")):
        return _explain_trio(error)
    if isinstance(error, _class("concurrent.futures", "CancelledError")):
        return Cancellation("explicit")
    return explain_builtin(error)


def _class(module: str, name: str) -> type | tuple[()]:
    """A class of a module, if that was imported; else something nothing is an instance of."""
    found = getattr(sys.modules.get(module), name, ())
    return found if isinstance(found, type) else ()


def _explain_asyncio(error: BaseException) -> Cancellation:
    message = error.args[0] if error.args and isinstance(error.args[0], str) else None
    if message is None:
        return Cancellation()  # asyncio's own timeout and TaskGroup say nothing, and neither does a bare cancel()
    match = _ANYIO_MESSAGE.fullmatch(message)
    if match is None:
        return Cancellation("explicit", message)
    reason, failed = match["reason"], failed_groups.get(match["scope"])
    if reason == "deadline exceeded":
        return Cancellation("deadline")
    if failed and reason is None:
        return Cancellation("sibling_failed", None, failed)
    if match["by"]:
        return Cancellation("explicit", reason, task_name(match["by"]))
    return Cancellation("unknown", reason)


def _explain_trio(error: Any) -> Cancellation:
    # anyio's task group raises one of its own, and only that one's cause knows.
    for known in (error, error.__cause__, error.__context__):
        if isinstance(known, type(error)) and getattr(known, "source", "unknown") != "unknown":
            error = known
            break
    source: str = getattr(error, "source", "unknown")  # trio 0.31 and newer
    by = getattr(error, "source_task", None)
    return Cancellation(
        _TRIO_CAUSES.get(source, "unknown"), getattr(error, "reason", None), None if by is None else task_name(str(by))
    )


def task_name(described: str) -> str:
    """The name in a task's repr, or the repr where no name is found in it."""
    match = _TASK_NAME.search(described)
    return (match["name"] or match["trio"]) if match else described


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
