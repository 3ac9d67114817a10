"""Why a task was cancelled, where neither asyncio nor anyio says so: timeouts, what they hand on, and plain groups."""

import asyncio
import gc
import sys
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import anyio
import anyio.from_thread
import anyio.to_thread
import pytest

import prela
from prela.aio import deadlines
from prela.testing import Recorder, recording

Run = Callable[[Awaitable[None]], None]

KNOWS: bool = sys.version_info >= (3, 12)
"""Whether the interpreter lets timeouts be seen."""


def _loops() -> list[Any]:
    loops: list[Any] = [pytest.param(asyncio.new_event_loop, id="asyncio")]
    if sys.platform != "win32":
        import uvloop

        loops.append(pytest.param(uvloop.new_event_loop, id="uvloop"))
    return loops


@pytest.fixture(params=_loops())
def run(request: pytest.FixtureRequest) -> Run:
    def run(main: Awaitable[None]) -> None:
        async def whole() -> None:
            await main

        with asyncio.Runner(loop_factory=request.param) as runner:
            runner.run(whole())

    return run


@pytest.fixture
def spans() -> Iterator[Recorder]:
    with recording(insight=True) as recorder:
        yield recorder


def _cause(record: prela.SpanRecord) -> tuple[Any, Any]:
    assert record.status == "cancelled"
    return record.attributes["prela.cancel.cause"], record.attributes.get("prela.cancel.scope")


def _deadline(scope: str | None) -> tuple[Any, Any]:
    return ("deadline", scope) if KNOWS else ("unknown", None)


async def _for_ever(tracer: prela.Tracer, name: str = "waits") -> None:
    async with tracer.aspan(name):
        await asyncio.Event().wait()


# --- asyncio's own timeouts ---------------------------------------------------------------------------------------


def test_a_timeout_two_scopes_up_is_the_one_that_is_named(tracer: prela.Tracer, spans: Recorder, run: Run) -> None:
    async def main() -> None:
        async with tracer.aspan("sets it"):
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.01), tracer.aspan("between"), asyncio.timeout(60):
                    await _for_ever(tracer)

    run(main())
    assert _cause(spans["waits"]) == _cause(spans["between"]) == _deadline("sets it")
    if KNOWS:
        assert spans["waits"].attributes["prela.cancel.scope_span"] == spans["sets it"].span_id


def test_wait_for_is_a_timeout(tracer: prela.Tracer, spans: Recorder, run: Run) -> None:
    async def main() -> None:
        async with tracer.aspan("sets it"):
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(_for_ever(tracer), 0.01)

    run(main())
    assert _cause(spans["waits"]) == _deadline("sets it")


async def _awaits_a_task(tracer: prela.Tracer) -> None:
    await asyncio.create_task(_for_ever(tracer))


async def _gathers(tracer: prela.Tracer) -> None:
    await asyncio.gather(asyncio.sleep(60), _for_ever(tracer))


async def _has_a_group(tracer: prela.Tracer) -> None:
    async with asyncio.TaskGroup() as group:
        group.create_task(_for_ever(tracer))


async def _has_a_group_of_ours(tracer: prela.Tracer) -> None:
    async with tracer.task_group("group") as group:
        group.start_soon(_for_ever, tracer)


async def _gathers_groups(tracer: prela.Tracer) -> None:
    await asyncio.gather(_has_a_group(tracer), asyncio.sleep(60))


@pytest.mark.parametrize("hands_on", [_awaits_a_task, _gathers, _has_a_group, _has_a_group_of_ours, _gathers_groups])
def test_a_timeout_is_named_by_the_tasks_it_is_handed_on_to(
    tracer: prela.Tracer, spans: Recorder, run: Run, hands_on: Callable[[prela.Tracer], Awaitable[None]]
) -> None:
    async def main() -> None:
        async with tracer.aspan("sets it"):
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.02):
                    await hands_on(tracer)

    run(main())
    assert _cause(spans["waits"]) == _deadline("sets it")


