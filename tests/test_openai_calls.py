"""Every call of `openai` gives one span, however the client is made, and the span says where the time went."""

# ruff: noqa: F401, F811  (fixtures)

import random
from collections import Counter
from collections.abc import Callable, Iterator
from importlib import import_module
from typing import Any

import anyio
import openai
import pytest
from openai import _base_client

import prela
from prela.record.model import SpanRecord
from prela.testing import Recorder
from prela.testing.openai_server import Answer, OpenAIServer
from tests.openai_clients import CHAT, INPUT, KEY, Script, ended, late_calls, sync_client, the_call
from tests.openai_fixtures import aclient, client, instrumented, script, server, shared_client

httpx: Any = import_module(
    _base_client.SyncAPIClient.__init__.__annotations__.get("http_client", "httpx").split(".")[0]
)
"""The HTTP library of this version of `openai`."""

# trio warns of iterators of openai's own, which it does not close: with us and without us the same.
pytestmark = pytest.mark.filterwarnings("ignore:Async generator:ResourceWarning")

OK = Answer("yes", headers={"x-request-id": "r"})
STEPS = ("pool", "connect", "tls", "send", "server", "receive", "consumer", "retry")


def times(record: SpanRecord) -> dict[str, float]:
    found = {step: record.attributes.get(f"prela.time.{step}", 0.0) for step in STEPS}
    assert all(value >= 0 for value in found.values())
    assert sum(found.values()) <= record.duration + 1e-6
    return found


CALLS: dict[str, tuple[Callable[[openai.OpenAI], object], str]] = {
    "chat": (lambda c: c.chat.completions.create(**CHAT), "chat gpt-4o"),
    "parse": (lambda c: c.chat.completions.with_raw_response.create(**CHAT).parse(), "chat gpt-4o"),
    "responses": (lambda c: c.responses.create(**INPUT), "chat gpt-4o"),
    "embeddings": (lambda c: c.embeddings.create(model="e", input="a"), "embeddings e"),
    "images": (lambda c: c.images.generate(model="i", prompt="a"), ""),
    "speech": (lambda c: c.audio.speech.create(model="t", voice="alloy", input="a").read(), ""),
    "transcription": (lambda c: c.audio.transcriptions.create(model="w", file=("a.wav", b"1")), ""),
    "moderation": (lambda c: c.moderations.create(input="a"), ""),
    "file": (lambda c: c.files.create(file=("a.jsonl", b"{}\n"), purpose="batch"), ""),
    "batches": (lambda c: c.batches.create(input_file_id="f", endpoint="/v1/responses", completion_window="24h"), ""),
    "page": (lambda c: list(c.models.list()), ""),
    "unknown": (lambda c: c.post("/nothing/known", cast_to=object, body={"a": 1}), ""),
}


@pytest.mark.parametrize("name", CALLS)
def test_each_call_is_one_span(client: openai.OpenAI, prela_spans: Recorder, name: str) -> None:
    call, span_name = CALLS[name]
    try:
        call(client)
    except openai.APIStatusError as error:
        assert name in {"unknown", "batches"}
        assert the_call(prela_spans).attributes["error.type"] == type(error).__qualname__
    record = the_call(prela_spans)
    assert len(prela_spans) == 1
    assert span_name in record.name
    times(record)


def test_retries_are_events_of_the_one_span(client: openai.OpenAI, script: Script, prela_spans: Recorder) -> None:
    wait = {"retry-after-ms": "20"}
    script.says(Answer(status=429, headers=wait), Answer("cut", cut_at=-1), Answer(status=500, headers=wait), OK)
    client.with_options(max_retries=4).chat.completions.create(**CHAT)
    record = the_call(prela_spans)
    told = [{key.rpartition(".")[2]: value for key, value in event.attributes.items()} for event in record.events]
    assert [one.get("status_code") for one in told] == [429, None, 500]
    assert "Error" in told[1]["type"]
    assert [event.name for event in record.events] == ["retry"] * 3
    waits = [value for event in record.events for key, value in event.attributes.items() if "wait" in key]
    assert waits[0] >= 0.02
    assert times(record)["retry"] == pytest.approx(sum(waits))
    assert record.attributes["http.request.resend_count"] == 3


