"""Run, ready, wait and stalls of programs whose answer is known, on every loop.

What is recorded is compared with what the program measured itself meanwhile, so that a busy machine changes both.
"""

import asyncio
import gc
import os
import subprocess
import sys
import threading
from collections.abc import Awaitable, Callable, Iterator, Sequence
from time import monotonic, thread_time
from typing import Any

import anyio
import anyio.lowlevel
import pytest

import prela
from prela.insight import charging
from prela.insight.loops import watching
from prela.testing import recording


class Memory:
    """An exporter that keeps what it is given."""

    def __init__(self) -> None:
        self.spans: list[Any] = []

    async def export(self, spans: Sequence[Any]) -> None:
        self.spans += spans

    async def aclose(self) -> None:
        pass


class Watched:
    """Tracing with insight, and what came of it."""

    def __init__(self, **options: Any) -> None:
        self._options = options
        self.tracer = self._begin()

    def _begin(self) -> prela.Tracer:
        self._memory = Memory()
        return prela.init(exporter=self._memory, insight=True, auto_instrument=False, **self._options)

    def restart(self) -> None:
        """Forget what was recorded."""
        prela.sync.shutdown()
        self.tracer = self._begin()

    def finish(self) -> None:
        assert prela.sync.shutdown()

    def __getitem__(self, name: str) -> Any:
        (span,) = [span for span in self._memory.spans if span.name == name]
        return span

    def named(self, name: str) -> list[Any]:
        return [span for span in self._memory.spans if span.name == name]


@pytest.fixture
def watched() -> Iterator[Watched]:
    watched = Watched()
    yield watched
    prela.sync.shutdown()


def compute(seconds: float) -> float:
    """Hold the loop for so long; return for how long it was."""
    begin = monotonic()
    while monotonic() - begin < seconds:
        sum(range(500))
    return monotonic() - begin


def is_exact(backend: tuple[str, dict[str, Any]]) -> bool:
    name, options = backend
    return name == "trio" or (sys.version_info >= (3, 12) and not options.get("use_uvloop"))


Body = Callable[[Watched, dict[str, float]], Awaitable[None]]


def run_until_known(watched: Watched, backend: Any, body: Body, is_known: Callable[[], bool]) -> dict[str, float]:
    """Run a program; where its loop is sampled, again if this machine was too busy to look at it often enough."""
    name, options = backend
    for _ in range(1 if is_exact(backend) else 20):
        measured: dict[str, float] = {}
        anyio.run(body, watched, measured, backend=name, backend_options=options)
        watched.finish()
        if is_known():
            return measured
        watched.restart()
    return pytest.fail("no answer")


def within(backend: Any) -> float:
    """By which part an answer may be beside what a program measured."""
    return 0.0 if is_exact(backend) else 0.25


def duration_of(span: Any) -> float:
    return (span.end_time_unix_nano - span.start_time_unix_nano) / 1e9


async def one_computes_and_two_wait(watched: Watched, measured: dict[str, float]) -> None:
    async def computing() -> None:
        await anyio.sleep(0.02)
        measured["held"] = compute(0.3)
        await anyio.sleep(0.02)

    async with watched.tracer.task_group("group") as tg:
        tg.start_soon(anyio.sleep, 0.1, name="waits first")
        tg.start_soon(computing, name="computes")
        tg.start_soon(anyio.sleep, 0.1, name="waits last")


def stall_of(watched: Watched, name: str) -> list[Any]:
    return [event for event in watched[name].events if event.name == "prela.stall"]


def test_what_is_computed_is_on_the_span_that_computed_it_and_the_others_were_exposed(
    watched: Watched, anyio_backend: Any
) -> None:
    def is_known() -> bool:
        names = ("computes", "waits first", "waits last")
        return len(stall_of(watched, "computes")) == 1 and all(
            "prela.time.run" in watched[name].attributes for name in names
        )

    measured = run_until_known(watched, anyio_backend, one_computes_and_two_wait, is_known)
    culprit = watched["computes"]
    # It ran for what it computed at least, and not while it slept; on an idle machine these are 1 % apart.
    most = duration_of(culprit) - 2 * 0.02
    tolerated = within(anyio_backend)
    assert (1 - tolerated) * measured["held"] <= culprit.attributes["prela.time.run"] <= (1 + tolerated) * most
    (stall,) = stall_of(watched, "computes")
    held = stall.attributes["prela.stall.duration"]
    assert held <= (1 + tolerated) * most
    assert held >= (measured["held"] if is_exact(anyio_backend) else 0.1)  # sampled: from the first look to the last
    assert "prela.stall.exposed" not in culprit.attributes
    for name in ("waits first", "waits last"):
        victim = watched[name].attributes
        assert victim["prela.stall.victim_of"] == [culprit.span_id]
        assert 0.99 * held <= victim["prela.stall.exposed"] <= duration_of(watched[name])
        assert victim["prela.time.run"] < 0.3 * held