def test_a_timeout_set_outside_any_span_is_a_deadline(tracer: prela.Tracer, spans: Recorder, run: Run) -> None:
    async def main() -> None:
        async with tracer.aspan("first"):
            pass  # from here on the loop is watched
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.01):
                await _for_ever(tracer)

    run(main())
    assert _cause(spans["waits"]) == _deadline(None)


def test_a_task_cancelled_in_the_step_in_which_its_timeout_expires_is_unknown(
    tracer: prela.Tracer, spans: Recorder, run: Run
) -> None:
    async def main() -> None:
        loop, task = asyncio.get_running_loop(), asyncio.current_task()
        assert task is not None
        async with tracer.aspan("first"):
            pass
        with pytest.raises(asyncio.CancelledError):
            async with asyncio.timeout(60) as timeout:

                def cancel_twice() -> None:
                    timeout.reschedule(loop.time() - 1)
                    loop.call_soon(task.cancel)

                loop.call_soon(cancel_twice)
                await _for_ever(tracer)
        task.uncancel()

    run(main())
    assert _cause(spans["waits"]) == ("unknown", None)


def test_a_task_cancelled_by_itself_and_by_a_timeout_of_the_one_that_awaits_it_is_unknown(
    tracer: prela.Tracer, spans: Recorder, run: Run
) -> None:
    async def main() -> None:
        async with tracer.aspan("first"):
            pass
        child = asyncio.create_task(_for_ever(tracer))
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(60) as timeout:

                def cancel_both() -> None:
                    timeout.reschedule(asyncio.get_running_loop().time() - 1)
                    child.cancel()

                asyncio.get_running_loop().call_soon(asyncio.get_running_loop().call_soon, cancel_both)
                await child

    run(main())
    assert _cause(spans["waits"]) == ("unknown", None)


def test_a_timeout_that_is_over_explains_nothing_that_comes_later(
    tracer: prela.Tracer, spans: Recorder, run: Run
) -> None:
    async def main() -> None:
        async with tracer.aspan("sets it"):
            try:
                async with asyncio.timeout(0.01) as kept:
                    await _for_ever(tracer, "first")
            except TimeoutError:
                pass
            task = asyncio.current_task()
            assert task is not None
            asyncio.get_running_loop().call_soon(task.cancel)
            with pytest.raises(asyncio.CancelledError):
                await _for_ever(tracer, "second")
            task.uncancel()
            assert kept.expired()

    run(main())
    assert _cause(spans["first"]) == _deadline("sets it")
    assert _cause(spans["second"]) == ("unknown", None)


@pytest.mark.parametrize(
    "broken", ["aio.deadlines.entered", "aio.deadlines.expired", "aio.bare_cancellation.deadline_handed_on"]
)
def test_the_program_sees_the_same_when_this_breaks(
    tracer: prela.Tracer, spans: Recorder, run: Run, monkeypatch: pytest.MonkeyPatch, broken: str
) -> None:
    def breaks(*args: object) -> None:
        raise RuntimeError("of our own")

    monkeypatch.setattr(f"prela.{broken}", breaks)

    async def main() -> None:
        async with tracer.aspan("sets it"):
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(_for_ever(tracer), 0.01)

    run(main())
    assert [spans[name].status for name in ("sets it", "waits")] == ["success", "cancelled"]


def test_nothing_is_kept_of_timeouts_that_are_gone(tracer: prela.Tracer, spans: Recorder, run: Run) -> None:
    async def main() -> None:
        async with tracer.aspan("outside"):
            for _ in range(3):
                with pytest.raises(TimeoutError):
                    await asyncio.wait_for(_for_ever(tracer), 0.001)

    run(main())
    gc.collect()
    assert not deadlines._expired
    assert not len(deadlines._set_in)


# --- plain groups of anyio's --------------------------------------------------------------------------------------


async def _fails() -> None:
    await anyio.wait_all_tasks_blocked()
    raise ValueError("boom")


