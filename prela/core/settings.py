"""What spans started from now on are made with: one object, replaced whole by `init()` and after a fork."""

from collections.abc import Callable, Mapping
from time import monotonic_ns, time_ns
from typing import TYPE_CHECKING, Any, NamedTuple

from prela.core.buffer import OVERLOAD, Buffer
from prela.core.ids import IdGenerator
from prela.core.outcome import Explain, Settle, explain_builtin, settle_nothing
from prela.core.sampler import EVERY_TRACE, AlwaysOn, Sampler, bound_on_roots
from prela.core.span_context import SpanContext
from prela.core.tail import Tail, TailSampling
from prela.core.tally import Tally

if TYPE_CHECKING:
    from itertools import count
    from typing import Self

    from prela.core.span import Span
    from prela.core.unsampled import UnsampledRoot
    from prela.insight.insight import Insight

QUICK_ATTRIBUTES = 8
"""Attributes that a span takes without counting, and that `SPAN_BYTES` covers."""
QUICK_STRING = 128
"""Characters of a string that is taken without being weighed."""

Redact = Callable[[str, Any], Any]


class Limits(NamedTuple):
    """Bounds of one span. What is cut is marked where it stood, and counted in the record's `dropped`."""

    attributes: int = 256
    string_length: int = 65_536
    """Characters of a string leaf, bytes of a bytes leaf."""
    nodes: int = 10_000
    """Items in all, in one attribute's containers."""
    events: int = 1_024
    links: int = 256
    queue_spans: int = 65_536
    """Finished spans that may wait for the worker."""
    queue_bytes: int = 64 * 1024 * 1024
    """Bytes they may hold, by estimate."""


class Counters:
    """What is counted for the whole process, whichever settings a span was started under."""

    __slots__ = ("ids", "late_calls", "unsampled")

    def __init__(self, ids: IdGenerator | None = None, unsampled: Tally | None = None) -> None:
        self.ids: IdGenerator = ids or IdGenerator()
        self.unsampled: Tally = unsampled or Tally()
        self.late_calls: Tally = Tally()


class Settings:
    """See the module. Its attributes are never assigned after `__init__`."""

    __slots__ = (
        "buffer",
        "capture_content",
        "clock",
        "counters",
        "draw",
        "explain",
        "insight",
        "is_careful",
        "limits",
        "parent",
        "records_roots",
        "redact",
        "refused_class",
        "refuses_roots",
        "resource",
        "root_bound",
        "sampler",
        "service_name",
        "settle",
        "span_class",
        "tail",
        "unsampled",
        "unsampled_class",
        "unsampled_counter",
        "wall_clock",
    )

    def __init__(
        self,
        *,
        service_name: str = "unknown_service",
        resource: Mapping[str, Any] | None = None,
        buffer: Buffer | None = None,
        counters: Counters | None = None,
        sampler: Sampler | None = None,
        redact: Redact | None = None,
        capture_content: bool = True,
        limits: Limits | None = None,
        explain: Explain = explain_builtin,
        settle: Settle = settle_nothing,
        tail_sampling: TailSampling | None = None,
        clock: Callable[[], int] = monotonic_ns,
        wall_clock: Callable[[], int] = time_ns,
        parent: SpanContext | None = None,
        insight: "Insight | None" = None,
    ) -> None:
        from prela.core.recording import recording_class  # they import this module
        from prela.core.unsampled import unsampled_class

        self.service_name: str = service_name
        self.resource: dict[str, Any] = dict(resource or {})
        self.limits: Limits = limits or Limits()
        self.is_careful: bool = (
            redact is not None or self.limits.attributes < QUICK_ATTRIBUTES or self.limits.string_length < QUICK_STRING
        )
        """Whether spans must take the long way throughout."""
        self.buffer: Buffer = buffer or Buffer(self.limits.queue_spans, self.limits.queue_bytes)
        self.counters: Counters = counters or Counters()
        self.unsampled: Tally = self.counters.unsampled
        self.sampler: Sampler = sampler or AlwaysOn()
        self.tail: Tail | None = None if tail_sampling is None else Tail(tail_sampling)
        self.parent: SpanContext | None = parent
        """The span of another process that roots of this one are below, unless they are told to be roots."""
        bound = None if parent is not None else bound_on_roots(self.sampler)
        self.records_roots: bool = bound == EVERY_TRACE
        """Whether every trace that begins here is recorded, and no sampler need be asked."""
        self.refuses_roots: bool = bound == 0
        """Whether no trace that begins here is."""
        self.root_bound: int | None = None if self.records_roots or self.refuses_roots else bound
        """Where the lower 56 bits of its id decide whether a trace that begins here is recorded: from which on not."""
        self.draw: Callable[[int], int] = self.counters.ids.draw
        self.redact: Redact | None = redact
        self.capture_content: bool = capture_content
        """Whether integrations record what is said to a model, and what it says."""
        self.explain: Explain = explain
        self.settle: Settle = settle
        self.clock: Callable[[], int] = clock
        """Nanoseconds that never go back; durations come from it."""
        self.wall_clock: Callable[[], int] = wall_clock
        """Nanoseconds since the Unix epoch; read once for each local root."""
        self.insight: Insight | None = insight
        self.span_class: type[Span] = recording_class(self)
        """What a span that is recorded under these settings, and no others, is made of."""
        self.unsampled_class: type[UnsampledRoot] = unsampled_class(self.unsampled)
        """What stands for the local root of a trace that was not sampled."""
        self.unsampled_counter: count[int] = self.unsampled.counter
        """At hand for the hot path, which takes its `next` for it and all below."""
        self.refused_class: type[UnsampledRoot] = unsampled_class(self.buffer.dropped[OVERLOAD])
        """What stands for one that was refused for lack of room."""
        if insight is not None:
            self.span_class = insight.span_class(self.span_class)

    def after_fork(self, counters: Counters) -> "Self":
        """The same settings for a child process: empty, counting from zero, with ids of its own."""
        return type(self)(
            service_name=self.service_name,
            resource=self.resource,
            sampler=self.sampler,
            redact=self.redact,
            capture_content=self.capture_content,
            limits=self.limits,
            explain=self.explain,
            settle=self.settle,
            tail_sampling=None if self.tail is None else self.tail.policy,
            clock=self.clock,
            wall_clock=self.wall_clock,
            parent=self.parent,
            insight=None if self.insight is None else self.insight.after_fork(),
            counters=counters,
        )
