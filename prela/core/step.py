"""A step of a generator: what runs from one `yield` to the next, in whichever context it is taken."""

from contextvars import ContextVar, Token
from typing import Any


class Step:
    """One step while it runs, and what is to be undone at its end; see `scope`."""

    __slots__ = ("before", "inside", "is_over", "token")

    def __init__(self) -> None:
        self.before: list[tuple[ContextVar[Any], Any]] = []
        """What each variable was for the consumer."""
        self.inside: dict[ContextVar[Any], Any] | None = None
        """What each was for the generator at the end, empty before that; None where the step was not begun whole."""
        self.is_over: bool = False
        self.token: Token[Step | None] | None = None

    def begin(self) -> None:
        """From now on this is the step that runs here."""
        self.token = in_step.set(self)

    def end(self) -> bool:
        """No longer; False in another context than it began in. May be called again after an interruption."""
        try:
            if self.token is not None:
                in_step.reset(self.token)
        except ValueError:
            return False
        except RuntimeError:
            pass  # the token was used, and then came the interruption
        return True

    def is_here(self) -> bool:
        """Whether it runs in this very context, and not in one that was copied from it meanwhile."""
        if self.is_over or self.token is None:
            return False
        try:
            in_step.reset(self.token)
        except (ValueError, RuntimeError):
            return False
        self.token = in_step.set(self)
        return True


in_step: "ContextVar[Step | None]" = ContextVar("prela.in_step", default=None)
"""The step that runs here. A generator's steps are one context to it, whichever they are taken in: what one of them
left behind, a later one takes back."""
