"""The short cuts in C: they do what their twins in Python do, for every call, and leak nothing."""

import gc
import subprocess
import sys
import tracemalloc
import weakref
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import ExitStack, nullcontext
from contextlib import suppress as ignoring
from contextvars import Context, ContextVar, copy_context
from inspect import getdoc, signature
from pathlib import Path
from time import monotonic_ns
from typing import Any
from unittest import mock

import pytest
from hypothesis import given
from hypothesis import strategies as st

import prela.testing
from prela.core import shortcut
from prela.core.buffer import Buffer
from prela.core.context import usage
from prela.core.current import current_span
from prela.core.readable import CLOSED, LEFT
from prela.core.sampler import AlwaysOff
from prela.core.settings import QUICK_STRING, Limits, Settings
from prela.core.silent import NO_SPAN
from prela.core.span import Span
from prela.core.tracer import Tracer
from prela.core.unsampled import UNSAMPLED
from prela.record.enums import SpanType

in_c = pytest.mark.skipif(shortcut.compiled is None, reason="Prela was installed without its short cuts")


class TracerInPython(Tracer):
    __slots__ = ()
    span = getattr(Tracer, "_span_in_python", Tracer.span)


def made(compiled: bool, **options: Any) -> tuple[Tracer, Buffer]:
    """A tracer whose spans take the short cuts, or do not."""
    module, buffer = shortcut.compiled, options.pop("buffer", None) or Buffer()
    try:
        shortcut.compiled = module if compiled else None
        settings = Settings(buffer=buffer, **options)
    finally:
        shortcut.compiled = module
    if not compiled and not settings.is_careful:
        settings.span_class.set_attribute = Span._set_attribute_in_python  # type: ignore[method-assign]
    return (Tracer if compiled else TracerInPython)(settings), buffer


@in_c
def test_spans_take_the_short_cuts_where_they_are_compiled() -> None:
    recorded, unsampled, tracer = made(True)[0], made(True, sampler=AlwaysOff())[0], made(False)[0]
    assert {span_methods(recorded.span("a")), span_methods(unsampled.span("a"))} == {("C", "C", "C")}
    assert span_methods(tracer.span("a")) == ("Python",) * 3


def span_methods(span: Span) -> tuple[str, ...]:
    return tuple(
        "Python" if hasattr(getattr(span, name), "__func__") else "C"
        for name in ("__enter__", "__exit__", "set_attribute")
    )


# --- the same, whatever is called ---------------------------------------------------------------------------------

values = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=5),
    st.sampled_from(["x" * 128, "x" * 129, 10**100, [1], {"a": 1}, b"b", ("t",), object]),
)
keys = st.one_of(st.sampled_from([f"k{i}" for i in range(12)]), st.sampled_from([1, None, ["unhashable"], "k" * 2000]))
steps = st.lists(
    st.one_of(
        st.tuples(st.just("enter")),
        st.tuples(st.just("enter apart")),
        st.tuples(st.just("enter again")),
        st.tuples(st.just("set"), keys, values),
        st.tuples(st.just("set on"), st.integers(0, 5), keys, values),
        st.tuples(st.just("leave")),
        st.tuples(st.just("leave with"), st.sampled_from([ValueError, KeyboardInterrupt])),
        st.tuples(st.just("leave out of order"), st.integers(0, 5)),
        st.tuples(st.just("leave elsewhere")),
        st.tuples(st.just("end")),
        st.tuples(st.just("event")),
    ),
    max_size=30,
)


class Odd:
    def should_sample(self, request: Any) -> bool:
        return int(request.name[1:]) % 2 == 1


