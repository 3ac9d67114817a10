"""Short cuts: the methods that a program calls most, in C, where that could be compiled.

Making, entering and leaving a span and setting an attribute are many small steps, which cost more in Python than the
work that they do; benchmarks/README.md has both. Nothing depends on it. What `shortcut.c` does is the most common case
of a method, as its twin in Python does it, which is called for all else, and is the place to read and to change.

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
    from prela.core.tracer import Tracer

NO_EXTENSIONS: Final = "PRELA_NO_EXTENSIONS"

_READ: Final[dict[type, tuple[str, ...]]] = {
    ReadableSpan: (
        *("name", "span_type", "_trace", "_parent", "_attributes", "_writable"),
        *("_details", "_token", "_start", "_index", "_end"),
    ),
    LocalTrace: ("settings", "buffer", "clock"),
    Settings: ("counters", "refuses_roots", "unsampled_class", "unsampled_counter"),
    Counters: ("ids",),
    IdGenerator: ("indexes",),
    Buffer: ("queue", "limit", "is_drained"),
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


compiled: ModuleType | None
told: str
"""Whether they are in use, and why not."""
compiled, told = _load()


def shorten(span_class: "type[Span]", kind: Literal["any", "recorded", "unsampled root", "shared"]) -> None:
    """Put the short cuts, where they are compiled, on a class of spans of this kind."""
    if compiled is None:
        return
    try:
        methods = compiled.methods(kind, span_class)
    except TypeError:
        return  # the classes were made anew since: a module was reloaded
    for name, method in methods.items():
        setattr(span_class, f"_{name.strip('_')}_in_python", getattr(span_class, name))  # where C looks for it
        setattr(span_class, name, method)


def shorten_tracer(tracer_class: "type[Tracer]", custom: SpanType, no_span: "Span", unsampled: "Span") -> None:
    """Put the short cut, where it is compiled, on the class of the tracer."""
    if compiled is None:
        return
    members, twin, known = vars(tracer_class), tracer_class.span, (custom, no_span, unsampled)
    # What is left out is "..." there and may be given so, for whoever calls by a signature: the text of one can hold no
    # other object.
    signature = "span($self, name, span_type=..., attributes=None, kind=None, links=None, parent=...)"
    doc = f"{signature}\n--\n\n{twin.__doc__}"
    try:
        method = compiled.begin_tracer(tracer_class, members["_settings"], members["_span_class"], *known, doc)
    except TypeError:
        return  # likewise
    setattr(tracer_class, "_span_in_python", twin)  # noqa: B010  (not typed: it is the same)
    setattr(tracer_class, "span", method)  # noqa: B010


def track(spans: "list[Span]") -> None:
    """Have the collector look again at spans that were queued, as far as anybody else holds them."""
    if compiled is not None:
        compiled.track(spans)
