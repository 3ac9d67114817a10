"""Spans that are collected without having ended: they are ended then, marked, and told of, once for each place.

`end` runs in finalizers, that is anywhere: in the middle of a locked section, in any thread, at the end of the
interpreter. It takes no lock and logs nothing; what there is to tell the worker tells later.
"""

from collections import deque
from sys import is_finalizing
from typing import TYPE_CHECKING, Final

from prela.core import log
from prela.insight.places import place_of
from prela.insight.registry import registry

if TYPE_CHECKING:
    from prela.insight.span import WatchedSpan

LEAKED: Final = "prela.leaked"
WHERE: Final = "prela.leaked.where"
"""Where the span was started: "file:line in function"."""

_untold: "deque[tuple[str, str]]" = deque(maxlen=1_000)


def end(span: "WatchedSpan") -> None:
    """End a span that is being collected.

    Not one that was never started, nor one that is alive when the interpreter ends, nor after a fork the parent's.
    """
    if is_finalizing() or not registry.has(id(span)):
        return
    where = place_of(span._code, span._instruction)
    span.set_attribute(LEAKED, True)
    span.set_attribute(WHERE, where)
    span.end()
    _untold.append((where, str(span.name)))


def tell() -> None:
    """Warn of what was collected since the last time."""
    while _untold:
        try:
            where, name = _untold.popleft()
        except IndexError:
            return  # another worker was quicker
        log.warn_once(
            f"leak:{where}",
            "prela: the span %r, started at %s, was collected without having ended (told once for each place)",
            name,
            where,
        )
