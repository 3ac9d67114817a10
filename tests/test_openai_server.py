"""The OpenAI-compatible server: the API's wire shapes, faults where they are asked for, waiting without sleeping."""

import base64
import json
import math
import re
import socket
import struct
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import fields
from http.client import HTTPConnection, HTTPResponse, IncompleteRead
from typing import Any
from urllib.parse import urlsplit

import anyio
import pytest
from hypothesis import given, strategies
from pydantic import BaseModel

from prela.testing.openai_server import Answer, OpenAIServer, ToolCall, echo
from prela.testing.openai_server.requests import Request, Upload
from prela.testing.openai_server.tokens import text_of, words
from tests.conftest import ROOT

openai = pytest.importorskip("openai", reason="the client is an extra")

ASK: dict[str, Any] = {"model": "m", "messages": [{"role": "user", "content": "how many"}]}
WEATHER = ToolCall("weather", {"city": "New York"})
TIME = ToolCall("time", '{"zone": "EST"}', id="call_given")


class City(BaseModel):
    city: str


class Raw:
    """A client that shows what came over the wire."""

    def __init__(self, server: OpenAIServer) -> None:
        self._http = HTTPConnection(urlsplit(server.base_url).netloc, timeout=10)

    def ask(self, path: str, body: Any = None, method: str = "POST") -> HTTPResponse:
        self._http.request(method, f"/v1{path}", None if body is None else json.dumps(body))
        return self._http.getresponse()

    def post(self, path: str, body: Any) -> Any:
        return json.loads(self.ask(path, body).read())

    def events(self, path: str, body: Any) -> list[tuple[str | None, Any]]:
        """Names and data, those that are no JSON as strings."""
        return events(self.ask(path, {**body, "stream": True}).read())

    def close(self) -> None:
        self._http.close()


def events(body: bytes) -> list[tuple[str | None, Any]]:
    found = []
    for block in body.decode().removesuffix("\n\n").split("\n\n"):
        lines = dict(line.split(": ", 1) for line in block.splitlines())
        data = lines["data"]
        found.append((lines.get("event"), json.loads(data) if data.startswith("{") and data[-1] == "}" else data))
    return found


@contextmanager
def serving(*answers: Answer) -> Iterator[tuple[OpenAIServer, Raw]]:
    with OpenAIServer(answers) as server:
        raw = Raw(server)
        try:
            yield server, raw
        finally:
            raw.close()


@contextmanager
def client_of(*answers: Answer, **options: Any) -> Iterator[tuple[OpenAIServer, Any]]:
    with (
        OpenAIServer(answers) as server,
        openai.OpenAI(base_url=server.base_url, api_key="any", **{"max_retries": 0, **options}) as client,
    ):
        yield server, client


def deltas(found: list[tuple[str | None, Any]]) -> list[dict[str, Any]]:
    return [data["choices"][0]["delta"] for _, data in found if isinstance(data, dict) and data["choices"]]


# Chat completions


def test_a_chat_completion_has_every_field_of_the_api() -> None:
    with serving(Answer("two of them")) as (_, raw):
        assert raw.post("/chat/completions", ASK) == {
            "id": "chatcmpl-1",
            "object": "chat.completion",
            "created": 1_700_000_000,
            "model": "m",
            "choices": [
                {
                    "index": 0,
                    "message": {"role": "assistant", "content": "two of them", "refusal": None, "annotations": []},
                    "logprobs": None,
                    "finish_reason": "stop",
                }
            ],
            "usage": {
                "prompt_tokens": 2,
                "completion_tokens": 3,
                "total_tokens": 5,
                "prompt_tokens_details": {"cached_tokens": 0, "audio_tokens": 0},
                "completion_tokens_details": {
                    "reasoning_tokens": 0,
                    "audio_tokens": 0,
                    "accepted_prediction_tokens": 0,
                    "rejected_prediction_tokens": 0,
                },
            },
            "service_tier": "default",
            "system_fingerprint": "fp_0123456789",
        }


def test_a_streamed_chat_is_the_role_the_words_the_finish_and_done() -> None:
    with serving(Answer("two of")) as (_, raw):
        found = raw.events("/chat/completions", ASK)
    *chunks, (name, done) = found
    assert (name, done) == (None, "[DONE]")
    assert deltas(chunks) == [
        {"role": "assistant", "content": "", "refusal": None},
        {"content": "two"},
        {"content": " of"},
        {},
    ]
    assert [data["choices"][0]["finish_reason"] for _, data in chunks] == [None, None, None, "stop"]
    assert {data["object"] for _, data in chunks} == {"chat.completion.chunk"}
    assert all("usage" not in data for _, data in chunks)


