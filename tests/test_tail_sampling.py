"""Tail sampling keeps or drops whole traces, within its bounds, and every span is counted."""

import gc
from typing import Any

import anyio
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import prela
from prela.core.buffer import Buffer
from prela.core.settings import Settings
from prela.core.span import Span
from prela.core.tail import KEPT, Tail
from prela.core.tracer import Tracer as CoreTracer
from prela.testing import FailingExporter, HangingExporter, TickingClock
from tests.conftest import RunProgram


class Exported:
    """An exporter, by name of the span."""

    def __init__(self) -> None:
        self.records: list[prela.SpanRecord] = []

    async def export(self, spans: Any) -> None:
        self.records.extend(spans)

    @property
    def names(self) -> list[str]:
        return sorted(record.name for record in self.records)


def start(**options: Any) -> tuple[prela.Tracer, Exported]:
    exported = Exported()
    tail = prela.TailSampling(**options)
    return prela.init(exporter=exported, tail_sampling=tail, auto_instrument=False), exported


class Counted:
    """What is counted from here on."""

    def __init__(self) -> None:
        self._before = prela.statistics()

    def __call__(self) -> tuple[int, int, int, dict[str, int]]:
        """Started, exported, unsampled, and dropped by reason, after everything was seen to."""
        now, before = prela.statistics(), self._before
        dropped = {k: v - before.dropped.get(k, 0) for k, v in now.dropped.items() if v != before.dropped.get(k, 0)}
        assert now.started == now.open + now.queued + now.in_flight + now.spooled + now.exported + now.unsampled + sum(
            now.dropped.values()
        )
        assert now.queued == now.in_flight == 0
        return now.started - before.started, now.exported - before.exported, now.unsampled - before.unsampled, dropped


# --- which traces are kept ------------------------------------------------------------------------------------------


def test_by_default_only_traces_with_an_error_are_kept_and_as_a_whole() -> None:
    tracer, exported = start()
    counted = Counted()
    for name in ("well", "badly"):
        with tracer.span(name), tracer.span(f"{name} 1"):
            with tracer.span(f"{name} 2") as span:
                span.set_status("error" if name == "badly" else "success")
    assert prela.sync.flush()
    assert exported.names == ["badly", "badly 1", "badly 2"]
    assert counted() == (6, 3, 3, {})


def test_an_error_anywhere_keeps_the_trace_and_the_root_says_why() -> None:
    tracer, exported = start()
    with pytest.raises(ValueError), tracer.span("root"):
        with tracer.span("before"):
            pass
        raise ValueError
    assert prela.sync.flush()
    assert {record.name: record.attributes.get(KEPT) for record in exported.records} == {
        "root": "error",
        "before": None,
    }


def test_a_cancelled_trace_is_no_failed_one() -> None:
    tracer, exported = start()
    with pytest.raises(KeyboardInterrupt), tracer.span("cancelled"):
        raise KeyboardInterrupt
    assert prela.sync.flush()
    assert exported.names == []


@pytest.mark.parametrize("where", ["root", "child", "propagated"])
def test_a_trace_is_kept_that_a_span_of_it_flags(where: str) -> None:
    tracer, exported = start()
    with prela.propagate_attributes(**({"prela.keep": True} if where == "propagated" else {})):
        with tracer.span("root") as root, tracer.span("child") as child:
            if where != "propagated":
                {"root": root, "child": child}[where].set_attribute("prela.keep", True)
    with tracer.span("not flagged", attributes={"prela.keep": False}):
        pass
    assert prela.sync.flush()
    assert exported.names == ["child", "root"]
    assert [record.attributes[KEPT] for record in exported.records if record.name == "root"] == ["flagged"]


def held_by(policy: prela.TailSampling, step: int = 1_000_000) -> tuple[CoreTracer, Settings, Tail]:
    """A tracer and what holds its spans, with no worker; the clock goes on by a millisecond each time it is read."""
    clock = TickingClock(0, step)
    made = Settings(tail_sampling=policy, clock=clock, buffer=Buffer())
    assert made.tail is not None
    return CoreTracer(made), made, made.tail


def sift(made: Settings) -> None:
    """What the worker does with what has ended."""
    assert made.tail is not None
    position = made.buffer.taken
    spans, _ = made.buffer.take(1 << 20)
    made.tail.take(spans, position)


def ready(tail: Tail) -> list[str]:
    return [span.name for _, span in tail.ready]


