"""Why a span was cancelled, and by whom: what the runtimes tell, what is certain besides, and nothing else."""

import asyncio
import gc
import os
import signal
import sys
from typing import Any
from uuid import uuid4

import anyio
import pytest

import prela
from prela.record.model import SpanRecord
from prela.testing import Recorder

PREFIX = "prela.cancel."


def cancel_of(record: SpanRecord) -> dict[str, Any]:
    """What is told of the cancellation; without trio's own words for the failure of a sibling."""
    found = {key.removeprefix(PREFIX): value for key, value in record.attributes.items() if key.startswith(PREFIX)}
    if found.get("cause") == "sibling_failed":
        found.pop("reason", None)
    return found


def group_of(record: SpanRecord) -> dict[str, Any]:
    prefix = "prela.group."
    found = {key.removeprefix(prefix): value for key, value in record.attributes.items() if key.startswith(prefix)}
    found.pop("join_wait", None)
    return found


async def fails() -> None:
    await anyio.wait_all_tasks_blocked()
    raise ValueError("boom")


async def passes(scope: anyio.CancelScope) -> None:
    """The scope's deadline passes, once all that was started runs."""
    await anyio.wait_all_tasks_blocked()
    scope.deadline = anyio.current_time()


class TestOnEveryLoop:
    pytestmark = pytest.mark.anyio

    async def test_a_timeout_two_scopes_up_is_the_cause_of_all_that_it_cancels(
        self, tracer: prela.Tracer, prela_spans: Recorder
    ) -> None:
        async def child() -> None:
            with anyio.CancelScope(), anyio.move_on_after(1_000), tracer.span("inside"):
                await anyio.sleep_forever()

        with tracer.span("root"):
            with anyio.move_on_after(1_000) as outermost:
                with anyio.move_on_after(1_000):
                    async with tracer.task_group("group") as group:
                        group.start_soon(child, name="child")
                        async with tracer.task_group("inner") as inner:
                            inner.start_soon(child, name="grandchild")
                            await passes(outermost)
        assert prela_spans["root"].status == "success"
        for record in prela_spans.records:
            if record.name != "root":
                assert (record.status, cancel_of(record)) == ("cancelled", {"cause": "deadline"})

    async def test_a_failing_timeout_is_a_deadline_inside(self, tracer: prela.Tracer, prela_spans: Recorder) -> None:
        with pytest.raises(TimeoutError):
            with anyio.fail_after(1_000) as scope:
                async with tracer.task_group("group") as group:
                    group.start_soon(anyio.sleep_forever, name="child")
                    await passes(scope)
        assert cancel_of(prela_spans["child"]) == {"cause": "deadline"}
        assert cancel_of(prela_spans["group"]) == {"cause": "deadline"}

    async def test_the_third_child_of_a_group_failing_is_named_with_its_span(
        self, tracer: prela.Tracer, prela_spans: Recorder
    ) -> None:
        with pytest.raises(ExceptionGroup):
            async with tracer.task_group("group") as group:
                group.start_soon(anyio.sleep_forever, name="one")
                group.start_soon(anyio.sleep_forever, name="two")
                group.start_soon(fails, name="three")
                group.start_soon(anyio.sleep_forever, name="four")
        third = prela_spans["three"].span_id
        for name in ("one", "two", "four"):
            assert cancel_of(prela_spans[name]) == {"cause": "sibling_failed", "by": "three", "by_span": third}
        assert group_of(prela_spans["group"]) == {
            "first_failure": "three",
            "first_failure_span": third,
            "failed": 1,
            "cancelled": 3,
        }

    async def test_children_of_one_name_are_told_apart_by_their_spans(
        self, tracer: prela.Tracer, prela_spans: Recorder
    ) -> None:
        async def work(number: int) -> None:
            if number == 2:
                await fails()
            await anyio.sleep_forever()

        with pytest.raises(ExceptionGroup):
            async with tracer.task_group("group") as group:
                for number in range(5):
                    group.start_soon(work, number, name="work")
        (failed,) = [record for record in prela_spans.records if record.name == "work" and record.status == "error"]
        others = [record for record in prela_spans.records if record.name == "work" and record.status != "error"]
        assert {record.attributes["prela.cancel.by_span"] for record in others} == {failed.span_id}
        assert prela_spans["group"].attributes["prela.group.first_failure_span"] == failed.span_id

    async def test_the_first_of_several_failures_is_the_groups(
        self, tracer: prela.Tracer, prela_spans: Recorder
    ) -> None:
        async def fails_too() -> None:
            try:
                await anyio.sleep_forever()
            finally:
                raise OSError

        with pytest.raises(ExceptionGroup):
            async with tracer.task_group("group") as group:
                group.start_soon(fails_too, name="second")
                group.start_soon(fails, name="first")
                group.start_soon(anyio.sleep_forever, name="third")
        found = group_of(prela_spans["group"])
        assert (found["first_failure"], found["failed"], found["cancelled"]) == ("first", 2, 1)

    async def test_in_nested_groups_each_blames_its_own_child(
        self, tracer: prela.Tracer, prela_spans: Recorder
    ) -> None:
        async def branch() -> None:
            async with tracer.task_group("inner") as inner:
                inner.start_soon(anyio.sleep_forever, name="inner sibling")
                inner.start_soon(fails, name="leaf")

        with pytest.raises(ExceptionGroup):
            async with tracer.task_group("outer") as outer:
                outer.start_soon(branch, name="branch")
                outer.start_soon(anyio.sleep_forever, name="outer sibling")
        leaf, over = prela_spans["leaf"].span_id, prela_spans["branch"].span_id
        assert cancel_of(prela_spans["inner sibling"]) == {"cause": "sibling_failed", "by": "leaf", "by_span": leaf}
        assert cancel_of(prela_spans["outer sibling"]) == {"cause": "sibling_failed", "by": "branch", "by_span": over}
        assert group_of(prela_spans["inner"])["first_failure"] == "leaf"
        assert group_of(prela_spans["outer"])["first_failure"] == "branch"

    async def test_a_group_inside_a_group_that_is_given_up_knows_why(
        self, tracer: prela.Tracer, prela_spans: Recorder
    ) -> None:
        async def branch() -> None:
            async with tracer.task_group("inner") as inner:
                inner.start_soon(anyio.sleep_forever, name="leaf")

        with pytest.raises(ExceptionGroup):
            async with tracer.task_group("outer") as outer:
                outer.start_soon(branch, name="branch")
                outer.start_soon(fails, name="fails")
        expected = {"cause": "sibling_failed", "by": "fails", "by_span": prela_spans["fails"].span_id}
        for name in ("leaf", "inner", "branch"):
            assert cancel_of(prela_spans[name]) == expected, name
        assert group_of(prela_spans["inner"]) == {}
        assert group_of(prela_spans["outer"])["cancelled"] == 1

    async def test_a_failing_body_is_named_with_the_groups_span(
        self, tracer: prela.Tracer, prela_spans: Recorder
    ) -> None:
        with pytest.raises(ExceptionGroup):
            async with tracer.task_group("group") as group:
                group.start_soon(anyio.sleep_forever, name="child")
                await fails()
        own = prela_spans["group"].span_id
        assert cancel_of(prela_spans["child"]) == {"cause": "sibling_failed", "by": "group", "by_span": own}
        assert group_of(prela_spans["group"]) == {
            "first_failure": "group",
            "first_failure_span": own,
            "failed": 0,
            "cancelled": 1,
        }

    async def test_siblings_that_wake_in_the_moment_of_a_failure_were_cancelled_for_it(
        self, tracer: prela.Tracer, prela_spans: Recorder
    ) -> None:
        """What they slept in ends at that moment too, by a deadline of its own; that is none of theirs."""

        async def child(number: int) -> None:
            await anyio.sleep_until(moment)
            if number == 1:
                raise ValueError
            await anyio.sleep_forever()

        for _ in range(5):
            moment = anyio.current_time() + 0.005
            with pytest.raises(ExceptionGroup):
                async with tracer.task_group("group") as group:
                    for number in range(3):
                        group.start_soon(child, number, name=f"child {number}")
            cancelled = [record for record in prela_spans.records if record.status == "cancelled"]
            assert {cancel_of(record)["cause"] for record in cancelled} == {"sibling_failed"}
            assert {cancel_of(record)["by"] for record in cancelled} == {"child 1"}
            assert prela_spans["group"].attributes["prela.group.cancelled"] == len(cancelled) == 2
            prela_spans.clear()

    async def test_a_cancel_by_another_task_names_it_and_its_span(
        self, tracer: prela.Tracer, prela_spans: Recorder
    ) -> None:
        async def canceller(scope: anyio.CancelScope) -> None:
            await anyio.wait_all_tasks_blocked()
            with tracer.span("deciding"):
                scope.cancel("enough")

        async def victim(scope: anyio.CancelScope) -> None:
            with scope, tracer.span("waiting"):
                await anyio.sleep_forever()

        scope = anyio.CancelScope()
        name = f"canceller {uuid4()}"  # of its own: those of other loops that have just ended may be meant as well
        async with tracer.task_group("group") as group:
            group.start_soon(victim, scope, name="victim")
            group.start_soon(canceller, scope, name=name)
        assert cancel_of(prela_spans["waiting"]) == {
            "cause": "explicit",
            "reason": "enough",
            "by": name,
            "by_span": prela_spans[name].span_id,
        }

    async def test_a_race_names_the_winner_and_its_span(self, tracer: prela.Tracer, prela_spans: Recorder) -> None:
        async def wins() -> None:
            await anyio.wait_all_tasks_blocked()
            group.cancel_scope.cancel()

        async with tracer.task_group("group") as group:
            group.start_soon(anyio.sleep_forever, name="loser")
            group.start_soon(wins, name="winner")
        winner = prela_spans["winner"].span_id
        assert cancel_of(prela_spans["loser"]) == {"cause": "explicit", "by": "winner", "by_span": winner}
        assert group_of(prela_spans["group"]) == {}

    async def test_of_two_tasks_of_one_name_none_is_blamed_for_the_other(
        self, tracer: prela.Tracer, prela_spans: Recorder
    ) -> None:
        async def twin(cancels: bool) -> None:
            if cancels:
                prela.get_current_span().set_attribute("cancels", True)
                await anyio.wait_all_tasks_blocked()
                group.cancel_scope.cancel()
            await anyio.sleep_forever()

        async with tracer.task_group("group") as group:
            for cancels in (False, True, False):
                group.start_soon(twin, cancels, name="twin")
            group.start_soon(anyio.sleep_forever, name="victim")
        blamed = cancel_of(prela_spans["victim"])
        assert (blamed["cause"], blamed["by"]) == ("explicit", "twin")
        (guilty,) = [record.span_id for record in prela_spans.records if "cancels" in record.attributes]
        assert blamed.get("by_span") in (None, guilty)

    async def test_of_two_tasks_of_one_name_the_one_in_the_cancelled_group_is_meant(
        self, tracer: prela.Tracer, prela_spans: Recorder
    ) -> None:
        async def request(number: int) -> None:
            async def wins() -> None:
                await anyio.wait_all_tasks_blocked()
                group.cancel_scope.cancel()

            async with tracer.task_group(f"race {number}") as group:
                group.start_soon(anyio.sleep_forever, name=f"loser {number}")
                group.start_soon(wins, name="winner")

        async with anyio.create_task_group() as requests:
            for number in range(3):
                requests.start_soon(request, number)
        for number in range(3):
            race = prela_spans[f"race {number}"].span_id
            blamed = cancel_of(prela_spans[f"loser {number}"])["by_span"]
            (winner,) = [record for record in prela_spans.records if record.span_id == blamed]
            assert winner.parent_span_id == race


