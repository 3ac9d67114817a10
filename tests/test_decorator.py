"""`trace`: what comes back behaves as what went in, and each call has its span."""

import asyncio
import contextvars
import functools
import gc
import inspect
import threading
import types
import weakref
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Generator, Iterator
from typing import Any

import anyio
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

import prela
from prela.testing import Recorder, recording


def current_name() -> str:
    return prela.get_current_span().name


def outcome(spans: Recorder, name: str) -> tuple[str, Any]:
    record = spans[name]
    return record.status, record.attributes.get("prela.stream.outcome")


# --- the four kinds, their names, and what inspect says -----------------------------------------------------------


def plain(a: int, b: int = 2, *, c: int = 3) -> int:
    """Adds."""
    return a + b + c


async def coroutine_function(a: int, b: int = 2, *, c: int = 3) -> int:
    """Adds."""
    return a + b + c


def generator_function(a: int, b: int = 2, *, c: int = 3) -> Iterator[int]:
    """Adds."""
    yield a + b + c


async def async_generator_function(a: int, b: int = 2, *, c: int = 3) -> AsyncIterator[int]:
    """Adds."""
    yield a + b + c


KINDS = [plain, coroutine_function, generator_function, async_generator_function]


async def result_of(called: Any) -> Any:
    if inspect.isasyncgen(called):
        (only,) = [item async for item in called]
        return only
    if inspect.isgenerator(called):
        (only,) = called
        return only
    return await called if inspect.isawaitable(called) else called


@pytest.mark.anyio
@pytest.mark.parametrize("func", KINDS)
async def test_a_call_of_each_kind_has_a_span(func: Any, prela_spans: Recorder) -> None:
    assert await result_of(prela.trace(func)(1, c=4)) == 7
    assert prela_spans.names == [func.__qualname__]
    assert prela_spans[func.__qualname__].status == "success"


@pytest.mark.parametrize("func", KINDS)
def test_inspect_says_of_the_decorated_what_it_says_of_the_function(func: Any) -> None:
    traced = prela.trace(func)
    for question in (
        inspect.isfunction,
        inspect.isroutine,
        inspect.iscoroutinefunction,
        inspect.isgeneratorfunction,
        inspect.isasyncgenfunction,
        inspect.signature,
        inspect.getdoc,
        inspect.getmodule,
    ):
        assert question(traced) == question(func), question
    assert (traced.__name__, traced.__qualname__, traced.__module__) == (
        func.__name__,
        func.__qualname__,
        func.__module__,
    )
    assert traced.__wrapped__ is func


@pytest.mark.parametrize("func", KINDS)
def test_a_call_with_wrong_arguments_fails_at_the_call_as_without(func: Any, prela_spans: Recorder) -> None:
    with pytest.raises(TypeError, match="missing 1 required positional argument: 'a'"):
        called = prela.trace(func)()
        if inspect.iscoroutine(called):
            called.send(None)
        elif inspect.isgenerator(called):
            next(called)
        elif inspect.isasyncgen(called):
            called.__anext__().send(None)


def test_the_name_is_the_qualname_or_what_was_given(prela_spans: Recorder) -> None:
    @prela.trace
    def bare() -> None: ...

    @prela.trace()
    def called() -> None: ...

    @prela.trace("given", prela.SpanType.TOOL, {"a": 1})
    def named() -> None: ...

    @prela.trace(name="by keyword", span_type="own", attributes={"a": 2})
    def by_keyword() -> None: ...

    bare(), called(), named(), by_keyword()
    here = "test_the_name_is_the_qualname_or_what_was_given.<locals>"
    assert [(r.name, r.span_type, r.attributes) for r in prela_spans.records] == [
        (f"{here}.bare", "custom", {}),
        (f"{here}.called", "custom", {}),
        ("given", "tool", {"a": 1}),
        ("by keyword", "own", {"a": 2}),
    ]


def test_callables_without_a_name_are_called_by_their_type(prela_spans: Recorder) -> None:
    class Tool:
        def __call__(self, x: int) -> int:
            return x + 1

    assert prela.trace(Tool())(1) == 2
    assert prela.trace(functools.partial(plain, 1))() == 6
    assert prela_spans.names == [Tool.__qualname__, "partial"]