def test_the_stack_of_a_stall_is_that_which_was_there_during_it(watched: Watched, anyio_backend: Any) -> None:
    run_until_known(watched, anyio_backend, one_computes_and_two_wait, lambda: len(stall_of(watched, "computes")) == 1)
    (stall,) = stall_of(watched, "computes")
    stack = stall.attributes["prela.stall.stack"]
    assert stack[0].endswith(" in compute") or stack[0].endswith("computing")
    assert any(line.endswith("one_computes_and_two_wait.<locals>.computing") for line in stack)
    assert not any(f"{os.sep}{package}{os.sep}" in line for line in stack for package in ("asyncio", "trio", "anyio"))


def test_run_ready_and_wait_are_the_whole_of_a_span(watched: Watched, anyio_backend: Any) -> None:
    def is_known() -> bool:
        return all("prela.time.run" in span.attributes for span in watched._memory.spans)

    run_until_known(watched, anyio_backend, one_computes_and_two_wait, is_known)
    for span in watched._memory.spans:
        times = [span.attributes.get(f"prela.time.{part}", 0.0) for part in ("run", "ready", "wait")]
        assert min(times) >= 0
        assert 0.5 * duration_of(span) < sum(times) <= duration_of(span) + 1e-9
        if is_exact(anyio_backend):
            assert "prela.time.ready" in span.attributes
            assert "prela.time.sampled" not in span.attributes
            assert span.attributes["prela.time.longest_step"] <= span.attributes["prela.time.run"]
        else:
            assert span.attributes["prela.time.sampled"] is True
            assert "prela.time.ready" not in span.attributes


def test_the_longest_step_says_where_it_was(watched: Watched, anyio_backend: Any) -> None:
    if not is_exact(anyio_backend):
        return  # not known there, which is tested above

    async def program() -> None:
        async with watched.tracer.aspan("steps"):
            for seconds in (0.001, 0.02, 0.002):
                compute(seconds)
                await anyio.sleep(0)

    name, options = anyio_backend
    anyio.run(program, backend=name, backend_options=options)
    watched.finish()
    found = watched["steps"].attributes
    assert found["prela.time.longest_step"] >= 0.02
    assert found["prela.time.longest_step"] <= found["prela.time.run"]
    assert " in test_the_longest_step_says_where_it_was.<locals>.program" in found["prela.time.longest_step.place"]


def test_ready_is_the_time_from_when_the_loop_knew_to_when_it_let_the_task_run(
    watched: Watched, anyio_backend: Any
) -> None:
    measured: list[float] = []

    async def program() -> None:
        event = anyio.Event()

        async def woken() -> None:
            await event.wait()

        async with anyio.create_task_group() as tg:
            tg.start_soon(in_span, "woken", woken)
            await anyio.sleep(0.02)
            event.set()
            measured.append(compute(0.03))

    async def in_span(name: str, func: Callable[[], Awaitable[None]]) -> None:
        async with watched.tracer.aspan(name):
            await func()

    name, options = anyio_backend
    anyio.run(program, backend=name, backend_options=options)
    watched.finish()
    found = watched["woken"].attributes
    if is_exact(anyio_backend):
        assert measured[0] * 0.99 <= found["prela.time.ready"] <= duration_of(watched["woken"]) - 0.01
    else:
        assert "prela.time.ready" not in found


async def convoy(watched: Watched, measured: dict[str, float]) -> None:
    """Five tasks that each compute with the lock held: each runs for its own part, and waits for the others'."""
    lock = anyio.Lock()

    async def worker(number: int) -> None:
        async with lock:
            measured[f"worker {number}"] = compute(0.12)
            await anyio.sleep(0.03)

    async with watched.tracer.task_group("convoy") as tg:
        for number in range(5):
            tg.start_soon(worker, number, name=f"worker {number}")


