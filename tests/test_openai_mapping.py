"""What requests and responses of the OpenAI API become: plain functions of plain data, so no client is needed."""

import json
from collections.abc import Iterable, Mapping
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from prela.integrations import semconv
from prela.integrations.openai.parts import parsed, parts_of
from prela.integrations.openai.provider import OpenAI
from prela.integrations.stainless import cost
from prela.integrations.stainless.provider import Failure, Operation, Request

PROVIDER = OpenAI()
CHAT, RESPONSES, COMPLETIONS, EMBEDDINGS = "/chat/completions", "/responses", "/completions", "/embeddings"

Attributes = dict[str, Any]


def described(path: str, body: Mapping[str, Any] | None = None, method: str = "POST", **request: Any) -> Operation:
    request = {"host": "api.openai.com", "streamed": False, **request}
    return PROVIDER.describe(Request(method, path, body or {}, **request))


def asked(path: str, body: Mapping[str, Any]) -> Attributes:
    """All that is recorded of a request."""
    operation = described(path, body)
    return {**operation.attributes, **PROVIDER.request_content(operation, body)}


def answered(path: str, response: Mapping[str, Any], method: str = "POST") -> Attributes:
    """All that is recorded of a response."""
    operation = described(path, method=method)
    return {
        **PROVIDER.response_attributes(operation, response),
        **PROVIDER.response_content(operation, response),
    }


def streamed(path: str, events: Iterable[Mapping[str, Any]], method: str = "POST") -> Attributes:
    """All that is recorded of a stream."""
    assembly = PROVIDER.assemble(described(path, method=method, streamed=True))
    for event in events:
        assembly.add(event)
    return answered(path, assembly.body(), method)


def failure(path: str, response: Mapping[str, Any], method: str = "POST") -> Failure | None:
    return PROVIDER.failure(described(path, method=method), response)


def parts(attributes: Attributes, message: int = 0) -> list[dict[str, Any]]:
    """The parts of one message of the output."""
    found: list[dict[str, Any]] = attributes[semconv.OUTPUT_MESSAGES][message]["parts"]
    return found


def said(content: str) -> dict[str, str]:
    return {"type": "text", "content": content}


def completion(*choices: Mapping[str, Any], **fields: Any) -> dict[str, Any]:
    numbered = [{"index": index, **choice} for index, choice in enumerate(choices)]
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "model": "gpt-4o-2024-08-06",
        "choices": numbered,
        **fields,
    }


def message(content: str | None, finish_reason: str | None = "stop", **fields: Any) -> dict[str, Any]:
    return {"message": {"role": "assistant", "content": content, **fields}, "finish_reason": finish_reason}


def chunk(delta: Mapping[str, Any], finish_reason: str | None = None, index: int = 0) -> dict[str, Any]:
    return completion() | {"choices": [{"index": index, "delta": delta, "finish_reason": finish_reason}]}


def function_call(name: str, arguments: str, **fields: Any) -> dict[str, Any]:
    return {"type": "function", "function": {"name": name, "arguments": arguments}, **fields}


def response(*output: Mapping[str, Any], status: str = "completed", **fields: Any) -> dict[str, Any]:
    return {"id": "resp_1", "object": "response", "model": "gpt-5", "status": status, "output": list(output), **fields}


def output_text(content: str) -> dict[str, Any]:
    return {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": content}]}


# --- chat completions: the request -----------------------------------------------------------------------------------


def test_a_call_is_named_after_its_operation_and_its_model() -> None:
    assert described(CHAT, {"model": "gpt-4o"}).span_name == "chat gpt-4o"
    assert described(RESPONSES, {"model": "gpt-5"}).span_name == "chat gpt-5"
    assert described(COMPLETIONS, {"model": "davinci-002"}).span_name == "text_completion davinci-002"
    assert described(EMBEDDINGS, {"model": "text-embedding-3-small"}).span_name == "embeddings text-embedding-3-small"


def test_a_call_without_a_model_is_named_after_its_operation() -> None:
    operation = described(RESPONSES, {"prompt": {"id": "pmpt_1"}})
    assert operation.span_name == "chat"
    assert semconv.REQUEST_MODEL not in operation.attributes


def test_parameters_are_recorded_under_the_names_of_the_conventions() -> None:
    body = {
        "model": "gpt-4o",
        "temperature": 0.5,
        "top_p": 0.9,
        "frequency_penalty": 0.1,
        "presence_penalty": 0.2,
        "seed": 7,
        "max_completion_tokens": 100,
        "n": 2,
        "stop": "END",
        "reasoning_effort": "low",
        "service_tier": "flex",
        "response_format": {"type": "json_schema", "json_schema": {"name": "answer"}},
    }
    assert described(CHAT, body, streamed=True).attributes == {
        semconv.OPERATION: "chat",
        semconv.PROVIDER: "openai",
        semconv.HTTP_METHOD: "POST",
        semconv.OPENAI_API_TYPE: "chat_completions",
        semconv.REQUEST_MODEL: "gpt-4o",
        semconv.REQUEST_STREAM: True,
        semconv.REQUEST_TEMPERATURE: 0.5,
        semconv.REQUEST_TOP_P: 0.9,
        semconv.REQUEST_FREQUENCY_PENALTY: 0.1,
        semconv.REQUEST_PRESENCE_PENALTY: 0.2,
        semconv.REQUEST_SEED: 7,
        semconv.REQUEST_MAX_TOKENS: 100,
        semconv.REQUEST_CHOICE_COUNT: 2,
        semconv.REQUEST_STOP_SEQUENCES: ["END"],
        semconv.REQUEST_REASONING_LEVEL: "low",
        semconv.OPENAI_REQUEST_SERVICE_TIER: "flex",
        semconv.OUTPUT_TYPE: "json",
    }


def test_parameters_at_their_defaults_are_left_out_where_the_conventions_say_so() -> None:
    attributes = described(CHAT, {"model": "gpt-4o", "n": 1, "service_tier": "auto", "stream": False}).attributes
    for name in (semconv.REQUEST_CHOICE_COUNT, semconv.OPENAI_REQUEST_SERVICE_TIER, semconv.REQUEST_STREAM):
        assert name not in attributes


def test_sound_that_is_asked_for_is_speech() -> None:
    body = {"model": "gpt-audio", "modalities": ["text", "audio"], "audio": {"voice": "alloy", "format": "wav"}}
    assert described(CHAT, body).attributes[semconv.OUTPUT_TYPE] == "speech"


def test_system_messages_stay_among_the_messages() -> None:
    found = asked(
        CHAT, {"messages": [{"role": "developer", "content": "Be brief."}, {"role": "user", "content": "Hi"}]}
    )
    assert found[semconv.INPUT_MESSAGES] == [
        {"role": "developer", "parts": [said("Be brief.")]},
        {"role": "user", "parts": [said("Hi")]},
    ]
    assert semconv.SYSTEM_INSTRUCTIONS not in found


def test_a_turn_with_tools_is_told_in_parts() -> None:
    messages = [
        {"role": "user", "content": "Weather in Paris?", "name": "ann"},
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [
                function_call("weather", '{"city": "Paris"}', id="call_1"),
                {"id": "call_2", "type": "custom", "custom": {"name": "sum", "input": "4 + 4"}},
            ],
        },
        {"role": "tool", "tool_call_id": "call_1", "content": "rainy"},
        {"role": "assistant", "function_call": {"name": "old", "arguments": "{}"}, "content": None},
        {"role": "function", "name": "old", "content": "done"},
    ]
    assert asked(CHAT, {"messages": messages})[semconv.INPUT_MESSAGES] == [
        {"role": "user", "name": "ann", "parts": [said("Weather in Paris?")]},
        {
            "role": "assistant",
            "parts": [
                {"type": "tool_call", "id": "call_1", "name": "weather", "arguments": {"city": "Paris"}},
                {"type": "tool_call", "id": "call_2", "name": "sum", "arguments": "4 + 4"},
            ],
        },
        {"role": "tool", "parts": [{"type": "tool_call_response", "id": "call_1", "response": "rainy"}]},
        {"role": "assistant", "parts": [{"type": "tool_call", "name": "old", "arguments": {}}]},
        {
            "role": "function",
            "name": "old",
            "parts": [{"type": "tool_call_response", "id": "old", "response": "done"}],
        },
    ]


