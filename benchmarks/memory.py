"""Bytes that a queued span holds, and resident memory over many spans that come and go."""

import gc
import tempfile
import tracemalloc
from pathlib import Path
from time import sleep

import prela
from prela.core.settings import Settings


def _spans(tracer: prela.Tracer, count: int) -> None:
    with tracer.span("root"):
        for number in range(count):
            with tracer.span("work") as span:
                span.set_attribute("number", number)
                span.set_attribute("text", "hello")
                span.set_attribute("share", 0.5)


def queued_span_bytes(count: int = 50_000) -> float:
    """Bytes a span while the queue is full of spans with three attributes, as the allocator counts them."""
    tracer = prela.get_tracer()
    tracer.configure(Settings())
    gc.collect()
    tracemalloc.start()
    _spans(tracer, count)
    held, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    tracer.configure(None)
    return held / count


def _resident_mib() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * 4096 / 1024 / 1024


def resident_growth(count: int) -> dict[str, float]:
    """MiB resident after a tenth of the spans and after all; they are exported to nowhere, and none is dropped."""
    tracer = prela.get_tracer()
    with tempfile.TemporaryDirectory():
        prela.init(service_name="benchmark", exporter="none")
        found = []
        for _ in range(10):
            for _ in range(count // 10 // 10_000):
                _spans(tracer, 10_000)
                while prela.statistics().queued > 20_000:
                    sleep(0.01)
            assert prela.sync.flush(), prela.statistics()
            found.append(_resident_mib())
        prela.sync.shutdown()
    return {"after a tenth (MiB)": found[0], "after all (MiB)": found[-1], "growth": found[-1] / found[0]}