@pytest.mark.anyio
async def test_objects_that_are_called_are_traced_as_their_call_is(tracer: prela.Tracer, prela_spans: Recorder) -> None:
    class Tool:
        async def __call__(self, x: int) -> int:
            await anyio.lowlevel.checkpoint()
            with tracer.span("inside"):
                raise ValueError(x)

    class Numbers:
        def __call__(self) -> Iterator[int]:
            with tracer.span("inside"):
                yield 1
            yield 2

    class Stream:
        async def __call__(self) -> AsyncIterator[int]:
            with tracer.span("inside"):
                yield 1

    with pytest.raises(ValueError, match="5"):
        await prela.trace("tool")(Tool())(5)
    assert list(prela.trace("numbers")(Numbers())()) == [1, 2]
    assert [item async for item in prela.trace("stream")(Stream())()] == [1]
    assert prela_spans.tree() == "tool error\n  inside error\nnumbers\n  inside\nstream\n  inside"


@pytest.mark.parametrize("thing", [5, ["list"], object(), type("Some", (), {}), property(lambda self: 1)])
def test_what_is_no_function_is_refused(thing: Any) -> None:
    with pytest.raises(TypeError, match="is no function"):
        prela.trace(thing)
    with pytest.raises(TypeError, match="is no function"):
        prela.trace("name")(thing)


def test_a_nested_call_is_a_child_and_a_failing_one_an_error(prela_spans: Recorder) -> None:
    @prela.trace("inner")
    def inner() -> None:
        raise ValueError("inner failed")

    @prela.trace("outer")
    def outer() -> str:
        with pytest.raises(ValueError):
            inner()
        return current_name()

    assert outer() == "outer"
    assert prela_spans.tree() == "outer\n  inner error"


class Methods:
    @prela.trace("method", capture_args=True)
    def method(self, x: int) -> Any:
        return self, x

    @prela.trace("class outside", capture_args=True)
    @classmethod
    def class_outside(cls, x: int) -> Any:
        return cls, x

    @classmethod
    @prela.trace("class inside", capture_args=True)
    def class_inside(cls, x: int) -> Any:
        return cls, x

    @prela.trace("static outside", capture_args=True)
    @staticmethod
    def static_outside(x: int) -> Any:
        return x

    @staticmethod
    @prela.trace("static inside", capture_args=True)
    def static_inside(x: int) -> Any:
        return x

    @prela.trace("own word for self", capture_args=True)
    def own_word(this, x: int) -> Any:
        return this, x

    @prela.trace("starred", capture_args=True)
    def starred(*args: int) -> Any:
        return args

    @prela.trace
    @classmethod
    async def coroutine(cls) -> Any:
        return cls

    @staticmethod
    @prela.trace
    def generator() -> Iterator[int]:
        yield 1


def test_methods_of_every_kind_are_traced_and_never_record_self_or_cls(prela_spans: Recorder) -> None:
    it = Methods()
    assert it.method(1) == (it, 1)
    assert it.class_outside(2) == Methods.class_outside(2) == (Methods, 2)
    assert it.class_inside(x=3) == (Methods, 3)
    assert it.static_outside(4) == Methods.static_outside(4) == 4
    assert it.static_inside(4) == Methods.static_inside(4) == 4
    assert it.own_word(5) == (it, 5)
    assert it.starred(6, 7) == (it, 6, 7)
    assert [(record.name, record.attributes) for record in prela_spans.records] == [
        ("method", {"args.x": 1}),
        ("class outside", {"args.x": 2}),
        ("class outside", {"args.x": 2}),
        ("class inside", {"args.x": 3}),
        ("static outside", {"args.x": 4}),
        ("static outside", {"args.x": 4}),
        ("static inside", {"args.x": 4}),
        ("static inside", {"args.x": 4}),
        ("own word for self", {"args.x": 5}),
        ("starred", {"args.args": [6, 7]}),
    ]


def test_what_is_called_self_or_cls_is_never_recorded_whatever_became_of_the_method(prela_spans: Recorder) -> None:
    class Renamed:
        @prela.trace("new", capture_args=True)
        def __new__(cls, x: int) -> Any:
            return super().__new__(cls)

        @prela.trace("renamed", capture_args=True)
        def before(self, x: int) -> int:
            return x

        after = before
        del before

    assert Renamed(1).after(2) == 2
    assert [record.attributes for record in prela_spans.records] == [{"args.x": 1}, {"args.x": 2}]


