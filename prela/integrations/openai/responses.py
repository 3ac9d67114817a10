"""The Responses API: its items, its responses, and its streams of typed events."""

from collections.abc import Iterable, Mapping
from typing import Any, Final

from prela.integrations import semconv
from prela.integrations.openai.chat import tool_definitions
from prela.integrations.openai.parts import Part, parts_of, text, tool_call, tool_result
from prela.integrations.openai.usage import usage_attributes
from prela.integrations.stainless.provider import Failure

CONTENT_KEYS: Final = ("input", "instructions", "tools", "prompt")

_SERVER_TOOLS: Final = {
    "apply_patch_call": "apply_patch",
    "code_interpreter_call": "code_interpreter",
    "file_search_call": "file_search",
    "image_generation_call": "image_generation",
    "local_shell_call": "local_shell",
    "mcp_call": "mcp",
    "mcp_list_tools": "mcp_list_tools",
    "shell_call": "shell",
    "tool_search_call": "tool_search",
    "web_search_call": "web_search",
}
_INCOMPLETE: Final = {"max_output_tokens": "length"}
_TOOL_ITEMS: Final = {"function_call", "custom_tool_call", "computer_call"}


def request_content(body: Mapping[str, Any]) -> dict[str, object]:
    """Input, instructions, tools, and the variables of a stored prompt."""
    found: dict[str, object] = {}
    given = body.get("input")
    if isinstance(given, str):
        found[semconv.INPUT_MESSAGES] = [{"role": "user", "parts": [text(given)]}]
    elif isinstance(given, list):
        found[semconv.INPUT_MESSAGES] = _messages(given)
    found.update(_instructions(body.get("instructions")))
    if definitions := tool_definitions(body.get("tools")):
        found[semconv.TOOL_DEFINITIONS] = definitions
    prompt = body.get("prompt")
    variables = prompt.get("variables") if isinstance(prompt, Mapping) else None
    if isinstance(variables, Mapping):
        found.update({semconv.PROMPT_VARIABLE + str(key): value for key, value in variables.items()})
    return found


def _instructions(given: object) -> dict[str, object]:
    if isinstance(given, str):
        return {semconv.SYSTEM_INSTRUCTIONS: [text(given)]}
    if isinstance(given, list):
        parts = [part for message in _messages(given) for part in message["parts"]]
        return {semconv.SYSTEM_INSTRUCTIONS: parts}
    return {}


def _messages(items: Iterable[Any]) -> list[dict[str, Any]]:
    """Items as messages; what the model did between two of them is one message of its."""
    messages: list[dict[str, Any]] = []
    for item in items:
        if not isinstance(item, Mapping):
            continue
        kind = item.get("type", "message")
        if kind == "message":
            messages.append({"role": str(item.get("role", "")), "parts": parts_of(item.get("content"))})
        elif isinstance(kind, str) and kind.endswith("_output"):
            result = tool_result(item.get("call_id") or item.get("id"), item.get("output"))
            messages.append({"role": "tool", "parts": [result]})
        elif parts := _done(item):
            if not (messages and messages[-1]["role"] == "assistant"):
                messages.append({"role": "assistant", "parts": []})
            messages[-1]["parts"] += parts
    return messages


def _done(item: Mapping[str, Any]) -> list[Part]:
    """The parts of an item that is something the model did."""
    kind = str(item.get("type", "message"))
    if kind == "message":
        return parts_of(item.get("content"))
    if kind == "reasoning":
        thoughts = [*(item.get("summary") or ()), *(item.get("content") or ())]
        return [{"type": "reasoning", "content": part["content"]} for part in parts_of(thoughts) if part.get("content")]
    if kind in _TOOL_ITEMS:
        arguments = item.get("arguments", item.get("input", item.get("action", item.get("actions"))))
        name = item.get("name") or ("computer" if kind == "computer_call" else None)
        return [tool_call(item.get("call_id") or item.get("id"), name, arguments)]
    if kind == "compaction":
        return [{"type": "compaction", "id": item.get("id")}]
    fields = {key: value for key, value in item.items() if key not in ("id", "call_id", "type")}
    if kind in _SERVER_TOOLS:
        name = _SERVER_TOOLS[kind]
        call = {"type": name, **fields}
        return [
            {
                "type": "server_tool_call",
                "id": item.get("id"),
                "name": str(item.get("name") or name),
                "server_tool_call": call,
            }
        ]
    return [{**item, "type": kind}]


def response_attributes(body: Mapping[str, Any], *, fetched: bool = False) -> dict[str, object]:
    """Of a response, or of what there is of one. One that was fetched was paid for when it was made."""
    found: dict[str, object] = {} if fetched else usage_attributes(body.get("usage"))
    for key, attribute in (
        ("id", semconv.RESPONSE_ID),
        ("model", semconv.RESPONSE_MODEL),
        ("service_tier", semconv.OPENAI_RESPONSE_SERVICE_TIER),
        ("status", semconv.RESPONSE_STATUS),
    ):
        if isinstance(value := body.get(key), str) and value:
            found[attribute] = value
    if reason := _finish_reason(body):
        found[semconv.FINISH_REASONS] = [reason]
    if any(item.get("type") == "compaction" for item in _output(body)):
        found[semconv.CONVERSATION_COMPACTED] = True
    return found