def test_usage_is_streamed_last_without_choices_and_null_before_when_it_is_asked_for() -> None:
    with serving(Answer("two of")) as (_, raw):
        found = raw.events("/chat/completions", {**ASK, "stream_options": {"include_usage": True}})
    *chunks, (_, last), _done = found
    assert [data["usage"] for _, data in chunks] == [None] * 4
    assert (last["choices"], last["usage"]["total_tokens"]) == ([], 4)


def test_chunks_are_padded_unless_the_request_forbids_it() -> None:
    with serving(Answer("a"), Answer("a")) as (_, raw):
        padded = raw.events("/chat/completions", ASK)
        bare = raw.events("/chat/completions", {**ASK, "stream_options": {"include_obfuscation": False}})
    assert ("obfuscation" in padded[0][1], "obfuscation" in bare[0][1]) == (True, False)


def test_several_choices_are_counted_and_take_turns_in_a_stream() -> None:
    with client_of(Answer("a b"), Answer("a b")) as (_, client):
        plain = client.chat.completions.create(**ASK, n=3)
        chunks = list(client.chat.completions.create(**ASK, n=3, stream=True))
    assert [choice.index for choice in plain.choices] == [0, 1, 2]
    assert plain.usage.completion_tokens == 6
    assert [chunk.choices[0].index for chunk in chunks] == [0, 1, 2] * 4


def test_tool_calls_come_in_place_of_content() -> None:
    with serving(Answer(tool_calls=[WEATHER, TIME])) as (_, raw):
        choice = raw.post("/chat/completions", ASK)["choices"][0]
    assert (choice["finish_reason"], choice["message"]["content"]) == ("tool_calls", None)
    assert choice["message"]["tool_calls"] == [
        {
            "id": "call_1_0_0",
            "type": "function",
            "function": {"name": "weather", "arguments": '{"city": "New York"}'},
        },
        {"id": "call_given", "type": "function", "function": {"name": "time", "arguments": '{"zone": "EST"}'}},
    ]


def test_streamed_tool_calls_give_their_name_once_and_their_arguments_in_pieces() -> None:
    with serving(Answer(tool_calls=[WEATHER, TIME])) as (_, raw):
        role, *rest = deltas(raw.events("/chat/completions", ASK))
    assert role == {"role": "assistant", "content": None}
    calls = [call for delta in rest if delta for call in delta["tool_calls"]]
    named = [call for call in calls if "id" in call]
    assert [(call["index"], call["id"], call["function"]["name"]) for call in named] == [
        (0, "call_1_0_0", "weather"),
        (1, "call_given", "time"),
    ]
    for index, tool in enumerate((WEATHER, TIME)):
        pieces = [call["function"]["arguments"] for call in calls if call["index"] == index]
        assert (len(pieces) > 2, "".join(pieces)) == (True, tool.arguments_text)


def test_a_single_streamed_tool_call_shares_the_chunk_of_the_role() -> None:
    with serving(Answer(tool_calls=[WEATHER])) as (_, raw):
        first = deltas(raw.events("/chat/completions", ASK))[0]
    assert (first["role"], first["content"]) == ("assistant", None)
    assert first["tool_calls"][0]["function"] == {"name": "weather", "arguments": ""}


def test_the_clients_helpers_understand_text_tools_structures_and_refusals() -> None:
    tool = openai.pydantic_function_tool(City, name="weather")
    answers = [Answer('{"city": "Rome"}'), Answer(refusal="I will not"), Answer(tool_calls=[WEATHER])]
    with client_of(*answers, *answers) as (_, client):
        for how in ("parse", "stream"):
            seen = []
            for options in ({"response_format": City}, {"response_format": City}, {"tools": [tool]}):
                if how == "parse":
                    seen.append(client.chat.completions.parse(**ASK, **options).choices[0].message)
                else:
                    with client.chat.completions.stream(**ASK, **options) as stream:
                        seen.append(stream.get_final_completion().choices[0].message)
            assert seen[0].parsed == City(city="Rome")
            assert (seen[1].content, seen[1].refusal) == (None, "I will not")
            assert seen[2].tool_calls[0].function.parsed_arguments == City(city="New York")


