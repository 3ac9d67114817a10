"""One process becomes two: the child starts empty, nothing is exported twice, and nothing of either is lost."""

import sys
import textwrap
from collections import Counter

import pytest

from tests.conftest import Program, RunProgram

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="there is no fork on Windows")

PRELUDE = """
import os, sys, threading, time, warnings
import multiprocessing
import prela

# Forking beside threads is what is tested here; Python 3.12 and newer warn of it.
warnings.filterwarnings("ignore", "This process .* is multi-threaded", DeprecationWarning)

def spans(count, name="span"):
    for number in range(count):
        with prela.get_tracer().span(f"{name} {number}"):
            pass

def wait_for_exports(count, within=10.0):
    deadline = time.monotonic() + within
    while prela.statistics().exported < count:
        assert time.monotonic() < deadline, prela.statistics()
        time.sleep(0.005)

def wait_for_child(pid, within=15.0):
    deadline = time.monotonic() + within
    while time.monotonic() < deadline:
        found, status = os.waitpid(pid, os.WNOHANG)
        if found:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.005)
    os.kill(pid, 9)
    os.waitpid(pid, 0)
    return "hung"

def in_child(function):
    sys.stdout.flush()
    pid = os.fork()
    if pid == 0:
        function()
        sys.exit(0)
    code = wait_for_child(pid)
    assert code == 0, code
"""


def program(*parts: str) -> str:
    return "\n".join(textwrap.dedent(part) for part in (PRELUDE, *parts))


def assert_quiet(done: Program) -> None:
    assert (done.returncode, done.stderr) == (0, "")


def named(name: str, count: int) -> list[str]:
    return [f"{name} {number}" for number in range(count)]


def test_a_forked_child_starts_empty_and_counts_from_zero(run_program: RunProgram) -> None:
    done = run_program(
        program(
            """
            tracer = prela.init("test", export_delay=60)
            unsampled = prela.init("test", sample_rate=0.0).span("unsampled")
            with unsampled:
                pass
            prela.init("test", export_delay=60)
            spans(5, "exported")
            assert prela.sync.flush()
            left_open = tracer.start_span("left open")
            spans(5, "queued")
            left_open.set_attribute("a", 1)

            def child():
                counts = prela.statistics()
                print(counts.started, counts.open, counts.queued, counts.in_flight, counts.exported, counts.unsampled)
                print(counts.dropped, counts.exporters)

            in_child(child)
            left_open.end()
            """
        )
    )
    assert_quiet(done)
    assert done.stdout == "0 0 0 0 0 0\n{} {}\n"
    assert done.names == [*named("exported", 5), *named("queued", 5), "left open"]


def test_a_child_counts_what_it_starts_below_the_unsampled_root_it_was_forked_in(run_program: RunProgram) -> None:
    done = run_program(
        program(
            """
            tracer = prela.init("test", sample_rate=0.0)
            with tracer.span("root"):
                spans(2, "of the parent")

                def child():
                    spans(5, "of the child")
                    counts = prela.statistics()
                    print(counts.started, counts.open, counts.unsampled)

                in_child(child)
                print(prela.statistics().unsampled)
            """
        )
    )
    assert_quiet(done)
    assert done.stdout == "5 0 5\n3\n"


def test_spans_queued_at_a_fork_are_exported_by_the_parent_only(run_program: RunProgram) -> None:
    done = run_program(
        program(
            """
            prela.init("test", export_delay=60)
            spans(100, "parent")
            in_child(lambda: spans(3, "child"))
            """
        )
    )
    assert_quiet(done)
    assert Counter(done.names) == Counter([*named("parent", 100), *named("child", 3)])


def test_a_child_parents_on_the_span_it_was_forked_in_which_ends_only_in_the_parent(run_program: RunProgram) -> None:
    done = run_program(
        program(
            """
            tracer = prela.init("test")

            def child():
                with tracer.span("in the child"):
                    with tracer.span("below"):
                        pass

            with tracer.span("open"):
                pid = os.fork()
                if pid == 0:
                    child()
                else:
                    assert wait_for_child(pid) == 0
            print(prela.statistics().started, prela.statistics().open)
            """
        )
    )
    assert_quiet(done)
    assert sorted(done.names) == ["below", "in the child", "open"]
    assert done.parent_of("in the child") == "open"
    assert done.parent_of("below") == "in the child"
    assert len({line["trace_id"] for line in done.lines}) == 1
    assert len({line["span_id"] for line in done.lines}) == 3
    assert sorted(done.stdout.splitlines()) == ["1 0", "2 0"]


