"""The OTLP exporter: what it sends, what it makes of each answer, and that no span is lost uncounted or sent twice."""

import logging
import math
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from email.utils import format_datetime
from types import TracebackType
from typing import Any, Self

import pytest

pytest.importorskip("httpx2", reason="the OTLP exporter is an extra")

import prela
from prela.aio import open_tracer
from prela.aio.exporters.otlp import OtlpExporter, rules
from prela.aio.exporters.otlp.exporter import RefusedError
from prela.aio.exporters.otlp.rules import Verdict
from prela.config import load
from prela.core.endpoint import DEFAULT_ENDPOINT
from prela.record import jsonl
from prela.record.model import SpanRecord
from prela.testing.otlp_collector import Answer, Collector, partial_success
from tests.conftest import RunProgram
from tests.traces import record

RESOURCE = {"service.name": "service"}


def records(*names: str) -> list[SpanRecord]:
    return [record(name, span_id=f"{i:016x}", resource=RESOURCE) for i, name in enumerate(names, 1)]


def names(found: Any) -> list[str]:
    return [one.name for one in found]


@pytest.fixture
def collector() -> Iterator[Collector]:
    with Collector() as found:
        yield found
        assert found.faults == []


class Exporting:
    """An exporter that is closed in the end."""

    def __init__(self, collector: Collector, **options: Any) -> None:
        self.exporter = OtlpExporter(collector.endpoint, **options)

    async def __aenter__(self) -> OtlpExporter:
        return self.exporter

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.exporter.aclose()


# --- what is sent ---------------------------------------------------------------------------------------------------


@pytest.mark.anyio
@pytest.mark.parametrize("protocol", ["http/protobuf", "http/json"])
@pytest.mark.parametrize("compression", ["none", "gzip"])
async def test_spans_arrive_as_they_were(collector: Collector, protocol: str, compression: str) -> None:
    sent = [
        record(
            f"span {i}",
            span_id=f"{i + 1:016x}",
            status=["success", "error", "cancelled"][i % 3],
            span_type=["custom", "llm", "tool"][i % 3],
            resource=RESOURCE,
            attributes={"k": [i, "ü" * i, {"deep": [b"\x00", None, math.inf]}]},
        )
        for i in range(100)
    ]
    async with Exporting(collector, protocol=protocol, compression=compression) as exporter:
        await exporter.export(sent)
    assert list(map(jsonl.encode, collector.records)) == list(map(jsonl.encode, sent))
    (request,) = collector.requests
    assert request.headers.get("content-encoding") == (None if compression == "none" else "gzip")


@pytest.mark.anyio
async def test_the_connection_is_kept_and_headers_are_sent(collector: Collector) -> None:
    async with Exporting(collector, headers={"X-Api-Key": "secret"}) as exporter:
        for name in "abc":
            await exporter.export(records(name))
    assert collector.connections == 1
    assert {request.headers["x-api-key"] for request in collector.requests} == {"secret"}


@pytest.mark.anyio
async def test_a_cancelled_span_is_an_error_there_where_that_is_wanted(collector: Collector) -> None:
    async with Exporting(collector, cancelled_as="error", protocol="http/json") as exporter:
        await exporter.export([record(status="cancelled", resource=RESOURCE)])
    assert b'"code":2' in collector.requests[0].content


@pytest.mark.anyio
async def test_an_exporter_that_was_closed_opens_another_connection(collector: Collector) -> None:
    async with Exporting(collector) as exporter:
        await exporter.export(records("before"))
        await exporter.aclose()
        await exporter.export(records("after"))
    assert (names(collector.records), collector.connections) == (["before", "after"], 2)


# --- what an answer means -------------------------------------------------------------------------------------------


def test_what_each_status_means() -> None:
    again = {status for status in range(100, 600) if rules.verdict_on(status) is Verdict.TRY_AGAIN}
    split = {status for status in range(100, 600) if rules.verdict_on(status) is Verdict.SPLIT}
    taken = {status for status in range(100, 600) if rules.verdict_on(status) is Verdict.TAKEN}
    assert (again, split, taken) == ({429, 502, 503, 504}, {413}, set(range(200, 300)))


NOW = datetime(2026, 11, 23, 12, 0, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        (None, None),
        ("", None),
        ("soon", None),
        ("-5", None),
        ("1.5", None),
        ("0", 0.0),
        (" 120 ", 120.0),
        ("9" * 50, 999999999999999999.0),
        (format_datetime(NOW.replace(minute=2), usegmt=True), 120.0),
        (format_datetime(NOW.replace(hour=11), usegmt=True), 0.0),
        ("Mon, 23 Nov 2026 12:00:30 -0000", 30.0),
    ],
)
def test_both_forms_of_retry_after_are_understood(header: str | None, seconds: float | None) -> None:
    assert rules.seconds_to_wait(header, NOW.timestamp()) == seconds


