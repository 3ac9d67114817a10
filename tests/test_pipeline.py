"""From the end of a span to its exporters: flush, shutdown, misbehaving exporters, overload, and the sums."""

import asyncio
import gc
import logging
import threading
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from concurrent.futures import Future, InvalidStateError, ThreadPoolExecutor
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from time import monotonic
from typing import Any

import anyio
import anyio.lowlevel
import pytest

import prela
from prela.aio import open_tracer
from prela.aio.process import process
from prela.aio.waking import answered
from prela.core import log
from prela.core.buffer import Buffer
from prela.testing import FailingExporter, HangingExporter

pytestmark = pytest.mark.anyio

Tracing = Callable[..., AbstractAsyncContextManager[prela.Tracer]]


@asynccontextmanager
async def _tracing_by_init(exporter: Any, **options: Any) -> AsyncIterator[prela.Tracer]:
    try:
        yield prela.init("test", exporter, **options)
    finally:
        with anyio.CancelScope(shield=True):
            await prela.shutdown(options.get("exit_timeout", 5.0))


@pytest.fixture(params=["init", "open_tracer"])
def tracing(request: pytest.FixtureRequest) -> Tracing:
    """Tracing for a block, with the worker in a thread of its own, or in this very loop."""
    if request.param == "init":
        return _tracing_by_init
    return lambda exporter, **options: open_tracer("test", exporter, **options)


@pytest.fixture(autouse=True)
def _no_earlier_losses() -> None:
    prela.sync.flush()


@pytest.fixture
def since() -> Callable[[], dict[str, int]]:
    """What `statistics()` counts from here on: the counts are of the whole process."""
    before = _counts()

    def differences() -> dict[str, int]:
        return {what: count - before.get(what, 0) for what, count in _counts().items() if count != before.get(what, 0)}

    return differences


def _counts() -> dict[str, int]:
    counts = prela.statistics()
    losses = {f"dropped {reason}": count for reason, count in counts.dropped.items()}
    plain = ("started", "open", "queued", "in_flight", "exported", "unsampled")
    return {**{what: getattr(counts, what) for what in plain}, **losses}


def assert_adds_up() -> None:
    counts = prela.statistics()
    places = counts.open, counts.queued, counts.in_flight, counts.spooled, counts.exported, counts.unsampled
    assert counts.started == sum(places) + sum(counts.dropped.values()), counts


class Keeping:
    """Keeps what it is given, and how often it was closed."""

    def __init__(self) -> None:
        self.records: list[prela.SpanRecord] = []
        self.closed = 0

    @property
    def names(self) -> list[str]:
        return [record.name for record in self.records]

    async def export(self, spans: Sequence[prela.SpanRecord]) -> object:
        self.records.extend(spans)
        return None

    async def aclose(self) -> None:
        self.closed += 1


class Counting(Keeping):
    """Can be waited for until it has so many records."""

    def __init__(self) -> None:
        super().__init__()
        self._enough: tuple[int, Future[None]] = (0, Future())

    async def has(self, count: int) -> None:
        self._enough = (count, Future())
        self._look()
        with anyio.fail_after(10):
            await answered(self._enough[1])

    async def export(self, spans: Sequence[prela.SpanRecord]) -> None:
        await super().export(spans)
        self._look()

    def _look(self) -> None:
        count, future = self._enough
        try:
            if len(self.records) >= count:
                future.set_result(None)
        except InvalidStateError:
            pass  # the other thread saw it too


def spans(tracer: prela.Tracer, count: int, name: str = "span") -> None:
    for number in range(count):
        with tracer.span(f"{name} {number}"):
            pass


def named(name: str, count: int) -> list[str]:
    return [f"{name} {number}" for number in range(count)]


def our_threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("prela")]


# --- flush ----------------------------------------------------------------------------------------------------------


async def test_flush_is_true_once_every_exporter_has_what_had_ended(tracing: Tracing) -> None:
    one, other = Keeping(), Keeping()
    async with tracing([one, other], export_delay=60) as tracer:
        spans(tracer, 1_500)
        assert await prela.flush()
        assert one.names == other.names == named("span", 1_500)
        assert (prela.statistics().queued, prela.statistics().in_flight) == (0, 0)


async def test_flush_is_true_where_nothing_has_ended(tracing: Tracing) -> None:
    async with tracing(Keeping()) as tracer:
        assert await prela.flush()
        left_open = tracer.start_span("left open")
        assert await prela.flush()
        left_open.end()


async def test_flush_is_true_while_tracing_is_off() -> None:
    assert await prela.flush()
    assert prela.sync.flush()


async def test_flush_is_false_until_one_has_begun_after_the_last_loss(tracing: Tracing) -> None:
    exporter = FailingExporter(times=1)
    async with tracing(exporter) as tracer:
        assert await prela.flush()
        spans(tracer, 1, "lost")
        assert not await prela.flush()
        spans(tracer, 1, "kept")
        assert not await prela.flush()  # since the flush before it began, a span was lost
        assert await prela.flush()
        assert [record.name for record in exporter.records if record.name != "prela.dropped"] == ["kept 0"]


async def test_flush_is_false_when_an_exporter_of_an_earlier_init_loses_what_was_queued() -> None:
    tracer = prela.init("one", FailingExporter(), export_delay=60)
    spans(tracer, 3)
    prela.init("two", Keeping())
    assert not await prela.flush()


async def test_flush_waits_for_the_exporters_of_every_earlier_init() -> None:
    exporters = [Keeping() for _ in range(5)]
    for number, exporter in enumerate(exporters):
        spans(prela.init(f"service {number}", exporter, export_delay=60), 10)
    assert await prela.flush()
    assert [exporter.names for exporter in exporters] == [named("span", 10)] * 5
    assert [{record.service_name for record in exporter.records} for exporter in exporters] == [
        {f"service {number}"} for number in range(5)
    ]


async def test_flush_gives_up_after_its_timeout_and_says_so(tracing: Tracing, caplog: pytest.LogCaptureFixture) -> None:
    exporter = HangingExporter()
    async with tracing(exporter, exit_timeout=5.0) as tracer:
        spans(tracer, 3)
        assert not await prela.flush(0.05)
        assert "prela: flush was not done within 0.05 s" in caplog.messages
        exporter.release()
        assert await prela.flush()
        assert [record.name for record in exporter.records] == named("span", 3)


def test_sync_flush_gives_up_after_its_timeout_and_says_so(caplog: pytest.LogCaptureFixture) -> None:
    exporter = HangingExporter()
    spans(prela.init("test", exporter), 3)
    assert not prela.sync.flush(0.05)
    assert caplog.messages == ["prela: flush was not done within 0.05 s"]
    exporter.release()
    assert prela.sync.flush()


