"""Who waited for whom, recorded by our instruments: the critical path over them is exact, and says so."""

from collections.abc import AsyncIterator
from random import Random
from typing import Any, NamedTuple

import anyio
import anyio.abc
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import prela
from prela.aio import to_thread, trace_stream
from prela.aio.kinship import JOINS
from prela.record.model import SpanRecord
from prela.testing import Recorder
from tests.virtual_time import MadeUpTime, basis, check_waits, made_up_time, path

pytestmark = pytest.mark.anyio


def links_of(record: SpanRecord, kind: str, spans: Recorder) -> list[str]:
    """The names of the spans that a span has links of this kind to."""
    names = {one.span_id: one.name for one in spans.records}
    return [names[link.span_id] for link in record.links if link.attributes.get("prela.link.kind") == kind]


# --- task groups --------------------------------------------------------------------------------------------------


async def test_a_group_joins_its_children_and_the_path_is_that_of_the_last(tracer: prela.Tracer) -> None:
    with made_up_time() as (time, spans):
        async with time.running():
            with tracer.span("root"):
                async with tracer.task_group("group") as group:
                    group.start_soon(time.sleep, 5, name="a")
                    await time.sleep(2)
                    group.start_soon(time.sleep, 7, name="b")
                    group.start_soon(time.sleep, 1, name="c")
                await time.sleep(1)
        assert path(spans) == [("group", 0, 2), ("b", 2, 9), ("root", 9, 10)]
        assert basis(spans) == "joins"
        assert links_of(spans["group"], "join", spans) == ["c", "a", "b"]
        assert spans["group"].attributes["prela.group.join_wait"] == 0.007


async def test_children_that_had_ended_before_the_body_did_were_not_waited_for(tracer: prela.Tracer) -> None:
    with made_up_time() as (time, spans):
        async with time.running():
            async with tracer.task_group("group") as group:
                group.start_soon(time.sleep, 3, name="early")
                await time.sleep(8)
        assert path(spans) == [("group", 0, 8)]
        assert spans["group"].links == ()
        assert spans["group"].attributes["prela.group.join_wait"] == 0


async def test_a_span_that_outlives_the_body_in_a_task_of_its_own_is_not_taken_for_a_child(
    tracer: prela.Tracer,
) -> None:
    async def background() -> None:
        async with tracer.aspan("background"):
            await time.sleep(9)

    with made_up_time() as (time, spans):
        async with time.running(), anyio.create_task_group() as plain:
            async with tracer.task_group("group") as group:
                plain.start_soon(background)
                group.start_soon(time.sleep, 5, name="child")
                await time.sleep(1)
            async with tracer.aspan("after"):
                await time.sleep(10)
        assert path(spans)[:2] == [("child", 0, 5), ("after", 5, 15)]


async def test_a_child_started_by_a_child_leads_to_it(tracer: prela.Tracer) -> None:
    async def first(group: Any) -> None:
        await time.sleep(3)
        group.start_soon(time.sleep, 6, name="second")
        await time.sleep(1)

    with made_up_time() as (time, spans):
        async with time.running():
            async with tracer.task_group("group") as group:
                group.start_soon(first, group, name="first")
                group.start_soon(time.sleep, 5, name="other")
        assert path(spans) == [("first", 0, 3), ("second", 3, 9)]
        assert basis(spans) == "joins"


async def test_calls_inside_the_children_are_on_the_path(tracer: prela.Tracer) -> None:
    async def child(before: int, inside: int, after: int) -> None:
        await time.sleep(before)
        with tracer.span(f"call {inside}"):
            await time.sleep(inside)
        await time.sleep(after)

    with made_up_time() as (time, spans):
        async with time.running():
            async with tracer.task_group("group") as group:
                group.start_soon(child, 1, 4, 2, name="a")
                group.start_soon(child, 2, 7, 1, name="b")
        assert path(spans) == [("b", 0, 2), ("call 7", 2, 9), ("b", 9, 10)]
        assert basis(spans) == "joins"