def test_a_method_that_is_bound_already_has_no_self_among_its_arguments(prela_spans: Recorder) -> None:
    class Plain:
        def method(self, x: int) -> int:
            return x

    assert prela.trace("bound", capture_args=True)(Plain().method)(1) == 1
    assert prela_spans["bound"].attributes == {"args.x": 1}


def test_decorated_methods_are_still_what_inspect_says() -> None:
    assert inspect.iscoroutinefunction(Methods.coroutine)
    assert inspect.isgeneratorfunction(Methods.generator)
    assert isinstance(Methods.__dict__["class_outside"], classmethod)
    assert isinstance(Methods.__dict__["static_outside"], staticmethod)


# --- arguments and results ----------------------------------------------------------------------------------------


def test_arguments_are_captured_by_name_with_defaults(prela_spans: Recorder) -> None:
    @prela.trace("call", capture_args=True)
    def call(a: int, /, b: int = 2, *rest: int, c: int = 3, **more: int) -> None: ...

    call(1, 2, 7, 8, d=9)
    assert prela_spans["call"].attributes == {
        "args.a": 1,
        "args.b": 2,
        "args.rest": [7, 8],
        "args.c": 3,
        "args.more": {"d": 9},
    }


@pytest.mark.anyio
@pytest.mark.parametrize("func", KINDS)
async def test_arguments_of_each_kind_are_captured(func: Any, prela_spans: Recorder) -> None:
    await result_of(prela.trace("call", capture_args=True)(func)(1, c=4))
    attributes = {key: value for key, value in prela_spans["call"].attributes.items() if key.startswith("args")}
    assert attributes == {"args.a": 1, "args.b": 2, "args.c": 4}


def test_arguments_are_captured_as_they_were_at_the_call(prela_spans: Recorder) -> None:
    @prela.trace("call", capture_args=True, capture_result=True)
    def call(items: list[int]) -> list[int]:
        items.append(2)
        return items

    call([1])
    assert prela_spans["call"].attributes == {"args.items": [1], "result": [1, 2]}


def test_nothing_is_captured_unasked(prela_spans: Recorder) -> None:
    prela.trace("call")(plain)(1)
    assert prela_spans["call"].attributes == {}


def test_results_of_functions_coroutines_and_generators_are_captured(prela_spans: Recorder) -> None:
    @prela.trace("generator", capture_result=True)
    def generator() -> Generator[int, None, str]:
        yield 1
        return "at its end"

    prela.trace("function", capture_result=True)(plain)(1)
    asyncio.run(prela.trace("coroutine", capture_result=True)(coroutine_function)(1))
    assert list(generator()) == [1]
    assert prela_spans["function"].attributes == {"result": 6}
    assert prela_spans["coroutine"].attributes == {"result": 6}
    assert prela_spans["generator"].attributes == {"result": "at its end", "prela.stream.outcome": "completed"}


def test_builtins_that_tell_nothing_of_their_parameters_are_traced_all_the_same(prela_spans: Recorder) -> None:
    traced = prela.trace("max", capture_args=True)(max)
    assert traced(1, 5, key=lambda x: -x) == 1
    assert prela_spans["max"].attributes["args.0"] == 1
    assert prela_spans["max"].attributes["args.1"] == 5


def test_with_tracing_off_a_decorated_function_is_only_called() -> None:
    assert not prela.get_current_span().is_recording
    assert prela.trace(capture_args=True, capture_result=True)(plain)(1) == 6
    assert list(prela.trace(generator_function)(1)) == [6]


# --- generators: when they are current ----------------------------------------------------------------------------


def test_a_generators_span_is_current_only_while_its_own_code_runs(tracer: prela.Tracer, prela_spans: Recorder) -> None:
    seen: list[str] = []

    @prela.trace("generator")
    def numbers() -> Iterator[int]:
        seen.append(current_name())
        with tracer.span("inside"):
            yield 1
            seen.append(current_name())
            yield 2
        seen.append(current_name())

    with tracer.span("outer"):
        for _ in numbers():
            seen.append(current_name())
            with tracer.span("consumer's"):
                pass
    assert seen == ["generator", "outer", "inside", "outer", "generator"]
    assert prela_spans.tree() == "outer\n  generator\n    inside\n  consumer's\n  consumer's"