def test_a_trace_is_slow_that_takes_as_long_or_longer() -> None:
    tracer, made, tail = held_by(prela.TailSampling(slower_than=0.002))
    with tracer.span("quick"):
        pass
    sift(made)
    assert ready(tail) == []
    with tracer.span("slow"), tracer.span("child"):  # four looks at the clock: 3 ms from the first to the last
        pass
    sift(made)
    assert ready(tail) == ["child", "slow"]


def test_a_trace_that_is_slow_already_is_no_longer_held_though_it_goes_on() -> None:
    tracer, made, tail = held_by(prela.TailSampling(slower_than=0.005))
    with tracer.span("root"):
        for number in range(4):
            with tracer.span(f"child {number}"):
                pass
        sift(made)
        assert ready(tail) == [f"child {number}" for number in range(4)] and tail.held_spans == 0
    sift(made)
    assert ready(tail)[-1] == "root"


def test_by_chance_the_share_is_kept_that_was_asked_for_and_never_held() -> None:
    tracer, made, tail = held_by(prela.TailSampling(rate=0.25))
    for _ in range(4_000):
        with tracer.span("root"), tracer.span("child"):
            pass
    sift(made)
    assert 0.21 < len(tail.ready) / 8_000 < 0.29
    assert tail.held_spans == 0
    assert {span._attributes[KEPT] for _, span in tail.ready if span._parent is None} == {"chance"}


def test_the_chance_is_by_trace_id_so_that_every_process_and_the_head_sampler_choose_alike() -> None:
    kept = prela.SpanContext(f"{1:032x}", "b" * 16)
    not_kept = prela.SpanContext(f"{(1 << 56) - 1:032x}", "b" * 16)
    tracer, made, tail = held_by(prela.TailSampling(rate=0.5))
    for parent in (kept, not_kept):
        tracer.start_span(f"below {parent.trace_id[-1]}", parent=parent).end()
    sift(made)
    assert ready(tail) == ["below 1"]


def test_what_is_open_is_slow_by_the_time_at_which_somebody_cannot_wait() -> None:
    tracer, made, tail = held_by(prela.TailSampling(slower_than=1.0))
    roots = [tracer.start_span("root"), tracer.start_span("root")]
    for number, root in enumerate(roots):
        tracer.start_span(f"child {number}", parent=root).end()
    sift(made)
    tail.decide_before(1, made.clock())
    assert tail.refused() == {"unsampled": 1} and tail.held_spans == 1, "only what was held before the position"
    tail.decide_before(None, made.clock() + 1_000_000_000)
    assert ready(tail) == ["child 1"]
    for root in roots:
        root.end()


# --- whole traces only ----------------------------------------------------------------------------------------------


def test_a_child_that_ends_after_its_root_follows_the_verdict() -> None:
    tracer, exported = start()
    counted = Counted()
    late = []
    for name in ("well", "badly"):
        with tracer.span(name) as root:
            late.append(tracer.start_span(f"late, {name}"))
            root.set_status("error" if name == "badly" else "success")
    assert prela.sync.flush()
    for span in late:
        span.set_status("error")
        span.end()
    assert prela.sync.flush()
    assert exported.names == ["badly", "late, badly"]
    assert counted() == (4, 2, 2, {})


def test_a_child_that_starts_after_its_roots_verdict_follows_it_too() -> None:
    tracer, exported = start()
    with tracer.span("root") as root:
        pass
    assert prela.sync.flush()
    with tracer.span("late", parent=root), tracer.span("below it") as last:
        last.set_status("error")
    with tracer.span("by its ids", parent=root.context) as last:
        last.set_status("error")
    assert prela.sync.flush()
    assert exported.names == []


def test_several_local_roots_of_one_trace_are_decided_together() -> None:
    tracer, made, tail = held_by(prela.TailSampling())
    with tracer.span("begins here") as root:
        tracer.start_span("hop by ids", parent=root.context).end()
        sift(made)
        assert tail.held_spans == 1, "one local root has ended, and another is open"
        root.set_status("error")
    sift(made)
    assert ready(tail) == ["hop by ids", "begins here"]


def test_a_remote_trace_waits_for_every_local_root_that_is_open() -> None:
    tracer, made, tail = held_by(prela.TailSampling())
    remote = prela.SpanContext("a" * 32, "b" * 16, is_remote=True)
    first, second = tracer.start_span("first", parent=remote), tracer.start_span("second", parent=remote)
    first.end()
    sift(made)
    assert tail.held_spans == 1
    second.set_status("error")
    second.end()
    sift(made)
    assert ready(tail) == ["first", "second"]


