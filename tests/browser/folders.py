"""Trace folders for the browser to look at: what the demo leaves, and what no well-meaning program would write."""

import subprocess
import sys
from pathlib import Path

import msgspec

from prela.record import jsonl
from prela.record.model import SpanEvent, SpanRecord
from tests import insight
from tests.conftest import ROOT
from tests.traces import MS, START, chain, record

MARKUP = "<img src=x onerror=\"document.title='broken in'\">"
ATTRIBUTE = "\"><script>document.title='broken in'</script>"
BACKWARDS = "\u202egnp.eert\u202c \u2067\u05d0\u05d1\u2069"
LONG_TEXT = 10_000_000
HOSTILE = "a" * 32
DEEP = "b" * 32
CYCLE = "c" * 32
BIG = "d" * 32
TALK = "e" * 32
BIG_SPANS = 20_000
DEPTH = 2_000


def write(folder: Path, name: str, records: list[SpanRecord]) -> None:
    (folder / f"{name}.jsonl").write_bytes(b"".join(map(jsonl.encode, records)))


def run_demo(folder: Path) -> None:
    source = "import sys; from prela.demo.run import run_demo; run_demo(sys.argv[1])"
    subprocess.run([sys.executable, "-c", source, str(folder)], check=True, cwd=ROOT, timeout=120)


def hostile() -> list[SpanRecord]:
    """Markup, directions, control characters and a text of ten megabytes wherever a text can be."""
    evil = {
        MARKUP: ATTRIBUTE,
        "__proto__": "polluted",
        "long": "x" * LONG_TEXT,
        "large": 2**63 - 1,
        "gen_ai.request.model": MARKUP,
        "gen_ai.input.messages": [
            {"role": MARKUP, "parts": [{"type": "text", "content": ATTRIBUTE}]},
            {"role": "user", "parts": [{"type": "tool_call", "name": MARKUP, "arguments": {MARKUP: [1]}}, 7, None]},
            "no message at all",
        ],
        "gen_ai.output.messages": "[broken json",
        "gen_ai.tool.definitions": [{"name": ATTRIBUTE, "description": MARKUP}],
    }
    events = [
        SpanEvent(
            name="exception",
            time_unix_nano=START + MS,
            attributes={
                "exception.type": MARKUP,
                "exception.message": ATTRIBUTE,
                "exception.stacktrace": MARKUP,
            },
        ),
        SpanEvent(name=ATTRIBUTE, time_unix_nano=START + MS, attributes={MARKUP: MARKUP}),
    ]
    root = record(
        MARKUP,
        trace_id=HOSTILE,
        span_type=ATTRIBUTE,
        status="error",
        status_message=ATTRIBUTE,
        end_time_unix_nano=START + 10 * MS,
        attributes=evil,
        events=events,
        service_name=MARKUP,
    )
    names = [ATTRIBUTE, BACKWARDS, "", "two\nlines\x00\x1b[31m", "constructor", "n" * 5_000]
    return [
        root,
        *(
            record(
                name,
                trace_id=HOSTILE,
                span_id=f"{i + 2:016x}",
                parent_span_id=root.span_id,
                start_time_unix_nano=START + i * MS,
                end_time_unix_nano=START + (i + 1) * MS,
                status="constructor",
            )
            for i, name in enumerate(names)
        ),
    ]


def cycle() -> list[SpanRecord]:
    """Two spans, each the other's parent."""
    return [
        record(name, trace_id=CYCLE, span_id=own * 16, parent_span_id=other * 16, end_time_unix_nano=START + MS)
        for name, own, other in (("hen", "1", "2"), ("egg", "2", "1"))
    ]


def big(spans: int = BIG_SPANS, trace_id: str = BIG) -> list[SpanRecord]:
    """A root, steps of it, and calls of each."""
    found = [record("everything", trace_id=trace_id, end_time_unix_nano=START + spans * MS)]
    step = ""
    for number in range(1, spans):
        is_step = number % 20 == 1
        found.append(
            record(
                f"step {number}" if is_step else f"call {number}",
                trace_id=trace_id,
                span_id=f"{number + 1:016x}",
                parent_span_id=found[0].span_id if is_step else step,
                span_type="custom" if is_step else "tool",
                status="error" if number % 1_000 == 7 else "success",
                start_time_unix_nano=START + number * MS,
                end_time_unix_nano=START + (number + (19 - number % 20 if is_step else 1)) * MS,
            )
        )
        if is_step:
            step = found[-1].span_id
    return found


def talk() -> list[SpanRecord]:
    """A call of a model with tools, reasoning and an image; run and wait are recorded, and a sibling is still open."""
    attributes = {
        "gen_ai.request.model": "gpt-4o",
        "gen_ai.response.model": "gpt-4o-2026",
        "gen_ai.usage.input_tokens": 1_200,
        "gen_ai.usage.cache_read.input_tokens": 1_000,
        "gen_ai.usage.output_tokens": 80,
        "gen_ai.response.time_to_first_chunk": 0.2,
        "prela.stream.chunks": 40,
        "prela.stream.outcome": "completed",
        "prela.cost.usd": 0.0038,
        "prela.time.server": 0.15,
        "gen_ai.system_instructions": [{"type": "text", "content": "Be brief."}],
        "gen_ai.input.messages": [
            {"role": "user", "parts": [{"type": "text", "content": "What is the weather in Paris?"}]},
            {
                "role": "assistant",
                "parts": [{"type": "tool_call", "id": "call_1", "name": "weather", "arguments": {"city": "Paris"}}],
            },
            {"role": "tool", "parts": [{"type": "tool_call_response", "id": "call_1", "response": '{"celsius": 7}'}]},
            {"role": "user", "parts": [{"type": "uri", "modality": "image", "uri": "https://elsewhere.invalid/a.png"}]},
        ],
        "gen_ai.output.messages": [
            {
                "role": "assistant",
                "parts": [{"type": "reasoning", "content": "Seven."}, {"type": "text", "content": "It is 7 °C."}],
                "finish_reason": "stop",
            }
        ],
        "gen_ai.tool.definitions": [{"type": "function", "name": "weather", "parameters": {"type": "object"}}],
    }
    root = record("talk", trace_id=TALK, span_type="agent", end_time_unix_nano=START + 1_000 * MS)
    call = record(
        "chat gpt-4o",
        trace_id=TALK,
        span_id="2" * 16,
        parent_span_id=root.span_id,
        span_type="llm",
        end_time_unix_nano=START + 600 * MS,
        attributes=attributes,
    )
    still_open = record(
        "still open",
        trace_id=TALK,
        span_id="3" * 16,
        parent_span_id=root.span_id,
        status="pending",
        start_time_unix_nano=START + 700 * MS,
        end_time_unix_nano=None,
    )
    return [root, call, still_open]


def fill(folder: Path) -> None:
    """Everything there is to look at."""
    for _ in range(2):
        run_demo(folder)
    write(folder, "hostile", hostile())
    write(folder, "deep", [msgspec.structs.replace(r, trace_id=DEEP) for r in chain(DEPTH)])
    write(folder, "cycle", cycle())
    write(folder, "big", big())
    write(folder, "talk", talk())
    insight.write(folder)
