"""What concurrent programs leave behind, shape by shape: the critical path of each, worked out by hand."""

import pytest

from prela.store.analysis import concurrency, critical_path
from tests.test_analysis import gaps, own, path, steps
from tests.traces import Draft, cancelled, join, link, pull, signal, span, tree

Path = list[tuple[str | None, float, float]]

SHAPES: dict[str, tuple[Draft, Path]] = {
    "a semaphore of two and four tasks": (
        span("root", 0, 7, span("a", 0, 4), span("b", 0, 3), span("c", 3, 7), span("d", 4, 6)),
        [("b", 0, 3), ("c", 3, 7)],
    ),
    "map and reduce": (
        span(
            "root",
            0,
            20,
            span("map", 0, 10, span("m1", 0, 3), span("m2", 0, 9), span("m3", 1, 4)),
            span("reduce", 11, 20, span("io", 13, 18)),
        ),
        [("m2", 0, 9), ("map", 9, 10), ("root", 10, 11), ("reduce", 11, 13), ("io", 13, 18), ("reduce", 18, 20)],
    ),
    "a first attempt that fails, and a second": (
        span(
            "root",
            0,
            12,
            span("one", 0, 4, span("x", 0, 3, status="error"), cancelled("y", 0, 4, cause="sibling_failed")),
            span("two", 5, 12),
        ),
        [("x", 0, 3), ("y", 3, 4), ("root", 4, 5), ("two", 5, 12)],
    ),
    "a hedged request whose second copy won": (
        span("root", 0, 6, cancelled("first", 0, 5.5, cause="explicit"), span("second", 3, 5)),
        [("root", 0, 3), ("second", 3, 5), ("first", 5, 5.5), ("root", 5.5, 6)],
    ),
    "a race in the winner of a race": (
        span(
            "root",
            0,
            10,
            span("winner", 0, 5, span("inner", 1, 4), cancelled("inner loser", 1, 4.5)),
            cancelled("loser", 0, 6, span("read", 0, 2), cancelled("wait", 2, 6)),
        ),
        [
            ("winner", 0, 1),
            ("inner", 1, 4),
            ("inner loser", 4, 4.5),
            ("winner", 4.5, 5),
            ("wait", 5, 6),
            ("root", 6, 10),
        ],
    ),
    "a deadline inside a parent that goes on": (
        span("root", 0, 10, cancelled("a", 0, 5, cause="deadline"), cancelled("b", 1, 5, cause="deadline")),
        [("a", 0, 5), ("root", 5, 10)],
    ),
    "one that gave up by itself before the winner": (
        span("root", 0, 10, span("winner", 0, 8), cancelled("gave up", 0, 4)),
        [("winner", 0, 8), ("root", 8, 10)],
    ),
    "work left behind by a child": (
        span("root", 0, 5, span("a", 1, 3, span("left behind", 2, 20))),
        [("root", 0, 1), ("a", 1, 3), ("root", 3, 5)],
    ),
    "a server whose clock is slow": (
        span("call", 10, 20, span("serve", 5, 12, kind="server"), kind="client"),
        [("serve", 10, 12), ("call", 12, 20)],
    ),
    "a server whose clock is hours ahead": (
        span("call", 10, 20, span("serve", 110, 118, kind="server"), kind="client"),
        [("call", 10, 20)],
    ),
    "a server whose clock is hours behind": (
        span("call", 100, 120, span("serve", 10, 18, kind="server"), kind="client"),
        [("call", 100, 120)],
    ),
    "a gather that recorded its joins": (
        span(
            "root",
            0,
            10,
            span("a", 1, 5, attributes={"prela.task.id": 2}),
            span("b", 1, 8, attributes={"prela.task.id": 3}),
            links=[join(2, start=1, end=8), join(3, start=1, end=8)],
            attributes={"prela.task.id": 1},
        ),
        [("root", 0, 1), ("b", 1, 8), ("root", 8, 10)],
    ),
    "a consumer that waited for a producer that waited for a fetch": (
        span(
            "root",
            0,
            12,
            span("producer", 0, 7, span("fetch", 1, 6)),
            span("consumer", 2, 10, links=[join(2, start=2, end=7)]),
            links=[join(4, start=0, end=10)],
        ),
        [("producer", 0, 1), ("fetch", 1, 6), ("producer", 6, 7), ("consumer", 7, 10), ("root", 10, 12)],
    ),
    "a lock that another held, and went on after it": (
        span(
            "root",
            0,
            9,
            span("holder", 0, 8, span("query", 2, 4)),
            span("waiter", 1, 9, links=[signal(2, start=1, end=5)]),
        ),
        [("holder", 0, 2), ("query", 2, 4), ("holder", 4, 5), ("waiter", 5, 9)],
    ),
    "a stream and its consumer in turn": (
        span("root", 0, 9, span("stream", 0, 8, span("fetch", 5, 6)), links=[pull(2, 1, 3, 5, 8)]),
        [("root", 0, 1), ("stream", 1, 3), ("root", 3, 5), ("fetch", 5, 6), ("stream", 6, 8), ("root", 8, 9)],
    ),
    "a stream that waits for a task which ran before it was asked": (
        span(
            "root",
            0,
            9,
            span("fetch", 1, 7, attributes={"prela.task.id": 2, "prela.task.group": f"{9:016x}"}),
            span("stream", 0, 8, links=[join(2, start=5, end=7)]),
            links=[pull(3, 4, 8)],
        ),
        [("root", 0, 1), ("fetch", 1, 7), ("stream", 7, 8), ("root", 8, 9)],
    ),
    "a job that a queue handed on": (
        span(
            "root",
            0,
            12,
            span("sender", 1, 6),
            span("worker", 0, 10, span("job", 4, 9, links=[link(2, "spawn")])),
            links=[join(4, start=5, end=10)],
        ),
        [("root", 0, 1), ("sender", 1, 4), ("job", 4, 9), ("worker", 9, 10), ("root", 10, 12)],
    ),
    "more calls in threads than a span has links": (
        span(
            "root",
            0,
            9,
            span("one", 1, 4, attributes={"prela.task.joined_by": f"{1:016x}"}),
            span("two", 3, 8, attributes={"prela.task.joined_by": f"{1:016x}"}),
        ),
        [("root", 0, 3), ("two", 3, 8), ("root", 8, 9)],
    ),
    "a lock that another held": (
        span("root", 0, 9, span("holder", 0, 5), span("waiter", 1, 9, links=[join(2, start=1, end=5)])),
        [("holder", 0, 5), ("waiter", 5, 9)],
    ),
}