@pytest.mark.parametrize(
    ("given_part", "expected"),
    [
        (
            {"type": "image_url", "image_url": {"url": "https://example.org/a.png"}},
            {"type": "uri", "modality": "image", "uri": "https://example.org/a.png"},
        ),
        (
            {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}},
            {"type": "blob", "modality": "image", "mime_type": "image/png", "content": "AAAA"},
        ),
        (
            {"type": "input_image", "image_url": "https://example.org/a.png"},
            {"type": "uri", "modality": "image", "uri": "https://example.org/a.png"},
        ),
        (
            {"type": "input_image", "file_id": "file-1", "image_url": None},
            {"type": "file", "modality": "image", "file_id": "file-1"},
        ),
        (
            {"type": "input_audio", "input_audio": {"data": "AAAA", "format": "mp3"}},
            {"type": "blob", "modality": "audio", "mime_type": "audio/mpeg", "content": "AAAA"},
        ),
        (
            {"type": "file", "file": {"file_id": "file-1", "filename": "a.pdf"}},
            {"type": "file", "modality": "document", "file_id": "file-1", "mime_type": "application/pdf"},
        ),
        (
            {"type": "input_file", "filename": "a.pdf", "file_data": "AAAA"},
            {"type": "blob", "modality": "document", "mime_type": "application/pdf", "content": "AAAA"},
        ),
        (
            {"type": "file", "file": {"file_data": "data:application/pdf;base64,AAAA"}},
            {"type": "blob", "modality": "document", "mime_type": "application/pdf", "content": "AAAA"},
        ),
        (
            {"type": "input_file", "file_url": "https://example.org/a.pdf"},
            {"type": "uri", "modality": "document", "uri": "https://example.org/a.pdf"},
        ),
        ({"type": "refusal", "refusal": "No."}, {"type": "text", "content": "No."}),
        ({"type": "something_new", "x": 1}, {"type": "something_new", "x": 1}),
        ({"type": "image_url"}, {"type": "image_url"}),
        ({"type": "input_audio", "input_audio": 3}, {"type": "input_audio", "input_audio": 3}),
        ({"x": 1}, {"type": "unknown", "x": 1}),
    ],
)
def test_a_content_part_becomes_one_of_the_conventions(given_part: dict[str, Any], expected: dict[str, Any]) -> None:
    assert parts_of([given_part]) == [expected]


def test_tool_definitions_are_flat_and_have_names() -> None:
    parameters = {"type": "object", "properties": {"city": {"type": "string"}}}
    tools = [
        {"type": "function", "function": {"name": "weather", "description": "Tells it.", "parameters": parameters}},
        {"type": "function", "name": "flat", "parameters": parameters},
        {"type": "custom", "custom": {"name": "sum"}},
        {"type": "web_search"},
    ]
    found = asked(CHAT, {"tools": tools, "functions": [{"name": "old"}]})
    assert found[semconv.TOOL_DEFINITIONS] == [
        {"type": "function", "name": "weather", "description": "Tells it.", "parameters": parameters},
        {"type": "function", "name": "flat", "parameters": parameters},
        {"type": "custom", "name": "sum"},
        {"type": "web_search", "name": "web_search"},
        {"type": "function", "name": "old"},
    ]


def test_arguments_that_are_not_json_stay_the_text_they_are() -> None:
    assert parsed('{"city": "Pa') == '{"city": "Pa'
    assert parsed("[" * 50_000) == "[" * 50_000
    assert parsed('{"a": NaN}') == '{"a": NaN}'
    assert parsed(None) is None


# --- chat completions: the response ----------------------------------------------------------------------------------


