"""Any Python value becomes a bounded plain value; a plain value becomes JSON and comes back.

A *plain* value is a str, int, float, bool, None or bytes, or a list or str-keyed dict of plain values. `snapshot`
makes one at the moment an attribute is set, because the program may change its objects a line later. `to_json` and
`from_json` carry plain values through JSON; they run in the worker and in the readers, never in the user's code.
"""

import base64
import math
from collections import deque
from collections.abc import Callable, ItemsView, Iterable, KeysView, Mapping, ValuesView
from itertools import islice
from typing import Any, Final

STRING_LIMIT: Final = 65_536
NODE_LIMIT: Final = 10_000
DEPTH_LIMIT: Final = 64
_NODE_BYTES: Final = 64
_WIDE_INT_BITS: Final = 8_192
"""Below CPython's limit of 4,300 digits for int-to-str conversion, which raises ValueError."""

NAME_LENGTH: Final = 1_024
"""Characters of a name."""
_ATOMS: Final = frozenset({int, float, bool, type(None)})
_CONTAINERS: Final = frozenset({list, tuple, dict, set, frozenset})
_SIZED: Final = (tuple, list, set, frozenset, deque, range, KeysView, ValuesView, ItemsView)
"""Their subclasses, and those whose repr would write them out however long they are."""
_TEXT_TYPES: Final = frozenset(
    {
        ("datetime", "datetime"),
        ("datetime", "date"),
        ("datetime", "time"),
        ("datetime", "timedelta"),
        ("uuid", "UUID"),
        ("decimal", "Decimal"),
        ("fractions", "Fraction"),
    }
)


class Snapshot:
    """One bounded copy under way. `size` estimates its bytes; `cuts` counts the leaves and branches left out."""

    __slots__ = ("_depth", "_nodes", "_path", "_string_limit", "cuts", "size")

    def __init__(self, string_limit: int = STRING_LIMIT, node_limit: int = NODE_LIMIT) -> None:
        self._string_limit = string_limit
        self._nodes = node_limit
        self._depth = DEPTH_LIMIT
        self._path: set[int] = set()
        self.cuts: int = 0
        self.size: int = 0

    def take(self, value: object) -> Any:
        """Return `value` as a plain value that shares nothing mutable with it. Never raises an Exception."""
        kind = type(value)
        self.size += _NODE_BYTES
        if kind is str:
            return self._text(value)  # type: ignore[arg-type]
        if kind is int:
            return self._integer(value)  # type: ignore[arg-type]
        if kind in _ATOMS:
            return value
        if kind is bytes or kind is bytearray:
            return self._bytes(value)  # type: ignore[arg-type]
        return self._nested(value)

    def _text(self, text: str) -> str:
        if len(text) > self._string_limit:
            self.cuts += 1
            text = f"{text[: self._string_limit]}… [{len(text) - self._string_limit} more characters cut]"
        self.size += len(text)
        return text

    def _integer(self, number: int) -> int | str:
        if number.bit_length() > _WIDE_INT_BITS:
            self.cuts += 1
            return f"[an integer of {number.bit_length()} bits]"
        return number

    def _bytes(self, data: bytes | bytearray) -> bytes:
        kept = bytes(data[: self._string_limit])
        self.cuts += len(data) > self._string_limit
        self.size += len(kept)
        return kept

    def _nested(self, value: object) -> Any:
        """Whatever holds other values or is foreign: bounded in depth, and a cycle is named, not followed."""
        if id(value) in self._path:
            return "[a cycle]"
        if self._depth == 0:
            self.cuts += 1
            return "[too deep]"
        self._path.add(id(value))
        self._depth -= 1
        try:
            if type(value) in _CONTAINERS:
                return self._container(value)
            return self._foreign(value)
        except Exception as error:
            return f"<{_type_name(value)}: {type(error).__name__} while being recorded>"
        finally:
            self._depth += 1
            self._path.discard(id(value))

    def _container(self, value: Any) -> Any:
        if isinstance(value, dict):
            return self._mapping(value.items(), len(value))
        return self._sequence(value, len(value))

    def _sequence(self, items: Iterable[object], length: int) -> list[Any]:
        room = min(length, self._nodes)
        self._nodes -= room
        # One C call takes the items, so no other thread can change the container in between.
        copied = [self.take(item) for item in list(islice(items, room))]
        if room < length:
            self.cuts += 1
            copied.append(f"[{length - room} more items cut]")
        return copied

    def _mapping(self, items: Iterable[tuple[object, object]], length: int) -> dict[str, Any]:
        room = min(length, self._nodes)
        self._nodes -= room
        copied = {self._key(key): self.take(item) for key, item in list(islice(items, room))}
        if room < length:
            self.cuts += 1
            copied["[cut]"] = f"[{length - room} more items cut]"
        return copied

    def _key(self, key: object) -> str:
        self.size += _NODE_BYTES
        if type(key) is str:
            return self._text(key)
        if type(key) is int:
            return str(self._integer(key))
        return self._text(str(key) if isinstance(key, str | float) else _safe_repr(key))

    def _foreign(self, value: Any) -> Any:
        """A value of a type that is not ours: by what it says of itself, else by its repr."""
        kind = type(value)
        if kind is memoryview:
            return self._bytes(value.tobytes())
        if isinstance(value, _enum_type()):
            return self.take(value.value)  # type: ignore[attr-defined]
        if isinstance(value, str):
            return self._text(str.__str__(value))
        for base in (int, float, bytes):
            if isinstance(value, base):
                return self.take(base(value))  # type: ignore[arg-type]
        fields = _fields_of(value, kind)
        if fields is not None:
            return self._mapping(fields.items(), len(fields))
        if isinstance(value, _SIZED):
            return self._sequence(value, len(value))
        if isinstance(value, Mapping):
            return self._mapping(value.items(), len(value))
        if (kind.__module__, kind.__qualname__) in _TEXT_TYPES or hasattr(kind, "__fspath__"):
            return self._text(value.isoformat() if hasattr(kind, "isoformat") else str(value))
        return self._text(_safe_repr(value))


