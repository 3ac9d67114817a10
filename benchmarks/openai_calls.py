"""What tracing adds to a call of the `openai` client: a plain one, and a streamed one for each chunk.

A real client reads from a server in another process. Each measure is the CPU time of the calling thread beside that of
the untraced client, in short turns, so that a slow moment of the machine falls on both; beside ours stand the
instrumentations of OpenTelemetry and OpenInference, each in a process of its own, since they patch the same client.
"""

import importlib
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

_CALLS = 10
_CHUNKS = 400
_ROUNDS = 75
_CALL_SECONDS = 0.050
"""The duration of the call that the target is a share of."""


def _instrumentation(name: str) -> tuple[Callable[[], object], Callable[[], object]]:
    """Two functions that switch a tracer of openai on and off; what it makes is kept in memory or dropped at once."""
    if name == "prela":
        import prela
        from prela.integrations.openai import instrument, uninstrument

        prela.init(service_name="benchmark", exporter="none", auto_instrument=False)
        return instrument, uninstrument
    from opentelemetry import trace
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult

    class Drop(SpanExporter):
        def export(self, spans: Any) -> SpanExportResult:
            return SpanExportResult.SUCCESS

    provider = TracerProvider()
    provider.add_span_processor(BatchSpanProcessor(Drop()))
    trace.set_tracer_provider(provider)
    module, _, kind = {
        "openinference": "openinference.instrumentation.openai:OpenAIInstrumentor",
        "opentelemetry": "opentelemetry.instrumentation.genai.openai:OpenAIInstrumentor",
    }[name].partition(":")
    instrumentor = getattr(importlib.import_module(module), kind)()
    return lambda: instrumentor.instrument(tracer_provider=provider), instrumentor.uninstrument


def _measure_one(name: str, base_url: str) -> dict[str, float]:
    """Microseconds added by one tracer: per plain call, and per chunk of a stream; and what the client itself takes."""
    import openai

    on, off = _instrumentation(name)
    client = openai.OpenAI(base_url=base_url, api_key="benchmark", max_retries=0)
    messages: Any = [{"role": "user", "content": "word " * 200}]

    def plain() -> float:
        begin = time.thread_time()
        for _ in range(_CALLS):
            client.chat.completions.create(model="gpt-4o", messages=messages)
        return (time.thread_time() - begin) / _CALLS * 1e6

    def streamed() -> float:
        stream = client.chat.completions.create(model="gpt-4o", messages=messages, stream=True)
        begin = time.thread_time()
        for _chunk in stream:
            pass
        return (time.thread_time() - begin) / _CHUNKS * 1e6

    measured: dict[str, list[float]] = {}
    for what, run in (("call", plain), ("chunk", streamed)):
        run()
        for _ in range(_ROUNDS):
            alone = run()
            on()
            try:
                measured.setdefault(what, []).append(run() - alone)
            finally:
                off()
            measured.setdefault(f"{what} alone", []).append(alone)
    return {key: statistics.median(values) for key, values in measured.items()}


def measure() -> dict[str, dict[str, float] | str]:
    """By tracer; a reason where one could not be measured."""
    server = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.openai_calls", "serve"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert server.stdout is not None
        base_url = server.stdout.readline().strip()
        found: dict[str, dict[str, float] | str] = {}
        for name in ("prela", "opentelemetry", "openinference"):
            done = subprocess.run(
                [sys.executable, "-m", "benchmarks.openai_calls", name, base_url], capture_output=True, text=True
            )
            last = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
            found[name] = json.loads(done.stdout.splitlines()[-1]) if done.returncode == 0 else last
        return found
    finally:
        server.communicate(input="")


def share_of_a_call(microseconds: float) -> float:
    """What of a 50 ms call that is."""
    return microseconds / 1e6 / _CALL_SECONDS


def _serve() -> None:
    from prela.testing.openai_server import Answer, OpenAIServer

    with OpenAIServer(
        lambda request: Answer(" ".join(["word"] * (_CHUNKS if request.get("stream") else 50)))
    ) as server:
        print(server.base_url, flush=True)
        sys.stdin.read()


if __name__ == "__main__":
    if sys.argv[1] == "serve":
        _serve()
    else:
        print(json.dumps(_measure_one(sys.argv[1], sys.argv[2])))