def test_a_chat_completion_is_recorded_whole() -> None:
    usage = {
        "prompt_tokens": 20,
        "completion_tokens": 10,
        "total_tokens": 30,
        "prompt_tokens_details": {"cached_tokens": 8, "audio_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": 4, "audio_tokens": 3, "accepted_prediction_tokens": 1},
    }
    fields = {"usage": usage, "system_fingerprint": "fp_1", "service_tier": "default"}
    assert answered(CHAT, completion(message("Hello"), **fields)) == {
        semconv.RESPONSE_ID: "chatcmpl-1",
        semconv.RESPONSE_MODEL: "gpt-4o-2024-08-06",
        semconv.OPENAI_SYSTEM_FINGERPRINT: "fp_1",
        semconv.OPENAI_RESPONSE_SERVICE_TIER: "default",
        semconv.INPUT_TOKENS: 20,
        semconv.OUTPUT_TOKENS: 10,
        semconv.CACHE_READ_TOKENS: 8,
        semconv.REASONING_TOKENS: 4,
        "gen_ai.usage.audio.output_tokens": 3,
        semconv.FINISH_REASONS: ["stop"],
        semconv.OUTPUT_MESSAGES: [{"role": "assistant", "parts": [said("Hello")], "finish_reason": "stop"}],
    }


def test_each_choice_is_a_message_and_a_reason() -> None:
    found = answered(CHAT, completion(message("a"), message("b", "length"), usage=None))
    assert found[semconv.FINISH_REASONS] == ["stop", "length"]
    assert [parts(found, 0), parts(found, 1)] == [[said("a")], [said("b")]]
    assert semconv.INPUT_TOKENS not in found


def test_tool_calls_and_their_reason_are_told_in_the_conventions_words() -> None:
    found = answered(CHAT, completion(message(None, "tool_calls", tool_calls=[function_call("f", "{}", id="call_1")])))
    assert found[semconv.FINISH_REASONS] == ["tool_calls"]
    assert found[semconv.OUTPUT_MESSAGES][0]["finish_reason"] == "tool_call"
    assert parts(found) == [{"type": "tool_call", "id": "call_1", "name": "f", "arguments": {}}]


def test_a_function_call_of_old_has_no_id() -> None:
    called = {"name": "f", "arguments": '{"x": 1}'}
    found = answered(CHAT, completion(message(None, "function_call", function_call=called)))
    assert parts(found) == [{"type": "tool_call", "name": "f", "arguments": {"x": 1}}]


def test_refusals_transcripts_and_reasoning_are_parts_of_what_was_said() -> None:
    assert parts(answered(CHAT, completion(message(None, refusal="I won't.")))) == [said("I won't.")]
    spoken = message(None, audio={"id": "audio_1", "data": "AAAA", "transcript": "Hello"})
    assert parts(answered(CHAT, completion(spoken))) == [said("Hello")]
    thought = message("4", reasoning_content="2 + 2")
    assert parts(answered(CHAT, completion(thought))) == [{"type": "reasoning", "content": "2 + 2"}, said("4")]


def test_a_choice_without_a_message_is_an_empty_message() -> None:
    found = answered(CHAT, completion({"finish_reason": "content_filter"}))
    assert found[semconv.OUTPUT_MESSAGES] == [{"role": "assistant", "parts": [], "finish_reason": "content_filter"}]


def test_an_error_in_a_response_that_looks_well_is_a_failure() -> None:
    error = {"code": "content_filter", "type": "invalid_request", "message": "It was filtered."}
    assert failure(CHAT, {"error": error}) == Failure("content_filter", "It was filtered.")
    assert failure(CHAT, {"error": "It broke."}) == Failure("error", "It broke.")
    assert failure(CHAT, completion(message("Hello"), error=None)) is None
    assert failure(CHAT, completion(message("Hello"), error={"code": "note"})) is None
    assert failure("/batches/batch_1", {"status": "failed", "error": {"code": "x"}}, "GET") is None


def test_a_stream_is_the_sum_of_its_chunks() -> None:
    events = [
        {"id": "", "model": "", "choices": [], "prompt_filter_results": []},  # Azure's first
        chunk({"role": "assistant", "content": "", "refusal": None}),
        chunk({"content": "Hel"}),
        chunk({"content": "lo"}),
        chunk({}, "stop"),
        completion(usage={"prompt_tokens": 3, "completion_tokens": 2}),
    ]
    assert streamed(CHAT, events) == answered(
        CHAT, completion(message("Hello"), usage={"prompt_tokens": 3, "completion_tokens": 2})
    )


def test_an_empty_usage_does_not_undo_one_that_was_told() -> None:
    events = [completion(usage={"prompt_tokens": 3, "completion_tokens": 2}), completion(usage=None)]
    assert streamed(CHAT, events)[semconv.INPUT_TOKENS] == 3


def test_choices_of_a_stream_are_told_apart() -> None:
    events = [chunk({"content": "b"}, index=1), chunk({"content": "a"}), chunk({}, "length", 1), chunk({}, "stop")]
    found = streamed(CHAT, events)
    assert [parts(found, 0), parts(found, 1)] == [[said("a")], [said("b")]]
    assert found[semconv.FINISH_REASONS] == ["stop", "length"]


def test_parallel_tool_calls_of_a_stream_are_told_apart() -> None:
    def call(index: int, arguments: str, **fields: Any) -> dict[str, Any]:
        return {"index": index, **fields, "function": {"arguments": arguments, **fields.pop("function", {})}}

    def named(index: int, name: str) -> dict[str, Any]:
        return {"index": index, **function_call(name, "", id=f"call_{index}")}

    events = [
        chunk({"role": "assistant", "content": None, "tool_calls": [named(0, "weather")]}),
        chunk({"tool_calls": [named(1, "time")]}),
        chunk({"tool_calls": [call(0, '{"city"'), call(1, "{")]}),
        chunk({"tool_calls": [call(1, "}"), call(0, ': "Paris"}')]}),
        chunk({}, "tool_calls"),
    ]
    assert parts(streamed(CHAT, events)) == [
        {"type": "tool_call", "id": "call_0", "name": "weather", "arguments": {"city": "Paris"}},
        {"type": "tool_call", "id": "call_1", "name": "time", "arguments": {}},
    ]