def told(tracer: Tracer, buffer: Buffer, program: list[tuple[Any, ...]]) -> Any:
    """Run a program of steps with a tracer, and tell all that can be seen of it."""
    spans: list[Span] = []
    entered: list[Span] = []
    for step, *what in program:
        if step in {"enter", "enter apart"}:
            spans.append(tracer.span(f"s{len(spans)}", **({"parent": None} if step == "enter apart" else {})))
            entered.append(spans[-1].__enter__())
        elif not entered:
            continue
        elif step == "enter again":
            assert entered[-1].__enter__() is entered[-1]
        elif step == "set":
            assert entered[-1].set_attribute(*what) is None
        elif step == "set on":
            spans[what[0] % len(spans)].set_attribute(*what[1:])
        elif step == "leave":
            assert entered.pop().__exit__(None, None, None) is None
        elif step == "leave with":
            error = what[0]("told")
            entered.pop().__exit__(type(error), error, None)
        elif step == "leave out of order":
            entered.pop(what[0] % len(entered)).__exit__(None, None, None)
        elif step == "leave elsewhere":
            (copy_context() if len(entered) % 2 else Context()).run(entered.pop().__exit__, None, None, None)
        elif step == "end":
            entered[-1].end()
        elif step == "event":
            entered[-1].add_event("happened")
    current: Any = current_span.get()
    number = {id(span): place for place, span in enumerate(spans)}
    return (
        [
            (
                number.get(id(span._parent)) if hasattr(span, "_parent") else None,
                {key: repr(value) for key, value in span.attributes.items()},
                span.status if hasattr(span, "_details") else None,
                hasattr(span, "_details") and span._details is None,
                type(span._token).__name__,
                span.is_recording,
                span.is_left,
                len(span.events),
            )
            for span in spans
        ],
        number.get(id(current)),
        [number[id(span)] for span in buffer.queue],
        buffer.dropped_counts(),
        tracer._settings.counters.late_calls.value,  # type: ignore[union-attr]
        tracer._settings.counters.ids.started,  # type: ignore[union-attr]
        tracer._settings.unsampled.value,  # type: ignore[union-attr]
    )


@in_c
@pytest.mark.parametrize("options", [{}, {"sampler": AlwaysOff()}, {"sampler": Odd()}, {"limits_of": 2}, {"queue": 3}])
@given(program=steps)
def test_a_program_cannot_tell_whether_its_spans_take_them(options: dict[str, Any], program: Any) -> None:
    ways = []
    for compiled in (True, False):
        chosen = dict(options)
        if attributes := chosen.pop("limits_of", None):
            chosen["limits"] = Limits(attributes=attributes)
        queue = chosen.pop("queue", None)
        tracer, buffer = made(compiled, **chosen)
        if queue:
            buffer._max_spans = queue
            buffer.settle()
        ways.append(Context().run(told, tracer, buffer, program))
    assert ways[0] == ways[1]


class Bad:
    def __init__(self, error: BaseException) -> None:
        self.error = error

    def __bool__(self) -> bool:
        raise self.error


class Interrupted:
    """A value that Ctrl-C comes to while it is copied, once."""

    done = False

    def __repr__(self) -> str:
        if not self.done:
            self.done = True
            raise KeyboardInterrupt
        return "it"


class BadMapping(dict[str, Any]):
    def items(self) -> Any:
        raise self["error"]


