"""The end of a program: what has ended by then is exported or counted, the exit code stays, and nothing is printed."""

import textwrap
import threading
import time
from typing import Any

import pytest

import prela
from prela.aio.process import process
from tests.conftest import Program, RunProgram

PRELUDE = """
import asyncio, atexit, os, signal, sys, threading, time

def spans(count, name="span"):
    for number in range(count):
        with tracer.span(f"{name} {number}"):
            pass

def wait_for_exports(count, within=10.0):
    deadline = time.monotonic() + within
    while prela.statistics().exported < count:
        assert time.monotonic() < deadline, prela.statistics()
        time.sleep(0.005)

"""

START = """
import prela
tracer = prela.init("test")
"""

EXPORTERS = """
entered = threading.Event()

class HangingAsync:
    async def export(self, spans):
        entered.set()
        await asyncio.sleep(1000)

class HangingLoop:
    async def export(self, spans):
        entered.set()
        time.sleep(1000)

class HangingPlain:
    def export(self, spans):
        entered.set()
        time.sleep(1000)
"""


def program(*parts: str) -> str:
    return "\n".join(textwrap.dedent(part) for part in (PRELUDE, *parts))


def named(name: str, count: int) -> list[str]:
    return [f"{name} {number}" for number in range(count)]


def assert_quiet(done: Program, returncode: int = 0) -> None:
    # Under `-X dev` asyncio tells of steps that a busy machine made slow; that is no word of ours.
    told = [line for line in done.stderr.splitlines() if not line.startswith("Executing <")]
    assert (done.returncode, told) == (returncode, [])


def test_a_program_that_never_flushes_loses_nothing(run_program: RunProgram) -> None:
    done = run_program(program(START, "spans(10)"))
    assert_quiet(done)
    assert done.names == named("span", 10)


def test_thirty_thousand_spans_queued_at_the_end_are_all_in_the_file(run_program: RunProgram) -> None:
    done = run_program(program(START, "spans(30_000)"))
    assert_quiet(done)
    assert done.names == named("span", 30_000)


def test_sys_exit_keeps_its_code(run_program: RunProgram) -> None:
    done = run_program(program(START, "spans(10)", "sys.exit(3)"))
    assert_quiet(done, 3)
    assert done.names == named("span", 10)


def test_a_program_that_dies_of_an_exception_prints_its_own_traceback_and_keeps_its_spans(
    run_program: RunProgram,
) -> None:
    done = run_program(
        program(
            START,
            """
            with tracer.span("fails"):
                raise ValueError("the program's own")
            """,
        )
    )
    assert done.returncode == 1
    assert done.stderr.count("Traceback") == 1
    assert done.stderr.endswith("ValueError: the program's own\n")
    assert "Exception ignored" not in done.stderr
    assert [(line["name"], line["status"]) for line in done.lines] == [("fails", "error")]


def test_a_keyboard_interrupt_ends_the_program_as_ever_and_keeps_its_spans(run_program: RunProgram) -> None:
    done = run_program(
        program(
            START,
            """
            with tracer.span("interrupted"):
                os.kill(os.getpid(), signal.SIGINT)
                time.sleep(10)
            """,
        )
    )
    assert done.returncode == -2
    assert done.stderr.count("Traceback") == 1
    assert done.stderr.endswith("KeyboardInterrupt\n")
    assert [(line["name"], line["status"]) for line in done.lines] == [("interrupted", "cancelled")]


def test_a_sigterm_handler_that_exits_gives_its_code_and_keeps_the_spans(run_program: RunProgram) -> None:
    done = run_program(
        program(
            START,
            """
            signal.signal(signal.SIGTERM, lambda *_: sys.exit(5))
            with tracer.span("terminated"):
                spans(10)
                os.kill(os.getpid(), signal.SIGTERM)
                time.sleep(10)
            """,
        )
    )
    assert_quiet(done, 5)
    assert done.names == [*named("span", 10), "terminated"]


def test_a_sigterm_handler_that_raises_while_the_exit_waits_for_an_exporter_ends_the_wait(
    run_program: RunProgram,
) -> None:
    done = run_program(
        program(
            """
            atexit.register(lambda: print(time.monotonic() - started))  # runs after Prela's own
            import prela

            class Terminates:
                async def export(self, spans):
                    os.kill(os.getpid(), signal.SIGTERM)
                    await asyncio.sleep(1000)

            class Wanted(BaseException):
                pass

            def handler(*_):
                raise Wanted

            signal.signal(signal.SIGTERM, handler)
            tracer = prela.init("test", Terminates(), exit_timeout=20, export_delay=60)
            spans(3)
            started = time.monotonic()
            """,
        )
    )
    assert done.returncode == 0
    assert float(done.stdout) < 10
    assert "Traceback" not in done.stderr
    assert "Wanted" in done.stderr


