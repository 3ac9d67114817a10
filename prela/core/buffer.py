"""The bounded buffer between the program and the export worker, and the law by which it sheds.

Everything offered is taken, pending, or counted as dropped under a reason. Offering takes no lock, wakes nobody and
may happen in a signal handler, a finalizer or a thousand threads at once: it is one `deque.append`. The buffer is
bounded by spans and by bytes. An ordinary small span is charged `SPAN_BYTES`; only those that hold more than that are
weighed one by one.
"""

from collections import deque
from collections.abc import Callable
from itertools import islice
from typing import TYPE_CHECKING, Final

from prela.core.shared import shared
from prela.core.tally import Tally
from prela.record.values import NAME_LENGTH, short

if TYPE_CHECKING:
    from prela.core.span import Span

SPAN_BYTES: Final = 1024
"""What a span with up to eight small attributes is charged; measured in `benchmarks/` (memory)."""

ROOTS_REFUSED_AT: Final = 0.80
OTHERS_REFUSED_AT: Final = 0.95

# The reasons a span may be lost under. `statistics().dropped` has a key for each that happened.
QUEUE_FULL: Final = "queue_full"
OVERLOAD: Final = "overload"
SHUTDOWN: Final = "shutdown"
EXPORT_FAILED: Final = "export_failed"
REJECTED: Final = "rejected"
ENCODE_FAILED: Final = "encode_failed"
EXIT_DEADLINE: Final = "exit_deadline"
NO_STACK: Final = "no_stack"
TAIL_FULL: Final = "tail_full"
SPOOL_FULL: Final = "spool_full"


