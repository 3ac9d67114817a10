"""An agent with a span of every type, and much that goes wrong, as a program: what backends are shown."""

import asyncio
import time
from typing import Any

from openai import AsyncOpenAI

import prela
from prela.testing.openai_server import Answer, OpenAIServer


@prela.trace("search", span_type="tool")
async def search(query: str) -> list[str]:
    await asyncio.sleep(0)
    return [f"about {query}"]


async def stream(client: AsyncOpenAI, *, until: int) -> None:
    """Read a streamed answer; no further than this many chunks."""
    create: Any = client.chat.completions.create
    messages = [{"role": "user", "content": "Tell me more."}]
    options = {"include_usage": True}
    answer = await create(model="gpt-4o-mini", messages=messages, stream=True, stream_options=options)
    async with answer:
        chunks = 0
        async for _ in answer:
            chunks += 1
            if chunks == until:
                break


async def main(base_url: str) -> None:
    tracer = prela.get_tracer()
    async with (
        AsyncOpenAI(base_url=base_url, api_key="none", max_retries=0) as client,
        tracer.aspan("agent", prela.SpanType.AGENT, {"topic": "tracing"}),
    ):
        async with tracer.aspan("documents", prela.SpanType.RETRIEVAL):
            await search("tracing")
        await client.chat.completions.create(
            model="gpt-4o-mini", messages=[{"role": "user", "content": "What is tracing?"}]
        )
        await stream(client, until=1000)
        await stream(client, until=3)
        async with tracer.task_group("at once") as group:
            group.start_soon(hold, "holds the loop", 0.2)
            group.start_soon(asyncio.sleep, 0.01)
        try:
            async with asyncio.timeout(0.01), tracer.aspan("slow"):
                await asyncio.Event().wait()
        except TimeoutError:
            pass
        try:
            async with tracer.aspan("broken"):
                raise ValueError("because")
        except ValueError:
            pass


async def hold(name: str, seconds: float) -> None:
    async with prela.get_tracer().aspan(name):
        await asyncio.sleep(0)
        time.sleep(seconds)


if __name__ == "__main__":
    prela.init("backends", capture_content=True, insight=True)
    answers = [Answer("Spans in a tree."), *[Answer("Each has a beginning and an end.")] * 2]
    with OpenAIServer(answers) as server:
        asyncio.run(main(server.base_url))
    assert prela.sync.shutdown(60)
