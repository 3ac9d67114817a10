"""Arguments, environment and defaults become one frozen object, or one clear error. The environment is read here only.

Arguments beat `PRELA_*`, which beat OpenTelemetry's `OTEL_*`, which beat defaults. What a variable's bad value means is
`variables`' to say.
"""

import faulthandler
import os
import signal
import sys
from collections.abc import Callable, Iterable, Mapping
from inspect import Parameter, iscoroutinefunction, signature
from pathlib import Path
from typing import Any, Final, NamedTuple, TypeVar

from prela.core.endpoint import (
    CANCELLED_AS,
    COMPRESSIONS,
    PROTOCOLS,
    OtlpSettings,
    checked_url,
    headers_of_list,
    one_of,
    url_of_traces,
)
from prela.core.propagation import RemoteContext, extract
from prela.core.sampler import AlwaysOff, AlwaysOn, ParentBased, Sampler, TraceIdRatio
from prela.core.settings import Limits, Redact
from prela.core.spool import Spool
from prela.core.tail import TailSampling
from prela.variables import (
    LONGEST,
    BadValueError,
    ConfigurationError,
    Variables,
    parse_boolean,
    parse_key_values,
    parse_milliseconds,
    parse_positive_int,
    parse_rate,
    parse_seconds,
    parser_of,
)

T = TypeVar("T")

EXPORTER_NAMES: Final = ("file", "console", "otlp", "memory", "otel", "none")
_NOT_FOR_DUMPS: Final = ("KILL", "STOP", "SEGV", "FPE", "ABRT", "BUS", "ILL", "TERM", "INT", "CHLD")
"""Signals that cannot be handled, and those that a program or Python needs for what they are for."""


class Config(NamedTuple):
    """Everything that `init()` can be told, checked and complete."""

    service_name: str
    exporters: Mapping[str, Any]
    """By name; the value is the name of one of ours, or a user's object."""
    trace_dir: Path
    sampler: Sampler
    tail_sampling: TailSampling | None
    resource: Mapping[str, Any]
    auto_instrument: bool
    capture_content: bool
    redact: Redact | None
    limits: Limits
    disabled: bool
    debug: bool
    export_delay: float
    batch_size: int
    export_timeout: float
    exit_timeout: float
    otlp: OtlpSettings
    """Of the exporter "otlp"; the defaults where that is not among the exporters."""
    spool: Spool | None
    """With its folder named; None where there is none."""
    insight: bool
    stall_threshold: float
    dump_signal: signal.Signals | None
    inherited: RemoteContext
    """The trace and baggage that the process was started with, where they are to be gone on with."""
    variables: frozenset[str]
    """The names of the environment's variables that something of this was taken from."""


