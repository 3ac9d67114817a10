"""With insight, what is open for longer than a batch delay is written down once: to be read after a kill or a hang."""

import subprocess
import sys
import textwrap
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import anyio
import msgspec
import pytest

import prela
from prela.aio import open_tracer
from prela.record.jsonl import latest
from prela.record.text import Pending, rows
from prela.record.tree import Node
from tests.conftest import ROOT, RunProgram


class Keeper:
    """Keeps what it is given, pending records too, and tells when."""

    accepts_pending = True

    def __init__(self) -> None:
        self.records: list[prela.SpanRecord] = []
        self.changed = threading.Condition()

    async def export(self, spans: Sequence[prela.SpanRecord]) -> None:
        with self.changed:
            self.records.extend(spans)
            self.changed.notify_all()

    def wait_until(self, is_so: Callable[[], bool]) -> None:
        with self.changed:
            assert self.changed.wait_for(is_so, 20), self.told

    @property
    def told(self) -> list[tuple[str, str]]:
        return [(record.name, record.status) for record in self.records]


class Plain(Keeper):
    """Takes no pending records: it does not say so."""

    accepts_pending = False


class Counts(Keeper):
    """Also counts signs of life."""

    def __init__(self) -> None:
        super().__init__()
        self.signs = 0

    async def keep_alive(self) -> None:
        with self.changed:
            self.signs += 1
            self.changed.notify_all()


def test_a_span_open_for_longer_than_the_delay_is_written_once_and_its_end_afterwards(tracer: prela.Tracer) -> None:
    keeper = Keeper()
    prela.init("service", keeper, insight=True, export_delay=0.05)
    with tracer.span("root", prela.SpanType.AGENT, {"a": 1}) as root:
        root.add_event("event", {"b": 2})
        root.add_link(prela.SpanContext("1" * 32, "2" * 16))
        keeper.wait_until(lambda: len(keeper.records) == 1)
        for number in range(4):
            with tracer.span(f"quick {number}"):
                pass
            keeper.wait_until(lambda: len(keeper.records) == number + 2)  # noqa: B023
    assert prela.sync.flush()
    quick = [(f"quick {number}", "success") for number in range(4)]
    assert keeper.told == [("root", "pending"), *quick, ("root", "success")]
    pending, final = keeper.records[0], keeper.records[-1]
    assert pending.end_time_unix_nano is None
    assert pending.attributes.pop("prela.pending.age") >= 0.05
    same = (
        "trace_id",
        "span_id",
        "parent_span_id",
        "span_type",
        "start_time_unix_nano",
        "attributes",
        "events",
        "links",
    )
    for key in [key for key in final.attributes if key.startswith("prela.time.")]:
        del final.attributes[key]  # known at the end only
    assert [getattr(pending, field) for field in same] == [getattr(final, field) for field in same]
    assert latest([final, pending]) == latest([pending, final]) == [final]


def test_the_counts_are_the_same_as_without(tracer: prela.Tracer) -> None:
    class Counted(Keeper):
        """Of a name of its own, since the counts of a name go on."""

    keeper = Counted()
    prela.init("service", keeper, insight=True, export_delay=0.05)
    before = prela.statistics()
    with tracer.span("root"):
        keeper.wait_until(lambda: len(keeper.records) == 1)
        found = prela.statistics()
        assert (found.started, found.open) == (before.started + 1, before.open + 1)
        assert (found.exported, found.in_flight, found.queued) == (before.exported, 0, 0)
        assert found.exporters["Counted"] == prela.ExporterStatistics(0, {}, 0)
    assert prela.sync.flush()
    assert prela.statistics().exporters["Counted"].exported == 1


def test_more_than_an_exporter_may_have_waiting_are_all_written(tracer: prela.Tracer) -> None:
    keeper = Keeper()
    prela.init("service", keeper, insight=True, export_delay=0.05, limits={"queue_spans": 600})
    spans = [tracer.start_span(f"span {number}") for number in range(3_000)]
    keeper.wait_until(lambda: len(keeper.records) == 3_000)
    assert {status for _, status in keeper.told} == {"pending"}
    assert len({record.span_id for record in keeper.records}) == 3_000
    for span in spans:
        span.end()


def test_only_exporters_that_say_so_are_given_what_is_pending(tracer: prela.Tracer) -> None:
    keeper, plain = Keeper(), Plain()
    prela.init("service", [keeper, plain], insight=True, export_delay=0.05)
    with tracer.span("root"):
        keeper.wait_until(lambda: len(keeper.records) == 1)
    assert prela.sync.flush()
    assert plain.told == [("root", "success")]