@pytest.mark.anyio
@pytest.mark.parametrize("status", [429, 502, 503, 504])
async def test_a_passing_failure_is_to_be_tried_again_after_as_long_as_the_receiver_says(
    collector: Collector, status: int
) -> None:
    collector.answer(Answer(status, headers={"Retry-After": "7"}, message="later"))
    async with Exporting(collector) as exporter:
        batch = records("a")
        with pytest.raises(prela.RetryableExportError, match=f"HTTP {status}: later") as raised:
            await exporter.export(batch)
        assert raised.value.retry_after == 7.0
        await exporter.export(batch)
    assert names(collector.records) == ["a"]


@pytest.mark.anyio
@pytest.mark.parametrize("status", [301, 400, 401, 403, 404, 408, 500, 501, 505])
async def test_any_other_failure_is_final_and_told_with_the_receivers_words(collector: Collector, status: int) -> None:
    collector.answer(Answer(status, message="no\nway"))
    async with Exporting(collector) as exporter:
        with pytest.raises(RefusedError, match=f"^HTTP {status}: no way$"):
            await exporter.export(records("a", "b"))
    assert len(collector.requests) == 1


@pytest.mark.anyio
@pytest.mark.parametrize("answer", [Answer(is_cut=True), Answer(hangs=True)], ids=["cut", "silent"])
async def test_a_connection_that_fails_is_to_be_tried_again(collector: Collector, answer: Answer) -> None:
    collector.answer(answer)
    async with Exporting(collector, timeout=0.2) as exporter:
        batch = records("a")
        with pytest.raises(prela.RetryableExportError):
            await exporter.export(batch)
        await exporter.export(batch)
    assert names(collector.records) == ["a"]


@pytest.mark.anyio
async def test_a_receiver_that_is_not_there_is_to_be_tried_again() -> None:
    with Collector() as gone:
        endpoint = gone.endpoint
    exporter = OtlpExporter(endpoint)
    with pytest.raises(prela.RetryableExportError, match="ConnectError"):
        await exporter.export(records("a"))
    await exporter.aclose()


@pytest.mark.anyio
@pytest.mark.parametrize("protocol", ["http/protobuf", "http/json"])
async def test_a_partial_success_is_counted_and_not_sent_again(collector: Collector, protocol: str) -> None:
    collector.answer(partial_success(2, "too old"))
    async with Exporting(collector, protocol=protocol) as exporter:
        with pytest.raises(prela.PartialExportError, match="too old") as raised:
            await exporter.export(records("a", "b", "c"))
    assert raised.value.lost == 2
    assert len(collector.requests) == 1


@pytest.mark.anyio
@pytest.mark.parametrize(("told", "lost"), [(3, 3), (99, 3)])
async def test_a_receiver_cannot_reject_more_than_it_was_sent(collector: Collector, told: int, lost: int) -> None:
    collector.answer(Answer(rejected=told, message="all"))
    async with Exporting(collector) as exporter:
        with pytest.raises(prela.PartialExportError, match="all") as raised:
            await exporter.export(records("a", "b", "c"))
    assert raised.value.lost == lost


@pytest.mark.anyio
@pytest.mark.parametrize(
    "answer",
    [
        Answer(message="a warning, and nothing rejected"),
        Answer(rejected=-5, message="odd"),
        Answer(body=b""),
        Answer(body=b"\xff\xff no Protobuf"),
        Answer(body=b"x" * 1_000_000),
        Answer(headers={"Content-Encoding": "gzip"}, body=b"not gzip"),
    ],
    ids=["warning", "negative", "empty", "garbage", "huge", "false encoding"],
)
async def test_a_success_is_one_whatever_its_body(collector: Collector, answer: Answer) -> None:
    collector.answer(answer)
    async with Exporting(collector) as exporter:
        await exporter.export(records("a"))
    assert len(collector.requests) == 1


@pytest.mark.anyio
async def test_no_more_of_an_answer_is_read_than_it_takes_to_say_what_is_wrong(collector: Collector) -> None:
    collector.answer(Answer(400, body=b"x" * 50_000_000))
    async with Exporting(collector) as exporter:
        with pytest.raises(RefusedError) as raised:
            await exporter.export(records("a"))
        assert len(str(raised.value)) < 600
        await exporter.export(records("b"))
    assert names(collector.records) == ["b"]