def test_text_may_come_before_tool_calls() -> None:
    with client_of(Answer("let me look", tool_calls=[WEATHER])) as (_, client):
        with client.chat.completions.stream(**ASK) as stream:
            message = stream.get_final_completion().choices[0].message
    assert (message.content, len(message.tool_calls)) == ("let me look", 1)


def test_reasoning_is_counted_and_a_given_usage_is_laid_over_the_count() -> None:
    answer = Answer("four", reasoning="two and two", usage={"prompt_tokens_details": {"cached_tokens": 1}})
    with client_of(answer, Answer("a", usage={"prompt_tokens": 90}), Answer("a", usage={"total_tokens": 7})) as (
        _,
        client,
    ):
        first, second, third = (client.chat.completions.create(**ASK).usage for _ in range(3))
    assert first.completion_tokens == 4
    assert first.completion_tokens_details.reasoning_tokens == 3
    assert (first.prompt_tokens_details.cached_tokens, first.prompt_tokens_details.audio_tokens) == (1, 0)
    assert (second.prompt_tokens, second.total_tokens) == (90, 91)
    assert third.total_tokens == 7


@given(strategies.text())
def test_the_words_of_a_text_are_the_text_again(text: str) -> None:
    assert "".join(words(text)) == text


def test_the_words_in_any_of_the_apis_shapes_are_found() -> None:
    parts = [{"type": "text", "text": "a b"}, {"type": "image_url", "image_url": {"url": "u"}}]
    assert text_of([{"role": "user", "content": parts}, {"role": "assistant", "content": None}]) == "a b"
    assert text_of([{"type": "function_call_output", "output": "22 C"}]) == "22 C"
    assert text_of([1, 2, 3]) == "1 2 3"


def test_echo_answers_chats_responses_and_completions() -> None:
    assert (
        echo({"messages": [{"content": "no"}, {"content": [{"type": "text", "text": "yes"}]}]}).text == "You said: yes"
    )
    assert echo({"input": "yes"}).text == "You said: yes"
    assert echo({"prompt": ["no", "yes"]}).text == "You said: yes"


# Responses


def test_a_streamed_response_opens_fills_and_closes_each_item() -> None:
    answer = Answer("so nine", reasoning="ten less one", tool_calls=[ToolCall("f", {"a": 1})])
    with serving(answer) as (_, raw):
        found = raw.events("/responses", {"model": "m", "input": "how many"})
    assert [name.removeprefix("response.") for name, _ in found if name] == [
        "created",
        "in_progress",
        "output_item.added",
        "reasoning_summary_part.added",
        *["reasoning_summary_text.delta"] * 3,
        "reasoning_summary_text.done",
        "reasoning_summary_part.done",
        "output_item.done",
        "output_item.added",
        "content_part.added",
        *["output_text.delta"] * 2,
        "output_text.done",
        "content_part.done",
        "output_item.done",
        "output_item.added",
        *["function_call_arguments.delta"] * 2,
        "function_call_arguments.done",
        "output_item.done",
        "completed",
    ]
    assert [data["sequence_number"] for _, data in found] == list(range(len(found)))
    assert [name for name, _ in found] == [data["type"] for _, data in found]


def test_a_response_begins_empty_and_ends_as_the_plain_one() -> None:
    answer = Answer("nine", reasoning="ten less one", tool_calls=[WEATHER])
    with serving(answer, answer) as (_, raw):
        plain = raw.post("/responses", {"model": "m", "input": "how many"})
        found = raw.events("/responses", {"model": "m", "input": "how many"})
    first, last = found[0][1]["response"], found[-1][1]["response"]
    assert (first["status"], first["output"], first["usage"]) == ("in_progress", [], None)
    del plain["billing"]  # never seen in an event
    assert json.loads(json.dumps(last).replace("_2", "_1")) == plain
    assert plain["usage"] == {
        "input_tokens": 2,
        "input_tokens_details": {"cached_tokens": 0},
        "output_tokens": 8,
        "output_tokens_details": {"reasoning_tokens": 3},
        "total_tokens": 10,
    }


def test_a_response_repeats_what_it_was_asked_with() -> None:
    asked = {"model": "m", "input": "x", "instructions": "be brief", "temperature": 0.5, "metadata": {"a": "b"}}
    with serving(Answer("y")) as (_, raw):
        response = raw.post("/responses", asked)
    assert {key: response[key] for key in asked if key != "input"} == {k: v for k, v in asked.items() if k != "input"}


