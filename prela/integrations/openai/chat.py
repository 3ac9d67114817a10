"""Chat completions, and the older completions: their messages, their choices, and their streams."""

from collections.abc import Mapping
from typing import Any, Final

from prela.integrations import semconv
from prela.integrations.openai.parts import (
    Part,
    mapping,
    mappings,
    parts_of,
    reasoning,
    text,
    texts,
    tool_call,
    tool_result,
)
from prela.integrations.openai.usage import usage_attributes

CONTENT_KEYS: Final = ("messages", "tools", "functions")
COMPLETION_CONTENT_KEYS: Final = ("prompt",)

_UNFINISHED: Final = "error"
"""The conventions' finish reason of a choice that has none, since its stream ended early."""


def request_content(body: Mapping[str, Any]) -> dict[str, object]:
    """Messages and tools. System messages stay among the others, as the conventions want it for this API."""
    found: dict[str, object] = {}
    if "messages" in body:
        found[semconv.INPUT_MESSAGES] = [_message(message) for message in mappings(body["messages"])]
    if body.get("prompt") is not None:
        found[semconv.INPUT_MESSAGES] = [{"role": "user", "parts": [_prompt(one)]} for one in _prompts(body["prompt"])]
    definitions = tool_definitions(body.get("tools")) + tool_definitions(body.get("functions"))
    if definitions:
        found[semconv.TOOL_DEFINITIONS] = definitions
    return found


def _prompts(prompt: object) -> list[object]:
    """The prompts of a completion: each a text, or the tokens of one."""
    if isinstance(prompt, list | tuple) and not all(isinstance(token, int) for token in prompt):
        return list(prompt)
    return [prompt]


def _prompt(prompt: object) -> Part:
    return {"type": "tokens", "tokens": prompt} if isinstance(prompt, list | tuple) else text(prompt)


def tool_definitions(tools: object) -> list[dict[str, Any]]:
    """The tools, flat: what chat completions put below "function" stands beside the type."""
    found = []
    for tool in mappings(tools):
        kind = str(tool.get("type") or "function")
        inner = tool.get(kind)
        fields = inner if isinstance(inner, Mapping) else tool
        found.append({**fields, "type": kind, "name": str(fields.get("name") or kind)})
    return found


def _message(message: Mapping[str, Any]) -> dict[str, Any]:
    role, name = str(message.get("role") or "user"), message.get("name")
    if role == "tool":
        parts = [tool_result(message.get("tool_call_id"), message.get("content"))]
    elif role == "function":
        parts = [tool_result(name, message.get("content"))]
    else:
        parts = _said(message)
    found = {"role": role, "parts": parts}
    return {**found, "name": name} if isinstance(name, str) else found


def _said(message: Mapping[str, Any]) -> list[Part]:
    """The parts of what somebody said, with the tools that the model called."""
    parts = reasoning(message.get("reasoning_content") or message.get("reasoning"))
    parts += parts_of(message.get("content") or None)
    parts += texts(message.get("refusal"), mapping(message.get("audio")).get("transcript"))
    for call in mappings(message.get("tool_calls")):
        function = mapping(call.get(str(call.get("type") or "function")))
        arguments = function.get("arguments", function.get("input"))
        parts.append(tool_call(call.get("id"), function.get("name"), arguments))
    if called := mapping(message.get("function_call")):
        parts.append(tool_call(None, called.get("name"), called.get("arguments")))
    return parts


def response_attributes(body: Mapping[str, Any]) -> dict[str, object]:
    """Of a chat completion, or of what there is of one."""
    found: dict[str, object] = usage_attributes(body.get("usage"))
    for key, attribute in (
        ("id", semconv.RESPONSE_ID),
        ("model", semconv.RESPONSE_MODEL),
        ("system_fingerprint", semconv.OPENAI_SYSTEM_FINGERPRINT),
        ("service_tier", semconv.OPENAI_RESPONSE_SERVICE_TIER),
    ):
        if isinstance(value := body.get(key), str) and value:
            found[attribute] = value
    choices = _choices(body)
    if choices:
        found[semconv.FINISH_REASONS] = [str(choice.get("finish_reason") or _UNFINISHED) for choice in choices]
    return found


