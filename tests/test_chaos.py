"""Boundary chaos: whichever internal function raises, the user's program sees what it sees without us."""

import asyncio
import contextvars
import importlib
import inspect
import pkgutil
import types
from collections.abc import AsyncIterator, Iterator
from typing import Any

import anyio
import anyio.abc
import pytest

import prela
from prela.aio import to_thread, trace_stream, traced
from prela.aio.process import process
from prela.core.context import copy_context_to_thread

PACKAGES = ("prela.core", "prela.record", "prela.aio")

BOUNDARY = {
    # What the user calls: these guard what they call, and cannot guard themselves.
    *(
        "prela.core.tracer.Tracer." + name
        for name in ("__init__", "span", "_span_in_python", "start_span", "configure")
    ),
    *("prela.core.span.Span." + name for name in ("__enter__", "__exit__", "set_attribute", "set_attributes")),
    *("prela.core.span.Span." + name for name in ("add_event", "add_link", "record_exception", "set_status", "end")),
    *("prela.core.span.Span._" + name for name in ("enter_in_python", "exit_in_python", "set_attribute_in_python")),
    # Steps of these that guard all they do.
    *(
        "prela.core.span." + name
        for name in ("Span._end_with", "Span._leave", "CarefulSpan.__exit__", "CarefulSpan.set_attribute")
    ),
    *("prela.core.scope.Scope." + name for name in ("__init__", "enter", "leave")),
    "prela.core.step.Step.__init__",
    "prela.core.context._leave",
    *("prela.aio.tracer." + name for name in ("_attach", "_note_task")),
    *("prela.aio.tracer.Tracer." + name for name in ("aspan", "task_group")),
    *("prela.aio.tracer.AsyncSpan." + name for name in ("__init__", "__aenter__", "__aexit__")),
    *("prela.core.silent.SilentSpan." + name for name in ("__enter__", "__exit__", "set_attribute", "_begin")),
    "prela.core.silent.SilentSpan._end_with",
    # Run when a function is decorated or wrapped, before the program runs.
    "prela.core.decorator.*",
    "prela.core.context.copy_context_to_thread",
    # Context managers and loggers that stand on the boundary.
    *("prela.core.context." + name for name in ("_block", "baggage", "propagate_attributes", "suppress", "use_span")),
    *("prela.core.context." + name for name in ("get_baggage", "holding_baggage", "without_current_span")),
    *("prela.core.propagation." + name for name in ("inject", "extract", "attach", "environment")),
    "prela.core.processes.*",
    "prela.core.log.*",
    # Ends of the API that are not the tracing of a program: setting up, and reading.
    "prela.aio.assembly.*",
    "prela.aio.process.*",
    "prela.aio.groups.*",
    "prela.aio.threads.*",
    "prela.aio.lifespan.*",
    "prela.aio.streams.*",
    # Of insight, what the user or a setting up calls; finalizers guard all they do.
    *("prela.insight.span.WatchedSpan." + name for name in ("__enter__", "__exit__")),
    "prela.insight.span.InsightSpan.__del__",
    *("prela.insight.insight." + name for name in ("_knows_all", "Insight.__init__", "Insight.span_class")),
    "prela.insight.insight.Insight.after_fork",
    # What a thread runs, a weak reference or a fork calls; it guards all it does.
    *("prela.insight." + name for name in ("watchdog.Watchdog._begin", "watchdog.Watchdog._run", "accounts._forget")),
    # What a monitoring callback calls instead of guarding: these guard all they do.
    *("prela.insight.asyncio." + name for name in ("_settled", "_created", "_step_in_step")),
    "prela.insight.snapshot.open_spans",
    "prela.insight.dump.dump_open_spans",
    "prela.insight.dump_signal.*",
    *("prela.aio.kinship." + name for name in ("Kinship.__init__", "Kinship.opened", "Kinship.began", "Kinship.left")),
    *("prela.aio.kinship." + name for name in ("Kinship.ended", "Kinship.joins", "Kinship.tell")),
    *("prela.aio.kinship." + name for name in ("Start.__init__", "Start.over")),
    *("prela.aio.limiters." + name for name in ("traced", "_kind_of", "_Book.__init__", "_Book.acquired")),
    *("prela.aio.limiters." + name for name in ("_Book.holds", "_Book.released", "_Book._drop", "_Book._must_wait")),
    *("prela.aio.limiters." + name for name in ("_Book._begin_wait", "_Book._end_wait")),
    *(f"prela.aio.limiters.Traced.__{name}__" for name in ("init", "aenter", "aexit", "getattr", "setattr", "repr")),
    *("prela.aio.limiters.Traced." + name for name in ("acquire", "release")),
}