@pytest.mark.parametrize(
    ("reason", "status", "details"),
    [
        ("length", "incomplete", {"reason": "max_output_tokens"}),
        ("content_filter", "incomplete", {"reason": "content_filter"}),
        ("failed", "failed", None),
    ],
)
def test_a_response_may_end_otherwise(reason: str, status: str, details: dict[str, str] | None) -> None:
    with serving(Answer("so ni", finish_reason=reason, error_message="oh no")) as (_, raw):
        name, last = raw.events("/responses", {"model": "m", "input": "x"})[-1]
    response = last["response"]
    assert (name, response["status"], response["incomplete_details"]) == (f"response.{status}", status, details)
    assert response["error"] == ({"code": "server_error", "message": "oh no"} if status == "failed" else None)


def test_the_clients_helpers_understand_responses() -> None:
    tool = {"type": "function", "name": "weather", "strict": True, "parameters": {}}
    answers = [Answer('{"city": "Rome"}'), Answer(refusal="I will not"), Answer(tool_calls=[WEATHER])]
    with client_of(*answers, *answers) as (_, client):
        for how in ("parse", "stream"):
            seen = []
            for options in ({"text_format": City}, {"text_format": City}, {"tools": [tool]}):
                if how == "parse":
                    seen.append(client.responses.parse(model="m", input="x", **options))
                else:
                    with client.responses.stream(model="m", input="x", **options) as stream:
                        seen.append(stream.get_final_response())
            assert seen[0].output_parsed == City(city="Rome")
            assert seen[1].output[0].content[0].refusal == "I will not"
            assert seen[2].output[0].parsed_arguments == {"city": "New York"}


def test_a_response_can_be_fetched_again_unless_it_was_not_to_be_stored() -> None:
    with client_of(Answer("a"), Answer("b")) as (_, client):
        kept = client.responses.create(model="m", input="x")
        lost = client.responses.create(model="m", input="x", store=False)
        assert client.responses.retrieve(kept.id) == kept
        with pytest.raises(openai.NotFoundError, match=f"Response with id '{lost.id}' not found"):
            client.responses.retrieve(lost.id)


# The other endpoints


def test_embeddings_are_the_same_as_base64_and_as_floats() -> None:
    asked = {"model": "text-embedding-3-small", "input": ["a b", "c"]}
    with serving(*[Answer()] * 3) as (_, raw):
        floats = raw.post("/embeddings", asked)
        packed = raw.post("/embeddings", {**asked, "encoding_format": "base64"})
        short = raw.post("/embeddings", {**asked, "input": [1, 2, 3], "dimensions": 4})
    first, second = (one["embedding"] for one in floats["data"])
    assert (len(first), first == second, floats["usage"]) == (1536, False, {"prompt_tokens": 3, "total_tokens": 3})
    assert math.hypot(*first) == pytest.approx(1)
    assert list(struct.unpack("<1536f", base64.b64decode(packed["data"][0]["embedding"]))) == first
    assert [len(one["embedding"]) for one in short["data"]] == [4]


def test_completions_have_a_choice_for_each_prompt() -> None:
    with client_of(Answer("a b"), Answer("a b")) as (_, client):
        plain = client.completions.create(model="m", prompt=["x", "y"], n=2)
        *said, finish, usage = client.completions.create(
            model="m", prompt="x", stream=True, stream_options={"include_usage": True}
        )
    assert [choice.text for choice in plain.choices] == ["a b"] * 4
    assert plain.usage.total_tokens == 10
    assert [chunk.choices[0].text for chunk in said] == ["a", " b"]
    assert (finish.choices[0].finish_reason, finish.usage, usage.choices) == ("stop", None, [])
    assert usage.usage.total_tokens == 3


def test_moderations_images_speech_and_transcriptions_are_right_in_shape() -> None:
    with client_of(*[Answer("heard it")] * 6) as (server, client):
        assert [one.flagged for one in client.moderations.create(input=["a", "b"]).results] == [False, False]
        picture = base64.b64decode(client.images.generate(model="gpt-image-1", prompt="a cat").data[0].b64_json)
        assert picture.startswith(b"\x89PNG")
        with client.audio.speech.with_streaming_response.create(model="tts-1", input="a", voice="alloy") as spoken:
            assert (spoken.headers["content-type"], spoken.read()[:2]) == ("audio/mpeg", b"\xff\xfb")
        assert client.audio.transcriptions.create(model="whisper-1", file=("a.wav", b"RIFF")).text == "heard it"
        text = client.audio.transcriptions.create(model="whisper-1", file=("a.wav", b"RIFF"), response_format="text")
        assert text == "heard it\n"
        stream = client.audio.transcriptions.create(model="m", file=("a.wav", b"RIFF"), stream=True)
        assert [getattr(event, "delta", event.type) for event in stream] == ["heard", " it", "transcript.text.done"]
        assert server.requests[3] == {"model": "whisper-1", "file": Upload("a.wav", b"RIFF")}