def test_kill_9_costs_at_most_a_batch_delay_and_leaves_whole_lines(run_program: RunProgram) -> None:
    done = run_program(
        program(
            """
            import prela
            tracer = prela.init("test", export_delay=0.3)
            ended = time.monotonic() + 1.5
            while time.monotonic() < ended:
                with tracer.span("work"):
                    time.sleep(0.001)
            print(time.time_ns(), flush=True)
            os.kill(os.getpid(), signal.SIGKILL)
            """
        )
    )
    assert done.returncode == -9
    assert set(done.names) == {"work"}
    newest = max(line["end_time_unix_nano"] for line in done.lines)
    assert (int(done.stdout) - newest) / 1e9 < 1.0  # 0.3 s of delay, and a slow machine


def test_a_sigterm_without_a_handler_costs_at_most_what_was_not_exported(run_program: RunProgram) -> None:
    done = run_program(
        program(
            START,
            """
            spans(10)
            wait_for_exports(10)
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(10)
            """,
        )
    )
    assert_quiet(done, -15)
    assert done.names == named("span", 10)


def test_what_tail_sampling_holds_is_all_exported_at_the_end(run_program: RunProgram) -> None:
    done = run_program(
        program(
            """
            import prela
            tracer = prela.init("test", tail_sampling=prela.TailSampling(rate=0))
            try:
                with tracer.span("root"):
                    spans(2_000)
                    raise ValueError
            except ValueError:
                pass
            """
        )
    )
    assert_quiet(done)
    assert len(done.names) == 2_001


def test_a_thread_that_goes_on_tracing_does_not_put_off_the_end(run_program: RunProgram) -> None:
    done = run_program(
        program(
            START,
            """
            begun = threading.Event()

            def trace_for_ever():
                while True:
                    with tracer.span("busy"):
                        begun.set()

            spans(100, "before")
            threading.Thread(target=trace_for_ever, daemon=True).start()
            begun.wait(10)
            atexit.register(lambda: print(prela.statistics().dropped.get("exit_deadline", 0)))
            import prela.sync.ending
            prela.sync.ending._exit_timeout = 60
            """,
        ),
        timeout=30,
        dev=False,
    )
    assert (done.returncode, done.stdout) == (0, "0\n")
    assert set(named("before", 100)) <= set(done.names)


@pytest.mark.parametrize("before", ["", "prela.sync.shutdown()"])
def test_tracing_that_is_set_up_anew_by_a_late_exit_hook_exports_what_ends_under_it(
    before: str, run_program: RunProgram
) -> None:
    done = run_program(
        "import atexit\n\ndef late():\n"
        f"    {before or 'pass'}\n    prela.init('again')\n"
        "    for _ in range(3):\n        with tracer.span('late'): pass\n"
        "    print(prela.statistics().exported)\n\n"
        "atexit.register(late)\nimport prela\ntracer = prela.init('test')\nwith tracer.span('first'): pass\n"
    )
    assert_quiet(done)
    assert (done.stdout, sorted(done.names)) == ("4\n", ["first", "late", "late", "late"])


@pytest.mark.parametrize(
    "stream",
    ["class Tee:\n    write, flush = sys.stderr.write, sys.stderr.flush\nsys.stderr = Tee()", "sys.stderr.close()"],
)
def test_a_stderr_that_is_closed_or_no_file_is_no_reason_to_give_up(stream: str, run_program: RunProgram) -> None:
    done = run_program(
        "import atexit, sys\n\ndef late():\n    with tracer.span('late'): pass\n"
        "    print(prela.statistics().dropped)\n\n"
        "atexit.register(late)\nimport prela\ntracer = prela.init('test')\nwith tracer.span('first'): pass\n" + stream
    )
    assert_quiet(done)
    assert (done.stdout, sorted(done.names)) == ("{}\n", ["first", "late"])


