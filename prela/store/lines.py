"""From the lines of a trace file to records, and what totals are made of; quickly, since a folder may hold millions."""

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

import msgspec

from prela.record.model import SpanRecord

_decoder: Final = msgspec.json.Decoder(SpanRecord)
_LOWEST_TIME: Final = -(1 << 63)
_HIGHEST_TIME: Final = (1 << 63) - 1
_MOST_TOKENS: Final = 10**12
"""Beyond this a number of tokens is no such thing; and nine million of these can still be added up in 64 bits."""
_MOST_DOLLARS: Final = 1e12


class Line(NamedTuple):
    """A record, and where it stands."""

    offset: int
    length: int
    """In bytes, with the newline."""
    record: SpanRecord
    """As it is written: the tags of values that JSON lacks are still tags."""


def records(data: bytes, offset: int) -> tuple[list[Line], int]:
    """The records in the lines of a block, and how many of the lines hold none."""
    decode = _decoder.decode
    found: list[Line] = []
    bad = 0
    lines = data.split(b"\n")
    lines.pop()  # what follows the last newline: nothing
    for line in lines:
        length = len(line) + 1
        try:
            record = decode(line)
            end = record.end_time_unix_nano
            if _LOWEST_TIME <= record.start_time_unix_nano <= _HIGHEST_TIME and (
                end is None or _LOWEST_TIME <= end <= _HIGHEST_TIME
            ):
                found.append(Line(offset, length, record))
            else:
                bad += 1  # no clock tells such a time, and no index takes it
        except (ValueError, RecursionError):
            bad += bool(line.strip())
        offset += length
    return found, bad


def span_number(span_id: str) -> int:
    """A span id as a signed number of 64 bits, in the order of the ids; of what is no id, a hash."""
    if len(span_id) == 16 and span_id.isalnum():
        try:
            return int(span_id, 16) - (1 << 63)
        except ValueError:
            pass
    from hashlib import blake2b

    return int.from_bytes(blake2b(span_id.encode(), digest_size=8).digest()) - (1 << 63)


class Usage(NamedTuple):
    """What the attributes of a span say of its use of a model. What is not of the conventions' types is not said."""

    model: str | None
    input_tokens: int | None
    output_tokens: int | None
    cost: float | None
    """US dollars."""


_NO_USAGE: Final = Usage(None, None, None, None)


def usage(attributes: Mapping[str, Any]) -> Usage:
    """What totals are made of."""
    get = attributes.get
    model = get("gen_ai.response.model") or get("gen_ai.request.model")
    inputs, outputs, cost = (
        get("gen_ai.usage.input_tokens"),
        get("gen_ai.usage.output_tokens"),
        get("prela.cost.usd"),
    )
    if model is None and inputs is None and outputs is None and cost is None:
        return _NO_USAGE
    return Usage(
        model if type(model) is str else _first_text(attributes),
        _tokens(inputs),
        _tokens(outputs),
        float(cost) if isinstance(cost, int | float) and abs(cost) <= _MOST_DOLLARS else None,
    )


def _tokens(number: object) -> int | None:
    return number if type(number) is int and 0 <= number <= _MOST_TOKENS else None


def _first_text(attributes: Mapping[str, Any]) -> str | None:
    models = (attributes.get(f"gen_ai.{which}.model") for which in ("response", "request"))
    return next((model for model in models if type(model) is str and model), None)
