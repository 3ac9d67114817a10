"""`tracer.task_group`: an anyio task group inside a span, each child in a span of its own."""

import functools
from typing import Any

import anyio
import anyio.abc
import pytest

import prela
from prela.testing import Recorder

pytestmark = pytest.mark.anyio


async def nothing() -> None:
    await anyio.lowlevel.checkpoint()


class Job:
    async def __call__(self) -> None:
        await anyio.lowlevel.checkpoint()

    async def method(self) -> None:
        await anyio.lowlevel.checkpoint()


async def test_children_are_spans_below_the_groups(tracer: prela.Tracer, prela_spans: Recorder) -> None:
    async def child(name: str) -> None:
        with tracer.span(f"inside {name}"):
            await anyio.lowlevel.checkpoint()

    with tracer.span("root"):
        async with tracer.task_group("group", prela.SpanType.AGENT, {"fan": 3}) as group:
            for name in "abc":
                group.start_soon(child, name, name=name)
    group_id = prela_spans["group"].span_id
    assert prela_spans["group"].span_type == "agent"
    assert prela_spans["group"].attributes["fan"] == 3
    assert prela_spans["group"].parent_span_id == prela_spans["root"].span_id
    for name in "abc":
        assert prela_spans[name].parent_span_id == group_id
        assert prela_spans[f"inside {name}"].parent_span_id == prela_spans[name].span_id
        assert prela_spans[name].status == "success"
    assert len(prela_spans) == 8


async def test_a_child_is_named_as_told_or_by_its_function(tracer: prela.Tracer, prela_spans: Recorder) -> None:
    async with tracer.task_group("group") as group:
        group.start_soon(nothing)
        group.start_soon(nothing, name="told")
        group.start_soon(functools.partial(functools.partial(nothing)), name=None)
        group.start_soon(Job())
        group.start_soon(Job().method)
        group.start_soon(nothing, name=5)
    assert sorted(prela_spans.names) == ["5", "Job", "Job.method", "group", "nothing", "nothing", "told"]


async def test_the_task_has_the_name_of_its_span(tracer: prela.Tracer, prela_spans: Recorder) -> None:
    names: list[str | None] = []

    async def child() -> None:
        names.append(anyio.get_current_task().name)

    async with tracer.task_group("group") as group:
        group.start_soon(child, name="worker 1")
    assert names == ["worker 1"]
    assert prela_spans["worker 1"].attributes["prela.task.name"] == "worker 1"
    assert isinstance(prela_spans["worker 1"].attributes["prela.task.id"], int)
    assert "prela.task.name" in prela_spans["group"].attributes


async def test_a_child_started_inside_a_span_is_its_child(tracer: prela.Tracer, prela_spans: Recorder) -> None:
    async def starts_another(group: Any) -> None:
        with tracer.span("step"):
            group.start_soon(nothing, name="grandchild")

    async with tracer.task_group("group") as group:
        with tracer.span("phase"):
            group.start_soon(starts_another, group, name="child")
    assert prela_spans["child"].parent_span_id == prela_spans["phase"].span_id
    assert prela_spans["grandchild"].parent_span_id == prela_spans["step"].span_id


async def test_a_child_started_where_no_span_is_current_is_the_groups(
    tracer: prela.Tracer, prela_spans: Recorder
) -> None:
    groups: list[Any] = []
    opened, done = anyio.Event(), anyio.Event()

    async def outsider() -> None:
        await opened.wait()
        assert not prela.get_current_span().is_recording
        groups[0].start_soon(nothing, name="child")
        done.set()

    async with anyio.create_task_group() as plain:
        plain.start_soon(outsider)
        async with tracer.task_group("group") as group:
            groups.append(group)
            opened.set()
            await done.wait()
    assert prela_spans["child"].parent_span_id == prela_spans["group"].span_id


async def test_an_explicit_parent_and_links_are_the_groups(tracer: prela.Tracer, prela_spans: Recorder) -> None:
    remote = prela.SpanContext("a" * 32, "b" * 16)
    with tracer.span("not the parent"):
        async with tracer.task_group("group", parent=remote, links=[remote], kind="consumer") as group:
            assert group.span is prela.get_current_span()
    record = prela_spans["group"]
    assert (record.trace_id, record.parent_span_id, record.kind) == ("a" * 32, "b" * 16, "consumer")
    assert [link.span_id for link in record.links] == ["b" * 16]


