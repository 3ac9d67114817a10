"""How a span ended: success, error or cancelled, with what the runtime knows of the cause."""

import asyncio
import concurrent.futures
from typing import Any

import anyio
import pytest

import prela
from prela.record.model import SpanRecord
from prela.testing import Recorder

CANCEL_KEYS = ("prela.cancel.cause", "prela.cancel.reason", "prela.cancel.by")


def cancel_of(record: SpanRecord) -> dict[str, Any]:
    return {key: record.attributes[key] for key in CANCEL_KEYS if key in record.attributes}


def exceptions_of(record: SpanRecord) -> list[tuple[Any, ...]]:
    keys = ("exception.type", "exception.message", "prela.exception.branch")
    return [tuple(event.attributes.get(key) for key in keys) for event in record.events]


# --- without a loop -----------------------------------------------------------------------------------------------


def test_a_clean_exit_is_success(tracer: prela.Tracer, prela_spans: Recorder) -> None:
    with tracer.span("span"):
        pass
    record = prela_spans["span"]
    assert (record.status, record.status_message, record.events, record.attributes) == ("success", None, (), {})


def test_an_escaping_exception_is_an_error_with_its_message_and_stack(
    tracer: prela.Tracer, prela_spans: Recorder
) -> None:
    with pytest.raises(KeyError), tracer.span("span"):
        raise KeyError("missing")
    record = prela_spans["span"]
    assert (record.status, record.status_message) == ("error", "'missing'")
    assert exceptions_of(record) == [("KeyError", "'missing'", None)]
    assert 'raise KeyError("missing")' in record.events[0].attributes["exception.stacktrace"]


def test_an_exception_that_is_caught_inside_is_none_of_the_spans_business(
    tracer: prela.Tracer, prela_spans: Recorder
) -> None:
    with tracer.span("outer"):
        with pytest.raises(ValueError), tracer.span("inner"):
            raise ValueError
    assert prela_spans["inner"].status == "error"
    assert (prela_spans["outer"].status, prela_spans["outer"].events) == ("success", ())


@pytest.mark.parametrize("explicit", ["success", "cancelled", "error"])
def test_an_explicit_status_is_overridden_by_an_exception(
    explicit: str, tracer: prela.Tracer, prela_spans: Recorder
) -> None:
    with pytest.raises(ValueError), tracer.span("span") as span:
        span.set_status(explicit, "said before")
        raise ValueError("said last")
    assert (prela_spans["span"].status, prela_spans["span"].status_message) == ("error", "said last")


def test_an_explicit_status_stands_after_a_clean_exit(tracer: prela.Tracer, prela_spans: Recorder) -> None:
    with tracer.span("error") as span:
        span.set_status(prela.SpanStatus.ERROR, "empty answer")
    with tracer.span("cancelled") as span:
        span.set_status("cancelled")
    assert (prela_spans["error"].status, prela_spans["error"].status_message) == ("error", "empty answer")
    assert prela_spans["cancelled"].status == "cancelled"


@pytest.mark.parametrize(
    ("code", "status"), [(None, "success"), (0, "success"), (3, "error"), ("usage: ...", "error"), ("", "error")]
)
def test_system_exit_is_success_when_its_code_is(
    code: Any, status: str, tracer: prela.Tracer, prela_spans: Recorder
) -> None:
    with pytest.raises(SystemExit) as caught, tracer.span("span"):
        raise SystemExit(code)
    assert caught.value.code == code
    record = prela_spans["span"]
    assert record.status == status
    assert exceptions_of(record) == ([] if status == "success" else [("SystemExit", str(code), None)])


def test_a_bare_system_exit_is_success(tracer: prela.Tracer, prela_spans: Recorder) -> None:
    with pytest.raises(SystemExit), tracer.span("span"):
        raise SystemExit
    assert prela_spans["span"].status == "success"


def test_generator_exit_is_success_and_closed_early(tracer: prela.Tracer, prela_spans: Recorder) -> None:
    with pytest.raises(GeneratorExit), tracer.span("span"):
        raise GeneratorExit
    record = prela_spans["span"]
    assert (record.status, record.events) == ("success", ())
    assert record.attributes == {"prela.stream.outcome": "closed_early"}


def test_keyboard_interrupt_is_a_cancellation(tracer: prela.Tracer, prela_spans: Recorder) -> None:
    with pytest.raises(KeyboardInterrupt), tracer.span("span"):
        raise KeyboardInterrupt
    record = prela_spans["span"]
    assert (record.status, record.events) == ("cancelled", ())
    assert cancel_of(record) == {"prela.cancel.cause": "explicit", "prela.cancel.reason": "KeyboardInterrupt"}


