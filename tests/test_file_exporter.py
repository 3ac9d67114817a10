"""The file exporter: whole lines, bounded files and folders, and disks that do not play along."""

import errno
import json
import os
import re
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

import prela
from prela.aio.exporters.file import FileExporter, prune
from prela.record import jsonl
from tests.conftest import RunProgram

pytestmark = pytest.mark.anyio


needs_posix = pytest.mark.skipif(sys.platform == "win32", reason="POSIX only")


def record(name: str = "span", **fields: Any) -> prela.SpanRecord:
    plain: dict[str, Any] = {
        "trace_id": "1" * 32,
        "span_id": "2" * 16,
        "parent_span_id": None,
        "span_type": "custom",
        "status": "success",
        "status_message": None,
        "start_time_unix_nano": 1,
        "end_time_unix_nano": 2,
        "attributes": {},
        "events": [],
        "links": [],
        "service_name": "test",
        "resource": {},
    }
    return prela.SpanRecord(name=name, **{**plain, **fields})


def batch(count: int, name: str = "span", **fields: Any) -> list[prela.SpanRecord]:
    return [record(f"{name} {number}", **fields) for number in range(count)]


def named(name: str, count: int) -> list[str]:
    return [f"{name} {number}" for number in range(count)]


def trace_file(service: str) -> str:
    return f"{service}-20260101T000000Z-1-0123abcd.jsonl"


