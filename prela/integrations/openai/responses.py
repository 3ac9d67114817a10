"""The Responses API: its items, its responses, and its streams of typed events."""

from collections.abc import Iterable, Mapping
from typing import Any, Final

from prela.integrations import semconv
from prela.integrations.openai.chat import tool_definitions
from prela.integrations.openai.parts import (
    Part,
    mapping,
    mappings,
    parts_of,
    reasoning,
    server_tool,
    text,
    tool_call,
    tool_result,
)
from prela.integrations.openai.usage import usage_attributes
from prela.integrations.stainless.provider import Failure

CONTENT_KEYS: Final = ("input", "instructions", "tools", "prompt")

_TOOLS: Final = {
    "apply_patch_call": "apply_patch",
    "code_interpreter_call": "code_interpreter",
    "computer_call": "computer",
    "file_search_call": "file_search",
    "image_generation_call": "image_generation",
    "local_shell_call": "local_shell",
    "mcp_call": "mcp",
    "mcp_list_tools": "mcp_list_tools",
    "shell_call": "shell",
    "tool_search_call": "tool_search",
    "web_search_call": "web_search",
}
"""What the tools of the API itself are called, by the type of their items."""
_CLIENTS_TOOLS: Final = {
    "apply_patch_call",
    "computer_call",
    "custom_tool_call",
    "function_call",
    "local_shell_call",
}
"""The items that wait for the client to run a tool."""
_ARGUMENTS: Final = ("arguments", "input", "action", "actions", "operation")
"""Where such an item has what the tool is to do."""
_INCOMPLETE: Final = {"max_output_tokens": "length"}


def request_content(body: Mapping[str, Any]) -> dict[str, object]:
    """Input, instructions, tools, and the variables of a stored prompt."""
    found: dict[str, object] = {}
    given = body.get("input")
    if isinstance(given, str):
        found[semconv.INPUT_MESSAGES] = [{"role": "user", "parts": [text(given)]}]
    elif isinstance(given, list | tuple):
        found[semconv.INPUT_MESSAGES] = _messages(mappings(given))
    found.update(_instructions(body.get("instructions")))
    if definitions := tool_definitions(body.get("tools")):
        found[semconv.TOOL_DEFINITIONS] = definitions
    variables = mapping(mapping(body.get("prompt")).get("variables"))
    found.update({semconv.PROMPT_VARIABLE + str(key): value for key, value in variables.items()})
    return found


def _instructions(given: object) -> dict[str, object]:
    if isinstance(given, str):
        return {semconv.SYSTEM_INSTRUCTIONS: [text(given)]}
    if isinstance(given, list | tuple):
        parts = [part for message in _messages(mappings(given)) for part in message["parts"]]
        return {semconv.SYSTEM_INSTRUCTIONS: parts}
    return {}


