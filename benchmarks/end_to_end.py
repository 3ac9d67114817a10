"""CPU seconds of a whole program per span, net of the same program without spans: from start to disk, or to a sink.

Prela writes JSON Lines; the OpenTelemetry SDK sends OTLP over HTTP, protobuf, to a sink in another process.
"""

import os
import resource
import statistics
import subprocess
import sys
import tempfile

_SPANS = 50_000
_ROUNDS = 5

_WORK = """
def spans(tracer, count):
    with tracer("root"):
        for number in range(count):
            with tracer("work") as span:
                span.set_attribute("number", number)
                span.set_attribute("text", "hello")
                span.set_attribute("share", 0.5)
            if number % 400 == 399:
                time.sleep(0.01)  # 40,000 spans a second at most, so that neither side has to drop any
"""

_PRELA = (
    """
import sys, time
import prela
prela.init(service_name="benchmark", trace_dir=sys.argv[2])
"""
    + _WORK
    + """
spans(prela.get_tracer().span, int(sys.argv[1]))
assert prela.sync.shutdown(), prela.statistics()
"""
)

_OTEL = (
    """
import sys, time
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
provider = TracerProvider()
provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(sys.argv[2]), max_queue_size=65536))
"""
    + _WORK
    + """
spans(provider.get_tracer("benchmark").start_as_current_span, int(sys.argv[1]))
provider.shutdown()
"""
)


def _cpu(program: str, count: int, target: str) -> float:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, "-c", program, str(count), target], check=True, env=os.environ)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return (after.ru_utime + after.ru_stime) - (before.ru_utime + before.ru_stime)


def _per_span(program: str, target: str) -> float:
    return (_cpu(program, _SPANS, target) - _cpu(program, 1, target)) / _SPANS * 1e6


def measure() -> dict[str, float]:
    """Medians: microseconds of CPU a span, and their ratio."""
    sink = subprocess.Popen([sys.executable, "-m", "benchmarks.sink"], stdout=subprocess.PIPE, text=True)
    try:
        assert sink.stdout is not None
        url = f"http://127.0.0.1:{int(sink.stdout.readline())}/v1/traces"
        ours, theirs = [], []
        for _ in range(_ROUNDS):
            with tempfile.TemporaryDirectory() as folder:
                ours.append(_per_span(_PRELA, folder))
            theirs.append(_per_span(_OTEL, url))
    finally:
        sink.terminate()
        sink.wait()
    return {
        "prela (us)": statistics.median(ours),
        "OpenTelemetry SDK (us)": statistics.median(theirs),
        "ratio": statistics.median(o / t for o, t in zip(ours, theirs, strict=True)),
    }
