"""What a request to the OpenAI API is, by its path and its parameters: the attributes known before the call."""

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

from prela.integrations import semconv
from prela.integrations.openai.parts import sequence
from prela.integrations.stainless.provider import Operation, Request
from prela.record.enums import SpanType

CHAT: Final = "chat_completions"
RESPONSES: Final = "responses"
FETCH: Final = "fetch_response"
COMPLETIONS: Final = "completions"
EMBEDDINGS: Final = "embeddings"
OTHER: Final = "other"
STORED: Final = "stored"
"""What was made, and paid for, by another call."""

_ENDPOINTS: Final = {
    ("POST", "/chat/completions"): (CHAT, "chat", SpanType.LLM),
    ("POST", "/responses"): (RESPONSES, "chat", SpanType.LLM),
    ("POST", "/completions"): (COMPLETIONS, "text_completion", SpanType.LLM),
    ("POST", "/embeddings"): (EMBEDDINGS, "embeddings", SpanType.EMBEDDING),
}

_NUMBERS: Final = {
    "temperature": semconv.REQUEST_TEMPERATURE,
    "top_p": semconv.REQUEST_TOP_P,
    "top_k": semconv.REQUEST_TOP_K,
    "frequency_penalty": semconv.REQUEST_FREQUENCY_PENALTY,
    "presence_penalty": semconv.REQUEST_PRESENCE_PENALTY,
    "max_tokens": semconv.REQUEST_MAX_TOKENS,
    "max_completion_tokens": semconv.REQUEST_MAX_TOKENS,
    "max_output_tokens": semconv.REQUEST_MAX_TOKENS,
    "seed": semconv.REQUEST_SEED,
    "dimensions": semconv.EMBEDDING_DIMENSIONS,
}
_UNNAMED: Final = (
    "background",
    "logprobs",
    "max_tool_calls",
    "parallel_tool_calls",
    "store",
    "top_logprobs",
    "truncation",
    "verbosity",
    "quality",
    "size",
    "voice",
    "response_format",
    "purpose",
    "endpoint",
)
"""Parameters that are neither content nor named by the conventions, where their value is a plain one."""

_OUTPUT_TYPES: Final = {"text": "text", "json_object": "json", "json_schema": "json"}
_PATH_OUTPUT_TYPES: Final = {
    "/images/generations": "image",
    "/images/edits": "image",
    "/images/variations": "image",
    "/audio/speech": "speech",
    "/audio/transcriptions": "text",
    "/audio/translations": "text",
}

_WORD: Final = re.compile(r"[a-z_]{1,40}")
_NAMED_BY_USERS: Final = {"models", "checkpoints", "deployments", "voices"}
"""What comes after one of these in a path is a name, though it may look like a word of the API."""

_PROVIDERS: Final = {
    "openai.com": "openai",
    "openai.azure.com": "azure.ai.openai",
    "services.ai.azure.com": "azure.ai.openai",
    "cognitiveservices.azure.com": "azure.ai.openai",
    "anthropic.com": "anthropic",
    "cohere.com": "cohere",
    "cohere.ai": "cohere",
    "deepseek.com": "deepseek",
    "generativelanguage.googleapis.com": "gcp.gemini",
    "aiplatform.googleapis.com": "gcp.vertex_ai",
    "groq.com": "groq",
    "mistral.ai": "mistral_ai",
    "moonshot.ai": "moonshot_ai",
    "moonshot.cn": "moonshot_ai",
    "perplexity.ai": "perplexity",
    "x.ai": "x_ai",
    "amazonaws.com": "aws.bedrock",
}
"""Hosts, and all below them. Others that speak this API are recorded as "openai", as the conventions ask."""


def describe(request: Request) -> Operation:
    """The operation that a request asks for."""
    api, name, span_type = _ENDPOINTS.get((request.method, request.path)) or _unlisted(request)
    body = request.body
    model = body.get("model")
    model = model if isinstance(model, str) and model else None
    attributes: dict[str, object] = {
        semconv.OPERATION: name,
        semconv.PROVIDER: provider_of(request.host),
        semconv.HTTP_METHOD: request.method,
    }
    if model is not None:
        attributes[semconv.REQUEST_MODEL] = model
    if request.streamed:
        attributes[semconv.REQUEST_STREAM] = True
    if api in (CHAT, RESPONSES, FETCH):
        attributes[semconv.OPENAI_API_TYPE] = CHAT if api == CHAT else RESPONSES
    if api == FETCH:
        attributes[semconv.RESPONSE_ID] = _segments(request)[1]
        cursor = request.query.get("starting_after")
        if isinstance(cursor, int | str):
            attributes[semconv.REQUEST_STREAM_CURSOR] = str(cursor)
    attributes.update(_parameters(api, body))
    if request.path in _PATH_OUTPUT_TYPES:
        attributes[semconv.OUTPUT_TYPE] = _PATH_OUTPUT_TYPES[request.path]
    span_name = name if model is None or api == FETCH else f"{name} {model}"
    return Operation(name, span_name, span_type, api, model, attributes)


