"""The arithmetic of run, ready, wait and stalls, against schedules that are simulated."""

from collections.abc import Callable
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from prela.insight.accounting import Account, Ledger, Mark, Spent
from prela.insight.sampling import SampledLedger

THRESHOLD = 100


def nowhere(ledger: Ledger, account: Account) -> None:
    return None


def a_ledger(on_hold: Callable[..., None] = lambda *_: None) -> Ledger:
    return Ledger(THRESHOLD, 0, on_hold, nowhere)


class Schedule:
    """A loop that is simulated, and what a ledger says of it beside what is so."""

    def __init__(self, tasks: int) -> None:
        self.now = 1
        self.ledger = a_ledger(self._charge_hold)
        self.accounts = [Account(THRESHOLD) for _ in range(tasks)]
        self.stretches: list[tuple[int, int, int]] = []
        """Task, begin and end of each time that one ran."""
        self.readiness: list[tuple[int, int, int]] = []
        self.marks: list[tuple[int, Mark]] = []
        self.found: list[tuple[int, int, int, Spent]] = []
        """Task, start, end of each span, and what was said of it."""

    def _charge_hold(self, ledger: Any, account: Account, hold: int, now: int) -> None:
        while (held := ledger.stalls.culprit(account, hold, now, THRESHOLD)[1]) > THRESHOLD:
            ledger.stalls.charge(account, hold, now, held, None)
        ledger.stalls.close(account, hold, now)

    def step(self, task: int, idle: int, delay: int, parts: list[tuple[int, int]]) -> None:
        """One step: after being ready for `delay`, parts of so many nanoseconds each, and a span begun or ended."""
        account = self.accounts[task]
        self.now += idle
        account.ready_since = ready = self.now
        self.now += delay
        self.readiness.append((task, ready, self.now))
        begin = self.now
        self.ledger.begin_step(account, begin)
        for length, choice in parts:
            self.now += length
            self._span(task, choice)
        self.stretches.append((task, begin, self.now))
        self.ledger.end_step(self.now)

    def _span(self, task: int, choice: int) -> None:
        own = [entry for entry in self.marks if entry[0] == task]
        if choice == 0 or not own:
            self.marks.append((task, self.ledger.start(self.accounts[task], self.now)))
            return
        entry = own[choice % len(own)]
        self.marks.remove(entry)
        spent = self.ledger.finish(entry[1], self.now, self.accounts[task])
        assert spent is not None
        self.found.append((task, entry[1].start, self.now, spent))


steps = st.lists(
    st.tuples(
        st.integers(0, 2),
        st.integers(0, 60),
        st.integers(1, 60),
        st.lists(st.tuples(st.integers(0, 150), st.integers(0, 5)), max_size=5),
    ),
    max_size=25,
)


def overlaps(stretches: list[tuple[int, int, int]], task: int, start: int, end: int) -> list[int]:
    return [max(0, min(e, end) - max(b, start)) for t, b, e in stretches if t == task]


@given(steps)
def test_run_ready_and_the_longest_step_are_the_overlaps_of_the_span_with_the_steps_of_its_task(program: Any) -> None:
    schedule = Schedule(3)
    for step in program:
        schedule.step(*step)
    for task, start, end, spent in schedule.found:
        own = overlaps(schedule.stretches, task, start, end)
        # A step is entered in the list at its end; a span that ended in the middle of one ended before that.
        assert spent.run == sum(own)
        assert spent.ready == sum(overlaps(schedule.readiness, task, start, end))
        assert spent.longest == max(own)
        assert spent.wait == end - start - spent.run - spent.ready
        assert 0 <= spent.exposed <= spent.wait + spent.ready


@given(steps)
def test_a_span_is_exposed_to_every_hold_of_another_task_that_is_charged(program: Any) -> None:
    schedule = Schedule(3)
    for step in program:
        schedule.step(*step)
    stalls = [stretch for stretch in schedule.stretches if stretch[2] - stretch[1] > THRESHOLD]
    for task, start, end, spent in schedule.found:
        lost = [min(e, end) - max(b, start) for t, b, e in stalls if t != task and b < end and e > start]
        assert spent.exposed == sum(lost)


