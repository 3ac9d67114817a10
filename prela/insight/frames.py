"""Where code is: frames become lines such as "app.py:12 in handler", without those of event loops and of Prela.

Nothing is read from disk and nothing is kept: a frame is turned into text at once, in whichever thread.
"""

from types import FrameType
from typing import Any, Final

_MACHINERY: Final = frozenset({"asyncio", "anyio", "trio", "uvloop", "outcome", "prela"})
"""Packages that pass control on: what holds a loop or waits is on either side of them."""
_LOOPS: Final = frozenset({"_run", "_run_once", "run_forever", "run_until_complete", "run", "unrolled_run"})
"""Functions of these that run steps: what is outside of them is the same for every step."""
_DEEPEST: Final = 200
MOST_FRAMES: Final = 20


def place_of(frame: FrameType) -> str:
    """The line that a frame is at."""
    code = frame.f_code
    return f"{code.co_filename}:{frame.f_lineno} in {code.co_qualname}"


def stack_of(frame: FrameType | None) -> list[str]:
    """The lines that a step of a loop is at, innermost first."""
    found: list[str] = []
    for _ in range(_DEEPEST):
        if frame is None or len(found) == MOST_FRAMES:
            break
        if not _is_machinery(frame):
            found.append(place_of(frame))
        elif frame.f_code.co_name in _LOOPS:
            break
        frame = frame.f_back
    return found


def own_place(frame: FrameType | None) -> str | None:
    """The innermost line that is the program's own."""
    while frame is not None and _is_machinery(frame):
        frame = frame.f_back
    return None if frame is None else place_of(frame)


def place_of_await(awaitable: Any) -> str | None:
    """The innermost line of the program's own that a suspended coroutine waits at; None for one that has ended."""
    found = None
    for _ in range(_DEEPEST):
        frame = _frame_of(awaitable)
        if frame is None:
            break
        if not _is_machinery(frame):
            found = frame
        awaitable = _awaited_by(awaitable)
    return None if found is None else place_of(found)


def _frame_of(awaitable: Any) -> FrameType | None:
    for name in ("cr_frame", "gi_frame", "ag_frame"):
        frame = getattr(awaitable, name, None)
        if isinstance(frame, FrameType):
            return frame
    return None


def _awaited_by(awaitable: Any) -> Any:
    for name in ("cr_await", "gi_yieldfrom", "ag_await"):
        if hasattr(awaitable, name):
            return getattr(awaitable, name)
    return None


def _is_machinery(frame: FrameType) -> bool:
    name = frame.f_globals.get("__name__")
    return isinstance(name, str) and name.partition(".")[0] in _MACHINERY
