"""What a generator holds is its own, step by step: whoever takes its steps, and whatever ends in between."""

import contextvars
import gc
import opcode
import sys
import warnings
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, ExitStack
from types import FrameType
from typing import Any

import anyio
import anyio.to_thread
import pytest

import prela
from prela.core.silent import NO_SPAN
from prela.core.step import in_step
from prela.testing import Recorder, recording

pytestmark = pytest.mark.anyio


class ButFor:
    """Samples every trace whose root is not called `unsampled`."""

    def should_sample(self, request: prela.SamplingRequest) -> bool:
        return request.name != "unsampled"


def test_an_unsampled_root_may_be_left_in_a_step(tracer: prela.Tracer) -> None:
    stack = ExitStack()

    @prela.trace("rows")
    def rows() -> Iterator[int]:
        yield 1
        stack.close()
        yield 2

    with recording(sample_rate=0.0):
        stack.enter_context(tracer.span("request"))
        assert list(rows()) == [1, 2]
        assert prela.get_current_span() is NO_SPAN


def test_blocks_left_in_a_step_leave_nothing_behind(tracer: prela.Tracer, prela_spans: Recorder) -> None:
    stack = ExitStack()

    @prela.trace("body")
    def body() -> Iterator[int]:
        yield 1
        stack.close()
        yield len(prela.get_baggage())

    stack.enter_context(prela.propagate_attributes(user_id="one"))
    stack.enter_context(prela.baggage(tenant="a"))
    assert list(body()) == [1, 1], "a generator keeps what it inherited, as a task does"
    with tracer.span("next request") as span:
        assert (dict(span.attributes), dict(prela.get_baggage())) == ({}, {})


def test_blocks_left_out_of_order_around_steps_leave_nothing_behind(prela_spans: Recorder) -> None:
    @prela.trace("numbers")
    def numbers() -> Iterator[int]:
        while True:
            yield len(prela.get_baggage())

    def program() -> None:
        first, second, generator = prela.baggage(a=1), prela.baggage(b=1), numbers()
        first.__enter__()
        next(generator)
        second.__enter__()
        first.__exit__(None, None, None)
        assert next(generator) == 1
        second.__exit__(None, None, None)
        assert dict(prela.get_baggage()) == {}

    contextvars.copy_context().run(program)


@pytest.mark.parametrize("how", ["task", "thread"])
async def test_a_span_of_a_generator_that_a_task_or_thread_of_a_step_leaves_is_passed_over(
    how: str, tracer: prela.Tracer, prela_spans: Recorder
) -> None:
    @prela.trace("agent")
    async def agent() -> AsyncIterator[int]:
        stack = AsyncExitStack()
        await stack.enter_async_context(tracer.aspan("session"))
        yield 1
        if how == "task":
            async with anyio.create_task_group() as group:
                group.start_soon(stack.aclose)
        else:
            span = prela.get_current_span()
            await anyio.to_thread.run_sync(lambda: span.__exit__(None, None, None))
        with tracer.span("after"):
            yield 2
        with tracer.span("later"):
            pass

    with tracer.span("main"):
        assert [item async for item in agent()] == [1, 2]
    parents = {record.name: record.parent_span_id for record in prela_spans.records}
    assert parents["session"] == parents["after"] == parents["later"] == prela_spans["agent"].span_id


async def test_a_task_of_a_step_keeps_the_span_it_was_started_in_when_that_is_left_out_of_order(
    tracer: prela.Tracer, prela_spans: Recorder
) -> None:
    go, done = anyio.Event(), anyio.Event()

    async def child() -> None:
        await go.wait()
        with tracer.span("of the child"):
            pass
        done.set()

    @prela.trace("generator")
    async def generator() -> AsyncIterator[int]:
        outer, inner = tracer.span("outer"), tracer.span("inner")
        outer.__enter__()
        group.start_soon(child)
        await anyio.lowlevel.checkpoint()
        inner.__enter__()
        outer.__exit__(None, None, None)
        go.set()
        await done.wait()
        inner.__exit__(None, None, None)
        yield 1
        with tracer.span("next step"):
            yield 2

    async with anyio.create_task_group() as group:
        assert [item async for item in generator()] == [1, 2]
    assert prela_spans["of the child"].parent_span_id == prela_spans["outer"].span_id
    assert prela_spans["next step"].parent_span_id == prela_spans["generator"].span_id


@pytest.mark.parametrize("suppressed", [0, 1])
def test_a_step_taken_inside_suppress_keeps_its_baggage_to_itself(suppressed: int, prela_spans: Recorder) -> None:
    @prela.trace("generator")
    def generator() -> Iterator[Any]:
        with prela.baggage(tenant="a"):
            for _ in range(3):
                yield dict(prela.get_baggage())

    steps = generator()
    for number in range(3):
        with ExitStack() as stack:
            if number == suppressed:
                stack.enter_context(prela.suppress())
            assert next(steps) == {"tenant": "a"}
            assert dict(prela.get_baggage()) == {}
    steps.close()  # type: ignore[attr-defined]


