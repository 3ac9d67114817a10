"""The typed events that a response is streamed in: each item of its output is opened, filled, and closed."""

import json
from collections.abc import Iterator
from typing import Any

from prela.testing.openai_server.answers import Answer
from prela.testing.openai_server.replies import Event, EventStream, error
from prela.testing.openai_server.tokens import words

_PIECE = 6
"""Characters of a function call's arguments in one delta."""

_Typed = tuple[str, dict[str, Any]]
"""An event's type, and its other fields."""


def response_events(response: dict[str, Any], answer: Answer, padding: dict[str, str]) -> EventStream:
    """Stream a finished response, its deltas padded. There is no `[DONE]`: the last event says how it ended."""
    opening = {
        **response,
        "status": "in_progress",
        "completed_at": None,
        "error": None,
        "incomplete_details": None,
        "output": [],
        "service_tier": "auto",
        "usage": None,
    }

    def broken_off(at: int) -> list[Event]:
        told = error(answer)
        failure = {"code": told["code"] or "server_error", "message": told["message"]}
        failed = {**opening, "status": "failed", "error": failure}
        return _numbered([("error", {"error": told}), ("response.failed", {"response": failed})], at)

    typed: list[_Typed] = [("response.created", {"response": opening}), ("response.in_progress", {"response": opening})]
    for index, item in enumerate(response["output"]):
        typed += _item(item, index, padding)
    typed.append((f"response.{response['status']}", {"response": response}))
    return EventStream(_numbered(typed), broken_off)


def _numbered(typed: list[_Typed], start: int = 0) -> list[Event]:
    return [
        Event(json.dumps({"type": name, "sequence_number": number, **fields}), name)
        for number, (name, fields) in enumerate(typed, start)
    ]


def _item(item: dict[str, Any], index: int, padding: dict[str, str]) -> Iterator[_Typed]:
    empty: dict[str, Any]
    match item["type"]:
        case "reasoning":
            empty, filling = {"summary": []}, _summary(item)
        case "function_call":
            empty, filling = {"arguments": "", "status": "in_progress"}, _arguments(item)
        case _:
            empty, filling = {"content": [], "status": "in_progress"}, _part(item)
    yield "response.output_item.added", {"output_index": index, "item": {**item, **empty}}
    for name, fields in filling:
        padded = padding if name.endswith(".delta") else {}
        yield name, {"item_id": item["id"], "output_index": index, **fields, **padded}
    yield "response.output_item.done", {"output_index": index, "item": item}


def _summary(item: dict[str, Any]) -> Iterator[_Typed]:
    (part,) = item["summary"]
    where = {"summary_index": 0}
    yield "response.reasoning_summary_part.added", {**where, "part": {**part, "text": ""}}
    for word in words(part["text"]):
        yield "response.reasoning_summary_text.delta", {**where, "delta": word}
    yield "response.reasoning_summary_text.done", {**where, "text": part["text"]}
    yield "response.reasoning_summary_part.done", {**where, "part": part}


def _arguments(item: dict[str, Any]) -> Iterator[_Typed]:
    arguments = item["arguments"]
    for at in range(0, len(arguments), _PIECE):
        yield "response.function_call_arguments.delta", {"delta": arguments[at : at + _PIECE]}
    yield "response.function_call_arguments.done", {"arguments": arguments}


def _part(item: dict[str, Any]) -> Iterator[_Typed]:
    """The one part of a message: text, or a refusal, which says its words under another name."""
    (part,) = item["content"]
    where = {"content_index": 0}
    kind, key = ("refusal", "refusal") if part["type"] == "refusal" else ("output_text", "text")
    logprobs: dict[str, Any] = {} if kind == "refusal" else {"logprobs": []}
    yield "response.content_part.added", {**where, "part": {**part, key: ""}}
    for word in words(part[key]):
        yield f"response.{kind}.delta", {**where, "delta": word, **logprobs}
    yield f"response.{kind}.done", {**where, key: part[key], **logprobs}
    yield "response.content_part.done", {**where, "part": part}