def test_a_span_that_was_made_and_never_started_holds_up_nothing() -> None:
    tracer, made, tail = held_by(prela.TailSampling())
    with tracer.span("root") as root:
        never = tracer.span("never entered", parent=root.context)
    sift(made)
    assert tail.held_spans == 1
    del never
    gc.collect()
    sift(made)
    assert tail.held_spans == 0 and tail.refused() == {"unsampled": 1}


@pytest.mark.parametrize("forgotten", ["_begun", "_verdicts"])
def test_a_trace_is_whole_even_where_its_beginning_or_its_verdict_was_forgotten(forgotten: str) -> None:
    tracer, made, tail = held_by(prela.TailSampling())
    with tracer.span("root") as root, tracer.span("child") as child:
        late = tracer.start_span("late", parent=child)
        hop = tracer.start_span("hop", parent=root.context)
        tail._begun.clear()
    sift(made)
    getattr(tail, forgotten).clear()
    for span in [late, hop] if forgotten == "_begun" else [late]:
        span.set_status("error")
        span.end()
    sift(made)
    assert ready(tail) == []
    hop.end()


def test_what_begins_and_never_ends_is_not_remembered_for_ever() -> None:
    tracer, made, tail = held_by(prela.TailSampling())
    for _ in range(5_000):
        tracer.span("never entered")
    sift(made)
    assert len(tail._open) <= 1_024


def test_a_chain_of_dropped_spans_is_not_kept_alive() -> None:
    tracer, made, _ = held_by(prela.TailSampling())
    span = tracer.start_span("0")
    for number in range(1, 50):
        following = tracer.start_span(str(number), parent=span)
        span.end()
        sift(made)
        span = following
    alive = [found for found in gc.get_objects() if type(found) is Span and found._trace is span._trace]
    assert len(alive) <= 2
    span.end()


Step = tuple[str, int]
STEPS = ("start root", "start child", "start by ids", "end", "end with error", "flag", "sift", "flush")
programs = st.lists(st.tuples(st.sampled_from(STEPS), st.integers(0, 30)), max_size=80)


def run(program: list[Step], tracer: CoreTracer, made: Settings, tail: Tail) -> list[Span]:
    """Run a random program to its end, and return the spans that were started."""
    started: list[Span] = []
    for what, which in program:
        span = started[which % len(started)] if started else None
        if what == "start root" or span is None:
            started.append(tracer.start_span("root", parent=None))
        elif what == "start child":
            started.append(tracer.start_span("child", parent=span))
        elif what == "start by ids":
            started.append(tracer.start_span("hop", parent=span.context))
        elif what == "end":
            span.end()
        elif what == "end with error":
            span._end_with(ValueError())
        elif what == "flag":
            span.set_attribute("prela.keep", True)
        else:
            sift(made)
            if what == "flush":
                tail.decide_before(None, made.clock())
        assert tail.held_spans <= tail.policy.max_spans or what not in ("sift", "flush")
    for span in started:
        span.end()
    sift(made)
    tail.decide_before(None, made.clock())
    return started


policies = st.builds(
    prela.TailSampling,
    st.none() | st.floats(0, 0.02),
    st.sampled_from([0.0, 0.5, 1.0]),
    max_spans=st.sampled_from([1, 3, 1_000]),
    max_bytes=st.sampled_from([1, 4_096, 1 << 20]),
)


@given(programs, policies)
@settings(max_examples=400, deadline=None)
def test_of_every_trace_all_spans_are_kept_or_none_and_all_are_counted(
    program: list[Step], policy: prela.TailSampling
) -> None:
    tracer, made, tail = held_by(policy)
    started = run(program, tracer, made, tail)
    kept = [span for _, span in tail.ready]
    kept_traces = {span.trace_id for span in kept}
    assert sorted(span.span_id for span in kept) == sorted(s.span_id for s in started if s.trace_id in kept_traces)
    assert len(kept) + sum(tail.refused().values()) == len(started)
    assert (tail.held_spans, tail.held_bytes) == (0, 0)