def test_a_tool_call_cut_off_keeps_the_arguments_as_far_as_they_came() -> None:
    found = streamed(CHAT, [chunk({"tool_calls": [{"index": 0, **function_call("weather", '{"ci', id="call_0")}]})])
    assert parts(found) == [{"type": "tool_call", "id": "call_0", "name": "weather", "arguments": '{"ci'}]
    assert found[semconv.FINISH_REASONS] == ["error"]


def test_custom_tools_functions_of_old_and_transcripts_stream_too() -> None:
    custom = {"index": 0, "id": "call_1", "type": "custom", "custom": {"name": "sum", "input": "4 +"}}
    events = [chunk({"tool_calls": [custom]}), chunk({"tool_calls": [{"index": 0, "custom": {"input": " 4"}}]})]
    assert parts(streamed(CHAT, events)) == [
        {"type": "tool_call", "id": "call_1", "name": "sum", "arguments": "4 + 4"},
    ]
    events = [chunk({"function_call": {"name": "f", "arguments": "{"}}), chunk({"function_call": {"arguments": "}"}})]
    assert parts(streamed(CHAT, events)) == [{"type": "tool_call", "name": "f", "arguments": {}}]
    events = [chunk({"audio": {"id": "a", "transcript": "Hel"}}), chunk({"audio": {"transcript": "lo"}})]
    assert parts(streamed(CHAT, events)) == [said("Hello")]


def test_refusals_and_reasoning_stream_too() -> None:
    events = [chunk({"reasoning_content": "Hm"}), chunk({"reasoning_content": "."}), chunk({"refusal": "No"})]
    assert parts(streamed(CHAT, events)) == [{"type": "reasoning", "content": "Hm."}, said("No")]


# --- completions and embeddings --------------------------------------------------------------------------------------


def test_a_prompt_is_a_text_several_or_tokens() -> None:
    def prompts(prompt: object) -> list[Any]:
        return [one["parts"] for one in asked(COMPLETIONS, {"prompt": prompt})[semconv.INPUT_MESSAGES]]

    assert prompts("a") == [[said("a")]]
    assert prompts(["a", "b"]) == [[said("a")], [said("b")]]
    assert prompts([1, 2]) == [[{"type": "tokens", "tokens": [1, 2]}]]
    assert prompts([[1, 2], [3]]) == [[{"type": "tokens", "tokens": [1, 2]}], [{"type": "tokens", "tokens": [3]}]]


def test_a_completion_of_old_is_a_message_of_its_text_streamed_or_not() -> None:
    plain = completion({"text": "abc", "finish_reason": "length"}, usage={"prompt_tokens": 1, "completion_tokens": 3})
    found = answered(COMPLETIONS, plain)
    assert found[semconv.OUTPUT_MESSAGES] == [
        {"role": "assistant", "parts": [said("abc")], "finish_reason": "length"},
    ]
    pieces = [("ab", None), ("c", None), ("", "length")]
    events = [completion({"text": text, "finish_reason": reason}) for text, reason in pieces]
    assert streamed(COMPLETIONS, [*events, completion(usage=plain["usage"])]) == found


def test_embeddings_have_input_tokens_only() -> None:
    usage = {"prompt_tokens": 5, "total_tokens": 5, "completion_tokens": 0}
    found = answered(EMBEDDINGS, {"model": "text-embedding-3-small", "data": [{"embedding": [0.5]}], "usage": usage})
    assert found == {semconv.RESPONSE_MODEL: "text-embedding-3-small", semconv.INPUT_TOKENS: 5}
    operation = described(EMBEDDINGS, {"input": "secret", "dimensions": 256, "encoding_format": "float"})
    assert operation.span_type == "embedding"
    assert operation.attributes[semconv.EMBEDDING_DIMENSIONS] == 256
    assert operation.attributes[semconv.REQUEST_ENCODING_FORMATS] == ["float"]
    assert not PROVIDER.content_keys(operation)


# --- responses: the request ------------------------------------------------------------------------------------------


def test_instructions_are_flat_parts_and_an_input_text_is_a_message() -> None:
    found = asked(RESPONSES, {"instructions": "Be brief.", "input": "Hi"})
    assert found[semconv.SYSTEM_INSTRUCTIONS] == [said("Be brief.")]
    assert found[semconv.INPUT_MESSAGES] == [{"role": "user", "parts": [said("Hi")]}]


def test_what_the_model_did_between_two_messages_is_one_message() -> None:
    given = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": [{"type": "input_text", "text": "Weather?"}]},
        {"type": "reasoning", "summary": [{"type": "summary_text", "text": "Look."}], "encrypted_content": "x"},
        {"type": "function_call", "id": "fc_1", "call_id": "call_1", "name": "weather", "arguments": "{}"},
        {"type": "function_call", "id": "fc_2", "call_id": "call_2", "name": "time", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "call_1", "output": "rainy"},
        {"type": "tool_search_output", "call_id": "call_3", "tools": []},
        {"type": "item_reference", "id": "msg_1"},
    ]
    assert asked(RESPONSES, {"input": given})[semconv.INPUT_MESSAGES] == [
        {"role": "system", "parts": [said("Be brief.")]},
        {"role": "user", "parts": [said("Weather?")]},
        {
            "role": "assistant",
            "parts": [
                {"type": "reasoning", "content": "Look."},
                {"type": "tool_call", "id": "call_1", "name": "weather", "arguments": {}},
                {"type": "tool_call", "id": "call_2", "name": "time", "arguments": {}},
            ],
        },
        {"role": "tool", "parts": [{"type": "tool_call_response", "id": "call_1", "response": "rainy"}]},
        {"role": "tool", "parts": [{"type": "tool_call_response", "id": "call_3", "response": {"tools": []}}]},
        {"role": "assistant", "parts": [{"type": "item_reference", "id": "msg_1"}]},
    ]