def short(name: str) -> str:
    """A name, of a span or of what it holds, cut to `NAME_LENGTH` characters; that it was cut shows at its end."""
    return name if len(name) <= NAME_LENGTH else f"{name[: NAME_LENGTH - 1]}…"


def snapshot(value: object, string_limit: int = STRING_LIMIT, node_limit: int = NODE_LIMIT) -> Any:
    """Return `value` as a bounded plain value that shares nothing mutable with it. Never raises an Exception.

    Containers are copied up to `node_limit` items in all, strings and bytes to `string_limit` characters each, with a
    mark where something was cut. Dataclasses, pydantic and attrs models and named tuples become dicts, enums their
    value, dates their ISO form, and everything else its repr.
    """
    return Snapshot(string_limit, node_limit).take(value)


def _enum_type() -> type:
    from enum import Enum

    return Enum


def _fields_of(value: Any, kind: type) -> Mapping[str, Any] | None:
    """The fields of a model, of whichever of the usual libraries made it; None if it is no model."""
    if callable(getattr(kind, "model_dump", None)):
        dumped = value.model_dump()
        return dumped if isinstance(dumped, dict) else None
    names: Iterable[str] | None = None
    if isinstance(getattr(kind, "__dataclass_fields__", None), dict):
        names = kind.__dataclass_fields__  # type: ignore[attr-defined]
    elif isinstance(value, tuple) and isinstance(getattr(kind, "_fields", None), tuple):
        names = kind._fields  # type: ignore[attr-defined]
    elif isinstance(getattr(kind, "__attrs_attrs__", None), tuple):
        names = [field.name for field in kind.__attrs_attrs__]  # type: ignore[attr-defined]
    elif isinstance(getattr(kind, "__struct_fields__", None), tuple):
        names = kind.__struct_fields__  # type: ignore[attr-defined]
    if names is None:
        return None
    return {name: getattr(value, name) for name in names if hasattr(value, name)}


def _type_name(value: object) -> str:
    kind = type(value)
    return f"{kind.__module__}.{kind.__qualname__}"


def _safe_repr(value: object) -> str:
    try:
        return str.__str__(repr(value))  # exactly a str, of whatever class of it a repr is
    except Exception as error:
        return f"<{_type_name(value)}: {type(error).__name__} in __repr__>"


def to_json(value: Any) -> Any:
    """Return a plain value as one that JSON can hold, with a tag where JSON has no word for it.

    bytes are `{"$bytes": base64}`; non-finite floats `{"$float": "nan" | "inf" | "-inf"}`; integers beyond 64 bits
    `{"$int": decimal}`; and a dict with one key that begins with "$" is wrapped as `{"$dict": {...}}`, so that no
    value a program holds can pass for a tag. Lone surrogates become backslash escapes.
    """
    kind = type(value)
    if kind is str:
        return _encodable(value)
    if kind is float:
        return value if math.isfinite(value) else {"$float": repr(value)}
    if kind is int:
        return value if -(1 << 63) <= value < 1 << 64 else {"$int": str(value)}
    if kind is bytes:
        return {"$bytes": base64.b64encode(value).decode("ascii")}
    if kind is list:
        return [to_json(item) for item in value]
    if kind is dict:
        tagged = {_encodable(key): to_json(item) for key, item in value.items()}
        return {"$dict": tagged} if looks_tagged(tagged) else tagged
    return value


def attributes_to_json(attributes: Mapping[str, Any]) -> dict[str, Any]:
    """`to_json` for each value of a mapping whose keys are names, and so is never itself taken for a tag."""
    return {_encodable(key): to_json(value) for key, value in attributes.items()}


_UNTAG: Final[dict[str, Callable[[Any], Any]]] = {
    "$bytes": lambda text: base64.b64decode(text),
    "$float": float,
    "$int": int,
    "$dict": lambda inner: {key: from_json(item) for key, item in inner.items()},
}


def from_json(value: Any) -> Any:
    """Undo `to_json`. A tag that is not ours, or not well formed, is left as it stands."""
    if isinstance(value, list):
        return [from_json(item) for item in value]
    if isinstance(value, dict):
        if looks_tagged(value):
            (key,) = value
            try:
                return _UNTAG[key](value[key])
            except (KeyError, ValueError, TypeError, AttributeError):
                return value
        return {key: from_json(item) for key, item in value.items()}
    return value


def attributes_from_json(attributes: Mapping[str, Any]) -> dict[str, Any]:
    """Undo `attributes_to_json`."""
    nesting = (dict, list)
    return {key: from_json(value) if type(value) in nesting else value for key, value in attributes.items()}


def looks_tagged(value: Mapping[str, Any]) -> bool:
    """Whether a dict could pass for a tag: one key, which begins with "$"."""
    return len(value) == 1 and next(iter(value)).startswith("$")


def _encodable(text: str) -> str:
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode(errors="backslashreplace").decode()
    return text
