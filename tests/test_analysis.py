"""What a trace says about time, on trees whose answers were worked out by hand. Times are milliseconds."""

from typing import Any

import pytest

from prela.record.flat import flatten, latest_moment
from prela.record.tree import Node, forest
from prela.store.analysis import (
    Change,
    Comparison,
    compare,
    concurrency,
    critical_path,
    idle_gaps,
    self_times,
)
from tests.traces import MS, START, at, cancelled, chain, join, record, records_of, span, tree


def ms(time_unix_nano: int) -> float:
    return (time_unix_nano - START) / MS


# --- self time ------------------------------------------------------------------------------------------------------


def own(roots: list[Node], **options: Any) -> dict[str, float]:
    return {found.record.name: round(found.self_time * 1e3, 6) for found in self_times(roots, **options)}


def test_self_time_is_what_no_child_accounts_for() -> None:
    assert own(tree(span("root", 0, 10, span("a", 1, 4), span("b", 5, 9, span("c", 6, 7))))) == {
        "root": 3,
        "a": 3,
        "b": 3,
        "c": 1,
    }


def test_children_that_overlap_cost_their_parent_the_time_only_once() -> None:
    assert own(tree(span("root", 0, 10, span("a", 1, 6), span("b", 2, 4), span("c", 5, 8))))["root"] == 3


def test_what_a_child_does_outside_of_its_parent_costs_the_parent_nothing() -> None:
    roots = tree(span("root", 10, 20, span("early", 5, 12), span("late", 18, 40), span("apart", 30, 50)))
    assert own(roots) == {"root": 6, "early": 7, "late": 22, "apart": 20}


def test_a_pending_span_runs_until_now() -> None:
    roots = tree(span("root", 0, None, span("open", 2, None), span("done", 1, 6)))
    assert own(roots) == {"root": 1, "open": 4, "done": 5}
    assert own(roots, now=at(10)) == {"root": 1, "open": 8, "done": 5}


def test_a_span_that_ends_before_it_starts_has_no_length() -> None:
    (found,) = self_times(tree(span("skewed", 5, 3)))
    assert (found.duration, found.self_time) == (0.0, 0.0)


def test_self_times_stand_depth_first() -> None:
    roots = tree(span("root", 0, 9, span("a", 1, 4, span("c", 2, 3)), span("b", 5, 6)), span("other", 3, 4))
    assert [found.record.name for found in self_times(roots)] == ["root", "a", "c", "b", "other"]


# --- critical path --------------------------------------------------------------------------------------------------


def path(roots: list[Node], **options: Any) -> list[tuple[str | None, float, float]]:
    return [
        (s.record.name if s.record else None, ms(s.start_time_unix_nano), ms(s.end_time_unix_nano))
        for s in critical_path(roots, **options).segments
    ]


def test_of_children_that_run_at_once_the_last_to_end_is_on_the_path() -> None:
    #   root   |--------------------|
    #   quick    |-----|
    #   slow     |--------------|
    roots = tree(span("root", 0, 10, span("quick", 1, 4), span("slow", 1, 8)))
    assert path(roots) == [("root", 0, 1), ("slow", 1, 8), ("root", 8, 10)]


def test_children_in_sequence_are_all_on_the_path_with_the_gaps_between() -> None:
    roots = tree(span("root", 0, 10, span("a", 1, 3), span("b", 5, 9)))
    assert path(roots) == [("root", 0, 1), ("a", 1, 3), ("root", 3, 5), ("b", 5, 9), ("root", 9, 10)]


def test_the_path_goes_through_two_rounds_of_a_fan_out() -> None:
    #   round 1: a 1-4, b 1-6    round 2: c 6-9, d 6-7
    roots = tree(span("root", 0, 10, span("a", 1, 4), span("b", 1, 6), span("c", 6, 9), span("d", 6, 7)))
    assert path(roots) == [("root", 0, 1), ("b", 1, 6), ("c", 6, 9), ("root", 9, 10)]


def test_the_path_goes_down_into_what_a_child_waited_for() -> None:
    roots = tree(span("root", 0, 10, span("a", 0, 10, span("b", 2, 7, span("c", 3, 7)))))
    assert path(roots) == [("a", 0, 2), ("b", 2, 3), ("c", 3, 7), ("a", 7, 10)]


def test_what_ended_after_a_blocker_began_did_not_hold_it_up() -> None:
    roots = tree(span("root", 0, 10, span("a", 0, 6), span("b", 4, 10)))
    assert path(roots) == [("root", 0, 4), ("b", 4, 10)]


