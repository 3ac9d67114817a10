"""The laws of context: what is current, whose child a span is, and that nobody disturbs anybody."""

import contextvars
import gc
import sys
import threading
import traceback
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from typing import Any

import anyio
import pytest

import prela
from prela.core.context import copy_context_to_thread
from prela.testing import Recorder

pytestmark = pytest.mark.anyio


def tree(text: str) -> str:
    lines = [line for line in text.splitlines() if line.strip()]
    margin = min(len(line) - len(line.lstrip()) for line in lines)
    return "\n".join(line[margin:].rstrip() for line in lines)


def test_nesting_makes_the_tree(tracer: prela.Tracer, prela_spans: Recorder) -> None:
    with tracer.span("a"):
        with tracer.span("b"):
            with tracer.span("c"):
                pass
        with tracer.span("d"):
            pass
    assert prela_spans.tree() == tree("""
        a
          b
            c
          d
    """)


def test_outside_any_span_the_current_one_records_nothing(prela_spans: Recorder) -> None:
    span = prela.get_current_span()
    span.set_attribute("a", 1)
    span.name = "renamed"
    assert not span.is_recording
    assert span.trace_id == "0" * 32


async def test_tasks_inherit_the_span_they_were_started_in_and_do_not_disturb_each_other(
    tracer: prela.Tracer, prela_spans: Recorder
) -> None:
    async def work(number: int) -> None:
        async with tracer.aspan(f"outer {number}"):
            await anyio.lowlevel.checkpoint()
            with tracer.span(f"inner {number}"):
                await anyio.lowlevel.checkpoint()

    async with tracer.aspan("root"), anyio.create_task_group() as group:
        for number in range(200):
            group.start_soon(work, number)

    root = prela_spans["root"]
    for number in range(200):
        assert prela_spans[f"outer {number}"].parent_span_id == root.span_id
        assert prela_spans[f"inner {number}"].parent_span_id == prela_spans[f"outer {number}"].span_id


async def test_a_child_may_outlive_its_parent_and_keeps_its_ids(tracer: prela.Tracer, prela_spans: Recorder) -> None:
    go = anyio.Event()

    async def late() -> None:
        await go.wait()
        with tracer.span("late 1"):
            pass
        with tracer.span("late 2"):
            pass

    async with anyio.create_task_group() as group:
        with tracer.span("parent"):
            group.start_soon(late)
            await anyio.lowlevel.checkpoint()
        go.set()
    assert prela_spans.tree() == tree("""
        parent
          late 1
          late 2
    """)


def test_one_captured_context_serves_many_threads_at_once(tracer: prela.Tracer, prela_spans: Recorder) -> None:
    barrier = threading.Barrier(8)

    def work(number: int) -> None:
        barrier.wait(timeout=10)
        with tracer.span(f"work {number}"):
            barrier.wait(timeout=10)

    with tracer.span("root"), ThreadPoolExecutor(8) as pool:
        list(pool.map(copy_context_to_thread(work), range(8)))
    assert {r.parent_span_id for r in prela_spans.records if r.name != "root"} == {prela_spans["root"].span_id}


def test_a_call_in_a_captured_context_sees_no_other_calls_changes() -> None:
    variable: contextvars.ContextVar[int] = contextvars.ContextVar("variable", default=0)
    variable.set(1)

    def change() -> int:
        seen = variable.get()
        variable.set(2)
        return seen

    captured = copy_context_to_thread(change)
    assert [captured(), captured()] == [1, 1]


class _AsyncCallable:
    async def __call__(self) -> None: ...


async def _coroutine_function() -> None: ...


async def _async_generator_function() -> AsyncIterator[int]:
    yield 1


@pytest.mark.parametrize("func", [_coroutine_function, _async_generator_function, _AsyncCallable()])
def test_coroutine_functions_cannot_be_taken_to_a_thread(func: Any) -> None:
    with pytest.raises(TypeError, match="coroutine function"):
        copy_context_to_thread(func)


async def test_to_thread_runs_below_the_current_span(tracer: prela.Tracer, prela_spans: Recorder) -> None:
    def work() -> int:
        with tracer.span("inside"):
            return 7

    async with tracer.aspan("root"):
        assert await prela.aio.to_thread(work, name="thread") == 7
        assert await prela.aio.to_thread(work) == 7
    assert prela_spans.tree() == tree("""
        root
          thread
            inside
          inside
    """)


