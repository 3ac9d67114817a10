"""The spool: nothing that the worker has taken is lost while the receiver is away, nor by `kill -9`."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st

import prela
from prela.aio import open_tracer
from prela.aio.exporters.otlp import OtlpExporter
from prela.aio.spool_folder import SpoolFolder
from prela.core.retry import LONGEST_DELAY, delay_until_next
from prela.core.spool import FileName, how_many_go, label_of, read_name
from prela.record import jsonl
from prela.testing import FailingExporter
from prela.testing.otlp_collector import Answer, Collector
from tests.conftest import ROOT
from tests.test_pipeline import assert_adds_up, spans

times = st.integers(0, 10**20 - 1)


# --- what is decided ----------------------------------------------------------------------------------------------


@given(times, st.integers(0, 10**9 - 1), st.from_regex("[0-9a-f]{8}", fullmatch=True))
def test_a_file_s_name_tells_what_it_was_made_of(nano: int, count: int, tail: str) -> None:
    name = FileName(nano, count, tail)
    assert read_name(str(name)) == name


@given(st.lists(times, min_size=2))
def test_names_sort_by_age(found: list[int]) -> None:
    names = [FileName(nano, 1, "00000000") for nano in found]
    assert [str(name) for name in sorted(names)] == sorted(map(str, names))


@given(st.text())
def test_no_other_name_is_taken_for_a_batch_s(text: str) -> None:
    assert read_name(text) is None or str(read_name(text)) == text
    assert read_name("lock") is read_name(f"{FileName(1, 1, '0' * 8)}.part") is None


@given(st.lists(st.integers(0, 1000)), st.integers(1, 3000))
def test_as_few_go_as_must(sizes: list[int], bound: int) -> None:
    going = how_many_go(sizes, bound)
    assert sum(sizes[going:]) <= bound
    assert going == 0 or sum(sizes[going - 1 :]) > bound


@given(st.text())
def test_a_label_is_a_part_of_a_path(text: str) -> None:
    label = label_of(text)
    assert Path(label).name == label
    assert label.isascii()


@given(st.integers(1, 10**6))
def test_the_wait_is_bounded_however_long_an_outage_lasts(attempt: int) -> None:
    assert delay_until_next(attempt, None, draw=lambda low, high: high) <= LONGEST_DELAY
    assert delay_until_next(attempt, 3600.0) == 3600.0


# --- the folder ---------------------------------------------------------------------------------------------------


def _files(folder: Path) -> list[Path]:
    return sorted(folder.rglob("*.jsonl"))


def _bytes(folder: Path) -> int:
    return sum(path.stat().st_size for path in _files(folder))


def _spans(folder: Path) -> int:
    return sum(name.spans for path in _files(folder) if (name := read_name(path.name)) is not None)


def test_a_batch_is_read_as_it_was_written_and_gone_once_removed(tmp_path: Path) -> None:
    folder = SpoolFolder(tmp_path / "spool")
    stored = folder.write(b"one\ntwo\n", 2, sync=True)
    assert (stored.size, stored.name.spans) == (8, 2)
    assert folder.read(stored) == b"one\ntwo\n"
    folder.remove(stored)
    folder.remove(stored)
    folder.close()
    assert list((tmp_path / "spool").iterdir()) == []


def test_what_a_living_process_holds_is_not_taken(tmp_path: Path) -> None:
    with _child_with_a_batch(tmp_path) as child:
        folder = SpoolFolder(tmp_path)
        assert folder.adopt() == []
        child.kill()
        child.wait()
        (left,) = folder.adopt()
        assert folder.read(left) == b"left\n"
        assert len(list(tmp_path.iterdir())) == 1
        folder.close()
    assert [path.read_bytes() for path in _files(tmp_path)] == [b"left\n"]


def test_what_this_process_holds_is_not_taken_either(tmp_path: Path) -> None:
    first, second = SpoolFolder(tmp_path), SpoolFolder(tmp_path)
    stored = first.write(b"mine\n", 1, sync=False)
    assert second.adopt() == []
    assert first.read(stored) == b"mine\n"
    first.close()
    assert len(second.adopt()) == 1
    second.close()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_a_forked_child_holds_nothing_of_its_parent(tmp_path: Path) -> None:
    folder = SpoolFolder(tmp_path)
    folder.write(b"parent's\n", 1, sync=False)
    child = os.fork()
    if not child:
        os._exit(len(SpoolFolder(tmp_path).adopt()))  # and its end lets go of nothing
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    with _child("print(len(SpoolFolder(Path(sys.argv[1])).adopt()))", tmp_path) as other:
        assert other.communicate()[0] == "0\n"
    folder.close()


def test_half_written_files_and_abandoned_folders_are_cleared_away(tmp_path: Path) -> None:
    for name in ("1-aaaa", "2-bbbb.new"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "lock").touch()
        (tmp_path / name / f"{FileName(1, 1, '0' * 8)}.part").write_bytes(b"ha")
    os.utime(tmp_path / "2-bbbb.new", (0, 0))
    (tmp_path / "3-cccc.new").mkdir()  # somebody is just beginning
    folder = SpoolFolder(tmp_path)
    assert folder.adopt() == []
    assert [path.name for path in tmp_path.iterdir()] == ["3-cccc.new"]


def test_a_folder_that_was_deleted_is_begun_again(tmp_path: Path) -> None:
    import shutil

    folder = SpoolFolder(tmp_path / "spool")
    folder.write(b"gone\n", 1, sync=False)
    shutil.rmtree(tmp_path / "spool")
    stored = folder.write(b"there\n", 1, sync=False)
    assert folder.read(stored) == b"there\n"
    folder.close()


_PRELUDE = "import sys, time; from pathlib import Path; from prela.aio.spool_folder import SpoolFolder; "


@contextmanager
def _child(code: str, folder: Path) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-c", _PRELUDE + code, str(folder)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT) as child:
        try:
            yield child
        finally:
            child.kill()


@contextmanager
def _child_with_a_batch(folder: Path) -> Iterator[subprocess.Popen[str]]:
    code = (
        "SpoolFolder(Path(sys.argv[1])).write(b'left\\n', 1, sync=False); print('written', flush=True); time.sleep(60)"
    )
    with _child(code, folder) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == "written\n"
        yield child


# --- delivery -----------------------------------------------------------------------------------------------------


def _names(exporter: "Away") -> list[str]:
    """Without the numbers that `spans` gives them."""
    return [record.name.rpartition(" ")[0] for record in exporter.records]


class Away:
    """An exporter whose receiver is away until it is told otherwise."""

    def __init__(self, place: str = "away") -> None:
        self.spool_name = place
        self.is_away = True
        self.records: list[prela.SpanRecord] = []
        self.attempts = 0

    async def export(self, batch: Sequence[prela.SpanRecord]) -> None:
        self.attempts += 1
        if self.is_away:
            raise prela.RetryableExportError("nobody is there")
        self.records.extend(batch)


def _dropped() -> Counter[str]:
    return Counter(prela.statistics().dropped)


async def _until(condition: Callable[[], bool]) -> None:
    with anyio.fail_after(20):
        while not condition():
            await anyio.sleep(0.005)


@pytest.fixture(autouse=True)
def _no_earlier_losses() -> None:
    prela.sync.flush()


@pytest.mark.anyio
async def test_what_is_not_delivered_is_on_disk_and_nothing_is_lost_or_held_up(tmp_path: Path) -> None:
    away, before = Away(), prela.statistics()
    async with open_tracer("test", away, trace_dir=tmp_path, spool=True, export_delay=0.01) as tracer:
        spans(tracer, 1200)
        await _until(lambda: prela.statistics().spooled - before.spooled == 1200)
        assert prela.statistics().exporters["Away"].spooled == 1200
        assert_adds_up()
        began = time.monotonic()
    assert time.monotonic() - began < 4, "the end waits for nobody who is away"
    lines = b"".join(path.read_bytes() for path in _files(tmp_path / "spool" / "away")).splitlines()
    assert len({jsonl.decode(line).span_id for line in lines}) == len(lines) == 1200
    assert prela.statistics().spooled - before.spooled == 1200
    assert _dropped() == Counter(before.dropped)
    assert_adds_up()


@pytest.mark.anyio
async def test_the_next_one_delivers_it_and_says_so(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    away = Away()
    async with open_tracer("first", away, trace_dir=tmp_path, spool=True) as tracer:
        spans(tracer, 700, "early")
    assert "does not deliver (nobody is there): spans wait in" in caplog.text
    assert "700 spans for exporter 'Away' lie in" in caplog.text
    there = Away()
    there.is_away = False
    before = prela.statistics().exporters["Away"].recovered
    async with open_tracer("second", there, trace_dir=tmp_path, spool=True) as tracer:
        spans(tracer, 3, "late")
        assert await prela.flush()
    assert _names(there) == ["early"] * 700 + ["late"] * 3, "the oldest are tried first"
    assert {r.service_name for r in there.records} == {"first", "second"}
    assert prela.statistics().exporters["Away"].recovered - before == 700
    assert list((tmp_path / "spool" / "away").iterdir()) == []
    assert_adds_up()


@pytest.mark.anyio
async def test_once_the_receiver_is_back_all_is_delivered_and_a_flush_is_true(tmp_path: Path) -> None:
    away = Away()
    async with open_tracer("test", away, trace_dir=tmp_path, spool=True, export_delay=0.01) as tracer:
        spans(tracer, 600)
        await _until(lambda: away.attempts > 0)
        assert not await prela.flush(timeout=0.2)
        away.is_away = False
        assert await prela.flush()
        assert len(away.records) == 600
        assert _files(tmp_path) == []
        assert_adds_up()


def test_a_shutdown_that_leaves_spans_on_disk_is_not_true_and_is_quick(tmp_path: Path) -> None:
    prela.init("test", Away(), trace_dir=tmp_path, spool=True)
    spans(prela.get_tracer(), 3)
    began = time.monotonic()
    assert not prela.sync.shutdown()
    assert time.monotonic() - began < 4
    assert len(_files(tmp_path)) == 1
    assert_adds_up()
    there = Away()
    there.is_away = False
    prela.init("test", there, trace_dir=tmp_path, spool=prela.Spool(tmp_path / "spool"))
    spans(prela.get_tracer(), 1)
    assert prela.sync.shutdown()
    assert len(there.records) == 4


@pytest.mark.anyio
async def test_beyond_its_bound_the_oldest_go_and_are_counted(tmp_path: Path) -> None:
    away, before = Away(), prela.statistics()
    spool = prela.Spool(tmp_path / "elsewhere", max_bytes=150_000)
    async with open_tracer("test", away, spool=spool, trace_dir=tmp_path, export_delay=0.01) as tracer:
        for number in range(8):
            spans(tracer, 100, f"part {number}")
            await _until(lambda number=number: _known(before) == 100 * (number + 1))
        await _until(lambda: _known(before) == 800 and _bytes(tmp_path) <= 150_000)
        await _until(lambda: prela.statistics().spooled - before.spooled == _spans(tmp_path))
        lost = _dropped() - Counter(before.dropped)
        assert set(lost) == {"spool_full"}
        assert 0 < lost["spool_full"] < 800
        assert_adds_up()
        away.is_away = False
        await prela.flush()
    kept = [name for name in _names(away) if name.startswith("part")]
    assert len(kept) == 800 - lost["spool_full"]
    assert kept[-1] == "part 7"
    assert not (tmp_path / "spool").exists()


def _known(before: prela.Statistics) -> int:
    now = prela.statistics()
    return now.spooled - before.spooled + sum((Counter(now.dropped) - Counter(before.dropped)).values())


@pytest.mark.anyio
async def test_a_batch_that_is_never_taken_does_not_keep_the_others_waiting(tmp_path: Path) -> None:
    class Poisoned(Away):
        async def export(self, batch: Sequence[prela.SpanRecord]) -> None:
            self.is_away = any("poison" in record.name for record in batch)
            await super().export(batch)

    poisoned = Poisoned()
    async with open_tracer("test", poisoned, trace_dir=tmp_path, spool=True, export_delay=0.01) as tracer:
        spans(tracer, 1, "poison")
        await _until(lambda: poisoned.attempts > 0)
        spans(tracer, 5, "good")
        with anyio.fail_after(30):
            while len(poisoned.records) < 5:
                await prela.flush(timeout=0.05)
    assert set(_names(poisoned)) == {"good"}
    assert len(_files(tmp_path)) == 1


@pytest.mark.anyio
async def test_a_final_refusal_is_final(tmp_path: Path) -> None:
    refusing = FailingExporter()
    refusing.spool_name = "refusing"  # type: ignore[attr-defined]
    before = _dropped()
    async with open_tracer("test", refusing, trace_dir=tmp_path, spool=True) as tracer:
        spans(tracer, 4)
        assert not await prela.flush()
        assert _dropped() - before == {"export_failed": 4}
        assert _files(tmp_path) == []


@pytest.mark.anyio
async def test_where_nothing_can_be_written_spans_are_delivered_all_the_same(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    there = Away()
    there.is_away = False
    async with open_tracer("test", there, spool=prela.Spool(tmp_path / "file" / "spool"), trace_dir=tmp_path) as tracer:
        spans(tracer, 5)
        assert await prela.flush()
    assert len(there.records) == 5


@pytest.mark.anyio
async def test_where_nothing_can_be_written_memory_is_bounded_as_without_a_spool(tmp_path: Path) -> None:
    (tmp_path / "spool").write_text("a file where a folder should be")
    away, before = Away(), _dropped()
    limits = prela.Limits(queue_spans=200)
    options: Any = {"trace_dir": tmp_path, "spool": True, "limits": limits, "export_delay": 0.01}
    async with open_tracer("test", away, **options) as tracer:
        for number in range(8):
            spans(tracer, 100, f"part {number}")
            await _until(lambda: not prela.statistics().queued)
        await _until(lambda: (_dropped() - before)["queue_full"] == 600)
        assert prela.statistics().exporters["Away"].waiting == 200
        assert_adds_up()
        away.is_away = False
        await prela.flush()
    assert [name for name in _names(away) if name.startswith("part")] == ["part 0"] * 100 + ["part 1"] * 100


@pytest.mark.anyio
async def test_what_one_run_left_on_disk_counts_as_the_next_one_s(tmp_path: Path) -> None:
    def away() -> Any:
        return prela.statistics().exporters["Away"]

    async with open_tracer("test", Away(), trace_dir=tmp_path, spool=True, export_delay=0.01) as tracer:
        spans(tracer, 5)
    assert (away().waiting, away().spooled) == (5, 5)
    before = away()
    there = Away()
    there.is_away = False
    async with open_tracer("test", there, trace_dir=tmp_path, spool=True) as tracer:
        spans(tracer, 2)
        await _until(lambda: not _files(tmp_path))
    assert (away().waiting, away().spooled) == (0, 0)
    assert (away().exported - before.exported, away().recovered - before.recovered) == (2, 5)


@pytest.mark.anyio
async def test_broken_files_cost_only_themselves(tmp_path: Path) -> None:
    async with open_tracer("test", Away(), trace_dir=tmp_path, spool=True, export_delay=0.01) as tracer:
        for name in ("first", "second", "third"):
            spans(tracer, 2, name)
            await prela.flush(timeout=0.1)
    first, second, _ = _files(tmp_path)
    first.write_bytes(b"\x00\xffno record\n")
    lines = second.read_bytes().splitlines(keepends=True)
    second.write_bytes(lines[0] + lines[1][:20])
    there = Away()
    there.is_away = False
    async with open_tracer("test", there, trace_dir=tmp_path, spool=True):
        await _until(lambda: not _files(tmp_path))
    assert _names(there) == ["second", "third", "third"]


@pytest.mark.anyio
async def test_two_places_have_two_spools_and_other_exporters_none(tmp_path: Path) -> None:
    class Plain(Away):
        def __init__(self) -> None:
            super().__init__()
            del self.spool_name
            self.is_away = False

    exporters: list[Any] = [Away("one"), Away("two"), Plain()]
    async with open_tracer("test", exporters, trace_dir=tmp_path, spool=True) as tracer:
        spans(tracer, 2)
    assert sorted(path.name for path in (tmp_path / "spool").iterdir()) == ["one", "two"]
    assert len(exporters[2].records) == 2
    assert_adds_up()


@pytest.mark.anyio
async def test_a_batch_sent_in_halves_is_not_sent_twice_when_the_second_half_must_wait(tmp_path: Path) -> None:
    with Collector(Answer(413), Answer(200), Answer(503)) as collector:
        exporter = OtlpExporter(collector.endpoint)
        async with open_tracer("test", exporter, trace_dir=tmp_path, spool=True) as tracer:
            spans(tracer, 40)
            assert await prela.flush()
        assert len(collector.records) == len({record.span_id for record in collector.records}) == 40


def test_the_place_is_told_without_its_secrets() -> None:
    name = OtlpExporter("https://user:secret@example.com:4318/v1/traces?key=secret").spool_name
    assert name.startswith("otlp-example.com:4318-")
    assert "secret" not in name
    assert name == OtlpExporter("https://example.com:4318/v1/traces").spool_name
    assert name != OtlpExporter("https://example.com:4318/v2/traces").spool_name


@pytest.mark.parametrize("bad", [0, -1, True, 1.5, "1"])
def test_a_bound_that_is_none_is_refused(bad: Any) -> None:
    with pytest.raises(ValueError, match="max_bytes"):
        prela.Spool(max_bytes=bad)


@pytest.mark.parametrize("bad", ["", "\0", 5])
def test_a_folder_that_is_none_is_refused(bad: Any) -> None:
    with pytest.raises(ValueError, match="folder"):
        prela.Spool(bad)


# --- whole processes ----------------------------------------------------------------------------------------------

_PROGRAM = """
import sys, time, prela
prela.init("killed", "otlp", spool=True, export_delay=0.05)
tracer = prela.get_tracer()
for number in range(int(sys.argv[1])):
    with tracer.span("work") as span:
        span.set_attribute("number", int(sys.argv[2]) + number)
    if number % 100 == 0:
        time.sleep(0.002)
