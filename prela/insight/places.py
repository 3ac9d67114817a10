"""Places in the code, as "file:line in function"."""

from types import CodeType, FrameType


def place_of(code: CodeType, instruction: int) -> str:
    """The place of an instruction, given as a frame's `f_lasti`."""
    line = code.co_firstlineno
    for begin, end, number in code.co_lines():
        if begin <= instruction < end and number is not None:
            line = number
    return f"{code.co_filename}:{line} in {code.co_qualname}"


def place_in(frame: FrameType) -> str:
    """The place where a frame is."""
    code = frame.f_code
    return f"{code.co_filename}:{frame.f_lineno} in {code.co_qualname}"