def test_the_parent_of_a_generator_is_current_at_its_first_step(tracer: prela.Tracer, prela_spans: Recorder) -> None:
    @prela.trace("generator")
    def numbers() -> Iterator[int]:
        yield from range(3)

    with tracer.span("made here"):
        generator = numbers()
    with tracer.span("first step here"):
        next(generator)
    with tracer.span("more here"):
        list(generator)
    assert prela_spans["generator"].parent_span_id == prela_spans["first step here"].span_id


def test_a_generator_never_started_has_no_span(prela_spans: Recorder) -> None:
    generator = prela.trace(generator_function)(1)
    generator.close()
    prela.trace(generator_function)(2)
    gc.collect()
    assert prela_spans.names == []


def test_a_generator_that_is_dropped_half_read_is_over_at_once(tracer: prela.Tracer, prela_spans: Recorder) -> None:
    """And not when the collector comes by: nothing of ours may make a cycle of its frames."""

    @prela.trace("generator")
    def two() -> Iterator[int]:
        with tracer.span("inside"):
            yield 1
            yield 2

    def read_half() -> None:
        for _ in range(3):
            generator = two()  # the one before is closed here, and its exception knows this frame, which holds the next
            next(generator)

    gc.collect()
    gc.disable()
    try:
        read_half()
        assert sorted(prela_spans.names) == ["generator"] * 3 + ["inside"] * 3
    finally:
        gc.enable()


def test_baggage_set_inside_a_generator_stays_inside(prela_spans: Recorder) -> None:
    @prela.trace
    def numbers() -> Iterator[Any]:
        with prela.baggage(inner=1):
            yield dict(prela.get_baggage())
            yield dict(prela.get_baggage())

    with prela.baggage(outer=2):
        generator = numbers()
        assert next(generator) == {"outer": 2, "inner": 1}
        assert dict(prela.get_baggage()) == {"outer": 2}
        assert next(generator) == {"outer": 2, "inner": 1}
        generator.close()
        assert dict(prela.get_baggage()) == {"outer": 2}


def test_a_generator_closed_early_is_a_success_that_says_so(prela_spans: Recorder) -> None:
    @prela.trace("numbers")
    def numbers() -> Iterator[int]:
        yield 1
        yield 2

    generator = numbers()
    next(generator)
    generator.close()
    generator.close()
    assert outcome(prela_spans, "numbers") == ("success", "closed_early")


def test_an_abandoned_generator_is_closed_by_the_collector_and_its_span_ends(
    tracer: prela.Tracer, prela_spans: Recorder
) -> None:
    @prela.trace("numbers")
    def numbers() -> Iterator[int]:
        yield 1
        yield 2

    with tracer.span("other") as other:
        for _ in numbers():
            break
        gc.collect()
        assert prela.get_current_span() is other
    assert prela_spans["numbers"].status == "success"
    assert prela_spans["numbers"].attributes["prela.stream.outcome"] in {"closed_early", "abandoned"}


def test_a_generator_whose_cleanup_fails_is_an_error(prela_spans: Recorder) -> None:
    @prela.trace("numbers")
    def numbers() -> Iterator[int]:
        try:
            yield 1
        finally:
            raise ValueError("in cleanup")

    generator = numbers()
    next(generator)
    with pytest.raises(ValueError, match="in cleanup"):
        generator.close()
    assert outcome(prela_spans, "numbers") == ("error", "error")


def test_a_generator_closed_in_another_thread_ends_there_and_touches_nothing(
    tracer: prela.Tracer, prela_spans: Recorder
) -> None:
    @prela.trace("numbers")
    def numbers() -> Iterator[int]:
        with tracer.span("inside"):
            yield 1

    with tracer.span("outer") as outer:
        generator = numbers()
        next(generator)
        thread = threading.Thread(target=generator.close)
        thread.start()
        thread.join()
        assert prela.get_current_span() is outer
        with tracer.span("after"):
            pass
    assert prela_spans.tree() == "outer\n  numbers\n    inside\n  after"
    assert outcome(prela_spans, "numbers") == ("success", "closed_early")


def test_a_generator_may_be_pulled_in_a_different_context_each_time(
    tracer: prela.Tracer, prela_spans: Recorder
) -> None:
    @prela.trace("numbers")
    def numbers() -> Iterator[str]:
        with tracer.span("inside"):
            for _ in range(3):
                yield current_name()

    generator = numbers()
    found = [contextvars.Context().run(next, generator) for _ in range(3)]
    assert found == ["inside"] * 3
    assert contextvars.Context().run(next, generator, "end") == "end"
    assert prela_spans.tree() == "numbers\n  inside"


