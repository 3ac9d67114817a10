"""Puts the parts together: `init`, `get_tracer`, `flush`, `shutdown`, `statistics`. Nothing but assembly."""

import os
from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from prela.aio.process import process
from prela.aio.tracer import Tracer, tracer
from prela.core.decorator import TraceDecorator
from prela.core.statistics import Statistics
from prela.sync import blocking, ending
from prela.sync.bridge import Bridge

if TYPE_CHECKING:
    import signal

    from prela.aio.exporter import Exporter
    from prela.core.sampler import Sampler
    from prela.core.settings import Limits
    from prela.core.spool import Spool
    from prela.core.tail import TailSampling

trace: Final = TraceDecorator(tracer)


def init(
    service_name: str | None = None,
    exporter: "str | Exporter | list[str | Exporter] | None" = None,
    *,
    trace_dir: "str | os.PathLike[str] | None" = None,
    sampler: "Sampler | None" = None,
    sample_rate: float | None = None,
    tail_sampling: "TailSampling | None" = None,
    resource: Mapping[str, Any] | None = None,
    auto_instrument: bool | None = None,
    capture_content: bool | None = None,
    redact: Callable[..., Any] | None = None,
    limits: "Limits | Mapping[str, int] | None" = None,
    export_delay: float | None = None,
    exit_timeout: float = 5.0,
    spool: "bool | Spool | None" = None,
    continue_trace: bool | None = None,
    insight: bool | None = None,
    stall_threshold: float | None = None,
    dump_signal: "signal.Signals | int | str | None" = None,
) -> Tracer:
    """Start tracing, and return the tracer. Called again, the same tracer goes on with the new settings.

    Spans started later get the new settings; spans that are queued keep their service and go to the exporters they
    were made under, which then close. What an argument leaves open, the environment decides, then the default.

    Args:
        service_name: What this program is called (`PRELA_SERVICE_NAME`, `OTEL_SERVICE_NAME`).
        exporter: Where spans go: "file", "console", "otlp", "memory", "otel" (the application's OpenTelemetry SDK),
            "none", several separated by commas, an object with a method `export(spans)`, or a list of these
            (`PRELA_EXPORTER`; default "file").
        trace_dir: The folder of the file exporter (`PRELA_TRACE_DIR`; default "./traces").
        sampler: Decides which traces are recorded; see `prela.core.sampler`.
        sample_rate: Instead of a sampler: the share of traces recorded, 0 to 1 (`PRELA_SAMPLE_RATE`).
        tail_sampling: Decides which of these are kept, when it is known how they went; see `prela.TailSampling`.
        resource: Attributes of the process, recorded with each span (`OTEL_RESOURCE_ATTRIBUTES`).
        auto_instrument: Trace the calls of supported libraries (`openai`), and take in what is traced through the
            OpenTelemetry API, once they are imported (`PRELA_AUTO_INSTRUMENT`).
        capture_content: Record prompts and answers, tools' arguments and images (`PRELA_CAPTURE_CONTENT`).
        redact: `redact(key, value)` or `redact(value)`, called with every value before it is queued; what it returns
            is recorded instead. Where it raises, "[redaction failed]" is.
        limits: Bounds of a span and of the queue; see `prela.Limits`.
        export_delay: Seconds a finished span waits for its batch at most (`OTEL_BSP_SCHEDULE_DELAY`, in ms; 1.0).
        exit_timeout: Seconds that the end of the program waits for exports at most.
        spool: Keep each batch on disk until a receiver that is reached over a network has taken it: this process tries
            until it ends, and then the next; see `prela.Spool` (`PRELA_SPOOL`; default False).
        continue_trace: Roots of this process are below the span that `TRACEPARENT` in its environment names, and
            `BAGGAGE` is in force (`PRELA_CONTINUE_TRACE`; default False). See `prela.environment`.
        insight: Say where the time of each span went, journal what is open, and find what is never ended
            (`PRELA_INSIGHT`; default False). See docs/insight.md.
        stall_threshold: Seconds from which one step that holds an event loop is a stall (`PRELA_STALL_THRESHOLD`; 0.1).
        dump_signal: On this signal the spans in flight are printed to stderr, as by `prela.dump_open_spans`; a signal
            of the module `signal`, or its name (`PRELA_DUMP_SIGNAL`; default None).

    Raises:
        ConfigurationError: An argument or a `PRELA_*` variable cannot be used. Tracing goes on as it was before.
    """
    # Imported here, so that `import prela` stays quick; and all of it, since the worker must import nothing later: a
    # fork would inherit the import locks it holds, and at the end of the interpreter it would come too late.
    from prela.aio.assembly import carry_out, import_what_the_worker_needs
    from prela.config import load

    config = load(
        service_name=service_name,
        exporter=exporter,
        trace_dir=trace_dir,
        sampler=sampler,
        sample_rate=sample_rate,
        tail_sampling=tail_sampling,
        resource=resource,
        auto_instrument=auto_instrument,
        capture_content=capture_content,
        redact=redact,
        limits=limits,
        export_delay=export_delay,
        exit_timeout=exit_timeout,
        spool=spool,
        continue_trace=continue_trace,
        insight=insight,
        stall_threshold=stall_threshold,
        dump_signal=dump_signal,
    )
    import_what_the_worker_needs(config)
    ending.set_exit_timeout(config.exit_timeout)
    carry_out(config, partial(Bridge, on_start=ending.drain_in_child_process))
    return tracer


def get_tracer() -> Tracer:
    """Return the tracer: always the same one. Before `init()` it records nothing, and it comes alive with that."""
    return tracer


async def flush(timeout: float = 30.0) -> bool:
    """Wait until all that has ended so far is exported. It holds no loop, and may be called on any.

    Args:
        timeout: Seconds to wait at most.

    Returns:
        True when every exporter acknowledged all that was queued or in flight at the call, and nothing was dropped
        since the flush before this one began.
    """
    from prela.aio.waking import answered_within

    pending = process.request_flush()
    in_time = await answered_within(pending.answers, blocking.seconds_to_wait(timeout))
    return in_time and pending.went_well(process.losses())


async def shutdown(timeout: float = 5.0) -> bool:
    """Export what has ended, close the exporters and turn tracing off; no thread of ours is left after True.

    Args:
        timeout: Seconds to wait at most; what is not exported by then is counted under `shutdown`.

    Returns:
        Whether everything was exported: what lies in a spool, for the next process, was not.
    """
    from prela.aio.waking import in_own_thread

    hosts = process.running_hosts()
    if any(host.is_here() and not isinstance(host, Bridge) for host in hosts):
        return await flush(timeout)  # the block of open_tracer ends what it began
    return await in_own_thread(lambda: blocking.shutdown(timeout))


def statistics() -> Statistics:
    """Return what happened to every span so far; see `Statistics`."""
    return process.statistics()
