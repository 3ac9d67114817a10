"""With insight, a span that is collected without having ended is ended then, marked, and told of once a place."""

import gc
import logging
import threading
from typing import Any

import pytest

import prela
from prela.testing import recording
from tests.conftest import RunProgram


def leak(tracer: prela.Tracer, name: str = "leaked") -> None:
    tracer.start_span(name, attributes={"a": 1})


WHERE = f"{__file__}:{leak.__code__.co_firstlineno + 1} in leak"


def test_a_span_that_is_let_go_of_is_ended_and_marked_with_where_it_was_started(tracer: prela.Tracer) -> None:
    with recording(insight=True) as recorder:
        leak(tracer)
        assert prela.open_spans() == ()
    record = recorder["leaked"]
    assert record.attributes == {"a": 1, "prela.leaked": True, "prela.leaked.where": WHERE}
    assert record.end_time_unix_nano is not None
    assert record.status == "success"


def test_its_status_is_what_was_said_of_it(tracer: prela.Tracer) -> None:
    with recording(insight=True) as recorder:
        tracer.start_span("leaked").set_status("error", "told before")
    assert (recorder["leaked"].status, recorder["leaked"].status_message) == ("error", "told before")


@pytest.mark.parametrize("options", [{}, {"redact": lambda value: value}], ids=["plain", "careful"])
def test_one_in_a_cycle_is_ended_by_the_collector(options: dict[str, Any], tracer: prela.Tracer) -> None:
    with recording(insight=True, **options) as recorder:
        holder: list[object] = [tracer.start_span("leaked")]
        holder.append(holder)
        del holder
        gc.collect()
    assert recorder["leaked"].attributes["prela.leaked"] is True


def test_one_that_was_entered_and_left_out_of_order_is_ended_too(tracer: prela.Tracer) -> None:
    import contextvars

    def never_left() -> None:
        with tracer.span("root"):
            tracer.span("leaked").__enter__()

    with recording(insight=True) as recorder:
        contextvars.Context().run(never_left)
        assert recorder.names == ["root"]  # and with its record made, nothing holds that context any more
        gc.collect()
    assert recorder["leaked"].attributes["prela.leaked"] is True
    assert "prela.leaked" not in recorder["root"].attributes


def test_its_children_keep_their_parent_alive(tracer: prela.Tracer) -> None:
    with recording(insight=True) as recorder:
        child = tracer.start_span("child", parent=tracer.start_span("parent"))
        gc.collect()
        assert recorder.names == []
        child.end()
        del child
        assert recorder.names == ["child"]
        gc.collect()
        assert recorder.tree() == "parent\n  child"
    assert "prela.leaked" not in recorder["child"].attributes


def test_spans_that_ended_or_never_started_are_no_leaks(tracer: prela.Tracer) -> None:
    with recording(insight=True) as recorder:
        with tracer.span("entered"):
            pass
        tracer.start_span("ended").end()
        tracer.span("never entered")
        with pytest.raises(ValueError, match="own"), tracer.span("failed"):
            raise ValueError("own")

        async def cancelled() -> None:
            async with tracer.aspan("closed"):
                raise AssertionError

        coroutine = cancelled()
        coroutine.close()
        gc.collect()
    assert recorder.names == ["entered", "ended", "failed"]
    assert not any("prela.leaked" in record.attributes for record in recorder.records)


def test_without_insight_nothing_is_ended_for_anybody(tracer: prela.Tracer) -> None:
    with recording() as recorder:
        leak(tracer)
        gc.collect()
        assert recorder.names == []


def test_each_place_is_told_of_once_by_the_worker(tracer: prela.Tracer, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, "prela"):
        prela.init("service", "memory", insight=True)

        def another_place() -> None:
            tracer.start_span("other")

        for _ in range(3):
            tracer.start_span("same")
            another_place()
        assert prela.sync.flush()
        prela.sync.shutdown()
    told = [line for line in caplog.messages if "test_each_place" in line or "the span 'same'" in line]
    assert sorted(line.split(", started at")[0] for line in told) == [
        "prela: the span 'other'",
        "prela: the span 'same'",
    ]
    assert all(f"{__file__}:" in line for line in told)


def test_the_counts_add_up(tracer: prela.Tracer) -> None:
    prela.init("service", "memory", insight=True)
    before = prela.statistics()
    for _ in range(10):
        leak(tracer)
    assert prela.sync.flush()
    after = prela.statistics()
    assert (after.started - before.started, after.exported - before.exported) == (10, 10)
    assert after.open == before.open


def test_a_finalizer_that_runs_inside_of_the_logger_or_the_buffer_deadlocks_nobody(tracer: prela.Tracer) -> None:
    class Handler(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            leak(tracer, "inside the handler")

    prela.init("service", "memory", insight=True)
    logger = logging.getLogger("the program's")
    handler = Handler()
    logger.addHandler(handler)
    try:
        threads = [threading.Thread(target=lambda: [logger.warning("x") for _ in range(50)]) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(20)
            assert not thread.is_alive()
    finally:
        logger.removeHandler(handler)
    assert prela.sync.flush()


PRELUDE = """
import atexit, gc, os, sys, threading, warnings
import prela
tracer = prela.init("test", insight=True)
"""


def test_spans_alive_at_the_exit_are_no_leaks_and_make_no_noise(run_program: RunProgram) -> None:
    done = run_program(
        PRELUDE
        + """
class Holder:
    pass

alive = tracer.start_span("alive")
holder = Holder()
holder.itself, holder.span = holder, tracer.start_span("in a cycle")
entered = tracer.span("entered").__enter__()
threading.Thread(target=lambda: (tracer.span("in a daemon").__enter__(), threading.Event().wait()), daemon=True).start()
with tracer.span("ended"):
    pass
"""
    )
    assert (done.returncode, done.stderr) == (0, "")
    told = {line["name"]: line["status"] for line in done.lines}
    open_then = dict.fromkeys(("alive", "in a cycle", "entered", "in a daemon"), "pending")
    assert told == {"ended": "success", **open_then}
    assert not any("prela.leaked" in line["attributes"] for line in done.lines)


def test_a_leak_of_the_last_moment_is_still_written_and_told(run_program: RunProgram) -> None:
    done = run_program(
        PRELUDE
        + """
def main():
    tracer.start_span("leaked by main")
main()
"""
    )
    assert done.returncode == 0
    assert [(line["name"], line["attributes"]["prela.leaked"]) for line in done.lines] == [("leaked by main", True)]
    assert "the span 'leaked by main', started at " in done.stderr
    assert "program.py:7 in main, was collected" in done.stderr


@pytest.mark.skipif(not hasattr(__import__("os"), "fork"), reason="there is no fork on Windows")
def test_a_span_of_the_parent_that_a_forked_child_lets_go_of_is_no_leak_there(run_program: RunProgram) -> None:
    done = run_program(
        PRELUDE
        + """
warnings.filterwarnings("ignore", "This process .* is multi-threaded", DeprecationWarning)
span = tracer.start_span("parent's")
if os.fork() == 0:
    del span
    gc.collect()
    with tracer.span("child's"):
        pass
    sys.exit(0)
assert os.wait()[1] == 0
span.end()
"""
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert sorted(done.names) == ["child's", "parent's"]
    assert not any("prela.leaked" in line["attributes"] for line in done.lines)
