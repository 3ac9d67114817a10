"""The trace folder's index: how fast it is made, beside a plain `json.loads` and `INSERT`, and what asking costs after.

The folder is made: files of 50,000 spans, traces of 50, a third of the spans calls of a model. What is asked is asked
by fresh processes, and their CPU seconds count from the interpreter's start on.
"""

import json
import os
import random
import resource
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from prela.store.store import Store

_PER_TRACE = 50
_PER_FILE = 50_000
_PLAIN_SPANS = 100_000
_LINE = (
    '{"v":1,"trace_id":"%s","span_id":"%s","parent_span_id":%s,"name":"%s","span_type":"%s","status":"%s",'
    '"status_message":null,"start_time_unix_nano":%d,"end_time_unix_nano":%d,"attributes":%s,"events":[],"links":[],'
    '"service_name":"benchmark","resource":{"service.name":"benchmark","process.pid":4242,"host.name":"here"}}\n'
)
_MODEL = (
    '{"gen_ai.request.model":"%s","gen_ai.usage.input_tokens":%d,"gen_ai.usage.output_tokens":%d,"prela.cost.usd":%f,'
    '"input":"What is the answer to question %d? Think step by step."}'
)
_PLAIN = '{"number":%d,"text":"hello","share":0.5}'
_MODELS = ("gpt-4o", "gpt-4o-mini", "claude-sonnet-4")
_BEGIN = 1_790_000_000_000_000_000


def make_folder(folder: Path, spans: int) -> None:
    """Write that many spans; the same ones each time."""
    chance = random.Random(1)
    for number in range(0, spans, _PER_FILE):
        lines = _lines(chance, number, min(spans, number + _PER_FILE))
        (folder / f"benchmark-{number:09}.jsonl").write_text("".join(lines))


def _lines(chance: random.Random, begin: int, end: int) -> Iterator[str]:
    trace = root = ""
    for number in range(begin, end):
        span = f"{chance.getrandbits(64):016x}"
        is_root = number % _PER_TRACE == 0
        if is_root:
            trace, root = f"{chance.getrandbits(128):032x}", span
        start = _BEGIN + number * 1_000_000
        is_call = number % 3 == 1
        attributes = _MODEL % (_MODELS[number % 7 % 3], number % 900, number % 90, 1e-4, number)
        yield _LINE % (
            trace,
            span,
            "null" if is_root else f'"{root}"',
            f"agent {number % 20}" if is_root else f"step {number % 100}",
            "agent" if is_root else "llm" if is_call else "tool",
            "error" if number % 1000 == 7 else "success",
            start,
            start + number % 5_000 * 100_000,
            attributes if is_call else _PLAIN % number,
        )


def _plain_rate(folder: Path, index: Path) -> float:
    """Spans a second of the loop that anyone would write first."""
    begin = time.process_time()
    done = 0
    connection = sqlite3.connect(index)
    connection.execute("CREATE TABLE spans (trace, span, parent, name, type, status, start, end, service, attributes)")
    for path in sorted(folder.glob("*.jsonl")):
        for line in path.open():
            r = json.loads(line)
            row = (r["trace_id"], r["span_id"], r["parent_span_id"], r["name"], r["span_type"], r["status"])
            times = (r["start_time_unix_nano"], r["end_time_unix_nano"])
            connection.execute(
                "INSERT INTO spans VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (*row, *times, r["service_name"], json.dumps(r["attributes"])),
            )
            done += 1
        if done >= _PLAIN_SPANS:
            break
    connection.commit()
    connection.close()
    return done / (time.process_time() - begin)


def _cpu(source: str, folder: Path) -> float:
    """CPU seconds of a fresh process, its start included; the best of three."""
    found = []
    for _ in range(3):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run([sys.executable, "-c", source, os.fspath(folder)], check=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        found.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    return min(found)


_ASK = """
import sys
from pathlib import Path
from prela.store.store import Query, Store
with Store(Path(sys.argv[1])) as store:
    assert store.{question}
"""


def measure(spans: int = 1_000_000) -> dict[str, float]:
    """Rates in spans (and MB) a second of CPU, and CPU seconds of questions."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make_folder(folder, spans)
        size = sum(path.stat().st_size for path in folder.glob("*.jsonl"))
        plain = _plain_rate(folder, folder / "plain.sqlite")
        begin, clock = time.process_time(), time.perf_counter()
        with Store(folder) as store:
            store.refresh()
            cpu, wall = time.process_time() - begin, time.perf_counter() - clock
            middle = store.traces(1, offset=spans // _PER_TRACE // 2)[0].trace_id
        questions = {
            "list": "traces(50)",
            "show": f"trace('{middle}')",
            "search by name": "search(Query(name='step 42'))",
            "search by attribute": "search(Query(attributes={'gen_ai.request.model': 'gpt-4o'}))",
            "search by a rare attribute": f"search(Query(attributes={{'number': '{spans // 3 * 3 - 3}'}}))",
            "search by text": f"search(Query(text='question {spans // 3 * 3 - 2}?'))",
            "totals by name": "totals('name')",
        }
        return {
            "spans/s": spans / cpu,
            "spans/s of wall time": spans / wall,
            "MB/s": size / cpu / 1e6,
            "plain spans/s": plain,
            "ratio": spans / cpu / plain,
            **{what: _cpu(_ASK.format(question=question), folder) for what, question in questions.items()},
        }
