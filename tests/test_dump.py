"""The dump of everything in flight: which spans, how old, and where each task and thread is at that moment."""

import io
import sys
import textwrap
import threading
from collections.abc import AsyncIterator, Callable
from typing import Any

import anyio
import pytest

import prela
from prela.insight import dump as dumping
from prela.insight.snapshot import all_open
from tests.conftest import RunProgram

BOTH = pytest.mark.parametrize("insight", [False, True], ids=["without insight", "with insight"])


@pytest.fixture(autouse=True)
def _what_other_tests_left_open_is_ended() -> None:
    for span in all_open():
        span.end()


def dump() -> list[str]:
    out = io.StringIO()
    prela.dump_open_spans(out)
    return out.getvalue().splitlines()


def below(lines: list[str], name: str, spans: set[str]) -> list[str]:
    """What is said below the line of a span, up to the next span's or the threads."""
    plain = [line.lstrip("│├└─ ") for line in lines]
    begin = next(at for at, line in enumerate(plain) if line.startswith(f"{name}  "))
    rest = plain[begin + 1 :]
    ends = (
        at for at, line in enumerate(rest) if line.split("  ")[0] in spans or line.startswith(("thread ", "prela:"))
    )
    return rest[: next(ends)]


def place(function: Callable[..., Any], line: int) -> str:
    return f"{__file__}:{function.__code__.co_firstlineno + line} in {function.__qualname__}"


async def items(event: anyio.Event) -> AsyncIterator[int]:
    yield 1
    await event.wait()
    yield 2


@pytest.mark.anyio
@BOTH
async def test_each_task_is_shown_below_its_span_with_all_that_it_awaits_through(
    insight: bool, tracer: prela.Tracer
) -> None:
    prela.init(exporter="none", insight=insight)
    event = anyio.Event()

    async def inner() -> None:
        await event.wait()

    async def outer() -> None:
        await inner()

    async def reads() -> None:
        async for _ in items(event):
            pass

    async with tracer.task_group("group") as group:
        group.start_soon(outer, name="waits")
        group.start_soon(reads, name="reads")
        await anyio.wait_all_tasks_blocked()
        lines = dump()
        event.set()
    spans = {"group", "waits", "reads"}
    told = below(lines, "waits", spans)
    assert told[0].endswith("waits:")
    assert [line for line in told if line in (place(outer, 1), place(inner, 1))] == [place(outer, 1), place(inner, 1)]
    told = below(lines, "reads", spans)
    assert [line for line in told if line in (place(reads, 1), place(items, 2))] == [place(reads, 1), place(items, 2)]
    told = below(lines, "group", spans)
    assert any("runs in thread" in line for line in told)
    assert any(line.endswith(" in dump") for line in told)


@pytest.mark.anyio
async def test_a_task_that_waits_for_another_says_for_which(anyio_backend_name: str, tracer: prela.Tracer) -> None:
    if anyio_backend_name == "trio":
        return  # there a task waits for a nursery, not for a task
    import asyncio

    prela.init(exporter="none")
    over = asyncio.Event()

    async def waited_for() -> None:
        await over.wait()

    async def waits() -> None:
        async with tracer.aspan("waits"):
            task = asyncio.create_task(waited_for(), name="the other")
            await asyncio.sleep(0)
            await task

    task = asyncio.create_task(waits())
    await anyio.wait_all_tasks_blocked()
    lines = dump()
    over.set()
    await task
    assert below(lines, "waits", set())[0].endswith("waits for task 'the other':")


@BOTH
def test_threads_are_shown_where_they_are(insight: bool, tracer: prela.Tracer) -> None:
    prela.init(exporter="none", insight=insight)
    over = threading.Event()
    reached = threading.Event()

    def work() -> None:
        with tracer.span("in a thread"):
            reached.set()
            over.wait(10)

    thread = threading.Thread(target=work, name="the thread")
    thread.start()
    reached.wait(10)
    lines = dump()
    over.set()
    thread.join()
    at = lines.index("thread 'the thread':")
    assert f"  {place(work, 3)}" in lines[at:]


@BOTH
def test_the_tree_is_drawn_with_names_types_and_ages_and_no_values(insight: bool, tracer: prela.Tracer) -> None:
    prela.init("service", exporter="none", insight=insight)
    with (
        tracer.span("root", prela.SpanType.AGENT, {"secret": "hunter2"}) as root,
        tracer.span("a\nb"),
        tracer.span("leaf"),
    ):
        text = "\n".join(dump())
    lines = text.splitlines()
    assert lines[0].startswith("prela: 3 open spans in process ")
    assert lines[-1] == "prela: end of the dump"
    assert "hunter2" not in text
    assert lines[1].startswith("root [agent]  ")
    assert lines[1].endswith(f"trace {root.trace_id}")
    assert any(line.startswith("└─ a\\x0ab  ") for line in lines)
    assert any(line.startswith("   └─ leaf  ") for line in lines)