def _messages(items: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Items as messages; what the model did between two of them is one message of its."""
    messages: list[dict[str, Any]] = []
    for item in items:
        kind = _kind(item)
        if kind == "message":
            messages.append({"role": str(item.get("role") or "user"), "parts": parts_of(item.get("content"))})
        elif kind.endswith("_output"):
            messages.append({"role": "tool", "parts": [tool_result(_identity(item), _answer(item))]})
        elif parts := _done(item):
            role = str(item.get("role") or "assistant")
            if not (messages and messages[-1]["role"] == role):
                messages.append({"role": role, "parts": []})
            messages[-1]["parts"] += parts
    return messages


def _done(item: Mapping[str, Any]) -> list[Part]:
    """The parts of an item that is something the model did."""
    kind = _kind(item)
    if kind == "message":
        return parts_of(item.get("content"))
    if kind == "reasoning":
        thoughts = [*mappings(item.get("summary")), *mappings(item.get("content"))]
        return reasoning(*(thought.get("text") for thought in thoughts))
    if kind == "compaction":
        return [{"type": "compaction", "id": _identity(item)}]
    name = item.get("name") or _TOOLS.get(kind)
    if _is_for_the_client(item):
        arguments = next((item[key] for key in _ARGUMENTS if item.get(key) is not None), None)
        return [tool_call(_identity(item), name, arguments)]
    if kind in _TOOLS:
        return [server_tool("server_tool_call", _identity(item), name, _TOOLS[kind], _fields(item))]
    if kind.endswith("_output"):  # among what the model did, of a tool that the provider ran
        tool = kind.removesuffix("_output").removesuffix("_call")
        return [server_tool("server_tool_call_response", _identity(item), tool, tool, _fields(item))]
    return [{**item, "type": kind}]


def _kind(item: Mapping[str, Any]) -> str:
    return str(item.get("type") or "message")


def _identity(item: Mapping[str, Any]) -> object:
    """What calls and answers have in common: not the id of the item, where there is one of the call."""
    return item.get("call_id") or item.get("id")


def _fields(item: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in item.items() if key not in ("id", "call_id", "type")}


def _answer(item: Mapping[str, Any]) -> object:
    """What a tool answered: most have it under "output"."""
    return item["output"] if "output" in item else _fields(item)


def _is_for_the_client(item: Mapping[str, Any]) -> bool:
    """Whether the client is to run the tool that this item calls."""
    match _kind(item):
        case "shell_call":
            return mapping(item.get("environment")).get("type") == "local"
        case "tool_search_call":
            return item.get("execution") == "client"
        case kind:
            return kind in _CLIENTS_TOOLS


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
    if body.get(_CUT_OFF) or status in ("failed", "cancelled"):
        return "error"
    if status == "incomplete":
        reason = str(mapping(body.get("incomplete_details")).get("reason") or "incomplete")
        return _INCOMPLETE.get(reason, reason)
    if status == "completed":
        return "tool_calls" if any(_is_for_the_client(item) for item in _output(body)) else "stop"
    return None


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
    response = mapping(body.get("response")) if body.get("type") == "response.failed" else body
    if response.get("status") != "failed" and response.get("type") != "error":
        return None
    error = mapping(response.get("error")) or (response if response.get("type") == "error" else {})
    code, message = error.get("code"), error.get("message")
    return Failure(code if code and isinstance(code, str) else "response.failed", message and str(message))


def _output(body: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    return mappings(body.get("output"))


_CUT_OFF: Final = "prela.cut_off"
"""Marks a response whose stream ended before it said how it went."""
_DELTAS: Final = {
    "response.output_text.delta": ("content", "output_text", "text"),
    "response.refusal.delta": ("content", "refusal", "refusal"),
    "response.reasoning_text.delta": ("content", "reasoning_text", "text"),
    "response.reasoning_summary_text.delta": ("summary", "summary_text", "text"),
}
"""By the event: the list in the item, the type of the part in it, and the key in that."""
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
        self._begin()

    def _begin(self) -> None:
        self._response: Mapping[str, Any] = {}
        self._is_whole = False
        self._items: dict[int, _Item] = {}

    def add(self, event: Mapping[str, Any]) -> None:
        """Take in an event. Where a stream has one response after the other, the last counts."""
        kind, response = event.get("type"), event.get("response")
        if not isinstance(kind, str):
            return
        if isinstance(response, Mapping):
            if kind == "response.created":
                self._begin()
            self._is_whole = kind in _LAST
            self._response = response
        elif kind == "response.output_item.added":
            self._item(event).fields = mapping(event.get("item"))
        elif kind == "response.output_item.done":
            self._item(event).is_whole = True
            self._item(event).fields = mapping(event.get("item"))
        elif kind in _DELTAS or kind in _ARGUMENT_DELTAS:
            self._item(event).add(kind, event)

    def _item(self, event: Mapping[str, Any]) -> "_Item":
        return self._items.setdefault(_index(event.get("output_index")), _Item())

    def body(self) -> Mapping[str, Any]:
        """The response, as far as it has come."""
        if self._is_whole:
            return self._response
        output = [item.body() for _, item in sorted(self._items.items())]
        return {**self._response, _CUT_OFF: True, "output": output}


class _Item:
    """One item of a stream's output."""

    def __init__(self) -> None:
        self.fields: Mapping[str, Any] = {}
        self.is_whole = False
        self._parts: dict[tuple[str, int], tuple[str, list[str]]] = {}
        self._arguments: dict[str, list[str]] = {}

    def add(self, kind: str, event: Mapping[str, Any]) -> None:
        piece = event.get("delta")
        if not isinstance(piece, str):
            return
        if kind in _ARGUMENT_DELTAS:
            self._arguments.setdefault(_ARGUMENT_DELTAS[kind], []).append(piece)
        else:
            place = (_DELTAS[kind][0], _index(event.get("content_index", event.get("summary_index"))))
            self._parts.setdefault(place, (kind, []))[1].append(piece)

    def body(self) -> Mapping[str, Any]:
        if self.is_whole:
            return self.fields
        item = {"type": "message", "role": "assistant", **self.fields}
        item |= {key: "".join(pieces) for key, pieces in self._arguments.items()}
        found: dict[str, list[dict[str, str]]] = {}
        for (field, _), (kind, pieces) in sorted(self._parts.items()):
            _, part, key = _DELTAS[kind]
            found.setdefault(field, []).append({"type": part, key: "".join(pieces)})
        return item | found


def _index(value: object) -> int:
    return value if isinstance(value, int) else 0