# --- splitting ------------------------------------------------------------------------------------------------------


@pytest.mark.anyio
async def test_what_is_too_large_for_the_receiver_is_sent_in_halves(collector: Collector) -> None:
    collector.answer(Answer(413), Answer(413))
    async with Exporting(collector) as exporter:
        await exporter.export(records(*"abcdefgh"))
    assert [names(found.records) for found in collector.deliveries] == [
        list(part) for part in ("abcdefgh", "abcd", "ab", "cd", "efgh")
    ]
    assert names(collector.records) == list("abcdefgh")


@pytest.mark.anyio
async def test_a_single_span_that_is_too_large_is_lost_alone(collector: Collector) -> None:
    collector.answer(Answer(413), Answer(413, message="too much"))
    async with Exporting(collector) as exporter:
        with pytest.raises(prela.PartialExportError, match="too much") as raised:
            await exporter.export(records("a", "b"))
    assert raised.value.lost == 1
    assert names(collector.records) == ["b"]


@pytest.mark.anyio
async def test_a_batch_beyond_the_limit_is_sent_in_parts_and_a_span_beyond_it_is_lost(collector: Collector) -> None:
    batch = records(*"abcdefgh")
    batch[3] = record("large", span_id=f"{4:016x}", resource=RESOURCE, attributes={"k": "x" * 2_000})
    async with Exporting(collector, max_request_bytes=1_000) as exporter:
        with pytest.raises(prela.PartialExportError, match="1,000 bytes") as raised:
            await exporter.export(batch)
    assert raised.value.lost == 1
    assert names(collector.records) == list("abcefgh")
    assert all(found.size <= 1_000 for found in collector.deliveries)


@pytest.mark.anyio
async def test_parts_that_were_taken_are_not_sent_again(collector: Collector) -> None:
    collector.answer(Answer(413), Answer(), Answer(503))
    async with Exporting(collector) as exporter:
        batch = records(*"abcd")
        with pytest.raises(prela.RetryableExportError):
            await exporter.export(batch)
        await exporter.export(batch)
    assert names(collector.records) == list("abcd")


@pytest.mark.anyio
async def test_another_batch_is_not_taken_for_the_rest_of_the_one_before(collector: Collector) -> None:
    collector.answer(Answer(503))
    async with Exporting(collector) as exporter:
        with pytest.raises(prela.RetryableExportError):
            await exporter.export(records("given up"))
        await exporter.export(records("next"))
    assert names(collector.records) == ["next"]


# --- in the pipeline ------------------------------------------------------------------------------------------------


def counts_since() -> Callable[[], tuple[int, dict[str, int]]]:
    before = prela.statistics()

    def counts() -> tuple[int, dict[str, int]]:
        now = prela.statistics()
        lost = {why: count - before.dropped.get(why, 0) for why, count in now.dropped.items()}
        return now.exported - before.exported, {why: count for why, count in lost.items() if count}

    return counts


class Tracing:
    """Tracing for a block, in a thread of its own or in this loop."""

    def __init__(self, own_thread: bool, exporter: Any) -> None:
        self._own_thread = own_thread
        self._open = open_tracer("service", exporter)
        self._exporter = exporter

    async def __aenter__(self) -> Self:
        if self._own_thread:
            prela.init("service", self._exporter)
        else:
            await self._open.__aenter__()
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._own_thread:
            await prela.shutdown()
        else:
            await self._open.__aexit__(exc_type, exc, traceback)


IN_BOTH = pytest.mark.parametrize("own_thread", [True, False], ids=["init", "open_tracer"])