def test_what_a_request_refers_to_is_recorded() -> None:
    body = {
        "model": "gpt-5",
        "previous_response_id": "resp_0",
        "conversation": {"id": "conv_1"},
        "prompt": {"id": "pmpt_1", "version": "2", "variables": {"name": "Ann"}},
        "reasoning": {"effort": "high"},
        "max_output_tokens": 50,
        "text": {"format": {"type": "json_schema"}},
    }
    found = asked(RESPONSES, body)
    assert found[semconv.REQUEST_PREVIOUS_RESPONSE] == "resp_0"
    assert found[semconv.CONVERSATION_ID] == "conv_1"
    assert found[semconv.PROMPT_NAME] == "pmpt_1"
    assert found[semconv.PROMPT_VERSION] == "2"
    assert found[semconv.PROMPT_VARIABLE + "name"] == "Ann"
    assert found[semconv.REQUEST_REASONING_LEVEL] == "high"
    assert found[semconv.REQUEST_MAX_TOKENS] == 50
    assert found[semconv.OUTPUT_TYPE] == "json"
    assert described(RESPONSES, {"conversation": "conv_2"}).attributes[semconv.CONVERSATION_ID] == "conv_2"


# --- responses: the response -----------------------------------------------------------------------------------------

RESPONSE_USAGE = {
    "input_tokens": 20,
    "input_tokens_details": {"cached_tokens": 8, "cache_write_tokens": 2},
    "output_tokens": 10,
    "output_tokens_details": {"reasoning_tokens": 4},
    "total_tokens": 30,
}


def test_a_response_is_one_message_of_all_its_items() -> None:
    reasoning = {"type": "reasoning", "summary": [{"type": "summary_text", "text": "Hm."}], "content": []}
    called = {"type": "function_call", "id": "fc_1", "call_id": "call_1", "name": "f", "arguments": '{"x": 1}'}
    found = answered(RESPONSES, response(reasoning, output_text("Let me see."), called, usage=RESPONSE_USAGE))
    assert found == {
        semconv.RESPONSE_ID: "resp_1",
        semconv.RESPONSE_MODEL: "gpt-5",
        semconv.RESPONSE_STATUS: "completed",
        semconv.INPUT_TOKENS: 20,
        semconv.OUTPUT_TOKENS: 10,
        semconv.CACHE_READ_TOKENS: 8,
        semconv.CACHE_WRITE_TOKENS: 2,
        semconv.REASONING_TOKENS: 4,
        semconv.FINISH_REASONS: ["tool_calls"],
        semconv.OUTPUT_MESSAGES: [
            {
                "role": "assistant",
                "parts": [
                    {"type": "reasoning", "content": "Hm."},
                    said("Let me see."),
                    {"type": "tool_call", "id": "call_1", "name": "f", "arguments": {"x": 1}},
                ],
                "finish_reason": "tool_call",
            }
        ],
    }


def test_tools_of_the_server_are_its_calls_and_its_answers() -> None:
    search = {"type": "web_search_call", "id": "ws_1", "status": "completed", "action": {"query": "x"}}
    mcp = {"type": "mcp_call", "id": "mcp_1", "name": "ask", "server_label": "wiki", "arguments": "{}", "output": "y"}
    shell = {"type": "shell_call", "id": "sh_1", "call_id": "call_1", "action": {"commands": ["ls"]}}
    listing = {"type": "shell_call_output", "id": "sho_1", "call_id": "call_1", "output": [{"stdout": "a"}]}
    found = answered(RESPONSES, response(search, mcp, shell, listing, output_text("Done.")))
    assert found[semconv.FINISH_REASONS] == ["stop"]
    assert parts(found) == [
        {
            "type": "server_tool_call",
            "id": "ws_1",
            "name": "web_search",
            "server_tool_call": {"type": "web_search", "status": "completed", "action": {"query": "x"}},
        },
        {
            "type": "server_tool_call",
            "id": "mcp_1",
            "name": "ask",
            "server_tool_call": {
                "type": "mcp",
                "name": "ask",
                "server_label": "wiki",
                "arguments": "{}",
                "output": "y",
            },
        },
        {
            "type": "server_tool_call",
            "id": "call_1",
            "name": "shell",
            "server_tool_call": {"type": "shell", "action": {"commands": ["ls"]}},
        },
        {
            "type": "server_tool_call_response",
            "id": "call_1",
            "name": "shell",
            "server_tool_call_response": {"type": "shell", "output": [{"stdout": "a"}]},
        },
        said("Done."),
    ]


@pytest.mark.parametrize(
    ("item", "name", "arguments"),
    [
        ({"type": "custom_tool_call", "name": "sum", "input": "4 + 4"}, "sum", "4 + 4"),
        ({"type": "computer_call", "action": {"type": "wait"}}, "computer", {"type": "wait"}),
        ({"type": "local_shell_call", "action": {"command": ["ls"]}}, "local_shell", {"command": ["ls"]}),
        ({"type": "apply_patch_call", "operation": {"path": "a"}}, "apply_patch", {"path": "a"}),
        ({"type": "shell_call", "environment": {"type": "local"}, "action": {"a": 1}}, "shell", {"a": 1}),
        ({"type": "tool_search_call", "execution": "client", "arguments": {"q": 1}}, "tool_search", {"q": 1}),
    ],
)
def test_tools_that_wait_for_the_client_are_tool_calls(item: dict[str, Any], name: str, arguments: object) -> None:
    found = answered(RESPONSES, response({"id": "item_1", "call_id": "call_1", **item}))
    assert parts(found) == [{"type": "tool_call", "id": "call_1", "name": name, "arguments": arguments}]
    assert found[semconv.FINISH_REASONS] == ["tool_calls"]


def test_a_compaction_is_told() -> None:
    found = answered(RESPONSES, response({"type": "compaction", "id": "cmp_1", "encrypted_content": "x" * 100}))
    assert found[semconv.CONVERSATION_COMPACTED] is True
    assert parts(found) == [{"type": "compaction", "id": "cmp_1"}]
    assert semconv.CONVERSATION_COMPACTED not in answered(RESPONSES, response(output_text("a")))


