"""Every span that has started and not ended is found, and no other, with insight and without."""

import subprocess
import sys
import threading
from typing import Any

import anyio
import pytest

import prela
from prela.insight.snapshot import all_open
from prela.testing import recording
from tests.conftest import ROOT, RunProgram

BOTH = pytest.mark.parametrize("insight", [False, True], ids=["without insight", "with insight"])


def names() -> list[str]:
    return [span.name for span in prela.open_spans()]


@pytest.fixture(autouse=True)
def _what_other_tests_left_open_is_ended() -> None:
    for span in all_open():
        span.end()


@BOTH
def test_those_that_have_started_and_not_ended_are_found_oldest_first(insight: bool, tracer: prela.Tracer) -> None:
    prela.init("service", exporter="none", insight=insight)
    made = tracer.span("never entered")
    with tracer.span("root", prela.SpanType.AGENT, {"a": 1}):
        with tracer.span("ended"):
            pass
        started = tracer.start_span("started")
        with tracer.span("inside"):
            assert names() == ["root", "started", "inside"]
        assert names() == ["root", "started"]
        started.end()
        assert names() == ["root"]
    assert names() == []
    assert made.name == "never entered"


@BOTH
def test_each_is_told_as_it_stands(insight: bool, tracer: prela.Tracer) -> None:
    prela.init("service", exporter="none", insight=insight)
    with tracer.span("root", prela.SpanType.AGENT, {"a": 1}) as root, tracer.span("child") as child:
        child.set_attribute("b", [2])
        seen = prela.open_spans()
        child.set_attribute("c", 3)
    assert [span.context for span in seen] == [root.context, child.context]
    assert [span.parent_span_id for span in seen] == [None, root.span_id]
    assert [span.span_type for span in seen] == ["agent", "custom"]
    assert [dict(span.attributes) for span in seen] == [{"a": 1}, {"b": [2]}]
    assert [span.start_time_ns for span in seen] == [root.start_time_ns, child.start_time_ns]
    assert seen[0].age >= seen[1].age > 0
    assert {span.service_name for span in seen} == {"service"}
    with pytest.raises(AttributeError):
        seen[0].name = "other"  # type: ignore[misc]


def test_with_insight_each_tells_its_thread_and_where_it_was_started(tracer: prela.Tracer) -> None:
    prela.init(exporter="none", insight=True)
    reached, over = threading.Event(), threading.Event()

    def work() -> None:
        with tracer.span("in a thread"):
            reached.set()
            over.wait(10)

    thread = threading.Thread(target=work, name="the thread")
    thread.start()
    assert reached.wait(10)
    (seen,) = prela.open_spans()
    over.set()
    thread.join()
    line = work.__code__.co_firstlineno + 1
    where = f"{__file__}:{line} in {work.__qualname__}"
    assert (seen.thread, seen.started_at) == ("the thread", where)


@pytest.mark.anyio
@BOTH
async def test_spans_of_tasks_tell_their_task_and_the_line_that_asked_for_them(
    insight: bool, tracer: prela.Tracer
) -> None:
    prela.init(exporter="none", insight=insight)

    async def work() -> None:
        async with tracer.aspan("own"):
            await anyio.sleep_forever()

    async with anyio.create_task_group() as group:
        group.start_soon(work, name="the task")
        await anyio.wait_all_tasks_blocked()
        (seen,) = prela.open_spans()
        group.cancel_scope.cancel()
    assert seen.task == "the task"
    line = work.__code__.co_firstlineno + 1
    assert seen.started_at == (f"{__file__}:{line} in {work.__qualname__}" if insight else None)


@BOTH
def test_what_records_nothing_is_not_open(insight: bool, tracer: prela.Tracer) -> None:
    prela.init(exporter="none", insight=insight, sample_rate=0.0)
    with tracer.span("unsampled"), tracer.span("below"), prela.suppress(), tracer.span("suppressed"):
        assert names() == []


def test_spans_from_before_insight_was_on_are_found_too(tracer: prela.Tracer) -> None:
    prela.init(exporter="none")
    with tracer.span("before"):
        prela.init(exporter="none", insight=True)
        with tracer.span("after"):
            assert names() == ["before", "after"]
            prela.init(exporter="none", insight=False)
            with tracer.span("later"):
                assert names() == ["before", "after", "later"]


@BOTH
def test_spans_left_out_of_order_or_elsewhere_are_open_until_they_end(insight: bool, tracer: prela.Tracer) -> None:
    prela.init(exporter="none", insight=insight)
    outer, inner = tracer.span("outer").__enter__(), tracer.span("inner").__enter__()
    outer.__exit__(None, None, None)
    assert names() == ["inner"]
    inner.__exit__(None, None, None)
    assert names() == []


