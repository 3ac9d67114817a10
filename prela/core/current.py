"""What is current: one value in one context variable, and how that which left it out of order is taken back.

The law that lives here (docs/context.md): leaving a span restores what was current when it was entered; a span left
elsewhere ends, once, and touches nothing. `span` does the common case itself, and comes here for everything else.
"""

from contextvars import ContextVar, Token
from typing import TYPE_CHECKING, Any, Final

from prela.core.readable import LEFT, Marker
from prela.core.step import in_step
from prela.record.enums import SpanStatus

if TYPE_CHECKING:
    from prela.core.span import Span

current_span: "ContextVar[Span | None]" = ContextVar("prela.current_span", default=None)

_get = current_span.get

_INTERRUPTIONS: Final = (RecursionError, KeyboardInterrupt, SystemExit)
"""What may come between a `with` block and our `__exit__`, which then never runs: spans still entered above one that
these leave were not left out of order, but not left at all."""


class HeldToken(Marker):
    """A token in a wrapper, so that a span is not left by the quick way, which would look at nothing else."""

    __slots__ = ("token",)

    def __init__(self, token: Token[Any]) -> None:
        self.token: Token[Any] = token


def token_of(span: "Span") -> Token[Any] | None:
    """What takes back that a span is current; None where nothing does."""
    token = span._token.token if isinstance(span._token, HeldToken) else span._token
    return token if isinstance(token, Token) else None


def settle_current() -> "Span | None":
    """Return what is current here, after undoing what spans left behind that were left out of order or elsewhere.

    Only the context that a span was entered in takes its token back; in a context that was copied while the span was
    current it stays so, ended or not, since what runs there was started inside it.
    """
    while (span := _get()) is not None and span.is_left:
        if not _is_over(span) or not gives_way(span):
            break
    return span


def restore_before(span: "Span", error: BaseException | None) -> bool:
    """Make current what was before this span, which `error` leaves; False where this is not the context in which to do
    so, or not the order."""
    is_last = settle_current() is span or (isinstance(error, _INTERRUPTIONS) and _end_those_above(span))
    if is_last and gives_way(span):
        settle_current()
        return True
    return False


def gives_way(span: "Span") -> bool:
    """Make current what was before the span that is; whether this is the context in which to do so."""
    token = token_of(span)
    if token is None or not take_back(current_span, token):
        return False
    span._token = LEFT
    return True


def take_back(variable: ContextVar[Any], token: Token[Any]) -> bool:
    """Have a variable be what it was before; whether this is the context in which to do so, and the first time."""
    try:
        variable.reset(token)
    except ValueError:
        step = in_step.get()
        if step is None or not step.is_here():
            return False
        before = token.old_value
        variable.set(None if before is Token.MISSING else before)
    except RuntimeError:
        return False
    return True


def entered_above(outer: "Span") -> "list[Span] | None":
    """The spans that were entered here after `outer` and are still current, or will be again; None where it is not."""
    above: list[Span] = []
    span = _get()
    while span is not outer:
        if span is None:
            return None
        above.append(span)
        token = token_of(span)
        span = None if token is None or token.old_value is Token.MISSING else token.old_value
    return above


def _end_those_above(outer: "Span") -> bool:
    """End the spans entered after `outer` and never left, because no stack was left to do so; whether there are any."""
    above = entered_above(outer)
    if above is None:
        return False
    ended = [_is_over(inner) for inner in above]
    return all(ended)


def _is_over(span: "Span") -> bool:
    """Whether a span has ended, now at the latest: one that has not could not, where its own `__exit__` had no stack,
    nor can it while there is none."""
    if span.is_recording:
        span.set_status(SpanStatus.ERROR, "this span could not be ended where it was left: no stack, or an interrupt")
        span.end()
    return not span.is_recording