def test_the_third_child_of_a_plain_group_fails(tracer: prela.Tracer, spans: Recorder, run: Run) -> None:
    async def deep() -> None:
        async with anyio.create_task_group() as inner:
            inner.start_soon(_for_ever, tracer, "deep")

    async def main() -> None:
        with pytest.raises(ExceptionGroup):
            async with anyio.create_task_group() as group:
                group.start_soon(_for_ever, tracer, "first")
                group.start_soon(deep)
                group.start_soon(_fails)
                await _for_ever(tracer, "body")

    run(main())
    for name in ("first", "deep", "body"):
        assert _cause(spans[name]) == ("sibling_failed", None), name


def test_a_child_that_fails_because_it_was_cancelled_is_not_the_cause(
    tracer: prela.Tracer, spans: Recorder, run: Run
) -> None:
    async def fails_at_its_end() -> None:
        try:
            await anyio.sleep_forever()
        finally:
            raise ValueError("at its end")

    async def slow() -> None:
        async with tracer.aspan("slow"):
            try:
                await anyio.sleep_forever()
            finally:
                with anyio.CancelScope(shield=True):
                    await anyio.sleep(0.02)  # its sibling has failed by then

    async def main() -> None:
        with pytest.raises(ExceptionGroup):
            async with anyio.create_task_group() as group:
                group.start_soon(fails_at_its_end)
                group.start_soon(slow)
                await anyio.wait_all_tasks_blocked()
                asyncio.get_running_loop().call_soon(group.cancel_scope.cancel)  # by no task

    run(main())
    assert _cause(spans["slow"]) == ("unknown", None)


def test_a_scope_that_is_cancelled_from_a_thread_says_unknown(tracer: prela.Tracer, spans: Recorder, run: Run) -> None:
    async def main() -> None:
        async with anyio.create_task_group() as group:
            group.start_soon(_for_ever, tracer)
            await anyio.wait_all_tasks_blocked()
            await anyio.to_thread.run_sync(anyio.from_thread.run_sync, group.cancel_scope.cancel)

    run(main())
    assert _cause(spans["waits"]) == ("unknown", None)


async def _by_a_timeout_of_its_own(tracer: prela.Tracer) -> None:
    try:
        async with asyncio.timeout(0.001):
            await _for_ever(tracer, "later")
    except TimeoutError:
        pass


async def _by_a_future_that_somebody_cancelled(tracer: prela.Tracer) -> None:
    future = asyncio.get_running_loop().create_future()
    future.cancel()
    try:
        with tracer.span("later"):
            await future
    except asyncio.CancelledError:
        pass


async def _of_a_task_that_is_cancelled(tracer: prela.Tracer) -> None:
    task = asyncio.create_task(_for_ever(tracer, "later"))
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait([task])


@pytest.mark.parametrize(
    "clean_up", [_by_a_timeout_of_its_own, _by_a_future_that_somebody_cancelled, _of_a_task_that_is_cancelled]
)
@pytest.mark.parametrize("where", ["end of the loop", "group that gives up"])
def test_what_is_cancelled_while_another_cancellation_is_handled_has_not_its_cause(
    where: str, clean_up: Callable[[prela.Tracer], Awaitable[None]], tracer: prela.Tracer, run: Run
) -> None:
    ready: list[None] = []

    async def cleans_up() -> None:
        try:
            ready.append(None)
            await asyncio.Event().wait()
        finally:
            await clean_up(tracer)

    async def fails() -> None:
        while not ready:
            await asyncio.sleep(0)
        raise ValueError

    async def main() -> None:
        if where == "end of the loop":
            main.task = asyncio.create_task(cleans_up())  # type: ignore[attr-defined]
            await asyncio.sleep(0)
            return
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(cleans_up())
                group.create_task(fails())
        except* ValueError:
            pass

    with recording() as spans:  # without insight: nobody tells of timeouts
        run(main())
    assert _cause(spans["later"]) == ("unknown", None)
