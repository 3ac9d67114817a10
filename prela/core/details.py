"""What most spans do not have: events, links, a status, a kind, values that must be weighed, copied, cut or redacted.

A span gets its `Details` when it first needs them. The limits are applied here, and everything cut is counted.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

from prela.core import log
from prela.core.outcome import Outcome, exception_attributes
from prela.core.settings import QUICK_ATTRIBUTES, Limits, Redact
from prela.core.shared import LARGE, Share, shared
from prela.core.span_context import Link, SpanContext
from prela.record.enums import SpanKind, SpanStatus
from prela.record.values import Snapshot, short

_ENTRY_BYTES: Final = 128
"""What an attribute beyond these, an event or a link is charged besides its values."""
_REDACTION_FAILED: Final = "[redaction failed]"


Complete = Callable[[], Mapping[str, object]]
"""Works out attributes from what a span holds on to; must not depend on anything that may change meanwhile."""


class Details:
    """See the module."""

    __slots__ = (
        "_overwrote",
        "cuts",
        "deferred",
        "dropped_attributes",
        "dropped_events",
        "dropped_links",
        "events",
        "held",
        "kind",
        "links",
        "otlp",
        "scope",
        "shares",
        "size",
        "status",
        "status_message",
    )

    def __init__(self) -> None:
        self.kind: SpanKind | str = SpanKind.INTERNAL
        self.status: SpanStatus | None = None
        self.status_message: str | None = None
        self.events: list[tuple[str, int, dict[str, Any]]] = []
        """Name, time by the local trace's clock, attributes."""
        self.links: list[Link] = []
        self.dropped_attributes: int = 0
        self.dropped_events: int = 0
        self.dropped_links: int = 0
        self.cuts: int = 0
        self.deferred: list[Complete] = []
        """Attributes still to be worked out, by the worker."""
        self.held: int = 0
        """Bytes of what these hold on to alone."""
        self.shares: list[Share] = []
        """Texts that they hold on to, and others may too."""
        self.scope: dict[str, Any] = {}
        """The instrumentation scope, of a span that another framework's API started."""
        self.otlp: dict[str, Any] = {}
        """What else is known of it, as the record's field of that name."""
        self.size: int = 0
        """Bytes beyond what every span is charged, by estimate."""
        self._overwrote = False

    def as_it_stands(self) -> "Details":
        """A copy of what the record is made of, for a span that goes on."""
        copy = Details()
        copy.kind, copy.status_message = self.kind, self.status_message
        copy.events, copy.links, copy.deferred = list(self.events), list(self.links), list(self.deferred)
        copy.dropped_attributes, copy.dropped_events = self.dropped_attributes, self.dropped_events
        copy.dropped_links, copy.cuts = self.dropped_links, self.cuts
        copy.scope, copy.otlp = self.scope, self.otlp
        return copy

    def set_attribute(self, attributes: dict[str, Any], limits: Limits, key: str, value: object) -> None:
        """Store a copy of the value, cut to the limits, and charge for its size."""
        if len(attributes) >= limits.attributes and key not in attributes:
            self.dropped_attributes += 1
            return
        self._overwrote = self._overwrote or key in attributes
        copy = Snapshot(limits.string_length, limits.nodes)
        attributes[key] = copy.take(value)
        self.cuts += copy.cuts
        self.size += copy.size + (_ENTRY_BYTES if len(attributes) > QUICK_ATTRIBUTES else 0)

    def complete_later(self, complete: Complete, size: int, texts: Iterable[str] = ()) -> None:
        """Put off working out some attributes, and charge for what that holds on to: `size` bytes and these texts."""
        self.deferred.append(complete)
        for text in texts:
            if len(text) < LARGE:
                size += len(text)
            else:
                self.shares.append(shared.part(text))
        self.held += size
        self.size += size

    def complete(self, attributes: dict[str, Any], limits: Limits) -> None:
        """Work out what was put off. Where that fails, the rest is kept."""
        while self.deferred:
            try:
                for key, value in self.deferred.pop(0)().items():
                    self.set_attribute(attributes, limits, key, value)
            except Exception as error:
                log.failed("working out attributes", error)
        self.shares = []

    def add_event(self, limits: Limits, name: str, at: int, attributes: Mapping[str, object] | None) -> None:
        """Add an event that happened at a time of the local trace's clock."""
        if len(self.events) >= limits.events:
            self.dropped_events += 1
            return
        name = short(str(name))
        self.size += _ENTRY_BYTES + len(name)
        self.events.append((name, at, self._copied(limits, attributes)))

    def add_link(self, limits: Limits, context: SpanContext, attributes: Mapping[str, object] | None) -> None:
        """Add a link."""
        if len(self.links) >= limits.links:
            self.dropped_links += 1
            return
        self.size += _ENTRY_BYTES
        self.links.append(Link(context, self._copied(limits, attributes)))

    def set_status(self, limits: Limits, status: SpanStatus, message: str | None) -> None:
        """Say how the work went."""
        self.status = None if status is SpanStatus.PENDING else status
        self.status_message = None if message is None else self._copied(limits, {"": message})[""]

    def record_outcome(self, attributes: dict[str, Any], limits: Limits, outcome: Outcome, at: int) -> None:
        """Take over what an exception said about the span."""
        # Past the limits where need be: how a span ended is worth more than what a flood of attributes said before.
        self.set_status(limits, outcome.status, outcome.message)
        attributes.update(outcome.attributes)
        if outcome.later is not None:
            self.deferred.append(outcome.later)
        for error, branch in outcome.exceptions:
            recorded = exception_attributes(error, branch)
            self.add_event(limits._replace(events=len(self.events) + 1), "exception", at, recorded)

    def settle_size(self, attributes: Mapping[str, Any]) -> None:
        """Weigh the attributes again at the end, if some were charged for values that were overwritten since."""
        if self._overwrote:
            weighed = Snapshot()
            weighed.take(list(attributes.values()))
            self.size = self.held + weighed.size + _ENTRY_BYTES * (len(attributes) + len(self.events) + len(self.links))

    def _copied(self, limits: Limits, attributes: Mapping[str, object] | None) -> dict[str, Any]:
        """The attributes of an event or a link, under the same limits as a span's."""
        if not attributes:
            return {}
        copy = Snapshot(limits.string_length, limits.nodes)
        items = list(attributes.items())
        copied = {short(str(key)): copy.take(value) for key, value in items[: limits.attributes]}
        self.dropped_attributes += len(items) - len(copied)
        self.cuts += copy.cuts
        self.size += copy.size + sum(map(len, copied))
        return copied

    def redact_all(self, redact: Redact, attributes: Mapping[str, Any]) -> dict[str, Any]:
        """Put every value through `redact`, and return the span's attributes as they are then."""
        from prela.core.current import current_span
        from prela.core.silent import SUPPRESSION  # they import this module

        before = current_span.get()
        try:
            current_span.set(SUPPRESSION)  # a traced `redact` would come back here for its own values
            self._redact_own(redact)
            return redacted(redact, attributes)
        finally:
            current_span.set(before)  # not by a token: Ctrl-C may come before that is kept

    def _redact_own(self, redact: Redact) -> None:
        self.events = [(name, at, redacted(redact, values)) for name, at, values in self.events]
        self.links = [Link(context, redacted(redact, values or {})) for context, values in self.links]
        if self.status_message is not None:
            self.status_message = str(redacted(redact, {"status_message": self.status_message})["status_message"])


def redacted(redact: Redact, attributes: Mapping[str, Any]) -> dict[str, Any]:
    """Return the attributes with every leaf replaced by what `redact` makes of it."""
    return {key: _redacted(redact, key, value) for key, value in list(attributes.items())}


def _redacted(redact: Redact, key: str, value: Any) -> Any:
    """`redact` for every leaf of a value; where it raises, nothing of the value is kept."""
    if type(value) is list:
        return [_redacted(redact, key, item) for item in value]
    if type(value) is dict:
        return {name: _redacted(redact, f"{key}.{name}", item) for name, item in value.items()}
    try:
        return Snapshot().take(redact(key, value))
    except Exception as error:
        log.failed("redact", error)
        return _REDACTION_FAILED