def test_a_child_that_outlives_its_parent_was_not_waited_for() -> None:
    roots = tree(span("root", 0, 10, span("forgotten", 1, 50), span("b", 2, 6)))
    assert path(roots) == [("root", 0, 2), ("b", 2, 6), ("root", 6, 10)]


def test_a_child_that_starts_when_its_parent_has_ended_was_not_waited_for() -> None:
    assert path(tree(span("root", 0, 10, span("after", 10, 20), span("later", 12, 20)))) == [("root", 0, 10)]


def test_a_pending_child_was_not_waited_for_by_a_parent_that_ended() -> None:
    assert path(tree(span("root", 0, 10, span("open", 1, None)))) == [("root", 0, 10)]


def test_a_pending_parent_waits_for_its_pending_child() -> None:
    roots = tree(span("root", 0, None, span("open", 1, None), span("done", 0, 6)))
    assert path(roots, now=at(9)) == [("root", 0, 1), ("open", 1, 9)]


def test_a_child_that_starts_before_its_parent_counts_from_the_parents_start() -> None:
    roots = tree(span("root", 5, 10, span("early", 0, 8, span("deep", 1, 7))))
    assert path(roots) == [("deep", 5, 7), ("early", 7, 8), ("root", 8, 10)]


def test_a_child_that_ended_before_its_parent_started_is_not_on_the_path() -> None:
    assert path(tree(span("root", 5, 10, span("before", 0, 3), span("just", 1, 5)))) == [("root", 5, 10)]


def test_the_server_of_a_client_whose_clock_is_fast_is_cut_to_the_client_and_what_it_waited_for_too() -> None:
    roots = tree(
        span(
            "root",
            0,
            12,
            span("call", 1, 10, span("serve", 3, 11, span("query", 4, 10.5), kind="server"), kind="client"),
        )
    )
    assert path(roots) == [
        ("root", 0, 1),
        ("call", 1, 3),
        ("serve", 3, 4),
        ("query", 4, 10),
        ("root", 10, 12),
    ]


def test_spans_of_no_length_are_not_on_the_path() -> None:
    assert path(tree(span("root", 0, 10, span("mark", 4, 4), span("end", 10, 10)))) == [("root", 0, 10)]


def test_a_root_of_no_length_has_no_path() -> None:
    assert path(tree(span("root", 3, 3, span("a", 3, 3)))) == []


def test_no_spans_have_no_path() -> None:
    assert critical_path([]) == ((), "timing")


def test_of_children_that_ended_together_the_longest_is_on_the_path_and_then_the_first_by_id() -> None:
    assert path(tree(span("root", 0, 9, span("short", 5, 9), span("long", 0, 9)))) == [("long", 0, 9)]
    assert path(tree(span("root", 0, 9, span("first", 0, 9), span("second", 0, 9)))) == [("first", 0, 9)]


def test_the_winner_of_a_race_decided_and_not_the_loser_that_was_cancelled() -> None:
    #   winner  |-----|
    #   loser   |------|  cancelled, and a moment to clean up
    roots = tree(span("root", 0, 10, span("winner", 1, 6), cancelled("loser", 1, 7, cause="explicit")))
    assert path(roots) == [("root", 0, 1), ("winner", 1, 6), ("loser", 6, 7), ("root", 7, 10)]


def test_of_a_race_all_of_whose_losers_clean_up_at_once_only_the_last_to_clean_up_and_the_winner_are_on_the_path() -> (
    None
):
    losers = [cancelled(f"loser {i}", 0, 6 + i / 10, span("inside", 0, 6 + i / 20)) for i in range(1, 4)]
    roots = tree(span("root", 0, 10, *losers, span("winner", 0, 6)))
    assert path(roots) == [("winner", 0, 6), ("inside", 6, 6.15), ("loser 3", 6.15, 6.3), ("root", 6.3, 10)]


def test_a_loser_that_ended_with_the_winner_is_not_on_the_path() -> None:
    assert path(tree(span("root", 0, 6, cancelled("loser", 0, 6), span("winner", 1, 6)))) == [
        ("root", 0, 1),
        ("winner", 1, 6),
    ]


def test_the_sibling_that_failed_decided_when_the_others_were_cancelled() -> None:
    roots = tree(
        span(
            "root",
            0,
            8,
            span("fails", 0, 3, status="error"),
            span("done", 0, 5),
            cancelled("other", 0, 7, cause="sibling_failed"),
            status="error",
        )
    )
    assert path(roots) == [("fails", 0, 3), ("other", 3, 7), ("root", 7, 8)]


