"""The faults: what of a reply goes over the wire, in which pieces, and how it ends.

Pure: the connection does as it is told here.
"""

from dataclasses import dataclass
from enum import Enum

from prela.testing.openai_server.answers import Answer
from prela.testing.openai_server.replies import Body, Event, EventStream


class Ending(Enum):
    """How a transmission ends: as HTTP wants it, by closing the connection, or not at all."""

    WHOLE = "whole"
    CUT = "cut"
    CUT_BEFORE_HEADERS = "cut before the headers"
    HANG = "hang"
    HANG_BEFORE_HEADERS = "hang before the headers"


@dataclass(frozen=True, slots=True)
class Transmission:
    """What the connection sends."""

    status: int
    headers: dict[str, str]
    pieces: list[bytes]
    """Each sent by itself, with `pause` seconds between them."""
    ending: Ending = Ending.WHOLE
    delay: float = 0.0
    pause: float = 0.0


def transmission(reply: Body | EventStream, answer: Answer, headers: dict[str, str]) -> Transmission:
    """Do to a reply what the answer asks for.

    Raises:
        ValueError: A fault is asked for where this reply has no chunk.
    """
    if isinstance(reply, EventStream):
        status, own = 200, {"content-type": "text/event-stream; charset=utf-8"}
        events = _events(reply, answer)
        kept, ending = _kept(answer, len(events))
        pieces = [b": ping\n\n" * answer.pings] * bool(answer.pings) + [event.encode() for event in events[:kept]]
    else:
        content = _content(reply, answer)
        status, own = reply.status, {"content-type": reply.content_type, "content-length": str(len(content))}
        kept, ending = _kept(answer, len(content))
        pieces = [content[:kept]]
    given = {name.lower(): value for name, value in answer.headers.items()}
    return Transmission(status, {**own, **headers, **given}, pieces, ending, answer.delay, answer.chunk_delay)


def _events(stream: EventStream, answer: Answer) -> list[Event]:
    events = stream.events
    if (at := answer.malformed_at) is not None:
        _check("malformed_at", at, len(events))
        events = [*events[:at], Event('{"no": json', events[at].name), *events[at + 1 :]]
    if (at := answer.error_at) is not None:
        _check("error_at", at, len(events))
        events = [*events[:at], *stream.error_at(at)]
    return events


def _content(body: Body, answer: Answer) -> bytes:
    if answer.error_at is not None:
        raise ValueError("error_at needs a stream, and this request asked for none")
    if answer.malformed_at is None:
        return body.content
    _check("malformed_at", answer.malformed_at, len(body.content))
    return body.content[: answer.malformed_at]


def _kept(answer: Answer, count: int) -> tuple[int | None, Ending]:
    """How many chunks get through, None for all, and what comes then: of two faults, the earlier one."""
    faults = [
        (at, name, ending)
        for name, at, ending in (("cut_at", answer.cut_at, Ending.CUT), ("hang_at", answer.hang_at, Ending.HANG))
        if at is not None
    ]
    if not faults:
        return None, Ending.WHOLE
    at, name, ending = min(faults)
    if at == -1:
        return 0, Ending.CUT_BEFORE_HEADERS if ending is Ending.CUT else Ending.HANG_BEFORE_HEADERS
    _check(name, at, count)
    return at, ending


def _check(name: str, at: int, count: int) -> None:
    if not 0 <= at < count:
        raise ValueError(f"{name}={at}, but this answer's chunks are numbered 0 to {count - 1}")