async def test_the_wait_for_a_child_to_start_is_the_childs(tracer: prela.Tracer) -> None:
    async def server(*, task_status: anyio.abc.TaskStatus[None]) -> None:
        await time.sleep(4)
        task_status.started()
        await time.sleep(2)

    with made_up_time() as (time, spans):
        async with time.running():
            async with tracer.task_group("group") as group:
                await time.sleep(1)
                await group.start(server, name="server")
                group.start_soon(time.sleep, 9, name="client")
        assert path(spans) == [("group", 0, 1), ("server", 1, 5), ("client", 5, 14)]
        assert basis(spans) == "joins"
        assert links_of(spans["group"], "signal", spans) == ["server"]
        assert links_of(spans["group"], "join", spans) == ["server", "client"]


async def test_the_path_over_a_thousand_children_is_exact(tracer: prela.Tracer) -> None:
    order = Random(1).sample(range(1_000), 1_000)
    with made_up_time() as (time, spans):
        async with time.running():
            async with tracer.task_group("group") as group:
                for number in order:
                    group.start_soon(time.sleep, number // 50 + 1, name=f"child {number}")
                group.start_soon(time.sleep, 30, name="last")
        assert len(spans["group"].links) <= JOINS + 2
        assert spans["group"].dropped == {}
        assert path(spans) == [("last", 0, 30)]
        assert basis(spans) == "joins"


@pytest.mark.parametrize("losers", [3, 300])
async def test_the_winner_of_a_race_is_joined_however_many_lost_it(tracer: prela.Tracer, losers: int) -> None:
    async def winner() -> None:
        await time.sleep(5)
        group.cancel_scope.cancel()

    with made_up_time() as (time, spans):
        async with time.running():
            async with tracer.task_group("group") as group:
                for number in range(losers):
                    group.start_soon(time.sleep, 100, name=f"loser {number}")
                group.start_soon(winner, name="winner")
        assert path(spans) == [("winner", 0, 5)]
        assert basis(spans) == "joins"


@pytest.mark.parametrize("siblings", [3, 300])
async def test_the_first_to_fail_is_joined_however_many_were_cancelled_for_it(
    tracer: prela.Tracer, siblings: int
) -> None:
    async def fails() -> None:
        await time.sleep(5)
        raise ValueError

    async def cleans_up() -> None:
        try:
            await time.sleep(100)
        finally:
            with anyio.CancelScope(shield=True):
                await time.sleep(2)

    async def finishes() -> None:
        with anyio.CancelScope(shield=True):
            await time.sleep(6)

    with made_up_time() as (time, spans):
        async with time.running():
            with pytest.raises(ExceptionGroup):
                async with tracer.task_group("group") as group:
                    for number in range(siblings):
                        group.start_soon(cleans_up, name=f"sibling {number}")
                    group.start_soon(fails, name="fails")
                    group.start_soon(finishes, name="finishes all the same")
        (first, second) = path(spans)
        assert first == ("fails", 0, 5)
        assert second[0].startswith("sibling") and second[1:] == (5, 7)
        assert basis(spans) == "joins"
        attributes = spans["group"].attributes
        assert attributes["prela.group.first_failure"] == "fails"
        assert attributes["prela.group.first_failure_span"] == spans["fails"].span_id
        assert (attributes["prela.group.failed"], attributes["prela.group.cancelled"]) == (1, siblings)


async def test_after_a_body_that_failed_only_the_cleaning_up_is_the_childs(tracer: prela.Tracer) -> None:
    async def cleans_up() -> None:
        try:
            await time.sleep(100)
        finally:
            with anyio.CancelScope(shield=True):
                await time.sleep(2)

    with made_up_time() as (time, spans):
        async with time.running():
            with pytest.raises(ExceptionGroup):
                async with tracer.task_group("group") as group:
                    group.start_soon(cleans_up, name="child")
                    await time.sleep(5)
                    raise ValueError
        assert path(spans) == [("group", 0, 5), ("child", 5, 7)]
        assert basis(spans) == "joins"


async def test_a_users_own_links_keep_their_room(tracer: prela.Tracer) -> None:
    with made_up_time() as (time, spans):
        async with time.running():
            async with tracer.task_group("group") as group:
                for number in range(256):
                    group.span.add_link(prela.SpanContext("a" * 32, f"{number + 1:016x}"))
                group.start_soon(time.sleep, 5, name="child")
        assert len(spans["group"].links) == 257
        assert spans["group"].dropped == {}
        assert path(spans) == [("child", 0, 5)]
        assert basis(spans) == "joins"


async def test_a_group_below_an_unsampled_root_tells_nothing(tracer: prela.Tracer) -> None:
    from prela.aio import cancellation, task_spans

    before = dict(cancellation.open_groups), dict(task_spans._open)
    with prela.testing.recording(sampler=prela.AlwaysOff()) as spans, tracer.span("root"):
        async with tracer.task_group("group") as group:
            group.start_soon(anyio.lowlevel.checkpoint, name="child")
            assert (cancellation.open_groups, task_spans._open) == before
    assert spans.records == []


async def test_a_child_that_fails_before_it_has_started_is_no_failure_of_the_group(tracer: prela.Tracer) -> None:
    async def server(*, task_status: anyio.abc.TaskStatus[None]) -> None:
        raise OSError

    with made_up_time() as (time, spans):
        async with time.running():
            async with tracer.task_group("group") as group:
                group.start_soon(time.sleep, 2, name="child")
                with pytest.raises(OSError):
                    await group.start(server, name="server")
        assert "prela.group.first_failure" not in spans["group"].attributes


# --- threads ------------------------------------------------------------------------------------------------------


async def test_a_call_in_a_thread_is_joined_by_who_awaited_it(tracer: prela.Tracer) -> None:
    with made_up_time() as (time, spans):
        with tracer.span("root"):
            time.work(1)
            await to_thread(time.work, 5, name="thread")
            time.work(2)
        assert path(spans) == [("root", 0, 1), ("thread", 1, 6), ("root", 6, 8)]
        assert basis(spans) == "joins"
        assert links_of(spans["root"], "join", spans) == ["thread"]
        assert spans["thread"].attributes["prela.time.queued"] == 0
        assert "prela.wait.for" not in spans["thread"].attributes, "it is the work, and not the wait for a thread"


async def test_the_wait_for_a_worker_thread_is_told_apart_from_the_work(tracer: prela.Tracer) -> None:
    limiter = anyio.CapacityLimiter(1)
    with made_up_time() as (time, spans):
        async with time.running():
            async with limiter, tracer.task_group("group") as group:
                group.start_soon(lambda: to_thread(time.work, 5, limiter=limiter, name="thread"), name="child")
                await time.sleep(3)
                limiter.total_tokens = 2
        assert spans["thread"].attributes["prela.time.queued"] == 0.003
        assert path(spans) == [("child", 0, 3), ("thread", 3, 8)]
        assert basis(spans) == "joins"


async def test_more_calls_in_threads_than_links_are_joined_all_the_same(tracer: prela.Tracer) -> None:
    with made_up_time() as (time, spans):
        with tracer.span("root") as root:
            for number in range(70):
                await to_thread(time.work, 1, name=f"thread {number}")
                time.work(1)
        assert len(root.links) == 64
        assert spans["thread 63"].attributes.get("prela.task.joined_by") is None
        assert spans["thread 64"].attributes["prela.task.joined_by"] == root.span_id
        assert len(path(spans)) == 140
        assert basis(spans) == "joins"


async def test_a_call_that_is_cancelled_before_a_thread_took_it_up_leaves_no_trace(tracer: prela.Tracer) -> None:
    limiter = anyio.CapacityLimiter(1)
    with made_up_time() as (_, spans):
        limiter.acquire_on_behalf_of_nowait("somebody else")
        with tracer.span("root"), anyio.move_on_after(0.005):
            await to_thread(print, limiter=limiter, name="thread")
        assert spans.names == ["root"]
        assert spans["root"].links == ()


# --- streams ------------------------------------------------------------------------------------------------------


async def test_a_stream_is_on_the_path_while_it_was_waited_for_and_its_consumer_else(tracer: prela.Tracer) -> None:
    async def items() -> AsyncIterator[int]:
        for number in (3, 1, 4):
            with tracer.span(f"make {number}"):
                await time.sleep(number)
            yield number
        await time.sleep(2)

    with made_up_time() as (time, spans):
        async with time.running(), tracer.aspan("root"):
            await time.sleep(1)
            async for item in trace_stream(items(), tracer.start_span("stream")):
                with tracer.span(f"use {item}"):
                    await time.sleep(10 * item)
        assert path(spans) == [
            ("root", 0, 1),
            ("make 3", 1, 4),
            ("use 3", 4, 34),
            ("make 1", 34, 35),
            ("use 1", 35, 45),
            ("make 4", 45, 49),
            ("use 4", 49, 89),
            ("stream", 89, 91),
        ]
        assert basis(spans) == "joins"
        assert links_of(spans["root"], "pull", spans) == ["stream"]


async def test_a_stream_that_waits_for_a_task_of_its_own_leads_on_to_that(tracer: prela.Tracer) -> None:
    async def items() -> AsyncIterator[int]:
        async with tracer.task_group("fetch") as group:
            group.start_soon(time.sleep, 4, name="slow")
            group.start_soon(time.sleep, 2, name="quick")
        yield 1

    with made_up_time() as (time, spans):
        async with time.running(), tracer.aspan("root"):
            async for _ in trace_stream(items(), tracer.start_span("stream")):
                await time.sleep(1)
        assert path(spans) == [("slow", 0, 4), ("root", 4, 5)]
        assert basis(spans) == "joins"


async def test_more_waits_for_a_stream_than_are_told_are_told_together_and_said_to_be(tracer: prela.Tracer) -> None:
    async def items() -> AsyncIterator[int]:
        for number in range(1_000):
            await anyio.lowlevel.checkpoint()
            time.work(2)
            yield number

    with made_up_time() as (time, spans):
        async with tracer.aspan("root"):
            async for _ in trace_stream(items(), tracer.start_span("stream")):
                time.work(1)
        (link,) = spans["root"].links
        times = link.attributes["prela.pull.times_unix_nano"]
        assert len(times) <= 128
        assert times == sorted(times)
        waited = sum(times[1::2]) - sum(times[::2])
        assert waited / 1e9 == pytest.approx(2 + link.attributes["prela.pull.closed"])
        assert basis(spans) == "timing"


async def test_a_stream_with_two_readers_tells_on_each_when_it_waited(tracer: prela.Tracer) -> None:
    async def items() -> AsyncIterator[int]:
        while True:
            await anyio.lowlevel.checkpoint()
            time.work(1)
            yield 1

    with made_up_time() as (time, spans):
        stream = trace_stream(items(), tracer.start_span("stream"))
        for name in ("one", "two"):
            with tracer.span(name):
                await anext(stream)
        await stream.aclose()
        for name in ("one", "two"):
            assert links_of(spans[name], "pull", spans) == ["stream"]


# --- at random ----------------------------------------------------------------------------------------------------


class Step(NamedTuple):
    """A piece of a program of known durations."""

    how: str
    length: int
    below: "tuple[Step, ...]" = ()


def programs() -> st.SearchStrategy[Step]:
    work = st.builds(Step, st.just("work"), st.integers(1, 10**6))
    return st.recursive(
        work,
        lambda inner: st.builds(
            Step,
            st.sampled_from(["call", "task group", "starts", "stream"]),
            st.integers(1, 10**6),
            st.lists(inner, min_size=1, max_size=4).map(tuple),
        ),
        max_leaves=10,
    )


class Known:
    """Runs a random program, and works out by its rules what its critical path is."""

    def __init__(self, tracer: prela.Tracer, time: MadeUpTime) -> None:
        self.tracer = tracer
        self.time = time
        self.named = 0

    async def run(self, step: Step) -> list[tuple[str, int, int]]:
        """Returns the path from its start to its end; `self` stands for the span around it."""
        return await getattr(self, f"run_{step.how.replace(' ', '_')}")(step)

    async def in_turn(self, steps: tuple[Step, ...]) -> list[tuple[str, int, int]]:
        found: list[tuple[str, int, int]] = []
        for step in steps:
            found += await self.run(step)
        return found

    def name(self, how: str) -> str:
        self.named += 1
        return f"{how} {self.named}"

    async def work(self, length: int) -> list[tuple[str, int, int]]:
        start = self.time.now
        await self.time.sleep(length)
        return [("self", start, self.time.now)]

    async def run_work(self, step: Step) -> list[tuple[str, int, int]]:
        return await self.work(step.length)

    async def run_call(self, step: Step) -> list[tuple[str, int, int]]:
        name = self.name("call")
        with self.tracer.span(name):
            return own(name, await self.in_turn(step.below))

    async def run_task_group(self, step: Step) -> list[tuple[str, int, int]]:
        name, paths = self.name("group"), []

        async def child(one: Step, child_name: str, spawned: list[tuple[str, int, int]]) -> None:
            paths.append(spawned + own(child_name, await self.run(one)))

        async with self.tracer.task_group(name) as group:
            body: list[tuple[str, int, int]] = []
            for one in step.below:
                child_name = self.name("child")
                group.start_soon(child, one, child_name, own(name, body), name=child_name)
                body += await self.work(step.length)
        return max([own(name, body), *paths], key=lambda found: found[-1][2])

    async def run_starts(self, step: Step) -> list[tuple[str, int, int]]:
        """A group whose body waits for each child to have started."""
        name, paths = self.name("group"), []
        body: list[tuple[str, int, int]] = []

        async def child(one: Step, child_name: str, *, task_status: anyio.abc.TaskStatus[Any]) -> None:
            before = own(name, body)
            ready = before + own(child_name, await self.work(step.length))
            task_status.started(ready)
            paths.append(ready + own(child_name, await self.run(one)))

        async with self.tracer.task_group(name) as group:
            for one in step.below:
                child_name = self.name("child")
                body = await group.start(child, one, child_name, name=child_name)
                body = body + own(name, await self.work(1))
        return max([own(name, body), *paths], key=lambda found: found[-1][2])

    async def run_stream(self, step: Step) -> list[tuple[str, int, int]]:
        name, found = self.name("stream"), []

        async def items() -> AsyncIterator[list[tuple[str, int, int]]]:
            for one in step.below:
                yield own(name, await self.run(one))

        async for made in trace_stream(items(), self.tracer.start_span(name)):
            found += made
            found += await self.work(step.length)
        return found


def own(name: str, found: list[tuple[str, int, int]]) -> list[tuple[str, int, int]]:
    """The path with what was the span's own under its name."""
    return [(name if who == "self" else who, start, end) for who, start, end in found]


def joined(found: list[tuple[str, int, int]]) -> list[tuple[str, int, int]]:
    """The path with neighbours of one span as one."""
    result: list[tuple[str, int, int]] = []
    for who, start, end in found:
        if result and result[-1][0] == who:
            start = result.pop()[1]
        result.append((who, start, end))
    return result


@settings(max_examples=30, deadline=None, suppress_health_check=list(HealthCheck))
@given(program=st.lists(programs(), min_size=1, max_size=3).map(tuple))
def test_the_critical_path_of_a_random_program_is_what_its_rules_say(
    anyio_backend: tuple[str, dict[str, Any]], program: tuple[Step, ...]
) -> None:
    backend, options = anyio_backend
    expected: list[tuple[str, int, int]] = []

    async def main(time: MadeUpTime) -> None:
        known = Known(prela.get_tracer(), time)
        async with time.running():
            async with known.tracer.aspan("root"):
                expected.extend(own("root", await known.in_turn(program)))

    with made_up_time() as (time, spans):
        anyio.run(main, time, backend=backend, backend_options=options)
        check_waits(spans)
        assert path(spans) == joined(expected), spans.tree()
        used_others = any(record.links for record in spans.records)
        assert basis(spans) in (("joins", "timing") if used_others else ("timing",))