def test_what_ran_into_its_deadline_was_what_was_waited_for() -> None:
    roots = tree(span("root", 0, 8, span("done", 0, 3), cancelled("slow", 0, 7, cause="deadline")))
    assert path(roots) == [("slow", 0, 7), ("root", 7, 8)]


def test_where_all_is_cancelled_from_outside_the_last_to_end_was_what_was_waited_for() -> None:
    roots = tree(cancelled("root", 0, 8, span("done", 0, 3), cancelled("slow", 0, 7)))
    assert path(roots) == [("slow", 0, 7), ("root", 7, 8)]


def test_several_roots_are_walked_each_up_to_where_the_next_begins() -> None:
    #   one    |------|          two began while one ran; three after a pause
    #   two       |------|
    #   three                |---|
    roots = tree(span("one", 0, 6, span("a", 1, 3)), span("two", 4, 9), span("three", 12, 15))
    assert path(roots) == [
        ("one", 0, 1),
        ("a", 1, 3),
        ("one", 3, 4),
        ("two", 4, 9),
        (None, 9, 12),
        ("three", 12, 15),
    ]


# --- joins ----------------------------------------------------------------------------------------------------------


def test_without_joins_the_path_is_known_from_timing() -> None:
    assert critical_path(tree(span("root", 0, 10, span("a", 1, 3)))).basis == "timing"


def test_a_recorded_join_says_what_was_waited_for_and_timing_is_not_asked() -> None:
    #   root waited for 2 until 6, and did something else until 10, while 3 went on in a task of its own
    task = {"prela.task.id": 7}
    roots = tree(
        span(
            "root",
            0,
            10,
            span("joined", 1, 6, attributes={"prela.task.id": 8}),
            span("not joined", 1, 9, attributes={"prela.task.id": 9, "prela.task.group": f"{1:016x}"}),
            links=[join(2, start=2, end=6)],
            attributes=task,
        )
    )
    assert path(roots) == [("root", 0, 1), ("joined", 1, 6), ("root", 6, 10)]
    assert critical_path(roots).basis == "joins"


def test_beside_joins_a_child_in_another_task_that_nobody_joined_counts_by_its_timing() -> None:
    task, other, third = ({"prela.task.id": number} for number in (7, 8, 9))
    below = [span("joined", 1, 6, attributes=other), span("elsewhere", 6, 9, attributes=third)]
    roots = tree(span("root", 0, 10, *below, links=[join(2, start=2, end=6)], attributes=task))
    assert path(roots) == [("root", 0, 1), ("joined", 1, 6), ("elsewhere", 6, 9), ("root", 9, 10)]
    assert critical_path(roots).basis == "mixed"


def test_beside_joins_a_child_that_nothing_ran_beside_is_a_call() -> None:
    task = {"prela.task.id": 7}
    roots = tree(
        span(
            "root",
            0,
            10,
            span("joined", 1, 6, attributes={"prela.task.id": 8}),
            span("called", 7, 9),
            links=[join(2, end=6)],
            attributes=task,
        )
    )
    assert path(roots) == [("root", 0, 1), ("joined", 1, 6), ("root", 6, 7), ("called", 7, 9), ("root", 9, 10)]
    assert critical_path(roots).basis == "joins"


@pytest.mark.parametrize(
    "beside",
    [
        span("beside", 6.5, 8),
        span("in another task", 6, 8, attributes={"prela.task.id": 9}, links=[]),
    ],
    ids=["untold", "told"],
)
def test_beside_joins_children_that_ran_at_once_count_by_their_timing(beside: Any) -> None:
    task = {"prela.task.id": 7}
    below = span("below", 0, 10, span("called", 7, 9), beside, attributes=task)
    roots = tree(span("root", 0, 12, below, span("joined", 1, 11), links=[join(5, end=11), join(2, end=10)]))
    assert critical_path(roots).basis == "joins"  # which does not lead there
    roots = tree(span("root", 0, 12, below, span("joined", 1, 9), links=[join(5, end=9), join(2, end=10)]))
    assert path(roots) == [("root", 0, 0), ("below", 0, 7), ("called", 7, 9), ("below", 9, 10), ("root", 10, 12)][1:]
    assert critical_path(roots).basis == "mixed"