@given(programs)
@settings(max_examples=200, deadline=None)
def test_with_room_and_no_hurry_a_trace_is_kept_if_and_only_if_it_has_a_reason(
    program: list[Step],
) -> None:
    tracer, made, tail = held_by(prela.TailSampling())
    calm = [(what, which) for what, which in program if what not in ("sift", "flush")]
    started = run(calm, tracer, made, tail)
    deserving = {s.trace_id for s in started if s.status is prela.SpanStatus.ERROR or s.attributes.get("prela.keep")}
    assert {span.trace_id for _, span in tail.ready} == deserving


# --- bounds ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("bound", [{"max_spans": 10}, {"max_bytes": 10 * 1024}])
def test_when_full_the_trace_that_is_held_longest_goes_as_a_whole(bound: dict[str, int]) -> None:
    tracer, made, tail = held_by(prela.TailSampling(**bound))
    roots = [tracer.start_span(f"root {number}") for number in range(3)]
    for number in range(4):
        for root in roots:
            tracer.start_span(f"child {number}", parent=root).end()
        sift(made)
    assert tail.refused() == {"tail_full": 4} and tail.held_spans == 8
    for root in roots:
        root.set_status("error")
        root.end()
    sift(made)
    assert tail.refused() == {"tail_full": 1}, "the root of the trace that is gone follows"
    assert {span._parent.name for _, span in tail.ready if isinstance(span._parent, Span)} == {"root 1", "root 2"}


def test_heavy_spans_are_weighed() -> None:
    tracer, made, tail = held_by(prela.TailSampling(max_bytes=100_000))
    root = tracer.start_span("root")
    tracer.start_span("heavy", attributes={"text": "x" * 60_000}, parent=root).end()
    sift(made)
    assert 60_000 < tail.held_bytes < 70_000
    tracer.start_span("heavy", attributes={"text": "x" * 60_000}, parent=root).end()
    sift(made)
    assert tail.held_bytes == 0 and tail.refused() == {"tail_full": 2}
    root.end()


def test_what_was_dropped_for_want_of_room_is_told_and_counted_and_a_flush_says_so(
    caplog: pytest.LogCaptureFixture,
) -> None:
    tracer, exported = start(max_spans=5)
    counted = Counted()
    with tracer.span("root") as root:
        for _ in range(20):
            with tracer.span("child"):
                pass
        assert not prela.sync.flush()
        root.set_status("error")
    prela.sync.flush()
    assert counted() == (21, 0, 0, {"tail_full": 21})
    assert "tail_full" in caplog.text
    assert [record.name for record in exported.records if record.name != "prela.dropped"] == []


# --- flush, shutdown, exit, fork, init again ------------------------------------------------------------------------


def test_a_flush_decides_of_what_is_open_by_what_is_known() -> None:
    tracer, exported = start(slower_than=3600.0)
    counted = Counted()
    with tracer.span("open") as root:
        with tracer.span("child"):
            pass
        assert prela.sync.flush()
        root.set_status("error")
    assert prela.sync.flush()
    assert exported.names == [] and counted() == (2, 0, 2, {})


def test_a_trace_of_which_nothing_has_ended_is_not_decided_by_a_flush() -> None:
    tracer, exported = start()
    with tracer.span("open") as root:
        assert prela.sync.flush()
        root.set_status("error")
    assert prela.sync.flush()
    assert exported.names == ["open"]


def test_an_open_trace_that_is_slow_by_now_is_kept_by_a_flush() -> None:
    tracer, exported = start(slower_than=0.0)
    with tracer.span("open"):
        with tracer.span("child"):
            pass
        assert prela.sync.flush()
    assert prela.sync.flush()
    assert exported.names == ["child", "open"]


def test_shutdown_decides_of_everything() -> None:
    tracer, exported = start()
    counted = Counted()
    root = tracer.start_span("open")
    tracer.start_span("child", parent=root).end()
    assert prela.sync.shutdown()
    root.end()
    started, sent, unsampled, dropped = counted()
    assert (started, sent, unsampled) == (2, 0, 2) or dropped == {"shutdown": 1}
    assert exported.names == []


async def test_in_the_callers_loop_it_is_the_same(anyio_backend: Any) -> None:
    exported = Exported()
    counted = Counted()
    async with prela.aio.open_tracer(exporter=exported, tail_sampling=prela.TailSampling()) as tracer:

        async def work(number: int) -> None:
            async with tracer.aspan(f"root {number}"), tracer.aspan(f"child {number}") as child:
                await anyio.lowlevel.checkpoint()
                if number == 3:
                    child.set_status("error")

        async with anyio.create_task_group() as group:
            for number in range(6):
                group.start_soon(work, number)
        assert await prela.flush()
        assert exported.names == ["child 3", "root 3"]
        with tracer.span("last") as last:
            last.set_status("error")
    assert exported.names == ["child 3", "last", "root 3"]
    assert counted() == (13, 3, 10, {})