# --- asyncio's own ------------------------------------------------------------------------------------------------


async def forever() -> None:
    await asyncio.Event().wait()


def test_asyncios_own_timeout_is_told_as_a_deadline_once_it_is_known(
    tracer: prela.Tracer, prela_spans: Recorder
) -> None:
    async def main() -> None:
        async with tracer.aspan("outside"), asyncio.timeout(0.005):
            with tracer.span("inside"), tracer.span("deeper"):
                await forever()

    with pytest.raises(TimeoutError):
        asyncio.run(main())
    expected = {"cause": "deadline", "scope": "outside", "scope_span": prela_spans["outside"].span_id}
    assert cancel_of(prela_spans["inside"]) == cancel_of(prela_spans["deeper"]) == expected


def test_asyncios_wait_for_is_told_as_a_deadline_once_it_is_known(tracer: prela.Tracer, prela_spans: Recorder) -> None:
    async def work() -> None:
        with tracer.span("inside"):
            await forever()

    async def main() -> None:
        with tracer.span("outside"):
            await asyncio.wait_for(work(), 0.005)

    with pytest.raises(TimeoutError):
        asyncio.run(main())
    assert cancel_of(prela_spans["inside"])["cause"] == "deadline"
    assert cancel_of(prela_spans["inside"])["scope"] == "outside"