def test_a_stderr_that_nobody_reads_does_not_hold_up_the_end(run_program: RunProgram) -> None:
    done = run_program(
        program(
            """
            reader, writer = os.pipe()
            os.set_blocking(writer, False)
            try:
                while True:
                    os.write(writer, b"x" * 4096)
            except BlockingIOError:
                os.set_blocking(writer, True)
            os.dup2(writer, 2)
            import prela
            tracer = prela.init("test", "console", exit_timeout=0.5)
            spans(3)
            threading.Thread(target=lambda: (time.sleep(8), os._exit(9)), daemon=True).start()
            sys.exit(3)
            """
        ),
        timeout=30,
        dev=False,
    )
    assert done.returncode == 3


def test_what_a_worker_that_was_cancelled_has_left_is_exported_at_the_end_of_its_block(run_program: RunProgram) -> None:
    done = run_program(
        program(
            """
            import gc
            import prela.aio

            async def main():
                global tracer
                async with prela.aio.open_tracer("test", "file", export_delay=60) as tracer:
                    spans(5, "before")
                    tasks = [found for found in gc.get_objects() if isinstance(found, asyncio.Task)]
                    (worker,) = [task for task in tasks if task.get_name() == "prela.worker"]
                    worker.cancel()
                    try:
                        await asyncio.Event().wait()
                    finally:
                        spans(5, "after")

            try:
                asyncio.run(main())
            except asyncio.CancelledError:  # the block's, with the group that the worker is a child of
                print(prela.statistics().dropped)
            """
        )
    )
    assert_quiet(done)
    assert done.stdout == "{}\n"
    assert done.names == [*named("before", 5), *named("after", 5)]


def test_an_export_that_is_under_way_when_the_loop_ends_is_not_cancelled(run_program: RunProgram) -> None:
    done = run_program(
        program(
            """
            import prela.aio

            class Waiting:
                async def export(self, records):
                    begun.set()
                    await left.wait()
                    print(len(records))

            async def server():
                global tracer
                async with prela.aio.open_tracer("test", Waiting(), export_delay=0.01) as tracer:
                    spans(3)
                    try:
                        await asyncio.Event().wait()
                    finally:
                        left.set()

            async def main():
                global begun, left
                begun, left = asyncio.Event(), asyncio.Event()
                main.task = asyncio.create_task(server())
                await begun.wait()

            asyncio.run(main())
            print(prela.statistics().dropped)
            """
        )
    )
    assert_quiet(done)
    assert done.stdout == "3\n{}\n"


def test_a_block_of_open_tracer_in_a_task_that_the_end_of_the_loop_cancels_loses_nothing(
    run_program: RunProgram,
) -> None:
    done = run_program(
        program(
            """
            import prela.aio

            async def server():
                global tracer
                async with prela.aio.open_tracer("test", "file", export_delay=30) as tracer:
                    spans(100)
                    with tracer.span("open until the end"):
                        ready.set()
                        await asyncio.Event().wait()

            async def main():
                global ready
                ready = asyncio.Event()
                task = asyncio.create_task(server())
                await ready.wait()

            asyncio.run(main())
            print(prela.statistics().dropped)
            """
        )
    )
    assert_quiet(done)
    assert done.stdout == "{}\n"
    assert done.names == [*named("span", 100), "open until the end"]


LEFT_LOOP = """
import prela.aio

async def main():
    global tracer
    async with prela.aio.open_tracer("test", {exporter!r}) as tracer:
        spans(2, "exported")
        await prela.flush()
        spans(3, "left")
        asyncio.get_running_loop().stop()
        await asyncio.Event().wait()

loop = asyncio.new_event_loop()
task = loop.create_task(main())
loop.run_forever()
print(prela.statistics().exported)
atexit.register(lambda: print(prela.statistics().dropped))
import prela.sync  # its hook runs before that
"""


@pytest.mark.parametrize("exporter", ["file", "memory"])
def test_a_loop_that_is_left_inside_open_tracer_does_not_hold_up_the_end_and_what_it_left_is_counted(
    exporter: str, run_program: RunProgram
) -> None:
    done = run_program(PRELUDE + LEFT_LOOP.format(exporter=exporter), dev=False, timeout=20)
    assert done.returncode == 0
    assert done.stdout.startswith("2\n")
    assert "prela: 3 spans were not exported within 5 s of the exit (exit_deadline)" in done.stderr
    if exporter == "file":
        assert done.names == ["exported 0", "exported 1"]


def test_tracing_that_is_set_up_for_the_first_time_by_an_exit_hook_harms_nobody(run_program: RunProgram) -> None:
    done = run_program(
        PRELUDE
        + """
import prela

@atexit.register
def hook():
    global tracer
    tracer = prela.init("test")
    spans(2)
    print(prela.sync.flush(5))
"""
    )
    assert (done.returncode, done.stderr, done.stdout) == (0, "", "True\n")
    assert done.names == ["span 0", "span 1"]