def test_files_and_batches_are_kept_and_no_answer_is_asked_for() -> None:
    with client_of() as (server, client):
        file = client.files.create(file=("a.jsonl", b"{}\r\n\x00\xff"), purpose="batch")
        assert (file.filename, file.bytes, file.purpose) == ("a.jsonl", 6, "batch")
        assert client.files.content(file.id).content == b"{}\r\n\x00\xff"
        assert client.files.retrieve(file.id) == file
        batch = client.batches.create(input_file_id=file.id, endpoint="/v1/responses", completion_window="24h")
        assert (batch.status, client.batches.retrieve(batch.id)) == ("validating", batch)
        assert "gpt-4o-mini" in [model.id for model in client.models.list()]
        assert server.paths[:3] == ["POST /v1/files", f"GET /v1/files/{file.id}/content", f"GET /v1/files/{file.id}"]
        assert not server.errors


@given(strategies.binary(), strategies.lists(strategies.text(strategies.characters(codec="utf-8"))))
def test_a_form_is_read_as_it_was_sent(content: bytes, values: list[str]) -> None:
    cut = b"--0f9a7b2c"  # no example has this in it but by intention
    parts = [b'Content-Disposition: form-data; name="v[]"\r\n\r\n' + value.encode() for value in values]
    parts.append(
        b'Content-Disposition: form-data; name="f"; filename="n"\r\nContent-Type: message/rfc822\r\n\r\n' + content
    )
    body = b"".join(cut + b"\r\n" + part + b"\r\n" for part in parts) + cut + b"--\r\n"
    request = Request("POST", "/", {"content-type": "multipart/form-data; boundary=0f9a7b2c"}, body)
    assert request.body() == {**({"v[]": values} if values else {}), "f": Upload("n", content)}


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "message", "code"),
    [
        ("POST", "/nothing", {}, 404, "Invalid URL (POST /v1/nothing)", None),
        ("GET", "/chat/completions", None, 405, "Not allowed to GET /v1/chat/completions.", "method_not_supported"),
        ("POST", "/chat/completions", {}, 400, "Missing required parameter: 'messages'.", "missing_required_parameter"),
        ("POST", "/chat/completions", [], 400, "We could not parse the JSON body of your request.", None),
    ],
)
def test_what_the_api_refuses_is_refused_in_its_words(
    method: str, path: str, body: Any, status: int, message: str, code: str | None
) -> None:
    with serving() as (server, raw):
        response = raw.ask(path, body, method)
        error = json.loads(response.read())["error"]
    assert (response.status, error["message"], error["code"]) == (status, message, code)
    assert set(error) == {"message", "type", "param", "code"}
    assert not server.errors


# Answers, and what goes wrong with them


def test_answers_are_used_one_after_the_other_so_a_client_that_retries_succeeds() -> None:
    limited = Answer(status=429, headers={"retry-after-ms": "1"})
    with client_of(limited, Answer("at last"), max_retries=1) as (server, client):
        assert client.chat.completions.create(**ASK).choices[0].message.content == "at last"
        assert [request["model"] for request in server.requests] == ["m", "m"]
        assert [headers["x-stainless-retry-count"] for headers in server.headers] == ["0", "1"]


def test_a_request_too_many_is_told_and_not_retried() -> None:
    with client_of(Answer("the only one"), max_retries=2) as (server, client):
        client.chat.completions.create(**ASK)
        with pytest.raises(openai.InternalServerError, match="no answer is left: all 1 of the sequence were used"):
            client.chat.completions.create(**ASK)
        assert [type(error) for error in server.errors] == [LookupError]
        assert len(server.requests) == 2


def test_an_exception_of_the_answer_function_is_told_and_kept() -> None:
    def answer(request: dict[str, Any]) -> Answer:
        return request["nothing"]

    with OpenAIServer(answer) as server:
        raw = Raw(server)
        response = raw.ask("/chat/completions", ASK)
        assert (response.status, response.headers["x-should-retry"]) == (500, "false")
        assert "KeyError: 'nothing'" in json.loads(response.read())["error"]["message"]
        assert isinstance(server.errors[0], KeyError)
        raw.close()


