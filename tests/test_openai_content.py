"""The content of a call: recorded as it was when it was sent, redacted before it is queued, and held once."""

import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import openai
import pytest

import prela
from prela.core.buffer import Buffer
from prela.integrations.openai import instrument, uninstrument
from prela.integrations.stainless.completion import share
from prela.testing import recording
from prela.testing.openai_server import Answer, OpenAIServer, ToolCall
from tests.openai_on_file import client_of, recorded

SENT = "what was sent"
CHANGED = "changed since"


@pytest.fixture(autouse=True)
def _as_it_was() -> Iterator[None]:
    yield
    uninstrument()


def conversation() -> dict[str, Any]:
    return {
        "model": "gpt-4o-mini",
        "messages": [
            {"role": "system", "content": SENT},
            {"role": "user", "content": [{"type": "text", "text": SENT}]},
            {"role": "assistant", "tool_calls": [{"id": "1", "type": "function", "function": {"name": SENT}}]},
        ],
        "tools": [
            {"type": "function", "function": {"name": "f", "parameters": {"properties": {"a": {"enum": [SENT]}}}}}
        ],
    }


def change(asked: dict[str, Any]) -> None:
    """All of it, in every depth."""
    messages = asked["messages"]
    messages[0]["content"] = CHANGED
    messages[1]["content"][0]["text"] = CHANGED
    messages[1]["content"].append({"type": "text", "text": CHANGED})
    messages[2]["tool_calls"][0]["function"]["name"] = CHANGED
    messages.append({"role": "user", "content": CHANGED})
    asked["tools"][0]["function"]["parameters"]["properties"]["a"]["enum"].append(CHANGED)
    asked["tools"].clear()


# --- the moment of the call ---------------------------------------------------------------------------------------


def test_what_is_changed_after_the_call_is_recorded_as_it_was_sent(tmp_path: Path) -> None:
    asked = conversation()
    with client_of(Answer("done")) as client, recorded(tmp_path) as written:
        client.chat.completions.create(**asked)
        change(asked)
    assert written.text.count(SENT) == 4
    assert CHANGED not in written.text


def test_what_is_changed_while_a_stream_is_read_is_recorded_as_it_was_sent(tmp_path: Path) -> None:
    asked = conversation()
    with client_of(Answer("some words to read")) as client, recorded(tmp_path) as written:
        stream = client.chat.completions.create(**asked, stream=True)
        next(stream)
        change(asked)
        for _ in stream:
            pass
    assert written.text.count(SENT) == 4
    assert CHANGED not in written.text


def test_what_is_changed_while_the_server_thinks_is_recorded_as_it_was_sent(tmp_path: Path) -> None:
    asked = conversation()

    def answer(_: dict[str, Any]) -> Answer:
        change(asked)
        return Answer("done")

    with OpenAIServer(answer) as server, recorded(tmp_path) as written:
        with openai.OpenAI(base_url=server.base_url, api_key="any") as client:
            client.chat.completions.create(**asked)
    assert written.text.count(SENT) == 4
    assert CHANGED not in written.text


def test_texts_are_shared_and_everything_else_is_copied() -> None:
    text = "x" * 1_000
    value = {"a": [{"b": text}, (text, None)], "c": [1, 2], "d": 1.5, "e": {text}}
    copy = share(value, [])
    assert copy == {"a": [{"b": text}, [text, None]], "c": [1, 2], "d": 1.5, "e": [text]}
    assert copy["a"][0]["b"] is text
    assert copy["a"] is not value["a"] and copy["a"][0] is not value["a"][0] and copy["c"] is not value["c"]  # type: ignore[index]


# --- redaction ----------------------------------------------------------------------------------------------------