@pytest.mark.parametrize("shape", SHAPES)
def test_the_critical_path_of(shape: str) -> None:
    draft, expected = SHAPES[shape]
    assert path(tree(draft)) == expected


def test_one_root_within_another_is_not_waited_for() -> None:
    roots = tree(span("one", 0, 10, span("a", 2, 4)), span("two", 3, 6))
    assert path(roots) == [("one", 0, 2), ("a", 2, 4), ("one", 4, 10)]
    assert steps(concurrency(roots).all) == [(0, 1), (3, 2), (6, 1), (10, 0)]


def test_under_a_semaphore_as_many_run_as_it_lets_in() -> None:
    draft, _ = SHAPES["a semaphore of two and four tasks"]
    assert steps(concurrency(tree(draft)).all) == [(0, 2), (6, 1), (7, 0)]
    assert own(tree(draft))["root"] == 0


def test_work_left_behind_is_its_own_time_and_nobody_elses() -> None:
    roots = tree(SHAPES["work left behind by a child"][0])
    assert own(roots) == {"root": 3, "a": 1, "left behind": 18}
    assert steps(concurrency(roots).all) == [(0, 1), (3, 2), (5, 1), (20, 0)]
    assert gaps(roots) == [("root", 0, 2)]


def test_spans_of_the_same_interval_leave_the_time_to_the_deepest() -> None:
    roots = tree(span("a", 0, 5, span("b", 0, 5, span("c", 0, 5))))
    assert path(roots) == [("c", 0, 5)]
    assert own(roots) == {"a": 0, "b": 0, "c": 5}
    assert gaps(roots) == []


def test_spans_that_created_each_other_do_not_hold_the_walk() -> None:
    roots = tree(
        span("root", 0, 9, span("a", 1, 5, links=[link(3, "spawn")]), span("b", 1, 6, links=[link(2, "spawn")]))
    )
    assert path(roots) == [("root", 0, 1), ("b", 1, 6), ("root", 6, 9)]
    late = span("late", 5, 9, span("early", 2, 8), links=[link(4, "spawn")])
    roots = tree(span("root", 0, 9, late, span("other", 5, 9, links=[link(3, "spawn")])))
    assert path(roots)[0][1:] == (0, 5)


def test_a_pull_is_exact_if_every_wait_was_told_by_itself() -> None:
    for closed, basis in ((None, "joins"), (0.25, "timing")):
        roots = tree(span("root", 0, 9, span("stream", 0, 8), links=[pull(2, 1, 3, 5, 8, closed=closed)]))
        assert critical_path(roots).basis == basis


def test_a_pull_that_was_over_after_its_span_leads_into_it_no_later_than_its_end() -> None:
    late, in_time = (tree(span("root", 0, 9, span("stream", 0, 8), links=[pull(2, 1, 3, 5, end)])) for end in (9, 8))
    assert path(late) == path(in_time)


@pytest.mark.parametrize("times", [(5, 3, 5, 8), (1, 3, 5), ()], ids=["not in order", "half told", "not told"])
def test_a_pull_that_does_not_tell_its_times_changes_nothing(times: tuple[float, ...]) -> None:
    stream, beside = span("stream", 0, 8), span("beside", 2, 5)
    without = tree(span("root", 0, 9, stream, beside))
    assert path(tree(span("root", 0, 9, stream, beside, links=[pull(2, *times)]))) == path(without)


def test_a_child_of_a_group_that_is_still_open_counts_by_its_timing() -> None:
    task = {"prela.task.id": 2, "prela.task.group": f"{1:016x}"}
    roots = tree(span("group", 0, None, span("child", 0, 5, attributes=task), span("other", 5, 9)))
    assert path(roots) == [("child", 0, 5), ("other", 5, 9)]