def test_without_insight_nothing_is_pending(tracer: prela.Tracer) -> None:
    keeper = Keeper()
    prela.init("service", keeper, export_delay=0.05)
    with tracer.span("root"):
        for _ in range(3):
            with tracer.span("quick"):
                pass
            assert prela.sync.flush()
    assert prela.sync.flush()
    assert "pending" not in [status for _, status in keeper.told]


def test_it_is_redacted_as_the_end_will_be(tracer: prela.Tracer) -> None:
    keeper = Keeper()

    def redact(key: str, value: Any) -> Any:
        return "[gone]" if value == "hunter2" else value

    prela.init("service", keeper, insight=True, export_delay=0.05, redact=redact)
    with tracer.span("root", attributes={"deep": [{"password": "hunter2"}]}) as root:
        root.add_event("event", {"password": "hunter2"})
        root.set_status("error", "hunter2")
        keeper.wait_until(lambda: len(keeper.records) == 1)
        assert root.attributes["deep"] == [{"password": "hunter2"}]  # the span itself goes on as it was
    assert keeper.records[0].status == "pending"
    assert "hunter2" not in repr(keeper.records)
    assert repr(keeper.records[0]).count("[gone]") == 3


def test_attributes_that_are_worked_out_later_are_in_both_records(tracer: prela.Tracer) -> None:
    keeper = Keeper()
    prela.init("service", keeper, insight=True, export_delay=0.05)
    with tracer.span("call") as span:
        span._complete_later(lambda: {"prompt": "why?"}, 4)
        keeper.wait_until(lambda: len(keeper.records) == 1)
    assert prela.sync.flush()
    assert [record.attributes["prompt"] for record in keeper.records] == ["why?", "why?"]


def test_traces_that_tail_sampling_may_drop_are_not_journaled(tracer: prela.Tracer) -> None:
    keeper = Keeper()
    prela.init("s", keeper, insight=True, export_delay=0.05, tail_sampling=prela.TailSampling(rate=0.0))
    with tracer.span("undecided"):
        with tracer.span("root of its own", parent=None), tracer.span("flags", attributes={"prela.keep": True}):
            pass
        keeper.wait_until(lambda: len(keeper.records) == 2)
        with tracer.span("root of another", parent=None) as kept:
            with tracer.span("flags", attributes={"prela.keep": True}):
                pass
            keeper.wait_until(lambda: ("root of another", "pending") in keeper.told)
            assert kept.is_recording
    assert prela.sync.flush()
    assert ("undecided", "pending") not in keeper.told


def test_a_span_outlives_its_settings_and_is_journaled_where_it_will_end(tracer: prela.Tracer) -> None:
    first, second = Keeper(), Keeper()
    prela.init("first", first, insight=True, export_delay=0.05)
    with tracer.span("root"):
        prela.init("second", second, insight=True, export_delay=0.05)
        with tracer.span("child"):
            second.wait_until(lambda: len(second.records) == 2)
    assert prela.sync.flush()
    assert first.told == []
    assert sorted(second.told) == sorted((n, s) for n in ("child", "root") for s in ("pending", "success"))


def test_the_end_of_tracing_writes_down_what_is_open_whatever_its_age(tracer: prela.Tracer) -> None:
    keeper = Keeper()
    prela.init("service", keeper, insight=True, export_delay=60)
    span = tracer.start_span("left open")
    with tracer.span("ended"):
        pass
    prela.sync.shutdown()
    assert sorted(keeper.told) == [("ended", "success"), ("left open", "pending")]
    span.end()


def test_while_something_journaled_is_open_there_are_signs_of_life(tracer: prela.Tracer) -> None:
    keeper = Counts()
    prela.init("service", keeper, insight=True, export_delay=0.05)
    with tracer.span("root"):
        keeper.wait_until(lambda: keeper.signs >= 3)
    assert keeper.told[0] == ("root", "pending")


def test_an_exporter_whose_sign_of_life_fails_goes_on_exporting(tracer: prela.Tracer) -> None:
    class Fails(Counts):
        async def keep_alive(self) -> None:
            await super().keep_alive()
            raise OSError("not today")

    keeper = Fails()
    prela.init("service", keeper, insight=True, export_delay=0.05)
    with tracer.span("root"):
        keeper.wait_until(lambda: keeper.signs >= 2)
    assert prela.sync.flush()
    assert keeper.told == [("root", "pending"), ("root", "success")]


@pytest.mark.anyio
async def test_open_tracer_journals_on_the_loop_it_is_in() -> None:
    keeper = Keeper()
    async with open_tracer("service", keeper, insight=True, export_delay=0.05) as tracer, tracer.aspan("root"):
        with anyio.fail_after(20):
            while not keeper.records:
                await anyio.sleep(0.01)
    assert keeper.told == [("root", "pending"), ("root", "success")]


def show(folder: Path, *command: str) -> str:
    code = "from prela.cli import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", code, *(command or ("show",)), "--trace-dir", str(folder)],
        capture_output=True,
        text=True,
        cwd=ROOT,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


