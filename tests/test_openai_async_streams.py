"""How a streamed call ended, on every event loop."""

# ruff: noqa: F401, F811  (fixtures)

from contextlib import suppress
from typing import Any

import anyio
import openai
import pytest

import prela
from prela.core.silent import NO_SPAN
from prela.testing import Recorder
from prela.testing.openai_server import Answer
from tests.openai_clients import (
    CHAT,
    AsyncOpen,
    Script,
    async_kinds,
    collected,
    ended,
    faults,
    said,
    the_call,
    unclosed,
)
from tests.openai_fixtures import aclient, instrumented, script, server

# trio warns of iterators of openai's own, which it does not close: with us and without us the same.
pytestmark = pytest.mark.filterwarnings("ignore:Async generator:ResourceWarning")


@pytest.mark.anyio
@async_kinds
async def test_async_completed(aclient: openai.AsyncOpenAI, open_stream: AsyncOpen, prela_spans: Recorder) -> None:
    async with prela.get_tracer().aspan("root"):
        stream = await open_stream(aclient)
        seen = 0
        async for _ in stream:
            seen += 1
            assert prela.get_current_span().name == "root"
    status, outcome, chunks = ended(prela_spans)
    assert (status, outcome) == ("success", "completed")
    assert 0 < chunks <= seen
    assert said(the_call(prela_spans)) == "You said: one two three four"
    await stream.close()
    assert len(prela_spans) == 2


@pytest.mark.anyio
@async_kinds
async def test_async_closed_early(aclient: openai.AsyncOpenAI, open_stream: AsyncOpen, prela_spans: Recorder) -> None:
    async with await open_stream(aclient) as stream:
        await anext(stream)
    assert ended(prela_spans)[:2] == ("success", "closed_early")
    prela_spans.clear()
    stream = await open_stream(aclient)
    await anext(stream)
    await stream.close()
    assert ended(prela_spans)[:2] == ("success", "closed_early")
    prela_spans.clear()
    with pytest.raises(KeyError):
        async with await open_stream(aclient) as stream:
            async for _ in stream:
                raise KeyError
    assert ended(prela_spans)[:2] == ("success", "closed_early")
    assert the_call(prela_spans).attributes["prela.stream.consumer_error"] == "KeyError"


@pytest.mark.anyio
@async_kinds
async def test_async_collected(aclient: openai.AsyncOpenAI, open_stream: AsyncOpen, prela_spans: Recorder) -> None:
    with unclosed():
        await open_stream(aclient)
        await collected()
        assert ended(prela_spans) == ("success", "abandoned", 0)
        prela_spans.clear()
        stream = await open_stream(aclient)
        await anext(stream)
        del stream
        await collected()
        assert ended(prela_spans)[:2] == ("success", "closed_early")
        await collected()


@pytest.mark.anyio
@faults
@async_kinds
async def test_async_broken(
    aclient: openai.AsyncOpenAI, script: Script, open_stream: AsyncOpen, fault: dict[str, Any], prela_spans: Recorder
) -> None:
    script.says(Answer("one two three four five six", **fault))
    raised: Exception | None = None
    stream = await open_stream(aclient)
    try:
        async for _ in stream:
            pass
    except Exception as error:
        raised = error
    await stream.close()
    assert ended(prela_spans)[:2] == ("error", "error" if raised else "completed")
    assert raised is None or the_call(prela_spans).attributes["error.type"] == type(raised).__qualname__


@pytest.mark.anyio
@async_kinds
async def test_async_cancelled_in_the_read_and_in_the_consumers_body(
    aclient: openai.AsyncOpenAI, script: Script, open_stream: AsyncOpen, prela_spans: Recorder
) -> None:
    script.says(Answer("one two", hang_at=3), Answer("one two"))
    with anyio.move_on_after(0.1):
        async with await open_stream(aclient) as stream:
            async for _ in stream:
                pass
    assert ended(prela_spans)[:2] == ("cancelled", "cancelled")
    assert the_call(prela_spans).attributes["prela.cancel.cause"] in {"deadline", "unknown"}
    prela_spans.clear()
    with anyio.CancelScope() as scope:
        async with await open_stream(aclient) as stream:
            await anext(stream)
            scope.cancel()
            await anyio.sleep_forever()
    assert ended(prela_spans)[:2] == ("cancelled", "cancelled")


@pytest.mark.anyio
async def test_async_timeouts(aclient: openai.AsyncOpenAI, script: Script, prela_spans: Recorder) -> None:
    script.says(Answer("one two", hang_at=2), Answer("one two", hang_at=2))
    with pytest.raises(TimeoutError):
        with anyio.fail_after(0.1):
            async for _ in await aclient.chat.completions.create(stream=True, **CHAT):
                pass
    assert ended(prela_spans) == ("cancelled", "cancelled", 2)
    assert said(the_call(prela_spans)) == "one"
    prela_spans.clear()
    raised: Exception | None = None
    stream = await aclient.with_options(timeout=0.05).chat.completions.create(stream=True, **CHAT)
    try:
        async for _ in stream:
            pass
    except Exception as error:
        raised = error
    assert ended(prela_spans) == ("error", "error", 2)
    assert the_call(prela_spans).attributes["error.type"] == type(raised).__qualname__


@pytest.mark.anyio
async def test_a_stream_may_be_made_in_one_task_and_read_in_two_others(
    aclient: openai.AsyncOpenAI, prela_spans: Recorder
) -> None:
    streams: list[Any] = []
    seen: list[Any] = []

    async def make() -> None:
        with prela.get_tracer().span("maker"):
            streams.append(await aclient.chat.completions.create(stream=True, **CHAT))

    async def read_some() -> None:
        with prela.get_tracer().span("reader"):
            seen.append(await anext(streams[0]))
            assert prela.get_current_span().name == "reader"

    async def read_on() -> None:
        seen.extend([item async for item in streams[0]])
        assert prela.get_current_span() is NO_SPAN

    for step in (make, read_some, read_on):
        async with anyio.create_task_group() as group:
            group.start_soon(step)
    assert ended(prela_spans) == ("success", "completed", len(seen))
    assert prela_spans.tree() == "maker\n  chat gpt-4o [llm]\nreader"


@pytest.mark.anyio
async def test_async_raw(aclient: openai.AsyncOpenAI, prela_spans: Recorder) -> None:
    completions = aclient.chat.completions.with_streaming_response
    async with completions.create(stream=True, **CHAT) as raw:
        assert [line async for line in raw.iter_lines()]
    assert ended(prela_spans)[:2] == ("success", "completed")
    assert said(the_call(prela_spans)) == "You said: one two three four"
    prela_spans.clear()
    with suppress(KeyError):
        async with completions.create(stream=True, **CHAT) as raw:
            raise KeyError
    assert ended(prela_spans) == ("success", "closed_early", 0)
    assert the_call(prela_spans).attributes["prela.stream.consumer_error"] == "KeyError"
    prela_spans.clear()
    async with completions.create(stream=True, **CHAT) as raw:
        async for _ in await raw.parse():
            pass
    assert ended(prela_spans)[:2] == ("success", "completed")
