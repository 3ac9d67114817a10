"""Records spans in memory, with no thread and no file, and prints them as a tree."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from operator import itemgetter
from typing import TYPE_CHECKING, Any

from prela.aio.assembly import make_settings, set_up_integrations
from prela.aio.process import process
from prela.aio.tracer import tracer
from prela.config import load
from prela.core.convert import record_of
from prela.core.settings import Counters, Settings
from prela.record.model import SpanRecord
from prela.record.text import one_line
from prela.record.tree import Node, forest
from prela.testing.clock import CountingIds, TickingClock

if TYPE_CHECKING:
    from prela.core.span import Span


class Recorder:
    """The spans that ended while it was in force, oldest first."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._records: list[SpanRecord] = []
        self._taken = 0

    @property
    def records(self) -> list[SpanRecord]:
        """What has ended so far; with `tail_sampling`, what was decided and kept of it."""
        spans, _ = self._settings.buffer.take(1 << 30)
        self._records.extend(record_of(span) for span in self._kept(spans))
        return list(self._records)

    def _kept(self, spans: "list[Span]") -> "list[Span]":
        tail = self._settings.tail
        if tail is None:
            return spans
        tail.take(spans, self._taken)
        self._taken += len(spans)
        kept = [span for _, span in sorted(tail.ready, key=itemgetter(0))]
        tail.ready.clear()
        return kept

    @property
    def names(self) -> list[str]:
        """The names of what has ended so far, in the order of their ends."""
        return [record.name for record in self.records]

    def __len__(self) -> int:
        return len(self.records)

    def __getitem__(self, name: str) -> SpanRecord:
        """The one span of a name.

        Raises:
            KeyError: None or several have it; the message shows the tree.
        """
        found = [record for record in self.records if record.name == name]
        if len(found) != 1:
            raise KeyError(f"{len(found)} spans are named {name!r}:\n{self.tree()}")
        return found[0]

    def tree(self, *, attributes: bool = False) -> str:
        """The spans as an indented tree: a line each, with type and status where they are not the ordinary ones.

        Siblings stand in the order they started, so that two trees can be compared as text. With `attributes`, each
        line ends in the span's own.
        """
        lines: list[str] = []
        for root in forest(self.records):
            lines.extend("  " * depth + _line(node, attributes) for depth, node in root.walk())
        return "\n".join(lines)

    def clear(self) -> None:
        """Forget what has ended so far."""
        self.records  # noqa: B018  (takes what is queued)
        self._records.clear()


def _line(node: Node, attributes: bool) -> str:
    record = node.record
    parts = [one_line(record.name)]
    if record.span_type != "custom":
        parts.append(f"[{record.span_type}]")
    if record.status != "success":
        parts.append(record.status)
    if attributes and record.attributes:
        parts.append(repr(record.attributes))
    return " ".join(parts)


@contextmanager
def recording(
    *, deterministic: bool = False, clock: Callable[[], int] | None = None, **options: Any
) -> Iterator[Recorder]:
    """Put a recorder in force for a block; whatever `init()` had set up comes back afterwards.

    An `init()` inside the block changes nothing, so that a program under test may call it.

    Args:
        deterministic: Ids count from 1, and time goes on by a millisecond each time it is looked at.
        clock: What spans take their times from: nanoseconds, since whenever it pleases, that never go back.
        options: As for `prela.init`, such as `sampler`, `tail_sampling`, `redact` and `limits`; but `auto_instrument`
            is False unless given, since libraries stay traced after the block.
    """
    options.setdefault("service_name", "test")
    options.setdefault("auto_instrument", False)
    config = load(**options, environ={})
    set_up_integrations(config)
    counters = Counters(CountingIds() if deterministic else None)
    times: dict[str, Callable[[], int]] = {}
    if deterministic:
        times = {"clock": TickingClock(), "wall_clock": TickingClock(1_700_000_000_000_000_000, 0)}
    if clock is not None:
        times = {"clock": clock, "wall_clock": clock}
    settings = make_settings(config, counters, **times)
    with process.lock:
        before, was_pinned = tracer._settings, process.is_pinned
        process.is_pinned = True
        tracer.configure(settings)
    try:
        yield Recorder(settings)
    finally:
        with process.lock:
            process.is_pinned = was_pinned
            tracer.configure(before)
            if settings.insight is not None:
                settings.insight.detach()
