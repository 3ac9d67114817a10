"""What the agent left in its own file, beside what a backend has."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from prela.record.jsonl import Lines
from prela.record.model import SpanRecord
from tests.conftest import RunProgram

AGENT = Path(__file__).parent / "agent.py"


@pytest.fixture
def run_agent(tmp_path: Path, run_program: RunProgram) -> Callable[..., list[SpanRecord]]:
    """Runs the agent with an OTLP endpoint and other variables; returns the records in its trace file."""

    def run(endpoint: str, **variables: str) -> list[SpanRecord]:
        done = run_program(
            AGENT,
            timeout=120,
            PRELA_EXPORTER="file,otlp",
            OTEL_EXPORTER_OTLP_ENDPOINT=endpoint,
            OTEL_EXPORTER_OTLP_TIMEOUT="60000",
            **variables,
        )
        assert done.returncode == 0, done.stderr
        (file,) = (tmp_path / "traces").glob("*.jsonl")
        return [record for record in Lines(file.read_bytes().splitlines()) if record.status != "pending"]

    return run


def poll(ask: Callable[[], Any], seconds: float = 30) -> Any:
    """What `ask` answers once it is true: backends take spans in whenever they get to it, and tell nobody."""
    deadline = time.monotonic() + seconds
    while not (answer := ask()):
        assert time.monotonic() < deadline, "the backend never had it"
        time.sleep(0.1)
    return answer
