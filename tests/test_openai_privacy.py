"""What is said to a model, and by it, stays out of the record when `capture_content` is off, by whatever way."""

import base64
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import anyio
import openai
import pydantic
import pytest

import prela
from prela.testing.openai_server import Answer, OpenAIServer, ToolCall
from tests.openai_on_file import Recording, client_of, recorded

CANARY = "canary-7f3a"
ENCODED = base64.b64encode(f"{CANARY} {CANARY} {CANARY}".encode()).decode()
SIGNS = (CANARY, ENCODED[4:20])
DATA_URL = f"data:image/png;base64,{ENCODED}"
PARAMETERS = {"type": "object", "description": CANARY, "properties": {CANARY: {"type": "string"}}}
TOOL = {"name": "look_up", "description": CANARY, "parameters": PARAMETERS}

Use = Callable[[openai.OpenAI], object]


# --- the calls ----------------------------------------------------------------------------------------------------

CHAT: dict[str, Any] = {
    "model": "gpt-4o-mini",
    "messages": [
        {"role": "developer", "content": CANARY},
        {
            "role": "user",
            "name": CANARY,
            "content": [
                {"type": "text", "text": CANARY},
                {"type": "image_url", "image_url": {"url": DATA_URL}},
                {"type": "input_audio", "input_audio": {"data": ENCODED, "format": "wav"}},
                {"type": "file", "file": {"filename": f"{CANARY}.pdf", "file_data": DATA_URL}},
            ],
        },
        {
            "role": "assistant",
            "content": CANARY,
            "refusal": CANARY,
            "tool_calls": [
                {"id": "1", "type": "function", "function": {"name": "look_up", "arguments": f'{{"a": "{CANARY}"}}'}}
            ],
        },
        {"role": "tool", "tool_call_id": "1", "content": CANARY},
    ],
    "tools": [{"type": "function", "function": TOOL}],
    "prediction": {"type": "content", "content": CANARY},
    "metadata": {"about": CANARY},
    "user": CANARY,
}
RESPONSE: dict[str, Any] = {
    "model": "gpt-4o-mini",
    "instructions": CANARY,
    "input": [
        {"role": "user", "content": [{"type": "input_text", "text": CANARY}]},
        {"role": "user", "content": [{"type": "input_image", "image_url": DATA_URL, "detail": "auto"}]},
        {"role": "user", "content": [{"type": "input_file", "filename": CANARY, "file_data": DATA_URL}]},
        {"type": "function_call", "call_id": "1", "name": "look_up", "arguments": f'{{"a": "{CANARY}"}}'},
        {"type": "function_call_output", "call_id": "1", "output": CANARY},
    ],
    "tools": [{"type": "function", "strict": False, **TOOL}],
    "prompt": {"id": "pmpt_1", "variables": {"name": CANARY}},
    "metadata": {"about": CANARY},
}


class Wanted(pydantic.BaseModel):
    number: int


def read(stream: Any) -> None:
    with stream:
        for _ in stream:
            pass


def read_one(stream: Any) -> None:
    with stream:
        next(iter(stream))


def streamed_raw(client: openai.OpenAI) -> None:
    with client.chat.completions.with_streaming_response.create(**CHAT) as response:
        response.read()


def chat_helper(client: openai.OpenAI) -> None:
    plain = {key: value for key, value in CHAT.items() if key != "tools"}
    with client.chat.completions.stream(**plain, response_format=Wanted) as stream:
        stream.get_final_completion()


def responses_helper(client: openai.OpenAI) -> None:
    with client.responses.stream(**RESPONSE, text_format=Wanted) as stream:
        stream.get_final_response()