def load(
    *,
    service_name: str | None = None,
    exporter: Any = None,
    trace_dir: str | os.PathLike[str] | None = None,
    sampler: Sampler | None = None,
    sample_rate: float | None = None,
    tail_sampling: TailSampling | None = None,
    resource: Mapping[str, Any] | None = None,
    auto_instrument: bool | None = None,
    capture_content: bool | None = None,
    redact: Callable[..., Any] | None = None,
    limits: Limits | Mapping[str, int] | None = None,
    export_delay: float | None = None,
    exit_timeout: float = 5.0,
    spool: "bool | Spool | None" = None,
    continue_trace: bool | None = None,
    insight: bool | None = None,
    stall_threshold: float | None = None,
    dump_signal: "signal.Signals | int | str | None" = None,
    environ: Mapping[str, str] | None = None,
) -> Config:
    """Return the configuration in force. The arguments are those of `prela.init`.

    Raises:
        ConfigurationError: An argument or a `PRELA_*` variable cannot be used.
    """
    env = Variables(os.environ if environ is None else environ)
    otel_resource = env.otel("OTEL_RESOURCE_ATTRIBUTES", parse_key_values) or {}
    if service_name is not None and (not isinstance(service_name, str) or not service_name.strip()):
        raise ConfigurationError("service_name", service_name, "a string that is not empty")
    if resource is not None and not isinstance(resource, Mapping):
        raise ConfigurationError("resource", resource, "a mapping of attribute names to values")
    named = (resource or {}).get("service.name")
    if named is not None and (not isinstance(named, str) or not named.strip()):
        raise ConfigurationError(
            "resource", resource, 'a mapping in which "service.name" is a string that is not empty'
        )
    exporters = (
        _exporters("exporter", exporter)
        if exporter is not None
        else env.prela("PRELA_EXPORTER", lambda value: _exporters("PRELA_EXPORTER", value)) or {"file": "file"}
    )
    folder = absolute(_folder(trace_dir) or env.text("PRELA_TRACE_DIR") or "traces")
    return Config(
        service_name=service_name
        or named
        or env.text("PRELA_SERVICE_NAME")
        or env.text("OTEL_SERVICE_NAME")
        or otel_resource.get("service.name")
        or _program_name(),
        exporters=exporters,
        trace_dir=folder,
        sampler=_sampler(sampler, sample_rate, env),
        tail_sampling=_tail_sampling(tail_sampling),
        resource={**otel_resource, **(resource or {})},
        auto_instrument=_first(
            _flag("auto_instrument", auto_instrument), env.prela("PRELA_AUTO_INSTRUMENT", parse_boolean), True
        ),
        capture_content=_first(
            _flag("capture_content", capture_content), env.prela("PRELA_CAPTURE_CONTENT", parse_boolean), True
        ),
        redact=_redact(redact),
        limits=_limits(limits, env),
        disabled=(env.text("OTEL_SDK_DISABLED") or "").lower() == "true",  # the one value that its specification knows
        debug=env.prela("PRELA_DEBUG", parse_boolean) or False,
        export_delay=_first(
            None if export_delay is None else _positive("export_delay", export_delay),
            env.otel("OTEL_BSP_SCHEDULE_DELAY", parse_milliseconds),
            1.0,
        ),
        batch_size=env.otel("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", parse_positive_int) or 512,
        export_timeout=env.otel("OTEL_BSP_EXPORT_TIMEOUT", parse_milliseconds) or 30.0,
        exit_timeout=_positive("exit_timeout", exit_timeout),
        otlp=_otlp(env) if "otlp" in exporters.values() else OtlpSettings(),
        spool=_spool(spool, folder, env),
        insight=_first(_flag("insight", insight), env.prela("PRELA_INSIGHT", parse_boolean), False),
        stall_threshold=_first(
            None if stall_threshold is None else _positive("stall_threshold", stall_threshold),
            env.prela("PRELA_STALL_THRESHOLD", parse_seconds),
            0.1,
        ),
        dump_signal=_dump_signal("dump_signal", dump_signal)
        if dump_signal is not None
        else env.prela("PRELA_DUMP_SIGNAL", lambda name: _dump_signal("PRELA_DUMP_SIGNAL", name)),
        inherited=env.inherited()
        if _first(_flag("continue_trace", continue_trace), env.prela("PRELA_CONTINUE_TRACE", parse_boolean), False)
        else extract({}),
        variables=frozenset(env.taken),
    )


def _first(*values: T | None) -> T:
    return next(value for value in values if value is not None)


def _otlp(env: Variables) -> OtlpSettings:
    """The OTLP exporter's variables; those for traces go before those for all signals."""
    default = OtlpSettings()

    def either(name: str, parse: Callable[[str], T]) -> T | None:
        found = env.otel(f"OTEL_EXPORTER_OTLP_TRACES_{name}", parse)
        return found if found is not None else env.otel(f"OTEL_EXPORTER_OTLP_{name}", parse)

    return OtlpSettings(
        endpoint=env.otel("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", parser_of(checked_url))
        or env.otel("OTEL_EXPORTER_OTLP_ENDPOINT", parser_of(url_of_traces))
        or default.endpoint,
        headers=either("HEADERS", parser_of(headers_of_list)) or default.headers,
        timeout=either("TIMEOUT", parse_milliseconds) or default.timeout,
        compression=either("COMPRESSION", parser_of(one_of(*COMPRESSIONS))) or default.compression,
        protocol=either("PROTOCOL", parser_of(one_of(*PROTOCOLS))) or default.protocol,
        certificate=either("CERTIFICATE", str),
        client_certificate=either("CLIENT_CERTIFICATE", str),
        client_key=either("CLIENT_KEY", str),
        cancelled_as=env.prela("PRELA_OTLP_CANCELLED_AS", parser_of(one_of(*CANCELLED_AS))) or default.cancelled_as,
    )


