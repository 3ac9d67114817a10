"""Clients of `openai` over loopback, the ways to open a stream, and a server that answers as each test says."""

import gc
import ssl
import warnings
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import anyio
import openai
import pytest

from prela.record.model import SpanRecord
from prela.testing import Recorder
from prela.testing.openai_server import Answer, OpenAIServer, echo

CHAT: dict[str, Any] = {"model": "gpt-4o", "messages": [{"role": "user", "content": "one two three four"}]}
INPUT: dict[str, Any] = {"model": "gpt-4o", "input": "one two three four"}
TLS = ssl.create_default_context()
"""Not used, but made for each client that is given none, which takes longer than the tests' calls."""
KEY = "sk-of-the-tests-0123456789"


class Script:
    """The server's answers of one test, one after the other; an echo when there are none left."""

    def __init__(self) -> None:
        self.answers: list[Answer] = []

    def says(self, *answers: Answer) -> None:
        self.answers[:] = answers

    def __call__(self, body: dict[str, Any]) -> Answer:
        return self.answers.pop(0) if self.answers else echo(body)


SyncOpen = Callable[[openai.OpenAI], Any]
AsyncOpen = Callable[[openai.AsyncOpenAI], Awaitable[Any]]

SYNC: dict[str, SyncOpen] = {
    "chat": lambda client: client.chat.completions.create(stream=True, **CHAT),
    "chat helper": lambda client: client.chat.completions.stream(**CHAT).__enter__(),
    "responses": lambda client: client.responses.create(stream=True, **INPUT),
    "responses helper": lambda client: client.responses.stream(**INPUT).__enter__(),
    "raw": lambda client: client.chat.completions.with_raw_response.create(stream=True, **CHAT).parse(),
}
"""Each gives something to iterate, to enter and to close."""


async def _raw(client: openai.AsyncOpenAI) -> Any:
    return (await client.chat.completions.with_raw_response.create(stream=True, **CHAT)).parse()


ASYNC: dict[str, AsyncOpen] = {
    "chat": lambda client: client.chat.completions.create(stream=True, **CHAT),
    "chat helper": lambda client: client.chat.completions.stream(**CHAT).__aenter__(),
    "responses": lambda client: client.responses.create(stream=True, **INPUT),
    "responses helper": lambda client: client.responses.stream(**INPUT).__aenter__(),
    "raw": _raw,
}


sync_kinds = pytest.mark.parametrize("open_stream", SYNC.values(), ids=SYNC)
async_kinds = pytest.mark.parametrize("open_stream", ASYNC.values(), ids=ASYNC)

FAULTS: dict[str, tuple[dict[str, Any], str]] = {
    "cut": ({"cut_at": 6}, "the connection is cut"),
    "error event": ({"error_at": 6}, "the server sends an error"),
    "malformed": ({"malformed_at": 6}, "an event is no JSON"),
}
faults = pytest.mark.parametrize("fault", [fault for fault, _ in FAULTS.values()], ids=FAULTS)


def sync_client(server: OpenAIServer, **options: Any) -> openai.OpenAI:
    http_client = options.pop("http_client", None) or openai.DefaultHttpxClient(verify=TLS)
    options = {"http_client": http_client, "max_retries": 0, "timeout": 10, **options}
    return openai.OpenAI(base_url=server.base_url, api_key=KEY, **options)


def async_client(server: OpenAIServer, **options: Any) -> openai.AsyncOpenAI:
    http_client = options.pop("http_client", None) or openai.DefaultAsyncHttpxClient(verify=TLS)
    options = {"http_client": http_client, "max_retries": 0, "timeout": 10, **options}
    return openai.AsyncOpenAI(base_url=server.base_url, api_key=KEY, **options)


def the_call(spans: Recorder) -> SpanRecord:
    """The one call of a model that was recorded."""
    (record,) = [record for record in spans.records if record.kind == "client"]
    return record


def ended(spans: Recorder) -> tuple[str, Any, Any]:
    """Its status, how its stream ended, and after how many chunks."""
    record = the_call(spans)
    return record.status, record.attributes.get("prela.stream.outcome"), record.attributes.get("prela.stream.chunks")


def said(record: SpanRecord) -> str:
    """What the model said, as far as it was recorded."""
    (message,) = record.attributes["gen_ai.output.messages"]
    return "".join(part["content"] for part in message["parts"] if part["type"] == "text")


def late_calls(spans: Recorder) -> int:
    return spans._settings.counters.late_calls.value


@contextmanager
def unclosed() -> Iterator[None]:
    """For a program that leaves a stream to the collector: what Python thinks of that, it thinks without us too."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        yield
        gc.collect()


async def collected() -> None:
    """Let the collector and then the loop do what they do with iterators that nobody holds."""
    for _ in range(5):
        gc.collect()
        await anyio.lowlevel.checkpoint()


def leaves(error: BaseException) -> Sequence[BaseException]:
    """The exceptions of a group that are none themselves."""
    if isinstance(error, BaseExceptionGroup):
        return [leaf for one in error.exceptions for leaf in leaves(one)]
    return [error]


async def numbered(stream: AsyncIterator[Any], count: int) -> list[Any]:
    """The first so many items."""
    return [await anext(stream) for _ in range(count)]
