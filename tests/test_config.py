"""Arguments beat PRELA_ variables, which beat OTEL_ variables, which beat defaults; what is bad is said clearly."""

import io
import logging
import math
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import anyio
import pytest

import prela
from prela.aio import open_tracer
from prela.config import Config, load


@pytest.fixture(autouse=True)
def _no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in os.environ:
        if name.startswith(("PRELA_", "OTEL_")):
            monkeypatch.delenv(name)


class Exporter:
    """Keeps what it is given."""

    def __init__(self) -> None:
        self.records: list[prela.SpanRecord] = []

    async def export(self, spans: Sequence[prela.SpanRecord]) -> None:
        self.records.extend(spans)


class BytesPath:
    def __fspath__(self) -> bytes:
        return b"traces"


def under(**variables: str) -> Config:
    return load(environ=variables)


BAD_ARGUMENTS: list[tuple[str, Any, str]] = [
    *(("service_name", value, "a string that is not empty") for value in ("", "  ", 1, b"x")),
    *(
        ("exporter", value, "file, console, otlp, memory, otel, none")
        for value in ("", ",", "files", "FILE", "file,,bogus", "otel!")
    ),
    *(("exporter", value, "`export(spans)`") for value in (5, True, object(), Exporter)),
    *(("exporter", value, "file, console, otlp, memory, otel, none") for value in ([], {}, ["file", "files"])),
    *(("trace_dir", value, "a path") for value in ("", " ", 5, b"x", BytesPath(), "a\0b")),
    *(("sampler", value, "`should_sample(request)`") for value in (5, "always_on", lambda _: True, prela.AlwaysOn)),
    *(("sample_rate", value, "a number from 0 to 1") for value in (-0.1, 1.1, math.nan, math.inf, "0.5", True, 1j)),
    *(("resource", value, "a mapping") for value in (5, "a=b", [("a", 1)])),
    *(("resource", {"service.name": name}, '"service.name" is a string') for name in (5, [], b"a", " ")),
    *(("auto_instrument", value, "True or False") for value in ("false", 5, 0, [])),
    *(("capture_content", value, "True or False") for value in ("no", 1)),
    *(("redact", value, "redact(key, value)") for value in (5, "x", lambda: 1, lambda a, b, c: 1)),
    *(("limits", value, "prela.Limits") for value in (5, {"bogus": 1}, {1: 2}, "x", (1, 2))),
    *(("export_delay", value, "seconds above 0") for value in (0, -1, "1", math.nan, math.inf, True, 1e12)),
    *(("spool", value, "True, False or a prela.Spool") for value in ("yes", 1, "/folder")),
    *(("insight", value, "True or False") for value in ("yes", 1)),
    *(("stall_threshold", value, "seconds above 0") for value in (0, -1, "1", math.nan, True)),
    *(("dump_signal", value, "a signal such as signal.SIGUSR1") for value in ("bogus", -1, 1000, 1.5, True, b"USR1")),
    *(("dump_signal", value, "a signal that is not needed otherwise") for value in ("KILL", "sigsegv", 15, 2)),
    *(("exit_timeout", value, "seconds above 0") for value in (0, -1, None, "5", math.nan, math.inf, True, 1e12)),
]


def _id(value: object) -> str:
    return repr(value)[:30].replace("\x00", "NUL").split(" at 0x")[0]


@pytest.mark.parametrize(("name", "value", "allowed"), BAD_ARGUMENTS, ids=_id)
@pytest.mark.parametrize("start", [prela.init, open_tracer], ids=["init", "open_tracer"])
def test_a_bad_argument_is_an_error_that_names_it_its_value_and_what_is_allowed(
    start: Callable[..., Any], name: str, value: Any, allowed: str
) -> None:
    with pytest.raises(prela.ConfigurationError) as raised:
        start(**{name: value})
    told = str(raised.value)
    wrong = "files" if value == ["file", "files"] else value
    assert told.startswith(f"prela: {name} is ")
    assert repr(wrong) in told or str(wrong) in told
    assert allowed in told.partition("; allowed is ")[2]


@pytest.mark.parametrize("field", prela.Limits._fields)
@pytest.mark.parametrize("value", [0, -1, "5", 1.5, True, None], ids=_id)
def test_a_limit_that_is_no_whole_number_above_zero_is_named(field: str, value: Any) -> None:
    for limits in ({field: value}, prela.Limits()._replace(**{field: value})):
        with pytest.raises(prela.ConfigurationError) as raised:
            prela.init(limits=limits)
        assert str(raised.value) == f"prela: limits.{field} is {value!r}; allowed is a whole number above 0"


