"""What `prela.testing` gives to users: the recorder, its tree, determinism, and the OpenAI-compatible server."""

import pytest

import prela
from prela.aio.exporters.memory import MemoryExporter
from prela.testing import Recorder, recording
from prela.testing.openai_server import Answer, OpenAIServer

pytest_plugins = ["pytester"]


def test_a_failing_look_up_shows_the_tree(tracer: prela.Tracer, prela_spans: Recorder) -> None:
    with tracer.span("root", prela.SpanType.AGENT), pytest.raises(ValueError, match="no"):
        with tracer.span("child", attributes={"a": 1}):
            raise ValueError("no")
    with pytest.raises(KeyError, match="0 spans are named 'nobody'"):
        prela_spans["nobody"]
    assert prela_spans.tree() == "root [agent]\n  child error"
    assert prela_spans.tree(attributes=True) == "root [agent]\n  child error {'a': 1}"


def test_a_deterministic_recording_is_the_same_every_time(tracer: prela.Tracer) -> None:
    def run() -> list[tuple[str, str, float | None]]:
        with recording(deterministic=True) as recorder, tracer.span("a"), tracer.span("b"):
            pass
        return [(r.trace_id, r.span_id, r.duration) for r in recorder.records]

    assert run() == run()
    assert run()[0][:2] == ("1".rjust(32, "0"), "2".rjust(16, "0"))


def test_init_inside_a_recording_changes_nothing(tracer: prela.Tracer, prela_spans: Recorder) -> None:
    prela.init(service_name="the program under test", exporter="none")
    with tracer.span("recorded"):
        pass
    assert prela_spans.names == ["recorded"]


@pytest.mark.anyio
async def test_a_recording_outlives_whatever_the_program_under_test_sets_up_and_ends(
    tracer: prela.Tracer, prela_spans: Recorder
) -> None:
    closed = MemoryExporter()
    async with prela.aio.open_tracer(service_name="the program under test", exporter=closed) as opened:
        with opened.span("in its block"):
            pass
    with tracer.span("after that"):
        pass
    await prela.shutdown()
    with tracer.span("after the end"):
        pass
    assert prela_spans.names == ["in its block", "after that", "after the end"]
    assert list(closed.records) == []


def test_recordings_nest(tracer: prela.Tracer) -> None:
    with recording() as outer:
        with recording() as inner, tracer.span("inner"):
            pass
        with tracer.span("outer"):
            pass
    assert (inner.names, outer.names) == (["inner"], ["outer"])


def test_the_fixture_comes_with_the_package(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
        import prela

        def test_records(prela_spans):
            with prela.get_tracer().span("a"):
                pass
            assert prela_spans.names == ["a"]

        def test_starts_empty(prela_spans):
            assert prela_spans.names == []
        """
    )
    result = pytester.runpytest_subprocess()
    result.assert_outcomes(passed=2)


def test_the_server_answers_the_real_client_plain_streamed_and_with_errors() -> None:
    openai = pytest.importorskip("openai", reason="the client is an extra")

    def answer(request: dict[str, object]) -> Answer:
        return Answer("no such model", status=404) if request["model"] == "none" else Answer("one two three")

    messages = [{"role": "user", "content": "count"}]
    with OpenAIServer(answer) as server, openai.OpenAI(base_url=server.base_url, api_key="x", max_retries=0) as client:
        plain = client.chat.completions.create(model="m", messages=messages)
        assert plain.choices[0].message.content == "one two three"
        assert plain.usage.completion_tokens == 3
        stream = client.chat.completions.create(model="m", messages=messages, stream=True)
        assert "".join(chunk.choices[0].delta.content or "" for chunk in stream) == "one two three"
        with pytest.raises(openai.NotFoundError, match="no such model"):
            client.chat.completions.create(model="none", messages=messages)
        assert [request["model"] for request in server.requests] == ["m", "m", "none"]


def test_a_recorder_keeps_what_tail_sampling_keeps() -> None:
    with recording(tail_sampling=prela.TailSampling()) as recorder:
        tracer = prela.get_tracer()
        with tracer.span("good"):
            with tracer.span("below"):
                pass
            assert recorder.names == []
        with pytest.raises(ZeroDivisionError), tracer.span("bad"):
            with tracer.span("below"):
                pass
            raise ZeroDivisionError
        assert recorder.names == ["below", "bad"]
        assert recorder["bad"].attributes["prela.tail.kept"] == "error"
        with tracer.span("flagged", attributes={"prela.keep": True}):
            pass
    assert recorder.names == ["below", "bad", "flagged"]
