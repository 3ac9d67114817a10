"""`POST /v1/responses`, plain; `response_events` streams what is made here."""

from typing import Any

from prela.testing.openai_server.answers import Answer
from prela.testing.openai_server.replies import CREATED, Body, EventStream, error, json_body, padding
from prela.testing.openai_server.response_events import response_events
from prela.testing.openai_server.shelf import Call
from prela.testing.openai_server.tokens import overlaid, tokens

_UNSET: dict[str, Any] = {
    "background": False,
    "frequency_penalty": 0.0,
    "instructions": None,
    "max_output_tokens": None,
    "max_tool_calls": None,
    "metadata": {},
    "parallel_tool_calls": True,
    "presence_penalty": 0.0,
    "previous_response_id": None,
    "prompt_cache_key": None,
    "prompt_cache_retention": None,
    "reasoning": {"effort": None, "summary": None},
    "safety_identifier": None,
    "store": True,
    "temperature": 1.0,
    "text": {"format": {"type": "text"}, "verbosity": "medium"},
    "tool_choice": "auto",
    "tools": [],
    "top_logprobs": 0,
    "top_p": 1.0,
    "truncation": "disabled",
    "user": None,
}
"""What a response repeats of its request, and what it says where the request said nothing."""

_INCOMPLETE = {"length": "max_output_tokens", "content_filter": "content_filter"}


def responses(call: Call) -> Body | EventStream:
    """Kept for a GET, unless the request says `store: false`."""
    response = _response(call)
    whole = {**response, "billing": {"payer": "developer"}}  # never seen in an event
    if response["store"]:
        call.shelf.responses[response["id"]] = whole
    if call.body.get("stream"):
        return response_events(response, call.answer, padding(call.body))
    return json_body(whole)


def _response(call: Call) -> dict[str, Any]:
    """The response as it is in the end."""
    answer = call.answer
    reason = _INCOMPLETE.get(answer.finish_reason or "")
    failed = answer.finish_reason == "failed"
    status = "failed" if failed else "incomplete" if reason else "completed"
    said = {name: call.body.get(name) for name in _UNSET}
    told = error(answer)
    return {
        "id": call.unique("resp"),
        "object": "response",
        "created_at": CREATED,
        "status": status,
        **{name: unset if said[name] is None else said[name] for name, unset in _UNSET.items()},
        "completed_at": CREATED if status == "completed" else None,
        "error": {"code": told["code"] or "server_error", "message": told["message"]} if failed else None,
        "incomplete_details": {"reason": reason} if reason else None,
        "model": call.model,
        "output": _output(call, "incomplete" if reason else "completed"),
        "service_tier": "default",
        "usage": None if failed else _usage(call),
    }


def _output(call: Call, status: str) -> list[dict[str, Any]]:
    """Reasoning, message and calls, in the order in which a model makes them."""
    answer = call.answer
    output: list[dict[str, Any]] = []
    if answer.reasoning:
        summary = [{"type": "summary_text", "text": answer.reasoning}]
        output.append({"id": call.unique("rs"), "type": "reasoning", "summary": summary})
    if answer.text or answer.refusal is not None or not answer.tool_calls:
        message = {"id": call.unique("msg"), "type": "message", "status": status}
        output.append({**message, "content": [_part(answer)], "role": "assistant"})
    output += [
        {
            "id": call.unique("fc", index),
            "type": "function_call",
            "status": status,
            "arguments": tool.arguments_text,
            "call_id": tool.id or call.unique("call", index),
            "name": tool.name,
        }
        for index, tool in enumerate(answer.tool_calls)
    ]
    return output


def _part(answer: Answer) -> dict[str, Any]:
    if answer.refusal is not None:
        return {"type": "refusal", "refusal": answer.refusal}
    return {"type": "output_text", "annotations": [], "logprobs": [], "text": answer.text}


def _usage(call: Call) -> dict[str, Any]:
    answer = call.answer
    reasoning = tokens(answer.reasoning)
    said = tokens(answer.text if answer.refusal is None else answer.refusal)
    called = sum(tokens([tool.name, tool.arguments_text]) for tool in answer.tool_calls)
    counted = {
        "input_tokens": tokens([call.body.get("instructions"), call.body.get("input")]),
        "input_tokens_details": {"cached_tokens": 0},
        "output_tokens": reasoning + said + called,
        "output_tokens_details": {"reasoning_tokens": reasoning},
        "total_tokens": 0,
    }
    return overlaid(counted, answer.usage, ("input_tokens", "output_tokens"))
