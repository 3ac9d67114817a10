"""What is current in the place of a span, for as long as a block lasts; and what is meant where one is found."""

from prela.core.current import current_span, gives_way, settle_current
from prela.core.readable import NOT_ENTERED
from prela.core.silent import SUPPRESSION, SilentSpan
from prela.core.span import Span

_get = current_span.get
_set = current_span.set


class StandIn(SilentSpan):
    """Current for as long as a block lasts, in the place of a span: of one that `use_span` is given, of one that the
    context of another framework names, or of none, or of suppression.

    One and the same span may be used many times, in several tasks, and the blocks be left in any order; a span has one
    token, so each block has a stand-in with a token of its own. Nobody is handed it: `current_or_none` looks behind it.
    """

    __slots__ = ("_before", "stands_for")

    stands_for: Span | None
    """None where the other context names no span: what starts below it is a root."""

    def __init__(self, stands_for: Span | None) -> None:
        self.stands_for = stands_for
        self._token = NOT_ENTERED
        self._before: Span | None = None

    def begin(self) -> None:
        """Be current from now on."""
        self._before = _get()
        self._token = _set(self)

    def leave(self) -> None:
        """Make current what was before, or be passed over from now on, as a span left out of order or elsewhere is.
        May be called again after an interruption."""
        if self._token is NOT_ENTERED and _get() is self:
            _set(self._before)  # `begin` was interrupted
        elif settle_current() is self and gives_way(self):
            settle_current()
        else:
            self._be_passed_over()


class LeftStandIn(StandIn):
    """What a stand-in becomes that was left out of order or in another context."""

    __slots__ = ()

    is_left = True


StandIn._left_class = LeftStandIn


def current_or_none() -> Span | None:
    """Return the span that is current here, after `settle_current`, and the one meant where a stand-in is."""
    return meant(settle_current())


def meant(found: Span | None) -> Span | None:
    """The span itself, or that which it stands in for."""
    return found.stands_for if isinstance(found, StandIn) else found


def is_suppressed() -> bool:
    """Whether nothing is to be traced here."""
    found = _get()
    if found is not None and (found.is_left or isinstance(found, StandIn)):
        found = current_or_none()
    return found is SUPPRESSION