def test_the_wait_for_a_connection_is_told(server: OpenAIServer, script: Script, prela_spans: Recorder) -> None:
    http = httpx.Client(limits=httpx.Limits(max_connections=1), timeout=httpx.Timeout(5, pool=0.05))
    script.says(Answer("one", chunk_delay=0.0))
    with sync_client(server, http_client=http, max_retries=1, timeout=httpx.Timeout(5, pool=0.05)) as client:
        with client.chat.completions.create(stream=True, **CHAT) as stream:
            next(stream)
            with pytest.raises(openai.APITimeoutError):
                client.embeddings.create(model="e", input="a")
        starved = prela_spans["embeddings e"]
        assert times(starved)["pool"] >= 0.1 - 0.01
        assert starved.attributes["error.type"] == "APITimeoutError"
        assert times(starved)["retry"] > 0


def test_the_time_of_a_consumer_is_not_the_servers(client: openai.OpenAI, prela_spans: Recorder) -> None:
    with client.chat.completions.create(stream=True, **CHAT) as stream:
        next(stream)
        sum(range(200_000))
        list(stream)
    assert times(the_call(prela_spans))["consumer"] > 0.001


def test_a_clients_own_transport_is_no_obstacle(prela_spans: Recorder) -> None:
    class Own(httpx.Response):  # type: ignore[misc]
        pass

    class Both(httpx.SyncByteStream, httpx.AsyncByteStream):  # type: ignore[misc]
        """What is both kinds of body is read as the client is."""

        def __iter__(self) -> Iterator[bytes]:
            yield b'data: {"choices": []}\n\n'
            yield b"data: [DONE]\n\n"

        async def __aiter__(self) -> Any:
            yield b""

    class Transport(httpx.BaseTransport):  # type: ignore[misc]
        def handle_request(self, request: Any) -> Any:
            return Own(200, headers={"content-type": "text/event-stream"}, stream=Both())

    class Direct(httpx.Client):  # type: ignore[misc]
        def send(self, request: Any, **options: Any) -> Any:
            return Own(200, headers={"content-type": "text/event-stream"}, stream=Both(), request=request)

    def handler(request: Any) -> Any:
        return httpx.Response(200, json={"choices": [], "model": "mocked"})

    for http in (httpx.Client(transport=Transport()), Direct()):
        with openai.OpenAI(api_key=KEY, http_client=http) as client:
            assert len(list(client.chat.completions.create(stream=True, **CHAT))) == 1
        assert ended(prela_spans) == ("success", "completed", 1)
        prela_spans.clear()
    with openai.OpenAI(api_key=KEY, http_client=httpx.Client(transport=httpx.MockTransport(handler))) as client:
        client.chat.completions.create(**CHAT)
    assert the_call(prela_spans).attributes["gen_ai.response.model"] == "mocked"


def test_the_legacy_http_client_is_traced_too(server: OpenAIServer, prela_spans: Recorder) -> None:
    legacy = pytest.importorskip("httpx")
    with sync_client(server, http_client=legacy.Client()) as client:
        client.chat.completions.create(**CHAT)
        assert times(the_call(prela_spans))["server"] > 0
        prela_spans.clear()
        with client.chat.completions.create(stream=True, **CHAT) as stream:
            next(stream)
        assert ended(prela_spans) == ("success", "closed_early", 1)


def test_calls_in_callbacks_are_calls_of_their_own(
    server: OpenAIServer, client: openai.OpenAI, script: Script, prela_spans: Recorder
) -> None:
    suppressed: list[bool] = []
    script.says(OK, Answer(status=429, headers={"retry-after-ms": "1"}), OK)

    def token() -> str:
        client.embeddings.create(model="inner", input="a")
        with prela.suppress():
            client.with_options(max_retries=1).embeddings.create(model="silent", input="a")
            suppressed.append(True)
        return KEY

    with openai.AzureOpenAI(
        azure_endpoint=server.base_url, api_version="1", azure_ad_token_provider=token, max_retries=0
    ) as azure:
        with pytest.raises(openai.NotFoundError):
            azure.chat.completions.create(**CHAT)
    assert suppressed
    assert prela_spans.tree().splitlines() == ["chat gpt-4o [llm] error", "  embeddings inner [embedding]"]
    assert not [event for event in prela_spans["chat gpt-4o"].events if event.name == "retry"]
    assert prela_spans["embeddings inner"].attributes["http.response.status_code"] == 200
    assert prela_spans["chat gpt-4o"].attributes["http.response.status_code"] == 404


