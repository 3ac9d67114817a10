"""`trace_stream`: the span of a stream is current only while the stream's own code runs, and ends once, told how."""

import asyncio
import gc
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from types import TracebackType
from typing import Any, Self

import anyio
import pytest

import prela
from prela.aio import trace_stream
from prela.testing import Recorder, recording

pytestmark = pytest.mark.anyio


async def three() -> AsyncGenerator[int]:
    for number in range(3):
        await anyio.lowlevel.checkpoint()
        yield number


def outcome(spans: Recorder, name: str = "stream") -> tuple[str, Any]:
    record = spans[name]
    return record.status, record.attributes["prela.stream.outcome"]


def late_calls(spans: Recorder) -> int:
    return spans._settings.counters.late_calls.value


class Items:
    """A stream that is no generator: an object with a life and attributes of its own."""

    def __init__(self, *items: int, error: BaseException | None = None) -> None:
        self.items = list(items)
        self.error = error
        self.log: list[Any] = []
        self.response_id = "r1"

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> int:
        await anyio.lowlevel.checkpoint()
        if self.items:
            return self.items.pop(0)
        raise self.error or StopAsyncIteration

    async def aclose(self) -> None:
        self.log.append(("aclose", prela.get_current_span().name))

    def total(self) -> int:
        return sum(self.items)


class Managed(Items):
    """One that is entered and left as well."""

    swallows = False

    async def __aenter__(self) -> Self:
        self.log.append(("enter", prela.get_current_span().name))
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> bool:
        self.log.append(("exit", exc_type, exc, prela.get_current_span().name))
        return self.swallows


# --- how it ended -------------------------------------------------------------------------------------------------


async def test_a_stream_read_to_its_end_is_completed(tracer: prela.Tracer, prela_spans: Recorder) -> None:
    stream = trace_stream(three(), tracer.start_span("stream"))
    assert [item async for item in stream] == [0, 1, 2]
    assert outcome(prela_spans) == ("success", "completed")
    with pytest.raises(StopAsyncIteration):
        await anext(stream)
    await stream.aclose()
    del stream
    gc.collect()
    assert prela_spans.names == ["stream"]
    assert late_calls(prela_spans) == 0


async def test_an_empty_stream_is_completed(tracer: prela.Tracer, prela_spans: Recorder) -> None:
    assert [item async for item in trace_stream(Items(), tracer.start_span("stream"))] == []
    assert outcome(prela_spans) == ("success", "completed")


async def test_a_stream_that_is_left_and_closed_is_closed_early(tracer: prela.Tracer, prela_spans: Recorder) -> None:
    stream = trace_stream(three(), tracer.start_span("stream"))
    async for _ in stream:
        break
    assert prela_spans.names == []
    await stream.aclose()
    assert outcome(prela_spans) == ("success", "closed_early")
    await stream.aclose()
    assert [item async for item in stream] == []
    assert prela_spans.names == ["stream"]
    assert late_calls(prela_spans) == 0


async def test_a_stream_closed_before_its_first_item_is_closed_early(
    tracer: prela.Tracer, prela_spans: Recorder
) -> None:
    items = Items(1)
    await trace_stream(items, tracer.start_span("stream")).aclose()
    assert items.log == [("aclose", "stream")]
    assert outcome(prela_spans) == ("success", "closed_early")


async def test_a_stream_collected_unread_is_abandoned(tracer: prela.Tracer, prela_spans: Recorder) -> None:
    async for _ in trace_stream(Items(1, 2), tracer.start_span("half read")):
        break
    trace_stream(Items(1, 2), tracer.start_span("never read"))
    gc.collect()
    assert outcome(prela_spans, "half read") == ("success", "abandoned")
    assert outcome(prela_spans, "never read") == ("success", "abandoned")


async def test_an_error_in_the_stream_is_an_error_and_goes_on_unchanged(
    tracer: prela.Tracer, prela_spans: Recorder
) -> None:
    error = ValueError("broken pipe")
    with pytest.raises(ValueError) as caught:
        async for _ in trace_stream(Items(1, error=error), tracer.start_span("stream")):
            pass
    assert caught.value is error
    assert outcome(prela_spans) == ("error", "error")
    record = prela_spans["stream"]
    assert record.status_message == "broken pipe"
    assert [event.attributes["exception.type"] for event in record.events] == ["ValueError"]