# --- arguments ----------------------------------------------------------------------------------------------------


def _program_name() -> str:
    """A name for a service nobody named (OpenTelemetry resource conventions: "unknown_service:" and the program)."""
    stem = Path(sys.argv[0]).stem if sys.argv and sys.argv[0] not in ("", "-c", "-m") else ""
    return f"unknown_service:{stem or 'python'}"


def _folder(trace_dir: Any) -> str | None:
    path = os.fspath(trace_dir) if isinstance(trace_dir, os.PathLike) else trace_dir
    if path is None or (isinstance(path, str) and path.strip() and "\0" not in path):
        return None if path is None else str.__str__(path)  # whatever subclass of `str` it is
    raise ConfigurationError("trace_dir", trace_dir, "a path")


def absolute(path: str | os.PathLike[str]) -> Path:
    """The path as it is meant now: the program may change its working folder, which may also be gone already."""
    try:
        return Path(path).absolute()
    except OSError:
        return Path(path)


def _flag(name: str, value: Any) -> bool | None:
    if value is None or isinstance(value, bool):
        return value
    raise ConfigurationError(name, value, "True or False")


def _exporters(source: str, given: Any) -> dict[str, Any]:
    """Exporters by name, from a name, a comma-separated list of names, an object, or a list of these."""
    items = [part.strip() for part in given.split(",") if part.strip()] if isinstance(given, str) else given
    if not isinstance(items, Iterable) or isinstance(items, bytes) or hasattr(items, "export"):
        items = [items]
    found: dict[str, Any] = {}
    for item in items:
        if isinstance(item, str) and item not in EXPORTER_NAMES:
            raise ConfigurationError(source, given, f"one or more of {', '.join(EXPORTER_NAMES)}, separated by commas")
        if not isinstance(item, str) and (isinstance(item, type) or not callable(getattr(item, "export", None))):
            raise ConfigurationError(source, item, "an exporter's name, or an object with a method `export(spans)`")
        name = item if isinstance(item, str) else type(item).__name__
        unique = name if name not in found else f"{name}#{sum(n.split('#')[0] == name for n in found) + 1}"
        found[unique] = item
    if not found:
        raise ConfigurationError(source, given, f"one or more of {', '.join(EXPORTER_NAMES)}, separated by commas")
    return found


def _sampler(sampler: Any, sample_rate: float | None, env: Variables) -> Sampler:
    if sampler is not None and sample_rate is not None:
        raise ConfigurationError("sample_rate", sample_rate, "either sampler or sample_rate, not both")
    if sampler is not None:
        method = getattr(sampler, "should_sample", None)
        if isinstance(sampler, type) or not callable(method) or iscoroutinefunction(method):
            raise ConfigurationError("sampler", sampler, "an object with a plain method `should_sample(request)`")
        return sampler  # type: ignore[no-any-return]
    if sample_rate is not None:
        number = isinstance(sample_rate, int | float) and not isinstance(sample_rate, bool)
        if not number or not 0.0 <= sample_rate <= 1.0:
            raise ConfigurationError("sample_rate", sample_rate, "a number from 0 to 1")
        return _by_rate(sample_rate)
    rate = env.prela("PRELA_SAMPLE_RATE", parse_rate)
    if rate is not None:
        return _by_rate(rate)
    return env.otel("OTEL_TRACES_SAMPLER", lambda value: _otel_sampler(value, env)) or _by_rate(1.0)


def _dump_signal(source: str, given: Any) -> signal.Signals:
    """A signal by itself, its number or its name; none that cannot be handled, or that must end the program."""
    allowed = "a signal such as signal.SIGUSR1, or its name, on a system that has faulthandler.register"
    if not isinstance(given, int | str) or isinstance(given, bool) or not hasattr(faulthandler, "register"):
        raise ConfigurationError(source, given, allowed)
    try:
        name = f"SIG{given.upper().removeprefix('SIG')}" if isinstance(given, str) else signal.Signals(given).name
        chosen = signal.Signals[name]
    except (KeyError, ValueError):
        raise ConfigurationError(source, given, allowed) from None
    if name.removeprefix("SIG") in _NOT_FOR_DUMPS:
        raise ConfigurationError(source, given, f"a signal that is not needed otherwise: not {name}")
    return chosen