def test_spans_left_out_of_order_restore_the_nearest_that_was_not_left(
    tracer: prela.Tracer, prela_spans: Recorder
) -> None:
    root, a, b = tracer.span("root"), tracer.span("a"), tracer.span("b")
    with root:
        a = tracer.span("a")
        a.__enter__()
        b = tracer.span("b")
        b.__enter__()
        a.__exit__(None, None, None)
        assert prela.get_current_span() is b
        b.__exit__(None, None, None)
        assert prela.get_current_span() is root
        with tracer.span("after"):
            pass
    assert prela.get_current_span().is_recording is False
    assert prela_spans.tree() == tree("""
        root
          a
            b
          after
    """)


def test_a_span_left_in_another_context_ends_once_and_is_passed_over_where_it_was_entered(
    tracer: prela.Tracer, prela_spans: Recorder
) -> None:
    with tracer.span("root"):
        span = tracer.span("elsewhere")
        span.__enter__()
        thread = threading.Thread(target=span.__exit__, args=(None, None, None))
        thread.start()
        thread.join()
        with tracer.span("after"):
            pass
        span.__exit__(None, None, None)
    assert prela_spans.tree() == tree("""
        root
          elsewhere
          after
    """)


async def test_a_task_started_inside_a_span_stays_its_child_when_that_is_left_out_of_order(
    tracer: prela.Tracer, prela_spans: Recorder
) -> None:
    go = anyio.Event()

    async def work() -> None:
        await go.wait()
        with tracer.span("work"):
            pass

    async with anyio.create_task_group() as group:
        a = tracer.span("a")
        a.__enter__()
        group.start_soon(work)
        await anyio.lowlevel.checkpoint()
        b = tracer.span("b")
        b.__enter__()
        a.__exit__(None, None, None)
        b.__exit__(None, None, None)
        go.set()
    assert prela_spans["work"].parent_span_id == prela_spans["a"].span_id


async def test_what_was_left_out_of_order_is_inherited_by_nobody_who_starts_afterwards(
    tracer: prela.Tracer, prela_spans: Recorder
) -> None:
    async def work(name: str) -> None:
        with tracer.span(name):
            pass

    async with anyio.create_task_group() as group:
        with tracer.span("request"):
            a, b = tracer.span("a"), tracer.span("b")
            a.__enter__()
            b.__enter__()
            a.__exit__(None, None, None)
            b.__exit__(None, None, None)
            group.start_soon(work, "work 1")  # nothing of ours has looked what is current in between
            a, b = tracer.span("c"), tracer.span("d", parent=None)
            a.__enter__()
            b.__enter__()
            with prela.use_span(b):
                a.__exit__(None, None, None)
            b.__exit__(None, None, None)
            group.start_soon(work, "work 2")
    request = prela_spans["request"].span_id
    assert [prela_spans[name].parent_span_id for name in ("a", "c", "work 1", "work 2")] == [request] * 4


BLOCKS: dict[str, Callable[[], AbstractContextManager[object]]] = {
    "suppress": prela.suppress,
    "use_span": lambda: prela.use_span(prela.get_tracer().start_span("used")),
    "baggage": lambda: prela.baggage(tenant="a"),
    "propagate_attributes": lambda: prela.propagate_attributes(tenant="a"),
}


def what_is_in_force() -> tuple[str, dict[str, object], dict[str, object]]:
    with prela.get_tracer().span("look") as look:
        return prela.get_current_span().name, dict(prela.get_baggage()), dict(look.attributes)


@pytest.mark.parametrize("name", BLOCKS)
def test_a_block_left_in_another_context_is_passed_over_where_it_was_entered(
    name: str, tracer: prela.Tracer, prela_spans: Recorder
) -> None:
    block = BLOCKS[name]()
    with tracer.span("outer"):
        block.__enter__()
        inherited = contextvars.copy_context()
        within = inherited.run(what_is_in_force)
        assert within != ("look", {}, {}) or name == "use_span"
        contextvars.copy_context().run(block.__exit__, None, None, None)
        assert what_is_in_force() == ("look", {}, {})
        with tracer.span("after"):
            pass
        assert inherited.run(what_is_in_force) == within  # what was started inside it stays so
    assert prela_spans["after"].parent_span_id == prela_spans["outer"].span_id
    assert prela_spans["after"].attributes == {}


@pytest.mark.parametrize("first", BLOCKS)
@pytest.mark.parametrize("second", BLOCKS)
def test_blocks_left_out_of_order_leave_nothing_behind(
    first: str, second: str, tracer: prela.Tracer, prela_spans: Recorder
) -> None:
    with tracer.span("outer") as outer:
        blocks = [BLOCKS[first](), BLOCKS[second]()]
        for block in blocks:
            block.__enter__()
        inner = tracer.span("inner")
        inner.__enter__()
        for block in blocks:
            block.__exit__(None, None, None)
        if inner.is_recording:
            assert prela.get_current_span() is inner
        inner.__exit__(None, None, None)
        assert prela.get_current_span() is outer
        contextvars.copy_context().run(what_is_in_force)
        assert what_is_in_force() == ("look", {}, {})
    looks = [record for record in prela_spans.records if record.name == "look"]
    assert [look.parent_span_id for look in looks] == [outer.span_id] * 2