def test_a_timeout_error_of_the_programs_own_says_nothing(tracer: prela.Tracer, prela_spans: Recorder) -> None:
    async def work() -> None:
        with tracer.span("outside"):
            try:
                with tracer.span("inside"):
                    await forever()
            except asyncio.CancelledError as error:
                raise TimeoutError from error

    async def main() -> None:
        task = asyncio.create_task(work())
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(TimeoutError):
            await task

    asyncio.run(main())
    assert cancel_of(prela_spans["inside"]) == {"cause": "unknown"}


def test_a_timeout_that_is_caught_before_a_span_sees_it_says_nothing(
    tracer: prela.Tracer, prela_spans: Recorder
) -> None:
    async def main() -> None:
        with tracer.span("outside"), pytest.raises(TimeoutError):
            async with asyncio.timeout(0.005):
                with tracer.span("inside"):
                    await forever()

    asyncio.run(main())
    assert cancel_of(prela_spans["inside"]) == {"cause": "unknown"}


def test_children_of_asyncios_own_task_group_were_cancelled_for_a_sibling(
    tracer: prela.Tracer, prela_spans: Recorder
) -> None:
    async def good() -> None:
        with tracer.span("good"):
            await forever()

    async def bad() -> None:
        await asyncio.sleep(0)
        raise ValueError

    async def main() -> None:
        with tracer.span("outside"):
            async with asyncio.TaskGroup() as group:
                group.create_task(good())
                group.create_task(bad())
                with tracer.span("body"):
                    await forever()

    with pytest.raises(ExceptionGroup):
        asyncio.run(main())
    assert cancel_of(prela_spans["good"]) == {"cause": "sibling_failed"}
    assert cancel_of(prela_spans["body"]) == {"cause": "sibling_failed"}