def _tail_sampling(given: Any) -> TailSampling | None:
    if given is None or isinstance(given, TailSampling):
        return given
    raise ConfigurationError("tail_sampling", given, "a prela.TailSampling")


def _spool(given: Any, trace_dir: Path, env: Variables) -> Spool | None:
    if given is not None and not isinstance(given, bool | Spool):
        raise ConfigurationError("spool", given, "True, False or a prela.Spool")
    wanted: Spool | bool = given if given is not None else env.prela("PRELA_SPOOL", parse_boolean) or False
    if not wanted:
        return None
    spool = wanted if isinstance(wanted, Spool) else Spool()
    folder = env.text("PRELA_SPOOL_DIR")
    return spool.with_folder(absolute(folder) if folder else trace_dir / "spool")


def _by_rate(rate: float) -> Sampler:
    return ParentBased(AlwaysOn() if rate >= 1.0 else AlwaysOff() if rate <= 0.0 else TraceIdRatio(rate))


def _otel_sampler(value: str, env: Variables) -> Sampler:
    """`OTEL_TRACES_SAMPLER`, with `OTEL_TRACES_SAMPLER_ARG` for those that take a ratio."""
    base, parent_based = value.removeprefix("parentbased_"), value.startswith("parentbased_")
    chosen: Sampler
    if base == "always_on":
        chosen = AlwaysOn()
    elif base == "always_off":
        chosen = AlwaysOff()
    elif base == "traceidratio":
        rate = env.otel("OTEL_TRACES_SAMPLER_ARG", parse_rate)
        chosen = TraceIdRatio(1.0 if rate is None else rate)
    else:
        raise BadValueError("always_on, always_off or traceidratio, each with or without parentbased_ before it")
    return ParentBased(chosen) if parent_based else chosen


def _redact(redact: Any) -> Redact | None:
    """`redact(key, value)`, made from a function of the value alone where that is what it is."""
    if redact is None:
        return None
    allowed = "a plain function redact(key, value) or redact(value) that returns what is recorded instead"
    if not callable(redact) or iscoroutinefunction(redact):
        raise ConfigurationError("redact", redact, allowed)
    try:
        parameters = list(signature(redact).parameters.values())
    except (TypeError, ValueError):
        return lambda key, value: redact(value)  # a builtin that tells nothing of its parameters
    positional = [p for p in parameters if p.kind in (Parameter.POSITIONAL_ONLY, Parameter.POSITIONAL_OR_KEYWORD)]
    required = [p for p in positional if p.default is Parameter.empty]
    if len(required) == 2 or any(p.kind is Parameter.VAR_POSITIONAL for p in parameters):
        return redact  # type: ignore[no-any-return]
    if positional and len(required) <= 1:
        return lambda key, value: redact(value)
    raise ConfigurationError("redact", redact, allowed)


def _limits(limits: Any, env: Variables) -> Limits:
    queue = env.otel("OTEL_BSP_MAX_QUEUE_SIZE", parse_positive_int)
    defaults = Limits() if queue is None else Limits(queue_spans=queue)
    if limits is None:
        return defaults
    if isinstance(limits, Limits):
        chosen = limits
    elif isinstance(limits, Mapping) and set(limits) <= set(Limits._fields):
        chosen = defaults._replace(**limits)
    else:
        known = ", ".join(Limits._fields)
        raise ConfigurationError("limits", limits, f"a prela.Limits, or a mapping with keys of {known}")
    for name, value in chosen._asdict().items():
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise ConfigurationError(f"limits.{name}", value, "a whole number above 0")
    return chosen


def _positive(name: str, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value <= LONGEST:
        raise ConfigurationError(name, value, f"a number of seconds above 0, at most {LONGEST:g}")
    return float(value)
