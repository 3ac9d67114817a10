"""How a response is read: the steps in which the client's own code runs for one more item, and what they bring.

The call's span is current in these steps and nowhere between, so that what the consumer does is beside it. `streams`
takes the steps; they are many, so what is done for each is written to be short.
"""

from collections.abc import Callable
from contextvars import Token
from typing import Any, Final

from prela.core import log
from prela.core.current import current_span
from prela.core.span import Span
from prela.integrations import semconv
from prela.integrations.stainless.completion import Completion

_BODY_LIMIT: Final = 8 * 1024 * 1024
"""Bytes of a body read by the program itself that are kept, to be looked into."""

_get = current_span.get
_reset = current_span.reset


class Reading:
    """See the module. A step begins with a look at `clock` and the span made current, or with `begin_untold`."""

    __slots__ = (
        "_body_parts",
        "_completion",
        "_first_item",
        "_first_step",
        "_is_untold",
        "_last_step",
        "_time",
        "clock",
        "items",
        "reads_events",
        "span",
        "takes_items",
    )

    def __init__(self, span: Span, completion: Completion) -> None:
        self.span: Span = span
        self.clock: Callable[[], int] = span._trace.clock
        """Nanoseconds, as the span has them."""
        self.items: int = 0
        """How many came: chunks of a stream, or pieces of a body."""
        self.reads_events: bool = False
        """Whether a `Stream` of the client reads the body."""
        self.takes_items: bool = True
        """Whether the items themselves are looked at: pieces of a body, or events that come without their text."""
        self._completion = completion
        self._body_parts: list[bytes] = []
        self._first_item = 0
        self._first_step = 0
        self._last_step = 0
        self._time = 0
        self._is_untold = False  # only told of steps in which the span could not be made current

    def begin_untold(self) -> "Token[Span | None] | None":
        """A step begins in which the span must not be made current."""
        self._is_untold = True
        return None

    def end(self, began: int, token: "Token[Span | None] | None", item: object = None) -> None:
        """The step is over, which began at a time by `clock`, with the span made current as the token says; it made an
        item, or none."""
        if token is None:
            self._is_untold = False
        else:
            try:
                _reset(token)
            except (ValueError, RuntimeError):
                pass  # the step was finished in another context, as when the collector closes it
        clock = self.clock
        now = self._last_step = clock()
        self._time += now - began
        if item is not None:
            if not self.items:
                self._first_step, self._first_item = began, now
            self.items += 1
            if self.takes_items:
                self._look_at(item)

    def is_in_step(self) -> bool:
        """Whether the client's own code is running."""
        return self._is_untold or _get() is self.span

    def keep_event(self) -> Callable[[str], object]:
        """What keeps the text of an event of the stream."""
        return self._completion.keep_event

    def _look_at(self, item: Any) -> None:
        try:
            if self.reads_events:
                self._completion.add_item(item)
            else:
                self._take_bytes(item)
        except Exception as error:
            log.failed("keeping an item of a stream", error)

    def _take_bytes(self, piece: Any) -> None:
        self._completion.bytes_read += len(piece)
        if self._completion.bytes_read <= _BODY_LIMIT:
            self._body_parts.append(piece)

    def hand_over_body(self) -> None:
        """Give what was read as bytes to the completion, if all of it was kept."""
        if self._body_parts and self._completion.bytes_read <= _BODY_LIMIT:
            self._completion.take_body(b"".join(self._body_parts))
        self._body_parts = []

    def attributes(self, streamed: bool) -> dict[str, object]:
        """What to record of it; `streamed`: of a stream that was asked for."""
        found: dict[str, object] = {}
        if streamed:
            found[semconv.STREAM_CHUNKS] = self.items
        if self._time:
            found[semconv.TIME_RECEIVE] = self._time / 1e9
            lasted = self._last_step - self._first_step if self._first_step else self._time
            found[semconv.TIME_CONSUMER] = max(0, lasted - self._time) / 1e9
        if self._first_item and streamed:
            found[semconv.TIME_TO_FIRST_CHUNK] = (self._first_item - self.span._start) / 1e9
        if self._completion.bytes_read:
            found[semconv.STREAM_BYTES] = self._completion.bytes_read
        return found