def test_parent_and_child_write_files_of_their_own_and_draw_different_ids(run_program: RunProgram) -> None:
    done = run_program(
        program(
            """
            prela.init("test", export_delay=0.1)
            spans(20, "before")
            wait_for_exports(20)
            for round in range(3):
                in_child(lambda: spans(20, f"child {round}"))
            spans(20, "after")
            print(len(os.listdir(os.environ["PRELA_TRACE_DIR"])))
            """
        )
    )
    assert_quiet(done)
    assert done.stdout == "4\n"
    assert len(done.lines) == 100
    assert len({line["span_id"] for line in done.lines}) == 100
    assert len({line["trace_id"] for line in done.lines}) == 100


def test_a_child_flushes_what_is_its_own(run_program: RunProgram) -> None:
    done = run_program(
        program(
            """
            prela.init("test")
            spans(3, "parent")

            def child():
                print(prela.sync.flush(), prela.statistics().exported)
                spans(3, "child")
                print(prela.sync.flush(), prela.statistics().exported)
                print(prela.sync.shutdown(), threading.active_count())

            in_child(child)
            """
        )
    )
    assert_quiet(done)
    assert done.stdout.splitlines() == ["True 0", "True 3", "True 1"]
    assert sorted(done.names) == sorted([*named("parent", 3), *named("child", 3)])


def test_a_grandchild_is_traced_below_its_grandparent(run_program: RunProgram) -> None:
    done = run_program(
        program(
            """
            tracer = prela.init("test")

            def grandchild():
                with tracer.span("grandchild"):
                    pass

            def child():
                with tracer.span("child"):
                    in_child(grandchild)

            with tracer.span("parent"):
                in_child(child)
            """
        )
    )
    assert_quiet(done)
    assert sorted(done.names) == ["child", "grandchild", "parent"]
    assert (done.parent_of("child"), done.parent_of("grandchild")) == ("parent", "child")


def test_a_child_that_traces_nothing_ends_at_once_and_writes_no_file(run_program: RunProgram) -> None:
    done = run_program(
        program(
            """
            prela.init("test")
            spans(1, "parent")
            wait_for_exports(1)
            in_child(lambda: print(len(threading.enumerate())))
            print(len(os.listdir(os.environ["PRELA_TRACE_DIR"])))
            """
        )
    )
    assert_quiet(done)
    assert done.stdout == "1\n1\n"
    assert done.names == ["parent 0"]


def test_tracing_turned_off_stays_off_in_the_child(run_program: RunProgram) -> None:
    done = run_program(
        program(
            """
            prela.init("test")
            spans(1, "parent")
            assert prela.sync.shutdown()
            in_child(lambda: spans(1, "child"))
            """
        )
    )
    assert_quiet(done)
    assert done.names == ["parent 0"]


def test_a_child_may_set_tracing_up_anew(run_program: RunProgram) -> None:
    done = run_program(
        program(
            """
            prela.init("parent")
            spans(1, "parent")

            def child():
                prela.init("child")
                spans(1, "child")

            in_child(child)
            """
        )
    )
    assert_quiet(done)
    assert sorted((line["name"], line["service_name"]) for line in done.lines) == [
        ("child 0", "child"),
        ("parent 0", "parent"),
    ]


def test_forks_at_any_moment_of_the_workers_start_hang_nobody_and_lose_nothing(run_program: RunProgram) -> None:
    done = run_program(
        program(
            """
            def child():
                import asyncio, concurrent.futures
                asyncio.run(asyncio.sleep(0))
                spans(1, "child")

            for round in range(25):
                prela.init("test")
                spans(1, "parent")  # starts a worker thread
                time.sleep(round * 0.0004)  # another moment of it each time
                in_child(child)
            """
        )
    )
    assert_quiet(done)
    assert Counter(done.names) == {"parent 0": 25, "child 0": 25}


