"""Random programs of tasks, threads, generators and spans give the tree that their nesting implies."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import anyio
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import prela
from prela.aio.waking import answered
from prela.core.context import copy_context_to_thread
from prela.insight.registry import registry
from prela.testing import Recorder, recording
from tests.virtual_time import check_waits


@dataclass
class Block:
    """A piece of a random program: how it runs its children, and whether it is a span."""

    how: str
    children: "list[Block]" = field(default_factory=list)


HOWS = ("span", "aspan", "task", "task group", "thread", "pool", "generator", "async generator", "raise", "detached")


def blocks() -> st.SearchStrategy[Block]:
    leaf = st.builds(Block, st.sampled_from(HOWS), st.just([]))
    return st.recursive(
        leaf, lambda inner: st.builds(Block, st.sampled_from(HOWS), st.lists(inner, max_size=3)), max_leaves=12
    )


class Interpreter:
    """Runs a random program, and notes for each span the parent that its nesting implies."""

    def __init__(self) -> None:
        self.tracer = prela.get_tracer()
        self.expected: dict[str, str | None] = {}
        self.workers = ThreadPoolExecutor(4)

    def name(self, parent: str | None) -> str:
        name = f"span {len(self.expected)}"
        self.expected[name] = parent
        return name

    async def run_all(self, children: list[Block], parent: str | None) -> None:
        for block in children:
            await self.run(block, parent)

    async def run(self, block: Block, parent: str | None) -> None:
        await getattr(self, f"run_{block.how.replace(' ', '_')}")(block.children, parent)

    async def run_span(self, children: list[Block], parent: str | None) -> None:
        name = self.name(parent)
        with self.tracer.span(name):
            await anyio.lowlevel.checkpoint()
            await self.run_all(children, name)

    async def run_aspan(self, children: list[Block], parent: str | None) -> None:
        name = self.name(parent)
        async with self.tracer.aspan(name):
            await self.run_all(children, name)

    async def run_task(self, children: list[Block], parent: str | None) -> None:
        async with anyio.create_task_group() as group:
            for block in children:
                group.start_soon(self.run, block, parent)

    async def run_task_group(self, children: list[Block], parent: str | None) -> None:
        name = self.name(parent)
        async with self.tracer.task_group(name) as group:
            for block in children:
                child = self.name(name)
                group.start_soon(self.run, block, child, name=child)

    async def run_thread(self, children: list[Block], parent: str | None) -> None:
        name = self.name(parent)
        await prela.aio.to_thread(self.run_sync, children, name, name=name)

    async def run_pool(self, children: list[Block], parent: str | None) -> None:
        name = self.name(parent)
        with self.tracer.span(name):
            work = copy_context_to_thread(self.run_sync)
            futures = [self.workers.submit(work, [block], name) for block in children]
            for future in futures:
                await answered(future)
                future.result()

    async def run_generator(self, children: list[Block], parent: str | None) -> None:
        name = self.name(parent)

        @prela.trace(name)
        def steps() -> Iterator[int]:
            for block in children:
                self.run_sync([block], name)
                yield 1

        for _ in steps():
            await self.between(parent)

    async def run_async_generator(self, children: list[Block], parent: str | None) -> None:
        name = self.name(parent)

        @prela.trace(name)
        async def steps() -> Any:
            for block in children:
                await self.run(block, name)
                yield 1

        async for _ in steps():
            await self.between(parent)

    async def between(self, parent: str | None) -> None:
        """What a consumer does between two items is its own."""
        with self.tracer.span(self.name(parent)):
            await anyio.lowlevel.checkpoint()

    async def run_raise(self, children: list[Block], parent: str | None) -> None:
        name = self.name(parent)
        with pytest.raises(ZeroDivisionError):
            with self.tracer.span(name):
                await self.run_all(children, name)
                raise ZeroDivisionError

    async def run_detached(self, children: list[Block], parent: str | None) -> None:
        name = self.name(parent)
        span = self.tracer.start_span(name)
        with prela.use_span(span):
            await self.run_all(children, name)
        span.end()

    def run_sync(self, children: list[Block], parent: str | None) -> None:
        """In a thread: only what needs no loop; the rest is a plain span."""
        for block in children:
            name = self.name(parent)
            if block.how in ("generator", "async generator"):
                self.sync_generator(name, block.children, parent)
                continue
            with self.tracer.span(name):
                self.run_sync(block.children, name)

    def sync_generator(self, name: str, children: list[Block], parent: str | None) -> None:
        @prela.trace(name)
        def steps() -> Iterator[int]:
            for block in children:
                self.run_sync([block], name)
                yield 1

        for _ in steps():
            with self.tracer.span(self.name(parent)):
                pass


def check(interpreter: Interpreter, recorder: Recorder) -> None:
    names = {record.span_id: record.name for record in recorder.records}
    drawn = {r.name: names.get(r.parent_span_id or "") for r in recorder.records}
    assert drawn == interpreter.expected, recorder.tree()
    assert len({record.trace_id for record in recorder.records if record.parent_span_id is None}) == sum(
        parent is None for parent in interpreter.expected.values()
    )


def _run(backend: Any, program: list[Block], insight: bool) -> None:
    name, options = backend

    async def main() -> None:
        interpreter = Interpreter()
        try:
            await interpreter.run_all(program, None)
        finally:
            interpreter.workers.shutdown()
        results.append(interpreter)

    results: list[Interpreter] = []
    with recording(insight=insight) as recorder:
        anyio.run(main, backend=name, backend_options=options)
        check(results[0], recorder)
        check_waits(recorder)
    assert not insight or not [*registry.spans()]


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(program=st.lists(blocks(), min_size=1, max_size=4), insight=st.booleans())
def test_a_random_program_draws_the_tree_its_nesting_implies(
    anyio_backend: tuple[str, dict[str, Any]], program: list[Block], insight: bool
) -> None:
    _run(anyio_backend, program, insight)
