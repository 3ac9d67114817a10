"""Whether the writer of a trace file still runs."""

import os
import time
from pathlib import Path

import pytest

from prela.record.text import Pending
from prela.store import liveness
from prela.store.liveness import look_at
from prela.store.store import Store
from tests import insight

NOW = time.time()


def file(folder: Path, name: str, *, age: float) -> Path:
    path = folder / name
    path.touch()
    os.utime(path, (NOW - age, NOW - age))
    return path


def state(path: Path, now: float) -> str:
    return look_at(path, now).state


@pytest.fixture
def no_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(liveness, "_process_began", lambda number: None)


def test_a_file_of_a_process_that_runs_is_not_over_however_long_it_has_lain(tmp_path: Path) -> None:
    path = file(tmp_path, f"a-20231114T221320Z-{os.getpid()}-0a1b2c3d.jsonl", age=0)
    assert state(path, NOW + 1e6) == "open"


def test_a_number_that_another_process_has_by_now_says_nothing_for_the_file(tmp_path: Path) -> None:
    path = file(tmp_path, f"a-20231114T221320Z-{os.getpid()}-0a1b2c3d.jsonl", age=1e6)
    assert state(path, NOW) == "interrupted"


def test_a_file_of_a_process_that_is_gone_is_over_once_it_has_lain_a_while(tmp_path: Path, no_process: None) -> None:
    path = file(tmp_path, "a-20231114T221320Z-7-0a1b2c3d.jsonl", age=0)
    assert state(path, NOW + 5) == ""  # its process is of another machine, perhaps
    assert state(path, NOW + 15) == "interrupted"
    assert look_at(path).heard == path.stat().st_mtime_ns


def test_of_another_programs_file_only_long_silence_tells(tmp_path: Path, no_process: None) -> None:
    path = file(tmp_path, "otel.jsonl", age=0)
    assert state(path, NOW + 500) == "open"
    assert state(path, NOW + 700) == "interrupted"


def test_a_file_that_is_gone_is_over(tmp_path: Path) -> None:
    assert look_at(tmp_path / "gone.jsonl") == Pending("interrupted", 0)


def test_no_process_has_a_number_that_is_too_large() -> None:
    assert liveness._process_began(10**9) is None
    assert liveness._process_began(10**30) is None


def test_a_trace_tells_which_of_its_open_spans_were_cut_off(tmp_path: Path) -> None:
    insight.write(tmp_path)
    with Store(tmp_path) as store:
        states = {span: known.state for span, known in store.pending(insight.INSIGHT).items()}
        assert states == {insight.CUT: "interrupted", insight.RUNNING: "open"}
        assert store.interrupted(insight.INSIGHT) == {insight.CUT}
        with pytest.raises(LookupError):
            store.interrupted("0")
