"""The trace folder and the index under everything that can happen to files."""

import os
import signal
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import pytest

from prela.store import index
from prela.store.index import INDEX_NAME
from prela.store.intake import SCHEMA_VERSION
from prela.store.store import Query, Store
from tests.conftest import ROOT
from tests.test_store import line, names, write

needs_posix = pytest.mark.skipif(sys.platform == "win32", reason="POSIX only")


@pytest.fixture(autouse=True)
def _cache_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "traces"
    write(folder / "a.jsonl", line("one"), line("two"))
    return folder


def index_files(folder: Path) -> list[Path]:
    return [folder / f"{INDEX_NAME}{suffix}" for suffix in ("", "-wal", "-shm")]


def test_an_index_of_another_version_is_made_anew_with_a_word(folder: Path) -> None:
    connection = sqlite3.connect(folder / INDEX_NAME)
    connection.executescript(
        "CREATE TABLE spans (x); CREATE TABLE other (y); CREATE VIEW v AS SELECT 1; PRAGMA user_version = 99"
    )
    connection.close()
    with Store(folder) as store:
        assert names(store) == {"one", "two"}
        assert store.notice == "the index was of version 99, and is made anew"
    with Store(folder) as store:
        assert names(store) == {"one", "two"}
        assert store.notice is None


@pytest.mark.parametrize("garbage", [b"", b"x", b"no database at all" * 1000, b"SQLite format 3\0" + b"\xff" * 9000])
def test_garbage_in_the_index_is_made_anew(folder: Path, garbage: bytes) -> None:
    (folder / INDEX_NAME).write_bytes(garbage)
    with Store(folder) as store:
        assert names(store) == {"one", "two"}
    with Store(folder) as store:
        assert store.notice is None
        assert names(store) == {"one", "two"}


def test_an_index_without_its_tables_is_made_anew(folder: Path) -> None:
    connection = sqlite3.connect(folder / INDEX_NAME)
    connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
    connection.close()
    with Store(folder) as store:
        assert names(store) == {"one", "two"}
        assert store.notice == "the index was damaged, and is made anew"


@pytest.mark.parametrize("size", [0, 100, 4096, 10_000])
def test_an_index_cut_while_open_is_made_anew(folder: Path, size: int) -> None:
    write(folder / "more.jsonl", *(line(f"name {n}") for n in range(500)))
    with Store(folder) as store:
        assert len(names(store)) == 502
    with Store(folder) as store:
        store.traces()
        os.truncate(folder / INDEX_NAME, size)
        write(folder / "a.jsonl", line("three"))
        assert len(names(store)) == 503
        assert len(store.search(Query(name="name 4"), 1000)) == 111
    with Store(folder) as store:
        assert len(names(store)) == 503


def test_pages_overwritten_while_open_raise_nothing(folder: Path) -> None:
    write(folder / "more.jsonl", *(line(f"name {n}") for n in range(500)))
    with Store(folder) as store:
        store.traces()
    data = bytearray((folder / INDEX_NAME).read_bytes())
    data[4096:] = os.urandom(len(data) - 4096)
    (folder / INDEX_NAME).write_bytes(data)
    with Store(folder) as store:
        assert len(names(store)) == 502
        assert store.notice == "the index was damaged, and is made anew"


@needs_posix
@pytest.mark.parametrize("only_main", [True, False])
def test_an_index_deleted_while_open_is_made_anew(folder: Path, only_main: bool) -> None:
    with Store(folder) as store, Store(folder) as other:
        assert names(store) == names(other) == {"one", "two"}
        for path in index_files(folder)[: 1 if only_main else 3]:
            path.unlink(missing_ok=True)
        write(folder / "a.jsonl", line("three"))
        assert names(store) == {"one", "two", "three"}
        assert names(other) == {"one", "two", "three"}
        assert (folder / INDEX_NAME).exists()


@needs_posix
def test_a_folder_deleted_while_open_holds_nothing(folder: Path) -> None:
    with Store(folder) as store:
        assert names(store) == {"one", "two"}
        for path in folder.iterdir():
            path.unlink()
        folder.rmdir()
        assert store.traces() == []
        assert names(store) == set()