def test_what_a_generator_holds_across_its_steps_it_leaves_in_whichever_context_the_next_is_taken(
    tracer: prela.Tracer, prela_spans: Recorder
) -> None:
    @prela.trace("steps")
    def steps() -> Iterator[object]:
        try:
            with prela.baggage(n=1), prela.propagate_attributes(n=1), tracer.span("first"), tracer.span("within"):
                yield 1
            assert dict(prela.get_baggage()) == {}
            with tracer.span("second"), prela.use_span(tracer.start_span("used")), prela.suppress():
                yield 2
            with tracer.span("third"):
                yield 3
        finally:
            with tracer.span("cleanup"):
                pass

    generator = steps()
    for _ in range(3):
        contextvars.Context().run(next, generator)
    contextvars.Context().run(generator.close)
    assert prela_spans.tree() == "steps\n  first\n    within\n  second\n  third\n  cleanup"
    assert [bool(prela_spans[name].attributes.get("n")) for name in ("within", "second", "cleanup")] == [1, 0, 0]


class AllButOne:
    def should_sample(self, request: prela.SamplingRequest) -> bool:
        return request.name != "not sampled"


def test_a_root_that_is_not_sampled_is_left_in_whichever_context_too() -> None:
    started: list[contextvars.Context] = []
    with recording(sampler=AllButOne()) as spans:
        tracer = prela.get_tracer()

        @prela.trace("steps")
        def steps() -> Iterator[None]:
            with tracer.span("not sampled", parent=None):
                yield
            started.append(contextvars.copy_context())
            with tracer.span("after"):
                yield

        def work() -> None:
            with tracer.span("started after"):
                pass

        generator = steps()
        for _ in range(2):
            contextvars.Context().run(next, generator)
        contextvars.Context().run(generator.close)
        started[0].run(work)
    assert spans.tree() == "steps\n  after\n  started after"


@pytest.mark.anyio
async def test_an_async_generator_and_a_stream_that_are_read_by_a_task_each_hold_spans_across_their_steps(
    tracer: prela.Tracer, prela_spans: Recorder
) -> None:
    async def source() -> AsyncIterator[int]:
        with tracer.span("first"):
            yield 1
        with tracer.span("second"):
            pass
        yield 2

    for name, read in (
        ("decorated", prela.trace("decorated")(source)()),
        ("stream", prela.aio.trace_stream(source(), tracer.start_span("stream"))),
    ):
        prela_spans.clear()

        async def pull(read: AsyncIterator[int]) -> None:
            await anext(read, None)

        for _ in range(3):
            async with anyio.create_task_group() as group:
                group.start_soon(pull, read)
        assert prela_spans.tree() == f"{name}\n  first\n  second"


def test_what_is_started_in_a_step_stays_below_what_was_current_there(
    tracer: prela.Tracer, prela_spans: Recorder
) -> None:
    started: list[contextvars.Context] = []

    @prela.trace("steps")
    def steps() -> Iterator[None]:
        span = tracer.span("held")
        span.__enter__()
        started.append(contextvars.copy_context())
        yield
        contextvars.Context().run(span.__exit__, None, None, None)
        yield

    def work() -> None:
        with tracer.span("work"):
            pass

    generator = steps()
    contextvars.Context().run(next, generator)
    contextvars.Context().run(next, generator)
    started[0].run(work)
    assert prela_spans["work"].parent_span_id == prela_spans["held"].span_id


def test_what_a_generator_yields_is_not_kept_alive() -> None:
    class Item:
        pass

    @prela.trace
    def items() -> Iterator[Item]:
        for _ in range(2):
            yield Item()

    with recording():
        generator = items()
        reference = weakref.ref(next(generator))
        assert inspect.getgeneratorstate(generator) == inspect.GEN_SUSPENDED
        assert reference() is None


def test_types_coroutine_stays_awaitable(prela_spans: Recorder) -> None:
    @prela.trace("step")
    @types.coroutine
    def step() -> Generator[None, None, int]:
        yield
        return 5

    async def main() -> int:
        return await step()

    assert inspect.isawaitable(step())
    assert asyncio.run(main()) == 5
    assert prela_spans["step"].status == "success"


# --- generators: the same as undecorated --------------------------------------------------------------------------


class OurError(Exception):
    pass


