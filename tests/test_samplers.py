"""Which traces are recorded: the samplers, and that a trace is recorded as a whole or not at all."""

import asyncio
import contextvars
import random
import threading
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

import prela
from prela.aio import to_thread, trace_stream
from prela.testing import recording


class Refusing:
    """Records what it was asked, and refuses local roots of these names."""

    def __init__(self, *names: str) -> None:
        self.names = names
        self.asked: list[prela.SamplingRequest] = []

    def should_sample(self, request: prela.SamplingRequest) -> bool:
        self.asked.append(request)
        return request.name not in self.names


def request(trace_id: int = 1, parent: prela.SpanContext | None = None) -> prela.SamplingRequest:
    return prela.SamplingRequest(trace_id, "name", "custom", parent)


def remote(*, sampled: bool = True) -> prela.SpanContext:
    return prela.SpanContext("a" * 32, "b" * 16, sampled=sampled, is_remote=True)


def random_ids(count: int) -> list[int]:
    return [random.Random(seed).getrandbits(128) for seed in range(count)]


# --- each by itself -----------------------------------------------------------------------------------------------


def test_always_on_records_every_trace_and_always_off_none(tracer: prela.Tracer) -> None:
    for sampler, expected in ((prela.AlwaysOn(), ["root"] * 5), (prela.AlwaysOff(), [])):
        with recording(sampler=sampler) as spans:
            for _ in range(5):
                with tracer.span("root"):
                    pass
        assert spans.names == expected
        assert spans._settings.unsampled.value == 5 - len(expected)


@pytest.mark.parametrize("ratio", [0.01, 0.1, 0.5, 0.9])
def test_the_ratio_is_kept_to(ratio: float) -> None:
    sampler = prela.TraceIdRatio(ratio)
    ids = random_ids(20_000)
    share = sum(sampler.should_sample(request(trace_id)) for trace_id in ids) / len(ids)
    assert share == pytest.approx(ratio, abs=0.015)


def test_the_ratio_is_decided_by_the_trace_id_alone() -> None:
    one, another = prela.TraceIdRatio(0.3), prela.TraceIdRatio(0.3)
    for trace_id in random_ids(500):
        decisions = {
            one.should_sample(request(trace_id)),
            another.should_sample(prela.SamplingRequest(trace_id, "other", "llm", remote(sampled=False))),
        }
        assert len(decisions) == 1


def test_a_higher_ratio_records_all_that_a_lower_one_does() -> None:
    ids = random_ids(2_000)
    lower = {i for i in ids if prela.TraceIdRatio(0.2).should_sample(request(i))}
    higher = {i for i in ids if prela.TraceIdRatio(0.6).should_sample(request(i))}
    assert lower < higher


def test_the_ends_of_the_ratio_are_none_and_all() -> None:
    for trace_id in (0, 1, (1 << 56) - 1, 1 << 56, (1 << 128) - 1):
        assert not prela.TraceIdRatio(0.0).should_sample(request(trace_id))
        assert prela.TraceIdRatio(1.0).should_sample(request(trace_id))


@pytest.mark.parametrize("ratio", [-0.1, 1.1, float("nan"), "0.5", None, True])
def test_a_ratio_that_is_none_is_refused(ratio: Any) -> None:
    with pytest.raises(ValueError, match="allowed is a number from 0 to 1"):
        prela.TraceIdRatio(ratio)


@pytest.mark.parametrize("root", [prela.AlwaysOn(), prela.AlwaysOff()])
def test_parent_based_does_as_the_remote_parent_did_and_asks_where_there_is_none(root: Any) -> None:
    sampler = prela.ParentBased(root)
    assert sampler.should_sample(request(parent=remote(sampled=True)))
    assert not sampler.should_sample(request(parent=remote(sampled=False)))
    assert sampler.should_sample(request()) is root.should_sample(request())


def test_rate_limiting_lets_a_burst_through_and_then_so_many_a_second() -> None:
    now = [100.0]
    sampler = prela.RateLimiting(8, clock=lambda: now[0])

    def granted(times: int) -> int:
        return sum(sampler.should_sample(request()) for _ in range(times))

    assert granted(50) == 8
    now[0] += 1 / 2
    assert granted(50) == 4
    now[0] += 1 / 16
    assert granted(5) == 0
    now[0] += 1 / 16
    assert granted(5) == 1
    now[0] += 3_600
    assert granted(50) == 8


