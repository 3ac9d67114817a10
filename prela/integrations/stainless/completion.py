"""What a call leaves for the worker: to take apart what was sent and what came, and make attributes of it.

The program only hands over; texts are immutable, so what is held on to is what was said at the time, and a history
that is sent again with every turn is held once.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final

import msgspec

from prela.core import log
from prela.core.private import without_secrets
from prela.integrations import semconv
from prela.integrations.stainless import cost
from prela.integrations.stainless.media import without_media
from prela.integrations.stainless.provider import Assembly, Failure, Operation, Provider
from prela.record.values import snapshot

_FOLD_AT: Final = 1024 * 1024
"""Characters of events that are held on to before they are put together at once, in the program's time."""
_SIGNS_OF_FAILURE: Final = ('"failed"', '"error"')
"""One of these is in every response that tells a failure. Inside a text the quotation marks would be escaped."""

_decode = msgspec.json.decode


class Completion:
    """The response as it comes, and, called in the worker, the attributes of both sides.

    Args:
        provider: Knows the shapes.
        operation: What was asked for.
        body: Of the request. What is content in it is copied at once.
        capture: Whether content is recorded.
    """

    __slots__ = (
        "_assembly",
        "_body",
        "_capture",
        "_content",
        "_events",
        "_folded",
        "_items",
        "_last_folded",
        "_operation",
        "_pending",
        "_provider",
        "bytes_read",
        "content_type",
        "make_decoder",
        "texts",
    )

    def __init__(self, provider: Provider, operation: Operation, body: Mapping[str, Any], capture: bool) -> None:
        self._provider = provider
        self._operation = operation
        self.texts: list[str] = []
        """What is held on to of the request."""
        keys = provider.content_keys(operation) if capture else ()
        self._content = {key: share(body[key], self.texts) for key in keys if key in body}
        self._capture = capture
        self._body = b""
        self._events: list[str] = []
        self._items: list[Any] = []
        self._pending = 0  # characters of events not yet put together
        self._last_folded = ""  # of those that were, the last
        self._folded = 0
        self._assembly: Assembly | None = None
        self.bytes_read: int = 0
        """Of a body that the program reads itself."""
        self.content_type: str = ""
        self.make_decoder: Callable[[], Any] | None = None
        """Makes the client's own decoder of server-sent events."""

    # --- in the program's time ------------------------------------------------------------------------------------

    def keep_event(self, text: str) -> None:
        """Hold on to the text of an event."""
        self._events.append(text)
        self._pending += len(text)
        if self._pending > _FOLD_AT:
            self._fold()

    @property
    def size(self) -> int:
        """Bytes held on to, of the response."""
        return self._folded + self._pending + len(self._body)

    def add_item(self, item: object) -> None:
        """Hold on to an event that comes without its text."""
        self._items.append(snapshot(item))

    def take_body(self, body: bytes) -> None:
        """Hold on to a whole response, unless it is none that could be looked into."""
        if "json" in self.content_type or "event-stream" in self.content_type:
            self._body = body

    def failure(self) -> Failure | None:
        """How the response says that the call failed, if it does."""
        last = self._events[-1] if self._events else self._last_folded or _last_text(self._body)
        if not any(sign in last for sign in _SIGNS_OF_FAILURE):
            return None
        body = _object(last)
        return None if body is None else self._provider.failure(self._operation, body)

    # --- in the worker --------------------------------------------------------------------------------------------

    def __call__(self) -> Mapping[str, object]:
        """The attributes."""
        provider, operation = self._provider, self._operation
        attributes: dict[str, object] = {}
        if self._content:
            attributes.update(_clean(provider.request_content(operation, self._content)))
        body = self._response()
        if body:
            attributes.update(provider.response_attributes(operation, body))
            if self._capture:
                attributes.update(_clean(provider.response_content(operation, body)))
            price = cost.in_usd(provider, operation, attributes)
            if price is not None:
                attributes[semconv.COST] = price
        return attributes

    def _response(self) -> Mapping[str, Any]:
        """The response, as a plain one would have been."""
        if "event-stream" in self.content_type and self._body and self.make_decoder is not None:
            self._events += [event.data for event in self.make_decoder().iter_bytes(iter([self._body]))]
        if self._events or self._items or self._assembly is not None:
            return self._fold().body()
        return (_object(self._body) if self._body else None) or {}

    def _fold(self) -> Assembly:
        assembly = self._assembly = self._assembly or self._provider.assemble(self._operation)
        events = [event for text in self._events if (event := _object(text)) is not None]
        if self._events:
            self._last_folded = self._events[-1]
        self._events, self._pending, self._folded = [], 0, self._folded + self._pending
        for event in events + self._items:
            try:
                assembly.add(event)
            except Exception as error:
                log.failed("reading an event of a stream", error)
        self._items = []
        return assembly


def _last_text(body: bytes) -> str:
    """The text that says how it ended, of a body that the program read itself: all of it, or of events the last."""
    text = body.decode(errors="replace")
    if text.startswith("{"):
        return text
    lines = [line for line in text.splitlines() if line.startswith("data:")]
    return lines[-1].removeprefix("data:").strip() if lines else text


def _object(text: str | bytes) -> dict[str, Any] | None:
    """The JSON object that a text is, or None: "[DONE]" is none, and what is broken is the client's to complain of."""
    try:
        value = _decode(text)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def _clean(content: Mapping[str, object]) -> dict[str, object]:
    """The content without what must not be recorded, and without what is too large to be looked at."""
    return {key: without_media(value, without_secrets) for key, value in content.items()}


def share(value: Any, texts: list[str]) -> Any:
    """A copy that shares its texts, which are added to `texts`: of one part of a request's body."""
    kind = type(value)
    if kind is str:
        texts.append(value)
        return value
    note = texts.append
    if kind is dict:
        return {key: (note(item) or item) if type(item) is str else share(item, texts) for key, item in value.items()}
    if kind is list or kind is tuple:
        if value and type(value[0]) in _NUMBERS:
            return list(value)  # tokens: as long as they like
        return [(note(item) or item) if type(item) is str else share(item, texts) for item in value]
    if kind is int or kind is float or kind is bool or value is None:
        return value
    return snapshot(value)


_NUMBERS: Final = frozenset({int, float})
