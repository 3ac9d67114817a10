"""What can be looked for, as SQL where the index can tell, and as bytes in the lines where it can't."""

import json
import math
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

import msgspec

from prela.record.model import SpanRecord
from prela.record.values import to_json
from prela.store.files import new_lines

_NEVER_ESCAPED: Final = re.compile(r"[A-Za-z0-9_ .,:;=+*()-]+", re.ASCII)
"""What every writer of JSON writes as it is."""
_LAST: Final = (1 << 63) - 1


class Query(NamedTuple):
    """What is looked for. None of a field: all."""

    name: str | None = None
    """A part of the name, in any case."""
    span_type: str | None = None
    status: str | None = None
    service: str | None = None
    attributes: Mapping[str, str] = {}
    """Names and the values they must have, as texts: "4" finds 4 and "4", "true" finds true; lists and objects are
    told as JSON without spaces."""
    text: str | None = None
    """Anywhere in the line, as it is or as JSON escapes it."""
    since: int | None = None
    """Nanoseconds since the Unix epoch; spans that start earlier are left out."""
    until: int | None = None
    """And those that start later."""
    min_duration: float | None = None
    """Seconds; spans that have not ended are left out."""
    model: str | None = None
    """The whole name of the model that answered; where none is told, of the one that was asked."""


def conditions(query: Query) -> tuple[str, list[Any]]:
    """The part of a query that the index can answer: SQL for after WHERE, and its parameters."""
    found = ["s.shown"]
    parameters: list[Any] = []
    words = {"type": query.span_type, "status": query.status, "service": query.service, "model": query.model}
    for column, word in words.items():
        if word is not None:
            found.append(f"s.{column} = (SELECT id FROM words WHERE word = ?)")
            parameters.append(encodable(word))
    if query.name is not None:
        found.append("s.name IN (SELECT id FROM words WHERE instr(folded(word), ?))")
        parameters.append(encodable(query.name).casefold())
    for condition, value in (("s.start >= ?", query.since), ("s.start <= ?", query.until)):
        if value is not None:
            found.append(condition)
            parameters.append(as_time(value))
    if query.min_duration is not None:
        duration = query.min_duration * 1e9
        found.append("s.end - s.start >= ?")
        parameters.append(round(duration) if abs(duration) < _LAST else duration)
    return " AND ".join(found), parameters


def as_time(nanoseconds: int) -> float:
    """A point in time that SQLite can compare with; beyond its integers, one that all it has lie on one side of."""
    return nanoseconds if -_LAST <= nanoseconds <= _LAST else math.copysign(math.inf, nanoseconds)


class Needles(NamedTuple):
    """Bytes to look for in lines: of each group one must be there. The first group is the one to search with."""

    groups: tuple[tuple[bytes, ...], ...]

    def offsets(self, path: Path, end: int) -> Iterator[int]:
        """Where the lines of a file begin, up to an offset, in which they stand."""
        first, *others = self.groups
        try:
            for block in new_lines(path, 0):
                if block.offset >= end:
                    return
                for begin, line_end in sorted({at for needle in first for at in _lines_with(block.data, needle)}):
                    if all(any(block.data.find(n, begin, line_end) >= 0 for n in group) for group in others):
                        yield block.offset + begin
        except OSError:
            return


def _lines_with(data: bytes, needle: bytes) -> Iterator[tuple[int, int]]:
    at = data.find(needle)
    while at >= 0:
        end = data.find(b"\n", at) + 1
        yield data.rfind(b"\n", 0, at) + 1, end
        at = data.find(needle, end)


def needles(query: Query) -> Needles | None:
    """What stands in every line that a query finds; None where that cannot be said.

    Attributes are compared when the record has been read, so a part of what they are is enough here: one that every
    writer writes alike. A text stands in a line as JSON writes it, and what is not ASCII in one of two ways.
    """
    groups: list[tuple[bytes, ...]] = []
    if query.text:
        text = encodable(query.text)
        groups.append(tuple({msgspec.json.encode(text)[1:-1], json.dumps(text)[1:-1].encode()}))
    values = [run for value in query.attributes.values() if not _may_be_written_otherwise(value) for run in _run(value)]
    keys = [run for key in query.attributes for run in _run(key)]
    groups += [(run.encode(),) for run in (*sorted(values, key=len, reverse=True), *keys)]
    return Needles(tuple(groups)) if groups else None


def _run(text: str) -> Iterable[str]:
    runs: list[str] = _NEVER_ESCAPED.findall(text)
    return [max(runs, key=len)] if runs else []


def _may_be_written_otherwise(value: str) -> bool:
    """Numbers with a point, lists and objects: one text of ours, many ways to write it."""
    if re.fullmatch("-?[0-9]+", value, re.ASCII):
        return False
    if value.startswith(("{", "[")):
        return True
    try:
        float(value)
    except ValueError:
        return False
    return True


def has_attributes(record: SpanRecord, wanted: Mapping[str, str]) -> bool:
    """True where each attribute is there and, as a text, what it must be."""
    return all(key in record.attributes and as_text(record.attributes[key]) == value for key, value in wanted.items())


def as_text(value: Any) -> str:
    """The value of an attribute as one asks for it."""
    if isinstance(value, str):
        return value
    if isinstance(value, int | float) and not isinstance(value, bool):
        return repr(value)
    return msgspec.json.encode(to_json(value)).decode()


def encodable(text: str) -> str:
    """What a terminal could not decode, as the record would write it; SQLite and JSON refuse lone surrogates."""
    return text.encode(errors="backslashreplace").decode()