def test_it_is_bounded(tracer: prela.Tracer, monkeypatch: pytest.MonkeyPatch) -> None:
    prela.init(exporter="none", insight=True)
    spans = [tracer.start_span(f"span {number}") for number in range(1_500)]

    def deep(levels: int) -> list[str]:
        return deep(levels - 1) if levels else dump()

    lines = deep(300)
    for span in spans:
        span.end()
    assert sum(line.startswith("span ") for line in lines) == 1_000
    assert "... and 500 younger spans" in lines
    assert len(lines) < 1_500


def test_a_stream_of_poor_encoding_gets_what_it_can_take(tracer: prela.Tracer) -> None:
    prela.init(exporter="none")
    raw = io.BytesIO()
    with tracer.span("größe"), tracer.span("leaf"):
        prela.dump_open_spans(io.TextIOWrapper(raw, encoding="ascii"))
        text = raw.getvalue().decode("ascii")
    assert "gr\\xf6\\xdfe  " in text
    assert "`- leaf" in text


def test_nothing_of_it_raises(tracer: prela.Tracer, monkeypatch: pytest.MonkeyPatch) -> None:
    class Broken(io.StringIO):
        def write(self, text: str) -> int:
            raise OSError("the disk is full")

    prela.init(exporter="none")
    with tracer.span("open"):
        prela.dump_open_spans(Broken())
        closed = io.StringIO()
        closed.close()
        prela.dump_open_spans(closed)
        monkeypatch.setattr(sys, "stderr", None)
        prela.dump_open_spans()
        monkeypatch.undo()

        def broken(*_: object) -> None:
            raise RuntimeError("of ours")

        monkeypatch.setattr(dumping, "tasks_by_span", broken)
        prela.dump_open_spans(io.StringIO())


# --- on a signal --------------------------------------------------------------------------------------------------

needs_signals = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such signals")

PROGRAM = """
import asyncio, ctypes, os, select, signal, sys, threading, time
import prela

out, err = os.pipe()
os.dup2(err, 2)

def ask(count=1):
    # Asks from outside of the main thread, as another process would, and ends the program with what is printed.
    def run():
        text = b""
        for number in range(1, count + 1):
            while text.count(b"prela: end of the dump") < number:
                # Once more after a while: of a signal that meets a thread at its birth nothing is heard.
                os.kill(os.getpid(), signal.SIGUSR1)
                while select.select([out], [], [], 3)[0]:
                    text += os.read(out, 65536)
                    if text.count(b"prela: end of the dump") >= number:
                        break
        os.write(1, text)
        os._exit(7)
    threading.Thread(target=run, daemon=True, name="asks").start()

def hang(how):
    if how == "computes":
        ask()
        while True:
            pass
    if how == "sleeps":
        ask()
        time.sleep(60)
    if how == "in C":  # which does not come back for a signal
        libc, mutex = ctypes.CDLL(None), ctypes.create_string_buffer(64)
        libc.pthread_mutex_lock(mutex)
        ask()
        libc.pthread_mutex_lock(mutex)
"""


def signalled(run_program: RunProgram, source: str, **env: str) -> str:
    done = run_program(PROGRAM + textwrap.dedent(source), PRELA_EXPORTER="none", dev=False, **env)
    assert done.returncode == 7, done.stderr
    return done.stdout


LOOPS = {
    "asyncio": "asyncio.run(main())",
    "uvloop": "import uvloop; uvloop.run(main())",
    "trio": "import trio; trio.run(main)",
}


@needs_signals
@pytest.mark.parametrize("how", ["computes", "sleeps", "in C"])
@pytest.mark.parametrize("loop", LOOPS)
def test_a_loop_that_hangs_is_dumped_with_the_task_that_holds_it(loop: str, how: str, run_program: RunProgram) -> None:
    text = signalled(
        run_program,
        f"""
        tracer = prela.init("test", dump_signal=signal.SIGUSR1)
        async def main():
            async with tracer.aspan("culprit"):
                hang({how!r})
        {LOOPS[loop]}
        """,
    )
    assert "prela: 1 open span in process" in text
    at = text.index("culprit  ")
    assert "runs in thread 'MainThread':" in text[at:]
    first, _, _ = text.partition("prela: end of the dump")  # it asks again where the machine is very busy
    assert first.count(" in hang\n") == 2  # below its task, and in its thread


