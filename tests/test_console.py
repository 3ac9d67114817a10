"""The console exporter prints each finished trace as a readable tree, and what comes late apart."""

import io
import re

import anyio
import pytest

import prela
from prela.aio.exporters.console import ConsoleExporter
from prela.testing import Recorder


class Utf8(io.StringIO):
    encoding = "utf-8"  # type: ignore[assignment]


def _print(recorder: Recorder, stream: io.TextIOBase, *batches: list[str]) -> None:
    exporter = ConsoleExporter(stream)  # type: ignore[arg-type]

    async def export() -> None:
        for names in batches:
            await exporter.export([record for record in recorder.records if record.name in names])
        await exporter.aclose()

    anyio.run(export)


@pytest.fixture
def spans(tracer: prela.Tracer, prela_spans: Recorder) -> Recorder:
    with tracer.span("root", prela.SpanType.AGENT):
        late = tracer.start_span("late")
        with tracer.span("child"):
            pass
        with pytest.raises(ValueError), tracer.span("bad\x1b[31m\n"):
            raise ValueError("it\nfailed")
    late.end()
    return prela_spans


def test_a_trace_is_printed_when_its_root_has_ended(spans: Recorder) -> None:
    stream = Utf8()
    _print(spans, stream, ["child"], ["bad\x1b[31m\n", "root"], ["late"])
    text = re.sub(r" +[\d.]+ (µs|ms|s)  [█·]+", " <bar>", stream.getvalue())
    assert [re.sub(r"trace \w+", "trace", line) for line in text.splitlines()] == [
        "trace (test)",
        "✓ root [agent] <bar>",
        "✓ ├─ child <bar>",
        "✗ └─ bad\\x1b[31m\\x0a <bar>  it\\x0afailed",
        "trace (test), late:",
        "✓ late <bar>",
    ]


def test_a_stream_that_knows_only_ascii_gets_ascii(spans: Recorder) -> None:
    buffer = io.BytesIO()
    stream = io.TextIOWrapper(buffer, encoding="ascii")
    _print(spans, stream, ["child", "root", "late", "bad\x1b[31m\n"])
    stream.flush()
    assert b"+ |- child" in buffer.getvalue()
    assert b"#" in buffer.getvalue()


def test_spans_whose_root_never_comes_are_printed_at_the_end(spans: Recorder) -> None:
    stream = io.StringIO()
    _print(spans, stream, ["child"])
    assert "child" in stream.getvalue()


def test_the_spans_below_another_process_are_printed_as_they_end() -> None:
    stream = Utf8()
    tracer = prela.init("test", ConsoleExporter(stream))
    for number in range(2):
        with prela.attach({"traceparent": f"00-{'1' * 32}-{'2' * 16}-01"}), tracer.span(f"request {number}") as span:
            if number:
                span.add_event("of a span that has details")
            with tracer.span("work"):
                pass
        assert prela.sync.flush()
        assert stream.getvalue().count("work") == number + 1
    assert "late" not in stream.getvalue()