async def test_start_waits_for_the_child_to_have_started_and_returns_its_word(
    tracer: prela.Tracer, prela_spans: Recorder
) -> None:
    go_on = anyio.Event()

    async def server(port: int, *, task_status: anyio.abc.TaskStatus[int]) -> None:
        with tracer.span("set up"):
            await anyio.lowlevel.checkpoint()
        task_status.started(port + 1)
        await go_on.wait()
        with tracer.span("serve"):
            pass

    async with tracer.task_group("group") as group:
        assert await group.start(server, 80, name="server") == 81
        assert "set up" in prela_spans.names
        assert "server" not in prela_spans.names
        go_on.set()
    assert prela_spans["server"].parent_span_id == prela_spans["group"].span_id
    assert prela_spans["serve"].parent_span_id == prela_spans["server"].span_id


async def test_start_raises_what_the_child_raised_before_it_had_started(
    tracer: prela.Tracer, prela_spans: Recorder
) -> None:
    error = OSError("port in use")

    async def server(*, task_status: anyio.abc.TaskStatus[None]) -> None:
        raise error

    async with tracer.task_group("group") as group:
        with pytest.raises(OSError) as caught:
            await group.start(server, name="server")
    assert caught.value is error
    assert prela_spans["server"].status == "error"
    assert prela_spans["group"].status == "success"


async def test_start_of_a_child_that_never_says_started_fails_as_anyios_does(tracer: prela.Tracer) -> None:
    async def silent(*, task_status: anyio.abc.TaskStatus[None]) -> None: ...

    async def start_in(group: Any) -> str:
        async with group:
            with pytest.raises(RuntimeError) as caught:
                await group.start(silent)
        return str(caught.value)

    assert await start_in(tracer.task_group("group")) == await start_in(anyio.create_task_group())


async def test_the_span_ends_after_its_last_child(tracer: prela.Tracer, prela_spans: Recorder) -> None:
    last = anyio.Event()

    async def child() -> None:
        await last.wait()

    async def release() -> None:
        await anyio.wait_all_tasks_blocked()
        assert prela_spans.names == ["body"]
        last.set()

    async with anyio.create_task_group() as outer:
        outer.start_soon(release)
        async with tracer.task_group("group") as group:
            group.start_soon(child, name="child")
            with tracer.span("body"):
                pass
    assert prela_spans.names == ["body", "child", "group"]
    assert prela_spans["group"].end_time_unix_nano >= prela_spans["child"].end_time_unix_nano


async def test_after_the_group_what_was_current_is_current_again(tracer: prela.Tracer, prela_spans: Recorder) -> None:
    with tracer.span("root") as root:
        async with tracer.task_group("group") as group:
            group.start_soon(nothing)
            assert prela.get_current_span() is group.span
        assert prela.get_current_span() is root


# --- cancelling ---------------------------------------------------------------------------------------------------


async def test_a_swallowed_cancellation_is_a_success_of_the_group(tracer: prela.Tracer, prela_spans: Recorder) -> None:
    after = False
    async with tracer.task_group("group") as group:
        group.start_soon(anyio.sleep_forever, name="child")
        await anyio.wait_all_tasks_blocked()
        group.cancel_scope.cancel()
        await anyio.sleep_forever()
        after = True  # never
    assert not after
    assert group.cancel_scope.cancel_called
    assert prela_spans["group"].status == "success"
    assert prela_spans["child"].status == "cancelled"
    assert prela_spans["child"].attributes["prela.cancel.cause"] == "explicit"


async def test_a_group_that_is_cancelled_from_outside_is_cancelled(tracer: prela.Tracer, prela_spans: Recorder) -> None:
    with anyio.move_on_after(0.005) as scope:
        async with tracer.task_group("group") as group:
            group.start_soon(anyio.sleep_forever, name="child")
            await anyio.sleep_forever()
    assert scope.cancelled_caught
    assert prela_spans["child"].attributes["prela.cancel.cause"] == "deadline"
    assert {record.status for record in prela_spans.records} == {"cancelled"}