def test_forks_beside_threads_that_trace_hang_nobody_and_lose_nothing(run_program: RunProgram) -> None:
    done = run_program(
        program(
            """
            prela.init("test", export_delay=0.1)
            stop = threading.Event()
            ended = []

            def trace():
                while not stop.is_set():
                    with prela.get_tracer().span("beside"):
                        pass
                    ended.append(None)
                    time.sleep(0.0001)

            threads = [threading.Thread(target=trace, daemon=True) for _ in range(3)]
            for thread in threads:
                thread.start()
            for round in range(10):
                in_child(lambda: spans(3, f"child {round}"))
            stop.set()
            for thread in threads:
                thread.join()
            print(len(ended))
            """
        )
    )
    assert_quiet(done)
    counts = Counter(done.names)
    assert counts.pop("beside") == int(done.stdout)
    assert counts == Counter(name for number in range(10) for name in named(f"child {number}", 3))
    assert len({line["span_id"] for line in done.lines}) == len(done.lines)


def test_a_fork_inside_open_tracer_leaves_the_parents_worker_alone_and_traces_the_child(
    run_program: RunProgram,
) -> None:
    done = run_program(
        program(
            """
            import asyncio

            async def main():
                asyncio.get_running_loop().slow_callback_duration = 60  # it is held on purpose
                async with prela.aio.open_tracer("test"):
                    spans(5, "parent")
                    sys.stdout.flush()
                    pid = os.fork()
                    if pid == 0:
                        spans(3, "child")
                        print(prela.sync.flush(10), prela.statistics().exported, flush=True)
                        os._exit(0)
                    assert wait_for_child(pid) == 0
                print(prela.statistics().exported)

            asyncio.run(main())
            """
        )
    )
    assert_quiet(done)
    assert done.stdout == "True 3\n5\n"
    assert sorted(done.names) == sorted([*named("parent", 5), *named("child", 3)])


def test_a_program_that_names_nothing_of_prela_but_open_tracer_may_fork(run_program: RunProgram) -> None:
    done = run_program(
        textwrap.dedent("""
        import asyncio, os, sys
        import prela.aio

        def end_of(pid):
            return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])

        async def main():
            loop = asyncio.get_running_loop()
            loop.slow_callback_duration = 60
            async with prela.aio.open_tracer("parent") as tracer:
                with tracer.span("root"):
                    children = []
                    for number in range(2):
                        children.append(os.fork())
                        if children[-1] == 0:
                            with tracer.span(f"job {number}"), tracer.span("inner"):
                                pass
                            os._exit(0 if prela.sync.flush(10) else 1)
                    with tracer.span("unrelated"):
                        pass
                    print(await asyncio.gather(*(loop.run_in_executor(None, end_of, pid) for pid in children)))

        asyncio.run(main())
        """)
    )
    assert_quiet(done)
    assert done.stdout == "[0, 0]\n"
    assert len({line["span_id"] for line in done.lines}) == len(done.lines) == 6
    parents = {line["span_id"]: line["name"] for line in done.lines}
    assert sorted(
        (line["name"], parents.get(line["parent_span_id"])) for line in done.lines if line["parent_span_id"]
    ) == [
        ("inner", "job 0"),
        ("inner", "job 1"),
        ("job 0", "root"),
        ("job 1", "root"),
        ("unrelated", "root"),
    ]


@pytest.mark.parametrize("insight", [False, True])
def test_a_span_that_was_made_before_a_fork_may_start_in_the_child(insight: bool, run_program: RunProgram) -> None:
    done = run_program(
        program(
            f"""
            prela.init("before", export_delay=60)
            unstarted = prela.get_tracer().span("made under other settings")
            tracer = prela.init("test", insight={insight}, export_delay=60)

            def job(used, *entered):
                for span in entered:
                    with span:
                        with tracer.span(f"inside {{span.name}}"):
                            pass
                with prela.use_span(used):
                    spans(1, "below used")
                used.end()
                print(prela.statistics().started, prela.sync.flush(10))

            with tracer.span("root"):
                first, second = tracer.span("first"), tracer.span("second")
                used = tracer.span("used")
                in_child(lambda: job(used, first, second))
                spans(2, "unrelated")
                with second, unstarted:
                    pass
            """
        )
    )
    assert_quiet(done)
    assert done.stdout == "6 True\n"
    names = {line["span_id"]: line["name"] for line in done.lines}
    assert len(names) == len(done.lines) == 11
    assert sorted((line["name"], names.get(line["parent_span_id"])) for line in done.lines) == [
        ("below used 0", "used"),
        ("first", "root"),
        ("inside first", "first"),
        ("inside second", "second"),
        ("made under other settings", None),
        ("root", None),
        ("second", "root"),
        ("second", "root"),
        ("unrelated 0", "root"),
        ("unrelated 1", "root"),
        ("used", "root"),
    ]


