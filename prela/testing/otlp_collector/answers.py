"""What the collector says, and how it fails: the one thing that a test writes."""

from collections.abc import Mapping
from dataclasses import KW_ONLY, dataclass, field


@dataclass(frozen=True, slots=True)
class Answer:
    """What the collector says to one request. Spans are kept when the status is 200."""

    status: int = 200
    _: KW_ONLY
    message: str = ""
    """Of a failure; of a success, a warning."""
    rejected: int = 0
    """How many spans a success says were not taken: the last ones of the request, which are not kept."""
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes | None = None
    """In place of what the specification wants there."""
    delay: float = 0.0
    """Seconds before the answer."""
    is_cut: bool = False
    """The connection is closed in place of an answer; the spans are not kept."""
    hangs: bool = False
    """Nothing is answered until the client goes away; the spans are not kept."""


def partial_success(rejected: int, message: str = "rejected by the test") -> Answer:
    """An answer that takes a request but for some of its spans."""
    return Answer(rejected=rejected, message=message)