def test_spans_in_exit_hooks_are_exported_whenever_the_hook_was_registered(run_program: RunProgram) -> None:
    done = run_program(
        program(
            'atexit.register(lambda: spans(50, "registered before the import"))',
            START,
            'atexit.register(lambda: spans(50, "registered after the import"))',
            'spans(5, "main")',
            "wait_for_exports(5)",
        )
    )
    assert_quiet(done)
    hooks = [*named("registered after the import", 50), *named("registered before the import", 50)]
    assert sorted(done.names) == sorted([*named("main", 5), *hooks])


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_program_whose_only_span_is_in_an_exit_hook_loses_nothing(when: str, run_program: RunProgram) -> None:
    register = 'atexit.register(lambda: spans(1, "hook"))'
    done = run_program(program(*([register, START] if when == "before" else [START, register])))
    assert_quiet(done)
    assert done.names == ["hook 0"]


def test_an_exit_hook_that_runs_a_loop_of_its_own_is_traced(run_program: RunProgram) -> None:
    done = run_program(
        program(
            """
            def hook():
                async def main():
                    for number in range(5):
                        async with tracer.aspan(f"in a loop {number}"):
                            await asyncio.sleep(0)
                asyncio.run(main())

            atexit.register(hook)
            """,
            START,
            'spans(1, "main")',
            "wait_for_exports(1)",
        )
    )
    assert_quiet(done)
    assert sorted(done.names) == [*named("in a loop", 5), "main 0"]


def test_the_event_loop_of_the_main_thread_is_still_the_programs_after_the_exit_hook(run_program: RunProgram) -> None:
    done = run_program(
        program(
            """
            def hook():
                with tracer.span("late"):
                    pass
                print(asyncio.get_event_loop() is loop)
                loop.close()

            atexit.register(hook)
            loop = asyncio.new_event_loop()
            asyncio.set_event_loop(loop)
            """,
            START,
        )
    )
    assert_quiet(done)
    assert done.stdout == "True\n"
    assert done.names == ["late"]


def test_a_thread_that_outlives_main_loses_nothing(run_program: RunProgram) -> None:
    done = run_program(
        program(
            START,
            """
            def outlive():
                threading.main_thread().join()
                spans(100, "thread")

            threading.Thread(target=outlive).start()
            spans(1, "main")
            """,
        )
    )
    assert_quiet(done)
    assert done.names == ["main 0", *named("thread", 100)]


def test_daemon_threads_that_go_on_to_the_very_end_do_not_disturb_it(run_program: RunProgram) -> None:
    done = run_program(
        program(
            START,
            """
            def for_ever():
                while True:
                    spans(5, "daemon")
                    time.sleep(0.001)

            for _ in range(3):
                threading.Thread(target=for_ever, daemon=True).start()
            spans(5, "main")
            wait_for_exports(100)
            """,
        )
    )
    assert_quiet(done)
    assert [name for name in done.names if name.startswith("main")] == named("main", 5)


@pytest.mark.parametrize(
    ("exporter", "exit_timeout"),
    [
        ("HangingAsync", None),
        ("HangingPlain", None),
        ("HangingAsync", 0.5),
        ("HangingLoop", 0.5),
        ("HangingPlain", 0.5),
    ],
)
def test_an_exporter_that_hangs_costs_the_exit_its_timeout_and_the_loss_is_told(
    exporter: str, exit_timeout: float | None, run_program: RunProgram
) -> None:
    option, seconds = ("", 5.0) if exit_timeout is None else (f", exit_timeout={exit_timeout}", exit_timeout)
    done = run_program(
        program(
            EXPORTERS,
            f"""
            import prela
            tracer = prela.init("test", {exporter}(){option})
            spans(10)
            assert entered.wait(10)
            spans(5)
            print(time.monotonic(), flush=True)
            """,
        )
    )
    took = time.monotonic() - float(done.stdout)
    assert done.returncode == 0
    assert seconds - 0.1 <= took < seconds + 2
    assert done.stderr.splitlines() == [
        f"prela: 15 spans were not exported within {seconds:g} s of the exit (exit_deadline)"
    ]