@pytest.mark.parametrize("timeout", [0, -1.0, 1e12, float("inf")])
async def test_any_number_is_a_timeout_for_flush(timeout: float, tracing: Tracing) -> None:
    async with tracing(Keeping()) as tracer:
        spans(tracer, 1)
        assert await prela.flush(timeout) is (timeout > 0)


@pytest.mark.parametrize("timeout", [1e12, float("inf")])
def test_any_number_is_a_timeout_for_sync_flush_and_shutdown(timeout: float) -> None:
    spans(prela.init("test", Keeping()), 1)
    assert prela.sync.flush(timeout)
    assert prela.sync.shutdown(timeout)


async def test_a_flush_that_is_cancelled_lets_the_cancellation_through_and_harms_no_other(tracing: Tracing) -> None:
    exporter = HangingExporter()
    async with tracing(exporter) as tracer:
        spans(tracer, 3)
        with anyio.CancelScope() as scope:
            scope.cancel()
            await prela.flush()
        assert scope.cancelled_caught
        exporter.release()
        assert await prela.flush()


async def test_two_hundred_tasks_flush_at_once(tracing: Tracing) -> None:
    exporter = Keeping()
    answers = []

    async def work(number: int) -> None:
        spans(prela.get_tracer(), 1, f"task {number}")
        answers.append(await prela.flush(10))

    async with tracing(exporter), anyio.create_task_group() as group:
        for number in range(200):
            group.start_soon(work, number)
    assert answers == [True] * 200
    assert sorted(exporter.names) == sorted(f"task {number} 0" for number in range(200))


def test_many_threads_with_and_without_loops_flush_at_once(since: Callable[[], dict[str, int]]) -> None:
    tracer = prela.init("test", Keeping())
    barrier = threading.Barrier(9)
    ways: list[Callable[[], bool]] = [
        lambda: prela.sync.flush(10),
        lambda: anyio.run(prela.flush, 10.0, backend="asyncio"),
        lambda: anyio.run(prela.flush, 10.0, backend="trio"),
    ]

    def work(number: int) -> list[bool]:
        barrier.wait(timeout=10)
        answers = []
        for _ in range(10):
            spans(tracer, 1)
            answers.append(ways[number % 3]())
        return answers

    with ThreadPoolExecutor(9) as pool:
        assert list(pool.map(work, range(9))) == [[True] * 10] * 9
    assert since() == {"started": 90, "exported": 90}


async def test_the_flush_of_another_thread_does_not_hold_the_loop_that_the_worker_runs_in(tracing: Tracing) -> None:
    exporter = Keeping()
    async with tracing(exporter) as tracer:
        spans(tracer, 3)
        assert await anyio.to_thread.run_sync(prela.sync.flush)
        assert exporter.names == named("span", 3)


async def test_sync_flush_and_shutdown_on_the_workers_own_loop_are_refused(caplog: pytest.LogCaptureFixture) -> None:
    exporter = Keeping()
    async with open_tracer("test", exporter) as tracer:
        spans(tracer, 3)
        assert prela.sync.flush() is False
        assert prela.sync.shutdown() is False
        assert [message.split(" on ")[0] for message in caplog.messages] == [
            "prela: sync.flush()",
            "prela: sync.shutdown()",
        ]
        spans(tracer, 1, "after")
        assert await prela.flush()
    assert exporter.names == [*named("span", 3), "after 0"]


def test_an_exporter_that_calls_sync_flush_and_shutdown_is_refused_and_goes_on() -> None:
    answers = []

    class Calling(Keeping):
        async def export(self, spans: Sequence[prela.SpanRecord]) -> None:
            answers.extend([prela.sync.flush(), prela.sync.shutdown()])
            await super().export(spans)

    exporter = Calling()
    spans(prela.init("test", exporter), 1)
    assert prela.sync.flush()
    assert answers == [False, False]
    assert exporter.names == ["span 0"]


async def test_an_exporter_that_awaits_flush_gets_false_and_goes_on(tracing: Tracing) -> None:
    answers = []

    class Calling(Keeping):
        async def export(self, spans: Sequence[prela.SpanRecord]) -> None:
            answers.append(await prela.flush(0.05))
            await super().export(spans)

    exporter = Calling()
    async with tracing(exporter) as tracer:
        spans(tracer, 1)
        assert await prela.flush()
    assert answers == [False]
    assert exporter.names == ["span 0"]