def test_a_task_group_of_asyncios_that_is_cancelled_from_outside_blames_no_child(
    tracer: prela.Tracer, prela_spans: Recorder
) -> None:
    async def good() -> None:
        with tracer.span("good"):
            await forever()

    async def grouped() -> None:
        with tracer.span("outside"):
            async with asyncio.TaskGroup() as group:
                group.create_task(good())
                with tracer.span("body"):
                    await forever()

    async def main() -> None:
        task = asyncio.create_task(grouped())
        await asyncio.sleep(0.001)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())
    for name in ("good", "body", "outside"):
        assert cancel_of(prela_spans[name]) == {"cause": "unknown"}


def test_a_body_cancelled_from_outside_whose_child_then_fails_blames_no_child(
    tracer: prela.Tracer, prela_spans: Recorder
) -> None:
    async def fails_when_cancelled() -> None:
        try:
            await forever()
        finally:
            raise ValueError

    async def grouped() -> None:
        with tracer.span("outside"):
            async with asyncio.TaskGroup() as group:
                group.create_task(fails_when_cancelled())
                with tracer.span("body"):
                    await forever()

    async def main() -> None:
        task = asyncio.create_task(grouped())
        await asyncio.sleep(0.001)
        task.cancel()
        with pytest.raises(ExceptionGroup):
            await task

    asyncio.run(main())
    assert cancel_of(prela_spans["body"]) == {"cause": "unknown"}


