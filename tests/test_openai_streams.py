"""How a streamed call ended: nine ways, each told once, for every way to open and to read a stream."""

# ruff: noqa: F401, F811  (fixtures)

import asyncio
import gc
import threading
from collections.abc import Iterator
from typing import Any

import openai
import pytest

import prela
from prela.core.silent import NO_SPAN
from prela.integrations.openai import uninstrument
from prela.testing import Recorder, recording
from prela.testing.openai_server import Answer, OpenAIServer
from tests.openai_clients import (
    CHAT,
    INPUT,
    SYNC,
    Script,
    SyncOpen,
    ended,
    faults,
    said,
    sync_client,
    sync_kinds,
    the_call,
    unclosed,
)
from tests.openai_fixtures import client, instrumented, script, server, shared_client

# trio warns of iterators of openai's own, which it does not close: with us and without us the same.
pytestmark = pytest.mark.filterwarnings("ignore:Async generator:ResourceWarning")


@sync_kinds
def test_a_stream_read_to_its_end_is_completed(
    client: openai.OpenAI, open_stream: SyncOpen, prela_spans: Recorder
) -> None:
    with prela.get_tracer().span("root"):
        stream = open_stream(client)
        seen = 0
        for _ in stream:
            seen += 1
            assert prela.get_current_span().name == "root"
    status, outcome, chunks = ended(prela_spans)
    assert (status, outcome) == ("success", "completed")
    assert 0 < chunks <= seen
    record = the_call(prela_spans)
    assert said(record) == "You said: one two three four"
    assert 0 < record.attributes["gen_ai.response.time_to_first_chunk"] < record.duration
    stream.close()
    del stream
    gc.collect()
    assert len(prela_spans) == 2


@sync_kinds
def test_a_stream_left_in_its_block_is_closed_early(
    client: openai.OpenAI, open_stream: SyncOpen, prela_spans: Recorder
) -> None:
    with open_stream(client) as stream:
        next(stream)
        next(stream)
    status, outcome, chunks = ended(prela_spans)
    assert (status, outcome) == ("success", "closed_early")
    assert 0 < chunks <= 2
    assert "prela.stream.consumer_error" not in the_call(prela_spans).attributes


@sync_kinds
def test_a_stream_left_outside_a_block_is_closed_early_when_it_is_collected(
    client: openai.OpenAI, open_stream: SyncOpen, prela_spans: Recorder
) -> None:
    with unclosed():
        stream = open_stream(client)
        for _ in stream:
            break
        assert prela_spans.names == []
        del stream
    assert ended(prela_spans)[:2] == ("success", "closed_early")


def test_what_is_handled_while_a_stream_is_collected_is_not_its_consumers(
    client: openai.OpenAI, prela_spans: Recorder
) -> None:
    with unclosed():
        stream = client.chat.completions.create(stream=True, **CHAT)
        next(stream)
        try:
            raise ValueError
        except ValueError:
            del stream
            gc.collect()
    assert ended(prela_spans) == ("success", "closed_early", 1)
    assert "prela.stream.consumer_error" not in the_call(prela_spans).attributes


@sync_kinds
def test_a_stream_that_is_closed_is_closed_early(
    client: openai.OpenAI, open_stream: SyncOpen, prela_spans: Recorder
) -> None:
    stream = open_stream(client)
    next(stream)
    stream.close()
    assert ended(prela_spans)[:2] == ("success", "closed_early")
    stream.close()
    assert len(prela_spans) == 1


@sync_kinds
def test_a_stream_never_read_and_collected_is_abandoned(
    client: openai.OpenAI, open_stream: SyncOpen, prela_spans: Recorder
) -> None:
    with unclosed():
        open_stream(client)
    assert ended(prela_spans) == ("success", "abandoned", 0)


