"""The OpenAI API, as `stainless.provider` wants it told: which of the modules beside this one knows which request."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from prela.integrations import semconv
from prela.integrations.openai import chat, responses
from prela.integrations.openai.endpoints import CHAT, COMPLETIONS, EMBEDDINGS, FETCH, RESPONSES, STORED, describe
from prela.integrations.openai.parts import mapping
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
        if operation.api == STORED:
            return chat.response_attributes({**body, "usage": None})
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
        return responses.ResponsesAssembly() if operation.api in (RESPONSES, FETCH) else _LastOfEach()

    def failure(self, operation: Operation, body: Mapping[str, Any]) -> Failure | None:
        if operation.api == FETCH:
            return None  # the fetching went well
        if operation.api == RESPONSES:
            return responses.failure(body)
        error = body.get("error")
        if not error or body.get("choices") or operation.api not in (CHAT, COMPLETIONS):
            return None
        told = mapping(error)
        message = told.get("message") if told else error
        return Failure(str(told.get("code") or told.get("type") or "error"), message and str(message))

    def with_stream_usage(self, operation: Operation, body: Mapping[str, Any]) -> Mapping[str, Any] | None:
        if operation.api not in (CHAT, COMPLETIONS):
            return None
        options = body.get("stream_options")
        if options is None:
            return {**body, "stream_options": {"include_usage": True}}
        if isinstance(options, Mapping) and "include_usage" not in options:
            return {**body, "stream_options": {**options, "include_usage": True}}
        return None


class _LastOfEach:
    """Of the streams of other endpoints, what their events have in common with plain responses, each the latest."""

    def __init__(self) -> None:
        self._body: dict[str, Any] = {}

    def add(self, event: Mapping[str, Any]) -> None:
        told = mapping(event.get("data")) or event  # the client makes the events of assistants so
        if usage_attributes(told.get("usage")):
            self._body["usage"] = told["usage"]
        if told.get("id") and told.get("model"):
            self._body |= {"id": told["id"], "model": told["model"]}

    def body(self) -> Mapping[str, Any]:
        return self._body