def test_rate_limiting_below_one_a_second_lets_one_through_at_a_time() -> None:
    now = [0.0]
    sampler = prela.RateLimiting(0.25, clock=lambda: now[0])
    found = []
    for _ in range(17):
        found.append(sampler.should_sample(request()))
        now[0] += 1
    assert [second for second, granted in enumerate(found) if granted] == [0, 4, 8, 12, 16]


def test_a_clock_that_goes_back_grants_nothing_and_breaks_nothing() -> None:
    now = [100.0]
    sampler = prela.RateLimiting(1, clock=lambda: now[0])
    assert sampler.should_sample(request())
    now[0] = 50.0
    assert not sampler.should_sample(request())
    now[0] = 51.0
    assert sampler.should_sample(request())


@pytest.mark.parametrize("rate", [0, -1, float("nan"), True])
def test_a_rate_that_is_none_is_refused(rate: Any) -> None:
    with pytest.raises(ValueError, match="allowed is a number above 0"):
        prela.RateLimiting(rate)


def test_samplers_say_what_they_are() -> None:
    sampler = prela.ParentBased(prela.TraceIdRatio(0.5))
    assert repr(sampler) == "ParentBased(TraceIdRatio(0.5))"
    assert [repr(s) for s in (prela.AlwaysOn(), prela.AlwaysOff(), prela.RateLimiting(5))] == [
        "AlwaysOn()",
        "AlwaysOff()",
        "RateLimiting(5.0)",
    ]
    assert isinstance(sampler, prela.Sampler)
    assert isinstance(Refusing(), prela.Sampler)


# --- in the tracer ------------------------------------------------------------------------------------------------


def test_a_sampler_is_asked_once_for_each_local_root(tracer: prela.Tracer) -> None:
    sampler = Refusing("refused")
    with recording(sampler=sampler) as spans:
        for name in ("kept", "refused"):
            with tracer.span(name, prela.SpanType.AGENT):
                with tracer.span("child"), tracer.span("grandchild"):
                    pass
                with tracer.span("second child"):
                    pass
        with tracer.span("from afar", parent=remote()), tracer.span("child"):
            pass
    assert [(asked.name, asked.span_type, asked.parent) for asked in sampler.asked] == [
        ("kept", "agent", None),
        ("refused", "agent", None),
        ("from afar", "custom", remote()),
    ]
    assert sampler.asked[0].trace_id == int(spans["kept"].trace_id, 16)
    assert sampler.asked[2].trace_id == int("a" * 32, 16)
    assert len(spans) == 6
    assert spans._settings.unsampled.value == 4


def test_sample_rate_is_a_share_of_traces_that_follows_remote_parents(tracer: prela.Tracer) -> None:
    with recording(sample_rate=0.25) as spans:
        for _ in range(4_000):
            with tracer.span("root"), tracer.span("child"):
                pass
    assert spans.names.count("root") == spans.names.count("child")
    assert spans.names.count("root") == pytest.approx(1_000, abs=200)
    assert len(spans) + spans._settings.unsampled.value == 8_000
    for rate in (0, 1):
        with recording(sample_rate=rate) as spans:
            with tracer.span("own"):
                pass
            with tracer.span("sampled afar", parent=remote(sampled=True)):
                pass
            with tracer.span("unsampled afar", parent=remote(sampled=False)):
                pass
        assert spans.names == (["own", "sampled afar"] if rate else ["sampled afar"])


@pytest.mark.parametrize("rate", [-0.1, 1.1, "0.5", True, float("nan")])
def test_a_sample_rate_that_is_none_is_one_clear_error(rate: Any) -> None:
    with pytest.raises(prela.ConfigurationError, match="sample_rate"), recording(sample_rate=rate):
        pass


def test_sampler_and_sample_rate_together_are_one_clear_error() -> None:
    with pytest.raises(prela.ConfigurationError, match="not both"):
        with recording(sampler=prela.AlwaysOn(), sample_rate=0.5):
            pass


@pytest.mark.parametrize("sampler", [5, "always_on", prela.AlwaysOn, object()])
def test_what_is_no_sampler_is_one_clear_error(sampler: Any) -> None:
    with pytest.raises(prela.ConfigurationError, match="should_sample"), recording(sampler=sampler):
        pass