async def test_full_batches_leave_in_the_size_that_was_asked_for(
    tracing: Tracing, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes = []

    class Sizing(Counting):
        async def export(self, spans: Sequence[prela.SpanRecord]) -> None:
            sizes.append(len(spans))
            await super().export(spans)

    monkeypatch.setenv("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "100")
    exporter = Sizing()
    async with tracing(exporter, export_delay=60) as tracer:
        spans(tracer, 350)
        await exporter.has(300)  # nobody flushes: full batches go by themselves
        assert await prela.flush()
    assert sizes[:3] == [100, 100, 100]
    assert exporter.names == named("span", 350)


# --- shutdown and init ------------------------------------------------------------------------------------------------


def test_no_thread_of_ours_is_left_after_shutdown() -> None:
    class Plain:
        def export(self, spans: Sequence[prela.SpanRecord]) -> None: ...
        def aclose(self) -> None: ...

    for exporter in ("none", Plain(), [Keeping(), Plain()]):
        spans(prela.init("test", exporter), 3)
    assert prela.sync.flush()
    assert our_threads()
    assert prela.sync.shutdown()
    assert our_threads() == []


async def test_awaiting_shutdown_leaves_no_thread_and_closes_the_exporter() -> None:
    exporter = Keeping()
    spans(prela.init("test", exporter, export_delay=60), 3)
    assert await prela.shutdown()
    assert our_threads() == []
    assert (exporter.names, exporter.closed) == (named("span", 3), 1)


def test_after_shutdown_nothing_is_recorded_until_the_next_init(since: Callable[[], dict[str, int]]) -> None:
    exporter = Keeping()
    tracer = prela.init("test", exporter)
    assert prela.sync.shutdown()
    assert prela.sync.shutdown()
    spans(tracer, 5)
    assert since() == {}
    assert prela.init("test", exporter) is tracer
    spans(tracer, 1, "again")
    assert prela.sync.flush()
    assert exporter.names == ["again 0"]


def test_a_span_that_ends_after_shutdown_is_counted(since: Callable[[], dict[str, int]]) -> None:
    exporter = Keeping()
    with prela.init("test", exporter).span("late"):
        assert prela.sync.shutdown()
    assert since() == {"started": 1, "dropped shutdown": 1}
    assert exporter.records == []


def test_a_span_that_ends_after_shutdown_and_the_next_init_is_exported_under_that(
    since: Callable[[], dict[str, int]],
) -> None:
    exporter = Keeping()
    with prela.init("test", Keeping()).span("late"):
        assert prela.sync.shutdown()
        prela.init("test", exporter)
    assert prela.sync.flush()
    assert since() == {"started": 1, "exported": 1}
    assert exporter.names == ["late"]


class Exits:
    def __init__(self, error: BaseException) -> None:
        self.error = error

    def __str__(self) -> str:
        raise self.error


@pytest.mark.parametrize("error", [SystemExit(3), KeyboardInterrupt(), asyncio.CancelledError()])
async def test_whatever_a_name_raises_that_is_no_text_the_worker_and_the_program_go_on(
    error: BaseException, tracing: Tracing
) -> None:
    exporter = Keeping()
    async with tracing(exporter) as tracer:
        name: Any = Exits(error)
        with tracer.span(name, span_type=name) as span:
            span.set_attribute(name, 1)
        spans(tracer, 2)
        assert await prela.flush()
    wrong, *others = exporter.records
    assert "in __str__" in wrong.name
    assert [record.name for record in others] == named("span", 2)


@pytest.mark.parametrize("kind", ["async", "plain"])
def test_shutdown_gives_up_on_a_hanging_exporter_and_counts_what_it_lost(
    kind: str, since: Callable[[], dict[str, int]]
) -> None:
    release = threading.Event()

    class Plain:
        def export(self, spans: Sequence[prela.SpanRecord]) -> None:
            release.wait(30)

    tracer = prela.init("test", HangingExporter() if kind == "async" else Plain())
    spans(tracer, 700)
    began = monotonic()
    assert prela.sync.shutdown(0.3) is False
    assert monotonic() - began < 3
    release.set()
    assert since() == {"started": 700, "dropped shutdown": 700}


def test_shutdown_is_false_when_an_exporter_refuses_the_last_spans(since: Callable[[], dict[str, int]]) -> None:
    spans(prela.init("test", FailingExporter(), export_delay=60), 3)
    assert prela.sync.shutdown() is False
    assert since() == {"started": 3, "dropped export_failed": 3}


def test_shutdown_may_be_called_from_many_threads_at_once() -> None:
    exporter = Keeping()
    spans(prela.init("test", exporter), 10)
    barrier = threading.Barrier(8)

    def shutdown(_: int) -> bool:
        barrier.wait(timeout=10)
        return prela.sync.shutdown()

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(shutdown, range(8)))
    assert our_threads() == []
    assert exporter.names == named("span", 10)


def test_spans_that_end_while_others_shut_down_are_exported_or_counted(since: Callable[[], dict[str, int]]) -> None:
    done = threading.Event()

    def trace(tracer: prela.Tracer) -> None:
        while not done.is_set():
            with tracer.span("plain"):
                pass
            with tracer.span("weighed") as span:
                span.set_attribute("a", [1])
            done.wait(0.0001)

    for number in range(10):
        done.clear()
        tracer = prela.init(f"{number}", "none")
        threads = [threading.Thread(target=trace, args=(tracer,)) for _ in range(3)]
        for thread in threads:
            thread.start()
        spans(tracer, 100)
        prela.sync.shutdown()
        done.set()
        for thread in threads:
            thread.join(10)
    counts = since()
    assert not {"open", "queued", "in_flight"} & set(counts)
    assert counts["started"] == counts["exported"] + counts.get("dropped shutdown", 0)


async def test_shutdown_inside_open_tracer_exports_what_has_ended_and_the_block_goes_on() -> None:
    exporter = Keeping()
    async with open_tracer("test", exporter, export_delay=60) as tracer:
        spans(tracer, 3, "before")
        assert await prela.shutdown()
        assert exporter.names == named("before", 3)
        spans(tracer, 3, "after")
    assert exporter.names == [*named("before", 3), *named("after", 3)]
    assert exporter.closed == 1


def test_a_second_init_drains_and_closes_the_exporters_before_it() -> None:
    first, second = Keeping(), Keeping()
    tracer = prela.init("one", first, export_delay=60)
    with tracer.span("open across"):
        spans(tracer, 3)
        assert prela.init("two", second) is tracer
        spans(tracer, 3, "later")
    assert prela.sync.shutdown()
    assert (first.names, first.closed) == (named("span", 3), 1)
    assert (second.names, second.closed) == ([*named("later", 3), "open across"], 1)
    assert {record.service_name for record in first.records} == {"one"}
    assert [record.service_name for record in second.records] == ["two", "two", "two", "one"]
    assert {record.parent_span_id for record in second.records[:3]} == {second.records[3].span_id}


def test_an_exporter_that_the_next_init_goes_on_with_is_not_closed() -> None:
    exporter = Keeping()
    tracer = prela.init("one", exporter)
    spans(tracer, 1, "one")
    assert prela.sync.flush()
    prela.init("two", exporter)
    spans(tracer, 1, "two")
    assert prela.sync.flush()
    assert sorted(exporter.names) == ["one 0", "two 0"]
    assert exporter.closed == 0
    assert prela.sync.shutdown()
    assert exporter.closed == 1


def test_threads_that_trace_across_many_inits_lose_nothing(since: Callable[[], dict[str, int]]) -> None:
    done = threading.Event()
    tracer = prela.init("test", "none")

    def trace() -> None:
        while not done.is_set():
            with tracer.span("parent"), tracer.span("child"):
                pass
            done.wait(0.0002)

    threads = [threading.Thread(target=trace) for _ in range(4)]
    for thread in threads:
        thread.start()
    for number in range(60):
        spans(prela.init(f"{number}", "none"), 5)
    done.set()
    for thread in threads:
        thread.join(10)
    assert prela.sync.shutdown()
    counts = since()
    assert counts["started"] >= 300
    assert counts == {"started": counts["started"], "exported": counts["started"]}
    assert our_threads() == []


# --- exporters --------------------------------------------------------------------------------------------------------


async def test_an_exporter_that_fails_does_not_cost_another_anything(
    tracing: Tracing, since: Callable[[], dict[str, int]]
) -> None:
    failing, keeping = FailingExporter(), Keeping()
    before = prela.statistics().exporters.get("Keeping", prela.ExporterStatistics(0, {}, 0))
    async with tracing([failing, keeping]) as tracer:
        spans(tracer, 700)
        assert not await prela.flush()
        counts = prela.statistics().exporters
        assert keeping.names == named("span", 700)
        assert since() == {"started": 700, "dropped export_failed": 700}
        assert counts["Keeping"].exported - before.exported == 700
        assert (counts["Keeping"].waiting, counts["FailingExporter"].waiting) == (0, 0)
    assert keeping.names == named("span", 700)  # and no record that it lacks anything


async def test_an_exporter_that_hangs_does_not_hold_up_another(tracing: Tracing) -> None:
    hanging, fast = HangingExporter(), Counting()
    async with tracing([hanging, fast], export_delay=0.01) as tracer:
        spans(tracer, 2_000)
        await fast.has(2_000)
        assert hanging.records == []
        assert fast.names == named("span", 2_000)
        hanging.release()
        assert await prela.flush()
        assert [record.name for record in hanging.records] == named("span", 2_000)


async def test_a_backlog_that_is_full_costs_its_own_exporter_only_and_is_written_down_there(
    tracing: Tracing, since: Callable[[], dict[str, int]]
) -> None:
    hanging, fast = HangingExporter(), Counting()
    async with tracing([hanging, fast], limits={"queue_spans": 1_000}) as tracer:
        for step in range(1, 7):
            spans(tracer, 400)
            assert not await prela.flush(0.001)
            await fast.has(400 * step)
        hanging.release()
        assert not await prela.flush()
        lost = since()["dropped queue_full"]
        assert since() == {"started": 2_400, "exported": 2_400 - lost, "dropped queue_full": lost}
        assert fast.names == named("span", 400) * 6
        assert len([record for record in hanging.records if record.name != "prela.dropped"]) == 2_400 - lost
    told = [record.attributes for record in hanging.records if record.name == "prela.dropped"]
    assert sum(counts["prela.dropped.queue_full"] for counts in told) == lost
    assert fast.names == named("span", 400) * 6


async def test_one_export_of_an_exporter_is_under_way_at_a_time(tracing: Tracing) -> None:
    class Watching(Keeping):
        busy = most = 0

        async def export(self, spans: Sequence[prela.SpanRecord]) -> None:
            self.busy += 1
            self.most = max(self.most, self.busy)
            for _ in range(5):
                await anyio.lowlevel.checkpoint()
            self.busy -= 1
            await super().export(spans)

    exporter = Watching()
    async with tracing(exporter) as tracer:
        spans(tracer, 3_000)
        assert await prela.flush()
    assert exporter.most == 1
    assert exporter.names == named("span", 3_000)


async def test_plain_methods_run_in_a_daemon_thread_of_ours(tracing: Tracing) -> None:
    seen: list[threading.Thread] = []

    class Plain:
        def export(self, spans: Sequence[prela.SpanRecord]) -> None:
            seen.append(threading.current_thread())

        def aclose(self) -> None:
            seen.append(threading.current_thread())

    async with tracing(Plain()) as tracer:
        spans(tracer, 3)
        assert await prela.flush()
    assert len(seen) == 2
    assert {(thread.name, thread.daemon) for thread in seen} == {("prela-exporter-Plain", True)}
    assert our_threads() == []


async def test_a_plain_export_that_blocks_holds_neither_the_loop_nor_another_exporter(tracing: Tracing) -> None:
    release = threading.Event()

    class Blocking:
        def export(self, spans: Sequence[prela.SpanRecord]) -> None:
            release.wait(30)

    fast = Counting()
    async with tracing([Blocking(), fast], export_delay=0.01) as tracer:
        spans(tracer, 3)
        await fast.has(3)
        assert not release.is_set()
        release.set()
        assert await prela.flush()


async def test_a_plain_function_may_return_an_awaitable(tracing: Tracing) -> None:
    class Returning(Keeping):
        def export(self, spans: Sequence[prela.SpanRecord]) -> Any:
            return super().export(spans)

    exporter = Returning()
    async with tracing(exporter) as tracer:
        spans(tracer, 3)
        assert await prela.flush()
    assert exporter.names == named("span", 3)


async def test_a_retryable_failure_costs_nothing_but_time(
    tracing: Tracing, since: Callable[[], dict[str, int]]
) -> None:
    exporter = FailingExporter(prela.RetryableExportError("not now", retry_after=0.01), times=3)
    async with tracing(exporter) as tracer:
        spans(tracer, 3)
        assert await prela.flush()
    assert exporter.attempts == 4
    assert [record.name for record in exporter.records] == named("span", 3)
    assert since() == {"started": 3, "exported": 3}


async def test_an_exporter_that_asks_to_be_tried_again_says_why_once(
    tracing: Tracing, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Busy(FailingExporter):
        pass

    monkeypatch.setattr(log, "_told", set())  # the same test has told it on another loop
    with caplog.at_level(logging.WARNING, "prela"):
        async with tracing(Busy(prela.RetryableExportError("not now", retry_after=0.01), times=3)) as tracer:
            spans(tracer, 1)
            assert await prela.flush()
    assert [message for message in caplog.messages if "not now" in message] == [
        "prela: exporter 'Busy' could not take a batch, which will be tried again: not now (told once)"
    ]


@pytest.mark.parametrize("retry_after", [0, -1.0, float("nan"), "soon", object(), "0.01"])
async def test_what_is_no_number_of_seconds_to_retry_after_is_passed_over(retry_after: Any, tracing: Tracing) -> None:
    exporter = FailingExporter(prela.RetryableExportError(retry_after=retry_after), times=1)
    async with tracing(exporter) as tracer:
        spans(tracer, 3)
        assert await prela.flush()
    assert [record.name for record in exporter.records] == named("span", 3)


async def test_a_receiver_that_asks_for_more_than_a_minute_is_given_up(
    tracing: Tracing, since: Callable[[], dict[str, int]]
) -> None:
    async with tracing(FailingExporter(prela.RetryableExportError(retry_after=61.0))) as tracer:
        spans(tracer, 3)
        assert not await prela.flush(10)
        assert since() == {"started": 3, "dropped export_failed": 3}


async def test_returning_false_is_final_and_returning_anything_else_is_success(
    tracing: Tracing, since: Callable[[], dict[str, int]]
) -> None:
    class Answering(Keeping):
        answer: object = False

        async def export(self, spans: Sequence[prela.SpanRecord]) -> object:
            await super().export(spans)
            return self.answer

    exporter = Answering()
    async with tracing(exporter) as tracer:
        spans(tracer, 3)
        assert not await prela.flush()
        assert since() == {"started": 3, "dropped export_failed": 3}
        assert exporter.names == named("span", 3)
        for exporter.answer in (None, True, 0, "", object()):
            spans(tracer, 1)
            await prela.flush()
    assert since() == {"started": 8, "dropped export_failed": 3, "exported": 5}


class _OwnError(BaseException):
    pass


ASYNCIO: Any = [
    pytest.param(("asyncio", {}), id="asyncio"),
    pytest.param(("asyncio", {"use_uvloop": True}), id="uvloop"),
]


class _UnprintableError(Exception):
    def __str__(self) -> str:
        raise ValueError("no text")


FAILURES: dict[str, Callable[[], BaseException]] = {
    "unprintable": _UnprintableError,
    "Exception": lambda: ValueError("x"),
    "TimeoutError": lambda: TimeoutError("a socket's"),
    "group": lambda: ExceptionGroup("several", [ValueError("x")]),
}
NO_EXCEPTIONS: dict[str, Callable[[], BaseException]] = {
    "BaseException": _OwnError,
    "SystemExit": lambda: SystemExit(7),
    "KeyboardInterrupt": KeyboardInterrupt,
    "CancelledError": lambda: asyncio.CancelledError("nobody cancelled"),
    "GeneratorExit": GeneratorExit,
    "group": lambda: BaseExceptionGroup("several", [SystemExit(5), ValueError("x")]),
}


class Raising(Keeping):
    """Raises while told to, in `export` or `aclose`."""

    def __init__(self, make: Callable[[], BaseException]) -> None:
        super().__init__()
        self.make = make
        self.fails = True

    async def export(self, spans: Sequence[prela.SpanRecord]) -> None:
        self.keep_or_raise(spans)

    def keep_or_raise(self, spans: Sequence[prela.SpanRecord]) -> None:
        if self.fails:
            raise self.make()
        self.records.extend(spans)


class PlainRaising(Raising):
    def export(self, spans: Sequence[prela.SpanRecord]) -> None:  # type: ignore[override]
        self.keep_or_raise(spans)


class RaisingAtClose(Keeping):
    def __init__(self, make: Callable[[], BaseException]) -> None:
        super().__init__()
        self.make = make

    async def aclose(self) -> None:
        raise self.make()


async def assert_only_its_batch_is_lost(
    tracing: Tracing, exporter: Raising, since: Callable[[], dict[str, int]]
) -> None:
    async with tracing(exporter) as tracer:
        spans(tracer, 2, "lost")
        assert not await prela.flush()
        assert since() == {"started": 2, "dropped export_failed": 2}
        exporter.fails = False
        spans(tracer, 3, "kept")
        await prela.flush()
    assert [name for name in exporter.names if name != "prela.dropped"] == named("kept", 3)
    assert since() == {"started": 5, "dropped export_failed": 2, "exported": 3}


@pytest.mark.parametrize("make", FAILURES.values(), ids=FAILURES)
@pytest.mark.parametrize("kind", [Raising, PlainRaising], ids=["async", "plain"])
async def test_an_exception_of_an_exporter_costs_its_batch_and_nothing_else(
    make: Callable[[], BaseException], kind: type[Raising], tracing: Tracing, since: Callable[[], dict[str, int]]
) -> None:
    await assert_only_its_batch_is_lost(tracing, kind(make), since)


@pytest.mark.parametrize("make", NO_EXCEPTIONS.values(), ids=NO_EXCEPTIONS)
@pytest.mark.parametrize("kind", [Raising, PlainRaising], ids=["async", "plain"])
async def test_what_is_no_exception_and_raised_by_an_exporter_costs_its_batch_and_nothing_else(
    make: Callable[[], BaseException], kind: type[Raising], tracing: Tracing, since: Callable[[], dict[str, int]]
) -> None:
    await assert_only_its_batch_is_lost(tracing, kind(make), since)


@pytest.mark.parametrize("make", [*FAILURES.values(), *NO_EXCEPTIONS.values()], ids=[*FAILURES, *NO_EXCEPTIONS])
async def test_nothing_that_closing_an_exporter_raises_costs_another_anything(
    make: Callable[[], BaseException], tracing: Tracing
) -> None:
    raising, other = RaisingAtClose(make), Keeping()
    async with tracing([raising, other], export_delay=60) as tracer:
        spans(tracer, 3)
    assert raising.names == other.names == named("span", 3)
    assert other.closed == 1
    assert our_threads() == []


@pytest.mark.parametrize("anyio_backend", ASYNCIO)
async def test_an_exporter_that_cancels_its_own_task_loses_its_batch_and_nothing_else(
    since: Callable[[], dict[str, int]],
) -> None:
    class Cancelling(Raising):
        async def export(self, spans: Sequence[prela.SpanRecord]) -> None:
            if self.fails:
                task = asyncio.current_task()
                assert task is not None
                task.cancel()
                await asyncio.sleep(0)
            await super().export(spans)

    await assert_only_its_batch_is_lost(_tracing_by_init, Cancelling(ValueError), since)


async def test_an_exporter_whose_attributes_raise_is_exported_to_as_far_as_it_goes(tracing: Tracing) -> None:
    class Odd:
        records: list[prela.SpanRecord] = []  # noqa: RUF012

        @property
        def aclose(self) -> Any:
            raise ValueError("no closing")

        async def export(self, spans: Sequence[prela.SpanRecord]) -> None:
            self.records.extend(spans)

    exporter = Odd()
    async with tracing(exporter) as tracer:
        spans(tracer, 3)
        assert await prela.flush()
    assert [record.name for record in exporter.records] == named("span", 3)
    assert our_threads() == []


async def test_an_export_that_takes_too_long_is_cancelled_and_tried_again(
    tracing: Tracing, monkeypatch: pytest.MonkeyPatch, since: Callable[[], dict[str, int]]
) -> None:
    class SlowAtFirst(Keeping):
        calls = cancelled = 0

        async def export(self, spans: Sequence[prela.SpanRecord]) -> None:
            self.calls += 1
            if self.calls == 1:
                try:
                    await anyio.sleep(1_000)
                except anyio.get_cancelled_exc_class():
                    self.cancelled += 1
                    raise
            await super().export(spans)

    monkeypatch.setenv("OTEL_BSP_EXPORT_TIMEOUT", "50")
    exporter = SlowAtFirst()
    async with tracing(exporter) as tracer:
        spans(tracer, 3)
        assert await prela.flush()
    assert (exporter.calls, exporter.cancelled) == (2, 1)
    assert exporter.names == named("span", 3)
    assert since() == {"started": 3, "exported": 3}


async def test_spans_that_an_exporter_makes_are_not_traced(tracing: Tracing) -> None:
    class Tracing(Keeping):
        async def export(self, records: Sequence[prela.SpanRecord]) -> None:
            spans(prela.get_tracer(), 3, "inside")
            await super().export(records)

    class PlainTracing(Keeping):
        def export(self, records: Sequence[prela.SpanRecord]) -> None:  # type: ignore[override]
            spans(prela.get_tracer(), 3, "inside")
            self.records.extend(records)

    one, other = Tracing(), PlainTracing()
    async with tracing([one, other]) as tracer:
        spans(tracer, 3)
        assert await prela.flush()
        assert await prela.flush()
    assert one.names == other.names == named("span", 3)


# --- the sums ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("sample_rate", [0.0, 0.5, 1.0])
def test_statistics_add_up_whatever_is_sampled(sample_rate: float, since: Callable[[], dict[str, int]]) -> None:
    exporter = Keeping()
    tracer = prela.init("test", exporter, sample_rate=sample_rate)
    for _ in range(500):
        with tracer.span("root"), tracer.span("child"):
            pass
    assert_adds_up()
    assert prela.sync.flush()
    assert_adds_up()
    counts = since()
    assert counts["started"] == counts.get("exported", 0) + counts.get("unsampled", 0) == 1_000
    assert len(exporter.records) == counts.get("exported", 0)
    assert Counter(exporter.names)["root"] == Counter(exporter.names)["child"]


def test_statistics_add_up_at_every_stage(since: Callable[[], dict[str, int]]) -> None:
    exporter = HangingExporter()
    tracer = prela.init("test", exporter)
    left_open = tracer.start_span("left open")
    assert since() == {"started": 1, "open": 1}
    assert_adds_up()
    spans(tracer, 1_000)
    assert not prela.sync.flush(0.05)
    counts = since()
    assert (counts["started"], counts["open"]) == (1_001, 1)
    assert counts.get("queued", 0) + counts["in_flight"] == 1_000
    assert_adds_up()
    exporter.release()
    assert prela.sync.flush()
    left_open.end()
    left_open.end()
    assert since() == {"started": 1_001, "exported": 1_000, "queued": 1}
    assert_adds_up()


def test_two_hundred_threads_lose_and_duplicate_nothing(since: Callable[[], dict[str, int]]) -> None:
    exporter = Keeping()
    tracer = prela.init("test", exporter)
    barrier = threading.Barrier(200)

    def work(number: int) -> None:
        barrier.wait(timeout=30)
        for step in range(20):
            with tracer.span(f"{number} {step}") as span:
                span.set_attribute("k", "v" * step * 100)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(200)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert prela.sync.flush()
    assert sorted(exporter.names) == sorted(f"{number} {step}" for number in range(200) for step in range(20))
    assert len({record.span_id for record in exporter.records}) == 4_000
    assert since() == {"started": 4_000, "exported": 4_000}


def test_spans_that_finalizers_end_in_the_middle_of_others_are_all_exported(
    since: Callable[[], dict[str, int]],
) -> None:
    exporter = Keeping()
    tracer = prela.init("test", exporter)

    class Finalized:
        def __init__(self) -> None:
            self.itself = self
            self.span = tracer.start_span("finalizer")

        def __del__(self) -> None:
            self.span.end()

    def work(_: int) -> None:
        for _step in range(500):
            Finalized()
            with tracer.span("ordinary") as span:
                span.set_attribute("a", [1, 2, {}])

    before = gc.get_threshold()
    gc.set_threshold(20)
    try:
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(work, range(4)))
    finally:
        gc.set_threshold(*before)
        gc.collect()
    assert prela.sync.flush()
    assert Counter(exporter.names) == {"finalizer": 2_000, "ordinary": 2_000}
    assert since() == {"started": 4_000, "exported": 4_000}


# --- overload ---------------------------------------------------------------------------------------------------------


def test_under_overload_whole_traces_are_shed(since: Callable[[], dict[str, int]]) -> None:
    exporter = HangingExporter()
    tracer = prela.init("test", exporter, limits={"queue_spans": 500})
    refused = []
    for number in range(2_000):
        with tracer.span(f"root {number}") as root:
            with tracer.span("child") as child, tracer.span("grandchild"):
                pass
            if not root.context.sampled:
                refused.append(child.is_recording)
    assert_adds_up()
    exporter.release()
    assert not prela.sync.flush()
    counts = since()
    assert counts == {"started": 6_000, "dropped overload": 3 * len(refused), "exported": 6_000 - 3 * len(refused)}
    assert len(refused) > 1_000
    assert not any(refused)
    ordinary = [record for record in exporter.records if record.name != "prela.dropped"]
    assert set(Counter(record.trace_id for record in ordinary).values()) == {3}
    assert not any("prela.trace.incomplete" in record.attributes for record in ordinary)


def test_a_trace_too_large_for_the_queue_keeps_its_root_which_says_that_it_is_incomplete(
    since: Callable[[], dict[str, int]],
) -> None:
    exporter = HangingExporter()
    tracer = prela.init("test", exporter, limits={"queue_spans": 500})
    with tracer.span("root"):
        spans(tracer, 3_000, "child")
    assert_adds_up()
    exporter.release()
    assert not prela.sync.flush()
    counts = since()
    assert counts == {
        "started": 3_001,
        "dropped queue_full": counts["dropped queue_full"],
        "exported": counts["exported"],
    }
    assert counts["dropped queue_full"] > 1_000
    (root,) = [record for record in exporter.records if record.name == "root"]
    assert root.attributes == {"prela.trace.incomplete": True}
    children = [record for record in exporter.records if record.name.startswith("child")]
    assert len(children) == counts["exported"] - 1
    assert {tuple(record.attributes) for record in children} == {()}


def test_the_queue_is_bounded_by_bytes_too(since: Callable[[], dict[str, int]]) -> None:
    exporter = HangingExporter()
    tracer = prela.init("test", exporter, limits={"queue_bytes": 1_000_000})
    with tracer.span("root"):
        for number in range(1_000):
            with tracer.span(f"child {number}") as child:
                child.set_attribute("large", "x" * 20_000)
    held = since().get("queued", 0) + since().get("in_flight", 0)
    assert held < 2 * 1_000_000 / 20_000 + 10
    assert since()["dropped queue_full"] == 1_001 - held
    exporter.release()
    assert not prela.sync.flush()
    assert since()["exported"] == held


def test_long_names_do_not_fill_the_queue_while_an_exporter_holds_it_up(monkeypatch: pytest.MonkeyPatch) -> None:
    class Held(HangingExporter):
        entered = threading.Event()

        async def export(self, spans: Sequence[prela.SpanRecord]) -> None:
            self.entered.set()
            await super().export(spans)

    exporter, looked, shorten = Held(), threading.Event(), Buffer.shorten

    def shorten_and_tell(buffer: Buffer) -> None:
        shorten(buffer)
        looked.set()

    monkeypatch.setattr(Buffer, "shorten", shorten_and_tell)
    tracer = prela.init("test", exporter)
    spans(tracer, 1)
    assert exporter.entered.wait(10)
    for name in ("first", "second"):
        with tracer.span(name + "n" * 5_000, "t" * 5_000) as span:
            span.set_attribute("k" * 5_000, 1)
        for _ in range(2):  # the second look began after the end
            looked.clear()
            assert looked.wait(10)
        assert (len(span.name), len(span.span_type), *map(len, span.attributes)) == (1_024, 1_024, 1_024)
        assert span.attributes == {"k" * 1_023 + "…": 1}
    exporter.release()
    assert prela.sync.flush()
    assert [len(record.name) for record in exporter.records[1:]] == [1_024] * 2


def test_an_exporter_that_hangs_holds_up_no_other() -> None:
    class Counting:
        seen = 0

        async def export(self, records: Sequence[prela.SpanRecord]) -> None:
            self.seen += len(records)
            if self.seen == 40_000:
                everything.set()

    everything, hanging = threading.Event(), HangingExporter()
    tracer = prela.init("test", [hanging, Counting()], limits={"queue_spans": 100_000})
    spans(tracer, 40_000)
    assert everything.wait(6)  # one batch at each look would take eight seconds
    hanging.release()
    assert prela.sync.flush()


def test_what_was_lost_is_told_once_as_it_begins_and_in_total_at_its_end(caplog: pytest.LogCaptureFixture) -> None:
    exporter = HangingExporter()
    tracer = prela.init("test", exporter, limits={"queue_spans": 500})
    with caplog.at_level(logging.WARNING, "prela"):
        with tracer.span("root"):
            spans(tracer, 3_000)
        exporter.release()
        prela.sync.shutdown()
    lost = 3_001 - len([record for record in exporter.records if record.name != "prela.dropped"])
    begun, ended = caplog.messages
    assert begun.startswith("prela: spans are being dropped: {'queue_full': ")
    assert ended == f"prela: {lost} spans were lost: {{'queue_full': {lost}}}"
    (summary,) = [record for record in exporter.records if record.name == "prela.dropped"]
    assert summary.attributes == {"prela.dropped.queue_full": lost}
    assert (summary.status, summary.service_name) == ("error", "test")


def test_an_outage_over_many_batches_is_one(caplog: pytest.LogCaptureFixture) -> None:
    class Refusing:
        def __init__(self) -> None:
            self.called = threading.Event()

        async def export(self, spans: Any) -> bool:
            self.called.set()
            return False

    exporter = Refusing()
    tracer = prela.init("test", exporter, export_delay=0.15)
    with caplog.at_level(logging.WARNING, "prela"):
        for _ in range(8):
            exporter.called.clear()
            spans(tracer, 1)
            assert exporter.called.wait(10)
        prela.sync.shutdown()
    told = [message for message in caplog.messages if "dropped" in message or "lost" in message]
    assert told == [
        "prela: spans are being dropped: {'export_failed': 1}",
        "prela: 8 spans were lost: {'export_failed': 8}",
    ]


def test_after_an_overload_everything_is_recorded_again(since: Callable[[], dict[str, int]]) -> None:
    exporter = HangingExporter()
    tracer = prela.init("test", exporter, limits={"queue_spans": 500})
    spans(tracer, 2_000)
    exporter.release()
    prela.sync.flush()
    exporter.records.clear()
    lost = since()["dropped overload"]
    spans(tracer, 300, "after")
    prela.sync.flush()
    assert [record.name for record in exporter.records if record.name != "prela.dropped"] == named("after", 300)
    assert since() == {"started": 2_300, "dropped overload": lost, "exported": 2_300 - lost}


# --- open_tracer ------------------------------------------------------------------------------------------------------


async def test_a_cancelled_scope_around_open_tracer_loses_nothing() -> None:
    exporter = Keeping()
    with anyio.CancelScope() as scope:
        async with open_tracer("test", exporter, export_delay=60) as tracer:
            spans(tracer, 10)
            scope.cancel()
            try:
                with tracer.span("cancelled"):
                    await anyio.sleep(60)
            finally:
                spans(tracer, 1, "cleanup")
    assert scope.cancelled_caught
    assert exporter.names == [*named("span", 10), "cancelled", "cleanup 0"]
    assert exporter.closed == 1


async def test_a_task_that_is_cancelled_as_it_enters_open_tracer_is_cancelled_and_tracing_is_off(
    anyio_backend_name: str,
) -> None:
    if anyio_backend_name != "asyncio":
        return  # on trio a scope cancels, which is shielded while it is entered
    entered: list[None] = []

    async def use() -> None:
        async with open_tracer("test", Keeping()):
            entered.append(None)
            await asyncio.sleep(10)

    task = asyncio.create_task(use())
    await asyncio.sleep(0)
    task.cancel()
    with anyio.fail_after(5), pytest.raises(asyncio.CancelledError):
        await task
    assert process.host is None


async def test_a_deadline_around_open_tracer_is_a_timeout_error_as_ever() -> None:
    exporter = Keeping()
    with pytest.raises(TimeoutError):
        with anyio.fail_after(0.05):
            async with open_tracer("test", exporter) as tracer:
                with tracer.span("too long"):
                    await anyio.sleep(60)
    assert [(record.name, record.status) for record in exporter.records] == [("too long", "cancelled")]


async def test_a_sibling_that_fails_cancels_the_block_and_loses_nothing() -> None:
    exporter = Keeping()
    inside = anyio.Event()

    async def fail() -> None:
        await inside.wait()
        raise ValueError("sibling")

    with pytest.raises(BaseExceptionGroup) as raised:
        async with anyio.create_task_group() as group:
            group.start_soon(fail)
            async with open_tracer("test", exporter, export_delay=60) as tracer:
                with tracer.span("beside"):
                    inside.set()
                    await anyio.sleep(60)
    assert [str(error) for error in raised.value.exceptions] == ["sibling"]
    assert [(record.name, record.status) for record in exporter.records] == [("beside", "cancelled")]


@pytest.mark.parametrize("anyio_backend", ASYNCIO)
async def test_cancelling_the_task_the_asyncio_way_loses_nothing_and_is_let_through() -> None:
    exporter = Keeping()
    inside = asyncio.Event()

    async def body() -> None:
        async with open_tracer("test", exporter, export_delay=60) as tracer:
            with tracer.span("cancelled"):
                inside.set()
                await asyncio.sleep(60)

    task = asyncio.create_task(body())
    await inside.wait()
    task.cancel("the program's reason")
    with pytest.raises(asyncio.CancelledError, match="the program's reason"):
        await task
    assert task.cancelled()
    assert [(record.name, record.status) for record in exporter.records] == [("cancelled", "cancelled")]
    assert exporter.closed == 1


@pytest.mark.parametrize("anyio_backend", ASYNCIO)
async def test_cancelling_the_task_while_it_leaves_the_block_is_let_through_once_the_exporter_has_answered() -> None:
    exporting = asyncio.Event()

    class Telling(HangingExporter):
        async def export(self, spans: Sequence[prela.SpanRecord]) -> None:
            exporting.set()
            await super().export(spans)

    exporter = Telling()

    async def body() -> None:
        async with open_tracer("test", exporter, export_delay=60) as tracer:
            spans(tracer, 3)

    task = asyncio.create_task(body())
    await exporting.wait()
    task.cancel()
    await asyncio.sleep(0)
    exporter.release()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert [record.name for record in exporter.records] == named("span", 3)
    ours = [found for found in gc.get_objects() if isinstance(found, asyncio.Task)]  # hidden from `all_tasks`
    assert all(found.done() for found in ours if found.get_name() == "prela.worker")


@pytest.mark.parametrize("error", [ValueError("user"), _OwnError("user"), SystemExit(3), KeyboardInterrupt()])
async def test_the_bodys_exception_leaves_open_tracer_unchanged(error: BaseException) -> None:
    exporter = Keeping()
    cause, context = KeyError("cause"), LookupError("context")
    error.__cause__, error.__context__ = cause, context
    with pytest.raises(type(error)) as raised:
        async with open_tracer("test", exporter, export_delay=60) as tracer:
            spans(tracer, 3)
            raise error
    assert raised.value is error
    assert (error.__cause__, error.__context__) == (cause, context)
    assert exporter.names == named("span", 3)


async def test_an_exception_group_of_the_body_is_not_wrapped_again() -> None:
    error = ExceptionGroup("user", [ValueError("leaf")])
    with pytest.raises(ExceptionGroup) as raised:
        async with open_tracer("test", Keeping()):
            raise error
    assert raised.value is error


@pytest.mark.parametrize("make", [*FAILURES.values(), *NO_EXCEPTIONS.values()], ids=[*FAILURES, *NO_EXCEPTIONS])
async def test_no_failure_of_an_exporter_cancels_the_body_of_open_tracer(make: Callable[[], BaseException]) -> None:
    async with open_tracer("test", Raising(make)) as tracer:
        for _ in range(3):
            spans(tracer, 1)
            assert not await prela.flush()
            await anyio.sleep(0)
        reached = True
    assert reached


@pytest.mark.parametrize("leave", ["quietly", "with an exception"])
async def test_leaving_open_tracer_gives_up_on_a_hanging_exporter_after_the_exit_timeout(
    leave: str, since: Callable[[], dict[str, int]], caplog: pytest.LogCaptureFixture
) -> None:
    error = ValueError("user")
    began = monotonic()
    try:
        async with open_tracer("test", HangingExporter(), exit_timeout=0.2) as tracer:
            spans(tracer, 700)
            if leave == "with an exception":
                raise error
    except ValueError as caught:
        assert caught is error
    assert 0.1 < monotonic() - began < 3
    assert since() == {"started": 700, "dropped shutdown": 700}
    assert "prela: open_tracer gave up after 0.2 s" in caplog.messages


async def test_open_tracer_starts_no_thread() -> None:
    before = set(threading.enumerate())
    async with open_tracer("test", Keeping()) as tracer:
        spans(tracer, 3)
        assert await prela.flush()
        assert not set(threading.enumerate()) - before


async def test_tracing_is_off_after_open_tracer(since: Callable[[], dict[str, int]]) -> None:
    async with open_tracer("test", Keeping()) as tracer:
        spans(tracer, 1)
    spans(tracer, 5)
    assert tracer is prela.get_tracer()
    assert since() == {"started": 1, "exported": 1}


async def test_a_span_left_open_by_open_tracer_is_counted_at_its_end(since: Callable[[], dict[str, int]]) -> None:
    async with open_tracer("test", Keeping()) as tracer:
        left_open = tracer.start_span("left open")
    assert since() == {"started": 1, "open": 1}
    left_open.end()
    assert since() == {"started": 1, "dropped shutdown": 1}


async def test_open_tracer_takes_the_place_of_init_which_drains_first(since: Callable[[], dict[str, int]]) -> None:
    outer, inner = Keeping(), Keeping()
    spans(prela.init("outer", outer, export_delay=60), 10, "outer")
    async with open_tracer("inner", inner) as tracer:
        spans(tracer, 10, "inner")
        assert await prela.flush()
    assert await prela.shutdown()  # waits for the outer one to have ended
    assert (outer.names, inner.names) == (named("outer", 10), named("inner", 10))
    assert (outer.closed, inner.closed) == (1, 1)
    assert since() == {"started": 20, "exported": 20}


async def test_an_init_inside_open_tracer_goes_on_after_the_block(since: Callable[[], dict[str, int]]) -> None:
    inside, after = Keeping(), Keeping()
    async with open_tracer("inside", inside, export_delay=60) as tracer:
        spans(tracer, 3, "inside")
        prela.init("after", after)
    spans(tracer, 3, "after")
    assert await prela.flush()
    assert (inside.names, after.names) == (named("inside", 3), named("after", 3))
    assert (inside.closed, after.closed) == (1, 0)


async def test_open_tracer_works_in_one_loop_after_another(since: Callable[[], dict[str, int]]) -> None:
    exporters = [Keeping() for _ in range(3)]

    async def main(exporter: Keeping) -> None:
        async with open_tracer("test", exporter, export_delay=60) as tracer:
            spans(tracer, 3)

    for exporter, backend in zip(exporters, ("asyncio", "trio", "asyncio"), strict=True):
        await anyio.to_thread.run_sync(lambda e=exporter, b=backend: anyio.run(main, e, backend=b))
    assert [exporter.names for exporter in exporters] == [named("span", 3)] * 3
    assert since() == {"started": 9, "exported": 9}


@pytest.fixture(autouse=True)
def _nothing_of_ours_goes_on_afterwards(_nothing_is_left_behind: None) -> Iterator[None]:
    yield
    prela.sync.shutdown()
    assert_adds_up()


def test_every_flush_is_answered_while_tracing_is_set_up_anew_again_and_again() -> None:
    tracer = prela.init("test", "none")
    done, slow = threading.Event(), []

    def flush() -> None:
        while not done.is_set():
            spans(tracer, 1)
            began = monotonic()
            prela.sync.flush(2)
            if monotonic() - began > 1.5:
                slow.append(monotonic() - began)

    threads = [threading.Thread(target=flush) for _ in range(2)]
    for thread in threads:
        thread.start()
    for number in range(60):
        spans(prela.init(f"{number}", "none"), 1)
        prela.sync.shutdown()
    done.set()
    for thread in threads:
        thread.join(30)
    assert slow == []
