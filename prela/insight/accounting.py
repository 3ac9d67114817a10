"""Where a task's time goes: the arithmetic. It knows no loop, clock or thread; times are given, in nanoseconds.

A `Ledger` belongs to a loop, and is told when each step begins and ends. An `Account` belongs to a task, and adds up.
A `Mark` is what a span notes of its task's account when it starts; when it ends, the differences are its own. So spans
may be nested, and overlap, in any order, and a step costs the same however many are open.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from prela.insight.stalls import StallBook

if TYPE_CHECKING:
    from weakref import ref

    from prela.core.span import Span

PLACED_FROM: Final = 1_000_000
"""Nanoseconds from which it is worth while to find out where a step was."""
_MOST_MARKS: Final = 64
"""Spans started later in the same task and still open that are looked through for the longest step."""
_ALWAYS: Final = -1


class Account:
    """What one task has used so far, but for the step it is in."""

    __slots__ = ("charged", "lost", "notable", "ready", "ready_since", "run", "tail", "task", "threshold", "unsure")

    def __init__(self, threshold: int, task: "ref[Any] | None" = None) -> None:
        self.task: ref[Any] | None = task
        self.run: int = 0
        self.ready: int = 0
        self.ready_since: int = 0
        """Since when the loop has known that the task can run; 0 while it cannot, or runs."""
        self.threshold: int = threshold
        self.notable: int = threshold
        """Steps up to this length change nothing but `run`: neither the longest step nor a stall."""
        self.charged: int = 0
        """Nanoseconds of stalls that this task was the cause of."""
        self.lost: int = 0
        """Steps whose end was not seen."""
        self.unsure: int = 0
        """Of `run`, what was attributed by halves, where it is sampled."""
        self.tail: Mark | None = None

    def note_step(self, begin: int, end: int, place: str | None) -> None:
        """Remember a stretch of running, if it is the longest of any span that is open."""
        mark = self.tail
        while mark is not None:
            length = end - max(begin, mark.start)
            if length > mark.longest:
                mark.longest, mark.place = length, place
            if mark.start <= begin:
                break  # those before it learn of it when this one ends
            mark = mark.previous
        self.notable = self.threshold if self.tail is None else min(self.tail.longest, self.threshold)


class Mark:
    """What a span notes at its start."""

    __slots__ = (
        "account",
        "charged",
        "charged_elsewhere",
        "following",
        "ledger",
        "longest",
        "looks",
        "lost",
        "missed",
        "place",
        "previous",
        "ready",
        "run",
        "span",
        "stalled",
        "stalls",
        "start",
        "step",
        "unsure",
    )

    def __init__(self, ledger: "Books", account: Account, start: int, run: int, span: "ref[Span] | None") -> None:
        self.ledger: Books = ledger
        self.account: Account = account
        self.span: ref[Span] | None = span
        self.start: int = start
        self.run: int = run
        self.ready: int = account.ready
        self.lost: int = account.lost
        self.charged: int = account.charged
        self.charged_elsewhere: int = 0
        """Stalls that it was charged with in tasks that are not its own but inherited it."""
        self.stalls: int = ledger.stalls.count
        self.stalled: int = ledger.stalls.total
        self.longest: int = -1
        """The longest step while no later span of the task was open; these know of their own."""
        self.place: str | None = None
        self.step: int = 0
        self.unsure: int = account.unsure
        self.missed: int = 0
        self.looks: int = 0
        previous = account.tail
        self.previous: Mark | None = previous
        self.following: Mark | None = None
        if previous is not None:
            previous.following = self
        account.tail = self
        account.notable = _ALWAYS

    def remove(self) -> "tuple[int, str | None] | None":
        """Leave the account. Return the longest step since, and where; None where too many later spans are open."""
        longest, place = self.longest, self.place
        later = self.following
        for _ in range(_MOST_MARKS):
            if later is None:
                break
            if later.longest > longest:
                longest, place = later.longest, later.place
            later = later.following
        previous, following = self.previous, self.following
        if previous is not None:
            previous.following = following
            if self.longest > previous.longest:
                previous.longest, previous.place = self.longest, self.place
        if following is not None:
            following.previous = previous
        elif self.account.tail is self:
            self.account.tail = previous
        self.previous = self.following = None
        self.account.notable = _ALWAYS
        return (longest, place) if later is None else None


class Spent(NamedTuple):
    """Where the time of a span went, in nanoseconds."""

    run: int
    ready: int | None
    """None where it is not known apart from the waiting."""
    wait: int
    longest: int | None
    """None: not known."""
    place: str | None
    exposed: int
    culprits: list[str]
    is_sampled: bool = False


class Books:
    """What the ledger of every kind of loop has."""

    __slots__ = ("current", "loop", "loose", "on_close", "open", "sample", "stalls", "thread", "threshold")

    def __init__(self, threshold: int, thread: int) -> None:
        self.threshold: int = threshold
        """Nanoseconds from which a hold is a stall."""
        self.thread: int = thread
        """`threading.get_ident()` of the thread that the loop runs in."""
        self.loose: Account = Account(threshold)
        """Of what runs in no task, or in tasks that have had no span of their own."""
        self.stalls: StallBook = StallBook()
        self.open: int = 0
        """Spans open here: while there are none, nobody looks."""
        self.sample: Any = None
        """The stack of the hold in progress, as somebody saw it from outside."""
        self.loop: Callable[[], object] = lambda: None
        """The loop, while it exists and is watched."""
        self.on_close: Callable[[], object] = lambda: None
        self.current: Any = None
        """The task whose step is being settled, where the loop tells it."""

    def is_watched(self) -> bool:
        """Whether there is a loop that may still run."""
        loop: Any = self.loop()
        return loop is not None and not (hasattr(loop, "is_closed") and loop.is_closed())

    def close(self) -> None:
        """Watch the loop no more."""
        self.loop = lambda: None
        self.open = 0
        self.on_close()


class _Paused(NamedTuple):
    account: Account
    depth: int
    """Of the eager starts in progress; -1 for a loop that was run within a step."""
    hold: int


OnHold = Callable[["Ledger", Account, int, int], None]
Locate = Callable[["Ledger", Account], str | None]


class Ledger(Books):
    """A loop each of whose steps is seen. `begin` is read from other threads.

    Args:
        threshold: Nanoseconds from which a hold is a stall.
        thread: The identity of the loop's thread.
        on_hold: Called as `on_hold(ledger, account, hold, now)` at the end of each hold that is a stall.
        locate: Returns where a task is, at the end of a step; for those worth it.
    """

    __slots__ = ("_locate", "_on_hold", "account", "begin", "creating", "hold", "outer")

    open: int
    sample: Any

    def __init__(self, threshold: int, thread: int, on_hold: OnHold, locate: Locate) -> None:
        super().__init__(threshold, thread)
        self.account: Account = self.loose
        self.begin: int = 0
        """When the account began to run; 0 while nothing runs."""
        self.hold: int = 0
        """When the step began that it is part of, where that is another time."""
        self.outer: list[_Paused] = []
        """Those that wait within their own step for one inside it."""
        self.creating: list[int] = []
        """When each task began to be created that is being created now."""
        self._on_hold = on_hold
        self._locate = locate

    def begin_step(self, account: Account | None, now: int) -> None:
        """The loop runs a task, or something that has no account."""
        self.account = account = account or self.loose
        if account.ready_since:
            account.ready += now - account.ready_since
            account.ready_since = 0
        self.begin = now

    def end_step(self, now: int) -> None:
        """What the loop ran has given it back."""
        begin = self.begin
        if begin:
            step = now - begin
            account = self.account
            account.run += step
            self.begin = self.settle(now) if step > account.notable else 0

    def settle(self, now: int) -> int:
        """The end of a step that matters, which `run` has already; return since when another goes on, or 0."""
        self._note_stretch(now)
        while self.outer and self.outer[-1].depth >= 0:  # an eager start whose end was not seen
            self.account = self.outer.pop().account
            self.account.notable = _ALWAYS
        hold = self.hold or self.begin
        if now - hold > self.threshold:
            self._on_hold(self, self.account, hold, now)
        self.sample = None
        self.hold = 0
        self.creating.clear()
        if not self.outer:
            return 0
        self.account = self.outer.pop().account
        self.account.notable = _ALWAYS
        return now

    def _note_stretch(self, now: int) -> None:
        account, begin = self.account, self.begin
        place = None
        if account.tail is not None and now - begin >= PLACED_FROM:
            place = self._locate(self, account)
        account.note_step(begin, now, place)

    # --- one inside the other ---------------------------------------------------------------------------------------

    def pause(self, inner: Account, at: int, depth: int = -1) -> None:
        """Within the step in progress another account runs since `at`: what runs then is counted once.

        `depth` says which of the tasks being created it is; then the hold goes on. -1: a loop is run inside the step,
        which is not held by what is outside.
        """
        account = self.account
        at = max(at, self.begin)
        account.run += at - self.begin
        account.note_step(self.begin, at, None)
        self.outer.append(_Paused(account, depth, self.hold))
        self.hold = 0 if depth < 0 else self.hold or self.begin
        self.account = inner
        self.begin = at
        account.notable = inner.notable = _ALWAYS

    def resume(self, now: int) -> None:
        """The innermost of those that were paused goes on."""
        self.account.run += now - self.begin
        self._note_stretch(now)
        self.account = self.outer.pop().account
        self.account.notable = _ALWAYS
        self.begin = now

    def created(self, now: int) -> None:
        """A task has been created; if it was started at once, that step of it is over."""
        if self.creating:
            self.creating.pop()
        if self.outer and self.outer[-1].depth == len(self.creating):
            self.resume(now)

    def lose(self) -> None:
        """The end of what ran was not seen: an exception ended the loop. Spans open in it have no answer."""
        for account in (self.account, *(paused.account for paused in self.outer)):
            account.lost += 1
        self.outer.clear()
        self.creating.clear()
        self.begin = self.hold = 0

    # --- spans ------------------------------------------------------------------------------------------------------

    def run_of(self, account: Account, now: int) -> int:
        """What an account has run until now, the step in progress included."""
        return account.run + (now - self.begin if self.begin and account is self.account else 0)

    def take_up(self, account: Account, now: int) -> bool:
        """A span starts in the task of this account; whether it is known since when that runs."""
        if account is self.account and self.begin:
            return True
        if self.begin and self.creating:
            depth = len(self.creating) - 1
            if self.outer and self.outer[-1].depth >= depth:
                return False
            self.pause(account, self.creating[-1], depth)
            return True
        if self.begin and self.account is not self.loose:
            return False
        self.begin = self.begin or now
        self.account = account
        return True

    def start(self, account: Account, now: int, span: "ref[Span] | None" = None) -> Mark:
        """A span starts in the task that runs now."""
        mark = Mark(self, account, now, self.run_of(account, now), span)
        mark.step = self.begin
        self.open += 1
        return mark

    def finish(self, mark: Mark, now: int, running: Account | None, place: str | None = None) -> Spent | None:
        """The span of the mark ends, in this account's task; None where nothing is known.

        `place` is where that is, for a step that is not over and may be the longest.
        """
        self.open -= 1
        longest = mark.remove()
        account = mark.account
        if running is not account or account is not self.account or not self.begin or account.lost != mark.lost:
            return None
        if account is self.loose and mark.step != self.begin:
            return None  # what runs in no task is told apart by its step only
        run = self.run_of(account, now) - mark.run
        ready = account.ready - mark.ready
        wait = max(0, now - mark.start - run - ready)
        in_progress = now - max(self.begin, mark.start)
        if longest is not None and in_progress > longest[0]:
            longest = in_progress, place
        exposed, culprits = self.stalls.exposure(mark)
        step, where = longest or (None, None)
        return Spent(run, ready, wait, step, where, min(exposed, wait + ready), culprits)