def test_an_answer_that_is_none_is_told() -> None:
    with OpenAIServer(lambda request: None) as server:  # type: ignore[arg-type,return-value]
        raw = Raw(server)
        assert "should be an Answer" in raw.post("/chat/completions", ASK)["error"]["message"]
        raw.close()


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (Answer("a", cut_at=4), "cut_at=4, but this answer's chunks are numbered 0 to 3"),
        (Answer("a", hang_at=-2), "hang_at=-2"),
        (Answer("a", malformed_at=4), "malformed_at=4"),
        (Answer("a", error_at=4), "error_at=4"),
    ],
)
def test_a_fault_at_a_chunk_that_is_not_there_is_told(answer: Answer, told: str) -> None:
    with serving(answer) as (server, raw):
        response = raw.ask("/chat/completions", {**ASK, "stream": True})
        assert (response.status, told in json.loads(response.read())["error"]["message"]) == (500, True)
        assert isinstance(server.errors[0], ValueError)


def test_an_error_event_in_a_plain_answer_is_told() -> None:
    with serving(Answer("a", error_at=1)) as (_, raw):
        assert "error_at needs a stream" in raw.post("/chat/completions", ASK)["error"]["message"]


# Faults


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (Answer("hm", status=400), {"message": "hm", "type": "invalid_request_error", "code": None}),
        (Answer(status=401), {"message": "Incorrect API key provided.", "code": "invalid_api_key"}),
        (Answer(status=404), {"type": "invalid_request_error", "code": "model_not_found"}),
        (Answer(status=429), {"type": "requests", "code": "rate_limit_exceeded"}),
        (Answer(status=500), {"type": "server_error", "code": None}),
        (
            Answer(status=503, error_type="overloaded", error_code="slow_down"),
            {"type": "overloaded", "code": "slow_down"},
        ),
    ],
)
@pytest.mark.parametrize("stream", [False, True])
def test_a_status_is_an_error_in_the_apis_shape(answer: Answer, error: dict[str, Any], stream: bool) -> None:
    with serving(answer) as (_, raw):
        response = raw.ask("/chat/completions", {**ASK, "stream": stream})
        body = json.loads(response.read())["error"]
    assert (response.status, response.headers["content-type"]) == (answer.status, "application/json")
    assert set(body) == {"message", "type", "param", "code"}
    assert body == body | error


def test_headers_are_added_or_take_the_place_of_the_servers_own() -> None:
    with client_of(Answer("a"), Answer("a", headers={"X-Request-ID": "mine", "x-more": "1"})) as (_, client):
        first, second = (client.chat.completions.with_raw_response.create(**ASK) for _ in range(2))
    assert first.headers["x-request-id"] == "req_00000000000000000000000000000001"
    assert (second.headers["x-request-id"], second.headers["x-more"]) == ("mine", "1")
    assert second.parse().choices[0].message.content == "a"


def test_delays_come_before_the_first_byte_and_between_the_chunks() -> None:
    with serving(Answer("a b", delay=0.03, chunk_delay=0.01)) as (_, raw):
        start = time.monotonic()
        response = raw.ask("/chat/completions", {**ASK, "stream": True})
        assert time.monotonic() - start >= 0.03
        assert len(events(response.read())) == 5
        assert time.monotonic() - start >= 0.03 + 4 * 0.01


@pytest.mark.parametrize("path", ["/chat/completions", "/completions", "/responses"])
def test_a_stream_is_cut_in_place_of_a_chunk(path: str) -> None:
    with serving(Answer("one two three", cut_at=3)) as (server, raw):
        response = raw.ask(path, {**ASK, "prompt": "x", "input": "x", "stream": True})
        with pytest.raises(IncompleteRead) as cut:
            response.read()
        assert len(events(cut.value.partial)) == 3
        assert server.disconnects == 0


def test_the_client_calls_a_cut_stream_a_connection_error() -> None:
    with client_of(Answer("one two three", cut_at=3)) as (_, client):
        stream = client.chat.completions.create(**ASK, stream=True)
        got = [next(stream).choices[0].delta.content for _ in range(3)]
        # openai 2 lets httpx's own error through.
        error = openai.APIConnectionError if int(openai.__version__.split(".")[0]) > 2 else Exception
        with pytest.raises(error, match=r"Connection error|incomplete chunked read"):
            next(stream)
        stream.close()
    assert got == ["", "one", " two"]


