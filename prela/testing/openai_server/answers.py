"""What the server says, and how it fails: the one thing that a test writes."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, field
from typing import Any, NamedTuple, TypeAlias

from prela.testing.openai_server.tokens import text_of


class ToolCall(NamedTuple):
    """A function that the model asks the program to call."""

    name: str
    arguments: Mapping[str, Any] | str = "{}"
    """A mapping is sent as its JSON, a string as it is, so that it may be no JSON at all, as a model's sometimes is."""
    id: str | None = None
    """`call_` and a number that is unique on the server, when None."""

    @property
    def arguments_text(self) -> str:
        """The arguments as they go over the wire."""
        return self.arguments if isinstance(self.arguments, str) else json.dumps(self.arguments)


@dataclass(frozen=True, slots=True)
class Answer:
    """What the server says to one request.

    Chunks are counted from 0: a fault at N lets N of them through. In a stream a chunk is an event, so the first of a
    chat is the one with the role, and the last is `[DONE]`; in a plain answer it is a byte of the body. A fault at a
    chunk that the answer doesn't have is a mistake in the test, and told as one.
    """

    text: str = ""
    """What the model says; the message of the error, when there is a `status`; what was heard, in a transcription."""
    delay: float = 0.0
    """Seconds before the first byte. `math.inf` waits until the client goes away."""
    chunk_delay: float = 0.0
    """Seconds between the chunks of a stream; a word of `text` is a chunk."""
    status: int = 200
    """Anything else is an error, in the API's shape."""
    _: KW_ONLY
    tool_calls: Sequence[ToolCall] = ()
    refusal: str | None = None
    """Said in place of `text`."""
    reasoning: str = ""
    """Counted as reasoning tokens. Responses also give it as a summary; chat completions never show it."""
    finish_reason: str | None = None
    """In place of `stop` or `tool_calls`. `length` and `content_filter` make a response incomplete, and `failed` makes
    it failed."""
    usage: Mapping[str, Any] = field(default_factory=dict)
    """Laid over the counted usage, in the endpoint's own names: `{"prompt_tokens_details": {"cached_tokens": 8}}`.
    The total follows, unless it is given too."""
    error_type: str | None = None
    """With the two below, of any error told here: by `status`, `error_at`, or `finish_reason="failed"`. None is the
    API's own for that status."""
    error_code: str | None = None
    error_message: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    """Added to the server's own, or in their place."""
    pings: int = 0
    """How many comment lines (`: ping`) come before the first chunk of a stream."""
    cut_at: int | None = None
    """The connection is closed in place of this chunk. -1 closes it before the headers."""
    hang_at: int | None = None
    """This chunk is never sent, until the client goes away or the server stops. -1 holds back the headers too."""
    malformed_at: int | None = None
    """In place of this chunk comes one that is no JSON, and the stream goes on; a plain body just ends there."""
    error_at: int | None = None
    """In place of this chunk comes an error event, and the stream is over. Streams only."""


def echo(request: dict[str, Any]) -> Answer:
    """Answer with the last message, or with whatever the request has in its place."""
    asked = next((request[key] for key in ("messages", "input", "prompt") if key in request), "")
    return Answer(f"You said: {text_of(asked[-1] if isinstance(asked, list) and asked else asked)}")


Answers: TypeAlias = Callable[[dict[str, Any]], Answer] | Sequence[Answer]


def in_turn(answers: Answers) -> Callable[[dict[str, Any]], Answer]:
    """Make a function of a sequence: its answers one after the other, and then a LookupError."""
    if callable(answers):
        return answers
    left: Iterator[Answer] = iter(answers)

    def answer(request: dict[str, Any]) -> Answer:
        for one in left:
            return one
        raise LookupError(f"no answer is left: all {len(answers)} of the sequence were used by earlier requests")

    return answer