_WITHOUT_RIGHTS = """
import os, pathlib, pwd, sys
from prela.store.store import Store
folder, cache = sys.argv[1:]
if not os.geteuid():
    os.setgid(65534)
    os.setuid(65534)
def no_such_user(uid):
    raise KeyError(uid)
pwd.getpwuid = no_such_user
for place in (cache, "/proc/self/nowhere", None):
    os.environ.pop("HOME", None)
    os.environ.pop("XDG_CACHE_HOME", None)
    if place:
        os.environ["XDG_CACHE_HOME"] = place
    with Store(pathlib.Path(folder)) as store:
        print(len(store.traces()), store.notice)
"""


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="Linux only")
@pytest.mark.parametrize("has_index", [True, False])
def test_a_folder_that_cannot_be_written_is_indexed_in_the_cache_and_without_a_home_in_memory(has_index: bool) -> None:
    with tempfile.TemporaryDirectory() as name:  # not below pytest's, which another user may not enter
        base, folder, cache = Path(name), Path(name) / "traces", Path(name) / "cache"
        write(folder / "a.jsonl", line("one"), line("two"))
        cache.mkdir()
        base.chmod(0o755)
        cache.chmod(0o777)
        if has_index:
            Store(folder).close()
        folder.chmod(0o555)
        done = subprocess.run(
            [sys.executable, "-W", "error", "-c", _WITHOUT_RIGHTS, str(folder), str(cache)],
            capture_output=True,
            text=True,
            check=False,
            cwd=ROOT,
        )
        folder.chmod(0o755)
        in_memory = "2 no place for an index could be written to: the folder is read anew each time"
        assert done.stdout.splitlines() == ["2 None", in_memory, in_memory], done.stderr
        assert len(list((cache / "prela").glob("*.sqlite"))) == 1


def test_a_folder_and_a_file_that_may_not_be_read_are_no_empty_ones() -> None:
    if not hasattr(os, "geteuid") or os.geteuid():
        pytest.skip("only root can become someone who may not read")
    with tempfile.TemporaryDirectory() as name:
        base, folder = Path(name), Path(name) / "traces"
        write(folder / "a.jsonl", line("one"))
        write(folder / "b.jsonl", line("two"))
        base.chmod(0o755)
        (folder / "b.jsonl").chmod(0)
        command = [sys.executable, "-W", "error", "-c", _WITHOUT_RIGHTS, str(folder), str(base)]
        done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
        assert done.stdout.splitlines()[0].startswith("1 no place for an index could be written to"), done.stderr
        assert done.stdout.splitlines()[0].endswith("; could not be read: b.jsonl: Permission denied")
        folder.chmod(0)
        done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
        assert "PermissionError" in done.stderr


@needs_posix
def test_a_full_disk_leaves_the_index_in_memory(folder: Path) -> None:
    write(folder / "more.jsonl", *(line(f"name {n}") for n in range(3000)))
    source = f"""
import pathlib, resource
from prela.store.store import Store
resource.setrlimit(resource.RLIMIT_FSIZE, (150_000, 150_000))  # no file can grow beyond
with Store(pathlib.Path({str(folder)!r})) as store:
    print(len(store.traces(5000)), store.notice)
"""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", source], capture_output=True, text=True, check=False, cwd=ROOT
    )
    assert done.stdout.startswith("3002 no place for an index"), done.stderr


