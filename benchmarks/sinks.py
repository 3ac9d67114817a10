"""What becomes of a program when the receiver of its spans is slow, silent, away or overloaded: ours, and the SDK's.

A program makes 20,000 spans in about two seconds on an asyncio loop that has a 1 ms ticker, asks for a flush of at most
5 s, and shuts down. The sink is a process of its own. A program that has not ended a minute after it began is ended.
"""

import json
import socket
import subprocess
import sys
from tempfile import TemporaryDirectory
from typing import Any, Final

_MOST_SECONDS: Final = 60
SINKS: Final = ("taking", "slow", "silent", "refusing", "503")
SIDES: Final = ("prela", "prela, with a spool", "OpenTelemetry SDK")

_PROGRAM = """
import asyncio, json, logging, resource, statistics, sys, time
logging.basicConfig(filename=sys.argv[3])
from contextlib import suppress
URL, FOLDER = sys.argv[1:3]
{set_up}
late, flushing = [], []
kept = late

async def ticker():
    while True:
        due = time.perf_counter() + 0.001
        await asyncio.sleep(0.001)
        kept.append(time.perf_counter() - due)

async def main():
    global kept
    ticking = asyncio.create_task(ticker())
    cpu = time.process_time()
    for number in range(1000):
        for _ in range(20):
            with span("work") as one:
                one.set_attribute("number", number)
                one.set_attribute("text", "hello")
        await asyncio.sleep(0.001)
    cpu = time.process_time() - cpu
    print(json.dumps(dict(p99=statistics.quantiles(late, n=100)[98] * 1e3, cpu=cpu / 20_000 * 1e6)), flush=True)
    kept = flushing
    began = time.perf_counter()
    flushed = await flush()
    took = time.perf_counter() - began
    await asyncio.sleep(0.002)  # the ticker says how long it was held up
    began = time.perf_counter()
    await shutdown()
    ended = time.perf_counter() - began
    ticking.cancel()
    print(json.dumps(dict(
        held=max(flushing, default=0.0), flushed=flushed, flush=took, shutdown=ended,
        rss=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, **told()
    )))

asyncio.run(main())
"""

_PRELA = """
import prela
from prela.aio.exporters.otlp import OtlpExporter
prela.init("benchmark", OtlpExporter(URL), trace_dir=FOLDER, spool={spool})
span = prela.get_tracer().span
async def flush():
    return await prela.flush(timeout=5)
async def shutdown():
    await prela.shutdown(timeout=5)
def told():
    counts = prela.statistics()
    return dict(lost=sum(counts.dropped.values()), spooled=counts.spooled, exported=counts.exported)
"""

_SDK = """
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
provider = TracerProvider()
provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(URL), max_queue_size=65536))
span = provider.get_tracer("benchmark").start_as_current_span
async def flush():
    return provider.force_flush(5000)
async def shutdown():
    provider.shutdown()
def told():
    return {}
"""

_SET_UPS = {
    "prela": _PRELA.format(spool=False),
    "prela, with a spool": _PRELA.format(spool=True),
    "OpenTelemetry SDK": _SDK,
}


def _run(side: str, url: str) -> dict[str, Any]:
    """What a program saw; without `flush` if it was ended."""
    program = _PROGRAM.replace("{set_up}", _SET_UPS[side])
    with TemporaryDirectory() as folder:
        command = [sys.executable, "-c", program, url, folder, f"{folder}/log"]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        try:
            told, errors = process.communicate(timeout=_MOST_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            told, errors = process.communicate()
        else:
            if process.returncode:
                raise RuntimeError(errors)
    found: dict[str, Any] = {}
    for line in told.splitlines():
        found |= json.loads(line)
    return found


def _with_sink(side: str, sink: str) -> dict[str, Any]:
    if sink == "refusing":
        with socket.socket() as one:
            one.bind(("127.0.0.1", 0))
            port = one.getsockname()[1]
        return {**_run(side, f"http://127.0.0.1:{port}/v1/traces"), "arrived": 0}
    process = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.sink", sink],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        assert process.stdin is not None
        found = _run(side, f"http://127.0.0.1:{int(process.stdout.readline())}/v1/traces")
        process.stdin.close()  # it says what it took
        return {**found, "arrived": int(process.stdout.readline())}
    finally:
        process.kill()
        process.wait()


def measure() -> dict[tuple[str, str], dict[str, Any]]:
    """By sink and side, what the program saw, and how many spans had arrived by its end."""
    return {(sink, side): _with_sink(side, sink) for sink in SINKS for side in SIDES}
