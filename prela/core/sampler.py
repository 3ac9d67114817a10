"""Which traces are recorded. A sampler is asked once for each local root; its descendants follow.

The names and meanings are OpenTelemetry's (trace SDK specification, "Built-in samplers").
"""

from collections.abc import Callable
from time import monotonic
from typing import TYPE_CHECKING, Final, NamedTuple, Protocol, runtime_checkable

from prela.core.ids import RANDOM_BITS

if TYPE_CHECKING:
    from prela.core.span_context import SpanContext
    from prela.record.enums import SpanType

EVERY_TRACE: Final = 1 << RANDOM_BITS


class SamplingRequest(NamedTuple):
    """What is known when a local root is about to start."""

    trace_id: int
    """128 bits."""
    name: str
    span_type: "SpanType | str"
    parent: "SpanContext | None" = None
    """The remote parent, where there is one."""


@runtime_checkable
class Sampler(Protocol):
    """Anything with this method. It runs in the user's code, so it should be quick; if it raises, the trace is kept."""

    def should_sample(self, request: SamplingRequest, /) -> bool:
        """Return whether the trace of this local root is recorded."""
        ...


def bound_on_roots(sampler: Sampler) -> int | None:
    """The bound below which the lower 56 bits of a trace id must lie, for a trace that begins here to be recorded.

    None for samplers that must be asked each time, those of the user's and what he made of ours among them.
    """
    if isinstance(sampler, ParentBased) and type(sampler) is ParentBased:
        return bound_on_roots(sampler.root)
    return sampler.bound if type(sampler) in (AlwaysOn, AlwaysOff, TraceIdRatio) else None  # type: ignore[attr-defined]


class AlwaysOn:
    """Records every trace."""

    bound: int = EVERY_TRACE

    def should_sample(self, request: SamplingRequest, /) -> bool:
        return True

    def __repr__(self) -> str:
        return "AlwaysOn()"


class AlwaysOff:
    """Records none."""

    bound: int = 0

    def should_sample(self, request: SamplingRequest, /) -> bool:
        return False

    def __repr__(self) -> str:
        return "AlwaysOff()"


class TraceIdRatio:
    """Records a fixed share of traces, decided by the trace id alone, so that every process decides alike.

    The lower 56 bits decide.
    """

    def __init__(self, ratio: float) -> None:
        if not isinstance(ratio, int | float) or isinstance(ratio, bool) or not 0.0 <= ratio <= 1.0:
            raise ValueError(f"TraceIdRatio: ratio is {ratio!r}; allowed is a number from 0 to 1")
        self.ratio: float = float(ratio)
        self.bound: int = round(self.ratio * EVERY_TRACE)

    def should_sample(self, request: SamplingRequest, /) -> bool:
        return request.trace_id % EVERY_TRACE < self.bound

    def __repr__(self) -> str:
        return f"TraceIdRatio({self.ratio})"


class ParentBased:
    """Does as the remote parent did; asks `root` where there is none."""

    def __init__(self, root: Sampler) -> None:
        self.root = root

    def should_sample(self, request: SamplingRequest, /) -> bool:
        if request.parent is None:
            return self.root.should_sample(request)
        return request.parent.sampled

    def __repr__(self) -> str:
        return f"ParentBased({self.root!r})"


class RateLimiting:
    """Records at most so many traces a second, with bursts of up to one second's worth (a token bucket)."""

    def __init__(self, traces_per_second: float, *, clock: Callable[[], float] = monotonic) -> None:
        if isinstance(traces_per_second, bool) or not traces_per_second > 0:
            raise ValueError(f"RateLimiting: traces_per_second is {traces_per_second!r}; allowed is a number above 0")
        self.traces_per_second: float = float(traces_per_second)
        self._clock = clock
        self._burst = max(1.0, self.traces_per_second)
        # One tuple, replaced whole: two threads at once may let one trace too many through, and never corrupt it.
        self._bucket = (self._burst, clock())

    def should_sample(self, request: SamplingRequest, /) -> bool:
        tokens, then = self._bucket
        now = self._clock()
        tokens = min(self._burst, tokens + max(0.0, now - then) * self.traces_per_second)
        granted = tokens >= 1.0
        self._bucket = (tokens - 1.0 if granted else tokens, now)
        return granted

    def __repr__(self) -> str:
        return f"RateLimiting({self.traces_per_second})"
