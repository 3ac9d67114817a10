"""The OTLP exporter beside the OpenTelemetry SDK's, both over HTTP, Protobuf, to the same sink in another process.

Of exporters alone: the same spans in batches of 512, CPU of the process, bytes on the wire. Of whole programs: as
`end_to_end`, from the start of a span to the sink.
"""

import statistics
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from tempfile import TemporaryDirectory

from benchmarks import end_to_end

_BATCHES = 60
_ROUNDS = 5

_SPANS_OF_THE_SDK = """
import sys, time
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
kept = InMemorySpanExporter()
provider = TracerProvider()
provider.add_span_processor(SimpleSpanProcessor(kept))
with provider.get_tracer("benchmark").start_as_current_span("root"):
    for number in range(511):
        with provider.get_tracer("benchmark").start_as_current_span("work") as span:
            span.set_attribute("number", number)
            span.set_attribute("text", "hello")
            span.set_attribute("share", 0.5)
spans = kept.get_finished_spans()
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
body = encode_spans(spans).SerializeToString()
"""

_OTEL_ALONE = (
    _SPANS_OF_THE_SDK
    + """
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
exporter = OTLPSpanExporter(sys.argv[1])
exporter.export(spans)
began = time.process_time()
for _ in range(int(sys.argv[2])):
    exporter.export(spans)
print((time.process_time() - began) / len(spans) / int(sys.argv[2]) * 1e6, len(body) / len(spans))
"""
)

_PRELA_ALONE = (
    _SPANS_OF_THE_SDK
    + """
import anyio
from prela.aio.exporters.otlp import OtlpExporter
from prela.aio.pacing import on_private_loop
from prela.record.otlp import as_protobuf
from prela.record.otlp import Records, grouped
import msgspec
received = list(Records(as_protobuf.decode_request(body)))
records = [msgspec.structs.replace(record, scope={}) for record in received]  # as a program of ours has them
async def main():
    on_private_loop.set(True)
    exporter = OtlpExporter(sys.argv[1])
    await exporter.export(records)
    began = time.process_time()
    for _ in range(int(sys.argv[2])):
        await exporter.export(records)
    cpu = time.process_time() - began
    await exporter.aclose()
    (group,) = grouped(records)
    sent = as_protobuf.encode_request([(group, [[as_protobuf.encode_spans(records)[0]]])])
    print(cpu / len(records) / int(sys.argv[2]) * 1e6, len(sent) / len(records))
anyio.run(main)
"""
)

_PRELA = (
    """
import sys, time
import prela
from prela.aio.exporters.otlp import OtlpExporter
prela.init("benchmark", OtlpExporter(sys.argv[2]), spool=SPOOL)
"""
    + end_to_end._WORK
    + """
spans(prela.get_tracer().span, int(sys.argv[1]))
assert prela.sync.shutdown(timeout=60), prela.statistics()
"""
)


@contextmanager
def _sink() -> Iterator[str]:
    """The URL of a sink in a process of its own."""
    sink = subprocess.Popen([sys.executable, "-m", "benchmarks.sink"], stdout=subprocess.PIPE, text=True)
    try:
        assert sink.stdout is not None
        yield f"http://127.0.0.1:{int(sink.stdout.readline())}/v1/traces"
    finally:
        sink.terminate()
        sink.wait()


def _alone(program: str, url: str) -> tuple[float, float]:
    done = subprocess.run(
        [sys.executable, "-c", program, url, str(_BATCHES)], check=True, capture_output=True, text=True
    )
    cpu, size = map(float, done.stdout.split())
    return cpu, size


def measure() -> dict[str, float]:
    """Medians: microseconds of CPU and bytes a span, and how many times as many spans a CPU-second is worth to us."""
    ours, theirs, whole, spooled, whole_theirs = [], [], [], [], []
    with _sink() as url, TemporaryDirectory() as folder:
        for _ in range(_ROUNDS):
            ours.append(_alone(_PRELA_ALONE, url))
            theirs.append(_alone(_OTEL_ALONE, url))
            whole.append(end_to_end._per_span(_PRELA.replace("SPOOL", "False"), url))
            spooled.append(end_to_end._per_span(_PRELA.replace("SPOOL", f"prela.Spool({folder!r})"), url))
            whole_theirs.append(end_to_end._per_span(end_to_end._OTEL, url))
    return {
        "prela (us)": statistics.median(cpu for cpu, _ in ours),
        "OpenTelemetry SDK (us)": statistics.median(cpu for cpu, _ in theirs),
        "prela (bytes)": ours[0][1],
        "OpenTelemetry SDK (bytes)": theirs[0][1],
        "ratio": statistics.median(t / o for (o, _), (t, _) in zip(ours, theirs, strict=True)),
        "prela, whole (us)": statistics.median(whole),
        "prela, whole, with a spool (us)": statistics.median(spooled),
        "OpenTelemetry SDK, whole (us)": statistics.median(whole_theirs),
        "whole ratio": statistics.median(t / o for o, t in zip(whole, whole_theirs, strict=True)),
    }
