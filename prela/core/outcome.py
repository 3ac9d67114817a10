"""What an exception that leaves a span says about it: the status, the cause of a cancellation, the leaves of a group.

What counts as a cancellation is handed in as an `Explain`, because the loops' exceptions are not known here.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final, NamedTuple

from prela.core.private import WITHHELD, is_quote, is_withheld, without_secrets
from prela.record.causality import (
    CANCEL_BY,
    CANCEL_BY_SPAN,
    CANCEL_CAUSE,
    CANCEL_REASON,
    CANCEL_SCOPE,
    CANCEL_SCOPE_SPAN,
)
from prela.record.enums import SpanStatus

LEAF_EVENTS: Final = 64
"""How many exceptions of a group are recorded one by one; their number is recorded always."""
_STACK_FRAMES: Final = 100

STREAM_OUTCOME: Final = "prela.stream.outcome"
BRANCH: Final = "prela.exception.branch"
LEAVES: Final = "prela.exception.leaves"


Settle = Callable[[BaseException, Any], None]
"""Is told of an error that leaves a span, and of the span: it may say why others, inside it, were cancelled."""


class Cancellation(NamedTuple):
    """What is known of a cancellation."""

    cause: str = "unknown"
    """deadline, explicit, sibling_failed, shutdown or unknown."""
    reason: str | None = None
    by: str | None = None
    """The task that asked for it, or that failed."""
    by_span: str | None = None
    """The id of its span."""
    scope: str | None = None
    """The name of the span that the deadline was set in."""
    scope_span: str | None = None
    """The id of that span."""
    later: Callable[[], Mapping[str, object]] | None = None
    """Returns, when the span is exported, the attributes that have become known since."""


Explain = Callable[[BaseException], Cancellation | None]
"""Returns what is known of a cancellation, or None for an exception that is none."""


def settle_nothing(error: BaseException, span: Any) -> None:
    """For programs without an event loop."""


def explain_builtin(error: BaseException) -> Cancellation | None:
    """The one cancellation that needs no event loop."""
    if isinstance(error, KeyboardInterrupt):
        return Cancellation("explicit", "KeyboardInterrupt")
    return None


class Outcome(NamedTuple):
    """How a span ended, by the exception that left it."""

    status: SpanStatus
    message: str | None
    attributes: dict[str, Any]
    exceptions: list[tuple[BaseException, str | None]]
    """Those to record as events, each with its branch in the group ("0.1": second child of the first), or None."""
    later: Callable[[], Mapping[str, object]] | None = None
    """As `Cancellation.later`."""


def judge(error: BaseException, explain: Explain, *, stream: bool = False) -> Outcome:
    """Return how a span ended that `error` left; of a stream, with its outcome among the attributes."""
    outcome = _judge(error, explain)
    if stream and STREAM_OUTCOME not in outcome.attributes:
        word = "cancelled" if outcome.status is SpanStatus.CANCELLED else "error"
        outcome.attributes[STREAM_OUTCOME] = word
    return outcome


def _judge(error: BaseException, explain: Explain) -> Outcome:
    if isinstance(error, GeneratorExit):
        return Outcome(SpanStatus.SUCCESS, None, {STREAM_OUTCOME: "closed_early"}, [])
    if isinstance(error, SystemExit) and error.code in (None, 0):
        return Outcome(SpanStatus.SUCCESS, None, {}, [])
    if isinstance(error, BaseExceptionGroup):
        return _judge_group(error, explain)
    cancellation = explain(error)
    if cancellation is not None:
        return _cancelled(cancellation)
    return Outcome(SpanStatus.ERROR, message_of(error), {}, [(error, None)])


def _judge_group(group: "BaseExceptionGroup[BaseException]", explain: Explain) -> Outcome:
    cancellation: Cancellation | None = None
    found: list[tuple[BaseException, str | None]] = []
    failed = False
    for leaf, branch in leaves(group):
        found.append((leaf, branch))
        explained = explain(leaf)
        failed = failed or explained is None
        cancellation = cancellation or explained
    if not failed and cancellation is not None:
        return _cancelled(cancellation)
    return Outcome(SpanStatus.ERROR, message_of(group), {LEAVES: len(found)}, found[:LEAF_EVENTS])


def _cancelled(cancellation: Cancellation) -> Outcome:
    reason = None if cancellation.reason is None else recordable(cancellation.reason)
    attributes = {
        CANCEL_CAUSE: cancellation.cause,
        CANCEL_REASON: reason,
        CANCEL_BY: cancellation.by,
        CANCEL_BY_SPAN: cancellation.by_span,
        CANCEL_SCOPE: cancellation.scope,
        CANCEL_SCOPE_SPAN: cancellation.scope_span,
    }
    known = {key: value for key, value in attributes.items() if value is not None}
    return Outcome(SpanStatus.CANCELLED, None, known, [], cancellation.later)


def leaves(group: "BaseExceptionGroup[BaseException]") -> Iterator[tuple[BaseException, str]]:
    """The exceptions of a group that are no groups themselves, each with its branch; not recursive."""
    pending: list[tuple[BaseException, str]] = [(child, str(i)) for i, child in enumerate(group.exceptions)][::-1]
    while pending:
        error, branch = pending.pop()
        if isinstance(error, BaseExceptionGroup):
            pending.extend([(child, f"{branch}.{i}") for i, child in enumerate(error.exceptions)][::-1])
        else:
            yield error, branch


def exception_attributes(error: BaseException, branch: str | None = None) -> dict[str, Any]:
    """The attributes of an `exception` event (OpenTelemetry semantic conventions, "Recording exceptions")."""
    kind = type(error)
    prefix = "" if kind.__module__ == "builtins" else f"{kind.__module__}."
    attributes = {
        "exception.type": prefix + kind.__qualname__,
        "exception.message": message_of(error),
        "exception.stacktrace": _stack_of(error),
    }
    if branch is not None:
        attributes[BRANCH] = branch
    return attributes


def message_of(error: BaseException) -> str:
    """`str(error)`, or what went wrong with it; an exception's own `__str__` may raise."""
    try:
        if is_withheld(error):
            return WITHHELD
        return recordable(str(error))
    except Exception as again:
        return f"<{type(again).__name__} in __str__ of {type(error).__qualname__}>"


def recordable(text: str) -> str:
    """What a program says of how something went, without what must not be recorded."""
    return WITHHELD if is_quote(text) else without_secrets(text)


def _stack_of(error: BaseException) -> str:
    # Imported here: only failing programs need it, and it is slow to import.
    import traceback

    try:
        if not is_withheld(error):
            formatted = traceback.format_exception(type(error), error, error.__traceback__, limit=-_STACK_FRAMES)
            stack = recordable("".join(formatted))
            if stack is not WITHHELD:
                return stack
        # Where, and not what: the lines of the program may hold what is withheld, too.
        frames = traceback.extract_tb(error.__traceback__, limit=-_STACK_FRAMES)
        return "".join(f'  File "{frame.filename}", line {frame.lineno}, in {frame.name}\n' for frame in frames)
    except Exception as again:
        return f"<{type(again).__name__} while formatting the stack>"