SYNC_STEPS = ("yield", "catch", "finally", "refuse to close", "delegate", "swallow close", "baggage")
ENDS = ("return", "raise", "stop", "fall off")


def a_generator_function(steps: list[str], end: str) -> Callable[[list[Any]], Generator[Any, Any, Any]]:
    def delegate(log: list[Any]) -> Generator[Any, Any, str]:
        try:
            log.append((yield "delegate"))
        finally:
            log.append("delegate's finally")
        return "delegated"

    def run(log: list[Any]) -> Generator[Any, Any, Any]:
        for number, step in enumerate(steps):
            log.append(number)
            if step == "yield":
                log.append((yield number))
            elif step == "catch":
                try:
                    log.append((yield number))
                except OurError as error:
                    log.append(("caught", type(error.__context__).__name__))
            elif step == "finally":
                try:
                    log.append((yield number))
                finally:
                    log.append("finally")
            elif step == "refuse to close":
                try:
                    yield number
                except GeneratorExit:
                    yield "refused"
            elif step == "delegate":
                log.append((yield from delegate(log)))
            elif step == "swallow close":
                try:
                    yield number
                except GeneratorExit:
                    return "swallowed"
            elif step == "baggage":
                with prela.baggage(number=number):
                    log.append(dict(prela.get_baggage()))
                    yield number
        if end == "raise":
            raise OurError("at the end")
        if end == "stop":
            raise StopIteration("not allowed here")
        return "returned" if end == "return" else None

    return run


SYNC_DRIVES: dict[str, Callable[[Generator[Any, Any, Any]], Any]] = {
    "next": next,
    "send": lambda generator: generator.send("sent"),
    "throw": lambda generator: generator.throw(OurError("thrown")),
    "throw exit": lambda generator: generator.throw(GeneratorExit()),
    "throw stop": lambda generator: generator.throw(StopIteration(3)),
    "throw interrupt": lambda generator: generator.throw(KeyboardInterrupt()),
    "close": lambda generator: generator.close(),
}


def told(error: BaseException) -> tuple[Any, ...]:
    return (
        type(error).__name__,
        str(error),
        getattr(error, "value", None),
        type(error.__cause__).__name__,
        type(error.__context__).__name__,
        error.__suppress_context__,
    )


def driven(generator: Generator[Any, Any, Any], drives: list[str]) -> list[Any]:
    seen: list[Any] = []
    for drive in drives:
        try:
            seen.append(SYNC_DRIVES[drive](generator))
        except BaseException as error:
            seen.append(told(error))
        seen.append(inspect.getgeneratorstate(generator))
    for _ in range(20):  # those that refuse to close
        try:
            generator.close()
            break
        except RuntimeError:
            continue
        except OurError:
            break
    return seen


@settings(max_examples=300, deadline=None)
@given(
    st.lists(st.sampled_from(SYNC_STEPS), max_size=5),
    st.sampled_from(ENDS),
    st.lists(st.sampled_from(sorted(SYNC_DRIVES)), max_size=10),
)
def test_a_decorated_generator_does_what_the_undecorated_does_however_it_is_driven(
    steps: list[str], end: str, drives: list[str]
) -> None:
    func = a_generator_function(steps, end)
    expected_log: list[Any] = []
    expected = contextvars.copy_context().run(driven, func(expected_log), drives)
    with recording() as spans, prela.get_tracer().span("outer") as outer:
        log: list[Any] = []
        found = driven(prela.trace("generator")(func)(log), drives)
        assert prela.get_current_span() is outer
    assert found == expected
    assert log == expected_log
    assert spans.names.count("generator") == 1 if expected_log else spans.names.count("generator") <= 1


ASYNC_STEPS = ("yield", "await", "catch", "finally", "refuse to close", "swallow close", "await in finally")


def an_async_generator_function(steps: list[str], end: str) -> Callable[[list[Any]], AsyncGenerator[Any, Any]]:
    async def run(log: list[Any]) -> AsyncGenerator[Any, Any]:
        for number, step in enumerate(steps):
            log.append(number)
            if step == "yield":
                log.append((yield number))
            elif step == "await":
                await anyio.lowlevel.checkpoint()
                log.append((yield number))
            elif step == "catch":
                try:
                    log.append((yield number))
                except OurError as error:
                    log.append(("caught", type(error.__context__).__name__))
            elif step == "finally":
                try:
                    log.append((yield number))
                finally:
                    log.append("finally")
            elif step == "await in finally":
                try:
                    log.append((yield number))
                finally:
                    await anyio.lowlevel.checkpoint()
                    log.append("finally")
            elif step == "refuse to close":
                try:
                    yield number
                except GeneratorExit:
                    yield "refused"
            elif step == "swallow close":
                try:
                    yield number
                except GeneratorExit:
                    return
        if end == "raise":
            raise OurError("at the end")
        if end == "stop":
            raise StopAsyncIteration("not allowed here")

    return run


