"""`prela.aio.traced`: waiting for a lock, a semaphore or a limiter is told apart from the work; nothing else is new."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import anyio
import pytest

import prela
from prela.aio import to_thread, traced
from prela.testing import Recorder, recording
from tests.virtual_time import basis, made_up_time, path

pytestmark = pytest.mark.anyio

MAKERS: dict[str, Callable[[], Any]] = {
    "limiter": lambda: anyio.CapacityLimiter(1),
    "semaphore": lambda: anyio.Semaphore(1),
    "lock": anyio.Lock,
}


@pytest.fixture(params=MAKERS)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


async def native(kind: str) -> list[Any]:
    """The lock and the semaphore of the library that runs."""
    if kind == "limiter":
        return []
    import trio

    library: Any = asyncio if _is_asyncio() else trio
    return [library.Lock() if kind == "lock" else library.Semaphore(1)]


def _is_asyncio() -> bool:
    try:
        return asyncio.current_task() is not None
    except RuntimeError:
        return False


def waits(spans: Recorder, name: str = "wait db") -> list[Any]:
    return [record for record in spans.records if record.name == name]


# --- what is told -------------------------------------------------------------------------------------------------


async def test_a_wait_is_a_span_that_names_what_for_and_who_held_it(kind: str, tracer: prela.Tracer) -> None:
    for one in (MAKERS[kind](), *await native(kind)):
        with made_up_time() as (time, spans):
            guard = traced(one, "db")

            async def work(length: int, guard: Any = guard, time: Any = time) -> None:
                async with guard:
                    await time.sleep(length)

            async with time.running():
                async with tracer.task_group("group") as group:
                    for number in (1, 2, 3):
                        group.start_soon(work, number, name=f"task {number}")
                        await time.sleep(0)
            first, second = sorted(waits(spans), key=lambda record: record.end_time_unix_nano)
            assert [record.attributes["prela.wait.ahead"] for record in (first, second)] == [0, 1]
            for record in (first, second):
                assert (record.kind, record.status) == ("internal", "success")
                assert record.attributes["prela.wait.for"] == kind
                assert record.attributes["prela.wait.name"] == "db"
                assert record.attributes["prela.wait.held_by"] == [spans["task 1"].span_id]
            assert {first.parent_span_id, second.parent_span_id} == {spans["task 2"].span_id, spans["task 3"].span_id}


async def test_where_nothing_has_to_be_waited_for_there_is_no_span(
    kind: str, tracer: prela.Tracer, prela_spans: Recorder
) -> None:
    for one in (MAKERS[kind](), *await native(kind)):
        guard = traced(one, "db")
        with tracer.span("span"):
            async with guard:
                pass
            await guard.acquire()
            guard.release()
        assert prela_spans.names == ["span"]
        prela_spans.clear()


async def test_a_lock_convoy_is_on_the_path_with_those_who_held_the_lock(tracer: prela.Tracer) -> None:
    with made_up_time() as (time, spans):
        lock = traced(anyio.Lock(), "db")

        async def work(name: str) -> None:
            async with lock:
                with tracer.span(f"query {name}"):
                    await time.sleep(5)

        async with time.running():
            async with tracer.task_group("group") as group:
                for name in "abc":
                    group.start_soon(work, name, name=name)
                    await time.sleep(1)
        assert (
            path(spans)
            == [
                ("group", 0, 0),
                ("query a", 0, 5),
                ("query b", 5, 10),
                ("query c", 10, 15),
            ][1:]
        )
        assert basis(spans) == "joins"
        second = max(waits(spans), key=lambda record: record.end_time_unix_nano)
        assert second.attributes["prela.wait.held_by"] == [spans["a"].span_id]


async def test_a_saturated_limiter_names_all_who_hold_it(tracer: prela.Tracer) -> None:
    with made_up_time() as (time, spans):
        limiter = traced(anyio.CapacityLimiter(3), "api")

        async def call(number: int) -> None:
            async with limiter:
                await time.sleep(10 + number)

        async with time.running():
            async with tracer.task_group("group") as group:
                for number in range(5):
                    group.start_soon(call, number, name=f"call {number}")
                    await time.sleep(0)
        fourth, fifth = sorted(waits(spans, "wait api"), key=lambda record: record.end_time_unix_nano)
        holders = [spans[f"call {number}"].span_id for number in range(3)]
        assert fourth.attributes["prela.wait.held_by"] == fifth.attributes["prela.wait.held_by"] == holders
        assert [one.attributes["prela.wait.ahead"] for one in (fourth, fifth)] == [0, 1]
        assert path(spans) == [("call 0", 0, 10), ("call 3", 10, 23)] or path(spans)[-1] == ("call 4", 11, 25)


async def test_of_many_holders_only_some_are_named(tracer: prela.Tracer) -> None:
    with recording() as spans:
        semaphore = traced(anyio.Semaphore(20), "db")
        go_on = anyio.Event()

        async def hold() -> None:
            async with semaphore:
                await go_on.wait()

        async with tracer.task_group("group") as group:
            for _ in range(21):
                group.start_soon(hold)
            await anyio.wait_all_tasks_blocked()
            go_on.set()
        (wait,) = waits(spans)
        assert len(wait.attributes["prela.wait.held_by"]) == 8


async def test_a_semaphore_released_by_others_than_acquired_it_names_no_holder(tracer: prela.Tracer) -> None:
    with recording() as spans:
        semaphore = traced(anyio.Semaphore(2), "db")
        for name in ("one", "two"):
            with tracer.span(name):
                await semaphore.acquire()
        with tracer.span("three"):
            semaphore.release()
            await semaphore.acquire()
        async with anyio.create_task_group() as group:
            with tracer.span("four"):
                group.start_soon(semaphore.acquire)
            await anyio.wait_all_tasks_blocked()
            semaphore.release()
        (wait,) = waits(spans)
        assert wait.attributes["prela.wait.held_by"] == [spans["three"].span_id]


async def test_as_a_limiter_of_to_thread_it_tells_the_wait_of_the_caller(tracer: prela.Tracer) -> None:
    limiter = traced(anyio.CapacityLimiter(1), "pool")
    with recording() as spans:
        async with tracer.task_group("group") as group:
            started, go_on = anyio.Event(), anyio.Event()

            async def first() -> None:
                async def inside() -> None:
                    started.set()
                    await go_on.wait()

                await to_thread(lambda: anyio.from_thread.run(inside), limiter=limiter, name="one")

            async def second() -> None:
                await started.wait()
                await to_thread(int, limiter=limiter, name="two")

            group.start_soon(first, name="first")
            group.start_soon(second, name="second")
            await started.wait()
            await anyio.wait_all_tasks_blocked()
            go_on.set()
        wait = spans["wait pool"]
        assert wait.parent_span_id == spans["second"].span_id
        assert wait.attributes["prela.wait.held_by"] == [spans["first"].span_id]
        assert spans["two"].attributes["prela.time.queued"] > 0
    assert limiter.borrowed_tokens == 0


# --- what stays as it was -----------------------------------------------------------------------------------------


async def test_it_is_an_instance_of_what_it_stands_for(kind: str) -> None:
    for one in (MAKERS[kind](), *await native(kind)):
        guard = traced(one, "db")
        assert isinstance(guard, type(one))
        for name in dir(one):
            if not name.startswith("_"):
                assert hasattr(guard, name), name
        for name in ("acquire_nowait", "acquire_on_behalf_of", "release_on_behalf_of", "locked", "value"):
            assert hasattr(guard, name) == hasattr(one, name), name


def test_one_that_is_made_before_a_loop_runs_is_one_all_the_same(kind: str, anyio_backend: Any) -> None:
    guard = traced(MAKERS[kind](), "db")

    async def main() -> None:
        async with guard:
            pass

    backend, options = anyio_backend
    anyio.run(main, backend=backend, backend_options=options)


async def test_all_its_attributes_are_those_of_the_original() -> None:
    original = anyio.CapacityLimiter(3)
    limiter = traced(original, "db")
    limiter.total_tokens = 5
    assert (original.total_tokens, limiter.total_tokens, limiter.available_tokens) == (5, 5, 5)
    limiter.acquire_on_behalf_of_nowait("me")
    await limiter.acquire_on_behalf_of("you")
    assert limiter.statistics() == original.statistics()
    assert limiter.borrowed_tokens == 2
    limiter.release_on_behalf_of("me")
    limiter.release_on_behalf_of("you")
    assert original.borrowed_tokens == 0
    with pytest.raises(AttributeError):
        limiter.missing  # type: ignore[attr-defined]
    with pytest.raises(TypeError):
        limiter.total_tokens = "many"  # type: ignore[assignment]


async def test_what_async_with_gives_is_what_the_original_gives() -> None:
    async with traced(anyio.Semaphore(1), "db") as semaphore:
        assert semaphore.value == 0
    async with traced(anyio.Lock(), "db") as nothing:
        assert nothing is None


async def _errors(guard: Any) -> list[str]:
    """What it says to those who use it wrongly."""

    async def acquires_twice() -> None:
        await guard.acquire()
        try:
            await guard.acquire()
        finally:
            guard.release()

    def acquires_nowait_twice() -> None:
        guard.acquire_nowait()
        try:
            guard.acquire_nowait()
        finally:
            guard.release()

    async def releases_unheld() -> None:
        guard.release()

    found = []
    steps: list[Callable[[], Awaitable[None]]] = [releases_unheld, acquires_twice]
    for step in steps:
        try:
            await step()
        except Exception as error:
            found.append(f"{type(error).__name__}: {error}")
    try:
        acquires_nowait_twice()
    except Exception as error:
        found.append(f"{type(error).__name__}: {error}")
    return found


@pytest.mark.parametrize("kind", ["limiter", "lock"])
async def test_its_errors_are_those_of_the_original(kind: str, tracer: prela.Tracer) -> None:
    expected = await _errors(MAKERS[kind]())
    with recording(), tracer.span("span"):
        assert await _errors(traced(MAKERS[kind](), "db")) == expected
    assert len(expected) == 3


async def test_waiters_come_in_the_order_in_which_they_came(kind: str, tracer: prela.Tracer) -> None:
    async def order(guard: Any) -> list[int]:
        found = []

        async def one(number: int) -> None:
            async with guard:
                found.append(number)
                await anyio.lowlevel.checkpoint()

        async with anyio.create_task_group() as group:
            for number in range(6):
                group.start_soon(one, number)
                await anyio.wait_all_tasks_blocked()
        return found

    with recording(), tracer.span("span"):
        assert await order(traced(MAKERS[kind](), "db")) == await order(MAKERS[kind]())


async def test_a_wait_that_is_cancelled_is_a_cancelled_span_and_holds_nothing(kind: str, tracer: prela.Tracer) -> None:
    for one in (MAKERS[kind](), *await native(kind)):
        guard = traced(one, "db")
        held, go_on = anyio.Event(), anyio.Event()

        async def hold(guard: Any = guard, held: anyio.Event = held, go_on: anyio.Event = go_on) -> None:
            async with guard:
                held.set()
                await go_on.wait()

        with recording() as spans:
            async with tracer.task_group("group") as group:
                group.start_soon(hold, name="holder")
                await held.wait()
                with anyio.move_on_after(0.005) as scope, tracer.span("victim"):
                    await guard.acquire()
                assert scope.cancelled_caught
                go_on.set()
            (wait,) = waits(spans)
            assert (wait.status, wait.attributes["prela.cancel.cause"]) == ("cancelled", "deadline")
            assert wait.attributes["prela.wait.held_by"] == [spans["holder"].span_id]
            async with guard:
                pass
            assert len(waits(spans)) == 1


async def test_who_was_cancelled_on_the_way_in_holds_nothing(kind: str, tracer: prela.Tracer) -> None:
    for one in (MAKERS[kind](), *await native(kind)):
        if one.__class__.__module__.startswith("asyncio"):
            continue  # it is given without a checkpoint
        guard = traced(one, "db")
        with recording() as spans:
            with anyio.CancelScope() as scope, tracer.span("cancelled"):
                scope.cancel()
                await guard.acquire()
            with tracer.span("holder"):
                await guard.acquire()
                with anyio.move_on_after(0.005):
                    async with anyio.create_task_group() as group:
                        group.start_soon(guard.acquire)
                guard.release()
            (wait,) = waits(spans)
            assert wait.attributes["prela.wait.held_by"] == [spans["holder"].span_id]


async def test_a_shielded_wait_is_not_cancelled(tracer: prela.Tracer) -> None:
    lock = traced(anyio.Lock(), "db")
    held, go_on = anyio.Event(), anyio.Event()

    async def hold() -> None:
        async with lock:
            held.set()
            await go_on.wait()

    async def shielded() -> None:
        with anyio.CancelScope(shield=True):
            async with lock:
                done.append(True)

    done: list[bool] = []
    with recording() as spans:
        async with anyio.create_task_group() as group:
            group.start_soon(hold)
            await held.wait()
            async with anyio.create_task_group() as inner:
                with tracer.span("span"):
                    inner.start_soon(shielded)
                await anyio.wait_all_tasks_blocked()
                inner.cancel_scope.cancel()
                go_on.set()
        assert done == [True]
        assert waits(spans)[0].status == "success"


async def test_it_may_stand_under_a_condition(tracer: prela.Tracer) -> None:
    condition = anyio.Condition(traced(anyio.Lock(), "db"))
    ready: list[bool] = []

    async def waits_for_it() -> None:
        async with condition:
            while not ready:
                await condition.wait()

    async with anyio.create_task_group() as group:
        group.start_soon(waits_for_it)
        await anyio.wait_all_tasks_blocked()
        async with condition:
            ready.append(True)
            condition.notify_all()


async def test_with_tracing_off_it_only_guards(kind: str) -> None:
    guard = traced(MAKERS[kind](), "db")
    inside = most = 0

    async def work() -> None:
        nonlocal inside, most
        async with guard:
            inside += 1
            most = max(most, inside)
            await anyio.lowlevel.checkpoint()
            inside -= 1

    async with anyio.create_task_group() as group:
        for _ in range(10):
            group.start_soon(work)
    assert most == 1


def test_what_is_no_lock_is_refused() -> None:
    with pytest.raises(TypeError, match="no lock, semaphore or limiter"):
        traced(anyio.Event(), "db")
