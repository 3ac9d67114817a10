"""Whether the writer of a trace file still runs."""

import os
import time
from pathlib import Path

import pytest

from prela.store import liveness
from prela.store.liveness import is_over
from prela.store.store import Store
from tests import insight

NOW = time.time()


def file(folder: Path, name: str, *, age: float) -> Path:
    path = folder / name
    path.touch()
    os.utime(path, (NOW - age, NOW - age))
    return path


@pytest.fixture
def no_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(liveness, "_process_began", lambda number: None)


def test_a_file_of_a_process_that_runs_is_not_over_however_long_it_has_lain(tmp_path: Path) -> None:
    path = file(tmp_path, f"a-20231114T221320Z-{os.getpid()}-0a1b2c3d.jsonl", age=0)
    assert not is_over(path, NOW + 1e6)


def test_a_number_that_another_process_has_by_now_says_nothing_for_the_file(tmp_path: Path) -> None:
    path = file(tmp_path, f"a-20231114T221320Z-{os.getpid()}-0a1b2c3d.jsonl", age=1e6)
    assert is_over(path, NOW)


def test_a_file_of_a_process_that_is_gone_is_over_once_it_has_lain_a_while(tmp_path: Path, no_process: None) -> None:
    path = file(tmp_path, "a-20231114T221320Z-7-0a1b2c3d.jsonl", age=0)
    assert not is_over(path, NOW + 5)  # written to by a process of another machine, perhaps
    assert is_over(path, NOW + 15)


def test_of_another_programs_file_only_long_silence_tells(tmp_path: Path, no_process: None) -> None:
    path = file(tmp_path, "otel.jsonl", age=0)
    assert not is_over(path, NOW + 500)
    assert is_over(path, NOW + 700)


def test_a_file_that_is_gone_is_over(tmp_path: Path) -> None:
    assert is_over(tmp_path / "gone.jsonl")


def test_no_process_has_a_number_that_is_too_large() -> None:
    assert liveness._process_began(10**9) is None
    assert liveness._process_began(10**30) is None


def test_a_trace_tells_which_of_its_open_spans_were_cut_off(tmp_path: Path) -> None:
    insight.write(tmp_path)
    with Store(tmp_path) as store:
        assert store.interrupted(insight.INSIGHT) == {insight.CUT}
        with pytest.raises(LookupError):
            store.interrupted("0")