@pytest.mark.parametrize("what", ["__aiter__", "__anext__"])
async def test_what_cannot_be_read_at_all_is_an_error(what: str, tracer: prela.Tracer, prela_spans: Recorder) -> None:
    def fails(self: Any) -> Any:
        raise RuntimeError("no")

    stream = type("Stream", (), {"__aiter__": lambda self: self, "__anext__": fails, what: fails})()
    with pytest.raises(RuntimeError, match="no"):
        await anext(trace_stream(stream, tracer.start_span("stream")))
    record = prela_spans["stream"]
    assert (record.status, record.attributes["prela.stream.outcome"]) == ("error", "error")


async def test_a_consumer_that_raises_is_no_error_of_the_stream(tracer: prela.Tracer, prela_spans: Recorder) -> None:
    with pytest.raises(ValueError, match="of the consumer"):
        async with aclosing(trace_stream(three(), tracer.start_span("stream"))) as stream:
            async for _ in stream:
                raise ValueError("of the consumer")
    assert outcome(prela_spans) == ("success", "closed_early")


async def test_a_cancelled_read_is_a_cancelled_stream(tracer: prela.Tracer, prela_spans: Recorder) -> None:
    async def slow() -> AsyncIterator[int]:
        yield 1
        await anyio.sleep_forever()

    with anyio.move_on_after(0.005) as scope:
        async for _ in trace_stream(slow(), tracer.start_span("stream")):
            pass
    assert scope.cancelled_caught
    assert outcome(prela_spans) == ("cancelled", "cancelled")
    assert prela_spans["stream"].attributes["prela.cancel.cause"] == "deadline"


async def test_a_consumer_that_is_cancelled_closes_the_stream_early(
    tracer: prela.Tracer, prela_spans: Recorder
) -> None:
    with anyio.move_on_after(0.005):
        async with aclosing(trace_stream(three(), tracer.start_span("stream"))) as stream:
            async for _ in stream:
                await anyio.sleep_forever()
    assert outcome(prela_spans) == ("success", "closed_early")


async def test_a_close_that_fails_is_an_error(tracer: prela.Tracer, prela_spans: Recorder) -> None:
    async def careless() -> AsyncGenerator[int]:
        try:
            yield 1
        finally:
            raise ValueError("in cleanup")

    stream = trace_stream(careless(), tracer.start_span("stream"))
    await anext(stream)
    with pytest.raises(ValueError, match="in cleanup"):
        await stream.aclose()
    assert outcome(prela_spans) == ("error", "error")


async def test_a_close_that_is_cancelled_is_a_cancellation(tracer: prela.Tracer, prela_spans: Recorder) -> None:
    class Lingering(Items):
        async def aclose(self) -> None:
            await anyio.sleep_forever()

    stream = trace_stream(Lingering(1), tracer.start_span("stream"))
    await anext(stream)
    with anyio.move_on_after(0.005) as scope:
        await stream.aclose()
    assert scope.cancelled_caught
    assert outcome(prela_spans) == ("cancelled", "cancelled")


# --- what is current ----------------------------------------------------------------------------------------------


async def test_the_span_is_current_inside_and_never_with_the_consumer(
    tracer: prela.Tracer, prela_spans: Recorder
) -> None:
    async def source() -> AsyncIterator[str]:
        for _ in range(2):
            with tracer.span("inside"):
                await anyio.lowlevel.checkpoint()
            yield prela.get_current_span().name

    with tracer.span("outer") as outer:
        stream = trace_stream(source(), tracer.start_span("stream"))
        async for inside in stream:
            assert inside == "stream"
            assert prela.get_current_span() is outer
            with tracer.span("consumer's"):
                await anyio.lowlevel.checkpoint()
        assert prela.get_current_span() is outer
    assert prela_spans.tree() == "\n".join(
        ["outer", "  stream", "    inside", "    inside", "  consumer's", "  consumer's"]
    )


async def test_a_span_open_across_a_yield_is_there_again_at_the_next_step(
    tracer: prela.Tracer, prela_spans: Recorder
) -> None:
    async def source() -> AsyncIterator[str]:
        with tracer.span("across"), prela.baggage(inside=1):
            for _ in range(3):
                assert dict(prela.get_baggage()) == {"inside": 1}
                yield prela.get_current_span().name

    with tracer.span("outer"):
        async for inside in trace_stream(source(), tracer.start_span("stream")):
            assert inside == "across"
            assert prela.get_current_span().name == "outer"
            assert dict(prela.get_baggage()) == {}
    assert prela_spans["across"].parent_span_id == prela_spans["stream"].span_id


async def test_the_parent_is_fixed_when_the_stream_is_made(tracer: prela.Tracer, prela_spans: Recorder) -> None:
    with tracer.span("made here"):
        stream = trace_stream(three(), tracer.start_span("stream"))
    with tracer.span("read here"):
        async for _ in stream:
            pass
    assert prela_spans["stream"].parent_span_id == prela_spans["made here"].span_id