ASYNC_DRIVES: dict[str, Callable[[AsyncGenerator[Any, Any]], Any]] = {
    "next": lambda generator: generator.__anext__(),
    "send": lambda generator: generator.asend("sent"),
    "throw": lambda generator: generator.athrow(OurError("thrown")),
    "throw exit": lambda generator: generator.athrow(GeneratorExit()),
    "throw stop": lambda generator: generator.athrow(StopAsyncIteration(3)),
    "throw cancel": lambda generator: generator.athrow(asyncio.CancelledError("message")),
    "close": lambda generator: generator.aclose(),
}


async def adriven(generator: AsyncGenerator[Any, Any], drives: list[str]) -> list[Any]:
    seen: list[Any] = []
    for drive in drives:
        try:
            seen.append(await ASYNC_DRIVES[drive](generator))
        except BaseException as error:
            seen.append(told(error))
    for _ in range(20):
        try:
            await generator.aclose()
            break
        except RuntimeError:
            continue
        except (OurError, StopAsyncIteration):
            break
    return seen


# What Python says of an async generator that refused to close, the undecorated one too.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("backend", ["asyncio", "trio"])
@settings(max_examples=100, deadline=None)
@example(steps=["yield", "refuse to close", "await in finally"], end="return", drives=["next", "next", "close", "next"])
@given(
    steps=st.lists(st.sampled_from(ASYNC_STEPS), max_size=5),
    end=st.sampled_from(ENDS),
    drives=st.lists(st.sampled_from(sorted(ASYNC_DRIVES)), max_size=8),
)
def test_a_decorated_async_generator_does_what_the_undecorated_does_however_it_is_driven(
    backend: str, steps: list[str], end: str, drives: list[str]
) -> None:
    func = an_async_generator_function(steps, end)

    async def main() -> None:
        expected_log: list[Any] = []
        expected = await adriven(func(expected_log), drives)
        log: list[Any] = []
        with prela.get_tracer().span("outer") as outer:
            found = await adriven(prela.trace("generator")(func)(log), drives)
            if "refuse to close" in steps:
                # One that refused is closed by the garbage collector, which has no loop to await with, and drops a
                # step that is still waiting: only then is that step left.
                gc.collect()
            assert prela.get_current_span() is outer
        assert found == expected
        assert log == expected_log

    with recording():
        anyio.run(main, backend=backend)


# --- async generators on the loops --------------------------------------------------------------------------------


