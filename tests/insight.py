"""A trace in which everything is told that insight can tell; for the tests of what shows it."""

import os
import subprocess
import sys
import time
from pathlib import Path

import msgspec

from prela.record import jsonl
from prela.record.model import SpanEvent, SpanLink, SpanRecord
from tests.traces import Draft, at, records_of, span

INSIGHT = "f" * 32
AGENT, COMPUTE, READER, POOL, WRITER, LOSER, FAILING, FORGOTTEN, LATER, CUT, RUNNING = (
    f"{number:016x}" for number in range(1, 12)
)
ELSEWHERE = "e0" * 8
CALLS = ["agent.py:52 in digest", "agent.py:40 in compute"]
STACK = "agent.py:40 in compute\nagent.py:52 in digest"


def _link(span_id: str, kind: str) -> SpanLink:
    return SpanLink(trace_id=INSIGHT, span_id=span_id, attributes={"prela.link.kind": kind})


def _draft() -> Draft:
    stall = SpanEvent(
        name="prela.stall",
        time_unix_nano=at(270),
        attributes={"prela.stall.duration": 0.12, "prela.stall.stack": CALLS},
    )
    computing = {
        "prela.time.run": 0.225,
        "prela.time.ready": 0.03,
        "prela.time.wait": 0.045,
        "prela.time.longest_step": 0.12,
        "prela.time.longest_step.place": "agent.py:52 in digest",
        "prela.time.sampled": True,
    }
    reading = {
        "prela.time.run": 0.01,
        "prela.time.ready": 0.12,
        "prela.time.wait": 0.27,
        "prela.stall.victim_of": [COMPUTE],
        "prela.stall.exposed": 0.12,
    }
    waiting = {"prela.wait.for": "limiter", "prela.wait.name": "pool", "prela.wait.ahead": 2}
    losing = {
        "prela.cancel.cause": "sibling_failed",
        "prela.cancel.by": "failing",
        "prela.cancel.by_span": FAILING,
        "prela.cancel.reason": "no more",
    }
    return span(
        "agent",
        0,
        1_000,
        span("compute", 100, 400, events=[stall], attributes=computing),
        span("reader", 100, 500, span("wait pool", 300, 450, attributes=waiting), attributes=reading),
        span("writer", 200, 260, attributes={"prela.stall.victim_of": [COMPUTE, ELSEWHERE]}),
        span("loser", 500, 600, status="cancelled", attributes=losing),
        span("failing", 500, 590, status="error", status_message="no route"),
        span("forgotten", 600, 700, attributes={"prela.leaked": True, "prela.leaked.where": "agent.py:7 in main"}),
        span("later", 700, 900, links=[_link(READER, "join"), _link(AGENT, "spawn")]),
        span("cut", 800, None),
        span("running", 900, None),
    )


def records() -> list[SpanRecord]:
    """Its spans; the ids are those above."""
    return [msgspec.structs.replace(record, trace_id=INSIGHT) for record in records_of(_draft())]


def write(folder: Path) -> None:
    """All of it by a program that is over, but for the last span, which belongs to this one."""
    folder.mkdir(exist_ok=True)
    over = subprocess.run([sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, check=True)
    *most, running = records()
    for name, process, found in (("a", int(over.stdout), most), ("b", os.getpid(), [running])):
        path = folder / f"agent-20231114T221320Z-{process}-{name * 8}.jsonl"
        path.write_bytes(jsonl.encode_lines(found))
    long_ago = time.time() - 60
    os.utime(folder / f"agent-20231114T221320Z-{int(over.stdout)}-aaaaaaaa.jsonl", (long_ago, long_ago))