def test_a_join_leads_to_a_span_elsewhere_in_the_tree_and_from_there_to_what_started_it() -> None:
    #   root      |--------------------|
    #   producer    |-------|               1 to 6
    #   consumer      |------------|        2 to 9, waited from 3 on for the producer, which gave at 6
    roots = tree(span("root", 0, 10, span("producer", 1, 6), span("consumer", 2, 9, links=[join(2, start=3, end=6)])))
    assert path(roots) == [("root", 0, 1), ("producer", 1, 6), ("consumer", 6, 9), ("root", 9, 10)]


def test_a_join_that_did_not_have_to_wait_held_nothing_up() -> None:
    roots = tree(span("root", 0, 10, span("producer", 1, 4), span("consumer", 2, 9, links=[join(2, start=5, end=5)])))
    assert path(roots) == [("root", 0, 2), ("consumer", 2, 9), ("root", 9, 10)]


def test_a_join_that_was_given_up_before_its_target_ended_is_not_followed() -> None:
    roots = tree(span("root", 0, 10, span("slow", 1, 9), span("waits", 1, 10, links=[join(2, end=5)])))
    assert path(roots) == [("root", 0, 1), ("waits", 1, 10)]


def test_spans_that_joined_each_other_do_not_hold_the_walk() -> None:
    roots = tree(span("root", 0, 10, span("a", 1, 9, links=[join(3, end=9)]), span("b", 1, 9, links=[join(2, end=9)])))
    assert path(roots)[0][1] == 0
    assert path(roots)[-1][2] == 10


def test_a_join_leads_into_another_root_and_the_first_root_is_walked_on_where_that_one_began() -> None:
    roots = tree(span("one", 0, 10, links=[join(2, end=7)]), span("two", 4, 6))
    assert path(roots) == [("one", 0, 4), ("two", 4, 6), ("one", 6, 10)]


def test_a_joined_span_whose_parent_had_ended_leads_on_to_what_was_open_above_it() -> None:
    #   root waited for what its child `start` had started and left behind
    task = span("task", 3, 8)
    roots = tree(span("root", 0, 10, span("start", 1, 2, task), links=[join(3, start=4, end=8)]))
    assert path(roots) == [("root", 0, 1), ("start", 1, 2), ("root", 2, 3), ("task", 3, 8), ("root", 8, 10)]


@pytest.mark.parametrize(
    "attributes",
    [
        {"prela.link.kind": "join"},
        {"prela.link.kind": "join", "prela.join.end_time_unix_nano": "soon"},
        {"prela.link.kind": "batch", "prela.join.end_time_unix_nano": at(6)},
    ],
)
def test_a_link_that_is_no_join_changes_nothing(attributes: dict[str, Any]) -> None:
    link = join(2, end=6).__class__(trace_id=join(2, end=6).trace_id, span_id=f"{2:016x}", attributes=attributes)
    with_link = tree(span("root", 0, 10, span("a", 1, 6), span("b", 1, 8), links=[link]))
    assert path(with_link) == path(tree(span("root", 0, 10, span("a", 1, 6), span("b", 1, 8))))


# --- concurrency ----------------------------------------------------------------------------------------------------


def steps(profile: Any) -> list[tuple[float, int]]:
    return [(ms(step.time_unix_nano), step.running) for step in profile.steps]


def test_the_profile_counts_leaves_and_a_parent_only_while_it_works_itself() -> None:
    roots = tree(span("root", 0, 10, span("a", 2, 6), span("b", 4, 8)))
    profile = concurrency(roots).all
    assert steps(profile) == [(0, 1), (4, 2), (6, 1), (10, 0)]
    assert profile.peak == 2
    assert profile.average == pytest.approx(1.2)
    assert profile.total == pytest.approx(0.012)
    assert profile.busy == pytest.approx(0.010)
    assert profile.serial_share == pytest.approx(0.8)


def test_each_type_of_span_has_its_profile() -> None:
    roots = tree(span("root", 0, 10, span("a", 2, 6, span_type="llm"), span("b", 4, 8, span_type="llm")))
    by_type = concurrency(roots).by_type
    assert list(by_type) == ["custom", "llm"]
    assert steps(by_type["custom"]) == [(0, 1), (2, 0), (8, 1), (10, 0)]
    assert steps(by_type["llm"]) == [(2, 1), (4, 2), (6, 1), (8, 0)]
    assert by_type["llm"].average == pytest.approx(0.8)