KILLED = """
import asyncio, os, signal, sys, threading, time
import prela
tracer = prela.init("test", insight=True, export_delay=0.2)

def kill_when_journaled(count):
    # By what the exporter has been given, and then for long enough that the file's time says more than the records.
    def run():
        from prela.insight.registry import registry
        while len(registry.journaled) < count:
            time.sleep(0.01)
        time.sleep(1.2)
        os.kill(os.getpid(), signal.SIGKILL)
    threading.Thread(target=run, daemon=True).start()
"""


@pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGKILL on Windows")
def test_after_kill_9_a_hundred_open_spans_are_in_the_file_with_how_long_they_ran(
    run_program: RunProgram, tmp_path: Path
) -> None:
    done = run_program(
        KILLED
        + textwrap.dedent(
            """
            async def work(number):
                async with tracer.aspan(f"work {number}"):
                    await asyncio.sleep(1000)

            async def main():
                async with tracer.aspan("root"):
                    with tracer.span("ended before"):
                        pass
                    kill_when_journaled(101)
                    await asyncio.gather(*(work(number) for number in range(100)))

            asyncio.run(main())
            """
        )
    )
    assert done.returncode == -9
    pending = [line["name"] for line in done.lines if line["status"] == "pending"]
    assert sorted(pending) == sorted(["root", *(f"work {number}" for number in range(100))])
    for command in (["show"], ["last"]):
        told = show(tmp_path / "traces", *command).splitlines()
        rows = [line for line in told if " work " in line]
        assert len(rows) == 100
        for line in rows:
            assert line.startswith("… ")
            seconds = float(line.split("not ended: ran for ")[1].split(" s at least")[0])
            assert 1.1 < seconds < 10
        assert any(line.startswith("✓ ") and "ended before" in line for line in told)


@pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGKILL on Windows")
def test_a_program_that_hangs_from_its_first_span_on_is_in_the_file(run_program: RunProgram) -> None:
    done = run_program(
        KILLED
        + textwrap.dedent(
            """
            with tracer.span("hangs"):
                kill_when_journaled(1)
                while True:
                    pass
            """
        )
    )
    assert done.returncode == -9
    assert [(line["name"], line["status"]) for line in done.lines] == [("hangs", "pending")]


def test_a_program_that_ends_leaves_no_word_of_what_ended_in_time(run_program: RunProgram) -> None:
    done = run_program(
        """
import prela
tracer = prela.init("test", insight=True, export_delay=60)
with tracer.span("root"):
    with tracer.span("child"):
        pass
""",
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert [(line["name"], line["status"]) for line in done.lines] == [("child", "success"), ("root", "success")]


def pending(**attributes: Any) -> prela.SpanRecord:
    return prela.SpanRecord(
        trace_id="1" * 32,
        span_id="2" * 16,
        parent_span_id=None,
        name="open",
        span_type="custom",
        status="pending",
        status_message=None,
        start_time_unix_nano=1_000_000_000_000,
        end_time_unix_nano=None,
        attributes=attributes,
        events=(),
        links=(),
        service_name="test",
        resource={},
    )


@pytest.mark.parametrize(
    ("record", "heard", "told"),
    [
        (pending(**{"prela.pending.age": 2.5}), None, "not ended: ran for 2.5 s at least"),
        (pending(**{"prela.pending.age": 2.5}), 1_001_000_000_000, "not ended: ran for 2.5 s at least"),
        (pending(**{"prela.pending.age": 2.5}), 1_007_000_000_000, "not ended: ran for 7 s at least"),
        (pending(), 1_007_000_000_000, "not ended: ran for 7 s at least"),
        (pending(), None, "not ended"),
        (pending(), 1, "not ended"),
        *(
            (pending(**{"prela.pending.age": wrong}), None, "not ended")
            for wrong in ("2", -1, float("nan"), 1e300, None)
        ),
    ],
)
def test_what_is_told_of_a_span_that_has_not_ended_is_what_is_known(
    record: prela.SpanRecord, heard: int | None, told: str
) -> None:
    known = Pending("", heard or 0)
    (row,) = rows(Node(record, []), pending={record.span_id: known}, now=1_010_000_000_000)
    assert (row.duration, row.note) == ("open", told)


def test_the_bar_of_a_span_that_has_not_ended_begins_in_the_time_that_it_is_known_to_have_run() -> None:
    root = pending(**{"prela.pending.age": 2.0})
    later = msgspec.structs.replace(
        root, span_id="3" * 16, parent_span_id=root.span_id, start_time_unix_nano=1_001 * 10**9
    )
    found = rows(Node(root, [Node(later, [])]))
    assert [row.bar for row in found] == ["\u2588" * 24, "\u00b7" * 8 + "\u2588" * 16]