def test_what_a_block_uncovers_that_was_left_is_inherited_by_nobody(
    tracer: prela.Tracer, prela_spans: Recorder
) -> None:
    with tracer.span("outer") as outer:
        a, block = tracer.span("a"), prela.use_span(outer)
        a.__enter__()
        block.__enter__()
        a.__exit__(None, None, None)
        block.__exit__(None, None, None)
        contextvars.copy_context().run(what_is_in_force)
    assert prela_spans["look"].parent_span_id == outer.span_id


def test_suppression_is_found_below_a_span_that_was_left_elsewhere(tracer: prela.Tracer, prela_spans: Recorder) -> None:
    span = tracer.span("made outside")
    with prela.suppress():
        span.__enter__()
        contextvars.copy_context().run(span.__exit__, None, None, None)
        with prela.use_span(span), tracer.span("not traced"):  # nothing of ours has looked what is current in between
            pass
        assert prela.inject({}) == {}
    assert prela_spans.names == ["made outside"]


def test_a_span_left_early_may_be_used_and_what_was_entered_after_it_is_left_in_peace(
    tracer: prela.Tracer, prela_spans: Recorder
) -> None:
    with tracer.span("outer") as outer:
        a, b = tracer.span("a"), tracer.span("b")
        a.__enter__()
        b.__enter__()
        a.__exit__(None, None, None)
        with prela.use_span(a), tracer.span("below a"):
            pass
        b.__exit__(None, None, None)
        assert prela.get_current_span() is outer
    assert prela_spans["below a"].parent_span_id == a.span_id


def test_spans_left_in_copies_of_a_context_leave_no_chain_behind(tracer: prela.Tracer, prela_spans: Recorder) -> None:
    for number in range(2_000):
        span = tracer.span(f"{number}")
        span.__enter__()
        contextvars.copy_context().run(span.__exit__, None, None, None)
    del span
    prela_spans.clear()
    gc.collect()
    assert sum(isinstance(found, prela.Span) for found in gc.get_objects()) < 50


def test_entering_twice_gives_a_span_one_life(tracer: prela.Tracer, prela_spans: Recorder) -> None:
    span = tracer.span("once")
    with span, span:
        pass
    with span:
        pass
    assert prela_spans.names == ["once"]
    assert prela.get_current_span().is_recording is False


def test_entering_a_started_span_keeps_its_id(tracer: prela.Tracer, prela_spans: Recorder) -> None:
    span = tracer.start_span("started")
    before = span.span_id
    with span, tracer.span("child"):
        pass
    assert prela_spans["started"].span_id == before
    assert prela_spans["child"].parent_span_id == before


def test_a_span_ended_in_its_block_and_exported_is_not_current_after_it(
    tracer: prela.Tracer, prela_spans: Recorder
) -> None:
    with tracer.span("root") as root:
        with tracer.span("early") as span:
            span.end()
            assert prela_spans.names == ["early"]
        assert prela.get_current_span() is root


def test_leaving_a_span_that_was_never_entered_does_nothing(tracer: prela.Tracer, prela_spans: Recorder) -> None:
    tracer.span("never").__exit__(None, None, None)
    tracer.span("never").end()
    assert prela_spans.records == []


def test_an_explicit_parent_wins_over_the_current_span(tracer: prela.Tracer, prela_spans: Recorder) -> None:
    with tracer.span("a") as a:
        pass
    with tracer.span("b"):
        with tracer.span("child of a", parent=a):
            pass
        with tracer.span("new root", parent=None):
            pass
    remote = prela.SpanContext("1" * 32, "2" * 16, is_remote=True)
    with tracer.span("child of another process", parent=remote), tracer.span("below"):
        pass
    assert prela_spans["child of a"].parent_span_id == a.span_id
    assert prela_spans["new root"].parent_span_id is None
    assert prela_spans["new root"].trace_id != a.trace_id
    assert prela_spans["child of another process"].parent_span_id == "2" * 16
    assert prela_spans["below"].trace_id == "1" * 32


@pytest.mark.parametrize("parent", ["garbage", 5, prela.SpanContext("-1", "x"), prela.SpanContext("0" * 32, "1" * 16)])
def test_a_parent_that_cannot_be_starts_a_new_trace(parent: Any, tracer: prela.Tracer, prela_spans: Recorder) -> None:
    with tracer.span("span", parent=parent):
        pass
    assert prela_spans["span"].parent_span_id is None


