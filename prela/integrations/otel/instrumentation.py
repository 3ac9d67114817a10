"""Puts Prela behind the OpenTelemetry API, and takes it away again.

Two places of the API are taken: that of the provider, only while the application has set none (the environment may
choose it too, `OTEL_PYTHON_TRACER_PROVIDER=prela`); and that of the runtime context. docs/opentelemetry.md says why.
"""

import os
from threading import Lock
from typing import Any, Final

from opentelemetry import context as otel_context
from opentelemetry import trace
from opentelemetry.context.context import _RuntimeContext

from prela.aio.tracer import Tracer
from prela.aio.tracer import tracer as process_tracer
from prela.core import log
from prela.integrations.importing import complete, forget
from prela.integrations.otel.context import PrelaRuntimeContext
from prela.integrations.otel.force import force
from prela.integrations.otel.tracer import PrelaTracerProvider

_CHOSEN_PROVIDER: Final = "OTEL_PYTHON_TRACER_PROVIDER"

_provider: Final = PrelaTracerProvider(process_tracer)
_lock = Lock()

if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=lambda: globals().update(_lock=Lock()))


def instrument(tracer: Tracer | None = None) -> bool:
    """Have the spans that are started through the OpenTelemetry API be Prela's, below Prela's and above them.

    `prela.init()` does this by itself once `opentelemetry.trace` is imported. Tracers that were got before lead here
    too. A provider that the application has set stays in force, and one that it sets afterwards takes the place of
    ours.

    Args:
        tracer: Makes the spans; by default the process's, which records nothing before `prela.init()`.

    Returns:
        Whether the API leads to Prela now. It does not where the application has a provider of its own: then
        `prela.init(exporter="otel")` hands Prela's spans to that.
    """
    with _lock:
        _provider.tracer = tracer or process_tracer
        if force.is_ours:
            return True
        if force.handing_over or not _may_provide():
            log.debug("prela: the application has an OpenTelemetry provider, which stays in force")
            return False
        # Not by `set_tracer_provider`, which may be called once in a process: that call is the application's.
        trace._TRACER_PROVIDER = _provider
        return _take_up()


def _take_up() -> bool:
    """Go on from a provider that is in force."""
    force.provider = _provider
    _install_runtime_context()
    return force.is_ours


def _may_provide() -> bool:
    """Whether nobody has set a provider, nor chosen another by the environment."""
    if not hasattr(trace, "_TRACER_PROVIDER"):
        log.warn_once("otel", "prela: this version of opentelemetry-api is not known, and was left alone")
        return False
    return trace._TRACER_PROVIDER is None and os.environ.get(_CHOSEN_PROVIDER, "prela") == "prela"


def _install_runtime_context() -> None:
    current: Any = getattr(otel_context, "_RUNTIME_CONTEXT", None)
    if isinstance(current, PrelaRuntimeContext):
        return
    if isinstance(current, _RuntimeContext):
        otel_context._RUNTIME_CONTEXT = PrelaRuntimeContext(current)
    else:
        log.warn_once("otel context", "prela: OpenTelemetry's context is not as it was known; spans are not joined")


def uninstrument() -> None:
    """Have the API lead where it led before. Spans under way are recorded to their end.

    The runtime context stays where it is, for those that are still attached, and does what the one before it did.
    """
    with _lock:
        forget("opentelemetry.trace")
        if force.is_ours:
            trace._TRACER_PROVIDER = None
        force.provider = None
        force.handing_over = False


def hand_over(wanted: bool) -> None:
    """Have Prela and the application's OpenTelemetry SDK share one current span, or no longer.

    For `prela.init(exporter="otel")`, which hands that SDK our spans: each side's are then parents of the other's.
    """
    with _lock:
        force.handing_over = wanted
        if wanted:
            if force.is_ours:
                trace._TRACER_PROVIDER = None
            force.provider = None
            _install_runtime_context()


def provider() -> PrelaTracerProvider:
    """For `OTEL_PYTHON_TRACER_PROVIDER=prela`: the provider, which OpenTelemetry then puts in force by itself."""
    with _lock:
        _take_up()
    return _provider


complete(__name__)