@pytest.mark.parametrize("options", [{}, {"redact": lambda value: value}], ids=["plain", "careful"])
def test_with_insight_spans_are_what_they_are_without(options: dict[str, Any], tracer: prela.Tracer) -> None:
    def program() -> str:
        with recording(deterministic=True, insight=insight, **options) as recorder:
            with tracer.span("root"), tracer.span("child") as child:
                child.set_attribute("long", "x" * 1_000)
                child.add_event("event")
                with pytest.raises(ValueError, match="own"), tracer.span("fails"):
                    raise ValueError("own")
                a, b = tracer.span("a").__enter__(), tracer.span("b").__enter__()
                a.__exit__(None, None, None)
                b.__exit__(None, None, None)
                late = tracer.start_span("late")
            late.end()
            late.end()
        return recorder.tree(attributes=True)

    insight = False
    plain = program()
    insight = True
    assert program() == plain
    assert "fails error" in plain


@BOTH
def test_spans_of_many_threads_are_all_found(insight: bool, tracer: prela.Tracer) -> None:
    prela.init(exporter="none", insight=insight)
    reached, over = threading.Barrier(9), threading.Event()

    def work(number: int) -> None:
        for _ in range(200):
            with tracer.span("short"):
                pass
        spans = [tracer.start_span(f"{number} {each}") for each in range(20)]
        reached.wait(30)
        over.wait(30)
        for span in spans:
            span.end()

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    reached.wait(30)
    found = names()
    over.set()
    for thread in threads:
        thread.join()
    assert sorted(found) == sorted(f"{number} {each}" for number in range(8) for each in range(20))
    assert names() == []


@BOTH
def test_asking_while_other_threads_start_and_end_spans_never_fails(insight: bool, tracer: prela.Tracer) -> None:
    prela.init(exporter="none", insight=insight)
    over = threading.Event()

    def work() -> None:
        while not over.is_set():
            with tracer.span("outer"), tracer.span("inner"):
                pass

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    with tracer.span("mine"):
        for _ in range(30):
            assert "mine" in names()
    over.set()
    for thread in threads:
        thread.join()


@pytest.mark.skipif(sys.platform == "win32", reason="there is no fork on Windows")
@pytest.mark.parametrize("insight", ["0", "1"])
def test_after_a_fork_the_spans_of_the_parent_are_open_there_alone(insight: str, run_program: RunProgram) -> None:
    done = run_program(
        """
import os, sys, warnings
import prela
warnings.filterwarnings("ignore", "This process .* is multi-threaded", DeprecationWarning)
tracer = prela.init("test", export_delay=60)
with tracer.span("parent's"):
    pid = os.fork()
    if pid == 0:
        with tracer.span("child's"):
            print([span.name for span in prela.open_spans()], flush=True)
        os._exit(0)
    os.waitpid(pid, 0)
    print([span.name for span in prela.open_spans()])
""",
        PRELA_INSIGHT=insight,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == """["child's"]\n["parent's"]\n"""


@pytest.mark.skipif(sys.platform == "win32", reason="there are no timers on Windows")
@pytest.mark.parametrize("insight", ["0", "1"])
def test_interrupts_at_any_moment_are_never_swallowed_and_leave_no_span_open(
    insight: str, run_program: RunProgram
) -> None:
    done = run_program(
        """
import gc, random, signal, time
import prela
tracer = prela.init("test", exporter="memory")

def interrupt(*_):
    raise KeyboardInterrupt

def work():
    end = time.monotonic() + 5
    while time.monotonic() < end:
        with tracer.span("outer"), tracer.span("inner") as span:
            span.set_attribute("a", 1)

signal.signal(signal.SIGALRM, interrupt)
seen = 0
for _ in range(500):
    try:
        with tracer.span("around"):
            signal.setitimer(signal.ITIMER_REAL, random.uniform(1e-5, 1e-3))
            work()
    except KeyboardInterrupt:
        seen += 1
gc.collect()
print(seen, [span.name for span in prela.open_spans()])
""",
        dev=False,
        PRELA_INSIGHT=insight,
    )
    assert (done.returncode, done.stdout) == (0, "500 []\n"), done.stderr


def test_insight_is_imported_only_when_it_is_wanted() -> None:
    check = (
        "import sys, prela; prela.init(exporter='none'); "
        "sys.exit(repr([name for name in sys.modules if name.startswith('prela.insight')] or 0))"
    )
    done = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, cwd=ROOT)
    assert done.stderr.strip() == "0"