def _runners() -> list[Any]:
    found = [pytest.param(None, id="asyncio")]
    if sys.platform != "win32":
        import uvloop

        found.append(pytest.param(uvloop.new_event_loop, id="uvloop"))
    return found


@pytest.mark.parametrize("new_loop", _runners())
def test_tasks_left_over_when_the_loop_ends_are_cancelled_by_its_shutdown(
    new_loop: Any, tracer: prela.Tracer, prela_spans: Recorder
) -> None:
    async def left_over() -> None:
        async with tracer.task_group("group") as group:
            group.start_soon(forever, name="child")

    async def main() -> None:
        tasks.append(asyncio.create_task(left_over()))
        await asyncio.sleep(0.001)

    tasks: list[Any] = []
    with asyncio.Runner(loop_factory=new_loop) as runner:
        runner.run(main())
    assert cancel_of(prela_spans["child"]) == {"cause": "shutdown"}
    assert cancel_of(prela_spans["group"]) == {"cause": "shutdown"}


@pytest.mark.parametrize("new_loop", _runners())
def test_an_interrupt_of_asyncios_runner_is_told_from_a_cancel_that_says_nothing(
    new_loop: Any, tracer: prela.Tracer, prela_spans: Recorder
) -> None:
    async def main() -> None:
        async with tracer.task_group("group") as group:
            group.start_soon(forever, name="child")
            asyncio.get_running_loop().call_soon(os.kill, os.getpid(), signal.SIGINT)
            with tracer.span("body"):
                await forever()

    with pytest.raises(KeyboardInterrupt), asyncio.Runner(loop_factory=new_loop) as runner:
        runner.run(main())
    expected = {"cause": "explicit", "reason": "KeyboardInterrupt"}
    for name in ("body", "child", "group"):
        assert cancel_of(prela_spans[name]) == expected, name


def test_an_interrupt_on_trio_is_no_failure_of_the_body(tracer: prela.Tracer, prela_spans: Recorder) -> None:
    async def main() -> None:
        async with tracer.task_group("group") as group:
            group.start_soon(anyio.sleep_forever, name="child")
            await anyio.wait_all_tasks_blocked()
            os.kill(os.getpid(), signal.SIGINT)
            await anyio.sleep_forever()

    with pytest.raises(BaseExceptionGroup) as raised:
        anyio.run(main, backend="trio")
    assert raised.value.split(KeyboardInterrupt)[1] is None
    for name in ("child", "group"):
        assert cancel_of(prela_spans[name]) == {"cause": "explicit", "reason": "KeyboardInterrupt"}, name


def test_a_native_cancel_that_a_group_hands_on_is_not_blamed_on_its_own_task(
    tracer: prela.Tracer, prela_spans: Recorder
) -> None:
    async def grouped() -> None:
        async with tracer.task_group("group") as group:
            group.start_soon(forever, name="child")

    async def main() -> None:
        task = asyncio.create_task(grouped())
        await asyncio.sleep(0.001)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())
    assert cancel_of(prela_spans["child"]) == {"cause": "unknown"}
    assert cancel_of(prela_spans["group"]) == {"cause": "unknown"}


