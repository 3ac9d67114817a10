"""`POST /v1/chat/completions`, plain and streamed."""

from itertools import zip_longest
from typing import Any

from prela.testing.openai_server.answers import Answer
from prela.testing.openai_server.replies import CREATED, Body, EventStream, data_events, json_body, padding
from prela.testing.openai_server.shelf import Call
from prela.testing.openai_server.tokens import overlaid, tokens, words

_PIECE = 6
"""Characters of a tool call's arguments in one chunk; the API's own pieces are about as long."""


def chat(call: Call) -> Body | EventStream:
    """`n` choices say the same, under tool call ids of their own."""
    return data_events(_chunks(call), call.answer) if call.body.get("stream") else json_body(_completion(call))


def _completion(call: Call) -> dict[str, Any]:
    choices = [
        {
            "index": index,
            "message": _message(call, index),
            "logprobs": None,
            "finish_reason": _finish_reason(call.answer),
        }
        for index in range(_count(call))
    ]
    return {**_head(call, "chat.completion"), "choices": choices, "usage": _usage(call)}


def _message(call: Call, choice: int) -> dict[str, Any]:
    answer = call.answer
    message: dict[str, Any] = {"role": "assistant", "content": _content(answer)}
    if answer.tool_calls:
        message["tool_calls"] = _tool_calls(call, choice)
    return {**message, "refusal": answer.refusal, "annotations": []}


def _content(answer: Answer) -> str | None:
    silent = answer.refusal is not None or (answer.tool_calls and not answer.text)
    return None if silent else answer.text


def _tool_calls(call: Call, choice: int) -> list[dict[str, Any]]:
    return [
        {
            "id": tool.id or call.unique("call", choice, index),
            "type": "function",
            "function": {"name": tool.name, "arguments": tool.arguments_text},
        }
        for index, tool in enumerate(call.answer.tool_calls)
    ]


def _finish_reason(answer: Answer) -> str:
    return answer.finish_reason or ("tool_calls" if answer.tool_calls else "stop")


def _chunks(call: Call) -> list[dict[str, Any]]:
    """The choices take turns, as the API's do; their finishes, and the usage, come last."""
    head = _head(call, "chat.completion.chunk")
    wants_usage = bool((call.body.get("stream_options") or {}).get("include_usage"))
    tail: dict[str, Any] = {**({"usage": None} if wants_usage else {}), **padding(call.body)}

    def chunk(index: int, delta: dict[str, Any], finish_reason: str | None = None) -> dict[str, Any]:
        choice = {"index": index, "delta": delta, "logprobs": None, "finish_reason": finish_reason}
        return {**head, "choices": [choice], **tail}

    choices = range(_count(call))
    turns = zip_longest(*(_deltas(call, index) for index in choices))
    chunks = [chunk(index, delta) for turn in turns for index, delta in enumerate(turn) if delta is not None]
    chunks += [chunk(index, {}, _finish_reason(call.answer)) for index in choices]
    return [*chunks, {**head, "choices": [], **tail, "usage": _usage(call)}] if wants_usage else chunks


def _deltas(call: Call, choice: int) -> list[dict[str, Any]]:
    answer = call.answer
    pieces = [piece for index, tool in enumerate(_tool_calls(call, choice)) for piece in _tool_pieces(index, tool)]
    first: dict[str, Any] = {"role": "assistant", "content": "" if _content(answer) is not None else None}
    if len(answer.tool_calls) == 1 and _content(answer) is None:
        # One call shares the chunk of the role, several have chunks of their own: seen in recordings of both.
        return [{**first, **pieces[0], "refusal": None}, *pieces[1:]]
    if answer.refusal is not None:
        return [{**first, "refusal": ""}, *({"refusal": word} for word in words(answer.refusal)), *pieces]
    said = [{"content": word} for word in words(answer.text)]
    return [first if pieces and not said else {**first, "refusal": None}, *said, *pieces]


def _tool_pieces(index: int, tool: dict[str, Any]) -> list[dict[str, Any]]:
    """The name first, and then the arguments, some characters at a time."""
    function = tool["function"]
    parts: list[dict[str, Any]] = [{**tool, "function": {**function, "arguments": ""}}]
    arguments = function["arguments"]
    parts += [{"function": {"arguments": arguments[at : at + _PIECE]}} for at in range(0, len(arguments), _PIECE)]
    return [{"tool_calls": [{"index": index, **part}]} for part in parts]


def _head(call: Call, kind: str) -> dict[str, Any]:
    return {
        "id": call.unique("chatcmpl"),
        "object": kind,
        "created": CREATED,
        "model": call.model,
        "service_tier": "default",
        "system_fingerprint": "fp_0123456789",
    }


def _count(call: Call) -> int:
    return int(call.body.get("n") or 1)


def _usage(call: Call) -> dict[str, Any]:
    answer = call.answer
    reasoning = tokens(answer.reasoning)
    said = tokens(answer.text if answer.refusal is None else answer.refusal)
    called = sum(tokens([tool.name, tool.arguments_text]) for tool in answer.tool_calls)
    counted = {
        "prompt_tokens": tokens(call.body["messages"]),
        "completion_tokens": reasoning + (said + called) * _count(call),
        "total_tokens": 0,
        "prompt_tokens_details": {"cached_tokens": 0, "audio_tokens": 0},
        "completion_tokens_details": {
            "reasoning_tokens": reasoning,
            "audio_tokens": 0,
            "accepted_prediction_tokens": 0,
            "rejected_prediction_tokens": 0,
        },
    }
    return overlaid(counted, answer.usage, ("prompt_tokens", "completion_tokens"))
