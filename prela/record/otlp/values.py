"""Plain values as OTLP's `AnyValue`, and back (opentelemetry-proto, `common.proto`).

What `AnyValue` has no word for goes as a map with one key, which begins with `$`, as in JSON Lines (see `values`):

    an integer beyond 64 bits               {"$int": decimal}
    what is nested deeper than `DEEPEST`    {"$json": JSON text of the list or map}
    a map whose one key begins with `$`     {"$dict": the map}
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final

import msgspec

from prela.record.values import from_json, looks_tagged, snapshot, to_json

Message = dict[str, Any]
"""A Protobuf message as a dict: its fields by their names in the .proto, those at their defaults left out."""

DEEPEST: Final = 24
"""Levels of lists and maps sent as such. Readers of Protobuf refuse what is nested deeper than 100 messages; each level
of a map takes three of them."""
_DEEPEST_READ: Final = 64
_LARGE: Final = 1 << 63


def any_value(value: Any, room: int = DEEPEST) -> Message:
    """Return a plain value as an AnyValue."""
    kind = type(value)
    if kind is str:
        return {"string_value": value}
    if kind is int:
        return {"int_value": value} if -_LARGE <= value < _LARGE else _tagged("$int", {"string_value": str(value)})
    if kind is float:
        return {"double_value": value}
    if kind is bool:
        return {"bool_value": value}
    if value is None:
        return {}
    if kind is bytes:
        return {"bytes_value": value}
    if kind is list or kind is dict:
        return _nested(value, room)
    return any_value(snapshot(value))  # no plain value: from an exporter's user, then


def key_values(attributes: Mapping[str, Any]) -> list[Message]:
    """Return attributes as a list of KeyValue."""
    return [_pair(key, value, DEEPEST) for key, value in attributes.items()]


def _pair(key: str, value: Any, room: int) -> Message:
    """A KeyValue; of None without a value, since a receiver was seen that refuses an empty one in JSON (rotel)."""
    return {"key": key} if value is None else {"key": key, "value": any_value(value, room)}


def _nested(value: list[Any] | dict[str, Any], room: int) -> Message:
    if room == 0:
        return _tagged("$json", {"string_value": msgspec.json.encode(to_json(value)).decode()})
    if isinstance(value, list):
        return {"array_value": {"values": [any_value(item, room - 1) for item in value]}}
    pairs = [_pair(key, item, room - 1) for key, item in value.items()]
    found = {"kvlist_value": {"values": pairs}}
    return _tagged("$dict", found) if looks_tagged(value) else found


def _tagged(tag: str, value: Message) -> Message:
    return {"kvlist_value": {"values": [{"key": tag, "value": value}]}}


_UNTAG: Final[dict[str, Callable[[Any], Any]]] = {
    "$int": int,
    "$json": lambda text: from_json(msgspec.json.decode(text)),
}


def plain_value(message: Mapping[str, Any], room: int = _DEEPEST_READ) -> Any:
    """Undo `any_value`. A tag that is not ours, or not well formed, is left as it stands.

    Raises:
        ValueError: It is nested too deep.
    """
    for name, found in message.items():
        if name == "array_value":
            return [plain_value(item, _deeper(room)) for item in found.get("values", ())]
        if name == "kvlist_value":
            return _map_of(found.get("values", ()), _deeper(room))
        if name in _ATOMS:
            return found
    return None


_ATOMS: Final = frozenset({"string_value", "bool_value", "int_value", "double_value", "bytes_value"})


def attributes_of(pairs: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """Undo `key_values`. Of a key that stands there twice, which OTLP forbids, the last counts.

    Raises:
        ValueError: A value is nested too deep.
    """
    return {pair.get("key", ""): plain_value(pair.get("value", {})) for pair in pairs}


def _deeper(room: int) -> int:
    if room == 0:
        raise ValueError(f"a value is nested deeper than {_DEEPEST_READ} levels")
    return room - 1


def _map_of(pairs: Sequence[Mapping[str, Any]], room: int) -> Any:
    if len(pairs) == 1 and pairs[0].get("key") == "$dict" and "kvlist_value" in (inner := pairs[0].get("value", {})):
        return _entries(inner["kvlist_value"].get("values", ()), room)
    found = _entries(pairs, room)
    if looks_tagged(found):
        (key,) = found
        try:
            return _UNTAG[key](found[key])
        except (KeyError, ValueError, TypeError):
            return found
    return found


def _entries(pairs: Iterable[Mapping[str, Any]], room: int) -> dict[str, Any]:
    return {pair.get("key", ""): plain_value(pair.get("value", {}), room) for pair in pairs}


def mended(value: Any) -> Any:
    """Return a message with its lone surrogates, which UTF-8 has no form for, as backslash escapes."""
    if isinstance(value, str):
        return value.encode(errors="backslashreplace").decode()
    if isinstance(value, dict):
        return {key: mended(item) for key, item in value.items()}
    return [mended(item) for item in value] if isinstance(value, list) else value