def test_a_deadline_set_on_a_groups_own_scope_names_the_group(tracer: prela.Tracer, prela_spans: Recorder) -> None:
    async def main() -> None:
        async with tracer.task_group("group") as group:
            group.start_soon(forever, name="child")
            await passes(group.cancel_scope)

    anyio.run(main)
    own = prela_spans["group"].span_id
    assert cancel_of(prela_spans["child"]) == {"cause": "deadline", "scope": "group", "scope_span": own}


def test_nothing_is_remembered_of_cancellations_that_are_over(tracer: prela.Tracer, prela_spans: Recorder) -> None:
    from prela.aio import bare_cancellation, cancellation, task_spans

    def remembered() -> list[dict[Any, Any]]:
        gc.collect()
        all_of_it = (bare_cancellation._sequels, cancellation.open_groups, cancellation.failed_tasks, task_spans._open)
        return [dict(one) for one in all_of_it]

    before = remembered()
    _cancel_bare(tracer)
    assert remembered() == before


def _cancel_bare(tracer: prela.Tracer) -> None:
    async def work() -> None:
        async with tracer.aspan("span"):
            await forever()

    async def main() -> None:
        task = asyncio.create_task(work())
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())


def test_under_redaction_what_shows_later_is_left_unknown(tracer: prela.Tracer) -> None:
    async def main() -> None:
        with tracer.span("outside"):
            async with asyncio.timeout(0.005):
                with tracer.span("inside"):
                    await forever()

    with prela.testing.recording(redact=lambda key, value: value) as spans:
        with pytest.raises(TimeoutError):
            asyncio.run(main())
        assert cancel_of(spans["inside"]) == {"cause": "unknown"}


# --- trio's own ---------------------------------------------------------------------------------------------------


def test_trios_own_timeouts_tell_their_deadline(tracer: prela.Tracer, prela_spans: Recorder) -> None:
    trio = pytest.importorskip("trio")

    async def main() -> None:
        with trio.fail_after(0.005), trio.CancelScope(), tracer.span("span"):
            await trio.sleep_forever()

    with pytest.raises(trio.TooSlowError):
        trio.run(main)
    assert cancel_of(prela_spans["span"]) == {"cause": "deadline"}


def test_trios_own_nursery_names_the_task_that_failed_and_its_span(tracer: prela.Tracer, prela_spans: Recorder) -> None:
    trio = pytest.importorskip("trio")

    async def waits() -> None:
        async with tracer.aspan("waits"):
            await trio.sleep_forever()

    async def breaks() -> None:
        async with tracer.aspan("breaks"):
            await fails()

    async def main() -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(waits, name="the one that waits")
            nursery.start_soon(breaks, name="it's the one that fails")

    with pytest.raises(ExceptionGroup):
        trio.run(main)
    assert cancel_of(prela_spans["waits"]) == {
        "cause": "sibling_failed",
        "by": "it's the one that fails",
        "by_span": prela_spans["breaks"].span_id,
    }


def test_on_trio_a_groups_own_span_knows_what_its_children_know(tracer: prela.Tracer, prela_spans: Recorder) -> None:
    trio = pytest.importorskip("trio")

    async def main() -> None:
        with trio.move_on_after(0.005):
            async with tracer.task_group("group") as group:
                group.start_soon(trio.sleep_forever, name="child")
                group.start_soon(trio.sleep_forever, name="other")

    trio.run(main)
    assert cancel_of(prela_spans["group"]) == cancel_of(prela_spans["child"]) == {"cause": "deadline"}


def test_a_system_task_of_trios_is_cancelled_by_its_shutdown(tracer: prela.Tracer, prela_spans: Recorder) -> None:
    trio = pytest.importorskip("trio")
    trio_testing = pytest.importorskip("trio.testing")

    async def background() -> None:
        with tracer.span("background"):
            await trio.sleep_forever()

    async def main() -> None:
        trio.lowlevel.spawn_system_task(background)
        await trio_testing.wait_all_tasks_blocked()

    trio.run(main)
    assert cancel_of(prela_spans["background"])["cause"] == "shutdown"
