"""The backends as data, and programs as files."""

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

import prela
from prela.core.silent import NO_SPAN

ROOT = Path(__file__).parent.parent

# The same examples each time, so that a change is judged by itself; `--hypothesis-profile=random` looks for new ones.
settings.register_profile("same", derandomize=True, deadline=None)
settings.register_profile("random", deadline=None)
settings.load_profile("same")


def _eager_loop() -> asyncio.AbstractEventLoop:
    loop = asyncio.new_event_loop()
    loop.set_task_factory(asyncio.eager_task_factory)
    return loop


def _backends() -> list[Any]:
    backends = [pytest.param(("asyncio", {}), id="asyncio"), pytest.param(("trio", {}), id="trio")]
    if sys.version_info >= (3, 12):
        backends.append(pytest.param(("asyncio", {"loop_factory": _eager_loop}), id="eager"))
    if sys.platform != "win32":
        backends.append(pytest.param(("asyncio", {"use_uvloop": True}), id="uvloop"))
    return backends


@pytest.fixture(params=_backends())
def anyio_backend(request: pytest.FixtureRequest) -> Any:
    return request.param


if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # As for whatever a shell started in the background: programs of the tests, which get Ctrl-C, would inherit it.
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture
def tracer() -> prela.Tracer:
    return prela.get_tracer()


@pytest.fixture(autouse=True)
def _nothing_is_left_behind() -> Iterator[None]:
    yield
    prela.sync.shutdown()
    assert prela.get_current_span() is NO_SPAN


class Program:
    """A finished program: what it printed, how it ended, and the records in its trace folder."""

    def __init__(self, done: "subprocess.CompletedProcess[str]", trace_dir: Path) -> None:
        self.returncode = done.returncode
        self.stdout = done.stdout
        self.stderr = done.stderr
        self.lines = [
            json.loads(line) for path in sorted(trace_dir.glob("*.jsonl")) for line in path.read_bytes().splitlines()
        ]

    @property
    def names(self) -> list[str]:
        return [line["name"] for line in self.lines]

    def parent_of(self, name: str) -> str | None:
        """The name of the parent of the one span of a name."""
        (line,) = [line for line in self.lines if line["name"] == name]
        by_id = {line["span_id"]: line["name"] for line in self.lines}
        return by_id.get(line["parent_span_id"])


RunProgram = Callable[..., Program]


@pytest.fixture
def run_program(tmp_path: Path) -> RunProgram:
    """Run a program in a fresh process, under -X dev unless told otherwise, with the file exporter."""

    def run(source: str | Path, *, timeout: float = 60, dev: bool = True, **env: str) -> Program:
        trace_dir = tmp_path / "traces"
        path = source if isinstance(source, Path) else tmp_path / "program.py"
        if isinstance(source, str):
            path.write_text(source)
        clean = {key: value for key, value in os.environ.items() if not key.startswith(("PRELA_", "OTEL_"))}
        done = subprocess.run(
            [sys.executable, *(["-X", "dev"] if dev else []), str(path)],
            capture_output=True,
            text=True,
            timeout=timeout,
            cwd=tmp_path,
            env={**clean, "PYTHONPATH": str(ROOT), "PRELA_EXPORTER": "file", "PRELA_TRACE_DIR": str(trace_dir), **env},
        )
        return Program(done, trace_dir)

    return run
