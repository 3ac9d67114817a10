"""What happened to every span so far, in numbers that add up."""

from collections.abc import Mapping
from typing import NamedTuple


class ExporterStatistics(NamedTuple):
    """What happened at one exporter."""

    exported: int
    """Spans it acknowledged."""
    dropped: Mapping[str, int]
    """Spans it did not take, by reason."""
    waiting: int
    """Spans it has been given, or will be, and has not answered for; those on disk are among them."""
    spooled: int = 0
    """Spans that lie on disk for it, of this process and of others before."""
    recovered: int = 0
    """Spans of other processes that it acknowledged."""


class Statistics(NamedTuple):
    """A snapshot: `started == open + queued + in_flight + spooled + exported + unsampled + sum(dropped.values())`.

    Exact when nothing is moving; while spans start and end in other threads, the parts are read one after another.
    """

    started: int
    """Spans started, those of unsampled and refused traces among them."""
    open: int
    """Started and not yet ended."""
    queued: int
    """Ended, waiting for the worker."""
    in_flight: int
    """Taken by the worker, not yet answered for by every exporter, nor on disk; with those that tail sampling holds."""
    spooled: int
    """Taken by the worker, and on disk wherever they are not acknowledged yet: what this process does not deliver, the
    next one does, and counts it as `recovered`."""
    exported: int
    """Acknowledged by every exporter."""
    unsampled: int
    """In traces that the sampler did not choose, nor tail sampling."""
    dropped: Mapping[str, int]
    """Lost, by reason; a span that one exporter of several refused is here. Only reasons that happened are listed."""
    exporters: Mapping[str, ExporterStatistics]
    late_calls: int
    """Calls on spans that had ended."""