def files(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.jsonl"), key=lambda path: (path.stat().st_mtime_ns, path.name))


def names(path: Path) -> list[str]:
    """The names in a file, every line of which must be whole."""
    content = path.read_bytes()
    assert content == b"" or content.endswith(b"\n")
    return [json.loads(line)["name"] for line in content.splitlines()]


class FaultyFile:
    """Stands before an open file: each write takes so many bytes, or fails, as the plan says; then all of them."""

    def __init__(self, file: Any, *plan: int | BaseException) -> None:
        self._file = file
        self._plan = list(plan)

    async def write(self, data: bytes) -> int:
        step = self._plan.pop(0) if self._plan else len(data)
        if isinstance(step, BaseException):
            raise step
        written = await self._file.write(bytes(data[:step]))
        assert isinstance(written, int)
        return written

    async def close(self) -> None:
        await (self._file.aclose if hasattr(self._file, "aclose") else self._file.close)()


async def test_a_file_is_valid_json_line_by_line_and_reads_back_as_what_was_written(tmp_path: Path) -> None:
    attributes = {
        "bytes": b"\x00\xff",
        "text": "ä\n\u2028\ud800",
        "nested": {"a": [1, 2.5, None, True]},
        "large": 1 << 80,
    }
    written = [record("first", attributes=attributes), *batch(100), record("newline\nin the name")]
    exporter = FileExporter(tmp_path)
    await exporter.export(written)
    await exporter.aclose()
    (path,) = files(tmp_path)
    assert names(path) == ["first", *named("span", 100), "newline\nin the name"]
    assert [line["v"] for line in map(json.loads, path.read_bytes().splitlines())] == [1] * 102
    assert [jsonl.decode(line).name for line in path.read_bytes().splitlines()] == names(path)


async def test_a_record_that_cannot_be_encoded_is_written_without_what_cannot(tmp_path: Path) -> None:
    exporter = FileExporter(tmp_path)
    await exporter.export([record("before"), record("odd", attributes={"a": object()}), record("after")])
    await exporter.aclose()
    (path,) = files(tmp_path)
    assert names(path) == ["before", "odd", "after"]
    odd = json.loads(path.read_bytes().splitlines()[1])
    assert list(odd["attributes"]) == ["prela.unencodable"]


async def test_a_file_is_named_after_the_service_the_time_and_the_process(tmp_path: Path) -> None:
    exporter = FileExporter(tmp_path, "my service/../ü")
    before = datetime.now(UTC).replace(microsecond=0)
    await exporter.export(batch(1))
    await exporter.aclose()
    (path,) = files(tmp_path)
    assert path == exporter.path
    found = re.fullmatch(r"my_service_.._-(\d{8}T\d{6}Z)-(\d+)-([0-9a-f]{8})\.jsonl", path.name)
    assert found is not None
    stamp = datetime.strptime(found[1], "%Y%m%dT%H%M%S%z")
    assert before <= stamp <= datetime.now(UTC)
    assert int(found[2]) == os.getpid()


@pytest.mark.parametrize("service_name", ["..", "/etc/passwd", "a" * 300, "日本", "", "a\0b"])
async def test_no_service_name_leads_out_of_the_folder(service_name: str, tmp_path: Path) -> None:
    folder = tmp_path / "traces"
    exporter = FileExporter(folder, service_name)
    await exporter.export(batch(1))
    await exporter.aclose()
    assert [names(path) for path in files(folder)] == [["span 0"]]
    assert list(tmp_path.iterdir()) == [folder]


async def test_the_folder_is_where_it_was_when_it_was_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(tmp_path)
    exporter = FileExporter("traces")
    monkeypatch.chdir(elsewhere)
    await exporter.export(batch(1))
    await exporter.aclose()
    assert len(files(tmp_path / "traces")) == 1
    assert not list(elsewhere.iterdir())


async def test_nothing_is_created_before_the_first_span(tmp_path: Path) -> None:
    folder = tmp_path / "not" / "there"
    exporter = FileExporter(folder)
    await exporter.aclose()
    assert not folder.parent.exists()
    await exporter.export(batch(1))
    await exporter.aclose()
    assert len(files(folder)) == 1


async def test_a_file_that_has_its_size_is_followed_by_another(tmp_path: Path) -> None:
    exporter = FileExporter(tmp_path, max_file_bytes=5_000)
    for number in range(100):
        await exporter.export(batch(1, f"{number}"))
    await exporter.aclose()
    sizes = [path.stat().st_size for path in files(tmp_path)]
    assert len(sizes) > 3
    assert sum(size < 5_000 for size in sizes) <= 1  # the last
    assert all(size < 5_000 + 1_000 for size in sizes)
    assert sorted(name for path in files(tmp_path) for name in names(path)) == sorted(f"{n} 0" for n in range(100))


async def test_an_export_after_closing_begins_another_file(tmp_path: Path) -> None:
    exporter = FileExporter(tmp_path)
    for number in range(3):
        await exporter.export(batch(2, f"{number}"))
        await exporter.aclose()
        await exporter.aclose()
    assert sorted(names(path) for path in files(tmp_path)) == [named(f"{number}", 2) for number in range(3)]


async def test_the_folder_is_kept_below_its_size_by_deleting_the_oldest_and_never_the_current(tmp_path: Path) -> None:
    for age in range(10):
        old = tmp_path / trace_file(f"old-{age}")
        old.write_bytes(b"x" * 1_000)
        os.utime(old, (1e9 - age, 1e9 - age))
    (tmp_path / "notes.txt").write_bytes(b"x" * 100_000)
    exporter = FileExporter(tmp_path, max_folder_bytes=3_500, max_age=1e12)
    await exporter.export(batch(3))
    await exporter.aclose()
    assert exporter.path is not None
    kept = {path.name for path in files(tmp_path)}
    assert kept == {*(trace_file(f"old-{age}") for age in range(3)), exporter.path.name}
    assert (tmp_path / "notes.txt").exists()


async def test_rotation_keeps_the_folder_below_its_size_over_time(tmp_path: Path) -> None:
    exporter = FileExporter(tmp_path, max_file_bytes=2_000, max_folder_bytes=6_000)
    for number in range(200):
        await exporter.export(batch(1, f"{number}"))
        assert sum(path.stat().st_size for path in files(tmp_path)) < 6_000 + 2_000 + 1_000
    await exporter.aclose()
    assert exporter.path is not None
    assert names(exporter.path)[-1] == "199 0"


async def test_files_past_their_age_are_deleted_and_others_stay(tmp_path: Path) -> None:
    for name, modified in (("old", 1e9), ("new", datetime.now(UTC).timestamp() - 50)):
        path = tmp_path / trace_file(name)
        path.write_bytes(b"")
        os.utime(path, (modified, modified))
    exporter = FileExporter(tmp_path, max_age=100)
    await exporter.export(batch(1))
    await exporter.aclose()
    written = exporter.path.name if exporter.path else ""
    assert {path.name for path in files(tmp_path)} == {trace_file("new"), written}


def test_pruning_tells_what_it_deleted_and_passes_over_what_it_cannot(tmp_path: Path) -> None:
    (tmp_path / trace_file("folder")).mkdir()
    (tmp_path / trace_file("file")).write_bytes(b"x")
    for path in tmp_path.iterdir():
        os.utime(path, (1e9, 1e9))
    assert prune(tmp_path, max_bytes=1 << 30, max_age=1) == [tmp_path / trace_file("file")]
    assert prune(tmp_path / "nowhere", max_bytes=1, max_age=1) == []
    assert (tmp_path / trace_file("folder")).is_dir()


async def test_a_file_of_the_programs_own_is_never_deleted(tmp_path: Path) -> None:
    own = tmp_path / "dataset.jsonl"
    own.write_bytes(b"x" * 10_000)
    os.utime(own, (1e9, 1e9))
    exporter = FileExporter(tmp_path, max_folder_bytes=1_000, max_age=1)
    await exporter.export(batch(1))
    await exporter.aclose()
    assert own.exists()


async def test_a_file_that_somebody_cut_is_gone_on_with_where_it_ends_now(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    exporter = FileExporter(tmp_path)
    await exporter.export(batch(3))
    assert exporter.path is not None
    os.truncate(exporter.path, 0)

    async def disk_is_full(*args: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("prela.aio.exporters.file.write_lines", disk_is_full)
        with pytest.raises(OSError, match="No space"):
            await exporter.export(batch(1))
    await exporter.export(batch(1, "after"))
    await exporter.aclose()
    assert b"\0" not in exporter.path.read_bytes()
    assert names(exporter.path) == ["after 0"]


@pytest.mark.parametrize("what", ["file", "folder"])
async def test_after_the_file_or_the_folder_has_vanished_the_next_batch_is_in_another(
    what: str, tmp_path: Path
) -> None:
    folder = tmp_path / "traces"
    exporter = FileExporter(folder)
    await exporter.export(batch(1, "before"))
    assert exporter.path is not None
    exporter.path.unlink()
    if what == "folder":
        folder.rmdir()
    await exporter.export(batch(2, "after"))
    await exporter.aclose()
    assert [names(path) for path in files(folder)] == [named("after", 2)]


async def test_a_file_that_was_moved_away_keeps_what_it_had(tmp_path: Path) -> None:
    exporter = FileExporter(tmp_path / "traces")
    await exporter.export(batch(2, "before"))
    assert exporter.path is not None
    exporter.path.rename(tmp_path / "moved")
    await exporter.export(batch(2, "after"))
    await exporter.aclose()
    assert names(tmp_path / "moved") == named("before", 2)
    assert [names(path) for path in files(tmp_path / "traces")] == [named("after", 2)]


async def test_short_writes_are_continued(tmp_path: Path) -> None:
    exporter = FileExporter(tmp_path)
    await exporter.export(batch(2, "before"))
    exporter._file = FaultyFile(exporter._file, 1, 7, 100, 3)
    await exporter.export(batch(5, "short"))
    await exporter.export(batch(2, "after"))
    await exporter.aclose()
    (path,) = files(tmp_path)
    assert names(path) == [*named("before", 2), *named("short", 5), *named("after", 2)]


async def test_a_write_that_fails_half_way_is_cut_back_so_that_trying_again_duplicates_nothing(tmp_path: Path) -> None:
    exporter = FileExporter(tmp_path)
    await exporter.export(batch(2, "before"))
    exporter._file = FaultyFile(exporter._file, 700, OSError(errno.ENOSPC, "No space left on device"))
    with pytest.raises(OSError, match="No space left"):
        await exporter.export(batch(10, "again"))
    (path,) = files(tmp_path)
    assert names(path) == named("before", 2)
    await exporter.export(batch(10, "again"))
    await exporter.aclose()
    assert [names(path) for path in files(tmp_path)] == [[*named("before", 2), *named("again", 10)]]


async def test_a_file_that_cannot_be_cut_back_is_left_and_another_begun(tmp_path: Path) -> None:
    exporter = FileExporter(tmp_path)
    await exporter.export(batch(2, "before"))
    first, exporter.path = exporter.path, tmp_path  # a folder cannot be truncated
    exporter._file = FaultyFile(exporter._file, 10, OSError(errno.EIO, "I/O error"))
    with pytest.raises(OSError, match="I/O error"):
        await exporter.export(batch(3, "again"))
    await exporter.export(batch(3, "again"))
    await exporter.aclose()
    assert first is not None
    assert exporter.path not in {first, tmp_path}
    assert exporter.path is not None
    assert names(exporter.path) == named("again", 3)
    assert first.read_bytes().count(b"\n") == 2  # and half a line


async def test_a_file_whose_write_was_cancelled_is_left_and_another_begun(tmp_path: Path) -> None:
    class Cancelled(BaseException):
        pass

    exporter = FileExporter(tmp_path)
    await exporter.export(batch(2, "before"))
    first = exporter.path
    exporter._file = FaultyFile(exporter._file, Cancelled())
    with pytest.raises(Cancelled):
        await exporter.export(batch(3, "cancelled"))
    await exporter.export(batch(3, "after"))
    await exporter.aclose()
    assert exporter.path is not None
    assert exporter.path != first
    assert names(exporter.path) == named("after", 3)


async def test_a_failure_to_close_is_kept_from_the_worker(tmp_path: Path) -> None:
    class Unclosable(FaultyFile):
        async def close(self) -> None:
            await super().close()
            raise OSError(errno.EIO, "I/O error")

    exporter = FileExporter(tmp_path)
    await exporter.export(batch(1))
    exporter._file = Unclosable(exporter._file)
    await exporter.aclose()
    assert [names(path) for path in files(tmp_path)] == [["span 0"]]


async def test_a_folder_that_is_a_file_is_an_os_error(tmp_path: Path) -> None:
    (tmp_path / "traces").write_text("in the way")
    exporter = FileExporter(tmp_path / "traces")
    for _ in range(2):
        with pytest.raises(OSError, match="traces"):
            await exporter.export(batch(1))
    (tmp_path / "traces").unlink()
    await exporter.export(batch(1, "after"))
    await exporter.aclose()
    assert [names(path) for path in files(tmp_path / "traces")] == [["after 0"]]


async def test_two_exporters_of_one_folder_write_files_of_their_own(tmp_path: Path) -> None:
    exporters = [FileExporter(tmp_path, "same") for _ in range(3)]
    for number, exporter in enumerate(exporters):
        await exporter.export(batch(5, f"{number}"))
    for exporter in exporters:
        await exporter.aclose()
    assert sorted(names(path) for path in files(tmp_path)) == [named(f"{number}", 5) for number in range(3)]


# --- in a program -----------------------------------------------------------------------------------------------------

DISK = """
import json, os, pathlib, shutil, sys
import prela

def spans(count, name="span"):
    for number in range(count):
        with tracer.span(f"{name} {number}") as span:
            span.set_attribute("k", "v" * 50)

def tell():
    counts = prela.statistics()
    print(json.dumps([counts.started, counts.exported, counts.dropped]))
"""


@needs_posix
@pytest.mark.parametrize(
    "trace_dir", ["in the way", "in the way/below", "/proc/nowhere", "/dev/null/below", "n" * 300, "\ud800"]
)
def test_a_folder_that_cannot_be_is_counted_and_told_once_and_the_program_goes_on(
    trace_dir: str, run_program: RunProgram
) -> None:
    done = run_program(
        f"""{DISK}
open("in the way", "w").close()
tracer = prela.init("test", trace_dir={trace_dir!r})
for _ in range(3):
    spans(5)
    assert prela.sync.flush() is False
tell()
prela.sync.shutdown()
sys.exit(3)
"""
    )
    assert done.returncode == 3
    assert json.loads(done.stdout) == [15, 0, {"export_failed": 15}]
    assert done.stderr.count("prela: exporter 'file' failed: ") == 1
    assert "Traceback" not in done.stderr
    assert "Exception ignored" not in done.stderr


@needs_posix
def test_a_disk_that_is_full_leaves_whole_lines_and_what_was_lost_is_written_down_once_there_is_room(
    run_program: RunProgram,
) -> None:
    done = run_program(
        f"""{DISK}
import resource, signal

signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
tracer = prela.init("test")
spans(100, "before")
assert prela.sync.flush()
(path,) = pathlib.Path(os.environ["PRELA_TRACE_DIR"]).iterdir()
room, most = path.stat().st_size + 1000, resource.getrlimit(resource.RLIMIT_FSIZE)[1]
resource.setrlimit(resource.RLIMIT_FSIZE, (room, most))
spans(1000, "lost")
assert prela.sync.flush() is False
lines = path.read_bytes().splitlines(keepends=True)
assert all(line.endswith(b"\\n") and json.loads(line) for line in lines)
print(len(lines))
tell()
resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))
spans(100, "after")
prela.sync.shutdown()
tell()
"""
    )
    assert done.returncode == 0, done.stderr
    kept, full, after = (json.loads(line) for line in done.stdout.splitlines())
    assert full == [1_100, kept, {"export_failed": 1_100 - kept}]
    assert after == [1_200, kept + 100, {"export_failed": 1_100 - kept}]
    assert kept == 100
    ordinary = [name for name in done.names if name != "prela.dropped"]
    assert ordinary == [*named("before", 100), *named("after", 100)]
    told = [line["attributes"] for line in done.lines if line["name"] == "prela.dropped"]
    assert sum(lost["prela.dropped.export_failed"] for lost in told) == 1_000
    assert "Traceback" not in done.stderr


def test_a_folder_that_vanishes_mid_way_costs_what_was_in_it_and_nothing_more(run_program: RunProgram) -> None:
    done = run_program(
        f"""{DISK}
tracer = prela.init("test")
spans(5, "before")
assert prela.sync.flush()
shutil.rmtree(os.environ["PRELA_TRACE_DIR"])
spans(5, "after")
assert prela.sync.flush()
tell()
"""
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout) == [10, 10, {}]
    assert done.names == named("after", 5)
