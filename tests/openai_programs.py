"""Small programs that use `openai` in every way there is, and tell all that they saw."""

import asyncio
import gc
import inspect
import re
import sys
import threading
import warnings
import weakref
from collections.abc import Awaitable, Callable
from contextlib import aclosing, closing
from datetime import timedelta
from typing import Any

import anyio
import openai
from pydantic import BaseModel

from prela.testing.openai_server import Answer, OpenAIServer
from tests.openai_clients import ASYNC, CHAT, INPUT, SYNC

Seen = list[Any]
zero = timedelta(0)


class City(BaseModel):
    name: str


def view(value: Any) -> Any:
    """What can be compared of a value, without what differs from run to run."""
    if isinstance(value, BaseException):
        public = {key: view(item) for key, item in vars(value).items() if not key.startswith("_")}
        links = [type(link).__qualname__ for link in (value.__cause__, value.__context__)]
        return type(value), [view(arg) for arg in value.args], same(str(value)), same(repr(value)), links, public
    if isinstance(value, BaseModel):
        return type(value), same(repr(value)), sorted(value.model_fields_set)
    if isinstance(value, (list, tuple)):
        return [view(item) for item in value]
    if isinstance(value, bytes):
        return same(value.decode("latin-1"))
    return type(value), same(repr(value))


def same(text: str) -> str:
    text = re.sub(r"retry-[0-9a-f-]{36}", "retry", text)
    text = re.sub(r"0x[0-9a-f]+", "0x", re.sub(r"127\.0\.0\.1:\d+", "127.0.0.1", text))
    return re.sub(r"(?<=in )\d+\.\d+(?= seconds)", "n", text)


def about(response: Any) -> Seen:
    """What a raw response tells of itself."""
    request = response.http_request
    told = [view(response), response.status_code, response.request_id, response.http_version, response.is_closed]
    told += [type(response.http_response), sorted(response.headers), request.method, sorted(request.headers)]
    return [*told, request.content, response.http_response.num_bytes_downloaded, response.retries_taken]


def attempt(action: Callable[[], Any]) -> Any:
    try:
        return view(action())
    except Exception as error:
        return view(error)


def kept(*objects: Any) -> list[weakref.ref[Any]]:
    return [weakref.ref(one) for one in objects]


def alive(references: list[weakref.ref[Any]]) -> list[bool]:
    return [reference() is not None for reference in references]


Program = Callable[[openai.OpenAI, OpenAIServer], Seen]
AsyncProgram = Callable[[openai.AsyncOpenAI, OpenAIServer], Awaitable[Seen]]


def plain(client: openai.OpenAI, server: OpenAIServer) -> Seen:
    chat = client.chat.completions
    return [
        view(chat.create(**CHAT)),
        attempt(lambda: chat.parse(response_format=City, **CHAT)),
        view(client.responses.create(**INPUT)),
        view(client.embeddings.create(model="e", input=["a", "b"])),
        view(client.moderations.create(input="a")),
        view(client.images.generate(prompt="a", model="i")),
        view(client.audio.speech.create(model="tts", voice="alloy", input="a").read()),
        view(list(client.models.list())),
        view(client.files.create(file=("a.jsonl", b"{}\n"), purpose="batch").filename),
        attempt(lambda: client.responses.retrieve("resp_none")),
        attempt(lambda: client.post("/nothing", cast_to=object, body={"a": 1})),
        attempt(lambda: chat.create(model="m")),  # type: ignore[call-overload]
        attempt(lambda: chat.create(extra_body={"extra": 1}, extra_headers={"x-a": "b"}, **CHAT)),
        inspect.iscoroutinefunction(chat.create),
        inspect.iscoroutinefunction(client.request),
        str(inspect.signature(client.request)),
        same(repr(chat.create)),
    ]


def raw(client: openai.OpenAI, server: OpenAIServer) -> Seen:
    seen: Seen = []
    response = client.chat.completions.with_raw_response.create(**CHAT)
    seen += [about(response), view(response.parse()), response.parse() is response.parse(), response.elapsed > zero]
    response = client.chat.completions.with_raw_response.create(stream=True, **CHAT)
    seen += [attempt(lambda: response.elapsed), about(response), view(list(response.parse())), response.elapsed > zero]
    seen += [response.http_response.is_stream_consumed, attempt(lambda: response.http_response.read())]
    with client.chat.completions.with_streaming_response.create(stream=True, **CHAT) as streaming:
        seen += [about(streaming), [view(line) for line in streaming.iter_lines()], about(streaming)]
        seen += [streaming.http_response.elapsed > zero, attempt(lambda: list(streaming.iter_bytes()))]
    with client.chat.completions.with_streaming_response.create(**CHAT) as streaming:
        seen += [view(streaming.parse()), attempt(lambda: streaming.read()), view(streaming.json())]
    with client.chat.completions.with_streaming_response.create(**CHAT) as streaming:
        pass
    return [*seen, attempt(lambda: streaming.parse()), streaming.is_closed]


