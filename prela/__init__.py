"""Prela: the tracing framework for Python programs that do many things at once.

    import prela

    prela.init(service_name="my-agent")
    tracer = prela.get_tracer()

    with tracer.span("answer", prela.SpanType.AGENT) as span:
        span.set_attribute("question", "why?")

Spans go to a file in `./traces` unless told otherwise; `prela show` prints it as a tree.
"""

from typing import TYPE_CHECKING, Any

from prela import aio, sync
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
from prela.core.sampler import AlwaysOff, AlwaysOn, ParentBased, RateLimiting, Sampler, SamplingRequest, TraceIdRatio
from prela.core.settings import Limits
from prela.core.span import Span
from prela.core.span_context import Event, Link, SpanContext
from prela.core.statistics import ExporterStatistics, Statistics
from prela.lifecycle import flush, get_tracer, init, shutdown, statistics, trace
from prela.record.enums import SpanKind, SpanStatus, SpanType

if TYPE_CHECKING:
    from prela.aio.exporter import Exporter, RetryableExportError
    from prela.config import ConfigurationError
    from prela.record.model import SpanEvent, SpanLink, SpanRecord

__version__ = "0.1.0"

_LAZY = {
    "ConfigurationError": "prela.config",
    "Exporter": "prela.aio.exporter",
    "RetryableExportError": "prela.aio.exporter",
    "SpanEvent": "prela.record.model",
    "SpanLink": "prela.record.model",
    "SpanRecord": "prela.record.model",
}
"""Names whose modules import more than `import prela` should."""

__all__ = [
    "AlwaysOff",
    "AlwaysOn",
    "ConfigurationError",
    "Event",
    "Exporter",
    "ExporterStatistics",
    "Limits",
    "Link",
    "ParentBased",
    "RateLimiting",
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
    "TraceIdRatio",
    "Tracer",
    "aio",
    "baggage",
    "copy_context_to_thread",
    "flush",
    "get_baggage",
    "get_current_span",
    "get_tracer",
    "init",
    "propagate_attributes",
    "shutdown",
    "statistics",
    "suppress",
    "sync",
    "trace",
    "use_span",
]


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module 'prela' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_LAZY[name]), name)
