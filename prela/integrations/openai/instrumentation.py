"""Takes hold of the `openai` package, once, and lets go of it."""

from importlib import import_module
from importlib.metadata import version
from threading import Lock
from typing import Final

from prela.aio.tracer import Tracer
from prela.aio.tracer import tracer as process_tracer
from prela.core import log
from prela.integrations.openai.provider import OpenAI
from prela.integrations.stainless.call import Caller
from prela.integrations.stainless.seams import Seams

VERSIONS: Final = ("2", "3")
"""The major versions of `openai` that the tests know."""

_lock = Lock()
_installed: tuple[Seams, Caller] | None = None


def instrument(tracer: Tracer | None = None, *, stream_usage: bool = False) -> bool:
    """Trace every call of the `openai` package from now on. `prela.init()` does this by itself.

    Calling it again changes nothing but the arguments in force.

    Args:
        tracer: Makes the spans; by default the process's, which records nothing before `prela.init()`.
        stream_usage: Ask for the usage of streamed chat completions (`stream_options.include_usage`), which then end
            with one chunk more, without choices. Otherwise the program's requests are never changed.

    Returns:
        Whether calls are traced now. They are not with a version that is not known, or whose inner parts are not as
        they were: that is logged, and the package left alone.

    Raises:
        ImportError: There is no `openai` package.
    """
    global _installed
    with _lock:
        caller = Caller(tracer or process_tracer, OpenAI(), stream_usage=stream_usage)
        if _installed is not None:
            _installed[1].tracer = caller.tracer
            _installed[1].stream_usage = stream_usage
            return True
        seams = Seams(import_module("openai._base_client"), caller)
        found = version("openai")
        reason = seams.mismatch() if found.partition(".")[0] in VERSIONS else "this version is not known"
        if reason is not None:
            log.warn_once("openai", "prela: calls of openai %s are not traced: %s", found, reason)
            return False
        seams.install()
        _installed = (seams, caller)
        return True


def uninstrument() -> None:
    """Leave the `openai` package as it was. Calls under way are recorded to their end."""
    global _installed
    with _lock:
        if _installed is not None:
            seams, caller = _installed
            caller.is_active = False
            seams.restore()
            _installed = None