@given(st.lists(st.tuples(st.integers(1, 90), st.booleans()), min_size=1, max_size=12))
def test_no_more_is_charged_of_a_hold_than_it_lasted_and_no_stall_is_left_over(parts: Any) -> None:
    charged: list[int] = []

    def charge(ledger: Any, account: Account, hold: int, now: int) -> None:
        while (held := ledger.stalls.culprit(account, hold, now, THRESHOLD)[1]) > THRESHOLD:
            ledger.stalls.charge(account, hold, now, held, None)
            charged.append(held)

    ledger, account, now = a_ledger(charge), Account(THRESHOLD), 1
    ledger.begin_step(account, now)
    open_marks: list[Mark] = []
    for length, starts in parts:
        now += length
        if starts or not open_marks:
            open_marks.append(ledger.start(account, now))
            continue
        mark = open_marks.pop()
        found, held = ledger.stalls.culprit(account, 1, now, THRESHOLD)
        if found is mark:
            ledger.stalls.charge(account, 1, now, held, "inner")
            charged.append(held)
        ledger.finish(mark, now, account)
    ledger.end_step(now)
    assert sum(charged) == ledger.stalls.total == account.charged <= now - 1
    assert all(held > THRESHOLD for held in charged)
    assert now - 1 - sum(charged) <= THRESHOLD


def test_the_innermost_span_that_held_the_loop_for_long_enough_is_the_culprit() -> None:
    ledger, account = a_ledger(), Account(THRESHOLD)
    ledger.begin_step(account, 1)
    outer = ledger.start(account, 11)
    inner = ledger.start(account, 150)
    assert ledger.stalls.culprit(account, 1, 200, THRESHOLD) == (outer, 189)
    assert ledger.stalls.culprit(account, 1, 260, THRESHOLD) == (inner, 110)
    ledger.stalls.charge(account, 1, 260, 110, "inner")
    assert ledger.stalls.culprit(account, 1, 260, THRESHOLD) == (outer, 139)
    ledger.stalls.charge(account, 1, 260, 139, "outer")
    assert ledger.stalls.culprit(account, 1, 260, THRESHOLD) == (None, 10)


def test_what_is_run_inside_a_step_is_counted_once() -> None:
    ledger, outer, inner = a_ledger(), Account(THRESHOLD), Account(THRESHOLD)
    ledger.begin_step(outer, 10)
    of_outer = ledger.start(outer, 12)
    ledger.pause(inner, 20)
    of_inner = ledger.start(inner, 22)
    spent = ledger.finish(of_inner, 28, inner)
    assert spent is not None and (spent.run, spent.wait) == (6, 0)
    ledger.end_step(30)
    spent = ledger.finish(of_outer, 35, outer)
    assert spent is not None
    assert (spent.run, spent.ready, spent.wait) == (8 + 5, 0, 10)


def test_a_task_that_is_started_eagerly_runs_from_where_it_was_created_to_where_it_first_waits() -> None:
    holds: list[tuple[Account, int, int]] = []
    ledger = a_ledger(lambda _, account, hold, now: holds.append((account, hold, now)))
    creator, child = Account(THRESHOLD), Account(THRESHOLD)
    ledger.begin_step(creator, 10)
    of_creator = ledger.start(creator, 10)
    ledger.creating.append(20)
    assert ledger.take_up(child, 25)
    of_child = ledger.start(child, 25)
    ledger.created(100)
    spent = ledger.finish(of_creator, 105, creator)
    assert spent is not None and (spent.run, spent.wait) == (15, 80)
    ledger.end_step(150)
    assert (child.run, creator.run) == (80, 60)
    assert holds == [(creator, 10, 150)]  # the loop was held by both of them, in one go
    ledger.begin_step(child, 200)
    spent = ledger.finish(of_child, 210, child)
    assert spent is not None and spent.run == 85


def test_a_task_of_which_nobody_knows_since_when_it_runs_has_no_answer() -> None:
    ledger, running, other = a_ledger(), Account(THRESHOLD), Account(THRESHOLD)
    ledger.begin_step(running, 10)
    assert not ledger.take_up(other, 20)
    assert ledger.take_up(running, 20)


def test_a_span_that_ends_in_another_task_or_between_steps_has_no_answer() -> None:
    ledger, own, other = a_ledger(), Account(THRESHOLD), Account(THRESHOLD)
    for running in (other, None):
        ledger.begin_step(own, 10)
        mark = ledger.start(own, 11)
        ledger.end_step(20)
        ledger.begin_step(other, 30)
        assert ledger.finish(mark, 40, running) is None
        ledger.end_step(50)
    assert ledger.open == 0


