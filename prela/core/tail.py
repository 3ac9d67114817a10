"""Tail sampling: which traces are kept is decided when it is known how they went, and for each as a whole.

A trace is all that has one trace id in this process. What certainly is kept is never held: a trace chosen by chance
from its start, others from the moment when they have failed, were flagged or took long. Those that may still be dropped
are held until their local root ends, or the last of several, or until somebody cannot wait. What comes later follows.

Only the worker calls `Tail`, but for `begin`. What waits, and what is done with the spans, is the worker's.
"""

from collections import deque
from collections.abc import Iterable
from typing import TYPE_CHECKING, Final, NamedTuple
from weakref import ref

from prela.core.buffer import SPAN_BYTES, TAIL_FULL
from prela.core.sampler import SamplingRequest, TraceIdRatio
from prela.record.enums import SpanStatus, SpanType

if TYPE_CHECKING:
    from prela.core.local_trace import LocalTrace
    from prela.core.span import Span

KEEP: Final = "prela.keep"
"""The attribute by which a span flags its trace. An attribute, and no method, so that it can be set by every way that
attributes can: `propagate_attributes`, a decorator, the OpenTelemetry API; and the record says why it is there."""
KEPT: Final = "prela.tail.kept"
"""On a local root: why its trace was kept."""

_VERDICTS_REMEMBERED: Final = 65_536
_BEGUN_REMEMBERED: Final = 65_536
_SWEPT_FIRST_AT: Final = 1_024


class TailSampling:
    """Which traces are kept, decided when it is known how they went: `prela.init(tail_sampling=TailSampling(...))`.

    Kept is a trace in which a span ended as an error, or has the attribute `prela.keep`, whatever the rest says.

    Args:
        slower_than: Seconds; a trace that takes as long is kept. None: none is for that.
        rate: The share of all other traces that is kept, 0 to 1, chosen by the trace id as `TraceIdRatio` does.
        max_spans: Spans that may be held undecided. Beyond, whole traces are dropped, the one that is held longest
            first, and counted as `tail_full`.
        max_bytes: Bytes that they may hold, by estimate; likewise.

    Raises:
        ValueError: An argument is none of what is allowed.
    """

    def __init__(
        self,
        slower_than: float | None = None,
        rate: float = 0.0,
        *,
        max_spans: int = 20_000,
        max_bytes: int = 32 * 1024 * 1024,
    ) -> None:
        if slower_than is not None and (not isinstance(slower_than, int | float) or not slower_than >= 0):
            raise ValueError(f"TailSampling: slower_than is {slower_than!r}; allowed is a number of seconds, or None")
        for name, bound in (("max_spans", max_spans), ("max_bytes", max_bytes)):
            if isinstance(bound, bool) or not isinstance(bound, int) or bound < 1:
                raise ValueError(f"TailSampling: {name} is {bound!r}; allowed is a whole number above 0")
        self.slower_than: float | None = slower_than
        self.by_chance: TraceIdRatio = TraceIdRatio(rate)
        self.max_spans: int = max_spans
        self.max_bytes: int = max_bytes

    def __repr__(self) -> str:
        return f"TailSampling(slower_than={self.slower_than}, rate={self.by_chance.ratio})"


class Verdict(NamedTuple):
    """What was decided of a trace."""

    keeps: bool
    why: str
    """Why it is kept; or the word under which its spans are counted."""


UNSAMPLED: Final = Verdict(False, "unsampled")
_FULL: Final = Verdict(False, TAIL_FULL)
_BY_CHANCE: Final = Verdict(True, "chance")
_FAILED: Final = Verdict(True, "error")
_FLAGGED: Final = Verdict(True, "flagged")
_SLOW: Final = Verdict(True, "slow")


class _Held:
    """A trace that may still be dropped."""

    __slots__ = ("bytes", "earliest", "latest", "position", "spans")

    def __init__(self, position: int, start: int) -> None:
        self.spans: list[tuple[int, Span]] = []
        self.position = position
        """Of its first span."""
        self.bytes = 0
        self.earliest = self.latest = start


