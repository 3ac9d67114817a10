"""The command `doctor`: the configuration in force, and whether it works here."""

from collections.abc import Callable, Mapping
from datetime import datetime
from fnmatch import fnmatch
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any, Final

import anyio

from prela.cli.folder import TraceDir, fail
from prela.cli.tables import print_table
from prela.config import Config, load
from prela.core import shortcut
from prela.core.spool import read_name
from prela.store.files import trace_files
from prela.variables import ConfigurationError

_VARIABLES: Final = {
    "service_name": ("PRELA_SERVICE_NAME", "OTEL_SERVICE_NAME"),
    "exporters": ("PRELA_EXPORTER",),
    "trace_dir": ("PRELA_TRACE_DIR",),
    "sampler": ("PRELA_SAMPLE_RATE", "OTEL_TRACES_SAMPLER", "OTEL_TRACES_SAMPLER_ARG"),
    "resource": ("OTEL_RESOURCE_ATTRIBUTES",),
    "auto_instrument": ("PRELA_AUTO_INSTRUMENT",),
    "capture_content": ("PRELA_CAPTURE_CONTENT",),
    "limits": ("OTEL_BSP_MAX_QUEUE_SIZE",),
    "export_delay": ("OTEL_BSP_SCHEDULE_DELAY",),
    "batch_size": ("OTEL_BSP_MAX_EXPORT_BATCH_SIZE",),
    "export_timeout": ("OTEL_BSP_EXPORT_TIMEOUT",),
    "otlp": ("OTEL_EXPORTER_OTLP_*", "PRELA_OTLP_CANCELLED_AS"),
    "spool": ("PRELA_SPOOL", "PRELA_SPOOL_DIR"),
    "insight": ("PRELA_INSIGHT",),
    "stall_threshold": ("PRELA_STALL_THRESHOLD",),
    "dump_signal": ("PRELA_DUMP_SIGNAL",),
    "inherited": ("PRELA_CONTINUE_TRACE",),
    "disabled": ("OTEL_SDK_DISABLED",),
    "debug": ("PRELA_DEBUG",),
}
"""What each setting is read from."""
_OPTIONAL: Final = {
    "openai": "openai",
    "trio": "trio",
    "genai-prices": "genai_prices",
    "aiofiles": "aiofiles",
    "opentelemetry-api": "opentelemetry.trace",
    "opentelemetry-proto": "opentelemetry.proto",
    "starlette": "starlette",
}


def doctor(trace_dir: TraceDir = None) -> None:
    """Say which configuration is in force, and whether it works. Each value is shown with where it is from.

    An OTLP endpoint is sent an empty request, with the headers and certificates that spans would be sent with.

    Example: prela doctor
    """
    try:
        config = load(trace_dir=trace_dir)
    except ConfigurationError as error:
        fail(str(error))
    print_table(("setting", "value", "from"), [(name, *_value(config, name, trace_dir)) for name in _VARIABLES])
    print()
    parts = [
        ("prela", installed_version("prela")),
        ("short cuts in C", shortcut.told),
        *((name, _found(name, module)) for name, module in _OPTIONAL.items()),
    ]
    print_table(("part", "version"), parts)
    print()
    _tell_of_spool(config)
    problems = [check(config) for name, check in _CHECKS.items() if name in config.exporters.values()]
    if found := [problem for problem in problems if problem is not None]:
        fail("\n".join(found))


def _value(config: Config, name: str, trace_dir: Path | None) -> tuple[str, str]:
    value: Any = getattr(config, name)
    shown = ", ".join(value) if name == "exporters" else str(value)
    if name == "otlp":
        shown = value.endpoint if "otlp" in config.exporters.values() else "not used"
    if name == "spool":
        shown = "none" if value is None else f"{value.folder}, at most {value.max_bytes:,} bytes a process"
    if name == "inherited":
        shown = "no trace" if value.parent is None else f"trace {value.parent.trace_id}"
    if name == "dump_signal" and value is not None:
        shown = value.name
    known_by = _VARIABLES[name]
    if name == "service_name" and config.variables.isdisjoint(known_by) and "service.name" in config.resource:
        known_by = _VARIABLES["resource"]
    if name == "trace_dir" and trace_dir is not None:
        return shown, "--trace-dir"
    found = sorted(name for name in config.variables if any(fnmatch(name, known) for known in known_by))
    return shown, ", ".join(found) or "default"


def installed_version(name: str) -> str:
    """The version of a package, or a word on why there is none."""
    try:
        return version(name)
    except PackageNotFoundError:
        return "not installed as a package"


def _found(name: str, module: str) -> str:
    try:
        return installed_version(name) if find_spec(module) is not None else "not installed"
    except ModuleNotFoundError:  # of the package that it would be in
        return "not installed"


def _check_folder(config: Config) -> str | None:
    problem = _write_problem(config.trace_dir)
    if problem is not None:
        return f"traces cannot be written to {config.trace_dir}: {problem}"
    files = trace_files(config.trace_dir)
    print(f"traces can be written to {config.trace_dir.resolve()}: {len(files)} files are there")
    return None


def _tell_of_spool(config: Config) -> None:
    """Say what waits in the spool, for each place that it is to be delivered to: also where none is in force now."""
    folder = config.spool.folder if config.spool is not None else config.trace_dir / "spool"
    for place in sorted(folder.glob("*/")) if folder is not None else []:
        names = [name for path in place.glob("*/*") if (name := read_name(path.name)) is not None]
        if names:
            oldest = datetime.fromtimestamp(min(names).time_unix_nano / 1e9).astimezone().isoformat(timespec="seconds")
            print(f"spans that wait in {place}: {sum(name.spans for name in names):,}, the oldest since {oldest}")


def _check_endpoint(config: Config) -> str | None:
    endpoint = config.otlp.endpoint
    try:
        anyio.run(_send_nothing, config)
    except Exception as error:  # of the HTTP library, of the exporter, or that the extra is missing
        return f"traces cannot be sent to {endpoint}: {str(error) or type(error).__name__}"
    print(f"traces can be sent to {endpoint}")
    return None


async def _send_nothing(config: Config) -> None:
    from prela.aio.exporters.otlp import OtlpExporter

    exporter = OtlpExporter(**config.otlp._asdict())
    try:
        await exporter.export([])
    finally:
        await exporter.aclose()


def _write_problem(folder: Path) -> str | None:
    """Why nothing can be written to a folder, or to the one that it would be made in; None if it can."""
    existing = folder.absolute()
    while not existing.exists():
        existing = existing.parent
    try:
        with TemporaryFile(dir=existing) as file:
            file.write(b"prela")
    except OSError as error:
        return str(error)
    return None


_CHECKS: Final[Mapping[str, Callable[[Config], str | None]]] = {"file": _check_folder, "otlp": _check_endpoint}
"""By exporter: says on standard output that it works, or returns why it does not."""
