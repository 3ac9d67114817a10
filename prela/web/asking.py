"""What a request asks for: its parameters, as the store wants them, or an error that says which one is wrong."""

from typing import Final

from starlette.datastructures import QueryParams
from starlette.exceptions import HTTPException

from prela.store.store import Query, TraceFilter
from prela.store.times import read_duration, read_moment
from prela.store.totals import GROUPS

_FLAGS: Final = {"true": True, "1": True, "false": False, "0": False}


class Parameters:
    """The parameters of a request. One that is empty is as good as none."""

    def __init__(self, given: QueryParams) -> None:
        self._given = given

    def text(self, name: str) -> str | None:
        return self._given.get(name) or None

    def needed(self, name: str) -> str:
        """A parameter that must be there.

        Raises:
            HTTPException: It is not.
        """
        found = self.text(name)
        if found is None:
            raise HTTPException(400, f"{name} is missing")
        return found

    def number(self, name: str, default: int, most: int) -> int:
        """A whole number from 0 on; one beyond `most` is `most`.

        Raises:
            HTTPException: It is none.
        """
        found = self.text(name)
        if found is None:
            return default
        if not (found.isascii() and found.isdecimal()):
            raise HTTPException(400, f"{name} must be a whole number, not negative")
        return int(found) if len(found) < 20 and int(found) < most else most

    def flag(self, name: str) -> bool:
        found = self.text(name)
        if found is not None and found not in _FLAGS:
            raise HTTPException(400, f"{name} must be true or false")
        return found is not None and _FLAGS[found]

    def grouping(self) -> str:
        """What totals are by."""
        found = self.text("by") or "name"
        if found not in GROUPS:
            raise HTTPException(400, f"by must be one of {', '.join(GROUPS)}")
        return found

    def trace_filter(self) -> TraceFilter:
        """Which traces a list is of."""
        return TraceFilter(
            errors_only=self.flag("errors"),
            name=self.text("name"),
            service=self.text("service"),
            since=self._moment("since"),
            until=self._moment("until"),
        )

    def query(self) -> Query:
        """Which spans are looked for."""
        attributes = {}
        for given in self._given.getlist("attribute"):
            name, equals, value = given.partition("=")
            if not equals:
                raise HTTPException(400, "attribute must be NAME=VALUE")
            attributes[name] = value
        return self.query_of_index()._replace(attributes=attributes, text=self.text("text"))

    def query_of_index(self) -> Query:
        """Which spans are counted: the part of a query that the index can answer."""
        return Query(
            name=self.text("name"),
            span_type=self.text("type"),
            status=self.text("status"),
            service=self.text("service"),
            model=self.text("model"),
            since=self._moment("since"),
            until=self._moment("until"),
            min_duration=self._duration("min_duration"),
        )

    def _moment(self, name: str) -> int | None:
        found = self.text(name)
        try:
            return None if found is None else read_moment(found)
        except ValueError as problem:
            raise HTTPException(400, f"{name}: {problem}") from None

    def _duration(self, name: str) -> float | None:
        found = self.text(name)
        try:
            return None if found is None else read_duration(found)
        except ValueError as problem:
            raise HTTPException(400, f"{name}: {problem}") from None