CALLS: dict[str, Use] = {
    "chat": lambda client: client.chat.completions.create(**CHAT),
    "chat streamed": lambda client: read(client.chat.completions.create(**CHAT, stream=True)),
    "chat left": lambda client: read_one(client.chat.completions.create(**CHAT, stream=True)),
    "chat raw": lambda client: client.chat.completions.with_raw_response.create(**CHAT).parse(),
    "chat streamed raw": streamed_raw,
    "chat raw stream": lambda client: read(
        client.chat.completions.with_raw_response.create(**CHAT, stream=True).parse()
    ),
    "chat helper": chat_helper,
    "response": lambda client: client.responses.create(**RESPONSE),
    "response streamed": lambda client: read(client.responses.create(**RESPONSE, stream=True)),
    "response left": lambda client: read_one(client.responses.create(**RESPONSE, stream=True)),
    "response helper": responses_helper,
    "response parsed": lambda client: client.responses.parse(**RESPONSE, text_format=Wanted),
    "response by text": lambda client: client.responses.create(model="gpt-4o-mini", input=CANARY),
    "completion": lambda client: client.completions.create(model="m", prompt=CANARY, suffix=CANARY),
    "completion streamed": lambda client: read(client.completions.create(model="m", prompt=[CANARY], stream=True)),
    "embedding": lambda client: client.embeddings.create(model="m", input=[CANARY]),
    "moderation": lambda client: client.moderations.create(input=CANARY),
    "image": lambda client: client.images.generate(prompt=CANARY, model="m"),
    "speech": lambda client: client.audio.speech.create(input=CANARY, instructions=CANARY, model="m", voice="alloy"),
    "transcription": lambda client: client.audio.transcriptions.create(
        file=(f"{CANARY}.wav", CANARY.encode()), prompt=CANARY, model="m"
    ),
    "file": lambda client: client.files.create(file=(f"{CANARY}.txt", CANARY.encode()), purpose="user_data"),
}
ANSWERS: dict[str, Answer] = {
    "text": Answer(CANARY),
    "tools": Answer(tool_calls=[ToolCall(CANARY, {CANARY: CANARY})]),
    "refusal": Answer(refusal=CANARY),
    "reasoning": Answer(CANARY, reasoning=CANARY),
    "json": Answer(f'{{"number": "{CANARY}"}}'),
    "failed": Answer(CANARY, finish_reason="failed", error_message=CANARY),
    "length": Answer(CANARY, finish_reason="length"),
    "400": Answer(status=400, error_message=f"bad: {CANARY}"),
    "500": Answer(status=500, error_message=CANARY, error_type="server_error"),
    "error event": Answer(f"{CANARY} {CANARY}", error_at=2, error_message=CANARY),
    "cut": Answer(f"{CANARY} {CANARY}", cut_at=3),
    "malformed": Answer(f"{CANARY} {CANARY}", malformed_at=2),
}


def use(call: Use, client: openai.OpenAI) -> None:
    """Below a span of the program's, which what goes wrong passes."""
    with suppress(Exception), prela.get_tracer().span("outer"), prela.get_tracer().span("inner"):
        call(client)


def reveals(recording: Recording) -> list[str]:
    """The lines that hold what must not be there."""
    return [line for line in recording.text.splitlines() if any(sign in line for sign in SIGNS)]


@pytest.mark.parametrize("answer", ANSWERS)
def test_nothing_said_is_recorded_where_content_is_not_captured(answer: str, tmp_path: Path) -> None:
    with OpenAIServer(lambda _: ANSWERS[answer]) as server, recorded(tmp_path, capture_content=False) as recording:
        with openai.OpenAI(base_url=server.base_url, api_key="any", max_retries=0) as client:
            for call in CALLS.values():
                use(call, client)
    assert reveals(recording) == []
    assert recording.spans == 3 * len(CALLS)


