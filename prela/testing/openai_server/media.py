"""Moderations, images, speech and transcriptions: as little as is right in shape."""

from typing import Any

from prela.testing.openai_server.replies import CREATED, Body, EventStream, data_events, json_body
from prela.testing.openai_server.shelf import Call
from prela.testing.openai_server.tokens import overlaid, tokens, words

_CATEGORIES = (
    "harassment", "harassment/threatening", "sexual", "hate", "hate/threatening", "illicit", "illicit/violent",
    "self-harm/intent", "self-harm/instructions", "self-harm", "sexual/minors", "violence", "violence/graphic",
)  # fmt: skip

_PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
"""A PNG of one pixel."""

_SILENCE = b"\xff\xfb\x90\x00" + bytes(413)
"""One frame of MPEG layer III, 128 kbit/s, 44.1 kHz: 26 ms of nothing."""

_AUDIO_TYPES = {"mp3": "audio/mpeg", "opus": "audio/opus", "aac": "audio/aac", "flac": "audio/flac", "pcm": "audio/pcm"}


def moderations(call: Call) -> Body:
    """Nothing is ever flagged."""
    given = call.body["input"]
    # A list of strings is so many texts; a list of parts is one thing, of text and images.
    count = len(given) if isinstance(given, list) and all(isinstance(one, str) for one in given) else 1
    result = {
        "flagged": False,
        "categories": dict.fromkeys(_CATEGORIES, False),
        "category_scores": dict.fromkeys(_CATEGORIES, 1e-6),
        "category_applied_input_types": {name: ["text"] for name in _CATEGORIES},
    }
    model = call.model or "omni-moderation-latest"
    return json_body({"id": call.unique("modr"), "model": model, "results": [result] * count})


def images(call: Call) -> Body:
    """Always base64, never a URL: there is nothing to fetch it from."""
    count = int(call.body.get("n") or 1)
    counted = {
        "input_tokens": tokens(call.body["prompt"]),
        "input_tokens_details": {"image_tokens": 0, "text_tokens": tokens(call.body["prompt"])},
        "output_tokens": count,
        "total_tokens": 0,
    }
    usage = overlaid(counted, call.answer.usage, ("input_tokens", "output_tokens"))
    return json_body({"created": CREATED, "data": [{"b64_json": _PIXEL}] * count, "usage": usage})


def speech(call: Call) -> Body:
    """Silence, whatever the format that was asked for."""
    return Body(_SILENCE, content_type=_AUDIO_TYPES.get(call.body.get("response_format", "mp3"), "audio/wav"))


def transcriptions(call: Call) -> Body | EventStream:
    """What was heard is the answer's text; as JSON, as text, or streamed."""
    text = call.answer.text
    if call.body.get("response_format") == "text":
        return Body(f"{text}\n".encode(), content_type="text/plain; charset=utf-8")
    counted: dict[str, Any] = {
        "type": "tokens",
        "total_tokens": 0,
        "input_tokens": 10,
        "input_token_details": {"text_tokens": 0, "audio_tokens": 10},
        "output_tokens": tokens(text),
    }
    heard = {"text": text, "usage": overlaid(counted, call.answer.usage, ("input_tokens", "output_tokens"))}
    if call.body.get("stream") != "true":  # a form's fields are strings
        return json_body(heard)
    deltas = [{"type": "transcript.text.delta", "delta": word} for word in words(text)]
    return data_events([*deltas, {"type": "transcript.text.done", **heard}], call.answer)