def test_in_a_lock_convoy_each_runs_for_its_own_part_and_waits_for_the_others(
    watched: Watched, anyio_backend: Any
) -> None:
    names = [f"worker {number}" for number in range(5)]

    def is_known() -> bool:
        return all("prela.time.run" in watched[name].attributes for name in names)

    measured = run_until_known(watched, anyio_backend, convoy, is_known)
    tolerated = within(anyio_backend)
    for name in names:
        run, waited = (watched[name].attributes[f"prela.time.{part}"] for part in ("run", "wait"))
        overlooked = 0.0 if is_exact(anyio_backend) else 0.1 * duration_of(watched[name])
        assert (1 - tolerated) * measured[name] - overlooked <= run
        assert run <= (1 + tolerated) * (duration_of(watched[name]) - 0.03)
        assert waited >= (1 - tolerated) * 0.03
    *others, last = sorted((watched[name] for name in names), key=lambda span: span.end_time_unix_nano)
    ran = sum(span.attributes["prela.time.run"] for span in [*others, last])
    assert ran <= (1 + tolerated) * duration_of(watched["convoy"])  # one at a time, and each once
    # The first may have computed before the last began, where tasks are started eagerly.
    computed = sum(measured[span.name] for span in others[1:])
    assert last.attributes["prela.time.wait"] + last.attributes.get("prela.time.ready", 0) >= (1 - tolerated) * computed


async def saturated_limiter(watched: Watched, measured: dict[str, float]) -> None:
    """Three calls and one thread: the callers wait, and what is computed is the threads' own."""
    limiter = anyio.CapacityLimiter(1)

    def work(number: int) -> None:
        begin = thread_time()
        compute(0.15)
        measured[f"thread {number}"] = thread_time() - begin

    async def caller(number: int) -> None:
        await prela.aio.to_thread(work, number, limiter=limiter, name=f"thread {number}")

    async with watched.tracer.task_group("callers") as tg:
        for number in range(3):
            tg.start_soon(caller, number, name=f"caller {number}")


def test_behind_a_saturated_limiter_callers_wait_and_threads_say_what_they_used(
    watched: Watched, anyio_backend: Any
) -> None:
    callers, threads = ([f"{who} {number}" for number in range(3)] for who in ("caller", "thread"))

    def is_known() -> bool:
        # The interpreter's lock is the thread's meanwhile, so what little a sampled loop does is not always sure.
        return all("prela.time.run" in watched[name].attributes for name in [*callers, *threads])

    measured = run_until_known(watched, anyio_backend, saturated_limiter, is_known)
    for name in threads:
        used = watched[name].attributes["prela.time.run"]
        assert measured[name] <= used <= duration_of(watched[name])
        assert used + watched[name].attributes["prela.time.wait"] <= duration_of(watched[name])
        assert "prela.time.ready" not in watched[name].attributes
    last = max((watched[name] for name in callers), key=lambda span: span.end_time_unix_nano)
    assert last.attributes["prela.time.wait"] > 0.5 * sum(duration_of(watched[name]) for name in threads)


async def held_by_code_without_a_span(watched: Watched, measured: dict[str, float]) -> None:
    start = anyio.Event()

    async def nobody() -> None:
        await start.wait()
        measured["held"] = compute(0.3)

    async with anyio.create_task_group() as tg:
        tg.start_soon(nobody)
        async with watched.tracer.aspan("victim"):
            start.set()
            await anyio.sleep(0.05)


def test_a_loop_held_by_code_without_a_span_is_told_of_and_its_victims_know_for_how_long(
    watched: Watched, anyio_backend: Any
) -> None:
    before = charging.unowned.value

    def is_known() -> bool:
        return "prela.stall.exposed" in watched["victim"].attributes

    measured = run_until_known(watched, anyio_backend, held_by_code_without_a_span, is_known)
    exposed = watched["victim"].attributes["prela.stall.exposed"]
    assert (measured["held"] if is_exact(anyio_backend) else 0.1) <= exposed <= duration_of(watched["victim"])
    assert "prela.stall.victim_of" not in watched["victim"].attributes
    assert charging.unowned.value > before


async def held_by_a_task_that_inherited_its_span(watched: Watched, measured: dict[str, float]) -> None:
    async def child() -> None:
        await anyio.sleep(0.01)
        measured["held"] = compute(0.3)

    async def parent() -> None:
        async with anyio.create_task_group() as tg:
            tg.start_soon(child)

    async with watched.tracer.task_group("group") as tg:
        tg.start_soon(parent, name="parent")
        tg.start_soon(anyio.sleep, 0.05, name="victim")