def test_a_plain_body_is_cut_after_so_many_bytes() -> None:
    with serving(Answer("a", cut_at=10)) as (_, raw):
        with pytest.raises(IncompleteRead) as cut:
            raw.ask("/chat/completions", ASK).read()
    assert cut.value.partial == b'{"id": "ch'


def test_a_connection_is_closed_without_a_byte() -> None:
    with client_of(Answer(cut_at=-1), Answer("a"), max_retries=0) as (_, client):
        with pytest.raises(openai.APIConnectionError):
            client.chat.completions.create(**ASK)
        assert client.chat.completions.create(**ASK).choices[0].message.content == "a"


def test_a_malformed_chunk_is_no_json_and_the_stream_goes_on() -> None:
    with serving(Answer("a b", malformed_at=1)) as (_, raw):
        found = raw.events("/chat/completions", ASK)
    assert [isinstance(data, dict) for _, data in found] == [True, False, True, True, False]
    assert (found[1][1], found[4][1]) == ('{"no": json', "[DONE]")
    with client_of(Answer("a b", malformed_at=1)) as (_, client):
        stream = client.chat.completions.create(**ASK, stream=True)
        with pytest.raises(ValueError, match="Expecting value"):
            list(stream)
        stream.close()


def test_a_malformed_plain_body_ends_too_early() -> None:
    with serving(Answer("a", malformed_at=10)) as (_, raw):
        assert raw.ask("/chat/completions", ASK).read() == b'{"id": "ch'


def test_an_error_in_a_chat_is_its_last_chunk() -> None:
    with serving(Answer("a b", error_at=2)) as (_, raw):
        *before, (name, last) = raw.events("/chat/completions", ASK)
    assert (len(before), name, last["error"]["type"]) == (2, None, "server_error")
    with client_of(Answer("a b", error_at=2, error_message="overheated")) as (_, client):
        stream = client.chat.completions.create(**ASK, stream=True)
        with pytest.raises(openai.APIError, match="overheated"):
            list(stream)
        stream.close()


def test_an_error_in_a_response_is_an_error_event_and_then_a_failed_response() -> None:
    with serving(Answer("a b", error_at=2, error_code="server_error")) as (_, raw):
        *before, (error, told), (failed, last) = raw.events("/responses", {"model": "m", "input": "x"})
    assert (len(before), error, failed) == (2, "error", "response.failed")
    assert (told["sequence_number"], told["error"]["code"], last["sequence_number"]) == (2, "server_error", 3)
    assert last["response"]["status"] == "failed"


def test_comments_before_the_first_chunk_are_no_chunks() -> None:
    with serving(Answer("a", pings=2)) as (_, raw):
        body = raw.ask("/chat/completions", {**ASK, "stream": True}).read()
    assert body.startswith(b": ping\n\n: ping\n\ndata: {")
    with client_of(Answer("a", pings=2)) as (_, client):
        assert len(list(client.chat.completions.create(**ASK, stream=True))) == 3


@pytest.mark.parametrize("answer", [Answer("a b", hang_at=2), Answer("a b", hang_at=-1), Answer("a", delay=math.inf)])
def test_a_server_that_hangs_stops_all_the_same(answer: Answer) -> None:
    with OpenAIServer([answer]) as server:
        address = urlsplit(server.base_url)
        client = socket.create_connection((address.hostname, address.port))
        body = json.dumps({**ASK, "stream": True})
        client.sendall(
            f"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode()
        )
        server.wait_for_requests(1)
    assert not [thread for thread in threading.enumerate() if thread.name == "openai-test-server"]
    client.close()


# Clients that come and go


@pytest.mark.anyio
@pytest.mark.parametrize("stream", [True, False])
async def test_a_client_that_goes_away_from_a_hanging_answer_is_counted(stream: bool, anyio_backend: Any) -> None:
    with OpenAIServer([Answer("one two", hang_at=2), Answer("after")]) as server:
        async with openai.AsyncOpenAI(base_url=server.base_url, api_key="any", max_retries=0) as client:
            async with anyio.create_task_group() as group:

                async def ask() -> None:
                    answer = await client.chat.completions.create(**ASK, stream=stream)
                    async for _ in answer:
                        pass

                group.start_soon(ask)
                await anyio.to_thread.run_sync(server.wait_for_requests, 1)
                assert server.disconnects == 0
                group.cancel_scope.cancel()
            await anyio.to_thread.run_sync(server.wait_for_disconnects, 1)
            assert (await client.chat.completions.create(**ASK)).choices[0].message.content == "after"
    assert (server.disconnects, server.errors) == (1, [])


