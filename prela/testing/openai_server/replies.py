"""What an endpoint hands back: a body or a stream of events, before any fault is done to it."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

from prela.testing.openai_server.answers import Answer

CREATED = 1_700_000_000
"""When everything was made, as a Unix time: tests want the same bytes every time."""

ERRORS: dict[int, tuple[str, str | None, str]] = {
    400: ("invalid_request_error", None, "The request is invalid."),
    401: ("invalid_request_error", "invalid_api_key", "Incorrect API key provided."),
    403: ("invalid_request_error", None, "You are not allowed to sample from this model."),
    404: ("invalid_request_error", "model_not_found", "The model does not exist."),
    429: ("requests", "rate_limit_exceeded", "Rate limit reached."),
}
"""Type, code and message by status, as the API gives them."""

_SERVER_ERROR = ("server_error", None, "The server had an error processing your request. Sorry about that!")


class Event(NamedTuple):
    """One server-sent event; chat completions leave it nameless."""

    data: str
    name: str | None = None

    def encode(self) -> bytes:
        return (f"event: {self.name}\n" if self.name else "").encode() + f"data: {self.data}\n\n".encode()


DONE = Event("[DONE]")


@dataclass(frozen=True, slots=True)
class Body:
    """A whole body, and what comes with it."""

    content: bytes
    status: int = 200
    content_type: str = "application/json"


@dataclass(frozen=True, slots=True)
class EventStream:
    """A stream of events, and how it ends when an error takes the place of the n-th."""

    events: list[Event]
    error_at: Callable[[int], list[Event]]


def json_body(value: Any, status: int = 200) -> Body:
    """A value as the body."""
    return Body(json.dumps(value).encode(), status)


def error(answer: Answer) -> dict[str, Any]:
    """The error object that an answer tells; its fields, and their order, are those of the API."""
    of_type, code, message = ERRORS.get(answer.status, ERRORS[400] if 400 <= answer.status < 500 else _SERVER_ERROR)
    return {
        "message": answer.error_message or (answer.text if answer.status != 200 else "") or message,
        "type": answer.error_type or of_type,
        "param": None,
        "code": answer.error_code or code,
    }


def error_body(status: int, message: str, *, param: str | None = None, code: str | None = None) -> Body:
    """An error of the server's own, which no answer asked for."""
    of_type = "server_error" if status >= 500 else "invalid_request_error"
    return json_body({"error": {"message": message, "type": of_type, "param": param, "code": code}}, status)


def padding(body: dict[str, Any]) -> dict[str, str]:
    """What the API makes its chunks' lengths say nothing with, unless it is asked not to."""
    wanted = (body.get("stream_options") or {}).get("include_obfuscation", True)
    return {"obfuscation": "0123456789"} if wanted else {}


def data_events(chunks: list[dict[str, Any]], answer: Answer) -> EventStream:
    """The nameless events of chat and of completions: an error is one more object, and ends the stream."""
    broken_off = Event(json.dumps({"error": error(answer)}))
    return EventStream([*(Event(json.dumps(chunk)) for chunk in chunks), DONE], lambda _: [broken_off])
