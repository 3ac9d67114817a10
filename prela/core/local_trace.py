"""What the spans below one local root share. A local root is a span without a parent in this process."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from prela.core.buffer import Buffer
from prela.core.settings import Settings

if TYPE_CHECKING:
    from typing import Self

    from prela.core.tail import Verdict


_STATE_LENGTH: Final = 8_192
"""Characters; W3C Trace Context asks for 512 at least."""


class LocalTrace:
    """One trace, as far as it lies in this process and under one `Settings`."""

    __slots__ = (
        "__weakref__",
        "_hex_id",
        "buffer",
        "clock",
        "epoch",
        "incomplete",
        "is_over",
        "parent_id",
        "settings",
        "trace_id",
        "trace_state",
        "verdict",
    )

    def __init__(self, settings: Settings, trace_id: int, parent_id: str | None = None, trace_state: str = "") -> None:
        self.settings: Settings = settings
        self.buffer: Buffer = settings.buffer
        self.clock: Callable[[], int] = settings.clock
        self.epoch: int = settings.wall_clock() - settings.clock()
        """Added to the clock it gives wall time. Anchored once a local trace: a system clock set back in between
        neither reorders its spans nor changes their durations."""
        self.trace_id: int = trace_id
        self.parent_id: str | None = parent_id
        """The span id of the local root's parent, which is in another process or under older settings."""
        self.trace_state: str = trace_state if len(trace_state) <= _STATE_LENGTH else ""
        """Of another tracer's making; one that is too long is dropped, since a part of it would mean nothing."""
        self.is_over: bool = False
        """Set when the local root has ended, where tail sampling asks."""
        self.verdict: Verdict | None = None
        """What tail sampling has decided, once it has."""
        self.incomplete: bool = False
        """Set when a span of this trace was shed."""
        self._hex_id = ""

    def begun(self) -> "Self":
        """Itself, made known to tail sampling, where there is any."""
        tail = self.settings.tail
        if tail is not None and self.verdict is None:
            tail.begin(self)
        return self

    def continued(self, settings: Settings, parent_id: str | None) -> "LocalTrace":
        """The same trace under other settings, below a span of this id."""
        below = LocalTrace(settings, self.trace_id, parent_id, self.trace_state)
        below.verdict = self.verdict
        return below.begun()

    @property
    def hex_id(self) -> str:
        """The trace id in 32 hexadecimal digits."""
        if not self._hex_id:
            self._hex_id = f"{self.trace_id:032x}"
        return self._hex_id
