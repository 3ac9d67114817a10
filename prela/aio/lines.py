"""Records as the lines of a file, in pieces: between two of them others get their turn."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Final

import msgspec

from prela.aio.pacing import CHUNK, give_way
from prela.core import log
from prela.record import jsonl
from prela.record.model import SpanRecord

_PIECE: Final = 1024 * 1024
"""Bytes from which lines are handed on before all have been made."""


async def write_lines(records: Sequence[SpanRecord], write: Callable[[bytearray], Awaitable[None]]) -> None:
    """Have the lines of all records written, some at a time. Raises what `write` does."""
    lines = bytearray()
    for begin in range(0, len(records), CHUNK):
        end = begin + CHUNK
        plain = jsonl.plain_lines(records, begin, end)
        if plain is not None:
            lines += plain
            await give_way()
        else:
            for record in records[begin:end]:  # each may be large
                lines += _line(record)
                await give_way()
        if len(lines) >= _PIECE:
            await write(lines)
            lines = bytearray()
    await write(lines)


async def lines_of(records: Sequence[SpanRecord]) -> bytearray:
    """Return the lines of all records."""
    found = bytearray()

    async def keep(lines: bytearray) -> None:
        found.extend(lines)

    await write_lines(records, keep)
    return found


def _line(record: SpanRecord) -> bytes:
    """The record as a line; where it cannot be encoded, without its attributes rather than not at all."""
    try:
        return jsonl.encode(record)
    except Exception as error:
        log.failed("encoding a record", error)
        kept = {"prela.unencodable": f"{type(error).__name__}: {error}"}
        return jsonl.encode(msgspec.structs.replace(record, attributes=kept, events=(), links=(), resource={}))
