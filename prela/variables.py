"""Environment variables, each read by the rule that its family has for bad values.

A `PRELA_*` value that cannot be used is an error; an `OTEL_*` one is logged and ignored, as that specification demands
("Environment Variable Specification", "Parsing empty value" and following).
"""

from collections.abc import Callable, Mapping
from typing import Final, TypeVar
from urllib.parse import unquote

from prela.core import log
from prela.core.propagation import BAGGAGE, TRACEPARENT, TRACESTATE, RemoteContext, extract

T = TypeVar("T")

LONGEST: Final = 86_400.0
"""Seconds; what is longer was not meant."""
_LONGEST_SHOWN: Final = 300
_TRUE: Final = frozenset({"1", "true", "yes", "on"})
_FALSE: Final = frozenset({"0", "false", "no", "off"})


class ConfigurationError(ValueError):
    """A setting that cannot be used; says which, its value, and what is allowed."""

    def __init__(self, name: str, value: object, allowed: str) -> None:
        super().__init__(f"prela: {name} is {_shown(value)}; allowed is {allowed}")


def _shown(value: object) -> str:
    """A value as its repr, in at most 300 characters."""
    try:
        text = repr(value)
    except Exception:
        text = f"an object of the type {type(value).__name__}"
    return text if len(text) <= _LONGEST_SHOWN else f"{text[: _LONGEST_SHOWN - 1]}…"


class BadValueError(Exception):
    """A value that a parser does not take; says what it would."""


class Variables:
    """Those of one environment, each read by its family's rule for bad values. An empty one counts as unset."""

    def __init__(self, variables: Mapping[str, str]) -> None:
        self._variables = variables
        self.taken: set[str] = set()
        """The names of those that something was taken from."""

    def text(self, name: str) -> str | None:
        return self._taken(name, self._read(name))

    def _read(self, name: str) -> str | None:
        return self._variables.get(name, "").strip() or None

    def _taken(self, name: str, value: T) -> T:
        if value is not None:
            self.taken.add(name)
        return value

    def inherited(self) -> RemoteContext:
        """What an environment carries (OpenTelemetry, "Environment Variables as Context Propagation Carriers")."""
        names = (TRACEPARENT, TRACESTATE, BAGGAGE)
        return extract({name: value for name in names if (value := self.text(name.upper()))})

    def prela(self, name: str, parse: Callable[[str], T]) -> T | None:
        try:
            return self._parsed(name, parse)
        except BadValueError as bad:
            raise ConfigurationError(name, self._read(name), str(bad)) from None

    def otel(self, name: str, parse: Callable[[str], T]) -> T | None:
        try:
            return self._parsed(name, parse)
        except BadValueError as bad:
            log.warn("prela: %s is %r and was ignored; allowed is %s", name, self._read(name), bad)
            return None

    def _parsed(self, name: str, parse: Callable[[str], T]) -> T | None:
        value = self._read(name)
        return None if value is None else self._taken(name, parse(value))


def parse_boolean(value: str) -> bool:
    """True or false, in any of the usual words."""
    if value.lower() in _TRUE:
        return True
    if value.lower() in _FALSE:
        return False
    raise BadValueError("true or false")


def parse_rate(value: str) -> float:
    """A share, from 0 to 1."""
    try:
        rate = float(value)
    except ValueError:
        raise BadValueError("a number from 0 to 1") from None
    if not 0.0 <= rate <= 1.0:
        raise BadValueError("a number from 0 to 1")
    return rate


def parse_positive_int(value: str) -> int:
    """A whole number above 0, written in digits."""
    if not value.isascii() or not value.isdigit() or len(value) > 15 or not int(value):
        raise BadValueError("a whole number above 0")
    return int(value)


def parse_milliseconds(value: str) -> float:
    """Seconds, given in whole milliseconds."""
    return parse_positive_int(value) / 1000


def parse_seconds(value: str) -> float:
    """Seconds above 0, at most a day."""
    try:
        seconds = float(value)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds <= LONGEST:
        raise BadValueError(f"a number of seconds above 0, at most {LONGEST:g}")
    return seconds


def parse_key_values(value: str) -> dict[str, str]:
    """`key=value,key=value`, percent-encoded (OpenTelemetry resource SDK, "Specifying resource information")."""
    found = {}
    for pair in value.split(","):
        key, equals, text = pair.partition("=")
        if not equals or not key.strip():
            raise BadValueError("key=value pairs, separated by commas")
        found[unquote(key.strip())] = unquote(text.strip())
    return found


def parser_of(check: Callable[[str], T]) -> Callable[[str], T]:
    """A parser from a check that raises ValueError."""

    def parse(value: str) -> T:
        try:
            return check(value)
        except ValueError as bad:
            raise BadValueError(str(bad)) from None

    return parse