def test_what_is_below_an_unsampled_trace_is_not_recorded_wherever_it_is_entered(tracer: prela.Tracer) -> None:
    with recording(sampler=ButFor()) as spans:
        root = tracer.start_span("unsampled")
        with tracer.span("child", parent=root), tracer.span("no 1"):
            assert prela.get_current_span().context.trace_id == root.context.trace_id
        with tracer.span("other"), tracer.span("child", parent=root), tracer.span("no 2"):
            pass
        with tracer.span("unsampled"):
            handed_on = tracer.start_span("child")
        with handed_on, tracer.span("no 3"):
            pass
        with tracer.span("child", parent=handed_on), tracer.span("no 4"):
            pass
    assert spans.names == ["other"]


async def test_an_unsampled_root_uncovers_no_span_that_was_left_below_it(tracer: prela.Tracer) -> None:
    with recording(sampler=ButFor()) as spans:
        outer, inner = tracer.span("outer"), tracer.span("unsampled", parent=None)
        outer.__enter__()
        inner.__enter__()
        outer.__exit__(None, None, None)
        inner.__exit__(None, None, None)

        async def later() -> None:
            with tracer.span("later"):
                pass

        async with anyio.create_task_group() as group:
            group.start_soon(later)
    assert spans["later"].parent_span_id is None


def test_an_unsampled_root_that_was_left_stays_so_when_others_are_left_below_it(tracer: prela.Tracer) -> None:
    with recording(sampler=ButFor()):
        a, b, c = (tracer.span(name, parent=None) for name in ("a", "unsampled", "unsampled"))
        for span in (a, b, c):
            span.__enter__()
        for span in (b, a, c):
            span.__exit__(None, None, None)
        assert prela.get_current_span() is NO_SPAN


@pytest.mark.parametrize("explicit", ["span", "start_span"])
def test_whatever_is_below_an_unsampled_root_is_of_its_trace(explicit: str, tracer: prela.Tracer) -> None:
    with recording(sample_rate=0.0) as spans, tracer.span("root") as root, tracer.span("child") as child:
        below = getattr(tracer, explicit)("below", parent=child)
        with below:
            assert below.context.trace_id == prela.get_current_span().context.trace_id == root.context.trace_id
    assert spans.records == []


def test_what_outlives_a_step_keeps_nothing_of_it(prela_spans: Recorder) -> None:
    started: list[contextvars.Context] = []

    @prela.trace("steps")
    def steps() -> Iterator[int]:
        started.append(contextvars.copy_context())
        yield 1

    assert list(steps()) == [1]
    step = started[0][in_step]
    assert step is not None
    assert (step.token, step.before, step.inside) == (None, [], None)  # a token holds its context, and the one before


def interrupted_at(number: int, program: Callable[[], object]) -> bool:
    """Run a program with Ctrl-C at one of the places of our code where CPython looks for signals; whether it came."""
    before: dict[int, tuple[str, int]] = {}
    seen, came = 0, False

    def trace(frame: FrameType, event: str, argument: object) -> Any:
        nonlocal seen, came
        if "/prela/core/" not in frame.f_code.co_filename or frame.f_code.co_name == "__exit__":
            return None
        frame.f_trace_opcodes, frame.f_trace_lines = True, False
        if event == "opcode":
            last, line = before.get(id(frame), ("", 0))
            before[id(frame)] = opcode.opname[frame.f_code.co_code[frame.f_lasti]], frame.f_lineno
            # After a call they are looked for in its line: what follows it in the next is another's place.
            if last.startswith(("RESUME", "JUMP_BACKWARD")) or (last.startswith("CALL") and line == frame.f_lineno):
                seen += 1
                if seen == number:
                    came = True
                    sys.settrace(None)
                    raise KeyboardInterrupt
        else:
            before.pop(id(frame), None)
        return trace

    outer = sys.gettrace()
    sys.settrace(trace)
    try:
        program()
    except KeyboardInterrupt:
        pass
    finally:
        sys.settrace(outer)
    return came


def pull(tracer: prela.Tracer) -> None:
    @prela.trace("generator")
    def generator() -> Iterator[int]:
        with prela.baggage(a=1):
            yield 1
            yield 2

    for _ in generator():
        pass


def pull_async(tracer: prela.Tracer) -> None:
    @prela.trace("generator")
    async def generator() -> AsyncIterator[int]:
        yield 1
        yield 2

    async def main() -> None:
        async for _ in generator():
            pass
        async for _ in prela.aio.trace_stream(generator(), tracer.start_span("stream")):
            pass

    steps = main()
    try:
        steps.send(None)
    except StopIteration:
        pass


def use_blocks(tracer: prela.Tracer) -> None:
    span = tracer.start_span("used")
    try:
        with prela.use_span(span), prela.baggage(a=1), prela.propagate_attributes(b=1), prela.suppress():
            pass
    finally:
        span.end()


@pytest.mark.parametrize("program", [pull, pull_async, use_blocks])
def test_ctrl_c_in_a_step_or_a_block_leaves_nothing_behind(
    program: Callable[[prela.Tracer], None], tracer: prela.Tracer, prela_spans: Recorder
) -> None:
    def run(number: int) -> bool:
        came = interrupted_at(number, lambda: program(tracer))
        assert prela.get_current_span() is NO_SPAN, f"interrupted at place {number}"
        assert (dict(prela.get_baggage()), dict(prela.core.context.get_propagated_attributes())) == ({}, {})
        return came

    program(tracer)  # what is imported, or made, at the first time
    number = 1
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a step of an async generator that is interrupted before it begins
        while contextvars.Context().run(run, number):
            number += 1
        gc.collect()
    assert number > 100