def test_the_environment_turns_capturing_off(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PRELA_CAPTURE_CONTENT", "false")
    with client_of(Answer(CANARY)) as client, recorded(tmp_path) as recording:
        client.chat.completions.create(**CHAT)
    assert recording.spans == 1
    assert reveals(recording) == []


@pytest.mark.parametrize("call", ["chat", "chat streamed", "chat raw", "response", "response streamed", "completion"])
def test_it_is_recorded_where_content_is_captured(call: str, tmp_path: Path) -> None:
    with client_of(Answer(CANARY)) as client, recorded(tmp_path) as recording:
        CALLS[call](client)
    assert len(reveals(recording)) == 1


# --- what programs do with an error -------------------------------------------------------------------------------


def fails(client: openai.OpenAI) -> Any:
    return client.chat.completions.create(**CHAT)


def said_again(client: openai.OpenAI) -> None:
    try:
        fails(client)
    except openai.APIError as error:
        raise RuntimeError(f"no answer: {error}") from error


def said_from_nowhere(client: openai.OpenAI) -> None:
    try:
        fails(client)
    except openai.APIError as error:
        raise RuntimeError(str(error)) from None


def said_in_part(client: openai.OpenAI) -> None:
    try:
        fails(client)
    except openai.APIError as error:
        raise RuntimeError(the_servers(error)[1:]) from None


def recorded_in_part(client: openai.OpenAI) -> None:
    try:
        fails(client)
    except openai.APIError as error:
        prela.get_current_span().record_exception(RuntimeError(the_servers(error)[1:]))
        raise


def the_servers(error: openai.APIError) -> str:
    body: Any = error.body
    return str(body["message"])


def said_later(client: openai.OpenAI) -> None:
    kept = ""
    try:
        fails(client)
    except openai.APIError as error:
        kept = str(error)
    raise RuntimeError(f"no answer: {kept}")


def the_servers_words(client: openai.OpenAI) -> None:
    kept: Any = None
    try:
        fails(client)
    except openai.APIError as error:
        kept = error.body
    raise RuntimeError(kept["message"])


def in_a_group(client: openai.OpenAI) -> None:
    try:
        fails(client)
    except openai.APIError as error:
        raise ExceptionGroup(f"all of them: {error}", [ValueError("other"), error]) from None


def exit_message(client: openai.OpenAI) -> None:
    try:
        try:
            fails(client)
        except openai.APIError as error:
            raise SystemExit(str(error)) from None
    except SystemExit as error:
        raise RuntimeError(error.code) from None


def with_a_note(client: openai.OpenAI) -> None:
    try:
        fails(client)
    except openai.APIError as error:
        error.add_note(f"asked was {CANARY}")
        raise


def recorded_by_hand(client: openai.OpenAI) -> None:
    try:
        fails(client)
    except openai.APIError as error:
        span = prela.get_current_span()
        span.record_exception(error)
        span.record_exception(RuntimeError(f"never raised: {error}"))
        span.set_status("error", f"no answer: {error}")


def decorated(client: openai.OpenAI) -> None:
    prela.trace(fails)(client)


def in_a_generator(client: openai.OpenAI) -> None:
    @prela.trace
    def generate() -> Iterator[Any]:
        yield 1
        yield fails(client)

    list(generate())


def long_chain(client: openai.OpenAI) -> None:
    try:
        fails(client)
    except openai.APIError as error:
        last: Exception = error
    for number in range(300):
        last.__context__, last = last.__context__, RuntimeError(number, last)
        last.__context__ = last.args[1]
    raise last


async def gathered(client: openai.OpenAI) -> None:
    async with prela.get_tracer().task_group("group") as group:
        group.start_soon(anyio.sleep_forever, name="sibling")
        group.start_soon(in_thread, lambda: fails(client), name="child")


async def in_thread(function: Callable[[], object]) -> None:
    await anyio.sleep(0.01)
    function()


def cancels_a_sibling(client: openai.OpenAI) -> None:
    anyio.run(gathered, client, backend="trio")


PROGRAMS: tuple[Use, ...] = (
    fails,
    said_again,
    said_from_nowhere,
    said_in_part,
    recorded_in_part,
    said_later,
    the_servers_words,
    in_a_group,
    exit_message,
    with_a_note,
    recorded_by_hand,
    decorated,
    in_a_generator,
    long_chain,
    cancels_a_sibling,
)


@pytest.mark.parametrize("program", PROGRAMS)
def test_an_error_that_quotes_the_prompt_says_nothing_on_any_span_it_passes(program: Use, tmp_path: Path) -> None:
    quoting = Answer(status=400, error_message=f"'{CANARY}' is not \"allowed\"\nhere")
    with client_of(quoting) as client, recorded(tmp_path, capture_content=False) as recording:
        use(program, client)
    assert reveals(recording) == []
    assert "BadRequestError" in recording.text
    assert '"outer"' in recording.text and recording.spans >= 3


def checks_the_answer(client: openai.OpenAI) -> None:
    Wanted.model_validate_json(client.responses.create(model="m", input="any").output_text)


@pytest.mark.parametrize("call", [CALLS["response helper"], CALLS["response parsed"], chat_helper, checks_the_answer])
def test_a_validation_error_does_not_quote_the_answer(call: Use, tmp_path: Path) -> None:
    with client_of(ANSWERS["json"]) as client, recorded(tmp_path, capture_content=False) as recording:
        use(call, client)
    assert reveals(recording) == []
    assert "ValidationError" in recording.text


def test_other_errors_still_say_what_they_are(tmp_path: Path) -> None:
    with client_of(Answer(status=400, error_message=CANARY)) as client:
        with recorded(tmp_path, capture_content=False) as recording:
            use(fails, client)
            with suppress(ValueError), prela.get_tracer().span("own"):
                raise ValueError("the program's own words")
    assert reveals(recording) == []
    assert recording.text.count("the program's own words") > 2