@pytest.mark.parametrize(
    ("fields", "reasons"),
    [
        ({"status": "completed"}, ["stop"]),
        ({"status": "incomplete", "incomplete_details": {"reason": "max_output_tokens"}}, ["length"]),
        ({"status": "incomplete", "incomplete_details": {"reason": "content_filter"}}, ["content_filter"]),
        ({"status": "incomplete", "incomplete_details": None}, ["incomplete"]),
        ({"status": "failed"}, ["error"]),
        ({"status": "cancelled"}, ["error"]),
        ({"status": "queued"}, None),
        ({"status": "in_progress"}, None),
    ],
)
def test_the_status_of_a_response_gives_its_reason(fields: dict[str, Any], reasons: list[str] | None) -> None:
    assert answered(RESPONSES, response(**fields)).get(semconv.FINISH_REASONS) == reasons


def test_a_response_that_failed_is_a_failure_and_an_incomplete_one_is_none() -> None:
    error = {"code": "server_error", "message": "Sorry."}
    failed = response(status="failed", error=error)
    assert failure(RESPONSES, failed) == Failure("server_error", "Sorry.")
    assert failure(RESPONSES, {"type": "response.failed", "response": failed}) == Failure("server_error", "Sorry.")
    assert failure(RESPONSES, {"type": "error", **error}) == Failure("server_error", "Sorry.")
    assert failure(RESPONSES, {"type": "error", "error": error}) == Failure("server_error", "Sorry.")
    assert failure(RESPONSES, response(status="failed", error=None)) == Failure("response.failed", None)
    assert failure(RESPONSES, response(status="incomplete", error=None)) is None


def test_to_fetch_a_response_is_no_generation_and_fetching_a_failed_one_went_well() -> None:
    operation = described("/responses/resp_1", method="GET")
    assert (operation.name, operation.span_name) == ("fetch_response", "fetch_response")
    assert operation.attributes[semconv.RESPONSE_ID] == "resp_1"
    assert operation.attributes[semconv.OPENAI_API_TYPE] == "responses"
    fetched = response(status="failed", usage=RESPONSE_USAGE, error={"code": "server_error"})
    found = answered("/responses/resp_1", fetched, "GET")
    assert semconv.INPUT_TOKENS not in found
    assert found[semconv.FINISH_REASONS] == ["error"]
    assert failure("/responses/resp_1", fetched, "GET") is None


def response_events(last: str = "response.completed", **fields: Any) -> list[dict[str, Any]]:
    """The stream of a response that thinks, speaks and calls a function."""
    called = {"type": "function_call", "call_id": "call_1", "name": "f", "arguments": "", "status": "in_progress"}
    thought = {"type": "reasoning", "summary": []}
    thoughts = {**thought, "summary": [{"type": "summary_text", "text": "Hm."}]}
    spoken = output_text("Hello")

    def event(kind: str, **more: Any) -> dict[str, Any]:
        return {"type": f"response.{kind}", **more}

    return [
        event("created", response=response(status="in_progress")),
        event("output_item.added", output_index=0, item=thought),
        event("reasoning_summary_text.delta", output_index=0, summary_index=0, delta="H"),
        event("reasoning_summary_text.delta", output_index=0, summary_index=0, delta="m."),
        event("output_item.done", output_index=0, item=thoughts),
        event("output_item.added", output_index=1, item={**spoken, "content": [], "status": "in_progress"}),
        event("output_text.delta", output_index=1, content_index=0, delta="Hel"),
        event("output_text.delta", output_index=1, content_index=0, delta="lo"),
        event("output_item.done", output_index=1, item=spoken),
        event("output_item.added", output_index=2, item=called),
        event("function_call_arguments.delta", output_index=2, delta="{"),
        event("function_call_arguments.delta", output_index=2, delta="}"),
        event("output_item.done", output_index=2, item={**called, "arguments": "{}"}),
        {"type": last, "response": response(thoughts, spoken, {**called, "arguments": "{}"}, **fields)},
    ]


WHOLE = [
    {"type": "reasoning", "content": "Hm."},
    said("Hello"),
    {"type": "tool_call", "id": "call_1", "name": "f", "arguments": {}},
]


def test_the_last_event_has_the_whole_response() -> None:
    events = response_events(usage=RESPONSE_USAGE)
    assert streamed(RESPONSES, events) == answered(RESPONSES, events[-1]["response"])
    assert parts(streamed(RESPONSES, events)) == WHOLE


def test_a_response_cut_off_tells_what_had_come_and_no_status_of_our_own() -> None:
    events = response_events()
    found = streamed(RESPONSES, events[:7])
    assert parts(found) == [{"type": "reasoning", "content": "Hm."}, said("Hel")]
    assert found[semconv.FINISH_REASONS] == ["error"]
    assert found[semconv.RESPONSE_STATUS] == "in_progress"
    assert parts(streamed(RESPONSES, events[:11]))[2]["arguments"] == "{"
    assert parts(streamed(RESPONSES, events[:-1])) == WHOLE


def test_a_stream_may_end_incomplete_or_failed() -> None:
    details = {"reason": "max_output_tokens"}
    events = response_events("response.incomplete", status="incomplete", incomplete_details=details)
    assert streamed(RESPONSES, events)[semconv.FINISH_REASONS] == ["length"]
    assert failure(RESPONSES, events[-1]) is None
    events = response_events("response.failed", status="failed", error={"code": "server_error", "message": "Sorry."})
    assert streamed(RESPONSES, events)[semconv.FINISH_REASONS] == ["error"]
    assert failure(RESPONSES, events[-1]) == Failure("server_error", "Sorry.")


def test_of_two_responses_in_one_stream_the_last_counts() -> None:
    created = {"type": "response.created", "response": response(status="in_progress") | {"id": "resp_2"}}
    delta = {"type": "response.output_text.delta", "output_index": 0, "content_index": 0, "delta": "Bye"}
    found = streamed(RESPONSES, [*response_events(), created, delta])
    assert found[semconv.RESPONSE_ID] == "resp_2"
    assert parts(found) == [said("Bye")]