@needs_signals
@pytest.mark.parametrize("loop", LOOPS)
def test_a_loop_whose_tasks_all_wait_is_dumped_with_what_they_wait_for(loop: str, run_program: RunProgram) -> None:
    text = signalled(
        run_program,
        f"""
        import anyio
        prela.init("test", dump_signal="usr1", insight=True)
        async def waits():
            ask()
            await anyio.Event().wait()
        async def main():
            async with prela.get_tracer().task_group("group") as group:
                group.start_soon(waits, name="stuck")
        {LOOPS[loop]}
        """,
    )
    assert "└─ stuck  " in text
    assert " in waits\n" in text


@needs_signals
def test_the_variable_asks_for_it_too_and_more_than_once(run_program: RunProgram) -> None:
    source = """
        tracer = prela.init("test")
        with tracer.span("hangs"):
            ask(count=3)
            time.sleep(60)
        """
    assert signalled(run_program, source, PRELA_DUMP_SIGNAL="SIGUSR1").count("hangs  ") == 3


@needs_signals
def test_init_in_another_thread_than_the_main_one_sets_it_up(run_program: RunProgram) -> None:
    text = signalled(
        run_program,
        """
        thread = threading.Thread(target=lambda: prela.init("test", dump_signal="USR1"))
        thread.start()
        thread.join()
        with prela.get_tracer().span("hangs"):
            hang("sleeps")
        """,
    )
    assert "hangs  " in text


@needs_signals
@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_what_handled_the_signal_before_still_does(loop: str, run_program: RunProgram) -> None:
    text = signalled(
        run_program,
        f"""
        handled = []
        async def main():
            event = asyncio.Event()
            asyncio.get_running_loop().add_signal_handler(signal.SIGUSR1, event.set)
            tracer = prela.init("test", dump_signal="USR1")
            async with tracer.aspan("waits"):
                os.kill(os.getpid(), signal.SIGUSR1)
                await event.wait()
                ask()
                await asyncio.sleep(60)
        {LOOPS[loop]}
        """,
    )
    assert "waits  " in text


@needs_signals
def test_a_handler_of_pythons_still_runs_and_comes_back_when_tracing_ends(run_program: RunProgram) -> None:
    done = run_program(
        """
import os, signal, threading
import prela
handled = []
signal.signal(signal.SIGUSR1, lambda *_: handled.append(1))
prela.init("test", "none", dump_signal="USR1")
os.kill(os.getpid(), signal.SIGUSR1)
print(handled)
prela.init("test", "none")
os.kill(os.getpid(), signal.SIGUSR1)
print(handled)
prela.init("test", "none", dump_signal="USR1")
prela.sync.shutdown()
os.kill(os.getpid(), signal.SIGUSR1)
print(handled, [thread.name for thread in threading.enumerate()])
""",
        dev=False,
    )
    assert done.returncode == 0
    assert done.stdout == "[1]\n[1, 1]\n[1, 1, 1] ['MainThread']\n"


@needs_signals
def test_a_forked_child_dumps_its_own_spans(run_program: RunProgram) -> None:
    text = signalled(
        run_program,
        """
        import warnings
        warnings.filterwarnings("ignore", "This process .* is multi-threaded", DeprecationWarning)
        tracer = prela.init("test", dump_signal="USR1")
        with tracer.span("parent's"):
            if os.fork() == 0:
                with tracer.span("child's"):
                    hang("sleeps")
            os._exit(os.waitstatus_to_exitcode(os.wait()[1]))
        """,
    )
    assert "child's  " in text
    assert "parent's  " not in text


@needs_signals
def test_a_child_that_lives_on_does_not_keep_the_thread_of_its_parent(run_program: RunProgram) -> None:
    done = run_program(
        """
import os, threading, warnings
import prela
warnings.filterwarnings("ignore", "This process .* is multi-threaded", DeprecationWarning)
prela.init("test", "none", dump_signal="USR1")
ready, is_ready = os.pipe()
over, is_over = os.pipe()
if os.fork() == 0:
    os.write(is_ready, b"x")
    os.read(over, 1)
    os._exit(0)
os.read(ready, 1)
assert prela.sync.shutdown()
print([thread.name for thread in threading.enumerate()])
os.write(is_over, b"x")
assert os.wait()[1] == 0
"""
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "['MainThread']\n", "")


@needs_signals
def test_open_tracer_sets_it_up_for_its_block(run_program: RunProgram) -> None:
    text = signalled(
        run_program,
        """
        async def main():
            before = signal.getsignal(signal.SIGUSR1)
            async with prela.aio.open_tracer("test", dump_signal="USR1", insight=True) as tracer:
                async with tracer.aspan("hangs"):
                    hang("sleeps")
        asyncio.run(main())
        """,
    )
    assert "hangs  " in text
