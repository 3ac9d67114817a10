"""Short cuts: the methods that a program calls most, in C, where that could be compiled.

Entering and leaving a span and setting an attribute are many small steps, which cost more in Python than the work that
they do; benchmarks/README.md has both. Nothing depends on it. What `shortcut.c` does is the most common case of a
method, as its twin in Python does it, which is called for all else, and is the place to read and to change.

It is compiled where Prela is built and there is a C compiler, and left out without one (hatch_build.py).
`PRELA_NO_EXTENSIONS=1` leaves it out of what is built; set for a program, it has it not used.
"""

import os
from collections import deque
from os.path import getmtime  # pathlib would take longer to import than all the rest
from time import monotonic_ns
from types import ModuleType
from typing import TYPE_CHECKING, Final, Literal

from prela.core.buffer import Buffer
from prela.core.current import current_span
from prela.core.ids import IdGenerator
from prela.core.local_trace import LocalTrace
from prela.core.readable import CLOSED, LEFT, ReadableSpan
from prela.core.settings import QUICK_ATTRIBUTES, QUICK_STRING, Counters, Settings
from prela.record.enums import SpanType

if TYPE_CHECKING:
    from prela.core.span import Span

NO_EXTENSIONS: Final = "PRELA_NO_EXTENSIONS"

_READ: Final[dict[type, tuple[str, ...]]] = {
    ReadableSpan: ("_token", "_details", "_trace", "_writable", "_start", "_index", "_end", "name", "span_type"),
    LocalTrace: ("settings", "buffer", "clock"),
    Settings: ("counters",),
    Counters: ("ids",),
    IdGenerator: ("indexes",),
    Buffer: ("queue", "limit"),
}
"""The slots that are read there as they lie in memory."""


def _load() -> tuple[ModuleType | None, str]:
    """The compiled module, ready for use, and a word on it; None, and why there is none."""
    if os.environ.get(NO_EXTENSIONS, "") not in {"", "0"}:
        return None, f"not in use: {NO_EXTENSIONS} is set"
    slots = {f"{owner.__name__}.{name}": vars(owner)[name] for owner, names in _READ.items() for name in names}
    try:
        from prela.core import _shortcut

        if not _is_up_to_date(_shortcut):
            return None, "not in use: compiled from other sources; install again"
        constants = (LEFT, CLOSED, QUICK_ATTRIBUTES, QUICK_STRING, monotonic_ns, deque, SpanType)
        _shortcut.begin(current_span, *constants, slots)
    except ImportError:
        return None, "not compiled; `pip install -v` says why"
    except Exception as error:  # whatever it is, programs go on without
        return None, f"not in use: {error!r}"
    return _shortcut, "in use"


def _is_up_to_date(module: ModuleType) -> bool:
    """Whether it was compiled after its source was last changed, where that lies beside it."""
    try:
        changed = getmtime(f"{__file__.removesuffix('.py')}.c")  # noqa: PTH204
    except OSError:
        return True
    return getmtime(str(module.__file__)) >= changed  # noqa: PTH204


compiled, told = _load()


def shorten(span_class: "type[Span]", kind: Literal["any", "recorded", "unsampled root", "shared"]) -> None:
    """Put the short cuts, where they are compiled, on a class of spans of this kind."""
    if compiled is not None:
        for name, method in compiled.methods(kind, span_class).items():
            setattr(span_class, f"_{name.strip('_')}_in_python", getattr(span_class, name))  # where C looks for it
            setattr(span_class, name, method)