@pytest.mark.parametrize("exporter", ["HangingAsync", "HangingPlain"])
def test_statistics_at_the_very_end_count_what_a_hanging_exporter_lost(exporter: str, run_program: RunProgram) -> None:
    done = run_program(
        program(
            "atexit.register(lambda: print(prela.statistics()._asdict()))",
            EXPORTERS,
            f"""
            import prela
            tracer = prela.init("test", {exporter}(), exit_timeout=0.5)
            spans(10)
            assert entered.wait(10)
            spans(5)
            """,
        )
    )
    counted: dict[str, Any] = eval(done.stdout, {"ExporterStatistics": lambda **parts: parts})
    assert (counted["started"], counted["dropped"]) == (15, {"exit_deadline": 15})
    assert (counted["open"], counted["queued"], counted["in_flight"], counted["exported"]) == (0, 0, 0, 0)


@pytest.mark.parametrize("exporter", ["HangingAsync", "HangingPlain"])
def test_spans_that_end_after_the_deadline_cost_no_more_time_and_are_counted(
    exporter: str, run_program: RunProgram
) -> None:
    done = run_program(
        program(
            """
            def hook():
                started = time.monotonic()
                spans(100, "late")
                print(time.monotonic() - started)
                print(sorted(prela.statistics().dropped.items()))

            atexit.register(hook)
            """,
            EXPORTERS,
            f"""
            import prela
            tracer = prela.init("test", {exporter}(), exit_timeout=0.5)
            spans(5)
            assert entered.wait(10)
            """,
        )
    )
    took, dropped = done.stdout.splitlines()
    assert float(took) < 1.0
    assert dropped == "[('exit_deadline', 105)]"
    assert "Traceback" not in done.stderr


def test_a_second_exporter_gets_everything_while_the_first_hangs_at_the_exit(run_program: RunProgram) -> None:
    done = run_program(
        program(
            EXPORTERS,
            """
            import prela
            tracer = prela.init("test", [HangingAsync(), "file"], exit_timeout=0.5)
            spans(5)
            assert entered.wait(10)
            for number in range(5, 10):
                with tracer.span(f"span {number}"):
                    pass
            """,
        )
    )
    assert [name for name in done.names if name != "prela.dropped"] == named("span", 10)
    assert "Traceback" not in done.stderr


def test_an_exporter_that_takes_its_time_is_waited_for_and_closed(run_program: RunProgram) -> None:
    done = run_program(
        program(
            """
            import prela

            entered = threading.Event()

            class Slow:
                def export(self, spans):
                    entered.set()
                    time.sleep(0.2)
                    print(len(spans), "spans", flush=True)

                def aclose(self):
                    print("closed", flush=True)

            tracer = prela.init("test", Slow())
            spans(1)
            assert entered.wait(10)
            spans(7)
            """,
        )
    )
    assert_quiet(done)
    assert done.stdout == "1 spans\n7 spans\nclosed\n"


@pytest.mark.parametrize(
    "last_act",
    [
        'prela.init("another")',
        'os.environ["OTEL_SDK_DISABLED"] = "true"; prela.init("another")',
        """
        async def main():
            async with prela.aio.open_tracer("another"):
                spans(3, "in the block")

        asyncio.run(main())
        """,
        "for number in range(20): prela.init(str(number))",
        "threading.Thread(target=prela.init).start()",
    ],
    ids=["init", "disabled", "open_tracer", "many inits", "init in a thread that main does not join"],
)
def test_what_was_queued_before_tracing_was_set_up_anew_is_not_lost_at_the_end(
    last_act: str, run_program: RunProgram
) -> None:
    done = run_program(program(START, "spans(100)", last_act))
    assert_quiet(done)
    assert [line["name"] for line in done.lines if line["service_name"] == "test"] == named("span", 100)


def test_a_span_left_open_by_an_earlier_init_is_exported_by_the_latest(run_program: RunProgram) -> None:
    done = run_program(
        program(
            START,
            """
            left_open = tracer.start_span("left open")
            for number in range(5):
                prela.init(str(number))
            left_open.end()
            """,
        )
    )
    assert_quiet(done)
    assert done.names == ["left open"]


def test_a_shutdown_that_its_caller_gave_up_is_finished_by_the_end(run_program: RunProgram) -> None:
    done = run_program(
        program(
            """
            import anyio
            import prela

            class Slow:
                async def export(self, spans):
                    await asyncio.sleep(0.5)
                    print("exported", len(spans), flush=True)

            tracer = prela.init("test", Slow())
            spans(1)

            async def main():
                with anyio.move_on_after(0.1):
                    await prela.shutdown()

            asyncio.run(main())
            """
        )
    )
    assert_quiet(done)
    assert done.stdout == "exported 1\n"


