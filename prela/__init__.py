"""Prela: the tracing framework for Python programs that do many things at once.

    import prela

    prela.init(service_name="my-agent")
    tracer = prela.get_tracer()

    with tracer.span("answer", prela.SpanType.AGENT) as span:
        span.set_attribute("question", "why?")

Spans go to a file in `./traces` unless told otherwise; `prela show` prints it as a tree.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from prela import aio, sync
    from prela.aio.exporter import Exporter, PartialExportError, RetryableExportError
    from prela.aio.tracer import Tracer
    from prela.core.context import (
        baggage,
        copy_context_to_thread,
        get_baggage,
        get_current_span,
        propagate_attributes,
        suppress,
        use_span,
    )
    from prela.core.processes import copy_context_to_process
    from prela.core.propagation import RemoteContext, attach, environment, extract, inject
    from prela.core.sampler import (
        AlwaysOff,
        AlwaysOn,
        ParentBased,
        RateLimiting,
        Sampler,
        SamplingRequest,
        TraceIdRatio,
    )
    from prela.core.settings import Limits
    from prela.core.span import Span
    from prela.core.span_context import Event, Link, SpanContext
    from prela.core.spool import Spool
    from prela.core.statistics import ExporterStatistics, Statistics
    from prela.core.tail import TailSampling
    from prela.insight.dump import dump_open_spans
    from prela.insight.snapshot import OpenSpan, open_spans
    from prela.lifecycle import flush, get_tracer, init, shutdown, statistics, trace
    from prela.record.enums import SpanKind, SpanStatus, SpanType
    from prela.record.model import SpanEvent, SpanLink, SpanRecord
    from prela.variables import ConfigurationError

__version__ = "0.1.0"

# Where each name is found when it is first asked for: `import prela` itself imports nothing.
_WHERE = {
    "AlwaysOff": "prela.core.sampler",
    "AlwaysOn": "prela.core.sampler",
    "ConfigurationError": "prela.variables",
    "Event": "prela.core.span_context",
    "Exporter": "prela.aio.exporter",
    "ExporterStatistics": "prela.core.statistics",
    "Limits": "prela.core.settings",
    "Link": "prela.core.span_context",
    "OpenSpan": "prela.insight.snapshot",
    "ParentBased": "prela.core.sampler",
    "RateLimiting": "prela.core.sampler",
    "PartialExportError": "prela.aio.exporter",
    "RemoteContext": "prela.core.propagation",
    "RetryableExportError": "prela.aio.exporter",
    "Sampler": "prela.core.sampler",
    "SamplingRequest": "prela.core.sampler",
    "Span": "prela.core.span",
    "SpanContext": "prela.core.span_context",
    "SpanEvent": "prela.record.model",
    "SpanKind": "prela.record.enums",
    "SpanLink": "prela.record.model",
    "SpanRecord": "prela.record.model",
    "SpanStatus": "prela.record.enums",
    "SpanType": "prela.record.enums",
    "Statistics": "prela.core.statistics",
    "Spool": "prela.core.spool",
    "TailSampling": "prela.core.tail",
    "TraceIdRatio": "prela.core.sampler",
    "Tracer": "prela.aio.tracer",
    "attach": "prela.core.propagation",
    "baggage": "prela.core.context",
    "copy_context_to_process": "prela.core.processes",
    "copy_context_to_thread": "prela.core.context",
    "dump_open_spans": "prela.insight.dump",
    "environment": "prela.core.propagation",
    "extract": "prela.core.propagation",
    "flush": "prela.lifecycle",
    "get_baggage": "prela.core.context",
    "get_current_span": "prela.core.context",
    "get_tracer": "prela.lifecycle",
    "init": "prela.lifecycle",
    "inject": "prela.core.propagation",
    "open_spans": "prela.insight.snapshot",
    "propagate_attributes": "prela.core.context",
    "shutdown": "prela.lifecycle",
    "statistics": "prela.lifecycle",
    "suppress": "prela.core.context",
    "trace": "prela.lifecycle",
    "use_span": "prela.core.context",
}

__all__ = [
    "AlwaysOff",
    "AlwaysOn",
    "ConfigurationError",
    "Event",
    "Exporter",
    "ExporterStatistics",
    "Limits",
    "Link",
    "OpenSpan",
    "ParentBased",
    "RateLimiting",
    "PartialExportError",
    "RemoteContext",
    "RetryableExportError",
    "Sampler",
    "SamplingRequest",
    "Span",
    "SpanContext",
    "SpanEvent",
    "SpanKind",
    "SpanLink",
    "SpanRecord",
    "SpanStatus",
    "SpanType",
    "Statistics",
    "Spool",
    "TailSampling",
    "TraceIdRatio",
    "Tracer",
    "aio",
    "attach",
    "baggage",
    "copy_context_to_process",
    "copy_context_to_thread",
    "dump_open_spans",
    "environment",
    "extract",
    "flush",
    "get_baggage",
    "get_current_span",
    "get_tracer",
    "init",
    "inject",
    "open_spans",
    "propagate_attributes",
    "shutdown",
    "statistics",
    "suppress",
    "sync",
    "trace",
    "use_span",
]


def __getattr__(name: str) -> Any:
    if name in ("aio", "sync"):
        return import_module(f"prela.{name}")
    if name not in _WHERE:
        raise AttributeError(f"module 'prela' has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(_WHERE[name]), name)
    return value


def __dir__() -> list[str]:
    return __all__
