"""`POST /v1/completions`, plain and streamed: a choice for each prompt, `n` times."""

from itertools import zip_longest
from typing import Any

from prela.testing.openai_server.replies import CREATED, Body, EventStream, data_events, json_body
from prela.testing.openai_server.shelf import Call
from prela.testing.openai_server.tokens import overlaid, tokens, words


def completions(call: Call) -> Body | EventStream:
    """Every choice says the same; usage has no details, as the API's has none here."""
    if call.body.get("stream"):
        return data_events(_chunks(call), call.answer)
    choices = [_choice(index, call.answer.text, _finish_reason(call)) for index in range(_count(call))]
    return json_body({**_head(call), "choices": choices, "usage": _usage(call)})


def _chunks(call: Call) -> list[dict[str, Any]]:
    """The choices take turns; the last chunk finishes all of them."""
    head, choices = _head(call), range(_count(call))
    wants_usage = bool((call.body.get("stream_options") or {}).get("include_usage"))
    tail = {"usage": None} if wants_usage else {}
    turns = zip_longest(*(words(call.answer.text) for _ in choices))
    said = [[_choice(index, word, None)] for turn in turns for index, word in enumerate(turn)]
    finish = [_choice(index, "", _finish_reason(call)) for index in choices]
    chunks = [{**head, "choices": chosen, **tail} for chosen in [*said, finish]]
    return [*chunks, {**head, "usage": _usage(call), "choices": []}] if wants_usage else chunks


def _choice(index: int, text: str, finish_reason: str | None) -> dict[str, Any]:
    return {"text": text, "index": index, "logprobs": None, "finish_reason": finish_reason}


def _finish_reason(call: Call) -> str:
    return call.answer.finish_reason or "stop"


def _head(call: Call) -> dict[str, Any]:
    return {"id": call.unique("cmpl"), "object": "text_completion", "created": CREATED, "model": call.model}


def _count(call: Call) -> int:
    prompt = call.body["prompt"]
    several = isinstance(prompt, list) and prompt and not isinstance(prompt[0], int)
    return (len(prompt) if several else 1) * int(call.body.get("n") or 1)


def _usage(call: Call) -> dict[str, Any]:
    counted = {
        "prompt_tokens": tokens(call.body["prompt"]),
        "completion_tokens": tokens(call.answer.text) * _count(call),
        "total_tokens": 0,
    }
    return overlaid(counted, call.answer.usage, ("prompt_tokens", "completion_tokens"))