async def test_two_readers_at_once_keep_their_own_spans(tracer: prela.Tracer, prela_spans: Recorder) -> None:
    send, receive = anyio.create_memory_object_stream[str](2)
    jobs = trace_stream(receive, tracer.start_span("jobs"))
    taken: list[str] = []

    async def reader(name: str) -> None:
        with tracer.span(name) as span:
            taken.append(await anext(jobs))
            assert prela.get_current_span() is span
            with tracer.span(f"work of {name}"):
                await anyio.lowlevel.checkpoint()

    async with anyio.create_task_group() as group:
        group.start_soon(reader, "first")
        group.start_soon(reader, "second")
        await anyio.wait_all_tasks_blocked()
        await send.send("a")
        await send.send("b")
    await jobs.aclose()
    send.close()
    assert sorted(taken) == ["a", "b"]
    for name in ("first", "second"):
        assert prela_spans[f"work of {name}"].parent_span_id == prela_spans[name].span_id
        assert prela_spans[name].parent_span_id is None
    assert outcome(prela_spans, "jobs") == ("success", "closed_early")


async def test_a_second_reader_of_a_generator_is_refused_and_the_first_reads_on(
    tracer: prela.Tracer, prela_spans: Recorder
) -> None:
    go = anyio.Event()

    async def source() -> AsyncGenerator[int]:
        await go.wait()
        yield 1

    stream = trace_stream(source(), tracer.start_span("stream"))
    taken: list[int] = []

    async def read_all() -> None:
        taken.extend([item async for item in stream])

    async with anyio.create_task_group() as group:
        group.start_soon(read_all)
        await anyio.wait_all_tasks_blocked()
        with pytest.raises(RuntimeError, match="already running"):
            await anext(stream)
        go.set()
    assert taken == [1]
    assert outcome(prela_spans) == ("success", "completed")


async def test_a_generator_may_be_driven_by_asend_and_athrow(tracer: prela.Tracer, prela_spans: Recorder) -> None:
    async def echo() -> AsyncGenerator[object, object]:
        said: object = None
        while True:
            try:
                with tracer.span("own code"):
                    pass
                said = yield said
            except ValueError as error:
                said = error

    with tracer.span("consumer"):
        stream = trace_stream(echo(), tracer.start_span("stream"))
        assert await stream.asend(None) is None
        assert await stream.asend("a") == "a"
        error = ValueError("caught")
        assert await stream.athrow(error) is error
        with pytest.raises(KeyError):
            await stream.athrow(KeyError("not caught"))
    assert outcome(prela_spans) == ("error", "error")
    parents = {record.parent_span_id for record in prela_spans.records if record.name == "own code"}
    assert parents == {prela_spans["stream"].span_id}
    with pytest.raises(AttributeError):
        _ = trace_stream(Items(), tracer.start_span("no generator")).asend


async def test_a_stream_closed_by_one_task_while_another_reads_ends_once(
    tracer: prela.Tracer, prela_spans: Recorder
) -> None:
    class Stoppable:
        def __init__(self) -> None:
            self.stopped = anyio.Event()

        def __aiter__(self) -> Self:
            return self

        async def __anext__(self) -> int:
            await self.stopped.wait()
            raise StopAsyncIteration

        async def aclose(self) -> None:
            self.stopped.set()
            await anyio.lowlevel.checkpoint()

    stream = trace_stream(Stoppable(), tracer.start_span("stream"))

    async def read() -> None:
        with tracer.span("reader"):
            async for _ in stream:
                pass
            with tracer.span("after reading"):
                pass

    async with anyio.create_task_group() as group:
        group.start_soon(read)
        await anyio.wait_all_tasks_blocked()
        with tracer.span("closer"):
            await stream.aclose()
            with tracer.span("after closing"):
                pass
    assert prela_spans["after reading"].parent_span_id == prela_spans["reader"].span_id
    assert prela_spans["after closing"].parent_span_id == prela_spans["closer"].span_id
    assert prela_spans.names.count("stream") == 1
    assert late_calls(prela_spans) == 0


# --- everything else the stream can do ----------------------------------------------------------------------------


async def test_async_with_enters_and_leaves_the_stream_itself(tracer: prela.Tracer, prela_spans: Recorder) -> None:
    managed = Managed(1, 2)
    async with trace_stream(managed, tracer.start_span("stream")) as stream:
        assert [item async for item in stream] == [1, 2]
        assert stream.response_id == "r1"
    assert managed.log == [("enter", "stream"), ("exit", None, None, "stream")]
    assert outcome(prela_spans) == ("success", "completed")