class Buffer:
    """Finished spans on their way to the worker.

    `queue` and `limit` are read by `Span.__exit__` itself: below `limit` it appends, and otherwise calls `offer`.
    """

    __slots__ = (
        "_closed",
        "_disowned",
        "_heavy_in",
        "_heavy_out",
        "_max_bytes",
        "_max_spans",
        "_shortened",
        "_successor",
        "dropped",
        "false_starts",
        "is_drained",
        "limit",
        "on_offer",
        "queue",
        "root_limit",
        "taken",
    )

    def __init__(self, max_spans: int = 65_536, max_bytes: int = 64 * 1024 * 1024) -> None:
        self.queue: deque[Span] = deque()
        self._max_spans = max_spans
        self._max_bytes = max_bytes
        self._heavy_in = 0
        self._heavy_out = 0
        self._shortened = 0
        self._closed: str | None = None
        self._successor: Buffer | None = None
        self._disowned = False
        self.on_offer: Callable[[], object] | None = None
        """Called after each span taken the slow way, while set: to start the worker, or at exit to wait for it."""
        self.dropped: dict[str, Tally] = {reason: Tally() for reason in (QUEUE_FULL, OVERLOAD, SHUTDOWN)}
        self.taken: int = 0
        self.false_starts: int = 0
        """Spans counted as started that had no stack left to start (RecursionError)."""
        self.is_drained: bool = False
        """Whether a worker is there that takes what is queued: then nothing stays, and the garbage collector need not
        look at it (`shortcut.c`)."""
        self.limit: int = -1
        """Spans that may be queued before `offer` has to decide; -1 sends every span there."""
        self.root_limit: int = 0
        """Spans queued from which new local roots are refused."""
        self.settle()

    def settle(self) -> None:
        """Work out the limits anew, after something they depend on has changed."""
        self.root_limit = max(1, int(ROOTS_REFUSED_AT * self._capacity()))
        watched = self._closed is not None or self._successor is not None or self.on_offer is not None or self._disowned
        self.limit = -1 if watched else self._others_limit()

    def _others_limit(self) -> int:
        return max(1, int(OTHERS_REFUSED_AT * self._capacity()))

    def _capacity(self) -> int:
        """Ordinary spans that there is room for beside the heavy ones, by number and by bytes."""
        return min(self._max_spans, (self._max_bytes - self.heavy_bytes) // SPAN_BYTES)

    @property
    def heavy_bytes(self) -> int:
        """Bytes queued beyond the ordinary charge; those that spans have in common once."""
        return self._heavy_in - self._heavy_out + shared.bytes

    def watch(self, on_offer: Callable[[], object] | None) -> None:
        """Call `on_offer` after every span from now on; None: no longer."""
        self.on_offer = on_offer
        self.settle()

    def offer(self, span: "Span", extra_bytes: int = 0, is_root: bool = False) -> None:
        """Take a finished span, or count why not. The slow way: `Span` appends by itself when it may."""
        if self._disowned:
            return
        if self._successor is not None:
            self._last_successor().offer(span, extra_bytes, is_root)
            return
        if self._closed is not None:
            self.drop(self._closed)
        elif len(self.queue) < self._others_limit() or (is_root and self._has_room()):
            # Not a lock: CPython switches threads between bytecodes only at calls and jumps, and there is none in a
            # `+=` of two ints. Where that does not hold, the sum drifts until the queue is next empty (see `take`).
            if extra_bytes:
                self._heavy_in += extra_bytes
                self.settle()
            self.queue.append(span)
        else:
            span._trace.incomplete = True
            self.drop(QUEUE_FULL)
        if self.on_offer is not None:
            try:
                self.on_offer()
            except RecursionError:
                pass  # the span is taken; to say that it is not would have it ended twice

    def _last_successor(self) -> "Buffer":
        """The end of the chain of successors, which is shortened on the way."""
        last = self
        while last._successor is not None:
            last = last._successor
        self._successor = last
        return last

    def leads_to(self, other: "Buffer") -> bool:
        """Whether what is offered here is taken there: to this buffer itself, or to a successor."""
        return (self if self._successor is None else self._last_successor()) is other

    def _has_room(self) -> bool:
        held = len(self.queue)
        return held < self._max_spans and held * SPAN_BYTES + self.heavy_bytes < self._max_bytes

    @property
    def overloaded(self) -> bool:
        """Whether new local roots are to be refused."""
        return len(self.queue) >= self.root_limit

    def drop(self, reason: str) -> None:
        """Count one span as lost."""
        self.dropped.setdefault(reason, Tally()).add()

    def take(self, most: int) -> "tuple[list[Span], int]":
        """Remove up to `most` spans, oldest first, and return them and their bytes beyond the ordinary charge.

        Only the worker calls this.
        """
        queue = self.queue
        spans: list[Span] = []
        try:
            # All in C; what was got before an IndexError stays in the list.
            spans.extend(islice(iter(queue.popleft, None), min(most, len(queue))))
        except IndexError:
            pass  # another thread gave up what is queued
        self.taken += len(spans)
        heavy = 0
        if self._heavy_in != self._heavy_out:
            heavy = sum(span._extra_bytes() for span in spans)
            self._heavy_out = self._heavy_in if not queue else self._heavy_out + heavy
            self.settle()
        return spans, heavy

    def shorten(self) -> None:
        """Cut names that are longer than spans are charged for, of what has come since this was last called.

        Only the worker calls this, where an exporter holds it up: else what is queued is taken before it can be much.
        """
        spans = list(self.queue)
        for span in spans[max(0, self._shortened - self.taken) :]:
            if type(span.name) is str:
                span.name = short(span.name)
            if type(span.span_type) is str:
                span.span_type = short(span.span_type)
            attributes = span._attributes
            if sum(len(key) for key in list(attributes) if type(key) is str) > NAME_LENGTH:
                span._attributes = {
                    short(key) if type(key) is str else key: attributes[key] for key in list(attributes)
                }
        self._shortened = self.taken + len(spans)

    def hand_over(self, successor: "Buffer") -> None:
        """From now on pass every span on to `successor`; what is queued stays for the worker of this one."""
        self._successor = successor
        self.settle()

    def close(self, reason: str = SHUTDOWN) -> None:
        """From now on drop every span under `reason`."""
        self._closed = reason
        self.settle()

    def give_up(self, reason: str) -> None:
        """Close under `reason`, and drop what is queued under the same."""
        self.close(reason)
        while self.queue:
            try:
                self.queue.popleft()
            except IndexError:
                break  # the worker was quicker
            self.drop(reason)

    def dropped_counts(self) -> dict[str, int]:
        """Spans dropped here so far, by reason."""
        counts = {reason: tally.value for reason, tally in list(self.dropped.items())}
        counts[NO_STACK] = self.false_starts
        return {reason: count for reason, count in counts.items() if count}

    @property
    def ended(self) -> int:
        """Spans that ended into this buffer, whatever became of them; those refused at their start never were spans."""
        refused = sum(count for reason, count in self.dropped_counts().items() if reason != OVERLOAD)
        return self.taken + len(self.queue) + refused

    @property
    def is_disowned(self) -> bool:
        """Whether this is the parent process's, after a fork."""
        return self._disowned

    def disown(self) -> None:
        """After a fork, in the child: spans of the parent process end there, and are neither taken nor counted here."""
        self._disowned = True
        self.is_drained = False
        self.queue.clear()  # nobody takes them here, and the collector may not be looking at them
        self.settle()