@pytest.mark.anyio
class TestAsyncGenerators:
    async def test_the_span_is_current_only_while_its_own_code_runs(
        self, tracer: prela.Tracer, prela_spans: Recorder
    ) -> None:
        seen: list[str] = []

        @prela.trace("generator")
        async def numbers() -> AsyncIterator[int]:
            seen.append(current_name())
            with tracer.span("inside"):
                await anyio.lowlevel.checkpoint()
                yield 1
                seen.append(current_name())
                yield 2
            seen.append(current_name())

        with tracer.span("outer"):
            async for _ in numbers():
                seen.append(current_name())
                with tracer.span("consumer's"):
                    await anyio.lowlevel.checkpoint()
        assert seen == ["generator", "outer", "inside", "outer", "generator"]
        assert prela_spans.tree() == "outer\n  generator\n    inside\n  consumer's\n  consumer's"
        assert outcome(prela_spans, "generator") == ("success", "completed")

    async def test_it_may_be_pulled_by_a_task_each_and_closed_by_another(
        self, tracer: prela.Tracer, prela_spans: Recorder
    ) -> None:
        @prela.trace("numbers")
        async def numbers() -> AsyncGenerator[str]:
            with tracer.span("inside"):
                for _ in range(5):
                    await anyio.lowlevel.checkpoint()
                    yield current_name()

        found: list[str] = []

        async def pull() -> None:
            with tracer.span("puller"):
                found.append(await anext(generator))
                assert current_name() == "puller"

        with tracer.span("outer"):
            generator = numbers()
            for _ in range(3):
                async with anyio.create_task_group() as group:
                    group.start_soon(pull)
            async with anyio.create_task_group() as group:
                group.start_soon(generator.aclose)
            assert current_name() == "outer"
            with tracer.span("after"):
                pass
        assert found == ["inside"] * 3
        assert outcome(prela_spans, "numbers") == ("success", "closed_early")
        after, outer = prela_spans["after"], prela_spans["outer"]
        assert after.parent_span_id == outer.span_id
        assert prela_spans["inside"].parent_span_id == prela_spans["numbers"].span_id

    async def test_a_cancelled_one_says_so(self, prela_spans: Recorder) -> None:
        @prela.trace("numbers")
        async def numbers() -> AsyncIterator[int]:
            yield 1
            await anyio.sleep_forever()

        with anyio.move_on_after(0.005):
            async for _ in numbers():
                pass
        assert outcome(prela_spans, "numbers") == ("cancelled", "cancelled")
        assert prela_spans["numbers"].attributes["prela.cancel.cause"] == "deadline"

    async def test_a_failing_one_is_an_error(self, prela_spans: Recorder) -> None:
        error = ValueError("in the stream")

        @prela.trace("numbers")
        async def numbers() -> AsyncIterator[int]:
            yield 1
            raise error

        with pytest.raises(ValueError) as caught:
            async for _ in numbers():
                pass
        assert caught.value is error
        assert outcome(prela_spans, "numbers") == ("error", "error")
        assert prela_spans["numbers"].status_message == "in the stream"

    async def test_a_cancelled_coroutine_function_is_cancelled(self, prela_spans: Recorder) -> None:
        @prela.trace("wait")
        async def wait() -> None:
            await anyio.sleep_forever()

        with anyio.move_on_after(0.005) as scope:
            await wait()
        assert scope.cancelled_caught
        assert prela_spans["wait"].status == "cancelled"

    async def test_many_at_once_do_not_disturb_each_other(self, tracer: prela.Tracer, prela_spans: Recorder) -> None:
        @prela.trace
        async def numbers(number: int) -> AsyncIterator[int]:
            for _ in range(3):
                with tracer.span(f"inside {number}"):
                    await anyio.lowlevel.checkpoint()
                yield number

        async def consume(number: int) -> None:
            with tracer.span(f"consumer {number}"):
                async for _ in numbers(number):
                    assert current_name() == f"consumer {number}"
                    await anyio.lowlevel.checkpoint()

        async with anyio.create_task_group() as group:
            for number in range(20):
                group.start_soon(consume, number)
        by_id = {record.span_id: record for record in prela_spans.records}
        for record in prela_spans.records:
            if record.name.startswith("inside"):
                consumer = by_id[by_id[record.parent_span_id or ""].parent_span_id or ""]
                assert consumer.name == record.name.replace("inside", "consumer")


def test_async_generators_left_open_are_closed_at_the_loops_end(tracer: prela.Tracer, prela_spans: Recorder) -> None:
    cleaned: list[str] = []
    kept: list[Any] = []

    @prela.trace("numbers")
    async def numbers() -> AsyncIterator[int]:
        try:
            yield 1
        finally:
            await asyncio.sleep(0)
            cleaned.append(current_name())

    async def main() -> None:
        kept.append(numbers())
        with tracer.span("outer"):
            assert await anext(kept[0]) == 1

    asyncio.run(main())
    assert cleaned == ["numbers"]
    assert outcome(prela_spans, "numbers") == ("success", "closed_early")


def test_a_suspended_async_generator_that_is_collected_disturbs_nobody(
    tracer: prela.Tracer, prela_spans: Recorder
) -> None:
    @prela.trace("numbers")
    async def numbers(future: "asyncio.Future[None]") -> AsyncIterator[int]:
        await future
        yield 1

    async def consume() -> None:
        async for _ in numbers(asyncio.get_running_loop().create_future()):
            pass

    async def main() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda loop, context: None)
        with tracer.span("other"):
            task = asyncio.ensure_future(consume())
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        with tracer.span("bystander") as bystander:
            del task
            gc.collect()
            assert prela.get_current_span() is bystander
            with tracer.span("child"):
                pass

    asyncio.run(main())
    assert prela_spans["child"].parent_span_id == prela_spans["bystander"].span_id
