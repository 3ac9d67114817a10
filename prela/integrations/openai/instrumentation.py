"""Takes hold of the `openai` package, once, and lets go of it."""

import os
from importlib import import_module
from threading import Lock
from types import ModuleType
from typing import Final

from prela.aio.tracer import Tracer
from prela.aio.tracer import tracer as process_tracer
from prela.core import log
from prela.core.private import distrust
from prela.integrations.importing import forget
from prela.integrations.openai.provider import OpenAI
from prela.integrations.stainless.caller import Caller
from prela.integrations.stainless.seams import Seams

VERSIONS: Final = ("2", "3")
"""The major versions of `openai` that the tests know."""

_lock = Lock()
_installed: tuple[ModuleType, Seams, Caller] | None = None

if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=lambda: globals().update(_lock=Lock()))


def instrument(tracer: Tracer | None = None, *, stream_usage: bool = False, propagate: bool = False) -> bool:
    """Trace every call of the `openai` package from now on. `prela.init()` does this by itself.

    Calling it again changes nothing but the arguments in force.

    Args:
        tracer: Makes the spans; by default the process's, which records nothing before `prela.init()`.
        stream_usage: Ask for the usage of streamed chat completions (`stream_options.include_usage`), which then end
            with one chunk more, without choices.
        propagate: Send `traceparent`, `tracestate` and `baggage` with each call: for a gateway or a model server of
            your own that goes on with the trace. Without these two the program's requests are never changed.

    Returns:
        Whether calls are traced now. They are not with a version that is not known, or whose inner parts are not as
        they were: that is logged, and the package left alone.

    Raises:
        ImportError: There is no `openai` package.
    """
    global _installed
    with _lock:
        package, module = import_module("openai"), import_module("openai._base_client")
        caller = Caller(tracer or process_tracer, OpenAI(), stream_usage=stream_usage, propagate=propagate)
        if _installed is not None and _installed[0] is module:
            _installed[2].tracer = caller.tracer
            _installed[2].stream_usage = stream_usage
            _installed[2].propagate = propagate
            return True
        seams = Seams(module, caller)
        found = str(getattr(package, "__version__", "of no version"))
        reason = _mismatch(found, seams)
        if reason is not None:
            log.warn_once(f"openai {found}", "prela: calls of openai %s are not traced: %s", found, reason)
            return False
        _let_go()
        seams.install()
        _installed = (module, seams, caller)
        # What a program validates is mostly an answer, and pydantic's errors quote what they were given.
        distrust("openai", "pydantic")
        return True


def _mismatch(version: str, seams: Seams) -> str | None:
    if version.partition(".")[0] not in VERSIONS:
        return "this version is not known"
    try:
        return seams.mismatch()
    except Exception as error:
        return f"{type(error).__name__} while looking at it: {error}"


def uninstrument() -> None:
    """Leave the `openai` package as it was. Calls under way are recorded to their end."""
    with _lock:
        forget("openai")
        _let_go()


def _let_go() -> None:
    global _installed
    if _installed is not None:
        _, seams, caller = _installed
        caller.is_active = False
        seams.restore()
        _installed = None