def test_a_span_open_in_a_step_whose_end_was_not_seen_has_no_answer_and_the_next_has() -> None:
    ledger, account = a_ledger(), Account(THRESHOLD)
    ledger.begin_step(account, 10)
    mark = ledger.start(account, 11)
    ledger.lose()
    ledger.begin_step(account, 1000)
    later = ledger.start(account, 1001)
    assert ledger.finish(mark, 1010, account) is None
    spent = ledger.finish(later, 1011, account)
    assert spent is not None and spent.run == 10


def test_the_longest_step_is_left_out_where_too_many_later_spans_are_open() -> None:
    ledger, account = a_ledger(), Account(THRESHOLD)
    ledger.begin_step(account, 10)
    marks = [ledger.start(account, 10) for _ in range(100)]
    spent = ledger.finish(marks[0], 20, account)
    assert spent is not None and spent.longest is None and spent.run == 10
    spent = ledger.finish(marks[98], 20, account)
    assert spent is not None and spent.longest == 10


# --- sampled --------------------------------------------------------------------------------------------------------


def sampled() -> SampledLedger:
    import threading

    return SampledLedger(THRESHOLD, threading.get_ident(), lambda *_: None)


def test_two_looks_at_one_step_are_exact_whatever_the_processor_did() -> None:
    ledger, account = sampled(), Account(THRESHOLD)
    ledger.observe(account, "step", 1000, 0)
    mark = ledger.start(account, 1000)
    ledger.observe(account, "step", 1090, 0)
    spent = ledger.finish(mark, 1090, account)
    assert spent is not None and (spent.run, spent.wait, spent.ready) == (90, 0, None)


def test_processor_time_between_looks_at_two_tasks_is_shared_and_half_of_it_is_unsure() -> None:
    ledger, first, second = sampled(), Account(THRESHOLD), Account(THRESHOLD)
    ledger.observe(first, "a", 1000, 0)
    ledger.observe(second, "b", 1100, 80)
    assert (first.run, second.run, first.unsure, second.unsure) == (40, 40, 40, 40)


def test_what_ran_while_nobody_was_seen_takes_the_answer_away() -> None:
    for used, is_known in ((30, True), (300, False)):
        ledger, account = sampled(), Account(THRESHOLD)
        ledger.observe(account, "begin", 1000, 0)
        mark = ledger.start(account, 1000)
        ledger.observe(None, None, 1010, 0)
        ledger.observe(None, None, 1990, used)
        ledger.observe(account, "end", 2000, used)
        ledger.looks = 5
        assert (ledger.finish(mark, 2000, account) is not None) is is_known


def test_what_may_have_run_between_two_looks_that_are_far_apart_takes_the_answer_away_from_those_not_seen() -> None:
    for apart, is_known in ((20_000_000, True), (100_000_000, False)):
        ledger, account, other = sampled(), Account(THRESHOLD), Account(THRESHOLD)
        ledger.observe(account, "begin", 1000, 0)
        mark = ledger.start(account, 1000)
        ledger.observe(None, None, 2000, 0)
        ledger.observe(other, "far", 2000 + apart, apart)
        end = 2000 + 5 * apart
        ledger.observe(other, "far", end - 1000, 5 * apart)
        ledger.observe(account, "end", end, 5 * apart)
        ledger.looks = 5
        assert (ledger.finish(mark, end, account) is not None) is is_known


def test_a_span_shorter_than_a_few_looks_has_no_answer() -> None:
    ledger, account = sampled(), Account(THRESHOLD)
    ledger.observe(account, "begin", 1000, 0)
    mark = ledger.start(account, 1000)
    ledger.looks = 4
    ledger.observe(account, "end", 2000, 0)
    assert ledger.finish(mark, 2000, account) is None


@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 5), st.integers(1, 50), st.integers(0, 60)), max_size=40))
def test_sampling_never_attributes_more_than_the_time_that_went_by(looks: Any) -> None:
    ledger, accounts = sampled(), [Account(THRESHOLD), Account(THRESHOLD), None]
    now = begin = 1000
    cpu = 0
    ledger.observe(None, None, now, cpu)
    for which, step, passed, used in looks:
        now, cpu = now + passed, cpu + used
        account = accounts[which]
        ledger.observe(account, None if account is None else (which, step), now, cpu)
    assert sum(account.run for account in accounts if account is not None) + ledger.missed <= now - begin