@sync_kinds
def test_the_error_of_a_consumer_is_noted_and_is_not_the_streams(
    client: openai.OpenAI, open_stream: SyncOpen, prela_spans: Recorder
) -> None:
    error = KeyError("of the consumer")
    with pytest.raises(KeyError) as caught:
        with open_stream(client) as stream:
            for _ in stream:
                raise error
    assert caught.value is error
    assert ended(prela_spans)[:2] == ("success", "closed_early")
    assert the_call(prela_spans).attributes["prela.stream.consumer_error"] == "KeyError"
    assert not prela_spans.records[0].events


def test_an_exception_handled_since_before_the_call_is_not_its_consumers(
    client: openai.OpenAI, prela_spans: Recorder
) -> None:
    for error in (ValueError(), asyncio.CancelledError()):
        try:
            raise error
        except (ValueError, asyncio.CancelledError):
            with client.chat.completions.create(stream=True, **CHAT) as stream:
                next(stream)
        assert ended(prela_spans) == ("success", "closed_early", 1)
        assert "prela.stream.consumer_error" not in the_call(prela_spans).attributes
        prela_spans.clear()


@faults
@pytest.mark.parametrize("kind", SYNC)
def test_a_stream_that_breaks_is_an_error(
    client: openai.OpenAI, script: Script, kind: str, fault: dict[str, Any], prela_spans: Recorder
) -> None:
    script.says(Answer("one two three four five six", **fault))
    raised = read_all(SYNC[kind](client))
    status, outcome, chunks = ended(prela_spans)
    # An error event of the responses API is an event like others: no exception, but a failure all the same.
    assert (status, outcome) == ("error", "error" if raised else "completed")
    assert chunks >= 6
    record = the_call(prela_spans)
    assert record.attributes["error.type"]
    if raised is not None:
        assert record.attributes["error.type"] == type(raised).__qualname__
    assert said(record) == ("one two three four five" if kind in {"chat", "chat helper", "raw"} else "one two")


def read_all(stream: Any) -> Exception | None:
    try:
        for _ in stream:
            pass
    except Exception as error:
        return error
    finally:
        stream.close()
    return None


def test_a_stream_that_hangs_is_an_error_when_the_client_times_out(
    client: openai.OpenAI, script: Script, prela_spans: Recorder
) -> None:
    script.says(Answer("one two", hang_at=2))
    raised = read_all(client.with_options(timeout=0.05).chat.completions.create(stream=True, **CHAT))
    assert ended(prela_spans) == ("error", "error", 2)
    assert the_call(prela_spans).attributes["error.type"] == type(raised).__qualname__


@pytest.mark.parametrize("method", ["iter_bytes", "iter_lines", "iter_text"])
def test_a_raw_stream_read_by_its_user_tells_how_it_ended(
    client: openai.OpenAI, script: Script, prela_spans: Recorder, method: str
) -> None:
    completions = client.chat.completions.with_streaming_response
    with completions.create(stream=True, **CHAT) as raw:
        assert list(getattr(raw, method)())
    assert ended(prela_spans)[:2] == ("success", "completed")
    assert said(the_call(prela_spans)) == "You said: one two three four"
    prela_spans.clear()
    with completions.create(stream=True, **CHAT) as raw:
        next(getattr(raw, method)())
    assert ended(prela_spans)[:2] == ("success", "closed_early")
    prela_spans.clear()
    with completions.create(stream=True, **CHAT):
        pass
    assert ended(prela_spans) == ("success", "closed_early", 0)
    prela_spans.clear()
    script.says(Answer("one two", cut_at=2))
    with pytest.raises(Exception, match=r"."):
        with completions.create(stream=True, **CHAT) as raw:
            list(getattr(raw, method)())
    assert ended(prela_spans)[:2] == ("error", "error")