def test_a_sampler_and_a_rate_at_once_are_an_error() -> None:
    with pytest.raises(
        prela.ConfigurationError, match=r"sample_rate is 0\.5; allowed is either sampler or sample_rate"
    ):
        prela.init(sampler=prela.AlwaysOn(), sample_rate=0.5)


BAD_VARIABLES = [
    *(
        ("PRELA_EXPORTER", value, "file, console, otlp, memory, otel, none")
        for value in ("bogus", ",", "otel!", "FILE", "file;none")
    ),
    *(("PRELA_SAMPLE_RATE", value, "a number from 0 to 1") for value in ("x", "2", "-1", "nan", "inf", "50%")),
    *(
        (name, value, "true or false")
        for name in ("PRELA_AUTO_INSTRUMENT", "PRELA_CAPTURE_CONTENT", "PRELA_DEBUG")
        for value in ("maybe", "2", "y e s")
    ),
]


@pytest.mark.parametrize(("name", "value", "allowed"), BAD_VARIABLES)
@pytest.mark.parametrize("start", [prela.init, open_tracer], ids=["init", "open_tracer"])
def test_a_bad_variable_of_ours_is_an_error_that_names_it_its_value_and_what_is_allowed(
    start: Callable[..., Any], name: str, value: str, allowed: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(prela.ConfigurationError) as raised:
        start()
    told = str(raised.value)
    assert told.startswith(f"prela: {name} is {value!r}; allowed is ")
    assert allowed in told.partition("; allowed is ")[2]


BAD_OTEL = [
    *(("OTEL_RESOURCE_ATTRIBUTES", value) for value in ("a", "=b", "a=b,", "a=b,c")),
    *(("OTEL_TRACES_SAMPLER", value) for value in ("bogus", "jaeger_remote", "ALWAYS_ON", "0.5")),
    *(("OTEL_BSP_MAX_QUEUE_SIZE", value) for value in ("0", "-1", "x", "1.5", "9" * 5_000, "٣")),
    *(("OTEL_BSP_SCHEDULE_DELAY", value) for value in ("0", "-5", "x", "9" * 400)),
    *(("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", value) for value in ("0", "x", "9" * 5_000)),
    *(("OTEL_BSP_EXPORT_TIMEOUT", value) for value in ("0", "x", "9" * 400)),
]


@pytest.mark.parametrize(("name", "value"), BAD_OTEL, ids=_id)
def test_a_bad_variable_of_opentelemetrys_is_logged_and_ignored(
    name: str, value: str, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING, "prela"):
        found = under(**{name: value})
    assert found._replace(sampler=None, exporters={}) == under()._replace(sampler=None, exporters={})  # type: ignore[arg-type]
    assert repr(found.sampler) == repr(under().sampler)
    (message,) = caplog.messages
    assert message.startswith(f"prela: {name} is {value!r} and was ignored; allowed is ")


def test_a_bad_ratio_of_opentelemetrys_sampler_is_logged_and_one(caplog: pytest.LogCaptureFixture) -> None:
    found = under(OTEL_TRACES_SAMPLER="traceidratio", OTEL_TRACES_SAMPLER_ARG="x")
    assert repr(found.sampler) == repr(prela.TraceIdRatio(1.0))
    (message,) = caplog.messages
    assert message.startswith("prela: OTEL_TRACES_SAMPLER_ARG is 'x' and was ignored")


@pytest.mark.parametrize(
    "name",
    [*dict.fromkeys(name for name, *_ in (*BAD_VARIABLES, *BAD_OTEL)), "PRELA_SERVICE_NAME", "PRELA_TRACE_DIR"],
)
@pytest.mark.parametrize("empty", ["", "  "])
def test_an_empty_variable_counts_as_unset(name: str, empty: str, caplog: pytest.LogCaptureFixture) -> None:
    found = under(**{name: empty})
    assert repr(found) == repr(under())
    assert caplog.messages == []


def test_the_defaults(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["/somewhere/program.py"])
    found = under()
    assert found.service_name == "unknown_service:program"
    assert found.exporters == {"file": "file"}
    assert found.trace_dir == Path("traces").absolute()
    assert repr(found.sampler) == repr(prela.ParentBased(prela.AlwaysOn()))
    assert (found.auto_instrument, found.capture_content, found.disabled, found.debug) == (True, True, False, False)
    assert (found.export_delay, found.batch_size, found.export_timeout, found.exit_timeout) == (1.0, 512, 30.0, 5.0)
    assert found.limits == prela.Limits()
    assert (found.limits.queue_spans, found.limits.queue_bytes) == (65_536, 64 * 1024 * 1024)


ARGUMENT, OURS, OTEL, RESOURCE = "argument", "ours", "otel", "resource"


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ([ARGUMENT, "resource argument", OURS, OTEL, RESOURCE], ARGUMENT),
        (["resource argument", OURS, OTEL, RESOURCE], "resource argument"),
        ([OURS, OTEL, RESOURCE], OURS),
        ([OTEL, RESOURCE], OTEL),
        ([RESOURCE], RESOURCE),
    ],
)
def test_the_service_name_is_taken_from_the_argument_then_ours_then_opentelemetrys(
    given: list[str], expected: str
) -> None:
    variables = {
        OURS: ("PRELA_SERVICE_NAME", OURS),
        OTEL: ("OTEL_SERVICE_NAME", OTEL),
        RESOURCE: ("OTEL_RESOURCE_ATTRIBUTES", f"service.name={RESOURCE}"),
    }
    found = load(
        service_name=ARGUMENT if ARGUMENT in given else None,
        resource={"service.name": "resource argument"} if "resource argument" in given else None,
        environ=dict(variables[source] for source in given if source in variables),
    )
    assert found.service_name == expected