def response_content(body: Mapping[str, Any]) -> dict[str, object]:
    """One message for each choice."""
    messages = []
    for choice in _choices(body):
        message = choice.get("message")  # absent where a content filter took it
        message = message if isinstance(message, Mapping) else {"content": choice.get("text")}
        reason = str(choice.get("finish_reason") or _UNFINISHED)
        messages.append(
            {
                "role": str(message.get("role") or "assistant"),
                "parts": _said(message),
                "finish_reason": "tool_call" if reason in ("tool_calls", "function_call") else reason,
            }
        )
    return {semconv.OUTPUT_MESSAGES: messages} if messages else {}


def _choices(body: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    return mappings(body.get("choices"))


_TEXTS: Final = ("content", "refusal", "reasoning", "reasoning_content")
"""Of a message, the keys whose values come in pieces."""


class ChatAssembly:
    """Puts the chunks of a stream together: each text is the sum of its deltas."""

    def __init__(self) -> None:
        self._head: dict[str, Any] = {}
        self._choices: dict[int, _Choice] = {}

    def add(self, event: Mapping[str, Any]) -> None:
        """Take in a chunk. Azure's first has neither an id nor a model nor choices."""
        for key in ("id", "model", "system_fingerprint", "service_tier", "usage"):
            if event.get(key):
                self._head[key] = event[key]
        for choice in _choices(event):
            index = _index(choice, 0)
            found = self._choices.get(index)
            if found is None:
                found = self._choices[index] = _Choice()
            found.add(choice)

    def body(self) -> Mapping[str, Any]:
        """The completion, as far as it has come."""
        return {
            **self._head,
            "choices": [{"index": index} | one.body() for index, one in sorted(self._choices.items())],
        }


class _Choice:
    """One choice of a stream."""

    def __init__(self) -> None:
        self._finish_reason: object = None
        self._role: object = None
        self._is_text = False  # of a completion, rather than a message
        self._texts: dict[str, list[str]] = {}
        self._calls: dict[int, _Call] = {}
        self._function: _Call | None = None

    def add(self, choice: Mapping[str, Any]) -> None:
        self._finish_reason = choice.get("finish_reason") or self._finish_reason
        if isinstance(choice.get("text"), str):
            self._is_text = True
            self._add_text("content", choice["text"])
        delta = mapping(choice.get("delta"))
        self._role = delta.get("role") or self._role
        for key in _TEXTS:
            self._add_text(key, delta.get(key))
        self._add_text("transcript", mapping(delta.get("audio")).get("transcript"))
        for call in mappings(delta.get("tool_calls")):
            self._calls.setdefault(_index(call, len(self._calls)), _Call()).add(call, call.get("function"))
        if called := mapping(delta.get("function_call")):
            self._function = self._function or _Call()
            self._function.add({}, called)

    def _add_text(self, key: str, piece: object) -> None:
        if piece and isinstance(piece, str):
            self._texts.setdefault(key, []).append(piece)

    def body(self) -> dict[str, Any]:
        said: dict[str, Any] = {key: "".join(pieces) for key, pieces in self._texts.items()}
        if self._is_text:
            return {"finish_reason": self._finish_reason, "text": said.get("content", "")}
        if "transcript" in said:
            said["audio"] = {"transcript": said.pop("transcript")}
        if self._calls:
            said["tool_calls"] = [call.body() for _, call in sorted(self._calls.items())]
        if self._function is not None:
            said["function_call"] = self._function.body()["function"]
        return {"finish_reason": self._finish_reason, "message": {"role": self._role, **said}}


class _Call:
    """One tool call of a stream. The id and the name come whole, and some servers repeat them."""

    def __init__(self) -> None:
        self._id: object = None
        self._name: object = None
        self._arguments: list[str] = []

    def add(self, call: Mapping[str, Any], function: object) -> None:
        called = mapping(function) or mapping(call.get("custom"))
        self._id = call.get("id") or self._id
        self._name = called.get("name") or self._name
        piece = called.get("arguments") or called.get("input")
        if isinstance(piece, str):
            self._arguments.append(piece)

    def body(self) -> dict[str, Any]:
        function = {"name": self._name, "arguments": "".join(self._arguments)}
        return {"id": self._id, "type": "function", "function": function}


def _index(piece: Mapping[str, Any], otherwise: int) -> int:
    index = piece.get("index")
    return index if isinstance(index, int) else otherwise