def test_a_subclass_that_overrides_request_is_traced(server: OpenAIServer, prela_spans: Recorder) -> None:
    class Mine(openai.OpenAI):
        def request(self, *args: Any, **kwargs: Any) -> Any:  # type: ignore[override]
            return super().request(*args, **kwargs)

    with Mine(base_url=server.base_url, api_key=KEY) as client:
        client.chat.completions.create(**CHAT)
    assert the_call(prela_spans).status == "success"


# --- a hundred at once --------------------------------------------------------------------------------------------

PLANS = ("completed", "closed_early", "consumer_error", "cancelled", "error", "hang")


@pytest.mark.anyio
async def test_a_hundred_streams_at_once_end_as_they_were_meant_to(
    aclient: openai.AsyncOpenAI, script: Script, prela_spans: Recorder
) -> None:
    plans = random.Random(7).choices(PLANS, k=100)

    def answer(plan: str) -> Answer:
        return Answer("one two three", cut_at=3 if plan == "error" else None, hang_at=2 if plan == "hang" else None)

    async def one(plan: str, tracer: prela.Tracer) -> None:
        async with tracer.aspan(f"root {plan}"):
            messages = [{"role": "user", "content": plan}]
            with anyio.CancelScope() as scope:
                try:
                    async with await aclient.chat.completions.create(
                        model="m",
                        messages=messages,  # type: ignore[arg-type]
                        stream=True,
                    ) as stream:
                        if plan == "hang":
                            scope.deadline = anyio.current_time() + 0.3
                        async for _ in stream:
                            assert prela.get_current_span().name == f"root {plan}"
                            if plan == "closed_early":
                                break
                            if plan == "consumer_error":
                                raise KeyError
                            if plan == "cancelled":
                                scope.cancel()
                                await anyio.lowlevel.checkpoint()
                except (KeyError, openai.APIError, httpx.HTTPError):
                    pass

    original = Script.__call__
    try:
        Script.__call__ = lambda self, body: answer(body["messages"][0]["content"])  # type: ignore[method-assign]
        async with anyio.create_task_group() as group:
            for plan in plans:
                group.start_soon(one, plan, prela.get_tracer())
    finally:
        Script.__call__ = original  # type: ignore[method-assign]
    names = {"consumer_error": "closed_early", "hang": "cancelled"}
    expected = Counter(names.get(plan, plan) for plan in plans)
    calls = [record for record in prela_spans.records if record.kind == "client"]
    assert Counter(record.attributes["prela.stream.outcome"] for record in calls) == expected
    roots = {record.span_id: record.name.removeprefix("root ") for record in prela_spans.records if record not in calls}
    for record in calls:
        plan = roots[record.parent_span_id or ""]
        assert record.attributes["prela.stream.outcome"] == names.get(plan, plan)
        times(record)
    assert len(prela_spans) == 200
    assert late_calls(prela_spans) == 0


def test_a_stream_that_is_taken_up_again_says_from_where(client: openai.OpenAI, prela_spans: Recorder) -> None:
    kept = client.responses.create(**INPUT)
    prela_spans.clear()
    for options in ({"stream": True, "starting_after": 42}, {"stream": True}, {}):
        with client.responses.with_streaming_response.retrieve(kept.id, **options):
            pass
    resumed, *others = prela_spans.records
    assert resumed.name == "fetch_response"
    assert resumed.attributes["gen_ai.request.stream_cursor"] == "42"
    assert all("gen_ai.request.stream_cursor" not in record.attributes for record in others)