def test_the_span_that_a_task_inherited_is_the_culprit_of_what_it_does_outside_any_of_its_own(
    watched: Watched, anyio_backend: Any
) -> None:
    measured = run_until_known(
        watched,
        anyio_backend,
        held_by_a_task_that_inherited_its_span,
        lambda: len(stall_of(watched, "parent")) == 1,
    )
    (stall,) = stall_of(watched, "parent")
    assert stall.attributes["prela.stall.duration"] >= (measured["held"] if is_exact(anyio_backend) else 0.1)
    assert "prela.stall.exposed" not in watched["parent"].attributes
    assert watched["victim"].attributes["prela.stall.victim_of"] == [watched["parent"].span_id]


async def the_culprit_ends_before_its_step(watched: Watched, measured: dict[str, float]) -> None:
    async def culprit() -> None:
        await anyio.sleep(0.01)
        with watched.tracer.span("quick to end"):
            measured["held"] = compute(0.3)
        await anyio.sleep(0)

    async with anyio.create_task_group() as tg:
        tg.start_soon(culprit)
        async with watched.tracer.aspan("victim"):
            await anyio.sleep(0.05)


def test_a_span_that_ends_before_the_step_it_held_is_charged(watched: Watched, anyio_backend: Any) -> None:
    measured = run_until_known(
        watched,
        anyio_backend,
        the_culprit_ends_before_its_step,
        lambda: len(stall_of(watched, "quick to end")) == 1,
    )
    (stall,) = stall_of(watched, "quick to end")
    assert stall.attributes["prela.stall.duration"] >= (measured["held"] if is_exact(anyio_backend) else 0.1)
    assert watched["victim"].attributes["prela.stall.victim_of"] == [watched["quick to end"].span_id]
    found = watched["quick to end"].attributes
    assert found["prela.time.run"] >= (1 - within(anyio_backend)) * measured["held"]
    assert found["prela.time.wait"] <= within(anyio_backend) * measured["held"]


def test_a_span_that_ends_in_another_task_than_it_began_in_says_nothing_of_its_time(
    watched: Watched, anyio_backend: Any
) -> None:
    async def program() -> None:
        span = watched.tracer.start_span("moved")

        async def end() -> None:
            span.end()

        async with anyio.create_task_group() as tg:
            tg.start_soon(end)

    name, options = anyio_backend
    anyio.run(program, backend=name, backend_options=options)
    watched.finish()
    assert not any(key.startswith(("prela.time", "prela.stall")) for key in watched["moved"].attributes)


def test_a_plain_span_in_a_callback_of_the_loop_has_run_throughout(watched: Watched) -> None:
    def callback(done: "asyncio.Future[None]") -> None:
        with watched.tracer.span("callback"):
            compute(0.01)
        done.set_result(None)

    async def program() -> None:
        async with watched.tracer.aspan("program"):
            loop = asyncio.get_running_loop()
            done = loop.create_future()
            loop.call_soon(callback, done)
            await done

    asyncio.run(program())
    watched.finish()
    found = watched["callback"].attributes
    assert found["prela.time.run"] >= 0.01
    assert found["prela.time.wait"] == 0
    if sys.version_info >= (3, 12):
        assert watched["program"].attributes["prela.time.wait"] >= 0.01