def streams(client: openai.OpenAI, server: OpenAIServer) -> Seen:
    seen: Seen = []
    for open_stream in SYNC.values():
        with open_stream(client) as stream:
            seen += [type(stream), isinstance(stream, openai.Stream), same(repr(stream)), iter(stream) is stream]
            seen += [view(list(stream)), attempt(lambda: next(stream)), list(stream)]  # noqa: B023
        with open_stream(client) as stream:
            seen += [view(next(stream)), response_below(stream)]
        stream = open_stream(client)
        seen += [stream.close(), stream.close(), response_below(stream)]
        seen += [attempt(lambda: next(stream)), attempt(lambda: list(stream))]  # noqa: B023
        with closing(open_stream(client)) as stream:
            for item in stream:
                seen.append(view(item))
                break
    return seen


def response_below(stream: Any) -> Any:
    """The response below a stream, as far as it is public."""
    response = getattr(stream, "response", None) or stream._response
    return type(response), response.is_closed, response.is_stream_consumed, same(repr(response))


def broken(client: openai.OpenAI, server: OpenAIServer) -> Seen:
    seen: Seen = []
    for _ in range(4):
        for open_stream in (SYNC["chat"], SYNC["responses"], SYNC["raw"]):
            got: Seen = []
            seen += [attempt(lambda: got.extend(open_stream(client))), view(got)]  # noqa: B023
    retrying = client.with_options(max_retries=2)
    seen += [attempt(lambda: retrying.chat.completions.create(**CHAT)) for _ in range(3)]
    nobody = client.with_options(base_url="http://127.0.0.1:9/v1")
    return [*seen, attempt(lambda: nobody.chat.completions.create(**CHAT))]


BROKEN = [
    *[Answer("one two", cut_at=3)] * 3,
    *[Answer("one two", malformed_at=3)] * 3,
    *[Answer("one two", error_at=3)] * 3,
    *[Answer("no", status=400)] * 3,
    *[Answer("slow", status=429, headers={"retry-after-ms": "1"}), Answer("yes")],
    *[Answer("bad", status=500, headers={"retry-after-ms": "1"})] * 3,
    Answer("cut", cut_at=2, headers={"x-should-retry": "false"}),
]


def lifetimes(client: openai.OpenAI, server: OpenAIServer) -> Seen:
    """What is alive after the program has let go of it, and the collector has not run."""
    seen: Seen = []
    threads = set(threading.enumerate())
    for open_stream in SYNC.values():
        stream = open_stream(client)
        list(stream)
        references = kept(stream, getattr(stream, "response", None) or stream._response)
        del stream
        seen.append(alive(references))
    response = client.chat.completions.with_raw_response.create(stream=True, **CHAT)
    list(response.parse())
    references = kept(response, response.http_response)
    del response
    seen.append(alive(references))
    with client.chat.completions.with_streaming_response.create(stream=True, **CHAT) as streaming:
        list(streaming.iter_lines())
    references = kept(streaming, streaming.http_response)
    del streaming
    seen.append(alive(references))
    mine = openai.OpenAI(base_url=server.base_url, api_key="mine", max_retries=0)
    answer = mine.chat.completions.create(**CHAT)
    list(mine.chat.completions.create(stream=True, **CHAT))
    list(mine.chat.completions.with_raw_response.create(stream=True, **CHAT).parse())
    list(mine.chat.completions.with_raw_response.create(stream=True, **CHAT).http_response.iter_lines())
    references = kept(mine, mine._client, answer)
    mine.close()
    del mine, answer
    seen.append(alive(references))
    return [*seen, len(set(threading.enumerate()) - threads)]


PROGRAMS: dict[str, tuple[Program, list[Answer]]] = {
    "plain": (plain, []),
    "raw": (raw, []),
    "streams": (streams, []),
    "broken": (broken, BROKEN),
    "lifetimes": (lifetimes, []),
}


# --- async --------------------------------------------------------------------------------------------------------


async def aattempt(action: Awaitable[Any]) -> Any:
    try:
        return view(await action)
    except Exception as error:
        return view(error)


async def listed(stream: Any) -> list[Any]:
    return [item async for item in stream]


async def async_plain(client: openai.AsyncOpenAI, server: OpenAIServer) -> Seen:
    chat = client.chat.completions
    seen = [
        view(await chat.create(**CHAT)),
        await aattempt(chat.parse(response_format=City, **CHAT)),
        view(await client.responses.create(**INPUT)),
        view((await client.audio.speech.create(model="tts", voice="alloy", input="a")).content),
        view(await listed(client.models.list())),
        await aattempt(client.post("/nothing", cast_to=object, body={"a": 1})),
        inspect.iscoroutinefunction(chat.create),
        inspect.iscoroutinefunction(client.request),
        inspect.iscoroutinefunction(client._process_response),
        str(inspect.signature(client.request)),
    ]
    response = await chat.with_raw_response.create(stream=True, **CHAT)
    seen += [about(response), view(await listed(response.parse())), response.elapsed > zero]
    async with chat.with_streaming_response.create(stream=True, **CHAT) as streaming:
        seen += [about(streaming), await listed(streaming.iter_lines()), about(streaming)]
        seen += [streaming.http_response.elapsed > zero]
    async with chat.with_streaming_response.create(**CHAT) as streaming:
        seen += [view(await streaming.parse()), await aattempt(streaming.read()), view(await streaming.json())]
    return seen


