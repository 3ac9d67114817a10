"""The buffer's law: everything offered is taken, pending, or dropped under a reason; and whom it sheds first."""

from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

import prela
from prela.core.buffer import OVERLOAD, QUEUE_FULL, SHUTDOWN, Buffer
from prela.core.settings import Limits, Settings
from prela.testing import Recorder, recording


class BufferMachine(RuleBasedStateMachine):
    """Spans end, big and small, roots and others; the worker takes some; the program ends."""

    def __init__(self) -> None:
        super().__init__()
        self.settings = Settings(limits=Limits(queue_spans=20, queue_bytes=40 * 1024))
        self.tracer = prela.Tracer(self.settings)
        self.parent = self.tracer.start_span("parent")
        self.buffer: Buffer = self.settings.buffer
        self.offered = 0
        self.refused = 0
        self.taken = 0

    @rule(size=st.sampled_from([0, 200, 5_000]))
    def a_child_ends(self, size: int) -> None:
        with self.tracer.span("child", parent=self.parent) as span:
            span.set_attribute("text", "x" * size)
        self.offered += 1

    @rule()
    def a_root_ends(self) -> None:
        with self.tracer.span("root", parent=None) as span:
            recorded = span.is_recording
        self.offered += recorded
        self.refused += not recorded

    @rule(most=st.integers(1, 10))
    def the_worker_takes(self, most: int) -> None:
        spans, _ = self.buffer.take(most)
        assert len(spans) <= most
        self.taken += len(spans)

    @precondition(lambda self: self.offered > 20)  # there is nothing to be found out after it
    @rule()
    def the_pipeline_closes(self) -> None:
        self.buffer.close()
        with self.tracer.span("late", parent=self.parent):
            pass
        self.offered += 1

    @invariant()
    def everything_is_taken_pending_or_dropped(self) -> None:
        dropped = self.buffer.dropped_counts()
        refused = dropped.pop(OVERLOAD, 0)
        assert refused == self.refused
        assert self.offered == self.taken + len(self.buffer.queue) + sum(dropped.values())
        assert self.buffer.ended == self.offered
        assert len(self.buffer.queue) <= 20

    @invariant()
    def bytes_are_bounded(self) -> None:
        assert self.buffer.heavy_bytes >= 0
        assert self.buffer.heavy_bytes <= 40 * 1024 + 6_000
        if not self.buffer.queue and self.buffer.taken:
            self.buffer.take(1)


TestBufferLaw = BufferMachine.TestCase


def test_under_pressure_new_traces_are_refused_whole_before_others_lose_a_span(tracer: prela.Tracer) -> None:
    with recording(limits={"queue_spans": 100}) as recorder:
        buffer = recorder._settings.buffer
        with tracer.span("old root"):
            for _ in range(85):
                with tracer.span("filler"):
                    pass
            with tracer.span("new root", parent=None) as refused, tracer.span("below it") as below:
                assert not refused.is_recording
                assert not below.is_recording
                assert refused.context.sampled is False
            with tracer.span("of the old trace") as taken:
                assert taken.is_recording
            assert buffer.dropped_counts() == {OVERLOAD: 2}
            for _ in range(20):
                with tracer.span("filler"):
                    pass
            assert buffer.dropped_counts()[QUEUE_FULL] == 11
        assert recorder["old root"].attributes == {"prela.trace.incomplete": True}


def test_a_closed_buffer_counts_what_comes_late(tracer: prela.Tracer, prela_spans: Recorder) -> None:
    with tracer.span("late"):
        prela_spans._settings.buffer.close()
    assert prela_spans._settings.buffer.dropped_counts() == {SHUTDOWN: 1}


def test_one_span_of_many_megabytes_is_taken_and_the_next_traces_wait(tracer: prela.Tracer) -> None:
    with recording(limits={"queue_bytes": 1_000_000, "string_length": 50_000_000}) as recorder:
        with tracer.span("huge") as span:
            span.set_attribute("text", "x" * 2_000_000)
        with tracer.span("next") as refused:
            assert not refused.is_recording
        assert len(recorder.records[0].attributes["text"]) == 2_000_000
        with tracer.span("after"):
            pass
        assert recorder.names == ["huge", "after"]


@given(sizes=st.lists(st.integers(1, 70_000), max_size=20))
def test_overwriting_an_attribute_does_not_add_up(sizes: list[int]) -> None:
    with recording() as recorder, prela.get_tracer().span("span") as span:
        for size in sizes:
            span.set_attribute("text", "x" * size)
    (ended,) = recorder._settings.buffer.queue
    assert ended._extra_bytes() <= max(sizes, default=0) + 1_000