# --- other endpoints -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("method", "path", "body", "name"),
    [
        ("POST", "/images/generations", {"model": "gpt-image-1"}, "images.generations gpt-image-1"),
        ("POST", "/images/edits", {}, "images.edits"),
        ("POST", "/audio/speech", {"model": "tts-1"}, "audio.speech tts-1"),
        ("POST", "/moderations", {"input": "x"}, "moderations"),
        ("GET", "/files", {}, "get files"),
        ("GET", "/files/file-Ab1/content", {}, "get files.content"),
        ("DELETE", "/files/file-Ab1", {}, "delete files"),
        ("DELETE", "/assistants/asst_xyzABC", {}, "delete assistants"),
        ("POST", "/batches/batch_67d4/cancel", {}, "batches.cancel"),
        ("GET", "/models/curie", {}, "get models"),
        ("DELETE", "/models/ft:gpt-4o:org", {}, "delete models"),
        ("POST", "/threads/thread_1A/runs", {"model": "gpt-4o"}, "threads.runs gpt-4o"),
        ("POST", "/fine_tuning/jobs/ftjob-1/pause", {}, "fine_tuning.jobs.pause"),
        ("GET", "/responses/resp_1/input_items", {}, "get responses.input_items"),
        ("DELETE", "/responses/resp_1", {}, "delete responses"),
        ("POST", "/responses/compact", {"model": "gpt-5"}, "responses.compact gpt-5"),
        ("POST", "/vector_stores/vs_1/search", {"query": "x"}, "retrieval"),
        ("POST", "/", {}, "request"),
    ],
)
def test_any_endpoint_is_named_by_the_words_of_its_path(
    method: str, path: str, body: dict[str, Any], name: str
) -> None:
    assert described(path, body, method).span_name == name


def test_the_kind_of_output_is_known_by_the_endpoint() -> None:
    assert described("/images/generations").attributes[semconv.OUTPUT_TYPE] == "image"
    assert described("/audio/speech").attributes[semconv.OUTPUT_TYPE] == "speech"
    assert described("/audio/transcriptions").attributes[semconv.OUTPUT_TYPE] == "text"


def test_plain_parameters_without_a_name_are_recorded_under_ours() -> None:
    attributes = described(
        "/images/generations", {"quality": "high", "size": "1024x1024", "prompt": "secret"}
    ).attributes
    assert attributes["prela.request.quality"] == "high"
    assert attributes["prela.request.size"] == "1024x1024"
    assert "secret" not in json.dumps(attributes)


def test_the_tokens_of_images_and_of_sound_are_told_by_kind() -> None:
    details = {"image_tokens": 30, "text_tokens": 10}
    usage = {"input_tokens": 40, "output_tokens": 100, "input_tokens_details": details}
    found = answered("/images/edits", {"created": 1, "data": [], "usage": usage})
    assert found[semconv.INPUT_TOKENS] == 40
    assert found["gen_ai.usage.image.input_tokens"] == 30
    assert found["gen_ai.usage.text.input_tokens"] == 10
    spoken = {"type": "tokens", "input_tokens": 9, "output_tokens": 2, "input_token_details": {"audio_tokens": 9}}
    events = [{"type": "transcript.text.delta", "delta": "a"}, {"type": "transcript.text.done", "usage": spoken}]
    assert streamed("/audio/transcriptions", events) == {
        semconv.INPUT_TOKENS: 9,
        semconv.OUTPUT_TOKENS: 2,
        "gen_ai.usage.audio.input_tokens": 9,
    }


def test_a_run_that_streams_tells_its_model_and_the_usage_of_all_its_steps() -> None:
    step = {"id": "step_1", "object": "thread.run.step", "usage": {"prompt_tokens": 3, "completion_tokens": 1}}
    run = {"id": "run_1", "object": "thread.run", "model": "gpt-4o", "usage": None}
    usage = {"prompt_tokens": 8, "completion_tokens": 2, "prompt_token_details": {"cached_tokens": 4}}
    expected = {
        semconv.RESPONSE_ID: "run_1",
        semconv.RESPONSE_MODEL: "gpt-4o",
        semconv.INPUT_TOKENS: 8,
        semconv.OUTPUT_TOKENS: 2,
        semconv.CACHE_READ_TOKENS: 4,
    }
    events = [run, step, {**run, "usage": usage}]
    assert streamed("/threads/thread_1/runs", events) == expected
    assert streamed("/threads/thread_1/runs", [{"event": "x", "data": event} for event in events]) == expected


def test_what_is_read_again_was_paid_for_when_it_was_made() -> None:
    run = {"id": "run_1", "model": "gpt-4o", "usage": {"prompt_tokens": 8, "completion_tokens": 2}}
    assert semconv.INPUT_TOKENS in answered("/threads/thread_1/runs", run)
    assert semconv.INPUT_TOKENS not in answered("/threads/thread_1/runs/run_1", run, "GET")


@pytest.mark.parametrize(
    ("host", "provider"),
    [
        ("api.openai.com", "openai"),
        ("eu.api.openai.com", "openai"),
        ("my-resource.openai.azure.com", "azure.ai.openai"),
        ("my-resource.services.ai.azure.com", "azure.ai.openai"),
        ("generativelanguage.googleapis.com", "gcp.gemini"),
        ("us-central1-aiplatform.googleapis.com", "gcp.vertex_ai"),
        ("api.groq.com", "groq"),
        ("api.deepseek.com", "deepseek"),
        ("api.mistral.ai", "mistral_ai"),
        ("api.x.ai", "x_ai"),
        ("bedrock-runtime.us-east-1.amazonaws.com", "aws.bedrock"),
        ("API.X.AI", "x_ai"),
        ("notopenai.azure.example", "openai"),
        ("proxx.ai", "openai"),
        ("127.0.0.1", "openai"),
        ("", "openai"),
    ],
)
def test_the_provider_is_known_by_the_host(host: str, provider: str) -> None:
    assert described(CHAT, host=host).attributes[semconv.PROVIDER] == provider


def test_usage_is_asked_for_only_where_a_stream_would_not_tell_it() -> None:
    def asks(path: str, body: dict[str, Any]) -> Mapping[str, Any] | None:
        return PROVIDER.with_stream_usage(described(path, body), body)

    body = {"model": "gpt-4o", "stream": True}
    assert asks(CHAT, body) == {**body, "stream_options": {"include_usage": True}}
    assert body == {"model": "gpt-4o", "stream": True}
    assert asks(CHAT, {"stream_options": {"x": 1}}) == {"stream_options": {"x": 1, "include_usage": True}}
    assert asks(CHAT, {"stream_options": {"include_usage": False}}) is None
    assert asks(RESPONSES, body) is None


