"""From the lines of a trace file to records, and what totals are made of; quickly, since a folder may hold millions."""

from collections.abc import Iterator, Mapping
from typing import Any, Final

import msgspec

from prela.record.model import SpanRecord

_decoder: Final = msgspec.json.Decoder(SpanRecord)
_LOWEST_TIME: Final = -(1 << 63)
_HIGHEST_TIME: Final = (1 << 63) - 1
_MOST_TOKENS: Final = 10**12
"""Beyond this a number of tokens is no such thing; and nine million of these can still be added up in 64 bits."""
_MOST_DOLLARS: Final = 1e12


class Lines:
    """The records in the lines of a block, each after the offset and the length of its line.

    As they are written: the tags of values that JSON lacks are still tags.

    Attributes:
        bad: How many of the lines that were gone through hold none.
    """

    def __init__(self, data: bytes, offset: int) -> None:
        self._data = data
        self._offset = offset
        self.bad: int = 0

    def __iter__(self) -> Iterator[tuple[int, int, SpanRecord]]:
        decode = _decoder.decode
        offset = self._offset
        lines = self._data.split(b"\n")
        lines.pop()  # what follows the last newline: nothing
        for line in lines:
            length = len(line) + 1
            try:
                record = decode(line)
            except (ValueError, RecursionError):
                self.bad += bool(line.strip())
            else:
                end = record.end_time_unix_nano
                if _LOWEST_TIME <= record.start_time_unix_nano <= _HIGHEST_TIME and (
                    end is None or _LOWEST_TIME <= end <= _HIGHEST_TIME
                ):
                    yield offset, length, record
                else:
                    self.bad += 1  # no clock tells such a time, and no index takes it
            offset += length


def span_number(span_id: str) -> int:
    """A span id as a signed number of 64 bits, in the order of the ids; of what is no id, a hash."""
    if len(span_id) == 16 and span_id.isalnum():
        try:
            return int(span_id, 16) - (1 << 63)
        except ValueError:
            pass
    from hashlib import blake2b

    return int.from_bytes(blake2b(span_id.encode(), digest_size=8).digest()) - (1 << 63)


Usage = tuple[str | None, int | None, int | None, float | None]
"""What the attributes of a span say of its use of a model: which, tokens in and out, US dollars. What is not of the
conventions' types is not said."""

_TELLING: Final = frozenset(
    {
        "gen_ai.response.model",
        "gen_ai.request.model",
        "gen_ai.usage.input_tokens",
        "gen_ai.usage.output_tokens",
        "prela.cost.usd",
    }
)


def usage(attributes: Mapping[str, Any]) -> Usage | None:
    """What totals are made of; None where nothing is said."""
    if _TELLING.isdisjoint(attributes):
        return None
    get = attributes.get
    return (
        _text(get("gen_ai.response.model")) or _text(get("gen_ai.request.model")),
        _tokens(get("gen_ai.usage.input_tokens")),
        _tokens(get("gen_ai.usage.output_tokens")),
        _dollars(get("prela.cost.usd")),
    )


def _tokens(number: object) -> int | None:
    return number if type(number) is int and 0 <= number <= _MOST_TOKENS else None


def _dollars(number: object) -> float | None:
    if type(number) is float or type(number) is int:
        return float(number) if abs(number) <= _MOST_DOLLARS else None
    return None


def _text(value: object) -> str | None:
    return value if type(value) is str and value else None