@in_c
@pytest.mark.parametrize(
    "above", ["a span", "nothing", "an unsampled root", "a propagated attribute", "suppression", "off"]
)
@pytest.mark.parametrize(
    "call",
    [
        "tracer.span('a')",
        "tracer.span(name='a')",
        "tracer.span('a', SpanType.LLM)",
        "tracer.span('a', 'own type')",
        "tracer.span('a', span_type=SpanType.LLM)",
        "tracer.span('a', attributes={'k': 1, 'l': [1]})",
        "tracer.span('a', SpanType.LLM, {'k': 'x' * 1000})",
        "tracer.span(attributes={'k': 1}, name='a', span_type='t')",
        "tracer.span('a', attributes=None)",
        "tracer.span('a', attributes={})",
        "tracer.span('a', attributes=0)",
        "tracer.span('a', attributes=1)",
        "tracer.span('a', attributes=BadMapping(error=ValueError()))",
        "tracer.span('a', attributes=BadMapping(error=KeyboardInterrupt()))",
        "tracer.span('a', attributes={'k': Interrupted()})",
        "tracer.span('a', attributes=Bad(ValueError('told')))",
        "tracer.span('a', attributes=Bad(KeyboardInterrupt()))",
        "tracer.span('a', attributes={f'k{i}': i for i in range(20)})",
        "tracer.span('a', kind='client')",
        "tracer.span('a', 't', None, 'client')",
        "tracer.span('a', kind=None, links=None)",
        "tracer.span('a', parent=None)",
        "tracer.span('a', parent=elsewhere)",
        "tracer.span('a', links=[elsewhere])",
        "tracer.span('a', **{''.join(['span', '_type']): 't'})",
        "tracer.span(5)",
        "tracer.span(None, None)",
        "tracer.span()",
        "tracer.span('a', name='b')",
        "tracer.span('a', wrong=1)",
        "tracer.span(span_type='t')",
        "tracer.span(*'abcdefgh')",
    ],
)
def test_a_tracer_makes_the_span_that_its_twin_makes(call: str, above: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def outcome(compiled: bool) -> Any:
        tracer, _ = made(compiled, **({"sampler": AlwaysOff()} if above == "an unsampled root" else {}))
        elsewhere = tracer.start_span("elsewhere", parent=None)
        settings = tracer._settings
        assert settings is not None
        outside = {
            "a span": lambda: tracer.span("outside"),
            "an unsampled root": lambda: tracer.span("outside"),
            "a propagated attribute": lambda: prela.propagate_attributes(user_id="u"),
            "suppression": prela.suppress,
        }.get(above, nullcontext)()
        if above == "off":
            tracer.configure(None)
        with outside as entered:
            try:
                names = {"tracer": tracer, "elsewhere": elsewhere, "SpanType": SpanType, "Bad": Bad}
                span = eval(call, {**names, "BadMapping": BadMapping, "Interrupted": Interrupted})
            except (TypeError, KeyboardInterrupt) as error:
                return type(error), str(error).replace("TracerInPython", "Tracer").removeprefix("Tracer.")
            slots = {name: getattr(span, name, "none") for name in ("name", "span_type", "_token", "_trace", "_parent")}
            return (
                type(span).__name__,
                {name: type(value) if name in {"_trace", "_token"} else value for name, value in slots.items()}
                if slots["_parent"] not in {entered, elsewhere}
                else (slots["name"], slots["span_type"], type(slots["_trace"]), slots["_parent"] is entered),
                dict(span.attributes),
                span.kind,
                [link.context.trace_id == elsewhere.trace_id for link in span.links],
                (getattr(span, "_details", None) is None, span.is_recording, span.parent_span_id is None),
                settings.unsampled.value,
                settings.counters.ids.started,
            )

    # What is propagated once is looked for ever after, which is not what other tests are about.
    monkeypatch.setattr(usage, "propagating", usage.propagating)
    assert Context().run(outcome, True) == Context().run(outcome, False)


@in_c
def test_help_shows_what_a_tracer_takes() -> None:
    assert list(signature(Tracer.span).parameters)[1:] == ["name", "span_type", "attributes", "kind", "links", "parent"]
    assert getdoc(Tracer.span) == getdoc(TracerInPython.span)


@in_c
def test_a_full_queue_is_asked_at_the_same_span() -> None:
    ways = []
    for compiled in (True, False):
        tracer, buffer = made(compiled)
        buffer._max_spans = 5
        buffer.settle()
        with tracer.span("root"):
            for number in range(8):
                with tracer.span(f"s{number}"):
                    pass
        ways.append(([span.name for span in buffer.queue], buffer.dropped_counts()))
    assert ways[0] == ways[1]
    assert ways[0][1] == {"queue_full": 4}


@in_c
@pytest.mark.parametrize("below", [False, True])
@pytest.mark.parametrize("options", [{}, {"sampler": AlwaysOff()}])
@pytest.mark.parametrize(
    "call",
    [
        "span.set_attribute()",
        "span.set_attribute('key')",
        "span.set_attribute('key', 1, 2)",
        "span.set_attribute('key', wrong=1)",
        "span.set_attribute('key', 1, key=2)",
        "span.set_attribute('key', value=1)",
        "span.set_attribute(value=1, key='key')",
        "span.set_attribute(*range(50))",
        "span.__enter__(1)",
        "span.__exit__()",
        "span.__exit__(None, None, None, None)",
        "span.__exit__(exc_type=None, exc=None, traceback=None)",
        "span.__exit__(None, None, None, wrong=1)",
    ],
)
def test_calls_that_are_wrong_are_told_in_the_same_words(call: str, options: dict[str, Any], below: bool) -> None:
    def outcome(compiled: bool) -> Any:
        tracer = made(compiled, **options)[0]
        with tracer.span("outside") if below else nullcontext(), tracer.span("work") as span:
            try:
                return eval(call), dict(span.attributes)
            except TypeError as error:
                return str(error).split("()", 1)[1] if "__enter__" not in call else TypeError

    assert outcome(True) == outcome(False)


@in_c
def test_help_shows_their_parameters() -> None:
    span = made(True)[0].span("work")
    assert str(signature(span.set_attribute)) == "(key, value)"
    assert str(signature(span.__exit__)) == "(exc_type, exc, traceback)"


# --- what they hold, and let go of --------------------------------------------------------------------------------


@in_c
@pytest.mark.parametrize("options", [{}, {"sampler": AlwaysOff()}])
def test_they_keep_nothing(options: dict[str, Any]) -> None:
    tracer, buffer = made(True, **options)
    text, error, elsewhere = "text" * 10, ValueError("told"), Context()

    def work() -> None:
        for number in range(500):
            with tracer.span("work") as span:
                span.set_attribute("text", text)
                span.set_attribute(f"number {number}", number * 1000)
                span.set_attribute("list", [number])
                with pytest.raises(TypeError):
                    span.set_attribute("one")  # type: ignore[call-arg]
                with tracer.span("again") as again, again:
                    pass
            span.__exit__(None, None, None)
            span.set_attribute("late", 1)
            left = tracer.span("left").__enter__()
            elsewhere.run(left.__exit__, None, None, None)
            failed = tracer.span("failed").__enter__()
            failed.__exit__(ValueError, error, None)
        buffer.queue.clear()
        current_span.set(None)

    def held() -> tuple[int, int]:
        gc.collect()
        return tracemalloc.get_traced_memory()[0], sys.getrefcount(text)

    def measured() -> None:
        work()
        tracemalloc.start()
        try:
            work()
            before = held()
            for _ in range(3):
                work()
            after = held()
        finally:
            tracemalloc.stop()
        assert after[1] == before[1]
        assert after[0] - before[0] < 20_000, "1,500 rounds more may not hold as much as a reference each"

    Context().run(measured)


@in_c
def test_none_and_the_markers_keep_their_counts() -> None:
    tracer, buffer = made(True)

    def work() -> None:
        for _ in range(2_000):
            with tracer.span("work", attributes={"key": 1}):
                pass
        buffer.queue.clear()

    def counts() -> list[int]:
        return [sys.getrefcount(it) for it in (LEFT, CLOSED, tracer._settings, type(tracer.span("a")))]

    work()
    before = counts()
    none = sys.getrefcount(None)
    work()
    assert counts() == before
    assert abs(sys.getrefcount(None) - none) < 200


@in_c
def test_the_collector_does_not_look_at_what_is_queued_but_where_that_may_hold_itself() -> None:
    class Name(str):
        pass

    tracer, buffer = made(True)
    with tracer.span("nobody takes what is queued") as kept:
        pass
    assert gc.is_tracked(kept)
    buffer.queue.clear()
    buffer.is_drained = True  # as a worker says
    name, kind = Name("holds it"), Name("holds it")
    with tracer.span("root") as root:
        assert gc.is_tracked(root)
        for given in (("plain",), ("plain", SpanType.LLM), ("plain", "own type"), (name,), ("plain", kind)):
            with tracer.span(*given):
                pass
    assert [gc.is_tracked(span) for span in buffer.queue] == [False, False, False, True, True, False]
    with prela.testing.recording(insight=True), prela.get_tracer().span("watched") as watched:
        pass
    assert gc.is_tracked(watched)


@pytest.mark.parametrize("compiled", [pytest.param(True, marks=in_c), False])
def test_what_nobody_takes_from_a_queue_is_collected_with_it(compiled: bool) -> None:
    tracer, buffer = made(compiled)
    with tracer.span("root"), tracer.span("child"):
        pass
    gone = weakref.ref(buffer.queue)
    del tracer, buffer
    gc.collect()
    assert gone() is None


def _held_by_a_key(tracer: Tracer) -> Any:
    class Key(str):
        span: Any

    key = Key("key")
    with tracer.span("work") as span:
        key.span = span
        span.set_attribute(key, 1)
    return key


def _held_by_its_name(tracer: Tracer) -> Any:
    class Name:
        span: Any

    with tracer.span("work") as span:
        pass
    span.name = name = Name()  # type: ignore[assignment]
    name.span = span
    return name


def _held_by_what_its_parent_was_entered_in(tracer: Tracer) -> Any:
    class Holder:
        span: Any

    holder, held = Holder(), ContextVar[Any]("held")

    def program() -> None:
        held.set(holder)
        tracer.span("never left").__enter__()
        with tracer.span("work") as holder.span:
            pass

    copy_context().run(program)
    return holder


@pytest.mark.parametrize("hold", [_held_by_a_key, _held_by_its_name, _held_by_what_its_parent_was_entered_in])
@pytest.mark.parametrize("compiled", [pytest.param(True, marks=in_c), False])
def test_what_holds_a_span_and_is_held_by_it_is_collected_once_that_is_exported(
    compiled: bool, hold: Callable[[Tracer], Any]
) -> None:
    tracer, buffer = made(compiled)
    buffer.is_drained = True

    def program() -> Any:
        with tracer.span("root"):
            return weakref.ref(hold(tracer))

    gone = Context().run(program)
    shortcut.track(buffer.take(100)[0])
    gc.collect()
    assert gone() is None


def test_what_a_signature_gives_for_what_was_left_out_may_be_given() -> None:
    tracer, _ = made(shortcut.compiled is not None)
    with tracer.span("outside") as outside:
        given = signature(tracer.span).bind("inside")
        given.apply_defaults()
        inside = tracer.span(*given.args, **given.kwargs)
    assert (inside._parent, inside.span_type) == (outside, SpanType.CUSTOM)


@in_c
def test_modules_may_be_loaded_again() -> None:
    code = """
import importlib
import prela.core.tracer, prela.core.readable, prela.core.span, prela.core.recording
for module in (prela.core.readable, prela.core.span, prela.core.recording, prela.core.tracer):
    importlib.reload(module)
with prela.core.tracer.Tracer(None).span("off"):
    pass
"""
    subprocess.run([sys.executable, "-c", code], check=True)


# --- switched off -------------------------------------------------------------------------------------------------


def test_a_variable_has_them_not_used() -> None:
    def seen(value: str) -> str:
        code = "from prela.core import shortcut; print(shortcut.compiled)"
        run = subprocess.run(
            [sys.executable, "-c", code], env={"PRELA_NO_EXTENSIONS": value}, capture_output=True, text=True, check=True
        )
        return run.stdout.strip()

    assert seen("1") == seen("yes") == "None"
    assert seen("0") == seen("")
    if shortcut.compiled is not None:
        assert seen("") == str(shortcut.compiled)


@in_c
@pytest.mark.parametrize("error", [TypeError("Buffer.queue is not given, or no slot"), SystemError, RuntimeError])
def test_what_was_compiled_from_other_sources_is_not_used(error: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def other(*_: object) -> None:
        raise error

    monkeypatch.setattr(shortcut.compiled, "begin", other)
    assert shortcut._load()[0] is None


@in_c
def test_what_was_compiled_before_its_source_changed_is_not_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shortcut, "__file__", str(tmp_path / "shortcut.py"))
    monkeypatch.setattr(shortcut.compiled, "begin", lambda *_: None)
    assert shortcut._load() == (shortcut.compiled, "in use")  # as in a wheel, which has no source
    (tmp_path / "shortcut.c").touch()
    assert shortcut._load() == (None, "not in use: compiled from other sources; install again")


@in_c
@pytest.mark.parametrize(("kind", "wrong"), [("recorded", int), ("shared", 1), ("other", Span)])
def test_they_go_on_no_class_that_they_are_not_for(kind: str, wrong: Any) -> None:
    assert shortcut.compiled is not None
    with pytest.raises(TypeError):
        shortcut.compiled.methods(kind, wrong)


@in_c
def test_a_second_interpreter_in_the_process_goes_without() -> None:
    assert shortcut.compiled is not None
    assert shortcut._load()[0] is None
    with prela.testing.recording() as spans, prela.get_tracer().span("work") as span:
        span.set_attribute("as", "before")
    assert spans["work"].attributes == {"as": "before"}


@in_c
@pytest.mark.parametrize("compiled", [True, False])
def test_an_exit_stack_leaves_a_span_that_was_left_out_of_order(compiled: bool) -> None:
    tracer, buffer = made(compiled)

    def program() -> None:
        with ExitStack() as stack:
            outer = stack.enter_context(tracer.span("outer"))
            inner = tracer.span("inner").__enter__()
            outer.__exit__(None, None, None)
            assert outer.is_left
            stack.enter_context(tracer.span("in between"))
            inner.set_attribute("still", 1)
        inner.__exit__(None, None, None)
        assert current_span.get() is None

    Context().run(program)
    assert [span.name for span in buffer.queue] == ["outer", "in between", "inner"]


def at(depth: int, do: Callable[[], object]) -> None:
    """Do it so many frames further in."""
    if depth:
        at(depth - 1, do)
    else:
        do()


@pytest.fixture
def no_collector() -> Iterator[None]:
    """The collector runs only where a test has it run."""
    before = gc.get_threshold()
    gc.disable()
    yield
    gc.set_threshold(*before)
    gc.enable()


def leave_while_it_collects(span: Span, objects: int) -> None:
    """Leave a span, and have the collector run once so many objects were made meanwhile."""
    gc.set_threshold(objects, 1000, 1000)
    gc.enable()
    span.__exit__(None, None, None)
    gc.disable()


# --- what may happen in the middle --------------------------------------------------------------------------------


@pytest.mark.parametrize("insight", [False, True])
def test_an_attribute_may_be_set_on_a_span_that_is_left_while_its_value_is_worked_out(insight: bool) -> None:
    with prela.testing.recording(insight=insight) as spans:
        outer = prela.get_tracer().span("outer").__enter__()
        inner = prela.get_tracer().span("inner").__enter__()

        def value() -> int:
            outer.__exit__(None, None, None)  # it is of another class then, whose methods were looked up before
            return 1

        outer.set_attribute("late", value())
        inner.set_attribute("early", 1)
        inner.__exit__(None, None, None)
        with prela.get_tracer().span("entered") as entered:
            entered.set_attribute("late", [entered.__exit__(None, None, None)])
    assert "late" not in {**spans["outer"].attributes, **spans["entered"].attributes}
    assert spans["inner"].attributes["early"] == 1


@pytest.mark.parametrize("compiled", [pytest.param(True, marks=in_c), False])
@pytest.mark.usefixtures("no_collector")
def test_a_finalizer_that_ends_the_span_that_is_being_left_ends_it_once(compiled: bool) -> None:
    """Up to CPython 3.11 the collector may run where a context is changed."""

    class Stream:
        def __init__(self, span: Span) -> None:
            self.me, self.span = self, span

        def __del__(self) -> None:
            self.span.end()

    tracer, buffer = made(compiled)
    with tracer.span("root"):
        for objects in range(1, 20):
            gc.collect()
            span = tracer.span("work")
            Stream(span)
            span.__enter__()
            leave_while_it_collects(span, objects)
    assert buffer.ended == len({id(span) for span in buffer.queue}) == 20


@pytest.mark.parametrize("compiled", [pytest.param(True, marks=in_c), False])
@pytest.mark.usefixtures("no_collector")
def test_what_a_finalizer_adds_to_the_span_that_is_being_left_is_weighed(compiled: bool) -> None:
    class Adds:
        def __init__(self, span: Span) -> None:
            self.me, self.span = self, span

        def __del__(self) -> None:
            if self.span.is_recording:
                self.span.add_event("happened", {"text": "x" * 5_000})

    for objects in range(1, 20):
        gc.collect()
        tracer, buffer = made(compiled)
        span = tracer.span("work").__enter__()
        Adds(span)
        leave_while_it_collects(span, objects)
        assert buffer.heavy_bytes >= 5_000 * len(span.events)


@pytest.mark.parametrize("compiled", [pytest.param(True, marks=in_c), False])
def test_a_span_that_is_entered_and_left_by_another_while_it_is_entered_is_queued_once(compiled: bool) -> None:
    others: list[Span] = []

    def clock() -> int:
        while others:
            with others.pop():
                pass
        return 1

    tracer, buffer = made(compiled, clock=clock)
    with tracer.span("root"):
        span = tracer.span("work")
        others.append(span)
        span.__enter__()  # reads the clock, as which another thread comes in between
        span._trace.clock = monotonic_ns  # from here on as C does it, where that is in use
        span.__exit__(None, None, None)
    assert [one.name for one in buffer.queue] == ["work", "root"]


def test_who_puts_another_set_attribute_on_spans_is_asked() -> None:
    with prela.testing.recording(), mock.patch.object(Span, "set_attribute") as asked:
        with prela.get_tracer().span("work") as span:
            span.set_attribute("key", 1)
    asked.assert_called_once_with("key", 1)


@in_c
@pytest.mark.parametrize("error", [KeyboardInterrupt, OSError])
@pytest.mark.parametrize("where", ["__enter__", "__exit__"])
def test_a_clock_that_runs_python_is_left_to_python(
    where: str, error: type[BaseException], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As one of C does, into which a library that travels in time has put another function."""

    def outcome(compiled: bool) -> Any:
        raising = True
        monkeypatch.setattr(sys, "breakpointhook", lambda: 5)
        tracer, buffer = made(compiled, clock=breakpoint, wall_clock=lambda: 5)
        span = tracer.span("work")

        def hook() -> int:
            nonlocal raising
            if raising:
                raising = False
                raise error("told")
            return 6

        if where == "__exit__":
            span.__enter__()
        monkeypatch.setattr(sys, "breakpointhook", hook)
        try:
            span.__enter__() if where == "__enter__" else span.__exit__(None, None, None)
        except BaseException as raised:
            return type(raised), span.is_recording, len(buffer.queue), current_span.get() is span
        return None, span.is_recording, len(buffer.queue), current_span.get() is span

    assert Context().run(outcome, True) == Context().run(outcome, False)


@pytest.mark.parametrize("compiled", [pytest.param(True, marks=in_c), False])
@pytest.mark.usefixtures("no_collector")
def test_a_span_is_counted_whose_buffer_is_closed_while_it_is_left(compiled: bool) -> None:
    """By a finalizer, as above: the span is either in the queue or dropped."""

    class Closes:
        def __init__(self, buffer: Buffer) -> None:
            self.me, self.buffer = self, buffer

        def __del__(self) -> None:
            self.buffer.close()
            queued.append(len(self.buffer.queue))

    for objects in range(1, 20):
        gc.collect()
        queued: list[int] = []
        tracer, buffer = made(compiled)
        span = tracer.span("work").__enter__()
        Closes(buffer)
        leave_while_it_collects(span, objects)
        assert len(buffer.queue) + buffer.dropped_counts().get("shutdown", 0) == 1
        if queued:
            assert len(buffer.queue) == queued[0]


@in_c
@pytest.mark.parametrize("raises", [False, True])
def test_a_queue_of_another_class_is_given_spans_as_the_twin_gives_them(raises: bool) -> None:
    class Queue(deque[Any]):
        def append(self, span: Any) -> None:
            seen.append((span.is_recording, span.end_time_ns is not None, type(span._token).__name__))
            if raises:
                raise OSError("told")

    ways = []
    for compiled in (True, False):
        seen: list[Any] = []
        _, buffer = made(compiled)
        buffer.queue = Queue()
        with made(compiled, buffer=buffer)[0].span("work"):
            pass
        ways.append(seen)
    assert ways[0] == ways[1] == [(False, True, "Marker")]


@pytest.mark.parametrize("act", ["enter", "set", "set a list", "leave", "leave with an event", "leave with an error"])
@pytest.mark.parametrize("compiled", [pytest.param(True, marks=in_c), False])
@pytest.mark.usefixtures("no_collector")
def test_at_the_end_of_the_stack_nothing_is_told_but_that(compiled: bool, act: str) -> None:
    tracer, buffer = made(compiled)
    error = ValueError("told")

    def program() -> None:
        entered = 0
        for depth in range(sys.getrecursionlimit() - 200, sys.getrecursionlimit()):
            span = tracer.span("work")
            if act != "enter":
                span.__enter__()
            if act == "leave with an event":
                span.add_event("happened")
            do = {
                "enter": span.__enter__,
                "set": lambda span=span: span.set_attribute("key", 1),
                "set a list": lambda span=span: span.set_attribute("key", [1]),
                "leave with an error": lambda span=span: span.__exit__(ValueError, error, None),
            }.get(act, lambda span=span: span.__exit__(None, None, None))
            with ignoring(RecursionError):
                at(depth, do)
            entered += span._is_started
            if act in {"enter", "set", "set a list"}:
                assert (current_span.get() is span) == span._is_started
                span.__exit__(None, None, None)
            with tracer.span("after"):
                entered += 1
            if (current := current_span.get()) is not None:  # CPython had no stack to call anything of ours
                current.__exit__(None, None, None)
        assert tracer._settings is not None
        assert current_span.get() is None
        assert buffer.ended == entered == tracer._settings.counters.ids.started - buffer.false_starts

    Context().run(program)


@in_c
@pytest.mark.usefixtures("no_collector")
def test_at_the_end_of_the_stack_making_a_span_raises_nowhere_that_its_twin_would_not() -> None:
    def raising(compiled: bool) -> list[bool]:
        tracer, _ = made(compiled)
        raised = []
        with tracer.span("root"):
            for depth in range(sys.getrecursionlimit() - 200, sys.getrecursionlimit()):
                try:
                    at(depth, lambda: tracer.span("deep", attributes={"key": 1}))
                    raised.append(False)
                except RecursionError:
                    raised.append(True)
        return raised

    in_c, in_python = Context().run(raising, True), Context().run(raising, False)
    assert not any(of_c and not of_python for of_c, of_python in zip(in_c, in_python, strict=True))
    assert any(in_python)


@in_c
def test_a_string_is_small_up_to_the_same_length() -> None:
    for length in (0, QUICK_STRING - 1, QUICK_STRING, QUICK_STRING + 1):
        ways = []
        for compiled in (True, False):
            with made(compiled)[0].span("work") as span:
                span.set_attribute("key", "x" * length)
                ways.append(span._details is None)
        assert ways == [length <= QUICK_STRING] * 2


@in_c
def test_an_unsampled_root_left_out_of_order_is_left_as_the_twin_leaves_it() -> None:
    ways = []
    for compiled in (True, False):
        program = [("enter apart",), ("enter apart",), ("leave out of order", 0), ("leave",), ("enter",), ("leave",)]
        ways.append(Context().run(told, *made(compiled, sampler=Odd()), program))
    assert ways[0] == ways[1]


@in_c
def test_a_span_that_stands_for_many_refuses_calls_that_are_wrong() -> None:
    for span in (UNSAMPLED, NO_SPAN):
        for call in (span.__exit__, span.set_attribute):
            for arguments in ((), (1,), (1, 2, 3, 4)):
                with pytest.raises(TypeError):
                    call(*arguments)  # type: ignore[arg-type]