def test_a_failing_exporter_and_one_that_hangs_are_counted_as_ever() -> None:
    failing, hanging = FailingExporter(), HangingExporter()
    tracer = prela.init(exporter=[failing, hanging], tail_sampling=prela.TailSampling(), auto_instrument=False)
    counted = Counted()
    for _ in range(3):
        with tracer.span("kept") as span, tracer.span("child"):
            span.set_status("error")
        with tracer.span("dropped"):
            pass
    hanging.release()
    assert not prela.sync.flush()
    assert counted() == (9, 0, 3, {"export_failed": 6})
    assert len(hanging.records) == 6


def test_a_trace_larger_than_a_batch_and_than_the_backlog_arrives_as_a_whole() -> None:
    exported = Exported()
    tracer = prela.init(
        exporter=exported,
        tail_sampling=prela.TailSampling(max_spans=10_000),
        limits={"queue_spans": 6_000},
        auto_instrument=False,
    )
    with tracer.span("root") as root:
        for number in range(5_000):
            with tracer.span(str(number)):
                pass
        root.set_status("error")
    assert prela.sync.flush()
    assert len(exported.records) == 5_001


PROGRAM = """
import prela
tracer = prela.init(tail_sampling=prela.TailSampling())
with tracer.span("well"), tracer.span("child"): pass
with tracer.span("badly") as span: span.set_status("error")
left_open = tracer.start_span("left open")
tracer.start_span("failed below it", parent=left_open)._end_with(ValueError())
tracer.start_span("below it", parent=left_open).end()
other = tracer.start_span("left open too")
tracer.start_span("below that", parent=other).end()
"""


def test_a_program_that_just_ends_has_what_it_should(run_program: RunProgram) -> None:
    done = run_program(PROGRAM)
    assert sorted(done.names) == ["badly", "below it", "failed below it"] and not done.stderr


def test_after_a_fork_each_process_decides_for_itself(run_program: RunProgram) -> None:
    done = run_program(
        "import os, prela\ntracer = prela.init(tail_sampling=prela.TailSampling())\n"
        "with tracer.span('parent'):\n"
        "    pid = os.fork()\n"
        "    if pid == 0:\n"
        "        with tracer.span('child') as span: span.set_status('error')\n"
        "        with tracer.span('with it'): pass\n"
        "        ok = prela.sync.flush(); os._exit(0 if ok else 1)\n"
        "    assert os.waitpid(pid, 0)[1] == 0\n",
        dev=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.names == ["child", "with it"], "there both are of one trace, of which the parent's part went well"


def test_after_another_init_what_was_decided_stays_decided() -> None:
    tracer, first = start()
    counted = Counted()
    late = []
    for name in ("well", "badly"):
        with tracer.span(name) as root:
            late.append(tracer.start_span(f"late, {name}"))
            root.set_status("error" if name == "badly" else "success")
    assert prela.sync.flush()
    second = Exported()
    prela.init(exporter=second, auto_instrument=False)
    for span in late:
        with tracer.span(f"below {span.name}", parent=span):
            pass
        span.end()
    assert prela.sync.flush()
    assert first.names == ["badly"]
    assert second.names == ["below late, badly", "late, badly"]
    assert counted() == (6, 3, 3, {})


# --- its face -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "arguments",
    [
        {"slower_than": -1.0},
        {"slower_than": "1s"},
        {"slower_than": float("nan")},
        {"rate": 1.5},
        {"rate": None},
        {"max_spans": 0},
        {"max_bytes": 1.5},
    ],
)
def test_bad_arguments_are_one_clear_error(arguments: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"(TailSampling|TraceIdRatio): \w+ is .*; allowed is"):
        prela.TailSampling(**arguments)


def test_what_is_no_tail_sampling_is_refused_by_init() -> None:
    with pytest.raises(prela.ConfigurationError, match=r"tail_sampling is 0\.1; allowed is a prela\.TailSampling"):
        prela.init(tail_sampling=0.1)  # type: ignore[arg-type]


def test_it_says_what_it_does() -> None:
    assert repr(prela.TailSampling(2.0, 0.1)) == "TailSampling(slower_than=2.0, rate=0.1)"