def test_the_sampler_is_taken_from_the_argument_then_ours_then_opentelemetrys() -> None:
    ours = {"PRELA_SAMPLE_RATE": "0"}
    otel = {"OTEL_TRACES_SAMPLER": "traceidratio", "OTEL_TRACES_SAMPLER_ARG": "0.25"}
    sampler = prela.AlwaysOff()
    assert load(sampler=sampler, environ={**ours, **otel}).sampler is sampler
    assert repr(load(sample_rate=0.5, environ={**ours, **otel}).sampler) == repr(
        prela.ParentBased(prela.TraceIdRatio(0.5))
    )
    assert repr(under(**ours, **otel).sampler) == repr(prela.ParentBased(prela.AlwaysOff()))
    assert repr(under(**otel).sampler) == repr(prela.TraceIdRatio(0.25))
    assert repr(load(sample_rate=1, environ=ours).sampler) == repr(prela.ParentBased(prela.AlwaysOn()))


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("always_on", prela.AlwaysOn()),
        ("always_off", prela.AlwaysOff()),
        ("parentbased_always_on", prela.ParentBased(prela.AlwaysOn())),
        ("parentbased_always_off", prela.ParentBased(prela.AlwaysOff())),
        ("parentbased_traceidratio", prela.ParentBased(prela.TraceIdRatio(1.0))),
    ],
)
def test_opentelemetrys_samplers_by_their_names(value: str, expected: prela.Sampler) -> None:
    assert repr(under(OTEL_TRACES_SAMPLER=value).sampler) == repr(expected)


def test_an_argument_beats_each_variable_even_where_it_is_false() -> None:
    variables = {
        "PRELA_EXPORTER": "console",
        "PRELA_TRACE_DIR": "elsewhere",
        "PRELA_AUTO_INSTRUMENT": "true",
        "PRELA_CAPTURE_CONTENT": "yes",
        "OTEL_BSP_SCHEDULE_DELAY": "5000",
        "OTEL_BSP_MAX_QUEUE_SIZE": "100",
    }
    by_variables = under(**variables)
    assert by_variables.exporters == {"console": "console"}
    assert by_variables.trace_dir == Path("elsewhere").absolute()
    assert (by_variables.auto_instrument, by_variables.capture_content) == (True, True)
    assert (by_variables.export_delay, by_variables.limits.queue_spans) == (5.0, 100)
    by_arguments = load(
        exporter="memory",
        trace_dir=Path("here"),
        auto_instrument=False,
        capture_content=False,
        export_delay=0.5,
        limits={"queue_spans": 50},
        environ=variables,
    )
    assert by_arguments.exporters == {"memory": "memory"}
    assert by_arguments.trace_dir == Path("here").absolute()
    assert (by_arguments.auto_instrument, by_arguments.capture_content) == (False, False)
    assert (by_arguments.export_delay, by_arguments.limits.queue_spans) == (0.5, 50)


def test_an_argument_does_not_excuse_a_bad_variable_it_does_not_replace() -> None:
    with pytest.raises(prela.ConfigurationError, match="PRELA_DEBUG"):
        load(exporter="memory", environ={"PRELA_DEBUG": "perhaps"})


def test_limits_that_are_not_given_keep_their_values() -> None:
    found = load(limits={"attributes": 5}, environ={"OTEL_BSP_MAX_QUEUE_SIZE": "100"}).limits
    assert found == prela.Limits(attributes=5, queue_spans=100)
    assert load(limits=prela.Limits(events=3), environ={}).limits == prela.Limits(events=3)