@needs_posix
def test_a_symlinked_folder_and_file_are_read(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(folder)
    write(tmp_path / "elsewhere.jsonl", line("three"))
    (folder / "linked.jsonl").symlink_to(tmp_path / "elsewhere.jsonl")
    (folder / "dangling.jsonl").symlink_to(tmp_path / "nothing")
    with Store(tmp_path / "link") as store:
        assert names(store) == {"one", "two", "three"}


@needs_posix
def test_what_is_no_regular_file_is_passed_over(folder: Path) -> None:
    os.mkfifo(folder / "pipe.jsonl")
    (folder / "folder.jsonl").mkdir()
    (folder / "null.jsonl").symlink_to("/dev/zero")
    with Store(folder) as store:
        assert names(store) == {"one", "two"}


@needs_posix
@pytest.mark.skipif(sys.platform == "darwin", reason="file names are Unicode there")
def test_a_file_whose_name_is_no_utf8_is_read(folder: Path) -> None:
    write(folder / os.fsdecode(b"\xff\xfe.jsonl"), line("three"))
    with Store(folder) as store:
        assert names(store) == {"one", "two", "three"}
        assert store.search(Query(text="three"))[0].name == "three"


def test_missing_and_empty_folders_hold_nothing_until_they_do(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    for name in ("empty", "missing"):
        with Store(tmp_path / name) as store:
            assert store.traces() == []
            assert store.search(Query(text="x")) == []
            assert store.totals() == []
            with pytest.raises(LookupError):
                store.trace("")
            write(tmp_path / name / "a.jsonl", line("one"))
            assert names(store) == {"one"}


def test_a_store_may_go_from_thread_to_thread(folder: Path) -> None:
    store = Store(folder)
    found = []
    thread = threading.Thread(target=lambda: (found.append(names(store)), store.close()))
    thread.start()
    thread.join()
    assert found == [{"one", "two"}]


def test_threads_with_a_store_each_read_while_a_writer_appends_and_rotates(folder: Path) -> None:
    done = threading.Event()
    errors: list[BaseException] = []

    def read() -> None:
        try:
            with Store(folder) as store:
                before = 0
                while not done.is_set():
                    spans = sum(trace.spans for trace in store.traces(10_000))
                    assert spans >= before
                    before = spans
                    store.search(Query(text="written"), 5)
        except BaseException as error:
            errors.append(error)

    readers = [threading.Thread(target=read) for _ in range(4)]
    for reader in readers:
        reader.start()
    for number in range(300):
        write(folder / f"rotated-{number // 60}.jsonl", line(f"written {number}"))
    done.set()
    for reader in readers:
        reader.join()
    assert errors == []
    with Store(folder) as store:
        assert len(names(store)) == 302


_READER = """
import pathlib, sys
from prela.store.store import Store
with Store(pathlib.Path(sys.argv[1])) as store:
    print("open", flush=True)
    for _ in range(int(sys.argv[2])):
        found = sum(trace.spans for trace in store.traces(100_000))
print(found, store.notice)
"""


def start_reader(folder: Path, rounds: int) -> "subprocess.Popen[str]":
    command = [sys.executable, "-W", "error", "-c", _READER, str(folder), str(rounds)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT)


def test_processes_index_a_folder_at_once_and_agree(folder: Path) -> None:
    write(folder / "many.jsonl", *(line(f"name {n}") for n in range(5_000)))
    readers = [start_reader(folder, 5) for _ in range(3)]
    for number in range(50):
        write(folder / "many.jsonl", line(f"late {number}"))
    for reader in readers:
        output, _ = reader.communicate(timeout=60)
        assert reader.returncode == 0
        assert output.split()[-1] == "None"
    with Store(folder) as store:
        assert sum(trace.spans for trace in store.traces(100_000)) == 5_052


@needs_posix
def test_a_reader_killed_while_it_reads_costs_nobody_anything(folder: Path) -> None:
    write(folder / "many.jsonl", *(line(f"name {n}") for n in range(5_000)))
    for milliseconds in (5, 30, 90):
        reader = start_reader(folder, 1)
        assert reader.stdout is not None
        with reader.stdout:
            reader.stdout.readline()
            time.sleep(milliseconds / 1000)  # somewhere in the middle; wherever it is, what follows must hold
            reader.send_signal(signal.SIGKILL)
            reader.wait()
        write(folder / "many.jsonl", line("more"))
    with Store(folder) as store:
        assert sum(trace.spans for trace in store.traces(100_000)) == 5_005
        assert store.notice is None


def test_a_reader_that_waited_too_long_goes_on_with_what_there_is(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(index, "_BUSY_SECONDS", 0.05)
    with Store(folder) as store:
        assert names(store) == {"one", "two"}
        other = sqlite3.connect(folder / INDEX_NAME, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        write(folder / "a.jsonl", line("three"))
        assert names(store) == {"one", "two"}
        assert store.notice == "another reader is bringing the index up to date; what is newest may be missing"
        assert store.search(Query(text="one"))[0].name == "one"
        other.close()
        assert names(store) == {"one", "two", "three"}
        assert store.notice is None


def test_a_closed_store_says_so(folder: Path) -> None:
    store = Store(folder)
    store.close()
    with pytest.raises(sqlite3.ProgrammingError):
        store.traces()


def test_words_that_no_span_says_any_more_leave_the_index(folder: Path) -> None:
    write(folder / "b.jsonl", *(line(f"GET /users/{n}") for n in range(2_000)))

    def words() -> int:
        connection = sqlite3.connect(folder / INDEX_NAME)
        try:
            return int(connection.execute("SELECT count(*) FROM words").fetchone()[0])
        finally:
            connection.close()

    with Store(folder) as store:
        store.refresh()
        assert words() > 2_000
        (folder / "b.jsonl").unlink()
        write(folder / "c.jsonl", line("new", status="error"))
        assert store.traces(errors_only=True)[0].name == "new"
        assert words() < 20
        assert names(store) == {"one", "two", "new"}
        assert [total.group for total in store.totals("status")] == ["success", "error"]
