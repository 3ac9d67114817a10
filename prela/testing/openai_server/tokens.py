"""Text in the shapes of the API, and its length: a token, to this server, is a word."""

from collections.abc import Mapping, Sequence
from typing import Any


def text_of(content: Any) -> str:
    """The words in a string, a message, a content part, or a list of any of them; tokens given as numbers are words."""
    match content:
        case None:
            return ""
        case str():
            return content
        case Mapping():
            return text_of(next((content[key] for key in ("content", "text", "output") if key in content), None))
        case Sequence():
            return " ".join(filter(None, map(text_of, content)))
        case _:
            return str(content)


def tokens(content: Any) -> int:
    """How many tokens a content has, in any of the shapes that `text_of` takes."""
    return len(text_of(content).split())


def words(text: str) -> list[str]:
    """Cut a text into the pieces that it is streamed in; joined, they are the text again."""
    first, *rest = text.split(" ")
    return [piece for piece in [first, *(f" {word}" for word in rest)] if piece]


def overlaid(counted: dict[str, Any], given: Mapping[str, Any], total_of: Sequence[str]) -> dict[str, Any]:
    """Lay the usage that a test gives over the counted one, details over details, and add up what `total_of` names."""
    usage = dict(counted)
    for name, value in given.items():
        usage[name] = {**usage.get(name, {}), **value} if isinstance(value, Mapping) else value
    return {**usage, "total_tokens": given.get("total_tokens", sum(usage[name] for name in total_of))}
