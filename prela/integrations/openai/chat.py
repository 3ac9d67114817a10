"""Chat completions, and the older completions: their messages, their choices, and their streams."""

from collections.abc import Mapping
from typing import Any, Final

from prela.integrations import semconv
from prela.integrations.openai.parts import Part, parts_of, text, tool_call, tool_result
from prela.integrations.openai.usage import usage_attributes

CONTENT_KEYS: Final = ("messages", "tools", "functions")
COMPLETION_CONTENT_KEYS: Final = ("prompt",)

_UNFINISHED: Final = "error"
"""The conventions' finish reason of a choice that has none, since its stream ended early."""


def request_content(body: Mapping[str, Any]) -> dict[str, object]:
    """Messages and tools. System messages stay among the others, as the conventions want it for this API."""
    found: dict[str, object] = {}
    messages = body.get("messages")
    if isinstance(messages, list):
        found[semconv.INPUT_MESSAGES] = [_message(message) for message in messages if isinstance(message, Mapping)]
    prompt = body.get("prompt")
    if prompt is not None:
        prompts = [prompt] if isinstance(prompt, str) else prompt if isinstance(prompt, list) else [prompt]
        found[semconv.INPUT_MESSAGES] = [{"role": "user", "parts": [text(one)]} for one in prompts]
    definitions = tool_definitions(body.get("tools")) + tool_definitions(body.get("functions"))
    if definitions:
        found[semconv.TOOL_DEFINITIONS] = definitions
    return found


def tool_definitions(tools: object) -> list[dict[str, Any]]:
    """The tools, flat: what chat completions put below "function" stands beside the type."""
    found = []
    for tool in tools if isinstance(tools, list) else ():
        if isinstance(tool, Mapping):
            kind = str(tool.get("type", "function"))
            inner = tool.get(kind)
            fields = inner if isinstance(inner, Mapping) else tool
            found.append({**fields, "type": kind, "name": str(fields.get("name") or kind)})
    return found


def _message(message: Mapping[str, Any]) -> dict[str, Any]:
    role = str(message.get("role", ""))
    if role == "tool":
        parts = [tool_result(message.get("tool_call_id"), message.get("content"))]
    elif role == "function":
        parts = [tool_result(message.get("name"), message.get("content"))]
    else:
        parts = _said(message)
    named = message.get("name")
    found = {"role": role, "parts": parts}
    return {**found, "name": named} if isinstance(named, str) else found


def _said(message: Mapping[str, Any]) -> list[Part]:
    """The parts of what somebody said, with the tools that the model called."""
    parts: list[Part] = []
    reasoning = message.get("reasoning_content") or message.get("reasoning")
    if isinstance(reasoning, str) and reasoning:
        parts.append({"type": "reasoning", "content": reasoning})
    parts += parts_of(message.get("content") or None)
    if refusal := message.get("refusal"):
        parts.append(text(refusal))
    audio = message.get("audio")
    if isinstance(audio, Mapping) and audio.get("transcript"):
        parts.append(text(audio["transcript"]))
    for call in message.get("tool_calls") or ():
        kind = call.get("type") or "function"
        function = call.get(kind) or {}
        arguments = function.get("arguments", function.get("input"))
        parts.append(tool_call(call.get("id"), function.get("name"), arguments))
    if isinstance(called := message.get("function_call"), Mapping):
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
        reason = choice.get("finish_reason") or _UNFINISHED
        messages.append(
            {
                "role": str(message.get("role") or "assistant"),
                "parts": _said(message),
                "finish_reason": "tool_call" if reason in ("tool_calls", "function_call") else str(reason),
            }
        )
    return {semconv.OUTPUT_MESSAGES: messages} if messages else {}


def _choices(body: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    choices = body.get("choices")
    return [choice for choice in choices if isinstance(choice, Mapping)] if isinstance(choices, list) else []


class ChatAssembly:
    """Puts the chunks of a stream together: each text is the sum of its deltas."""

    def __init__(self) -> None:
        self._head: dict[str, Any] = {}
        self._choices: dict[int, dict[str, Any]] = {}
        self._texts: dict[tuple[int, str], list[str]] = {}
        self._calls: dict[int, dict[int, dict[str, Any]]] = {}
        self._arguments: dict[tuple[int, int], list[str]] = {}

    def add(self, event: Mapping[str, Any]) -> None:
        """Take in a chunk. Azure's first has neither an id nor a model nor choices."""
        for key in ("id", "model", "system_fingerprint", "service_tier", "usage"):
            if event.get(key):
                self._head[key] = event[key]
        for choice in _choices(event):
            index = choice.get("index", 0)
            found = self._choices.setdefault(index, {"index": index})
            if choice.get("finish_reason"):
                found["finish_reason"] = choice["finish_reason"]
            if choice.get("text"):
                self._texts.setdefault((index, "text"), []).append(choice["text"])
            delta = choice.get("delta")
            if isinstance(delta, Mapping):
                self._add_delta(index, delta)

    def _add_delta(self, index: int, delta: Mapping[str, Any]) -> None:
        for key, value in delta.items():
            if key == "tool_calls":
                for call in value or ():
                    self._add_call(index, call)
            elif key == "function_call" and value:
                self._add_call(index, {"index": 0, "type": "function_call", "function": value})
            elif key == "audio" and isinstance(value, Mapping) and value.get("transcript"):
                self._texts.setdefault((index, "transcript"), []).append(value["transcript"])
            elif key == "role" and value:
                self._choices[index]["role"] = value
            elif key in ("content", "refusal", "reasoning", "reasoning_content") and isinstance(value, str):
                self._texts.setdefault((index, key), []).append(value)

    def _add_call(self, index: int, delta: Mapping[str, Any]) -> None:
        calls = self._calls.setdefault(index, {})
        number = delta.get("index", len(calls))
        call = calls.setdefault(number, {"type": "function"})
        call.update({key: delta[key] for key in ("id", "type") if delta.get(key)})
        function = delta.get("function") or delta.get("custom") or {}
        if function.get("name"):
            call["name"] = function["name"]
        arguments = function.get("arguments") or function.get("input")
        if arguments:
            self._arguments.setdefault((index, number), []).append(arguments)

    def body(self) -> Mapping[str, Any]:
        """The completion, as far as it has come."""
        return {**self._head, "choices": [self._choice(index) for index in sorted(self._choices)]}

    def _choice(self, index: int) -> dict[str, Any]:
        choice = self._choices[index]
        message: dict[str, Any] = {"role": choice.get("role", "assistant")}
        for key in ("content", "refusal", "reasoning", "reasoning_content"):
            if (index, key) in self._texts:
                message[key] = "".join(self._texts[index, key])
        if (index, "transcript") in self._texts:
            message["audio"] = {"transcript": "".join(self._texts[index, "transcript"])}
        calls = []
        for number, call in sorted(self._calls.get(index, {}).items()):
            arguments = "".join(self._arguments.get((index, number), []))
            function = {"name": call.get("name"), "arguments": arguments}
            calls.append({"id": call.get("id"), "type": "function", "function": function})
        if calls:
            message["tool_calls"] = calls
        found = {"index": index, "finish_reason": choice.get("finish_reason"), "message": message}
        if (index, "text") in self._texts:
            found["message"] = {"content": "".join(self._texts[index, "text"])}
        return found