WORK = """
def work():
    spans(1, "last act")

def work_set_up():
    prela.init("test")
    work()

def job(number):
    with prela.get_tracer().span("job"):
        return number
"""


@pytest.mark.parametrize(("method", "target"), [("fork", "work"), ("spawn", "work_set_up")])
def test_a_process_of_multiprocessing_whose_only_span_is_its_last_act_loses_nothing(
    method: str, target: str, run_program: RunProgram
) -> None:
    done = run_program(
        program(
            WORK,
            f"""
            if __name__ == "__main__":
                context = multiprocessing.get_context("{method}")
                prela.init("test")
                processes = [context.Process(target={target}) for _ in range(3)]
                for process in processes:
                    process.start()
                for process in processes:
                    process.join(30)
                print([process.exitcode for process in processes])
            """,
        )
    )
    assert_quiet(done)
    assert done.stdout == "[0, 0, 0]\n"
    assert done.names == ["last act 0"] * 3


def test_a_process_of_multiprocessing_is_traced_below_the_span_it_was_forked_in(run_program: RunProgram) -> None:
    done = run_program(
        program(
            WORK,
            """
            if __name__ == "__main__":
                tracer = prela.init("test")
                with tracer.span("parent"):
                    process = multiprocessing.get_context("fork").Process(target=work)
                    process.start()
                    process.join(30)
            """,
        )
    )
    assert_quiet(done)
    assert sorted(done.names) == ["last act 0", "parent"]
    assert done.parent_of("last act 0") == "parent"


@pytest.mark.parametrize(("method", "initializer"), [("fork", "None"), ("spawn", "prela.init")])
def test_every_job_of_a_process_pool_is_in_the_file(method: str, initializer: str, run_program: RunProgram) -> None:
    done = run_program(
        program(
            WORK,
            f"""
            if __name__ == "__main__":
                from concurrent.futures import ProcessPoolExecutor

                prela.init("test")
                spans(1, "main")
                context = multiprocessing.get_context("{method}")
                with ProcessPoolExecutor(2, mp_context=context, initializer={initializer}) as pool:
                    print(sum(pool.map(job, range(40))))
            """,
        )
    )
    assert_quiet(done)
    assert done.stdout == f"{sum(range(40))}\n"
    assert Counter(done.names) == {"main 0": 1, "job": 40}


def test_every_job_of_a_multiprocessing_pool_that_is_closed_is_in_the_file(run_program: RunProgram) -> None:
    done = run_program(
        program(
            WORK,
            """
            if __name__ == "__main__":
                prela.init("test")
                pool = multiprocessing.get_context("fork").Pool(2)
                print(sum(pool.map(job, range(40))))
                pool.close()
                pool.join()
            """,
        )
    )
    assert_quiet(done)
    assert Counter(done.names) == {"job": 40}


def test_a_child_of_multiprocessing_with_a_hanging_exporter_ends_in_time(run_program: RunProgram) -> None:
    done = run_program(
        program(
            WORK,
            """
            import asyncio, logging

            class Hanging:
                async def export(self, spans):
                    await asyncio.sleep(1000)

            def work_hanging():
                prela.init("test", Hanging(), exit_timeout=0.5)
                work()

            if __name__ == "__main__":
                process = multiprocessing.get_context("fork").Process(target=work_hanging)
                process.start()
                process.join(20)
                print(process.exitcode)
            """,
        )
    )
    assert (done.returncode, done.stdout) == (0, "0\n")
    assert done.stderr == "prela: 1 span was not exported within 0.5 s of the exit (exit_deadline)\n"
