"""A research agent with every pattern of the documented examples, each in a function of its own.

It uses the real `openai` client against the server of `prela.testing`, so it needs no network and no key.
"""

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from openai import AsyncOpenAI

import prela
from prela.aio import to_thread
from prela.core.context import copy_context_to_thread
from prela.testing.openai_server import Answer

tracer: prela.Tracer = prela.get_tracer()

_TOPICS = ("event loops", "thread pools", "cancellation")
_SOURCES = ("database", "web", "archive")
_PAGES_PER_SECOND = 40.0
MODEL = "gpt-4o-mini"


def answer(request: dict[str, Any]) -> Answer:
    """What the demo's server says: slow where a real model would be, and quick enough to watch."""
    prompt = str(request["messages"][-1]["content"])
    if "thread pools" in prompt:
        return Answer("Thread pools run blocking work beside the loop.", delay=0.35)
    if request.get("stream"):
        return Answer("A tracer shows what ran, under what, and what everybody waited for.", 0.05, 0.02)
    return Answer(f"In short: {prompt.removeprefix('Summarise: ')} matters.", delay=0.1)


async def run(base_url: str) -> str:
    """Run the agent once and return its report."""
    async with tracer.aspan("research_agent", prela.SpanType.AGENT, {"topics": list(_TOPICS)}) as span:
        async with AsyncOpenAI(base_url=base_url, api_key="demo", max_retries=0) as client:
            documents = await to_thread(fan_out_fan_in, "tracing", name="search")
            summaries = await summarise_all(client)
            keywords = await to_thread(map_reduce, documents + summaries, name="keywords")
            await race(client)
            pages = await to_thread(fetch_pages, 8, name="fetch_pages")
            report = await write_report(client)
        span.set_attributes({"keywords": keywords, "pages": pages})
        return report


def fan_out_fan_in(query: str) -> list[str]:
    """Ask all sources at once, in a thread pool; one of them is down."""
    with tracer.span("fan_out", prela.SpanType.RETRIEVAL) as span:
        ask = copy_context_to_thread(_query_source)
        with ThreadPoolExecutor(max_workers=len(_SOURCES)) as pool:
            futures = {source: pool.submit(ask, source, query) for source in _SOURCES}
        found: list[str] = []
        for source, future in futures.items():
            if (error := future.exception()) is None:
                found.extend(future.result())
            else:
                span.add_event(f"{source}_failed", {"error": str(error)})
        span.set_attribute("documents", len(found))
        return found


def _query_source(source: str, query: str) -> list[str]:
    with tracer.span(f"query_{source}", prela.SpanType.RETRIEVAL, {"query": query}):
        time.sleep(0.02 * (1 + len(source) % 4))
        if source == "archive":
            raise ConnectionError("archive: connection refused")
        return [f"{source} on {query}, {i}" for i in range(3)]


async def summarise_all(client: AsyncOpenAI) -> list[str]:
    """Ask the model about every topic at once."""
    async with tracer.aspan("summarise_all"):
        return await asyncio.gather(*(_summarise(client, topic) for topic in _TOPICS))


async def _summarise(client: AsyncOpenAI, topic: str) -> str:
    async with tracer.aspan(f"summarise {topic}"):
        completion = await client.chat.completions.create(
            model=MODEL, messages=[{"role": "user", "content": f"Summarise: {topic}"}]
        )
        return completion.choices[0].message.content or ""


def map_reduce(texts: list[str]) -> int:
    """Count words: a thread for each text, and then their sum."""
    with tracer.span("map", prela.SpanType.TOOL):
        count = copy_context_to_thread(_count_words)
        with ThreadPoolExecutor(max_workers=4) as pool:
            counts = list(pool.map(count, texts))
    with tracer.span("reduce", prela.SpanType.TOOL):
        return sum(counts)


@prela.trace("count_words", prela.SpanType.TOOL)
def _count_words(text: str) -> int:
    time.sleep(0.002)
    return len(text.split())


async def race(client: AsyncOpenAI) -> None:
    """Ask the same question twice, keep the answer that is there first, and cancel the other."""
    async with tracer.task_group("race") as group:

        async def attempt(topic: str) -> None:
            await _summarise(client, topic)
            group.cancel_scope.cancel("the other was first")

        group.start_soon(attempt, "event loops", name="quick attempt")
        group.start_soon(attempt, "thread pools", name="slow attempt")


def fetch_pages(count: int) -> int:
    """Fetch pages in threads, no faster than the site allows."""
    fetch = copy_context_to_thread(_fetch_page)
    with ThreadPoolExecutor(max_workers=count) as pool:
        return len(list(pool.map(fetch, range(count), _turns(count))))


def _turns(count: int) -> list[Callable[[], None]]:
    """A rate limit: the n-th call waits until the n-th turn has come."""
    start = time.monotonic()
    return [
        lambda n=n: time.sleep(max(0.0, start + n / _PAGES_PER_SECOND - time.monotonic()))  # type: ignore[misc]
        for n in range(count)
    ]


def _fetch_page(number: int, wait_for_turn: Callable[[], None]) -> int:
    with tracer.span("wait for rate limit"):
        wait_for_turn()
    with tracer.span(f"page {number}", prela.SpanType.TOOL):
        time.sleep(0.01)
    return number


async def write_report(client: AsyncOpenAI) -> str:
    """Write the report as a stream, of which each part is used as it comes."""
    async with tracer.aspan("write_report") as span:
        stream = await client.chat.completions.create(
            model=MODEL,
            messages=[{"role": "user", "content": "Write the report."}],
            stream=True,
            stream_options={"include_usage": True},
        )
        deltas = [chunk.choices[0].delta.content async for chunk in stream if chunk.choices]
        parts = [delta for delta in deltas if delta]
        span.set_attribute("chunks", len(parts))
        return "".join(parts)
