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
from prela.core.causality import add_join, add_signal, time_of, waiting_span
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
        "_facts",
        "_failed",
        "_failed_task",
        "_first",
        "_last",
        "_since",
        "_span",
        "_survivor",
        "scope_id",
        "span_id",
    )

    def __init__(self, span: Span, scope_id: str) -> None:
        self._span = span
        self.scope_id: str = scope_id
        self.span_id: str = ""
        """The id of the group's span; empty where that records nothing."""
        self._facts: GroupFacts | None = None
        self._since: int | None = None
        self._last: deque[Span] = deque(maxlen=JOINS)
        self._survivor: Span | None = None
        self._first: Span | None = None
        self._failed_task: int | None = None
        self._failed = self._cancelled = 0

    def opened(self) -> None:
        """The group has been entered."""
        try:
            if self._span.is_recording:
                self.span_id = self._span.span_id
                attributes = self._span.attributes
                self._facts = GroupFacts(self._span, attributes.get(TASK_ID), attributes.get(TASK_NAME))
                open_groups[self.scope_id] = self._facts
        except Exception as failure:
            log.failed("a group that begins", failure)

    def began(self, child: Span) -> None:
        """A child's span has begun."""
        if self.span_id:
            child.set_attribute(causality.TASK_GROUP, self.span_id)

    def left(self, span: Span, error: BaseException) -> None:
        """What a child, or the body, is being left by; its span is still open.

        The first failure is remembered: the cancellations of the siblings are on its account.
        """
        try:
            facts = self._facts
            if facts is None or isinstance(error, GeneratorExit):
                return
            outcome = judge(error, explain)
            is_child = span is not self._span
            if outcome.status is SpanStatus.ERROR:
                self._failed += is_child
                if facts.failure is None:
                    self._note_first(facts, span)
            elif facts.failure is not None and is_child:
                by = outcome.attributes.get(causality.CANCEL_BY_SPAN)
                self._cancelled += outcome.status is SpanStatus.CANCELLED and by == facts.failure.span_id
        except Exception as failure:
            log.failed("noting how a child ended", failure)

    def _note_first(self, facts: GroupFacts, span: Span) -> None:
        self._first = span
        facts.failure = Failure(str(span.name), span.span_id)
        self._failed_task = _this_task()
        if self._failed_task is not None:
            failed_tasks[self._failed_task] = facts.failure

    def ended(self, child: Span) -> None:
        """A child's span has ended."""
        try:
            if self._since is not None and child.end_time_ns is not None:
                self._last.append(child)
                if child.status is not SpanStatus.CANCELLED:
                    self._survivor = child
        except Exception as failure:
            log.failed("noting that a child ended", failure)

    def joins(self, error: BaseException | None) -> None:
        """The body has ended, and the group waits for its children from now on."""
        try:
            facts = self._facts
            if facts is None or not self._span.is_recording:
                return
            if error is not None:
                self.left(self._span, error)
                facts.passed_on = explain(error)
            facts.is_joining = True
            self._since = time_of(self._span)
        except Exception as failure:
            log.failed("a group that joins its children", failure)

    def tell(self) -> None:
        """The last child has ended: put what is known on the group's span, which ends now."""
        try:
            open_groups.pop(self.scope_id, None)
            if self._failed_task is not None:
                failed_tasks.pop(self._failed_task, None)
            if self._since is not None and self._span.is_recording:
                self._tell_joins(self._since, time_of(self._span))
            if self._facts is not None and self._facts.failure is not None:
                self._span.set_attribute(causality.GROUP_FIRST_FAILURE, self._facts.failure.name)
                self._span.set_attribute(causality.GROUP_FIRST_FAILURE_SPAN, self._facts.failure.span_id)
                self._span.set_attribute(causality.GROUP_FAILED, self._failed)
                self._span.set_attribute(causality.GROUP_CANCELLED, self._cancelled)
        except Exception as failure:
            log.failed("telling of a group's children", failure)

    def _tell_joins(self, since: int, until: int) -> None:
        for child in dict.fromkeys((*self._last, *filter(None, (self._survivor, self._first)))):
            if child is not self._span and (child.end_time_ns or 0) >= since:
                add_join(self._span, child, since, until)
        self._span.set_attribute(causality.GROUP_JOIN_WAIT, (until - since) / 1e9)


class Start:
    """The wait of `start()` until the child says that it has started."""

    __slots__ = ("child", "has_started", "since", "waiter")

    def __init__(self) -> None:
        self.waiter: Span | None = None
        self.since: int = 0
        self.child: Span | None = None
        self.has_started: bool = False
        try:
            self.waiter = waiting_span()
            self.since = 0 if self.waiter is None else time_of(self.waiter)
        except Exception as failure:
            log.failed("starting a child", failure)

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