def test_a_sampler_that_raises_keeps_the_trace(tracer: prela.Tracer) -> None:
    class Broken:
        def should_sample(self, request: prela.SamplingRequest) -> bool:
            raise RuntimeError("no verdict")

    with recording(sampler=Broken()) as spans:
        with tracer.span("root"), tracer.span("child"):
            pass
    assert spans.tree() == "root\n  child"
    assert spans._settings.unsampled.value == 0


def test_a_sampler_that_traces_is_not_asked_about_its_own_spans(tracer: prela.Tracer) -> None:
    asked: list[str] = []

    class Traced:
        def should_sample(self, request: prela.SamplingRequest) -> bool:
            asked.append(request.name)
            with tracer.span("of the sampler"):
                return True

    with recording(sampler=Traced()) as spans:
        with tracer.span("root"):
            pass
    assert asked == ["root"]
    assert spans.names == ["root"]


@prela.trace("generator")
def steps(tracer: prela.Tracer) -> Iterator[int]:
    with tracer.span("in generator"):
        yield 1


@prela.trace("async generator")
async def async_steps(tracer: prela.Tracer) -> AsyncIterator[int]:
    async with tracer.aspan("in async generator"):
        yield 1


@prela.trace("decorated")
def decorated(tracer: prela.Tracer) -> None:
    with tracer.span("in decorated"):
        pass


async def descendants_of_every_kind(tracer: prela.Tracer) -> int:
    """Start spans below what is current, each way there is; return how many."""
    with tracer.span("span") as child, tracer.span("explicit parent", parent=child):
        pass
    async with tracer.aspan("aspan"):
        pass
    started = tracer.start_span("started", attributes={"a": 1}, kind="client", links=[child])
    with prela.use_span(started), tracer.span("in used"):
        pass
    started.end()
    decorated(tracer)
    list(steps(tracer))
    async for _ in async_steps(tracer):
        pass

    async def source() -> AsyncIterator[int]:
        with tracer.span("in stream"):
            yield 1

    async for _ in trace_stream(source(), tracer.start_span("stream")):
        pass

    async def work() -> None:
        with tracer.span("in child"):
            pass

    async with tracer.task_group("group") as group:
        group.start_soon(work, name="child")
    await to_thread(decorated, tracer, name="thread")
    contextvars.copy_context().run(decorated, tracer)
    with prela.propagate_attributes(session_id="s"), tracer.span("propagated"):
        pass
    return 22


async def _under_a_refused_root(tracer: prela.Tracer) -> int:
    with tracer.span("refused"):
        return await descendants_of_every_kind(tracer)


async def _under_a_refused_root_from_afar(tracer: prela.Tracer) -> int:
    with tracer.span("refused", parent=remote()):
        return await descendants_of_every_kind(tracer)


async def _under_a_refused_root_that_is_used(tracer: prela.Tracer) -> int:
    with prela.use_span(tracer.start_span("refused")):
        return await descendants_of_every_kind(tracer)


@pytest.mark.parametrize(
    "program", [_under_a_refused_root, _under_a_refused_root_from_afar, _under_a_refused_root_that_is_used]
)
def test_descendants_of_an_unsampled_root_are_counted_and_not_recorded_whichever_way_they_start(
    program: Any, tracer: prela.Tracer
) -> None:
    with recording() as spans:
        with tracer.span("kept"):
            expected = asyncio.run(descendants_of_every_kind(tracer))
        assert len(spans) == expected + 1, spans.tree()

    sampler = Refusing("refused")
    with recording(sampler=sampler) as spans:
        assert asyncio.run(program(tracer)) == expected
        with tracer.span("afterwards"):
            pass
    assert spans.names == ["afterwards"]
    assert [asked.name for asked in sampler.asked] == ["refused", "afterwards"]
    assert spans._settings.unsampled.value == expected + 1


def test_an_unsampled_root_is_told_to_others_as_not_sampled(tracer: prela.Tracer) -> None:
    with recording(sampler=prela.AlwaysOff()):
        with tracer.span("root") as root:
            context = root.context
            with tracer.span("child") as child:
                assert child.context == context
            assert prela.get_current_span() is root
    assert not context.sampled
    assert int(context.trace_id, 16)
    assert int(context.span_id, 16)
    assert not root.is_recording


def test_an_unsampled_generator_takes_its_spans_with_it(tracer: prela.Tracer) -> None:
    with recording(sampler=Refusing("generator")) as spans:
        with tracer.span("before"):
            pass
        list(steps(tracer))
        with tracer.span("after"):
            pass
    assert spans.names == ["before", "after"]


