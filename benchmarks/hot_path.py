"""What a span costs the thread it is in: start, three attributes, end, queued. Nothing drains; the queues are short."""

import statistics
from collections import deque
from collections.abc import Callable
from time import process_time_ns

from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor, TracerProvider

import prela
from benchmarks.floor import floor
from prela.core.buffer import Buffer
from prela.core.sampler import AlwaysOff
from prela.core.settings import Settings

_SPANS = 10_000
_ROUNDS = 25

_tracer = prela.get_tracer()


def _settings(**options: object) -> Settings:
    buffer = Buffer()
    buffer.queue = deque(maxlen=1_000)  # what a worker that keeps up would leave
    return Settings(buffer=buffer, **options)  # type: ignore[arg-type]


_recording, _unsampled = _settings(), _settings(sampler=AlwaysOff())


def _spans(count: int) -> None:
    tracer, kind = _tracer, prela.SpanType.LLM
    for number in range(count):
        with tracer.span("work", kind) as span:
            span.set_attribute("number", number)
            span.set_attribute("text", "hello")
            span.set_attribute("share", 0.5)


def _nested(count: int) -> None:
    _tracer.configure(_recording)
    with _tracer.span("root"):
        _spans(count)


def _unsampled_roots(count: int) -> None:
    _tracer.configure(_unsampled)
    _spans(count)


def _below_unsampled(count: int) -> None:
    _tracer.configure(_unsampled)
    with _tracer.span("root"):
        _spans(count)


def _off(count: int) -> None:
    _tracer.configure(None)
    _spans(count)


class _Keep(SpanProcessor):
    """What the SDK's batch processor does on end, less its lock and its thread: the least that it could cost."""

    def __init__(self) -> None:
        self.queue: deque[ReadableSpan] = deque(maxlen=1_000)

    def on_end(self, span: ReadableSpan) -> None:
        self.queue.append(span)


_provider = TracerProvider()
_provider.add_span_processor(_Keep())
_otel = _provider.get_tracer("benchmark")


def _otel_nested(count: int) -> None:
    with _otel.start_as_current_span("root"):
        for number in range(count):
            with _otel.start_as_current_span("work") as span:
                span.set_attribute("number", number)
                span.set_attribute("text", "hello")
                span.set_attribute("share", 0.5)


def _time(run: Callable[[int], None], count: int) -> float:
    begin = process_time_ns()
    run(count)
    return (process_time_ns() - begin) / count


def measure() -> dict[str, float]:
    """Medians over rounds in which each is measured once: nanoseconds of the floor, and multiples of it."""
    runs = {
        "nested": _nested,
        "unsampled root": _unsampled_roots,
        "below an unsampled root": _below_unsampled,
        "tracing off": _off,
        "OpenTelemetry SDK, nested": _otel_nested,
    }
    ratios: dict[str, list[float]] = {name: [] for name in runs}
    floors = []
    for _ in range(_ROUNDS):
        lowest = _time(floor, _SPANS)
        floors.append(lowest)
        for name, run in runs.items():
            ratios[name].append(_time(run, _SPANS // 10 if run is _otel_nested else _SPANS) / lowest)
    _tracer.configure(None)
    return {"floor (ns)": statistics.median(floors)} | {name: statistics.median(r) for name, r in ratios.items()}