# The client stops reading at `[DONE]`, and leaves its generators to trio, which tells.
@pytest.mark.filterwarnings("ignore:Async generator:ResourceWarning")
@pytest.mark.anyio
async def test_async_clients_get_every_kind_of_answer(anyio_backend: Any) -> None:
    answers = [Answer("one two"), Answer("one two"), Answer(tool_calls=[WEATHER]), Answer("nine"), Answer()]
    with OpenAIServer(answers) as server:
        async with openai.AsyncOpenAI(base_url=server.base_url, api_key="any", max_retries=0) as client:
            stream = await client.chat.completions.create(**ASK, stream=True)
            assert "".join([chunk.choices[0].delta.content or "" async for chunk in stream]) == "one two"
            async with client.chat.completions.stream(**ASK) as helper:
                assert (await helper.get_final_completion()).choices[0].message.content == "one two"
            async with client.responses.stream(model="m", input="x") as response:
                assert (await response.get_final_response()).output[0].arguments == '{"city": "New York"}'
            assert (await client.responses.create(model="m", input="x")).output_text == "nine"
            assert len((await client.embeddings.create(model="m", input="x", dimensions=2)).data[0].embedding) == 2
    assert (server.disconnects, server.errors) == (0, [])


def test_waiting_for_what_does_not_come_says_how_many_came() -> None:
    with serving(Answer("a")) as (server, raw):
        raw.post("/chat/completions", ASK)
        server.wait_for_requests(1, timeout=0)
        with pytest.raises(TimeoutError, match="1 of 2 requests came within 0 s"):
            server.wait_for_requests(2, timeout=0)
        with pytest.raises(TimeoutError, match="0 of 1 disconnects"):
            server.wait_for_disconnects(1, timeout=0)


def test_requests_paths_and_headers_belong_together() -> None:
    with serving(Answer("a")) as (server, raw):
        raw.ask("/models?limit=2", method="GET").read()
        raw.post("/chat/completions", ASK)
    assert server.requests == [{}, ASK]
    assert server.paths == ["GET /v1/models?limit=2", "POST /v1/chat/completions"]
    assert [headers["accept-encoding"] for headers in server.headers] == ["identity"] * 2


def test_requests_on_one_connection_are_answered_in_order_even_when_sent_at_once() -> None:
    with OpenAIServer([Answer("first", delay=0.01), Answer("second")]) as server:
        address, body = urlsplit(server.base_url), json.dumps(ASK).encode()
        head = b"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n" % len(body)
        with socket.create_connection((address.hostname, address.port)) as client:
            client.sendall((head + b"\r\n" + body) + (head + b"Connection: close\r\n\r\n" + body))
            received = b"".join(iter(lambda: client.recv(65536), b""))
    assert received.count(b"HTTP/1.1 200") == 2
    assert received.index(b'"first"') < received.index(b'"second"')
    assert server.disconnects == 0


def test_a_client_that_waits_to_be_told_to_continue_is_told() -> None:
    with OpenAIServer() as server:
        address, body = urlsplit(server.base_url), json.dumps(ASK).encode()
        with socket.create_connection((address.hostname, address.port)) as client:
            client.sendall(
                b"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: %d\r\n\r\n"
                % len(body)
            )
            assert client.recv(65536).startswith(b"HTTP/1.1 100")
            client.sendall(body)
            assert client.recv(65536).startswith(b"HTTP/1.1 200")


def test_what_is_no_http_is_hung_up_on() -> None:
    with OpenAIServer() as server:
        address = urlsplit(server.base_url)
        with socket.create_connection((address.hostname, address.port)) as client:
            client.sendall(b"hello\r\n\r\n")
            assert client.recv(65536) == b""
    assert server.requests == []


PAGE = (ROOT / "docs" / "testing.md").read_text()
EXAMPLES = dict(re.findall(r"```python\n# (\w+)\.py\n(.*?)```", PAGE, re.DOTALL))


@pytest.mark.parametrize("name", EXAMPLES)
def test_an_example_of_the_documentation_passes(name: str) -> None:
    names: dict[str, Any] = {}
    exec(compile(EXAMPLES[name], f"{name}.py", "exec"), names)
    tests = [value for key, value in names.items() if key.startswith("test_")]
    for test in tests:
        test()
    assert tests


def test_the_documentation_names_every_field_of_an_answer() -> None:
    assert not [field.name for field in fields(Answer) if f"`{field.name}" not in PAGE]
