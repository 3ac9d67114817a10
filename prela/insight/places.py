"""Places in the code, as "file:line in function"."""

from pathlib import Path
from types import CodeType, FrameType
from typing import Final

_PACKAGE: Final = Path(__file__).parent.parent
OWN_FILES: Final[frozenset[str]] = frozenset(
    str(path) for part in ("aio", "core", "integrations") for path in (_PACKAGE / part).rglob("*.py")
)
"""Of ours that start spans for others: what is asked for is who told them to."""


def place_of(code: CodeType, instruction: int) -> str:
    """The place of an instruction, given as a frame's `f_lasti`."""
    line = code.co_firstlineno
    for begin, end, number in code.co_lines():
        if begin <= instruction < end and number is not None:
            line = number
    return _told(code, line)


def place_in(frame: FrameType) -> str:
    """The place where a frame is."""
    return _told(frame.f_code, frame.f_lineno)


def _told(code: CodeType, line: int | None) -> str:
    return f"{code.co_filename}:{line or code.co_firstlineno} in {code.co_qualname}"