# --- prices ----------------------------------------------------------------------------------------------------------


def price(model: str, usage: Mapping[str, Any], host: str = "api.openai.com", **fields: Any) -> float | None:
    pytest.importorskip("genai_prices")
    operation = described(CHAT, {"model": model}, host=host)
    attributes = PROVIDER.response_attributes(operation, completion(usage=usage, **{"model": model, **fields}))
    return cost.in_usd(PROVIDER, operation, attributes)


def test_a_call_of_a_known_model_has_a_price() -> None:
    whole = price("gpt-4o-mini", {"prompt_tokens": 1_000_000, "completion_tokens": 0})
    twice = price("gpt-4o-mini", {"prompt_tokens": 2_000_000, "completion_tokens": 0})
    assert whole is not None and twice is not None
    assert 0 < whole < 1
    assert twice == pytest.approx(2 * whole)


def test_cached_tokens_are_counted_once_at_their_own_price() -> None:
    usage = {"prompt_tokens": 1_000_000, "completion_tokens": 0}
    fresh = price("gpt-4o-mini", usage)
    cached = price("gpt-4o-mini", {**usage, "prompt_tokens_details": {"cached_tokens": 1_000_000}})
    assert fresh is not None and cached is not None
    assert 0 < cached < fresh


def test_what_cannot_be_priced_for_certain_has_no_price() -> None:
    usage = {"prompt_tokens": 1000, "completion_tokens": 1000}
    assert price("gpt-of-tomorrow", usage) is None
    assert price("gpt-4o-mini", usage, service_tier="flex") is None
    assert price("gpt-4o-mini", {}) is None
    assert price("gpt-4o-mini", usage, service_tier="default") is not None


# --- anything --------------------------------------------------------------------------------------------------------

KEYS = """
action arguments audio call_id choices code content content_index conversation custom data delta details effort
environment error execution file file_data file_id filename finish_reason format function function_call functions id
image_url incomplete_details index input input_audio input_tokens instructions item message messages modalities model
n name operation output output_index output_tokens prompt prompt_tokens prompt_tokens_details reasoning refusal
response response_format role service_tier status stop stream_options summary text tool_calls tools transcript type
url usage variables
"""
TYPES = """
apply_patch_call compaction completed computer_call custom custom_tool_call error failed file function function_call
function_call_output image_url incomplete input_audio input_file input_image message output_text reasoning refusal
response.completed response.created response.failed response.function_call_arguments.delta response.output_item.added
response.output_item.done response.output_text.delta response.reasoning_summary_text.delta shell_call
shell_call_output summary_text text tool_search_call web_search_call
"""

leaves = (
    st.none()
    | st.booleans()
    | st.integers(-2, 2)
    | st.just(0.5)
    | st.sampled_from([*TYPES.split(), "", "data:a,b", "x"])
)
values = st.recursive(
    leaves,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS.split()), inner, max_size=4),
    max_leaves=8,
)
typed = st.builds(
    lambda kind, fields: {**fields, "type": kind},
    st.sampled_from(TYPES.split()),
    st.dictionaries(st.sampled_from(KEYS.split()), values, max_size=4),
)
holders = st.builds(
    lambda key, items: {key: items},
    st.sampled_from(["choices", "input", "messages", "output", "tools"]),
    st.lists(typed),
)
objects = typed | st.dictionaries(st.sampled_from(KEYS.split()), values | holders, max_size=5) | holders
events = objects | st.builds(
    lambda outer, key, inner: {**outer, key: inner}, typed, st.sampled_from(KEYS.split()), objects
)
paths = st.sampled_from([CHAT, RESPONSES, COMPLETIONS, EMBEDDINGS, "/responses/resp_1", "/images/edits", "/", ""])


def is_json(value: object) -> bool:
    return bool(json.dumps(value, allow_nan=False))


@settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.sampled_from(["GET", "POST"]), paths, objects)
def test_any_request_can_be_told(method: str, path: str, body: dict[str, Any]) -> None:
    operation = described(path, body, method)
    assert operation.span_name
    assert is_json(operation.attributes)
    assert is_json(PROVIDER.request_content(operation, body))
    assert is_json(PROVIDER.with_stream_usage(operation, body))


@settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.sampled_from(["GET", "POST"]), paths, objects)
def test_any_response_can_be_told(method: str, path: str, body: dict[str, Any]) -> None:
    found = answered(path, body, method)
    assert is_json(found)
    for one in found.get(semconv.OUTPUT_MESSAGES, ()):
        assert isinstance(one["role"], str) and isinstance(one.get("finish_reason", ""), str)
        assert all(isinstance(part["type"], str) and part["type"] for part in one["parts"])
    told = failure(path, body, method)
    assert told is None or (isinstance(told.type, str) and (told.message is None or isinstance(told.message, str)))


@settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck))
@given(paths, st.lists(events, max_size=5))
def test_any_stream_can_be_told_at_any_of_its_events(path: str, stream: list[dict[str, Any]]) -> None:
    operation = described(path, streamed=True)
    assembly = PROVIDER.assemble(operation)
    for event in stream:
        assembly.add(event)
        assert is_json(answered(path, assembly.body()))
        PROVIDER.failure(operation, event)


@given(st.lists(st.text(min_size=1), min_size=1, max_size=6), st.data())
def test_a_prefix_of_a_stream_has_a_prefix_of_its_text(pieces: list[str], data: st.DataObject) -> None:
    count = data.draw(st.integers(1, len(pieces)))
    chunks = [chunk({"content": piece}) for piece in pieces]
    assert parts(streamed(CHAT, chunks[:count])) == [said("".join(pieces[:count]))]
    deltas = [
        {"type": "response.output_text.delta", "output_index": 0, "content_index": 0, "delta": piece}
        for piece in pieces
    ]
    assert parts(streamed(RESPONSES, deltas[:count])) == [said("".join(pieces[:count]))]
