"""A trace goes on in another process: what is written into a carrier (headers, a message, an environment), and read.

W3C Trace Context (`traceparent`, `tracestate`) and W3C Baggage (`baggage`). Pure text in, pure text out; who sends it,
and where, is for others. Nothing here raises: what cannot be read is as if it were not there.
"""

import os
import re
from collections.abc import Iterable, Iterator, Mapping, MutableMapping
from contextlib import contextmanager
from types import MappingProxyType
from typing import Any, Final, NamedTuple, TypeAlias, TypeVar
from urllib.parse import quote, unquote

from prela.core import log
from prela.core.context import get_baggage, get_current_span, holding_baggage, use_span
from prela.core.span import Span
from prela.core.span_context import SpanContext, checked_context
from prela.core.stand_in import is_suppressed

TRACEPARENT: Final = "traceparent"
TRACESTATE: Final = "tracestate"
BAGGAGE: Final = "baggage"

Carrier: TypeAlias = Mapping[Any, Any] | Iterable[tuple[Any, Any]]
"""Headers to read: a mapping, or pairs as ASGI has them; names in any case, texts or bytes."""

C = TypeVar("C", bound=MutableMapping[str, str])

_TRACEPARENT: Final = re.compile(r"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?", re.ASCII)
_SAMPLED: Final = 0x01
_STATE_MEMBER: Final = re.compile(
    r"[a-z0-9][_0-9a-z\-*/@]{0,255}"  # Trace Context level 2; of those that level 1 allows, all are among them
    r"=([\x20-\x2b\x2d-\x3c\x3e-\x7e]{0,255}[\x21-\x2b\x2d-\x3c\x3e-\x7e])",
    re.ASCII,
)
_MOST_STATES: Final = 32
_TOKEN: Final = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+", re.ASCII)
_BAGGAGE_SAFE: Final = "".join(chr(c) for c in range(0x21, 0x7F) if chr(c) not in '",;\\%')
_MOST_ENTRIES: Final = 64
_MOST_BYTES: Final = 8192
"""Of a whole `baggage` header: what every participant must carry on, and so what one can count on."""
_EMPTY: Final[Mapping[str, str]] = MappingProxyType({})


class RemoteContext(NamedTuple):
    """What a carrier says of where the work came from."""

    parent: SpanContext | None
    """The span that sent it, to be used as `parent=`; None where there is none, which starts a new trace."""
    baggage: Mapping[str, str]


# --- the public face --------------------------------------------------------------------------------------------------


def inject(carrier: C, span: "Span | SpanContext | None" = None) -> C:
    """Write the current span, or another, and the baggage in force into headers; return them.

    `traceparent` and `tracestate` are replaced, whatever their case. Outside any span, and while tracing is off, they
    stay as they are. Inside `suppress()` nothing is written.

    Args:
        carrier: Headers, or any mapping of texts to texts.
        span: Instead of the current span.
    """
    try:
        if not is_suppressed():
            for name, value in _told(span).items():
                _put(carrier, name, value)
    except Exception as error:
        log.failed("inject", error)
    return carrier


def extract(carrier: Carrier) -> RemoteContext:
    """Read where the work came from. What breaks the rules of W3C is passed over."""
    try:
        found = _collected(carrier)
        parent = _parent(found.get(TRACEPARENT, []), found.get(TRACESTATE, []))
        return RemoteContext(parent, _entries(",".join(found.get(BAGGAGE, []))))
    except Exception as error:
        log.failed("extract", error)
        return RemoteContext(None, _EMPTY)


@contextmanager
def attach(carrier: "Carrier | RemoteContext") -> Iterator[RemoteContext]:
    """For the block, go on with the trace and the baggage that a carrier brings.

    Where it brings no trace, what is current stays. The baggage is added to that in force.
    """
    remote = carrier if isinstance(carrier, RemoteContext) else extract(carrier)
    with holding_baggage(remote.baggage):
        if remote.parent is None:
            yield remote
        else:
            with use_span(remote.parent):
                yield remote