def test_a_program_whose_loop_policy_refuses_other_threads_is_traced(run_program: RunProgram) -> None:
    done = run_program(
        program(
            """
            class Policy(asyncio.DefaultEventLoopPolicy):
                def new_event_loop(self):
                    if threading.current_thread() is not threading.main_thread():
                        raise RuntimeError("loops only in the main thread")
                    return super().new_event_loop()

            asyncio.set_event_loop_policy(Policy())
            """,
            START,
            "spans(3)",
        )
    )
    assert_quiet(done)
    assert done.names == named("span", 3)


def test_a_program_without_stderr_ends_as_ever(run_program: RunProgram) -> None:
    done = run_program(program("sys.stderr = None", START, "spans(3)", "sys.exit(4)"))
    assert_quiet(done, 4)
    assert done.names == named("span", 3)


def test_a_program_that_imports_prela_and_traces_nothing_starts_no_thread_and_writes_no_file(
    run_program: RunProgram,
) -> None:
    done = run_program(program(START, "print([thread.name for thread in threading.enumerate()])"))
    assert_quiet(done)
    assert done.stdout == "['MainThread']\n"
    assert done.lines == []


def test_spans_ended_by_finalizers_at_the_very_end_do_not_disturb_it(run_program: RunProgram) -> None:
    done = run_program(
        program(
            START,
            """
            class Finalized:
                def __del__(self):
                    with tracer.span("finalizer"):
                        pass

            kept = Finalized()
            spans(3)
            """,
        )
    )
    assert_quiet(done)
    assert done.names[:3] == named("span", 3)


def test_a_short_program_with_a_plain_exporter_loses_nothing(run_program: RunProgram) -> None:
    done = run_program(
        program(
            """
            import prela

            class Plain:
                def export(self, spans):
                    print(len(spans))

            tracer = prela.init("test", Plain())
            with tracer.span("one"):
                pass
            """
        )
    )
    assert_quiet(done)
    assert done.stdout == "1\n"


STARVED = """
import resource
import prela
tracer = prela.init("test")
resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
held = []
try:
    while True:
        held.append(os.open(os.devnull, os.O_RDONLY))
except OSError:
    pass
spans(100)
assert not prela.sync.flush(timeout=0.2)
assert prela.statistics().queued == 100 and not prela.statistics().dropped
"""


def _assert_nothing_but_words_of_ours(done: Program) -> None:
    assert done.returncode == 0, done.stderr
    assert all(line.startswith("prela: ") for line in done.stderr.splitlines()), done.stderr
    assert "no loop to export them: [Errno 24]" in done.stderr


def test_spans_wait_while_the_program_has_no_file_descriptor_left_for_us(run_program: RunProgram) -> None:
    done = run_program(
        program(
            STARVED,
            """
            for descriptor in held:
                os.close(descriptor)
            assert prela.sync.flush(timeout=30), prela.statistics()
            assert prela.statistics().exported == 100
            """,
        )
    )
    _assert_nothing_but_words_of_ours(done)
    assert done.names == named("span", 100)


def test_a_program_that_ends_without_a_file_descriptor_left_ends_at_once_and_counts_the_loss(
    run_program: RunProgram,
) -> None:
    done = run_program(
        program(
            STARVED,
            """
            began = time.monotonic()
            prela.sync.shutdown(timeout=30)
            assert time.monotonic() - began < 10
            assert prela.statistics().dropped == {"export_failed": 100}, prela.statistics()
            """,
        )
    )
    _assert_nothing_but_words_of_ours(done)


def test_who_waits_for_an_export_thread_that_cannot_be_is_answered(monkeypatch: pytest.MonkeyPatch) -> None:
    """As where no file descriptors are left for its loop, when it ends."""
    tried = threading.Event()

    def no_loop() -> None:
        tried.set()
        raise OSError(24, "Too many open files")

    monkeypatch.setattr("prela.sync.bridge.private_loop", no_loop)
    tracer = prela.init("test", "memory", auto_instrument=False)
    with tracer.span("lost"):
        pass
    assert tried.wait(30)
    flush = process.request_flush()
    prela.init("test", "memory", auto_instrument=False)  # the first one ends
    assert flush.answers
    for answer in flush.answers:
        answer.result(30)
    assert not flush.went_well(process.losses())
    assert prela.statistics().dropped["export_failed"] >= 1