def test_use_span_makes_current_and_does_not_end(tracer: prela.Tracer, prela_spans: Recorder) -> None:
    span = tracer.start_span("used")
    with prela.use_span(span), tracer.span("child"):
        pass
    assert span.is_recording
    span.end()
    with prela.use_span(prela.SpanContext("a" * 32, "b" * 16)), tracer.span("remote child"):
        pass
    assert prela_spans["child"].parent_span_id == prela_spans["used"].span_id
    assert prela_spans["remote child"].parent_span_id == "b" * 16


def test_use_span_starts_a_span_that_was_not(tracer: prela.Tracer, prela_spans: Recorder) -> None:
    span = tracer.span("lazy")
    with prela.use_span(span), tracer.span("child"):
        pass
    span.end()
    assert prela_spans["child"].parent_span_id == prela_spans["lazy"].span_id


def test_nothing_is_traced_inside_suppress(tracer: prela.Tracer, prela_spans: Recorder) -> None:
    @prela.trace
    def steps() -> Iterator[int]:
        with tracer.span("inner"):
            yield 1
            yield 2

    generator = steps()
    other = tracer.start_span("other")
    with prela.suppress():
        with tracer.span("a", parent=None), tracer.span("b"):
            pass
        with prela.use_span(other), tracer.span("c"):
            pass
        next(generator)
    other.end()
    generator.close()
    assert "a" not in prela_spans.names
    assert {"b", "c", "inner"}.isdisjoint(prela_spans.names)


async def test_baggage_and_propagated_attributes_flow_into_tasks_and_threads(
    tracer: prela.Tracer, prela_spans: Recorder
) -> None:
    def in_thread() -> None:
        with tracer.span("thread", attributes={"own": 1, "tier": "mine"}):
            assert prela.get_baggage() == {"tenant": "t1", "more": 2}

    with prela.baggage(tenant="t1"), prela.propagate_attributes(session_id="s", user_id="u", tier="gold"):
        with tracer.span("root"), prela.baggage(more=2):
            await prela.aio.to_thread(in_thread)
        assert prela.get_baggage() == {"tenant": "t1"}
    with tracer.span("outside"):
        pass
    assert prela.get_baggage() == {}
    assert prela_spans["root"].attributes == {"session.id": "s", "user.id": "u", "tier": "gold"}
    assert prela_spans["thread"].attributes == {"session.id": "s", "user.id": "u", "tier": "mine", "own": 1}
    assert prela_spans["outside"].attributes == {}
    with pytest.raises(TypeError):
        prela.get_baggage()["x"] = 1  # type: ignore[index]


@pytest.mark.parametrize("more", range(8))  # the limit is met in another of our functions each time
def test_after_a_recursion_error_without_a_span_around_it_nothing_is_current_or_open(
    more: int, tracer: prela.Tracer, prela_spans: Recorder
) -> None:
    def dive(depth: int) -> None:
        with tracer.span(f"{depth}"):
            dive(depth + 1)

    before = sys.getrecursionlimit()
    here = len(traceback.extract_stack())
    sys.setrecursionlimit(here + 150 + more)
    try:
        with pytest.raises(RecursionError):
            dive(0)
    finally:
        sys.setrecursionlimit(before)
    assert prela.get_current_span().name == ""
    ids = prela_spans._settings.counters.ids
    assert len(prela_spans.records) == ids.started > 40


def test_after_a_recursion_error_nothing_of_the_deep_spans_is_current_or_lost(
    tracer: prela.Tracer, prela_spans: Recorder
) -> None:
    @prela.trace
    def dive(depth: int) -> None:
        dive(depth + 1)

    with tracer.span("root") as root:
        with pytest.raises(RecursionError):
            dive(0)
        assert prela.get_current_span() is root
        with tracer.span("after"):
            pass
    assert prela_spans["after"].parent_span_id == root.span_id
    with tracer.span("next"):
        pass
    assert prela_spans["next"].parent_span_id is None
    ids = prela_spans._settings.counters.ids
    expected = [ids.span_id(index) for index in range(ids.started)]
    assert sorted(record.span_id for record in prela_spans.records) == sorted(expected)


def test_a_thread_inherits_no_span_that_was_left_elsewhere(tracer: prela.Tracer, prela_spans: Recorder) -> None:
    def work() -> None:
        with tracer.span("in the thread"):
            pass

    left = tracer.span("left elsewhere").__enter__()
    contextvars.copy_context().run(left.__exit__, None, None, None)
    captured = copy_context_to_thread(work)  # no span was started here since
    captured()
    assert prela_spans["in the thread"].parent_span_id is None