@pytest.mark.anyio
@IN_BOTH
async def test_the_exporter_is_had_by_its_name(
    collector: Collector, own_thread: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://localhost:{collector.port}")
    counts = counts_since()
    async with Tracing(own_thread, "otlp"):
        with prela.get_tracer().span("outer"), prela.get_tracer().span("inner"):
            pass
        assert await prela.flush()
    assert names(collector.records) == ["inner", "outer"]
    assert collector.records[0].parent_span_id == collector.records[1].span_id
    assert collector.records[0].service_name == "service"
    assert counts() == (2, {})


@pytest.mark.anyio
@IN_BOTH
async def test_a_receiver_that_asks_for_time_gets_it_and_then_the_spans_once(
    collector: Collector, own_thread: bool
) -> None:
    collector.answer(Answer(503, headers={"Retry-After": "0"}), Answer(is_cut=True))
    counts = counts_since()
    async with Tracing(own_thread, OtlpExporter(collector.endpoint)):
        with prela.get_tracer().span("a"):
            pass
        assert await prela.flush()
    assert names(collector.records) == ["a"]
    assert len(collector.requests) == 3
    assert counts() == (1, {})


@pytest.mark.anyio
@IN_BOTH
async def test_spans_that_were_rejected_are_counted_so_and_the_others_as_exported(
    collector: Collector, own_thread: bool, caplog: pytest.LogCaptureFixture
) -> None:
    collector.answer(partial_success(2, "too old"))
    counts = counts_since()
    async with Tracing(own_thread, OtlpExporter(collector.endpoint)):
        for name in "abc":
            with prela.get_tracer().span(name):
                pass
        assert not await prela.flush()
    assert counts() == (1, {"rejected": 2})
    assert names(collector.records)[0] == "a"


@pytest.mark.anyio
@IN_BOTH
async def test_spans_that_were_refused_are_counted_and_the_reason_is_told(
    collector: Collector, own_thread: bool, caplog: pytest.LogCaptureFixture
) -> None:
    collector.answer(Answer(401, message="who are you"))
    counts = counts_since()
    with caplog.at_level(logging.WARNING, "prela"):
        async with Tracing(own_thread, OtlpExporter(collector.endpoint)):
            with prela.get_tracer().span("a"):
                pass
            assert not await prela.flush()
    assert counts() == (0, {"export_failed": 1})


# --- the end of a program, and forks --------------------------------------------------------------------------------


def test_a_script_that_never_flushes_has_its_spans_sent(collector: Collector, run_program: RunProgram) -> None:
    done = run_program(
        """
import prela
tracer = prela.init("test")
for number in range(2000):
    with tracer.span(f"span {number}"):
        pass
""",
        PRELA_EXPORTER="otlp",
        OTEL_EXPORTER_OTLP_ENDPOINT=f"http://localhost:{collector.port}",
        OTEL_EXPORTER_OTLP_COMPRESSION="gzip",
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert names(collector.records) == [f"span {number}" for number in range(2000)]


def test_spans_that_end_during_the_exit_are_sent(collector: Collector, run_program: RunProgram) -> None:
    done = run_program(
        """
import atexit
import prela
atexit.register(lambda: prela.get_tracer().span("late").__enter__().end())
tracer = prela.init("test")
with tracer.span("early"):
    pass
""",
        PRELA_EXPORTER="otlp",
        OTEL_EXPORTER_OTLP_ENDPOINT=f"http://localhost:{collector.port}",
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert sorted(names(collector.records)) == ["early", "late"]


def test_a_receiver_that_is_away_holds_up_the_exit_no_longer_than_it_may(run_program: RunProgram) -> None:
    with Collector(*[Answer(hangs=True)] * 20) as silent:
        done = run_program(
            """
import time
import prela
tracer = prela.init("test", exit_timeout=1.0)
with tracer.span("a"):
    pass
""",
            PRELA_EXPORTER="otlp",
            OTEL_EXPORTER_OTLP_TRACES_ENDPOINT=silent.endpoint,
            timeout=30,
        )
    assert done.returncode == 0
    assert "1 span was not exported within 1 s of the exit" in done.stderr


def test_parent_and_child_of_a_fork_each_send_their_own_over_their_own_connection(
    collector: Collector, run_program: RunProgram
) -> None:
    done = run_program(
        """
import os
import prela
tracer = prela.init("test")
with tracer.span("before"):
    pass
assert prela.sync.flush()
with tracer.span("parent"):
    child = os.fork()
    with tracer.span("in child" if child == 0 else "in parent"):
        pass
if child == 0:
    assert prela.sync.flush()
    os._exit(0)
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
""",
        PRELA_EXPORTER="otlp",
        OTEL_EXPORTER_OTLP_TRACES_ENDPOINT=collector.endpoint,
        PYTHONWARNINGS="ignore::DeprecationWarning",
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert sorted(names(collector.records)) == ["before", "in child", "in parent", "parent"]
    assert collector.connections == 2


# --- configuration --------------------------------------------------------------------------------------------------


def settings(**variables: str) -> Any:
    return load(
        exporter="otlp", environ={f"OTEL_EXPORTER_OTLP_{name}": value for name, value in variables.items()}
    ).otlp


@pytest.mark.parametrize(
    ("variables", "endpoint"),
    [
        ({}, DEFAULT_ENDPOINT),
        ({"ENDPOINT": "http://host:1"}, "http://host:1/v1/traces"),
        ({"ENDPOINT": "https://host/base/"}, "https://host/base/v1/traces"),
        ({"TRACES_ENDPOINT": "http://host:1"}, "http://host:1"),
        ({"TRACES_ENDPOINT": "http://a/x", "ENDPOINT": "http://b"}, "http://a/x"),
        ({"TRACES_ENDPOINT": "ftp://a", "ENDPOINT": "http://b"}, "http://b/v1/traces"),
        ({"ENDPOINT": "host:4318"}, DEFAULT_ENDPOINT),
        ({"ENDPOINT": "http://"}, DEFAULT_ENDPOINT),
        ({"ENDPOINT": "http://host:99999"}, DEFAULT_ENDPOINT),
    ],
    ids=repr,
)
def test_the_endpoint_for_all_signals_gets_the_path_and_that_for_traces_is_taken_as_it_is(
    variables: dict[str, str], endpoint: str
) -> None:
    assert settings(**variables).endpoint == endpoint


def test_every_variable_of_the_specification_is_read_and_that_for_traces_goes_first() -> None:
    of_all = {
        "HEADERS": "a=1,b=x%20y",
        "TIMEOUT": "2500",
        "COMPRESSION": "gzip",
        "PROTOCOL": "http/json",
        "CERTIFICATE": "/ca.pem",
        "CLIENT_CERTIFICATE": "/client.pem",
        "CLIENT_KEY": "/client.key",
    }
    found = settings(**of_all)
    assert (found.headers, found.timeout, found.compression, found.protocol) == (
        {"a": "1", "b": "x y"},
        2.5,
        "gzip",
        "http/json",
    )
    assert (found.certificate, found.client_certificate, found.client_key) == ("/ca.pem", "/client.pem", "/client.key")
    for_traces = settings(**of_all, TRACES_HEADERS="c=3", TRACES_TIMEOUT="1", TRACES_COMPRESSION="none")
    assert (for_traces.headers, for_traces.timeout, for_traces.compression) == ({"c": "3"}, 0.001, "none")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("ENDPOINT", "nowhere"),
        ("TRACES_ENDPOINT", "http://a b"),
        ("HEADERS", "no equals sign"),
        ("HEADERS", "a=line%0Abreak"),
        ("HEADERS", "bad name=1"),
        ("TIMEOUT", "soon"),
        ("TIMEOUT", "0"),
        ("COMPRESSION", "brotli"),
        ("PROTOCOL", "grpc"),
    ],
)
def test_a_bad_variable_is_logged_and_ignored(name: str, value: str, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, "prela"):
        assert settings(**{name: value}) == settings()
    assert f"OTEL_EXPORTER_OTLP_{name} is {value!r} and was ignored" in caplog.text


def test_a_bad_variable_of_ours_raises() -> None:
    with pytest.raises(prela.ConfigurationError, match="unset, error"):
        load(exporter="otlp", environ={"PRELA_OTLP_CANCELLED_AS": "failed"})


@pytest.mark.parametrize(
    "options",
    [
        {"endpoint": "localhost:4318"},
        {"endpoint": None},
        {"headers": {"a": 1}},
        {"headers": {"a": "b\r\nc: d"}},
        {"headers": ["a"]},
        {"protocol": "grpc"},
        {"compression": "br"},
        {"timeout": 0},
        {"timeout": True},
        {"cancelled_as": "ok"},
        {"max_request_bytes": -1},
    ],
    ids=repr,
)
def test_a_bad_argument_is_an_error_that_names_it(options: dict[str, Any]) -> None:
    (name,) = options
    with pytest.raises(prela.ConfigurationError, match=f"prela: {name} is "):
        OtlpExporter(**options)


@pytest.mark.anyio
@pytest.mark.parametrize("option", ["certificate", "client_certificate"])
async def test_a_certificate_that_is_not_there_is_an_error_of_the_export_and_not_of_the_program(
    option: str, tmp_path: Any
) -> None:
    exporter = OtlpExporter("https://localhost:1/v1/traces", **{option: str(tmp_path / "none.pem")})
    with pytest.raises(OSError, match=r"."):
        await exporter.export(records("a"))
    await exporter.aclose()


def test_without_the_extra_one_error_names_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.startswith("prela.aio.exporters.otlp")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "httpx2", None)
    with pytest.raises(prela.ConfigurationError, match=r"pip install 'prela\[otlp\]'"):
        prela.aio.open_tracer("test", "otlp")
    with pytest.raises(prela.ConfigurationError, match=r"pip install 'prela\[otlp\]'"):
        prela.init("test", "otlp")