@pytest.mark.parametrize("swallows", [False, True])
async def test_the_streams_own_exit_decides_whether_an_exception_is_swallowed(
    swallows: bool, tracer: prela.Tracer, prela_spans: Recorder
) -> None:
    managed = Managed(1, 2)
    managed.swallows = swallows
    error = ValueError("of the consumer")
    escaped: BaseException | None = None
    try:
        async with trace_stream(managed, tracer.start_span("stream")) as stream:
            async for _ in stream:
                raise error
    except ValueError as caught:
        escaped = caught
    assert escaped is (None if swallows else error)
    assert managed.log == [("enter", "stream"), ("exit", ValueError, error, "stream")]
    assert outcome(prela_spans) == ("success", "closed_early")


async def test_async_with_on_a_stream_that_has_none_closes_it(tracer: prela.Tracer, prela_spans: Recorder) -> None:
    items = Items(1, 2)
    async with trace_stream(items, tracer.start_span("stream")) as stream:
        assert await anext(stream) == 1
    assert items.log == [("aclose", "stream")]
    assert outcome(prela_spans) == ("success", "closed_early")


async def test_what_the_stream_can_do_besides_is_still_to_be_found(tracer: prela.Tracer, prela_spans: Recorder) -> None:
    items = Items(1, 2)
    stream = trace_stream(items, tracer.start_span("stream"))
    assert stream.response_id == "r1"
    assert stream.total() == 3
    with pytest.raises(AttributeError, match="missing"):
        stream.missing
    with pytest.raises(AttributeError, match="close"):
        stream.close()
    await stream.aclose()


async def test_the_streams_own_close_ends_the_span(tracer: prela.Tracer, prela_spans: Recorder) -> None:
    class WithClose:
        def __init__(self) -> None:
            self.closed = 0

        async def __aiter__(self) -> AsyncIterator[int]:
            yield 1

        async def close(self) -> str:
            self.closed += 1
            return "closed"

    class WithPlainClose(WithClose):
        def close(self) -> str:  # type: ignore[override]
            self.closed += 1
            return "closed"

    async_close, plain_close = WithClose(), WithPlainClose()
    assert await trace_stream(async_close, tracer.start_span("async")).close() == "closed"
    assert trace_stream(plain_close, tracer.start_span("plain")).close() == "closed"
    assert (async_close.closed, plain_close.closed) == (1, 1)
    assert outcome(prela_spans, "async") == outcome(prela_spans, "plain") == ("success", "closed_early")


async def test_a_stream_that_can_be_read_again_may_be(tracer: prela.Tracer, prela_spans: Recorder) -> None:
    class Again:
        def __aiter__(self) -> AsyncIterator[int]:
            return three()

    stream = trace_stream(Again(), tracer.start_span("stream"))
    assert [item async for item in stream] == [0, 1, 2]
    assert [item async for item in stream] == [0, 1, 2]
    assert prela_spans.names == ["stream"]


async def test_a_span_that_was_not_started_is_started(tracer: prela.Tracer, prela_spans: Recorder) -> None:
    assert len([item async for item in trace_stream(three(), tracer.span("stream"))]) == 3
    assert outcome(prela_spans) == ("success", "completed")


async def test_with_tracing_off_a_stream_is_only_read(tracer: prela.Tracer) -> None:
    stream = trace_stream(three(), tracer.start_span("stream"))
    assert [item async for item in stream] == [0, 1, 2]
    assert not stream._span.is_recording


async def test_a_stream_of_an_unsampled_trace_is_read_and_not_recorded(tracer: prela.Tracer) -> None:
    async def source() -> AsyncIterator[int]:
        with tracer.span("inside"):
            yield 1

    with recording(sampler=prela.AlwaysOff()) as spans:
        with tracer.span("root"):
            assert [i async for i in trace_stream(source(), tracer.start_span("stream"))] == [1]
    assert spans.names == []


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_a_reader_that_is_collected_disturbs_nobody(
    anyio_backend: str, tracer: prela.Tracer, prela_spans: Recorder
) -> None:
    async def waits(future: "asyncio.Future[None]") -> AsyncIterator[int]:
        await future
        yield 1

    async def consume() -> None:
        future = asyncio.get_running_loop().create_future()
        async for _ in trace_stream(waits(future), tracer.start_span("stream")):
            pass

    asyncio.get_running_loop().set_exception_handler(lambda loop, context: None)
    with tracer.span("other"):
        task = asyncio.ensure_future(consume())
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    with tracer.span("bystander") as bystander:
        del task
        gc.collect()
        assert prela.get_current_span() is bystander
    assert prela_spans.names.count("stream") == 1