def test_two_loops_in_two_threads_do_not_disturb_each_other(watched: Watched) -> None:
    both = threading.Barrier(2)
    held: dict[str, float] = {}

    async def program(name: str, seconds: float) -> None:
        async with watched.tracer.aspan(name):
            await asyncio.sleep(0)
            both.wait()
            held[name] = compute(seconds)
            await asyncio.sleep(0)
            both.wait()

    threads = [
        threading.Thread(target=lambda name=name, s=s: asyncio.run(program(name, s)))
        for name, s in (("a", 0.12), ("b", 0.2))
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    watched.finish()
    for name in ("a", "b"):
        assert "prela.stall.exposed" not in watched[name].attributes
        if sys.version_info >= (3, 12):
            assert watched[name].attributes["prela.time.run"] >= held[name]


def threads_now() -> int:
    """Threads of this process, also those that `threading` does not know."""
    return len(sys._current_frames())


def test_shutdown_takes_everything_back(anyio_backend: Any) -> None:
    gc.collect()
    before = threads_now()
    name, options = anyio_backend
    for _ in range(5):
        watched = Watched()
        anyio.run(one_step_and_a_span, watched, backend=name, backend_options=options)
        watched.finish()
    assert threads_now() <= before
    assert not watching._watchdog.ledgers
    if sys.version_info >= (3, 12):
        assert sys.monitoring.get_tool(4) is None


async def one_step_and_a_span(watched: Watched) -> None:
    async with watched.tracer.aspan("span"):
        await anyio.lowlevel.checkpoint()


def test_many_runs_one_after_the_other_are_all_told_of(watched: Watched, anyio_backend: Any) -> None:
    name, options = anyio_backend
    for _ in range(20):
        anyio.run(one_step_and_a_span, watched, backend=name, backend_options=options)
    watched.finish()
    assert len(watched.named("span")) == 20
    if is_exact(anyio_backend):
        assert all("prela.time.ready" in span.attributes for span in watched.named("span"))


def test_init_again_in_a_running_loop_goes_on_with_the_spans_that_start_then(anyio_backend: Any) -> None:
    first = Watched()
    second: list[Watched] = []

    async def program() -> None:
        async with first.tracer.aspan("over the change"):
            second.append(Watched(stall_threshold=0.02))
            await one_step_and_a_span(second[0])
            async with second[0].tracer.aspan("culprit"):
                compute(0.06)

    name, options = anyio_backend
    anyio.run(program, backend=name, backend_options=options)
    second[0].finish()
    found = second[0].named("span")
    assert len(found) == 1
    if is_exact(anyio_backend):
        assert "prela.time.ready" in found[0].attributes
        assert len(stall_of(second[0], "culprit")) == 1


def test_init_in_another_thread_leaves_a_running_loop_watched(watched: Watched, anyio_backend: Any) -> None:
    """It stops what watches the loop, while spans of that loop have it begin anew: at any moment of the stopping."""
    over, progressed = threading.Event(), threading.Event()

    async def program() -> None:
        while not over.is_set():
            async with watched.tracer.aspan("request"):
                await anyio.sleep(0.0005)
            progressed.set()
        async with watched.tracer.aspan("waits"):
            await anyio.sleep(0.05)

    name, options = anyio_backend
    thread = threading.Thread(target=lambda: anyio.run(program, backend=name, backend_options=options))
    thread.start()
    try:
        for _ in range(20):
            progressed.clear()
            watched._begin()
            assert progressed.wait(10)
    finally:
        over.set()
        thread.join()
    watched.finish()
    attributes = watched["waits"].attributes
    assert attributes["prela.time.run"] < attributes["prela.time.wait"]
    assert stall_of(watched, "waits") == []


def test_loops_that_take_turns_in_a_thread_are_watched_once_each(watched: Watched) -> None:
    async def program() -> None:
        async with watched.tracer.aspan("turn"):
            await asyncio.sleep(0)

    loops = [asyncio.new_event_loop() for _ in range(2)]
    try:
        for loop in loops * 5:
            loop.run_until_complete(program())
        assert len(watching._watchdog.ledgers) == len(loops)
    finally:
        for loop in loops:
            loop.close()
    watched.finish()
    if is_exact(("asyncio", {})):  # what is sampled has no answer for spans so short
        assert all("prela.time.run" in turn.attributes for turn in watched.named("turn"))


def test_a_thread_without_a_loop_tells_what_it_used(watched: Watched) -> None:
    begin = thread_time()
    with watched.tracer.span("plain"):
        compute(0.05)
    used = thread_time() - begin
    watched.finish()
    assert 0 < watched["plain"].attributes["prela.time.run"] <= used + 0.001


def test_nothing_is_recorded_and_nothing_is_watched_without_insight() -> None:
    memory = Memory()
    tracer = prela.init(exporter=memory, auto_instrument=False)

    async def program() -> None:
        async with tracer.aspan("span"):
            compute(0.15)

    asyncio.run(program())
    prela.sync.shutdown()
    assert not watching._watchdog.ledgers
    assert not any(key.startswith("prela.time") for span in memory.spans for key in span.attributes)


FORKING = """
import asyncio, os, sys, time
import prela
tracer = prela.init(insight=True)
async def child():
    async with tracer.aspan("child"):
        await asyncio.sleep(0.01)
async def parent():
    async with tracer.aspan("parent"):
        await asyncio.sleep(0.01)
asyncio.run(parent())
pid = os.fork()
if pid == 0:
    asyncio.run(child())
    prela.sync.shutdown()
    os._exit(0)
assert os.waitpid(pid, 0)[1] == 0
asyncio.run(parent())
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_after_a_fork_parent_and_child_are_told_of(run_program: Any) -> None:
    program = run_program(FORKING, dev=False)
    assert program.returncode == 0, program.stderr
    assert sorted(program.names) == ["child", "parent", "parent"]
    for line in program.lines:
        assert ("prela.time.ready" in line["attributes"]) == (sys.version_info >= (3, 12)), line


def test_asyncio_is_not_imported_for_trio_nor_trio_for_asyncio(tmp_path: Any) -> None:
    source = """
import sys
import prela.insight.insight
assert "asyncio" not in sys.modules and "trio" not in sys.modules, "loaded too early"
"""
    done = subprocess.run([sys.executable, "-c", source], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


if sys.version_info >= (3, 12):  # sys.monitoring is new there

    def test_a_step_that_is_run_inside_another_is_counted_once(watched: Watched) -> None:
        async def program() -> None:
            async with watched.tracer.aspan("outer"):
                loop: Any = asyncio.get_running_loop()
                loop.call_soon(compute, 0.05)
                compute(0.01)
                loop._run_once()  # what libraries do that let a loop be run within itself
                compute(0.01)

        asyncio.run(program())
        watched.finish()
        found = watched["outer"].attributes
        assert found["prela.time.wait"] >= 0.05
        assert 0.02 <= found["prela.time.run"] <= duration_of(watched["outer"]) - 0.05

    def test_after_an_exception_that_ended_the_loop_the_next_run_is_told_of_rightly(watched: Watched) -> None:
        async def program(name: str) -> None:
            async with watched.tracer.aspan(name):
                await asyncio.sleep(0.01)

        def leave() -> None:
            raise SystemExit(3)

        loop = asyncio.new_event_loop()
        try:
            loop.run_until_complete(program("before"))
            loop.call_soon(leave)
            with pytest.raises(SystemExit):
                loop.run_forever()
            compute(0.15)  # outside the loop, which nobody holds
            loop.run_until_complete(program("after"))
        finally:
            loop.close()
        watched.finish()
        found = watched["after"].attributes
        assert found["prela.time.wait"] >= 0.01
        assert found["prela.time.run"] < 0.15
        assert not any(span.events for span in watched._memory.spans)

    def test_where_other_tools_have_taken_every_place_the_loop_is_sampled(watched: Watched) -> None:
        monitoring = sys.monitoring
        for tool in (3, 4):
            monitoring.use_tool_id(tool, "another")
        try:
            asyncio.run(one_computes_and_two_wait(watched, {}))
            watched.finish()
        finally:
            for tool in (3, 4):
                monitoring.free_tool_id(tool)
        assert "prela.time.ready" not in watched["computes"].attributes

    def test_a_task_that_is_started_eagerly_has_not_run_while_the_one_that_created_it_goes_on(
        watched: Watched,
    ) -> None:
        measured: dict[str, float] = {}

        async def created() -> None:
            async with watched.tracer.aspan("created"):
                measured["created"] = compute(0.03)
                await asyncio.sleep(0.01)

        async def program() -> None:
            asyncio.get_running_loop().set_task_factory(asyncio.eager_task_factory)
            async with watched.tracer.aspan("creator"):
                task = asyncio.create_task(created())
                measured["creator"] = compute(0.05)
                await task

        asyncio.run(program())
        watched.finish()
        for name, other in (("created", "creator"), ("creator", "created")):
            found = watched[name].attributes
            assert found["prela.time.run"] >= measured[name]
            assert found["prela.time.wait"] + found["prela.time.ready"] >= measured[other]
        ran = sum(watched[name].attributes["prela.time.run"] for name in ("created", "creator"))
        assert ran <= duration_of(watched["creator"])


def test_after_a_recording_nothing_is_watched() -> None:
    async def main() -> None:
        async with prela.get_tracer().aspan("span"):
            await asyncio.sleep(0)

    with recording(insight=True):
        asyncio.run(main())
        assert watching._watchdog.ledgers
    assert not watching._watchdog.ledgers
    if sys.version_info >= (3, 12):
        assert "prela" not in [sys.monitoring.get_tool(tool) for tool in range(6)]
