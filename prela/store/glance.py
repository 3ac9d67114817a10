"""What the index of a folder knows already: for the completion of a command line, which must answer at once.

Nothing is read, made or mended here: an index that is not there, or cannot be read, knows nothing.
"""

import sqlite3
from pathlib import Path
from typing import NamedTuple

from prela.store.index import places


class Glimpse(NamedTuple):
    """A trace by its id and its root's name."""

    trace_id: str
    name: str


def known_traces(folder: Path, digits: str, limit: int = 30) -> list[Glimpse]:
    """The newest traces of which the index knows and whose ids begin with these digits."""
    for place in places(folder):
        if place.is_file():
            try:
                return _ask(place, digits, limit)
            except sqlite3.Error:
                return []
    return []


def _ask(place: Path, digits: str, limit: int) -> list[Glimpse]:
    connection = sqlite3.connect(f"{place.absolute().as_uri()}?mode=ro", uri=True, timeout=0.1)
    try:
        rows = connection.execute(
            "SELECT trace_id, coalesce(root, '') FROM traces WHERE substr(trace_id, 1, ?) = ? "
            "ORDER BY start DESC LIMIT ?",
            (len(digits), digits.lower(), limit),
        )
        return [Glimpse(*row) for row in rows]
    finally:
        connection.close()