def test_a_child_that_outlives_its_parent_works_on_alone() -> None:
    profile = concurrency(tree(span("root", 0, 4, span("late", 2, 8)))).all
    assert steps(profile) == [(0, 1), (8, 0)]
    assert profile.average == 1.0


def test_between_roots_nothing_runs() -> None:
    profile = concurrency(tree(span("one", 0, 2), span("two", 6, 8))).all
    assert steps(profile) == [(0, 1), (2, 0), (6, 1), (8, 0)]
    assert (profile.average, profile.serial_share) == (0.5, 1.0)


def test_spans_of_no_length_are_never_at_work() -> None:
    found = concurrency(tree(span("root", 3, 3)))
    assert found.all.steps == ()
    assert (found.all.average, found.all.serial_share, dict(found.by_type)) == (0.0, 0.0, {})
    assert concurrency([]).all.peak == 0


# --- idle gaps ------------------------------------------------------------------------------------------------------


def gaps(roots: list[Node]) -> list[tuple[str | None, float, float]]:
    return [
        (gap.record.name if gap.record else None, ms(gap.start_time_unix_nano), ms(gap.end_time_unix_nano))
        for gap in idle_gaps(roots)
    ]


def test_gaps_are_where_only_parents_were_open_the_longest_first() -> None:
    roots = tree(span("root", 0, 20, span("a", 1, 4), span("step", 6, 18, span("b", 7, 8), span("c", 12, 18))))
    assert gaps(roots) == [("step", 8, 12), ("root", 4, 7), ("root", 18, 20), ("root", 0, 1)]


def test_a_gap_lies_in_the_deepest_span_that_was_open_all_through_it() -> None:
    #   a gap from 3 to 9, in which `inner` ends and `other` begins: only `outer` spans it
    roots = tree(
        span(
            "root",
            0,
            10,
            span("outer", 0, 10, span("inner", 0, 5, span("x", 0, 3)), span("other", 7, 10, span("y", 9, 10))),
        )
    )
    assert gaps(roots) == [("outer", 3, 9)]


def test_a_root_without_children_has_no_gap() -> None:
    assert gaps(tree(span("root", 0, 10))) == []


def test_what_runs_outside_of_the_root_makes_no_gap() -> None:
    assert gaps(tree(span("root", 5, 10, span("late", 12, 20), span("early", 0, 2)))) == [("root", 5, 10)]


def test_leaves_of_no_length_fill_no_gap() -> None:
    assert gaps(tree(span("root", 0, 10, span("mark", 5, 5)))) == [("root", 0, 10)]


def test_a_gap_between_roots_lies_in_no_span() -> None:
    assert gaps(tree(span("one", 0, 4), span("two", 6, 9))) == [(None, 4, 6)]


# --- comparison -----------------------------------------------------------------------------------------------------


def found(comparison: Comparison) -> list[tuple[str, str, float, float]]:
    """Each change as place, kind, milliseconds of duration and of self time."""
    return [
        ("/".join(change.place.path), change.kind, round(change.change * 1e3, 6), round(change.self_change * 1e3, 6))
        for change in comparison.changes
    ]


def test_what_got_slower_and_faster_stands_by_what_it_contributed_itself() -> None:
    before = tree(span("root", 0, 10, span("a", 0, 4), span("b", 4, 9)))
    after = tree(span("root", 0, 13, span("a", 0, 8), span("b", 8, 12)))
    comparison = compare(before, after)
    assert found(comparison) == [
        ("root/a", "slower", 4, 4),
        ("root/b", "faster", -1, -1),
        ("root", "slower", 3, 0),
    ]
    assert comparison.changes[0].ratio == 2.0
    assert (comparison.before, comparison.after) == (pytest.approx(0.010), pytest.approx(0.013))


def test_siblings_of_one_name_are_told_apart_by_their_order() -> None:
    before = tree(span("root", 0, 9, span("a", 0, 2), span("a", 3, 5), span("a", 6, 8)))
    after = tree(span("root", 0, 9, span("a", 0, 2), span("a", 3, 6), span("a", 6, 8)))
    assert found(compare(before, after)) == [("root/a [2]", "slower", 1, 1), ("root", "other", 0, -1)]


def test_siblings_of_one_name_and_two_types_are_two_places() -> None:
    before = tree(span("root", 0, 9, span("a", 0, 2), span("a", 3, 5, span_type="llm")))
    after = tree(span("root", 0, 9, span("a", 0, 2), span("a", 3, 6, span_type="llm")))
    (change, _) = compare(before, after).changes
    assert (change.place.path, change.place.span_type) == (["root", "a"], "llm")


