"""The names under which a record says who waited for whom, for what, and whose fault it was. Both wings use them.

A link's kind says what its span has to do with the one it names:

    spawn       that one created the task which this span runs in; left out where that one is its parent
    join        this one waited until that one had ended
    signal      this one waited until that one did something: released a lock, said that it had started
    pull        this one waited, each time, until that one had made its next item
"""

from typing import Final

LINK_KIND: Final = "prela.link.kind"
SPAWN: Final = "spawn"
JOIN: Final = "join"
SIGNAL: Final = "signal"
PULL: Final = "pull"

WAIT_START: Final = "prela.join.start_time_unix_nano"
"""Of a join or a signal: when the wait began."""
WAIT_END: Final = "prela.join.end_time_unix_nano"
"""Of a join or a signal: when the wait was over."""
PULL_TIMES: Final = "prela.pull.times_unix_nano"
"""Of a pull: when each wait began and was over, in turn."""
PULL_CLOSED: Final = "prela.pull.closed"
"""Of a pull: seconds between waits that are told as waiting, because there were too many to tell each; or missing."""
JOINED_BY: Final = "prela.task.joined_by"
"""On a span, the id of the parent that waited for its end: what a join says, where the parent has too many."""

TASK_GROUP: Final = "prela.task.group"
"""On the span of a child task, the id of its group's span, which waits for it if anything does."""
GROUP_FIRST_FAILURE: Final = "prela.group.first_failure"
"""The name of the child that failed first, or the group's own where its body did."""
GROUP_FIRST_FAILURE_SPAN: Final = "prela.group.first_failure_span"
"""Its span id."""
GROUP_FAILED: Final = "prela.group.failed"
"""How many children failed."""
GROUP_CANCELLED: Final = "prela.group.cancelled"
"""How many children were cancelled for the first failure."""
GROUP_JOIN_WAIT: Final = "prela.group.join_wait"
"""Seconds from the end of the body until the last child had ended."""

QUEUED: Final = "prela.time.queued"
"""Seconds that a call waited until a worker thread took it up."""
WAIT_FOR: Final = "prela.wait.for"
"""limiter, semaphore or lock."""
WAIT_NAME: Final = "prela.wait.name"
WAIT_AHEAD: Final = "prela.wait.ahead"
"""How many were waiting already."""
WAIT_HELD_BY: Final = "prela.wait.held_by"
"""The ids of the spans that held what was waited for, when the wait began."""

CANCEL_CAUSE: Final = "prela.cancel.cause"
CANCEL_REASON: Final = "prela.cancel.reason"
CANCEL_BY: Final = "prela.cancel.by"
"""The task that asked for it, or that failed."""
CANCEL_BY_SPAN: Final = "prela.cancel.by_span"
"""The id of that task's span: the outermost of those that know their task."""
CANCEL_SCOPE: Final = "prela.cancel.scope"
"""The name of the span inside which the deadline had been set."""
CANCEL_SCOPE_SPAN: Final = "prela.cancel.scope_span"
"""The id of that span."""