def test_a_cancelled_future_is_a_cancellation(tracer: prela.Tracer, prela_spans: Recorder) -> None:
    future: concurrent.futures.Future[None] = concurrent.futures.Future()
    future.cancel()
    with pytest.raises(concurrent.futures.CancelledError), tracer.span("span"):
        future.result()
    assert prela_spans["span"].status == "cancelled"
    assert cancel_of(prela_spans["span"]) == {"prela.cancel.cause": "explicit"}


@pytest.mark.parametrize(
    "error",
    [
        ValueError("plain"),
        KeyboardInterrupt(),
        SystemExit(3),
        GeneratorExit(),
        StopIteration(5),
        ExceptionGroup("group", [ValueError("a"), ExceptionGroup("inner", [TypeError("b")])]),
        asyncio.CancelledError("why"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_the_users_exception_goes_on_unchanged(
    error: BaseException, tracer: prela.Tracer, prela_spans: Recorder
) -> None:
    cause, context = OSError("cause"), OSError("context")
    error.__cause__, error.__context__ = cause, context
    args, notes = error.args, getattr(error, "__notes__", None)
    error.__suppress_context__ = False
    caught: BaseException | None = None
    try:
        with tracer.span("outer"), tracer.span("inner"):
            raise error
    except BaseException as escaped:
        caught = escaped
    assert caught is error
    assert (error.__cause__, error.__context__, error.__suppress_context__) == (cause, context, False)
    assert (error.args, getattr(error, "__notes__", None)) == (args, notes)
    traceback, files = error.__traceback__, []
    while traceback is not None:
        files.append(traceback.tb_frame.f_code.co_filename)
        traceback = traceback.tb_next
    assert files == [__file__]
    assert len(prela_spans) == 2


def test_an_exception_passing_several_spans_is_told_by_each(tracer: prela.Tracer, prela_spans: Recorder) -> None:
    with pytest.raises(ValueError), tracer.span("a"), tracer.span("b"), tracer.span("c"):
        raise ValueError("x")
    assert [(r.name, r.status, len(r.events)) for r in prela_spans.records] == [
        ("c", "error", 1),
        ("b", "error", 1),
        ("a", "error", 1),
    ]


# --- exception groups ---------------------------------------------------------------------------------------------


def test_a_group_is_an_error_and_its_leaves_are_told_with_their_branches(
    tracer: prela.Tracer, prela_spans: Recorder
) -> None:
    group = BaseExceptionGroup(
        "several",
        [
            ValueError("a"),
            BaseExceptionGroup("inner", [KeyboardInterrupt(), ExceptionGroup("innermost", [OSError("b")])]),
            concurrent.futures.CancelledError(),
        ],
    )
    with pytest.raises(BaseExceptionGroup) as caught, tracer.span("span"):
        raise group
    assert caught.value is group
    record = prela_spans["span"]
    assert (record.status, record.status_message) == ("error", "several (3 sub-exceptions)")
    assert record.attributes == {"prela.exception.leaves": 4}
    assert exceptions_of(record) == [
        ("ValueError", "a", "0"),
        ("KeyboardInterrupt", "", "1.0"),
        ("OSError", "b", "1.1.0"),
        ("concurrent.futures._base.CancelledError", "", "2"),
    ]


def test_one_failure_deep_among_cancellations_makes_an_error(tracer: prela.Tracer, prela_spans: Recorder) -> None:
    cancelled = [asyncio.CancelledError() for _ in range(5)]
    with pytest.raises(BaseExceptionGroup), tracer.span("span"):
        raise BaseExceptionGroup("", [*cancelled, BaseExceptionGroup("", [BaseExceptionGroup("", [ValueError()])])])
    record = prela_spans["span"]
    assert record.status == "error"
    assert exceptions_of(record)[-1] == ("ValueError", "", "5.0.0")


def test_a_group_of_cancellations_only_is_a_cancellation(tracer: prela.Tracer, prela_spans: Recorder) -> None:
    group = BaseExceptionGroup(
        "all gone", [BaseExceptionGroup("inner", [asyncio.CancelledError("enough")]), asyncio.CancelledError("second")]
    )
    with pytest.raises(BaseExceptionGroup) as caught, tracer.span("span"):
        raise group
    assert caught.value is group
    record = prela_spans["span"]
    assert (record.status, record.events) == ("cancelled", ())
    assert cancel_of(record) == {"prela.cancel.cause": "explicit", "prela.cancel.reason": "enough"}


def test_a_huge_group_tells_of_its_first_leaves_and_counts_all(tracer: prela.Tracer, prela_spans: Recorder) -> None:
    with pytest.raises(ExceptionGroup), tracer.span("span"):
        raise ExceptionGroup("many", [ValueError(str(number)) for number in range(500)])
    record = prela_spans["span"]
    assert record.attributes["prela.exception.leaves"] == 500
    assert [leaf[1] for leaf in exceptions_of(record)] == [str(number) for number in range(64)]


def test_groups_may_nest_deeper_than_python_recurses(tracer: prela.Tracer, prela_spans: Recorder) -> None:
    group = ExceptionGroup("", [ValueError("bottom")])
    for _ in range(3_000):
        group = ExceptionGroup("", [group])
    escaped = None
    try:
        with tracer.span("span"):
            raise group
    except ExceptionGroup as error:
        escaped = error
    assert escaped is group
    record = prela_spans["span"]
    assert record.attributes["prela.exception.leaves"] == 1
    assert exceptions_of(record) == [("ValueError", "bottom", ".".join(["0"] * 3_001))]


# --- cancellations of the loops -----------------------------------------------------------------------------------


class TestOnEveryLoop:
    pytestmark = pytest.mark.anyio

    async def test_a_timeout_is_a_cancellation_by_deadline(self, tracer: prela.Tracer, prela_spans: Recorder) -> None:
        with anyio.move_on_after(0.005) as scope:
            async with tracer.aspan("span"):
                await anyio.sleep_forever()
        assert scope.cancelled_caught
        assert prela_spans["span"].status == "cancelled"
        assert cancel_of(prela_spans["span"]) == {"prela.cancel.cause": "deadline"}
        assert prela_spans["span"].events == ()

    async def test_outside_the_timeout_there_is_an_error_and_inside_a_cancellation(
        self, tracer: prela.Tracer, prela_spans: Recorder
    ) -> None:
        with pytest.raises(TimeoutError):
            async with tracer.aspan("outside"):
                with anyio.fail_after(0.005):
                    with tracer.span("inside"):
                        await anyio.sleep_forever()
        assert (prela_spans["inside"].status, prela_spans["outside"].status) == ("cancelled", "error")
        assert [leaf[0] for leaf in exceptions_of(prela_spans["outside"])] == ["TimeoutError"]

    async def test_a_timeout_inside_a_span_that_goes_on_is_success(
        self, tracer: prela.Tracer, prela_spans: Recorder
    ) -> None:
        async with tracer.aspan("span"):
            with anyio.move_on_after(0.005):
                await anyio.sleep_forever()
        assert prela_spans["span"].status == "success"
        assert cancel_of(prela_spans["span"]) == {}

    async def test_a_cancelled_scope_tells_its_reason_and_who_asked(
        self, tracer: prela.Tracer, prela_spans: Recorder
    ) -> None:
        started = anyio.Event()

        async def work(scope: anyio.CancelScope) -> None:
            with scope:
                async with tracer.aspan("span"):
                    started.set()
                    await anyio.sleep_forever()

        async def stop(scope: anyio.CancelScope) -> None:
            await started.wait()
            scope.cancel(reason="the user left")

        scope = anyio.CancelScope()
        async with anyio.create_task_group() as group:
            group.start_soon(work, scope, name="worker")
            group.start_soon(stop, scope, name="the one who stops")
        assert prela_spans["span"].status == "cancelled"
        assert cancel_of(prela_spans["span"]) == {
            "prela.cancel.cause": "explicit",
            "prela.cancel.reason": "the user left",
            "prela.cancel.by": "the one who stops",
        }

    async def test_siblings_of_a_failing_child_say_who_failed(
        self, tracer: prela.Tracer, prela_spans: Recorder
    ) -> None:
        running = anyio.Event()

        async def good() -> None:
            running.set()
            await anyio.sleep_forever()

        async def bad() -> None:
            await running.wait()
            raise ValueError("boom")

        with pytest.raises(ExceptionGroup) as caught:
            async with tracer.task_group("group") as group:
                group.start_soon(good, name="good")
                group.start_soon(bad, name="bad")
        assert [str(leaf) for leaf in caught.value.exceptions] == ["boom"]
        assert prela_spans["good"].status == "cancelled"
        assert prela_spans["good"].attributes["prela.cancel.cause"] == "sibling_failed"
        assert prela_spans["good"].attributes["prela.cancel.by"] == "bad"
        assert prela_spans["bad"].status == "error"
        assert prela_spans["group"].status == "error"
        assert exceptions_of(prela_spans["group"]) == [("ValueError", "boom", "0")]
        assert prela_spans["group"].attributes["prela.exception.leaves"] == 1

    async def test_children_of_a_failing_body_say_so(self, tracer: prela.Tracer, prela_spans: Recorder) -> None:
        running = anyio.Event()

        async def good() -> None:
            running.set()
            await anyio.sleep_forever()

        with pytest.raises(ExceptionGroup):
            async with tracer.task_group("group") as group:
                group.start_soon(good, name="good")
                await running.wait()
                raise ValueError("body")
        assert prela_spans["good"].status == "cancelled"
        assert prela_spans["good"].attributes["prela.cancel.cause"] == "sibling_failed"

    async def test_a_failure_while_being_cancelled_is_an_error(
        self, tracer: prela.Tracer, prela_spans: Recorder
    ) -> None:
        with pytest.raises(ValueError, match="in cleanup"):
            with anyio.move_on_after(0.005):
                with tracer.span("outer"):
                    try:
                        with tracer.span("inner"):
                            await anyio.sleep_forever()
                    finally:
                        raise ValueError("in cleanup")
        assert (prela_spans["inner"].status, prela_spans["outer"].status) == ("cancelled", "error")

    async def test_a_cancellation_reaches_the_user_through_any_number_of_spans(
        self, tracer: prela.Tracer, prela_spans: Recorder
    ) -> None:
        seen: list[BaseException] = []
        with anyio.move_on_after(0.005) as scope:
            try:
                async with tracer.aspan("a"), tracer.aspan("b"):
                    try:
                        await anyio.sleep_forever()
                    except BaseException as error:
                        seen.append(error)
                        raise
            except BaseException as error:
                seen.append(error)
                raise
        assert scope.cancelled_caught
        assert len(seen) == 2
        assert seen[0] is seen[1]
        assert isinstance(seen[0], anyio.get_cancelled_exc_class())
        assert [record.status for record in prela_spans.records] == ["cancelled", "cancelled"]


def _cancelled_task(tracer: prela.Tracer, *message: str) -> None:
    async def work(started: asyncio.Event) -> None:
        async with tracer.aspan("span"):
            started.set()
            await asyncio.Event().wait()

    async def main() -> None:
        started = asyncio.Event()
        task = asyncio.create_task(work(started))
        await started.wait()
        task.cancel(*message)
        with pytest.raises(asyncio.CancelledError) as caught:
            await task
        assert caught.value.args == message
        assert task.cancelled()

    asyncio.run(main())


def test_an_asyncio_task_cancelled_with_a_message_tells_it(tracer: prela.Tracer, prela_spans: Recorder) -> None:
    _cancelled_task(tracer, "no longer needed")
    assert prela_spans["span"].status == "cancelled"
    assert cancel_of(prela_spans["span"]) == {
        "prela.cancel.cause": "explicit",
        "prela.cancel.reason": "no longer needed",
    }


def test_an_asyncio_task_cancelled_without_a_word_is_cancelled_for_an_unknown_cause(
    tracer: prela.Tracer, prela_spans: Recorder
) -> None:
    _cancelled_task(tracer)
    assert prela_spans["span"].status == "cancelled"
    assert cancel_of(prela_spans["span"]) == {"prela.cancel.cause": "unknown"}


def test_asyncios_own_timeout_is_a_cancellation_inside_and_an_error_outside(
    tracer: prela.Tracer, prela_spans: Recorder
) -> None:
    async def main() -> None:
        async with tracer.aspan("outside"), asyncio.timeout(0.005):
            async with tracer.aspan("inside"):
                await asyncio.Event().wait()

    with pytest.raises(TimeoutError):
        asyncio.run(main())
    assert (prela_spans["inside"].status, prela_spans["outside"].status) == ("cancelled", "error")


def test_siblings_in_asyncios_own_task_group_are_cancelled_and_not_failed(
    tracer: prela.Tracer, prela_spans: Recorder
) -> None:
    async def good(started: asyncio.Event) -> None:
        with tracer.span("good"):
            started.set()
            await asyncio.Event().wait()

    async def main() -> None:
        started = asyncio.Event()
        async with asyncio.TaskGroup() as group:
            group.create_task(good(started))
            await started.wait()
            with tracer.span("bad"):
                raise ValueError("boom")

    with pytest.raises(ExceptionGroup):
        asyncio.run(main())
    assert (prela_spans["good"].status, prela_spans["bad"].status) == ("cancelled", "error")


def test_trios_own_deadlines_and_nurseries_tell_their_cause(tracer: prela.Tracer, prela_spans: Recorder) -> None:
    trio = pytest.importorskip("trio")

    async def good(started: Any) -> None:
        with tracer.span("sibling"):
            started.set()
            await trio.sleep_forever()

    async def main() -> None:
        with trio.move_on_after(0.005), tracer.span("deadline"):
            await trio.sleep_forever()
        async with trio.open_nursery() as nursery:
            started = trio.Event()
            nursery.start_soon(good, started)
            await started.wait()
            raise ValueError("boom")

    with pytest.raises(ExceptionGroup):
        trio.run(main)
    assert cancel_of(prela_spans["deadline"]) == {"prela.cancel.cause": "deadline"}
    assert prela_spans["sibling"].status == "cancelled"
    assert prela_spans["sibling"].attributes["prela.cancel.cause"] == "sibling_failed"