@pytest.mark.parametrize("method", ["iter_bytes", "iter_lines", "parse"])
def test_a_response_that_says_it_failed_did_however_it_is_read(
    client: openai.OpenAI, script: Script, prela_spans: Recorder, method: str
) -> None:
    script.says(Answer("one two", finish_reason="failed"))
    with client.responses.with_streaming_response.create(stream=True, **INPUT) as raw:
        assert list(getattr(raw, method)())
    assert ended(prela_spans)[:2] == ("error", "completed")
    assert the_call(prela_spans).attributes["error.type"] == "server_error"


@pytest.mark.parametrize("words", [1, 2, 3, 4])
def test_a_response_that_failed_after_much_was_said_did(
    client: openai.OpenAI, script: Script, prela_spans: Recorder, words: int
) -> None:
    """The events are put together each time they are more than a mebibyte; the last one may be what makes them so."""
    script.says(Answer(" ".join(["x" * 520_000] * words), finish_reason="failed"))
    with client.responses.create(stream=True, **INPUT) as stream:
        assert list(stream)
    assert the_call(prela_spans).attributes["error.type"] == "server_error"


def test_the_response_of_a_stream_may_be_read_in_its_place(client: openai.OpenAI, prela_spans: Recorder) -> None:
    stream = client.chat.completions.create(stream=True, **CHAT)
    assert "data: [DONE]" in list(stream.response.iter_lines())
    assert ended(prela_spans)[:2] == ("success", "completed")


def test_a_stream_may_be_read_half_in_one_thread_and_half_in_another(
    client: openai.OpenAI, prela_spans: Recorder
) -> None:
    stream = client.chat.completions.create(stream=True, **CHAT)
    left: list[Any] = []

    def read_half() -> None:
        left.extend([next(stream), next(stream)])

    def read_on() -> None:
        left.extend(stream)
        left.append(prela.get_current_span())

    for target in (read_half, read_on):
        thread = threading.Thread(target=target)
        thread.start()
        thread.join()
    assert left.pop() is NO_SPAN
    assert ended(prela_spans) == ("success", "completed", len(left))


def test_who_reads_a_stream_at_the_same_time_does_not_end_it(client: openai.OpenAI, prela_spans: Recorder) -> None:
    def two_at_once() -> Iterator[int]:
        with pytest.raises(ValueError, match="already executing"):
            next(stream)
        yield 1
        yield 2

    stream = client.chat.completions.create(stream=True, **CHAT)
    stream._iterator._inner.close()
    stream._iterator._inner = two_at_once()
    assert list(stream) == [1, 2]
    assert ended(prela_spans) == ("success", "completed", 2)
    stream.close()


def test_a_suppressed_reader_is_no_end_of_what_was_begun(client: openai.OpenAI, prela_spans: Recorder) -> None:
    with client.chat.completions.create(stream=True, **CHAT) as stream, prela.suppress():
        count = len(list(stream))
    assert ended(prela_spans) == ("success", "completed", count)
    prela_spans.clear()
    with prela.suppress():
        with client.chat.completions.create(stream=True, **CHAT) as stream:
            list(stream)
    assert len(prela_spans) == 0


def test_a_stream_outlives_uninstrument_and_another_recorder(client: openai.OpenAI, prela_spans: Recorder) -> None:
    stream = client.chat.completions.create(stream=True, **CHAT)
    next(stream)
    uninstrument()
    with recording() as others:
        count = len(list(stream))
        list(client.chat.completions.create(stream=True, **CHAT))
        assert others.names == []
    assert ended(prela_spans) == ("success", "completed", count + 1)


def test_nothing_of_an_unsampled_trace_is_recorded(server: OpenAIServer) -> None:
    with sync_client(server) as client, recording(sample_rate=0.0) as spans:
        assert len(list(client.chat.completions.create(stream=True, **CHAT))) > 3
        with prela.get_tracer().span("root"), client.chat.completions.create(stream=True, **CHAT) as stream:
            root = prela.get_current_span()
            next(stream)
            assert prela.get_current_span() is root
        assert len(spans) == 0