def test_an_unsampled_root_left_elsewhere_holds_nobody_up(tracer: prela.Tracer) -> None:
    def in_a_thread(span: prela.Span) -> None:
        thread = threading.Thread(target=span.__exit__, args=(None, None, None))
        thread.start()
        thread.join()

    with recording(sampler=Refusing("refused")) as spans:
        for leave in (in_a_thread, lambda span: contextvars.copy_context().run(span.__exit__, None, None, None)):
            span = tracer.span("refused")
            span.__enter__()
            leave(span)
            with tracer.span("later"):
                pass
    assert spans.names == ["later", "later"]
    assert not prela.get_current_span().is_recording


def test_an_unsampled_root_left_out_of_order_holds_nobody_up(tracer: prela.Tracer) -> None:
    with recording(sampler=Refusing("refused")) as spans:
        refused = tracer.span("refused")
        refused.__enter__()
        other = tracer.span("other", parent=None)
        other.__enter__()
        refused.__exit__(None, None, None)
        assert prela.get_current_span() is other
        other.__exit__(None, None, None)
        with tracer.span("later"):
            pass
    assert spans.names == ["other", "later"]
    assert spans["later"].parent_span_id is None


def test_nobody_started_later_inherits_what_was_left_below_an_unsampled_root(tracer: prela.Tracer) -> None:
    def later() -> None:
        with tracer.span("later"):
            pass

    with recording(sampler=Refusing("refused")) as spans:
        outside = tracer.span("outside").__enter__()
        with tracer.span("refused", parent=None):
            outside.__exit__(None, None, None)
        contextvars.copy_context().run(later)
    assert spans["later"].parent_span_id is None, spans.tree()


def test_an_unsampled_span_takes_every_call_and_keeps_none(tracer: prela.Tracer) -> None:
    with recording(sampler=prela.AlwaysOff()) as spans:
        with pytest.raises(ValueError), tracer.span("root") as root:
            for span in (root, tracer.span("child")):
                span.set_attribute("a", 1)
                span.set_attributes({"b": [2]})
                span.add_event("event", {"c": 3})
                span.add_link(remote())
                span.record_exception(ValueError())
                span.set_status("error", "message")
                span.name = "renamed"
                assert (dict(span.attributes), span.events, span.links) == ({}, (), ())
                assert (span.duration, span.end_time_ns, span.parent_span_id) == (None, None, None)
                span.end()
            raise ValueError
    assert spans.names == []
    assert spans._settings.counters.late_calls.value == 0


@pytest.mark.parametrize("wrap", [lambda sampler: sampler, prela.ParentBased])
@pytest.mark.parametrize("ratio", [0.0, 0.01, 0.5, 0.99, 1.0])
def test_ids_told_to_others_decide_as_the_ratio_did(tracer: prela.Tracer, ratio: float, wrap: Any) -> None:
    """So that a service behind this one, which decides by the same ratio, decides alike."""
    bound = round(ratio * 2**56)
    with recording(sampler=wrap(prela.TraceIdRatio(ratio))) as spans:
        told = []
        for _ in range(200):
            with tracer.span("root"):
                told.append(prela.inject({})["traceparent"])
    seen = {(int(header[3:35], 16) % 2**56 < bound, header[-2:] == "01") for header in told}
    assert seen <= {(True, True), (False, False)}
    assert len({header[3:35] for header in told}) == 200
    assert sum(header[-2:] == "01" for header in told) == len(spans)
    if ratio == 0.5:
        assert 60 < len(spans) < 140


@pytest.mark.parametrize("kind", [prela.AlwaysOn, prela.AlwaysOff, prela.TraceIdRatio, prela.ParentBased])
def test_a_sampler_made_of_one_of_ours_is_asked(tracer: prela.Tracer, kind: Any) -> None:
    asked = []

    class Own(kind):  # type: ignore[misc]
        def should_sample(self, request: Any) -> bool:
            asked.append(request.name)
            return request.name == "wanted"

    argument = {prela.TraceIdRatio: (0.5,), prela.ParentBased: (prela.AlwaysOff(),)}.get(kind, ())
    with recording(sampler=Own(*argument)) as spans:
        for name in ("wanted", "unwanted"):
            with tracer.span(name):
                pass
    assert (asked, spans.names) == (["wanted", "unwanted"], ["wanted"])
