"""What the server keeps from one request to the next, and a request together with its answer."""

from dataclasses import dataclass, field
from typing import Any

from prela.testing.openai_server.answers import Answer


@dataclass(frozen=True, slots=True)
class Shelf:
    """What was made by one request, and can be fetched by another, by id."""

    responses: dict[str, dict[str, Any]] = field(default_factory=dict)
    files: dict[str, dict[str, Any]] = field(default_factory=dict)
    contents: dict[str, bytes] = field(default_factory=dict)
    batches: dict[str, dict[str, Any]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Call:
    """A request, the answer to it, and a number that no other request has."""

    body: dict[str, Any]
    answer: Answer
    number: int
    shelf: Shelf

    @property
    def model(self) -> str:
        return str(self.body.get("model", ""))

    def unique(self, prefix: str, *parts: int) -> str:
        """An id that is the same in every run, as long as the requests come in the same order."""
        separator = "-" if prefix in {"chatcmpl", "cmpl", "modr", "file"} else "_"
        return f"{prefix}{separator}{'_'.join(map(str, (self.number, *parts)))}"