class Tail:
    """The traces that are undecided under one `Settings`, and the verdicts on those that were decided."""

    def __init__(self, policy: TailSampling) -> None:
        self.policy: TailSampling = policy
        self.ready: deque[tuple[int, Span]] = deque()
        """Spans of kept traces, each with its position: how many the worker had taken before it."""
        self.held_spans: int = 0
        self.held_bytes: int = 0
        self._slow = None if policy.slower_than is None else int(policy.slower_than * 1e9)
        self._begun: deque[ref[LocalTrace]] = deque(maxlen=_BEGUN_REMEMBERED)
        self._open: dict[int, list[ref[LocalTrace]]] = {}
        self._sweep_at = _SWEPT_FIRST_AT
        self._held: dict[int, _Held] = {}
        self._waiting: set[int] = set()
        """Traces that are held although a local root of theirs has ended: until all have that are open."""
        self._verdicts: dict[int, Verdict] = {}
        self._refused: dict[str, int] = {}

    # --- called from any thread -----------------------------------------------------------------------------------

    def begin(self, trace: "LocalTrace") -> None:
        """Note that a local root is about to start: its trace is undecided until that has ended."""
        if self.policy.by_chance.should_sample(SamplingRequest(trace.trace_id, "", SpanType.CUSTOM)):
            trace.verdict = _BY_CHANCE
        else:
            # Weakly, since a span that was made may never be started, and one that was started never ended. The newest
            # only: what is forgotten may be decided before its last local root has ended, but as a whole all the same.
            self._begun.append(ref(trace))

    # --- called by the worker -------------------------------------------------------------------------------------

    def take(self, spans: "Iterable[Span]", position: int) -> None:
        """Hold spans that have ended, or make them ready, or refuse them; and see to what can be decided by now."""
        self._note_begun()
        for place, span in enumerate(spans, position):
            trace = span._trace
            if is_root := span._parent is None:
                trace.is_over = True
            verdict = trace.verdict or self._verdicts.get(trace.trace_id)
            if verdict is None:
                self._hold(span, place)
                if is_root:
                    self._waiting.add(trace.trace_id)
                certain = self._certain(span)
                if certain is not None:
                    self._decide(trace.trace_id, certain)
            else:
                self._carry_out(verdict, span, place)
        for trace_id in [found for found in self._waiting if not self._is_open(found)]:
            self._decide(trace_id, UNSAMPLED)
        while self._held and (self.held_spans > self.policy.max_spans or self.held_bytes > self.policy.max_bytes):
            self._decide(next(iter(self._held)), _FULL)

    def _note_begun(self) -> None:
        while self._begun:
            trace = self._begun.popleft()()
            if trace is None:
                continue
            trace.verdict = trace.verdict or self._verdicts.get(trace.trace_id)
            if trace.verdict is None:
                self._open.setdefault(trace.trace_id, []).append(ref(trace))
        if len(self._open) > self._sweep_at:
            self._open = {trace_id: refs for trace_id, refs in self._open.items() if self._is_open(trace_id)}
            self._sweep_at = max(_SWEPT_FIRST_AT, 2 * len(self._open))

    def decide_before(self, position: int | None, now: int) -> None:
        """Decide, by what is known at `now`, of each trace that is held since before this position; None: of all."""
        for trace_id, held in list(self._held.items()):
            if position is None or held.position < position:
                held.latest = max(held.latest, now)
                self._decide(trace_id, _SLOW if self._is_slow(held) else UNSAMPLED)

    def next_position(self) -> int | None:
        """The lowest position of what is held or ready; None when nothing is."""
        held = [held.position for held in self._held.values()]
        ready = [position for position, _ in self.ready]
        return min([*held, *ready], default=None)

    def refused(self) -> dict[str, int]:
        """How many spans were refused since the last call, by the word under which they are counted."""
        refused, self._refused = self._refused, {}
        return refused

    def forget(self) -> None:
        """Let go of everything that is held or ready; it was counted otherwise."""
        self._held.clear()
        self._waiting.clear()
        self.ready.clear()
        self.held_spans = self.held_bytes = 0

    # --- one trace ------------------------------------------------------------------------------------------------

    def _hold(self, span: "Span", position: int) -> None:
        held = self._held.get(span._trace.trace_id)
        if held is None:
            held = self._held[span._trace.trace_id] = _Held(position, span._start)
        size = SPAN_BYTES + span._extra_bytes()
        held.spans.append((position, span))
        held.bytes += size
        held.earliest, held.latest = min(held.earliest, span._start), max(held.latest, span._end)
        self.held_spans += 1
        self.held_bytes += size

    def _certain(self, span: "Span") -> Verdict | None:
        """Why the trace of a span that is held is kept whatever comes; None where it may still be dropped."""
        if span._details is not None and span._details.status is SpanStatus.ERROR:
            return _FAILED
        if span._attributes.get(KEEP):
            return _FLAGGED
        return _SLOW if self._is_slow(self._held[span._trace.trace_id]) else None

    def _is_slow(self, held: _Held) -> bool:
        return self._slow is not None and held.latest - held.earliest >= self._slow

    def _is_open(self, trace_id: int) -> bool:
        """Whether a local root of this trace has started, or will, and has not ended."""
        found = (reference() for reference in self._open.get(trace_id, ()))
        return any(trace is not None and not trace.is_over for trace in found)

    def _decide(self, trace_id: int, verdict: Verdict) -> None:
        held = self._held.pop(trace_id)
        self._waiting.discard(trace_id)
        self.held_spans -= len(held.spans)
        self.held_bytes -= held.bytes
        if len(self._verdicts) >= _VERDICTS_REMEMBERED:
            del self._verdicts[next(iter(self._verdicts))]
        self._verdicts[trace_id] = verdict
        for reference in self._open.pop(trace_id, ()):
            trace = reference()
            if trace is not None:
                trace.verdict = verdict
        for position, span in held.spans:
            span._trace.verdict = verdict  # for what is below it and still open, long after we have forgotten
            self._carry_out(verdict, span, position)

    def _carry_out(self, verdict: Verdict, span: "Span", position: int) -> None:
        if verdict.keeps:
            if span._parent is None:
                span._attributes[KEPT] = verdict.why
            self.ready.append((position, span))
            return
        self._refused[verdict.why] = self._refused.get(verdict.why, 0) + 1
        if span._parent is not None:
            span._parent = span.parent_span_id  # so that no chain of spans is kept alive