def test_a_new_span_and_one_that_is_gone_are_named_with_all_below() -> None:
    before = tree(span("root", 0, 10, span("old", 0, 2, span("x", 0, 1))))
    after = tree(span("root", 0, 10, span("new", 0, 3, span("y", 0, 1))))
    comparison = compare(before, after)
    assert sorted(found(comparison)) == [
        ("root", "other", 0, -1),
        ("root/new", "new", 3, 2),
        ("root/new/y", "new", 1, 1),
        ("root/old", "gone", -2, -1),
        ("root/old/x", "gone", -1, -1),
    ]
    assert [change.place.name for change in comparison.tops("new")] == ["new"]
    assert [change.place.name for change in comparison.tops("gone")] == ["old"]
    assert comparison.of_kind("new")[0].ratio is None


def test_where_the_fan_out_differs_all_of_a_name_are_summed_up_and_all_below_them() -> None:
    before = tree(span("root", 0, 9, span("a", 0, 2, span("x", 0, 1)), span("a", 3, 5, span("x", 3, 4))))
    after = tree(
        span(
            "root",
            0,
            9,
            span("a", 0, 2, span("x", 0, 1)),
            span("a", 3, 5, span("x", 3, 4)),
            span("a", 6, 8, span("x", 6, 7)),
        )
    )
    comparison = compare(before, after)
    assert found(comparison) == [
        ("root", "other", 0, -2),
        ("root/a [all]", "slower", 2, 1),
        ("root/a [all]/x [all]", "slower", 1, 1),
    ]
    change = comparison.changes[1]
    assert (len(change.before.records), len(change.after.records)) == (2, 3)


def test_a_span_that_now_fails_is_different_even_when_it_takes_as_long() -> None:
    before = tree(span("root", 0, 9, span("a", 0, 2)))
    after = tree(span("root", 0, 9, span("a", 0, 2, status="error")))
    (change,) = compare(before, after).changes
    assert (change.place.name, change.kind, change.before.errors, change.after.errors) == ("a", "other", 0, 1)


def test_two_roots_match_whatever_they_are_called() -> None:
    assert found(compare(tree(span("GET /1", 0, 9)), tree(span("GET /2", 0, 9)))) == []


def test_several_roots_match_by_name() -> None:
    before = tree(span("one", 0, 2), span("two", 0, 3))
    after = tree(span("two", 0, 4), span("three", 0, 2))
    kinds = {change.place.name: change.kind for change in compare(before, after).changes}
    assert kinds == {"one": "gone", "two": "slower", "three": "new"}


def test_what_took_no_time_before_has_no_ratio() -> None:
    change: Change = compare(tree(span("root", 0, 0)), tree(span("root", 0, 5))).changes[0]
    assert (change.change, change.ratio) == (pytest.approx(0.005), None)


# --- any shape ------------------------------------------------------------------------------------------------------


def test_a_trace_deeper_than_pythons_stack_is_analysed() -> None:
    depth = 20_000
    roots = forest(chain(depth))
    assert len(self_times(roots)) == depth
    assert len(critical_path(roots).segments) == 2 * depth - 1
    assert concurrency(roots).all.peak == 1
    assert len(idle_gaps(roots)) == 2
    (change,) = compare(roots, forest([*chain(depth)[:-1], record_of_last(depth)])).changes[:1]
    assert len(change.place.path) >= depth - 1


def record_of_last(depth: int) -> Any:
    last = chain(depth)[-1]
    return record(
        "deep",
        span_id=last.span_id,
        parent_span_id=last.parent_span_id,
        start_time_unix_nano=last.start_time_unix_nano,
        end_time_unix_nano=last.start_time_unix_nano,
    )


def test_the_latest_moment_is_the_last_start_or_end() -> None:
    assert latest_moment(records_of(span("a", 0, 5), span("b", 7, None))) == at(7)
    assert latest_moment([]) == 0


def test_a_flat_forest_knows_how_many_spans_each_stands_for() -> None:
    flat = flatten(tree(span("root", 0, 9, span("a", 1, 4, span("c", 2, 3)), span("b", 5, 6)), span("other", 3, 4)))
    assert flat.sizes() == [4, 2, 1, 1, 1]
    assert flat.roots == [0, 4]
    assert flat.depths == [0, 1, 2, 1, 0]