while sys.argv[3] == "until killed":
    counts = prela.statistics()
    if counts.spooled + counts.exported == counts.started:
        print("safe", flush=True)
    time.sleep(0.01)
"""


def _free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def _run(folder: Path, port: int, count: int, first: int, end: str) -> subprocess.Popen[str]:
    environment = {**os.environ, "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{port}", "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", _PROGRAM, str(count), str(first), end]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=folder, env=environment)


@pytest.mark.parametrize("sink", ["refusing", "silent", "503"])
def test_a_killed_process_loses_nothing_and_the_next_delivers_it_once(tmp_path: Path, sink: str) -> None:
    port = _free_port()
    bad = {"refusing": None, "silent": Answer(hangs=True), "503": Answer(503)}[sink]
    collector = None if bad is None else Collector(*[bad] * 1000, port=port).__enter__()
    try:
        with _run(tmp_path, port, 3000, 0, "until killed") as child:
            assert child.stdout is not None
            assert child.stdout.readline() == "safe\n"
            child.send_signal(signal.SIGKILL)
            child.wait()
    finally:
        if collector is not None:
            collector.__exit__(None, None, None)
    with Collector(port=port) as there:
        with _run(tmp_path, port, 10, 3000, "and go") as child:
            assert child.wait(timeout=30) == 0
        assert sorted(record.attributes["number"] for record in there.records) == list(range(3010))
        assert there.faults == []
    assert _files(tmp_path) == []


def test_killed_while_it_delivers_it_may_send_one_batch_twice_and_loses_none(tmp_path: Path) -> None:
    port = _free_port()
    with Collector(*[Answer(delay=0.05)] * 1000, port=port) as collector:
        with _run(tmp_path, port, 4000, 0, "until killed") as child:
            assert child.stdout is not None
            assert child.stdout.readline() == "safe\n"
            collector.wait_for_requests(2)
            child.send_signal(signal.SIGKILL)
            child.wait()
        with _run(tmp_path, port, 1, 4000, "and go") as child:
            assert child.wait(timeout=30) == 0
        found = Counter(record.attributes["number"] for record in collector.records)
    assert set(found) == set(range(4001))
    twice = [number for number, count in found.items() if count > 1]
    assert max(found.values()) <= 2
    assert len(twice) <= 512, "no more than the batch that was in flight"