async def async_streams(client: openai.AsyncOpenAI, server: OpenAIServer) -> Seen:
    seen: Seen = []
    for open_stream in ASYNC.values():
        async with await open_stream(client) as stream:
            seen += [type(stream), isinstance(stream, openai.AsyncStream), same(repr(stream))]
            seen += [view(await listed(stream)), await aattempt(anext(stream)), await listed(stream)]
        async with await open_stream(client) as stream:
            seen += [view(await anext(stream)), response_below(stream)]
        stream = await open_stream(client)
        seen += [await stream.close(), await stream.close(), response_below(stream)]
        seen += [await aattempt(anext(stream)), await aattempt(listed(stream))]
        async with await open_stream(client) as stream, aclosing(aiter(stream)) as items:
            async for item in items:
                seen.append(view(item))
                break
    return seen


async def async_left_open(client: openai.AsyncOpenAI, server: OpenAIServer) -> Seen:
    """Streams that are left to the collector, and the tasks that the loop makes of that."""
    seen: Seen = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        for open_stream in ASYNC.values():
            stream = await open_stream(client)
            await anext(stream)
            references = kept(stream)
            del stream
            gc.collect()
            counts = []
            for _ in range(12):
                counts.append(tasks())
                await anyio.lowlevel.checkpoint()
            gc.collect()
            seen += [max(counts), alive(references)]
        async with client.chat.completions.with_streaming_response.create(stream=True, **CHAT) as streaming:
            async for _ in streaming.iter_lines():
                break
            seen += [tasks()]
        gc.collect()
        await anyio.lowlevel.checkpoint()
    return seen


def tasks() -> int:
    return len(asyncio.all_tasks()) if "asyncio" in sys.modules and _on_asyncio() else 0


def _on_asyncio() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


async def async_broken(client: openai.AsyncOpenAI, server: OpenAIServer) -> Seen:
    seen: Seen = []
    for _ in range(4):
        for open_stream in (ASYNC["chat"], ASYNC["responses"], ASYNC["raw"]):
            seen.append(await aattempt(_read(open_stream(client))))
    retrying = client.with_options(max_retries=2)
    seen += [await aattempt(retrying.chat.completions.create(**CHAT)) for _ in range(3)]
    nobody = client.with_options(base_url="http://127.0.0.1:9/v1")
    return [*seen, await aattempt(nobody.chat.completions.create(**CHAT))]


async def _read(opening: Awaitable[Any]) -> list[Any]:
    return await listed(await opening)


async def async_cancelled(client: openai.AsyncOpenAI, server: OpenAIServer) -> Seen:
    seen: Seen = []
    for timeout in (0.05, None):
        impatient = client.with_options(timeout=timeout or 10)
        try:
            with anyio.fail_after(None if timeout else 0.05):
                async with await impatient.chat.completions.create(stream=True, **CHAT) as stream:
                    async for item in stream:
                        seen.append(view(item))
        except Exception as error:
            seen.append(view(error))
    with anyio.CancelScope() as scope:
        async with await client.chat.completions.create(stream=True, **CHAT):
            scope.cancel()
            await anyio.sleep_forever()
    return [*seen, scope.cancelled_caught, tasks()]


async def async_lifetimes(client: openai.AsyncOpenAI, server: OpenAIServer) -> Seen:
    seen: Seen = []
    for open_stream in ASYNC.values():
        stream = await open_stream(client)
        await listed(stream)
        references = kept(stream, getattr(stream, "response", None) or stream._response)
        del stream
        seen.append(alive(references))
    mine = openai.AsyncOpenAI(base_url=server.base_url, api_key="mine", max_retries=0)
    answer = await mine.chat.completions.create(**CHAT)
    await listed(await mine.chat.completions.create(stream=True, **CHAT))
    await listed((await mine.chat.completions.with_raw_response.create(stream=True, **CHAT)).parse())
    references = kept(mine, mine._client, answer)
    await mine.close()
    del mine, answer
    return [*seen, alive(references)]


HANGING = [Answer("one two", hang_at=2), Answer("one two", hang_at=2)]

ASYNC_PROGRAMS: dict[str, tuple[AsyncProgram, list[Answer]]] = {
    "plain": (async_plain, []),
    "streams": (async_streams, []),
    "left open": (async_left_open, []),
    "broken": (async_broken, BROKEN),
    "cancelled": (async_cancelled, HANGING),
    "lifetimes": (async_lifetimes, []),
}
