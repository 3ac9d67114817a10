"""From a configuration to the objects that carry it out."""

import sys
from collections.abc import Callable
from importlib import import_module
from time import monotonic_ns, time_ns
from typing import TYPE_CHECKING, Any

from prela.aio.bare_cancellation import settle
from prela.aio.cancellation import explain
from prela.aio.process import Host, process
from prela.config import Config
from prela.core import log
from prela.core.context import inherited
from prela.core.settings import Counters, Settings
from prela.record.values import snapshot
from prela.variables import ConfigurationError

if TYPE_CHECKING:
    from prela.aio.worker import Worker


def carry_out(
    config: Config,
    make_host: "Callable[[Settings, dict[str, Any], Callable[[Settings], Worker]], Host]",
) -> None:
    """Trace under a configuration from now on, with a worker in the loop that the host lends it.

    No host is made where tracing is turned off, and where a test records, which goes on.
    """
    set_up_integrations(config)
    if config.debug:
        log.enable_debug()
    inherited.baggage = config.inherited.baggage
    if config.disabled:
        process.turn_off()
    elif not process.is_pinned:
        exporters: dict[str, Any] = {}
        settings = make_settings(config, process.counters)
        host = make_host(settings, exporters, worker_maker(config, exporters))
        process.take_over(host, list(config.exporters.values()))
    set_up_dump_signal(config)


def make_settings(
    config: Config,
    counters: Counters,
    clock: Callable[[], int] = monotonic_ns,
    wall_clock: Callable[[], int] = time_ns,
) -> Settings:
    """What spans are made with under this configuration."""
    return Settings(
        service_name=config.service_name,
        resource=snapshot({**config.resource, "service.name": config.service_name}),
        sampler=config.sampler,
        redact=config.redact,
        capture_content=config.capture_content,
        limits=config.limits,
        counters=counters,
        explain=explain,
        settle=settle,
        tail_sampling=config.tail_sampling,
        parent=config.inherited.parent,
        insight=_insight(config),
        clock=clock,
        wall_clock=wall_clock,
    )


def _insight(config: Config) -> Any:
    """What watches the spans, if that is wanted. By name: nothing below `lifecycle` knows it."""
    if not config.insight:
        return None
    return import_module("prela.insight.insight").Insight(stall_threshold=config.stall_threshold)


def import_what_the_worker_needs(config: Config) -> None:
    """Import it all now, in the caller's thread.

    Raises:
        ConfigurationError: An exporter needs what is not installed.
    """
    for module in ("anyio._backends._asyncio", "prela.aio.worker"):
        import_module(module)
    if config.spool is not None:
        try:
            import_module("prela.aio.spooled_delivery")
        except ImportError as error:
            raise ConfigurationError("spool", config.spool, f"a system with POSIX's locks of files ({error})") from None
    for name in [name for name in _MODULES if name in config.exporters.values()]:
        try:
            for module in _MODULES[name]:
                import_module(module)
        except ImportError as error:
            expected = f"what is installed; pip install 'prela[{name}]' ({error})"
            raise ConfigurationError("exporter", name, expected) from None


def set_up_integrations(config: Config) -> None:
    """Have supported libraries traced, if that is wanted. By name: nothing below `lifecycle` knows the integrations."""
    wanted = config.auto_instrument and not config.disabled
    hands_over = "otel" in config.exporters.values() and not config.disabled
    if hands_over or "prela.integrations.otel" in sys.modules:
        import_module("prela.integrations.otel").hand_over(hands_over)
    if wanted or "prela.integrations.auto" in sys.modules:
        auto = import_module("prela.integrations.auto")
        (auto.instrument_what_is_imported if wanted else auto.instrument_nothing_more)()


def set_up_dump_signal(config: Config) -> None:
    """Have what is open printed on a signal, if that is wanted; and no longer on that of the last time. By name."""
    chosen = None if config.disabled else config.dump_signal
    if chosen is not None or "prela.insight.dump_signal" in sys.modules:
        import_module("prela.insight.dump_signal").dump_on(chosen)


_MODULES = {
    "file": ("aiofiles", "prela.aio.exporters.file"),
    "console": ("prela.aio.exporters.console",),
    "otlp": (
        "prela.aio.exporters.otlp",
        "prela.record.otlp.as_protobuf",
        "prela.record.otlp.as_json",
        "httpcore2._backends.anyio",
        "h11",
    ),
    "memory": ("prela.aio.exporters.memory",),
    "otel": ("prela.integrations.otel.exporter",),
    "none": ("prela.aio.exporters.none",),
}


def worker_maker(config: Config, exporters: dict[str, Any]) -> "Callable[[Settings], Worker]":
    """Return what makes a worker for settings, in the thread it will run in: anyio and msgspec are imported there.

    `exporters` is filled with the exporters that are made, so that one worker's successor goes on with the same.
    """

    def make(settings: Settings) -> "Worker":
        from prela.aio.worker import Schedule, Worker

        for name, given in config.exporters.items():
            if name not in exporters:
                exporters[name] = _make_exporter(given, config) if isinstance(given, str) else given
        schedule = Schedule(config.export_delay, config.batch_size, config.export_timeout)
        return Worker(settings, exporters, schedule, config.spool)

    return make


def _make_exporter(name: str, config: Config) -> Any:
    if name == "file":
        from prela.aio.exporters.file import FileExporter

        return FileExporter(config.trace_dir, config.service_name)
    if name == "console":
        from prela.aio.exporters.console import ConsoleExporter

        return ConsoleExporter()
    if name == "otlp":
        from prela.aio.exporters.otlp import OtlpExporter

        return OtlpExporter(**config.otlp._asdict())
    if name == "memory":
        from prela.aio.exporters.memory import MemoryExporter

        return MemoryExporter()
    if name == "otel":
        return import_module("prela.integrations.otel.exporter").OtelExporter()
    from prela.aio.exporters.none import NoneExporter

    return NoneExporter()