@pytest.mark.parametrize(
    ("value", "expected"), [("1", True), ("TRUE", True), ("on", True), ("0", False), ("No", False), (" off ", False)]
)
def test_the_words_for_true_and_false(value: str, expected: bool) -> None:
    assert under(PRELA_CAPTURE_CONTENT=value).capture_content is expected
    assert under(PRELA_DEBUG=value).debug is expected


def test_resource_attributes_are_decoded_and_the_arguments_win() -> None:
    found = load(
        resource={"b": 2, "c": [3]}, environ={"OTEL_RESOURCE_ATTRIBUTES": "a=x%20y%2Cz, b=lost ,d%3D=e=f"}
    ).resource
    assert found == {"a": "x y,z", "b": 2, "c": [3], "d=": "e=f"}


def test_several_exporters_are_told_apart_by_their_names() -> None:
    one, other = Exporter(), Exporter()
    assert load(exporter=" file, memory ,file", environ={}).exporters == {
        "file": "file",
        "memory": "memory",
        "file#2": "file",
    }
    assert load(exporter=["file", one, other], environ={}).exporters == {
        "file": "file",
        "Exporter": one,
        "Exporter#2": other,
    }
    assert load(exporter=one, environ={}).exporters == {"Exporter": one}


@pytest.mark.parametrize("value", ["true", "TRUE", " True "])
def test_opentelemetrys_switch_turns_tracing_off(value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    exporter = Exporter()
    tracer = prela.init("test", exporter)
    monkeypatch.setenv("OTEL_SDK_DISABLED", value)
    assert prela.init("test", exporter) is tracer
    with tracer.span("off") as span:
        assert not span.is_recording
    assert prela.sync.shutdown()
    assert exporter.records == []


@pytest.mark.anyio
async def test_opentelemetrys_switch_turns_open_tracer_off_too(monkeypatch: pytest.MonkeyPatch) -> None:
    exporter = Exporter()
    monkeypatch.setenv("OTEL_SDK_DISABLED", "true")
    async with open_tracer("test", exporter) as tracer:
        with tracer.span("off") as span:
            assert not span.is_recording
    assert exporter.records == []


@pytest.mark.parametrize("value", ["1", "yes", "maybe", "false"])
def test_opentelemetrys_switch_knows_no_other_word_than_true(value: str) -> None:
    assert under(OTEL_SDK_DISABLED=value).disabled is False


def test_after_a_failed_init_tracing_goes_on_as_before(monkeypatch: pytest.MonkeyPatch) -> None:
    exporter, never = Exporter(), Exporter()
    tracer = prela.init("before", exporter)
    with tracer.span("open across"):
        with pytest.raises(prela.ConfigurationError):
            prela.init("after", [never, "bogus"])
        monkeypatch.setenv("PRELA_SAMPLE_RATE", "2")
        with pytest.raises(prela.ConfigurationError):
            prela.init("after", never)
        with tracer.span("later"):
            pass
    assert prela.sync.flush()
    assert [(record.name, record.service_name) for record in exporter.records] == [
        ("later", "before"),
        ("open across", "before"),
    ]
    assert never.records == []


def test_after_a_failed_first_init_tracing_is_off_and_the_next_one_works() -> None:
    with pytest.raises(prela.ConfigurationError):
        prela.init(exporter="bogus")
    tracer = prela.get_tracer()
    with tracer.span("off") as span:
        assert not span.is_recording
    exporter = Exporter()
    assert prela.init("test", exporter) is tracer
    with tracer.span("on"):
        pass
    assert prela.sync.flush()
    assert [record.name for record in exporter.records] == ["on"]


def test_the_trace_folder_is_where_it_was_meant_when_it_was_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path)
    tracer = prela.init("test", "file", trace_dir="traces")
    monkeypatch.chdir(tmp_path / "elsewhere")
    with tracer.span("span"):
        pass
    assert prela.sync.flush()
    assert len(list((tmp_path / "traces").glob("*.jsonl"))) == 1


async def _trace_in_a_block() -> None:
    async with open_tracer("test", "file,memory") as tracer:
        with tracer.span("span"):
            pass


def test_a_working_folder_that_is_gone_costs_the_file_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    anyio.run(_trace_in_a_block)
    assert prela.statistics().exporters["memory"].exported >= 1
    monkeypatch.chdir(tmp_path)


