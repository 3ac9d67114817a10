"""The OpenAI API, as `stainless.provider` wants it told: which of the modules beside this one knows which request."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from prela.integrations import semconv
from prela.integrations.openai import chat, responses
from prela.integrations.openai.endpoints import CHAT, COMPLETIONS, EMBEDDINGS, FETCH, RESPONSES, describe
from prela.integrations.openai.usage import usage_attributes
from prela.integrations.stainless.provider import Assembly, Failure, Operation, Request

_CONTENT_KEYS: Final[Mapping[str, Sequence[str]]] = {
    CHAT: chat.CONTENT_KEYS,
    COMPLETIONS: chat.COMPLETION_CONTENT_KEYS,
    RESPONSES: responses.CONTENT_KEYS,
}


class OpenAI:
    """See the module."""

    name = "openai"

    def describe(self, request: Request) -> Operation:
        return describe(request)

    def content_keys(self, operation: Operation) -> Sequence[str]:
        return _CONTENT_KEYS.get(operation.api, ())

    def request_content(self, operation: Operation, body: Mapping[str, Any]) -> Mapping[str, object]:
        return responses.request_content(body) if operation.api == RESPONSES else chat.request_content(body)

    def response_attributes(self, operation: Operation, body: Mapping[str, Any]) -> Mapping[str, object]:
        if operation.api in (RESPONSES, FETCH):
            return responses.response_attributes(body, fetched=operation.api == FETCH)
        found = chat.response_attributes(body)
        if operation.api == EMBEDDINGS:
            found.pop(semconv.OUTPUT_TOKENS, None)
        return found

    def response_content(self, operation: Operation, body: Mapping[str, Any]) -> Mapping[str, object]:
        if operation.api in (RESPONSES, FETCH):
            return responses.response_content(body)
        return chat.response_content(body) if operation.api in (CHAT, COMPLETIONS) else {}

    def assemble(self, operation: Operation) -> Assembly:
        if operation.api in (CHAT, COMPLETIONS):
            return chat.ChatAssembly()
        return responses.ResponsesAssembly() if operation.api in (RESPONSES, FETCH) else _Usage()

    def failure(self, operation: Operation, body: Mapping[str, Any]) -> Failure | None:
        if operation.api == FETCH:
            return None  # the fetching went well
        if operation.api == RESPONSES:
            return responses.failure(body)
        error = body.get("error")
        if isinstance(error, Mapping) and not body.get("choices") and operation.api in (CHAT, COMPLETIONS):
            return Failure(str(error.get("code") or error.get("type") or "error"), error.get("message"))
        return None

    def with_stream_usage(self, operation: Operation, body: Mapping[str, Any]) -> Mapping[str, Any] | None:
        if operation.api not in (CHAT, COMPLETIONS):
            return None
        options = body.get("stream_options")
        if options is None:
            return {**body, "stream_options": {"include_usage": True}}
        if isinstance(options, Mapping) and "include_usage" not in options:
            return {**body, "stream_options": {**options, "include_usage": True}}
        return None


class _Usage:
    """What is common to the streams of other endpoints: the last event that tells a usage has it."""

    def __init__(self) -> None:
        self._body: dict[str, Any] = {}

    def add(self, event: Mapping[str, Any]) -> None:
        inner = event.get("data")
        for source in (event, inner if isinstance(inner, Mapping) else {}):
            if usage_attributes(source.get("usage")):
                self._body["usage"] = source["usage"]

    def body(self) -> Mapping[str, Any]:
        return self._body
