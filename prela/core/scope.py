"""The context variables of ours, held apart from the caller's: for code that runs in steps, as generators do."""

from collections.abc import Callable
from contextvars import ContextVar
from typing import Any

from prela.core import log
from prela.core.current import current_span
from prela.core.span import Span
from prela.core.stand_in import is_suppressed
from prela.core.step import Step

_inherited: dict[ContextVar[Any], Callable[[], Any]] = {}


def hold_apart(variable: ContextVar[Any], inherited: Callable[[], Any]) -> None:
    """Have a `Scope` hold this variable apart too, besides the current span; it needs a default.

    `inherited` returns what a generator that begins here has for it. Like that of a copied context it must stay what it
    is when the block that it comes from is left: nothing of it may be taken back in a step.
    """
    _inherited[variable] = inherited


class Scope:
    """What the code of a generator finds in our context variables: in each step what the one before left behind.

    The consumer's own values come back after each step, in whichever context it is taken. What a step must undo is with
    the step, so steps may overlap. A step is taken so:

        step = Step()
        try:
            scope.enter(step)
            ...
        finally:
            try:
                scope.leave(step)
            except BaseException:  # Ctrl-C came in between
                scope.leave(step)
                raise
    """

    __slots__ = ("_inside",)

    def __init__(self, span: Span) -> None:
        self._inside: dict[ContextVar[Any], Any] = {current_span: span}
        for variable, inherited in list(_inherited.items()):
            try:
                self._inside[variable] = inherited()
            except Exception as error:
                log.failed("beginning a generator", error)

    def enter(self, step: Step) -> None:
        """Begin a step. Wherever it breaks off, `leave` undoes what was done."""
        try:
            suppressed = is_suppressed()
            step.begin()
            for variable, value in self._inside.items():
                if variable is not current_span or not suppressed:  # nothing is traced in a consumer's `suppress()`
                    step.before.append((variable, variable.get()))
                    variable.set(value)
            step.inside = {}
        except Exception as error:
            log.failed("entering a step", error)

    def leave(self, step: Step) -> None:
        """End a step. In another context than it began in, as when a collector ends it, nothing is touched."""
        try:
            if not step.is_over and step.end():
                inside = step.inside
                if inside is not None and not inside:
                    inside.update({variable: variable.get() for variable, _ in step.before})
                for variable, before in step.before:
                    variable.set(before)
                self._inside.update(inside or {})
            step.is_over = True
            step.before.clear()  # what was started in the step may go on, and keeps it
            step.inside = step.token = None
        except Exception as error:
            log.failed("leaving a step", error)
