"""How late a 1 ms ticker on the application's loop is, while 20,000 spans a second are made on it and exported."""

import asyncio
import statistics
import tempfile
from time import perf_counter

import prela

_SECONDS = 4.0
_PER_TICK = 20
_ROUNDS = 5


async def _lateness_p99(tracer: prela.Tracer) -> float:
    late = []
    begin = due = perf_counter()
    while due - begin < _SECONDS:
        due += 0.001
        await asyncio.sleep(max(0.0, due - perf_counter()))
        late.append(perf_counter() - due)
        for number in range(_PER_TICK):
            with tracer.span("work", attributes={"number": number, "text": "hello", "share": 0.5}):
                pass
        due = max(due, perf_counter() - 0.001)
    return statistics.quantiles(late, n=100)[98] * 1e3


def measure() -> dict[str, float]:
    """Medians of p99 lateness in milliseconds, and their ratio."""
    off, on = [], []
    tracer = prela.get_tracer()
    for _ in range(_ROUNDS):
        off.append(asyncio.run(_lateness_p99(tracer)))
        with tempfile.TemporaryDirectory() as folder:
            prela.init(service_name="benchmark", trace_dir=folder)
            on.append(asyncio.run(_lateness_p99(tracer)))
            assert prela.sync.shutdown(), prela.statistics()
    return {
        "off (ms)": statistics.median(off),
        "on (ms)": statistics.median(on),
        "ratio": statistics.median(o / f for o, f in zip(on, off, strict=True)),
    }