def environment(base: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return the environment for a child process that is to go on with this trace: `subprocess.run(..., env=...)`.

    The names are those of OpenTelemetry ("Environment Variables as Context Propagation Carriers"): `TRACEPARENT`,
    `TRACESTATE`, `BAGGAGE`. `PRELA_CONTINUE_TRACE` has a child that uses Prela take up the trace at its `init()`.

    Args:
        base: What else is in it; by default this process's own environment.
    """
    found = dict(os.environ if base is None else base)
    told: dict[str, str] = inject({})
    for name in (TRACEPARENT, TRACESTATE, BAGGAGE):
        found.pop(name.upper(), None)
        if name in told:
            found[name.upper()] = told[name]
    found["PRELA_CONTINUE_TRACE"] = "true" if TRACEPARENT in told else "false"
    return found


# --- writing ----------------------------------------------------------------------------------------------------------


def _told(span: "Span | SpanContext | None") -> dict[str, str]:
    found: dict[str, str] = {}
    chosen = get_current_span() if span is None else span
    context = chosen.context if isinstance(chosen, Span) else checked_context(chosen)
    if context.trace_id.strip("0"):
        flags = _SAMPLED if context.sampled else 0
        found[TRACEPARENT] = f"00-{context.trace_id.lower()}-{context.span_id.lower()}-{flags:02x}"
        found[TRACESTATE] = context.trace_state
    entries = get_baggage()
    if entries:
        found[BAGGAGE] = _baggage_header(entries)
    return found


def _put(carrier: MutableMapping[str, str], name: str, value: str) -> None:
    for key in [key for key in carrier if isinstance(key, str) and key.lower() == name]:
        del carrier[key]
    if value:
        carrier[name] = value


def _baggage_header(entries: Mapping[str, Any]) -> str:
    """The entries that a header has room for, in their order; names that are no tokens of HTTP cannot be sent."""
    members: list[str] = []
    size = -1
    for name, value in entries.items():
        member = f"{name}={quote(str(value), safe=_BAGGAGE_SAFE, errors='replace')}"
        if not _TOKEN.fullmatch(name) or len(members) == _MOST_ENTRIES or size + 1 + len(member) > _MOST_BYTES:
            log.warn_once("baggage", "prela: baggage %.40r cannot be sent and was left out (told once)", name)
            continue
        members.append(member)
        size += 1 + len(member)
    return ",".join(members)


# --- reading ----------------------------------------------------------------------------------------------------------


def _collected(carrier: Carrier) -> dict[str, list[str]]:
    """The values of the headers that count, by name, in their order."""
    found: dict[str, list[str]] = {}
    for name, value in carrier.items() if isinstance(carrier, Mapping) else carrier:
        key = _text(name).lower()
        if key in (TRACEPARENT, TRACESTATE, BAGGAGE):
            values = value if isinstance(value, list | tuple) else [value]
            found.setdefault(key, []).extend(map(_text, values))
    return found


def _text(value: object) -> str:
    return value.decode("latin-1") if isinstance(value, bytes) else str(value)


def _parent(traceparents: list[str], tracestates: list[str]) -> SpanContext | None:
    if len(traceparents) != 1:
        return None  # of two that contradict each other neither counts
    match = _TRACEPARENT.fullmatch(traceparents[0].strip(" \t"))
    if match is None or match[1] == "ff" or (match[1] == "00" and match[5] is not None):
        return None
    _, trace_id, span_id, flags, _ = match.groups()
    if not trace_id.strip("0") or not span_id.strip("0"):
        return None
    return SpanContext(trace_id, span_id, bool(int(flags, 16) & _SAMPLED), _state(tracestates), is_remote=True)


def _state(tracestates: list[str]) -> str:
    """The members of all headers, without what is empty; nothing where one breaks the rules."""
    members = [member for text in tracestates for part in text.split(",") if (member := part.strip(" \t"))]
    keys = {member.partition("=")[0] for member in members}
    if len(members) > _MOST_STATES or len(keys) < len(members) or not all(map(_STATE_MEMBER.fullmatch, members)):
        return ""
    return ",".join(members)


def _entries(header: str) -> Mapping[str, str]:
    """Names and values; properties (`;` and what follows) are metadata that Prela's baggage has no place for."""
    found: dict[str, str] = {}
    for member in header[:_MOST_BYTES].split(",")[:_MOST_ENTRIES]:
        name, equals, value = member.partition(";")[0].partition("=")
        name = name.strip(" \t")
        if equals and _TOKEN.fullmatch(name):
            found[name] = unquote(value.strip(" \t"), errors="replace")
    return MappingProxyType(found)