def provider_of(host: str) -> str:
    """`gen_ai.provider.name`, by the server's host."""
    labels = host.lower().replace("-aiplatform.", ".aiplatform.").split(".")  # Google puts the region before it
    for start in range(len(labels)):
        found = _PROVIDERS.get(".".join(labels[start:]))
        if found is not None:
            return found
    return "openai"


def _unlisted(request: Request) -> tuple[str, str, SpanType]:
    """An endpoint without a mapping of its own: named by its path, without what is in it of ids."""
    method, segments = request.method, _segments(request)
    if method == "GET" and len(segments) == 2 and segments[0] == "responses":
        return FETCH, "fetch_response", SpanType.LLM
    words = ".".join(_words(segments)) or "request"
    if method == "POST" and words == "vector_stores.search":
        return OTHER, "retrieval", SpanType.RETRIEVAL
    if method != "POST":
        return STORED, f"{method.lower()} {words}", SpanType.CUSTOM
    return OTHER, words, SpanType.LLM if isinstance(request.body.get("model"), str) else SpanType.CUSTOM


def _segments(request: Request) -> list[str]:
    return request.path.strip("/").split("/")


def _words(segments: Sequence[str]) -> list[str]:
    """The segments that are words of the API. Its ids have digits or capitals in them."""
    pairs = zip(["", *segments], segments, strict=False)
    return [word for before, word in pairs if _WORD.fullmatch(word) and before not in _NAMED_BY_USERS]


def _parameters(api: str, body: Mapping[str, Any]) -> dict[str, object]:
    found: dict[str, object] = {}
    for key, attribute in _NUMBERS.items():
        if _is_number(value := body.get(key)):
            found[attribute] = value
    for key in _UNNAMED:
        if isinstance(value := body.get(key), str | int | float):
            found[semconv.REQUEST_PARAMETERS + key] = value
    if _is_number(count := body.get("n")) and count != 1:
        found[semconv.REQUEST_CHOICE_COUNT] = count
    stop = body.get("stop")
    if stops := [stop] if stop and isinstance(stop, str) else [one for one in sequence(stop) if isinstance(one, str)]:
        found[semconv.REQUEST_STOP_SEQUENCES] = stops
    if api == EMBEDDINGS and isinstance(form := body.get("encoding_format"), str):
        found[semconv.REQUEST_ENCODING_FORMATS] = [form]
    tier = body.get("service_tier")
    if isinstance(tier, str) and tier != "auto":
        found[semconv.OPENAI_REQUEST_SERVICE_TIER] = tier
    effort = body.get("reasoning_effort") or _inside(body, "reasoning", "effort")
    if isinstance(effort, str):
        found[semconv.REQUEST_REASONING_LEVEL] = effort
    form = _inside(body, "response_format", "type") or _inside(body, "text", "format", "type")
    if isinstance(form, str) and form in _OUTPUT_TYPES:
        found[semconv.OUTPUT_TYPE] = _OUTPUT_TYPES[form]
    elif "audio" in sequence(body.get("modalities")):
        found[semconv.OUTPUT_TYPE] = "speech"
    return found | _references(body)


def _references(body: Mapping[str, Any]) -> dict[str, object]:
    """What a request refers to that lies with the provider."""
    conversation = body.get("conversation")
    candidates = {
        semconv.REQUEST_PREVIOUS_RESPONSE: body.get("previous_response_id"),
        semconv.CONVERSATION_ID: conversation if isinstance(conversation, str) else _inside(body, "conversation", "id"),
        semconv.PROMPT_NAME: _inside(body, "prompt", "id"),
        semconv.PROMPT_VERSION: _inside(body, "prompt", "version"),
    }
    return {key: value for key, value in candidates.items() if isinstance(value, str)}


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _inside(value: Any, *keys: str) -> Any:
    for key in keys:
        if not isinstance(value, Mapping):
            return None
        value = value.get(key)
    return value