def test_a_failed_open_tracer_leaves_init_in_force() -> None:
    exporter = Exporter()
    tracer = prela.init("test", exporter)

    async def main() -> None:
        with pytest.raises(prela.ConfigurationError):
            async with open_tracer(sample_rate=5.0):
                raise AssertionError("not entered")

    anyio.run(main)
    with tracer.span("on"):
        pass
    assert prela.sync.flush()
    assert [record.name for record in exporter.records] == ["on"]


def test_a_configuration_error_is_a_value_error_and_hides_no_other() -> None:
    with pytest.raises(ValueError, match="PRELA_SAMPLE_RATE") as raised:
        under(PRELA_SAMPLE_RATE="x")
    assert raised.value.__cause__ is None
    assert raised.value.__suppress_context__


@pytest.mark.parametrize(
    ("redact", "expected"),
    [
        (lambda value: "gone", "gone"),
        (lambda key, value: f"{key} gone", "k gone"),
        (lambda value, more=1: "gone", "gone"),
        (lambda *given: f"{len(given)}", "2"),
        (str.upper, "V"),
        (io.StringIO, None),
    ],
)
def test_redact_takes_the_value_or_the_key_and_the_value(redact: Any, expected: str | None) -> None:
    exporter = Exporter()
    with prela.init("test", exporter, redact=redact).span("span") as span:
        span.set_attribute("k", "v")
    assert prela.sync.flush()
    (found,) = exporter.records
    if expected is not None:
        assert found.attributes == {"k": expected}
    else:
        assert "v" not in found.attributes.values()


@pytest.mark.anyio
@pytest.mark.parametrize("opens", [False, True])
async def test_debug_shows_what_the_logger_has_to_say(opens: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PRELA_DEBUG", "true")
    logger = logging.getLogger("prela")
    before = logger.level
    try:
        if opens:
            async with open_tracer("test", "none"):
                pass
        else:
            prela.init("test", "none")
        assert logger.level == logging.DEBUG
    finally:
        logger.setLevel(before)


@pytest.mark.parametrize(
    ("spool", "variables", "folder"),
    [
        (None, {}, None),
        (None, {"PRELA_SPOOL": "true"}, "there/spool"),
        (False, {"PRELA_SPOOL": "true"}, None),
        (True, {"PRELA_SPOOL": "false"}, "there/spool"),
        (True, {"PRELA_SPOOL_DIR": "elsewhere"}, "elsewhere"),
        (prela.Spool("named"), {"PRELA_SPOOL_DIR": "elsewhere"}, "named"),
        (prela.Spool(max_bytes=5), {"PRELA_SPOOL_DIR": "elsewhere"}, "elsewhere"),
    ],
)
def test_where_the_spool_is(spool: object, variables: dict[str, str], folder: str | None) -> None:
    found = load(spool=spool, trace_dir="there", environ=variables).spool  # type: ignore[arg-type]
    assert (None if found is None else Path(found.folder).absolute()) == (folder and Path(folder).absolute())


def test_a_bad_word_for_the_spool_is_an_error() -> None:
    with pytest.raises(prela.ConfigurationError, match="PRELA_SPOOL is 'maybe'"):
        load(environ={"PRELA_SPOOL": "maybe"})


class _AsyncSampler:
    async def should_sample(self, request: object) -> bool:
        return False


async def _async_redact(value: object) -> object:
    return value


@pytest.mark.parametrize(("name", "value"), [("sampler", _AsyncSampler()), ("redact", _async_redact)])
def test_what_is_called_for_each_span_cannot_be_async(name: str, value: object) -> None:
    with pytest.raises(prela.ConfigurationError, match=f"{name} is .*; allowed is .* plain "):
        load(**{name: value}, environ={})  # type: ignore[arg-type]


def test_a_value_is_shown_as_far_as_it_can_be() -> None:
    class Unprintable:
        def __repr__(self) -> str:
            raise RuntimeError

    with pytest.raises(prela.ConfigurationError, match="sampler is an object of the type Unprintable"):
        load(sampler=Unprintable(), environ={})  # type: ignore[arg-type]
    with pytest.raises(prela.ConfigurationError) as raised:
        load(exporter="x" * 100_000, environ={})
    assert len(str(raised.value)) < 500


@pytest.mark.anyio
@pytest.mark.parametrize("timeout", [math.nan, None])
async def test_a_timeout_that_is_no_number_is_none_and_none_is_no_end(timeout: Any) -> None:
    tracer = prela.init("test", "memory")
    with tracer.span("span"):
        pass
    assert await prela.flush(timeout) is (timeout is None)
    assert prela.sync.flush(None) is True  # type: ignore[arg-type]
