"""What the spans below one local root share. A local root is a span without a parent in this process."""

from prela.core.settings import Settings


class LocalTrace:
    """One trace, as far as it lies in this process and under one `Settings`."""

    __slots__ = (
        "buffer",
        "clock",
        "epoch",
        "incomplete",
        "indexes",
        "parent_id",
        "settings",
        "trace_id",
        "trace_state",
    )

    def __init__(self, settings: Settings, trace_id: int, parent_id: int = 0, trace_state: str = "") -> None:
        self.settings = settings
        self.buffer = settings.buffer
        self.indexes = settings.counters.ids.indexes
        self.clock = settings.clock
        self.epoch = settings.wall_clock() - settings.clock()
        """Added to the clock it gives wall time. Anchored once a local trace: a system clock set back in between
        neither reorders its spans nor changes their durations."""
        self.trace_id = trace_id
        self.parent_id = parent_id
        """The span id of the local root's parent, which is in another process or under older settings; 0: none."""
        self.trace_state = trace_state
        self.incomplete = False
        """Set when a span of this trace was shed."""
