"""Images, sounds and files in a conversation are told by type, size and digest."""

import base64
import hashlib
import json
import random
from pathlib import Path
from typing import Any

import pytest

from prela.integrations.stainless.media import LIMIT, without_media
from prela.testing.openai_server import Answer, ToolCall
from tests.openai_on_file import client_of, recorded

DATA = random.Random(0).randbytes(30_000)
ENCODED = base64.b64encode(DATA).decode()
URL_SAFE = base64.urlsafe_b64encode(DATA).decode()
IN_LINES = base64.encodebytes(DATA).decode()
DIGEST = hashlib.sha256(DATA).hexdigest()
ZEROS = base64.b64encode(bytes(3_000)).decode()


def described(mime_type: str, data: bytes = DATA) -> str:
    return f"[{mime_type}, {len(data)} bytes, sha256 {hashlib.sha256(data).hexdigest()}]"


def told(value: Any, key: str = "", mime_type: str | None = None) -> Any:
    return without_media(value, lambda text: text, key, mime_type)


PNG = f"data:image/png;base64,{ENCODED}"


@pytest.mark.parametrize("key", ["b64_json", "file_data", "blob", "partial_image_b64", "result", "data", "screenshot"])
@pytest.mark.parametrize("text", [ENCODED, ENCODED.rstrip("="), URL_SAFE, IN_LINES])
def test_data_is_replaced_where_it_stands_by_itself(key: str, text: str) -> None:
    assert told({key: text}) == {key: described("application/octet-stream")}
    assert told({key: text, "mime_type": "audio/wav"})[key] == described("audio/wav")


def test_a_data_url_is_replaced_wherever_it_stands() -> None:
    assert told(PNG) == described("image/png")
    assert told({"url": PNG}) == {"url": described("image/png")}
    assert (
        told(f"see ![this]({PNG}) and {PNG}.") == f"see ![this]({described('image/png')}) and {described('image/png')}."
    )
    assert told(f"data:image/png;name=x;base64,{ENCODED}") == described("image/png")
    assert told(f"data:;base64,{ENCODED}") == described("application/octet-stream")
    assert told(json.dumps({"shot": PNG})) == json.dumps({"shot": described("image/png")})


def test_data_without_variety_is_replaced_where_nothing_else_can_stand() -> None:
    assert told({"type": "blob", "content": ZEROS}) == {
        "type": "blob",
        "content": described("application/octet-stream", bytes(3_000)),
    }


@pytest.mark.parametrize("key", ["content", "text", "arguments", "data", "result", ""])
@pytest.mark.parametrize("text", ["x" * 100_000, "word " * 20_000, "/path-to" * 10_000, "0123456789" * 1_000])
def test_ordinary_long_text_is_not_taken_for_data(key: str, text: str) -> None:
    assert told({key: text}) == {key: text}


def test_long_prose_is_not_taken_for_data() -> None:
    prose = "The quick brown fox jumps over the lazy dog, 1234567890 times. " * 100
    assert all(told({key: prose}) == {key: prose} for key in ("data", "result", "content", "file_data"))
    assert told({"type": "text", "content": ENCODED}) == {"type": "text", "content": ENCODED}


def test_small_data_is_kept() -> None:
    small = base64.b64encode(b"small").decode()
    assert told({"data": small, "url": f"data:image/png;base64,{small}"}) == {
        "data": small,
        "url": f"data:image/png;base64,{small}",
    }
    assert told({"b64_json": "A" * LIMIT}) == {"b64_json": "A" * LIMIT}


def test_keys_are_cleaned_too() -> None:
    assert without_media({"a": {"a": "a"}}, str.upper) == {"A": {"A": "A"}}


# --- in calls -----------------------------------------------------------------------------------------------------

PARTS = {
    "image": {"type": "image_url", "image_url": {"url": PNG}},
    "sound": {"type": "input_audio", "input_audio": {"data": ENCODED, "format": "wav"}},
    "file": {"type": "file", "file": {"filename": "a.pdf", "file_data": f"data:application/pdf;base64,{ENCODED}"}},
    "bare file": {"type": "file", "file": {"filename": "a.pdf", "file_data": ENCODED}},
}
ITEMS: dict[str, Any] = {
    "image": {"role": "user", "content": [{"type": "input_image", "image_url": PNG, "detail": "auto"}]},
    "file": {"role": "user", "content": [{"type": "input_file", "filename": "a.pdf", "file_data": ENCODED}]},
    "result": {"type": "image_generation_call", "id": "1", "status": "completed", "result": ENCODED},
    "screen": {
        "type": "computer_call_output",
        "call_id": "1",
        "output": {"type": "computer_screenshot", "image_url": PNG},
    },
    "tool": {"type": "function_call_output", "call_id": "1", "output": [{"type": "input_image", "image_url": PNG}]},
}


@pytest.mark.parametrize("name", PARTS)
def test_what_is_in_a_message_is_replaced(name: str, tmp_path: Path) -> None:
    with client_of() as client, recorded(tmp_path) as recording:
        client.chat.completions.create(model="m", messages=[{"role": "user", "content": [PARTS[name]]}])  # type: ignore[list-item]
        client.chat.completions.create(
            model="m",
            messages=[{"role": "tool", "tool_call_id": "1", "content": [PARTS[name]]}],  # type: ignore[list-item]
        )
    assert recording.text.count(DIGEST) == 2
    assert len(recording.text) < 10_000


@pytest.mark.parametrize("name", ITEMS)
def test_what_is_in_an_item_is_replaced(name: str, tmp_path: Path) -> None:
    with client_of() as client, recorded(tmp_path) as recording:
        client.responses.create(model="m", input=[ITEMS[name]])
    assert recording.text.count(DIGEST) == 1
    assert len(recording.text) < 10_000


def test_what_the_model_hands_to_a_tool_is_replaced(tmp_path: Path) -> None:
    answer = Answer(f"![x]({PNG})", tool_calls=[ToolCall("save", {"data": ENCODED, "name": "x" * 2_000})])
    with client_of(answer) as client, recorded(tmp_path) as recording:
        client.chat.completions.create(model="m", messages=[{"role": "user", "content": "draw"}])
    assert recording.text.count(DIGEST) == 2
    assert '"' + "x" * 2_000 + '"' in recording.text