def _finish_reason(body: Mapping[str, Any]) -> str | None:
    """The whole output is one generation, so it has one reason; None while it is still being made elsewhere."""
    status = body.get("status")
    if status == "incomplete":
        details = body.get("incomplete_details")
        reason = details.get("reason") if isinstance(details, Mapping) else None
        return _INCOMPLETE.get(str(reason), str(reason or "incomplete"))
    if status == "completed":
        return "tool_calls" if any(item.get("type") in _TOOL_ITEMS for item in _output(body)) else "stop"
    return "error" if status in ("failed", "cancelled", _CUT_OFF) else None


def response_content(body: Mapping[str, Any]) -> dict[str, object]:
    """All output items together are one message."""
    parts = [part for item in _output(body) for part in _done(item)]
    if not parts:
        return {}
    message: dict[str, object] = {"role": "assistant", "parts": parts}
    reason = _finish_reason(body)
    if reason is not None:
        message["finish_reason"] = "tool_call" if reason == "tool_calls" else reason
    return {semconv.OUTPUT_MESSAGES: [message]}


def failure(body: Mapping[str, Any]) -> Failure | None:
    """A response that failed, or the event of a stream that says so."""
    response = body.get("response") if body.get("type") == "response.failed" else body
    if not isinstance(response, Mapping):
        return None
    if response.get("status") == "failed" or response.get("type") == "error":
        error = response.get("error") if isinstance(response.get("error"), Mapping) else response
        assert isinstance(error, Mapping)
        return Failure(str(error.get("code") or "response.failed"), error.get("message"))
    return None


def _output(body: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    output = body.get("output")
    return [item for item in output if isinstance(item, Mapping)] if isinstance(output, list) else []


_CUT_OFF: Final = "cut_off"
"""Stands for the status of a response whose stream ended before it said how it went."""
_DELTAS: Final = {
    "response.output_text.delta": ("content", "output_text", "text"),
    "response.refusal.delta": ("content", "refusal", "refusal"),
    "response.reasoning_text.delta": ("content", "reasoning_text", "text"),
    "response.reasoning_summary_text.delta": ("summary", "summary_text", "text"),
}
_ARGUMENT_DELTAS: Final = {
    "response.function_call_arguments.delta": "arguments",
    "response.mcp_call_arguments.delta": "arguments",
    "response.custom_tool_call_input.delta": "input",
    "response.code_interpreter_call_code.delta": "code",
}
_LAST: Final = {"response.completed", "response.incomplete", "response.failed"}


class ResponsesAssembly:
    """Puts typed events together. The last one has the whole response; before that, items are made of their deltas."""

    def __init__(self) -> None:
        self._response: Mapping[str, Any] = {}
        self._is_whole = False
        self._items: dict[int, Mapping[str, Any]] = {}
        self._deltas: dict[tuple[int, str, str, str, int], list[str]] = {}

    def add(self, event: Mapping[str, Any]) -> None:
        """Take in an event."""
        kind = event.get("type")
        response = event.get("response")
        if isinstance(response, Mapping) and not self._is_whole:
            self._response = response
            self._is_whole = kind in _LAST
        elif kind in ("response.output_item.added", "response.output_item.done"):
            self._items[event.get("output_index", 0)] = event.get("item") or {}
        elif kind in _DELTAS:
            field, part, key = _DELTAS[kind]
            index = event.get("content_index", event.get("summary_index", 0))
            self._add_delta(event, (field, part, key, index))
        elif kind in _ARGUMENT_DELTAS:
            self._add_delta(event, ("", "", _ARGUMENT_DELTAS[kind], 0))

    def _add_delta(self, event: Mapping[str, Any], place: tuple[str, str, str, int]) -> None:
        delta = event.get("delta")
        if isinstance(delta, str):
            self._deltas.setdefault((event.get("output_index", 0), *place), []).append(delta)

    def body(self) -> Mapping[str, Any]:
        """The response, as far as it has come."""
        if self._is_whole:
            return self._response
        items = {index: dict(item) for index, item in self._items.items()}
        for (index, field, part, key, _), deltas in sorted(self._deltas.items()):
            item = items.setdefault(index, {"type": "message", "role": "assistant"})
            if item.get("status") == "completed":
                continue  # it came whole at its end
            if not field:
                item[key] = "".join(deltas)
            else:
                item[field] = [*(item.get(field) or ()), {"type": part, key: "".join(deltas)}]
        return {**self._response, "status": _CUT_OFF, "output": [items[index] for index in sorted(items)]}
