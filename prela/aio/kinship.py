"""What a task group's span tells of its children: whom it waited for, which failed first, and what that cost.

A group may have any number of children. Those whose end could have decided when the group ended are kept: the last to
end, the last of them that was not cancelled, and the first to fail. The others had ended before one of these, and the
group would have waited as long without them.
"""

from collections import deque
from typing import Final

from prela.aio.cancellation import Failure, GroupFacts, explain, failed_tasks, open_groups
from prela.aio.tracer import TASK_ID, TASK_NAME
from prela.core import log
from prela.core.causality import add_join, add_signal, time_of
from prela.core.outcome import judge
from prela.core.span import Span
from prela.record import causality
from prela.record.enums import SpanStatus

JOINS: Final = 32
"""Of how many of its children, the last to end, a group tells that it waited for them."""


class Kinship:
    """One group's. Its methods raise nothing."""

    __slots__ = (
        "_cancelled",
        "_failed",
        "_failed_task",
        "_first",
        "_last",
        "_since",
        "_span",
        "span_id",
        "_survivor",
        "facts",
        "scope_id",
    )

    def __init__(self, span: Span, scope_id: str) -> None:
        attributes = span.attributes
        self._span = span
        self.span_id = span.span_id
        self.scope_id = scope_id
        self.facts = GroupFacts(span, attributes.get(TASK_ID), attributes.get(TASK_NAME))
        self._since: int | None = None
        self._last: deque[Span] = deque(maxlen=JOINS)
        self._survivor: Span | None = None
        self._first: Span | None = None
        self._failed_task: int | None = None
        self._failed = self._cancelled = 0
        if span.is_recording:
            open_groups[scope_id] = self.facts

    def began(self, child: Span) -> None:
        """A child's span has begun."""
        child.set_attribute(causality.TASK_GROUP, self.span_id)

    def left(self, span: Span, error: BaseException) -> None:
        """What a child, or the body, is being left by; its span is still open.

        The first failure is remembered: the cancellations of the siblings are on its account.
        """
        try:
            if isinstance(error, GeneratorExit) or not self._span.is_recording:
                return
            outcome = judge(error, explain)
            is_child = span is not self._span
            if outcome.status is SpanStatus.ERROR:
                self._failed += is_child
                if self._first is None:
                    self._first = span
                    self.facts.failure = Failure(span.name, span.span_id)
                    self._failed_task = _this_task()
                    if self._failed_task is not None:
                        failed_tasks[self._failed_task] = self.facts.failure
            elif self.facts.failure is not None and is_child:
                by = outcome.attributes.get(causality.CANCEL_BY_SPAN)
                self._cancelled += outcome.status is SpanStatus.CANCELLED and by == self.facts.failure.span_id
        except Exception as failure:
            log.failed("noting how a child ended", failure)

    def ended(self, child: Span) -> None:
        """A child's span has ended."""
        if self._since is not None and child.end_time_ns is not None:
            self._last.append(child)
            if child.status is not SpanStatus.CANCELLED:
                self._survivor = child

    def joins(self, error: BaseException | None) -> None:
        """The body has ended, and the group waits for its children from now on."""
        try:
            if not self._span.is_recording:
                return
            if error is not None:
                self.left(self._span, error)
                self.facts.passed_on = explain(error)
            self.facts.is_joining = True
            self._since = time_of(self._span)
        except Exception as failure:
            log.failed("a group that joins its children", failure)

    def tell(self) -> None:
        """The last child has ended: put what is known on the group's span, which ends now."""
        try:
            open_groups.pop(self.scope_id, None)
            if self._failed_task is not None:
                failed_tasks.pop(self._failed_task, None)
            if self._since is None or not self._span.is_recording:
                return
            until = time_of(self._span)
            for child in dict.fromkeys((*self._last, *filter(None, (self._survivor, self._first)))):
                if child is not self._span and (child.end_time_ns or 0) >= self._since:
                    add_join(self._span, child, self._since, until)
            self._span.set_attribute(causality.GROUP_JOIN_WAIT, (until - self._since) / 1e9)
            if self.facts.failure is not None:
                self._span.set_attribute(causality.GROUP_FIRST_FAILURE, self.facts.failure.name)
                self._span.set_attribute(causality.GROUP_FIRST_FAILURE_SPAN, self.facts.failure.span_id)
                self._span.set_attribute(causality.GROUP_FAILED, self._failed)
                self._span.set_attribute(causality.GROUP_CANCELLED, self._cancelled)
        except Exception as failure:
            log.failed("telling of a group's children", failure)


class Start:
    """The wait of `start()` until the child says that it has started."""

    __slots__ = ("child", "has_started", "since", "waiter")

    def __init__(self, waiter: Span | None) -> None:
        self.waiter = waiter
        self.since = 0 if waiter is None else time_of(waiter)
        self.child: Span | None = None
        self.has_started = False

    def over(self) -> None:
        """The child has started, and goes on."""
        try:
            if self.waiter is not None and self.child is not None and self.child.is_recording:
                add_signal(self.waiter, self.child, self.since, time_of(self.waiter))
        except Exception as failure:
            log.failed("telling of a child that has started", failure)


def _this_task() -> int | None:
    try:
        import anyio

        return anyio.get_current_task().id
    except Exception:
        return None
