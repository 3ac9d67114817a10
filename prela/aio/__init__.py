"""The half of Prela that waits: the public tracer, the export worker, threads, streams, exporters.

It runs on asyncio and trio through anyio, which is imported at the first use and not with `import prela`.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from prela.aio.exporter import Exporter, PartialExportError, RetryableExportError
    from prela.aio.lifespan import open_tracer
    from prela.aio.limiters import traced
    from prela.aio.streams import trace_stream
    from prela.aio.threads import to_thread

_WHERE = {
    "Exporter": "prela.aio.exporter",
    "PartialExportError": "prela.aio.exporter",
    "RetryableExportError": "prela.aio.exporter",
    "open_tracer": "prela.aio.lifespan",
    "to_thread": "prela.aio.threads",
    "trace_stream": "prela.aio.streams",
    "traced": "prela.aio.limiters",
}

__all__ = [
    "Exporter",
    "PartialExportError",
    "RetryableExportError",
    "open_tracer",
    "to_thread",
    "trace_stream",
    "traced",
]


def __getattr__(name: str) -> Any:
    if name not in _WHERE:
        raise AttributeError(f"module 'prela.aio' has no attribute {name!r}")
    from importlib import import_module

    if name == "open_tracer":  # a process that it traces may fork, and the child has no loop of its own to export in
        import_module("prela.sync.ending")
    return getattr(import_module(_WHERE[name]), name)