def test_redact_sees_everything_that_is_said(tmp_path: Path) -> None:
    before = prela.statistics()
    seen: list[tuple[str, Any]] = []

    def redact(key: str, value: Any) -> Any:
        seen.append((key, value))
        return value.replace("private", "[x]") if isinstance(value, str) else value

    answers = [
        Answer("private answer"),
        Answer("private stream of words"),
        Answer(tool_calls=[ToolCall("look_up", {"who": "private"})]),
        Answer(status=400, error_message="your private prompt is bad"),
    ]
    with client_of(*answers) as client, recorded(tmp_path, redact=redact) as written:
        ask: dict[str, Any] = {"model": "m", "messages": [{"role": "user", "content": "private question"}]}
        client.chat.completions.create(**ask)
        for _ in client.chat.completions.create(**ask, stream=True):
            pass
        client.chat.completions.create(**ask)
        with pytest.raises(openai.BadRequestError), prela.get_tracer().span("outer"):
            client.chat.completions.create(**ask)
    assert "private" not in written.text
    assert written.text.count("[x] question") == 4
    assert {"[x] answer", "[x] stream of words"} <= {part for line in written.records for part in said(line)}
    assert {key for key, value in seen if "bad" in str(value)} >= {"status_message", "exception.message"}
    counted = prela.statistics()
    assert counted.started - before.started == counted.exported - before.exported == 5
    assert written.spans == 5


def said(line: dict[str, Any]) -> list[Any]:
    messages = line["attributes"].get("gen_ai.output.messages", [])
    return [part.get("content") for message in messages for part in message["parts"]]


def test_where_redact_raises_nothing_that_was_said_is_kept(tmp_path: Path) -> None:
    def redact(value: Any) -> Any:
        raise RuntimeError(f"cannot judge {value}")

    with client_of(Answer("private")) as client, recorded(tmp_path, redact=redact) as written:
        with prela.get_tracer().span("outer"):
            client.chat.completions.create(model="private", messages=[{"role": "user", "content": "private"}])
    assert "private" not in "".join(str(line["attributes"]) + str(line["events"]) for line in written.records)
    assert written.spans == 2


# --- memory -------------------------------------------------------------------------------------------------------


class Blocked:
    """An exporter that is stuck until it is let go."""

    def __init__(self) -> None:
        self.go = threading.Event()
        self.count = 0

    def export(self, spans: Sequence[prela.SpanRecord]) -> None:
        self.go.wait()
        self.count += len(spans)


def test_a_history_that_is_sent_again_with_each_turn_is_held_once_and_charged_once() -> None:
    exporter, megabyte = Blocked(), 1024 * 1024
    dropped_before = prela.statistics().dropped
    with (
        OpenAIServer(lambda _: Answer("yes")) as server,
        openai.OpenAI(base_url=server.base_url, api_key="any") as client,
    ):
        prela.init("test", exporter, limits={"queue_bytes": 8 * megabyte}, export_delay=0.01)
        instrument()
        history: list[Any] = []
        for turn in range(60):
            history.append({"role": "user", "content": f"{turn} " + "x" * 20_000})
            client.chat.completions.create(model="m", messages=history, max_tokens=1)
            server.requests.clear()
        buffer = current_buffer()
        assert buffer.heavy_bytes < 1.5 * megabyte, "36 MB were sent, and 1.2 MB are held"
        exporter.go.set()
        assert prela.sync.shutdown()
        client.close()
    assert exporter.count == 60
    assert prela.statistics().dropped == dropped_before
    assert buffer.heavy_bytes == 0


def test_texts_that_no_other_span_has_are_charged_in_full() -> None:
    with client_of(*[Answer("yes")] * 20) as client, recording(limits={"queue_bytes": 1024 * 1024}) as spans:
        instrument()
        for turn in range(20):
            client.chat.completions.create(
                model="m", messages=[{"role": "user", "content": f"{turn} " + "x" * 100_000}]
            )
        dropped = current_buffer().dropped_counts()
        assert dropped == {"queue_full": 20 - len(spans)}
        assert 5 < len(spans) < 12


def test_a_prompt_that_is_not_kept_is_not_charged() -> None:
    with client_of(Answer("yes")) as client, recording(capture_content=False):
        instrument()
        client.chat.completions.create(model="m", messages=[{"role": "user", "content": "x" * 100_000}])
        assert 0 < current_buffer().heavy_bytes < 10_000


def current_buffer() -> Buffer:
    settings = prela.get_tracer()._settings
    assert settings is not None
    return settings.buffer