async def test_one_child_cancelling_the_group_stops_its_siblings(tracer: prela.Tracer, prela_spans: Recorder) -> None:
    async def first_wins(group: Any) -> None:
        await anyio.wait_all_tasks_blocked()
        group.cancel_scope.cancel()

    async with tracer.task_group("race") as group:
        for number in range(5):
            group.start_soon(anyio.sleep_forever, name=f"loser {number}")
        group.start_soon(first_wins, group, name="winner")
    for number in range(5):
        record = prela_spans[f"loser {number}"]
        assert (record.status, record.attributes["prela.cancel.by"]) == ("cancelled", "winner")
    assert prela_spans["winner"].status == "success"
    assert prela_spans["race"].status == "success"


# --- failing ------------------------------------------------------------------------------------------------------


def described(error: BaseException) -> Any:
    if isinstance(error, BaseExceptionGroup):
        return type(error).__name__, error.message, sorted(map(repr, map(described, error.exceptions)))
    return type(error).__name__, str(error)


async def _both_fail(group: Any) -> None:
    async def fails(error: Exception) -> None:
        raise error

    async with group:
        group.start_soon(fails, ValueError("a"))
        group.start_soon(fails, TypeError("b"))


async def _body_and_child_fail(group: Any) -> None:
    async def fails_when_cancelled() -> None:
        try:
            await anyio.sleep_forever()
        finally:
            raise OSError("in cleanup")

    async with group:
        group.start_soon(fails_when_cancelled)
        await anyio.wait_all_tasks_blocked()
        raise LookupError("in the body")


async def _nested_groups_fail(group: Any) -> None:
    async def inner() -> None:
        async with anyio.create_task_group() as nested:
            nested.start_soon(fails)

    async def fails() -> None:
        raise ValueError("deep")

    async with group:
        group.start_soon(inner)


@pytest.mark.parametrize("program", [_both_fail, _body_and_child_fail, _nested_groups_fail])
async def test_the_exceptions_are_anyios_unchanged(program: Any, tracer: prela.Tracer, prela_spans: Recorder) -> None:
    with pytest.raises(BaseExceptionGroup) as expected:
        await program(anyio.create_task_group())
    with pytest.raises(BaseExceptionGroup) as found:
        await program(tracer.task_group("group"))
    assert described(found.value) == described(expected.value)
    record = prela_spans["group"]
    assert record.status == "error"
    assert record.attributes["prela.exception.leaves"] == len(record.events)


async def test_a_group_that_caught_its_childs_failure_inside_goes_on(
    tracer: prela.Tracer, prela_spans: Recorder
) -> None:
    async def careful() -> None:
        with pytest.raises(ValueError), tracer.span("attempt"):
            raise ValueError

    async with tracer.task_group("group") as group:
        group.start_soon(careful, name="careful")
    assert {name: prela_spans[name].status for name in ("attempt", "careful", "group")} == {
        "attempt": "error",
        "careful": "success",
        "group": "success",
    }


async def test_nothing_is_remembered_of_groups_that_failed(tracer: prela.Tracer, prela_spans: Recorder) -> None:
    from prela.aio.cancellation import failed_tasks, open_groups

    before = dict(open_groups), dict(failed_tasks)
    for program in (_both_fail, _body_and_child_fail, _nested_groups_fail):
        with pytest.raises(BaseExceptionGroup):
            await program(tracer.task_group("group"))
    assert (open_groups, failed_tasks) == before


async def test_with_tracing_off_it_is_a_task_group(tracer: prela.Tracer) -> None:
    ran: list[int] = []

    async def child(number: int) -> None:
        await anyio.lowlevel.checkpoint()
        ran.append(number)

    async with tracer.task_group("group") as group:
        for number in range(3):
            group.start_soon(child, number)
    assert sorted(ran) == [0, 1, 2]
    assert not group.span.is_recording


async def test_a_group_below_an_unsampled_root_records_nothing_and_works(tracer: prela.Tracer) -> None:
    from prela.testing import recording

    with recording(sampler=prela.AlwaysOff()) as spans:
        with tracer.span("root"):
            async with tracer.task_group("group") as group:
                group.start_soon(nothing, name="child")
    assert spans.names == []
    assert spans._settings.unsampled.value == 3