class InternalError(Exception):
    """What the internal functions are made to raise."""


def internal_functions(*packages: str) -> list[tuple[str, Any, str]]:
    found = []
    for package in packages:
        root = importlib.import_module(package)
        for info in pkgutil.walk_packages(root.__path__, f"{package}."):
            module = importlib.import_module(info.name)
            for owner in [module, *(c for c in vars(module).values() if inspect.isclass(c))]:
                if getattr(owner, "__module__", module.__name__) != module.__name__:
                    continue
                where = module.__name__ if owner is module else f"{module.__name__}.{owner.__qualname__}"
                for name, function in vars(owner).items():
                    if isinstance(function, types.FunctionType) and function.__module__ == module.__name__:
                        full = f"{where}.{name}"
                        if full not in BOUNDARY and f"{module.__name__}.*" not in BOUNDARY:
                            found.append((full, owner, name))
    return found


FUNCTIONS = internal_functions(*PACKAGES)


def program(tracer: prela.Tracer) -> list[Any]:
    """A small program that uses everything, and what it saw."""
    seen: list[Any] = []

    @prela.trace("generator")
    def steps() -> Iterator[int]:
        yield 1
        yield 2

    def work(number: int) -> int:
        with tracer.span("work", attributes={"number": number}):
            return number * 2

    with tracer.span("root", prela.SpanType.AGENT, {"a": [1, {"b": 2}]}, links=[prela.SpanContext("1" * 32, "2" * 16)]):
        with prela.use_span(tracer.start_span("detached")) as detached:
            prela.get_current_span().add_event("event", {"x": object()})
        detached.set_status("error", "message")
        detached.end()
        seen.append(list(steps()))
        seen.append([copy_context_to_thread(work)(n) for n in range(3)])
        try:
            with tracer.span("failing"):
                raise ExceptionGroup("group", [ValueError("user's own"), KeyError("x")])
        except ExceptionGroup as group:
            seen.append([repr(e) for e in group.exceptions])

    with prela.attach({"traceparent": f"00-{'1' * 32}-{'2' * 16}-01", "tracestate": "a=1", "baggage": "b=2"}):
        with tracer.span("remote"), prela.baggage(c=3):
            seen.append(type(prela.inject({})))

    async def cancelled() -> None:
        async with tracer.aspan("waits"):
            await asyncio.get_running_loop().create_future()

    lock = traced(anyio.Lock(), "lock")

    async def guarded(error: Exception | None) -> None:
        async with lock:
            await asyncio.sleep(0)
            if error is not None:
                raise error

    async def items() -> AsyncIterator[int]:
        yield 1

    async def starts(*, task_status: anyio.abc.TaskStatus[int]) -> None:
        task_status.started(5)

    async def grouped(error: Exception | None) -> None:
        async with tracer.task_group("group") as group:
            for _ in range(2):
                group.start_soon(guarded, error)
            seen.append(await group.start(starts))
            seen.append(await to_thread(int, "3", name="thread"))
            seen.append([item async for item in trace_stream(items(), tracer.start_span("stream"))])

    async def main() -> None:
        await grouped(None)
        try:
            await grouped(ValueError("child's own"))
        except ExceptionGroup as group:
            seen.append([repr(e) for e in group.exceptions])
        try:
            async with tracer.aspan("outside"), asyncio.timeout(0):
                with tracer.span("inside"):
                    await asyncio.get_running_loop().create_future()
        except TimeoutError:
            seen.append("timeout")
        task = asyncio.create_task(cancelled())
        await asyncio.sleep(0)
        task.cancel("enough")
        try:
            await task
        except asyncio.CancelledError as error:
            seen.append(error.args)

    asyncio.run(main())
    return seen


@pytest.mark.parametrize(("full", "owner", "name"), FUNCTIONS, ids=[full for full, _, _ in FUNCTIONS])
def test_the_program_sees_the_same_when_this_raises(
    full: str, owner: Any, name: str, tracer: prela.Tracer, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = program(tracer)
    prela.init(service_name="chaos", exporter="memory", redact=lambda value: value, sampler=prela.TraceIdRatio(1.0))

    def broken(*args: object, **kwargs: object) -> Any:
        raise InternalError(full)

    monkeypatch.setattr(owner, name, broken)
    try:
        # In a context of its own: what a broken step leaves current there must not reach the tests after this one.
        assert contextvars.copy_context().run(program, tracer) == expected
    finally:
        monkeypatch.undo()
        prela.sync.shutdown(timeout=1.0)
        process.forget()  # what a broken step did to the counts is not for the tests after this one


def test_the_chaos_reaches_most_of_what_is_inside() -> None:
    assert len(FUNCTIONS) > 100
