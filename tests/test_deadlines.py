"""Whose deadline it was that cancelled a span."""

import anyio
import pytest

pytest.importorskip("starlette", reason="the web view is an extra")

import prela
from prela.cli.telling import told_of
from prela.record.tree import forest
from prela.store.analysis import deadlines
from prela.store.store import TraceSummary
from prela.testing import Recorder
from prela.web import answers
from prela.web.timeline import Timeline
from tests.traces import START, TRACE_ID, Draft, cancelled, records_of, span, tree


def told(*drafts: Draft) -> list[tuple[str, list[str]]]:
    return [(one.owner.name, [record.name for record in one.cancelled]) for one in deadlines(tree(*drafts))]


def gone(name: str, start: float, end: float, *below: Draft) -> Draft:
    return cancelled(name, start, end, *below, cause="deadline")


def test_it_was_set_inside_the_innermost_span_that_was_not_cancelled() -> None:
    assert told(span("root", 0, 9, span("a", 0, 8, gone("b", 1, 5, gone("c", 2, 5), span("d", 2, 3))))) == [
        ("a", ["b", "c"])
    ]


def test_each_deadline_has_its_own_owner() -> None:
    found = told(
        span("root", 0, 9, span("a", 0, 4, gone("b", 1, 3)), gone("c", 4, 6, span("d", 4, 6, gone("e", 4, 5))))
    )
    assert found == [("root", ["c"]), ("a", ["b"]), ("d", ["e"])]


def test_what_the_record_says_itself_comes_first() -> None:
    inner = span(
        "inner",
        1,
        3,
        status="cancelled",
        attributes={"prela.cancel.cause": "deadline", "prela.cancel.scope_span": f"{1:016x}"},
    )
    assert told(span("root", 0, 9, span("a", 0, 8, inner))) == [("root", ["inner"])]


@pytest.mark.parametrize(
    "draft",
    [
        gone("root", 0, 5, gone("a", 0, 5)),
        span("root", 0, 3, gone("left behind", 1, 5)),
        span("root", 0, 9, cancelled("a", 1, 5, cause="explicit")),
    ],
    ids=["all were cancelled", "left behind", "no deadline"],
)
def test_where_no_owner_is_known_nothing_is_said(draft: Draft) -> None:
    assert told(draft) == []


def test_the_command_line_and_the_pages_say_whose_it_was() -> None:
    drafts = span("root", 0, 9, span("sets it", 0, 8, gone("b", 1, 5, gone("c", 2, 5))))
    (root,) = tree(drafts)
    lines = [line for line, _ in told_of(root)]
    assert lines == ["b: was cancelled because a deadline had passed", "b: the deadline had been set in sets it"]
    records = {record.name: record for record in records_of(drafts)}
    summary = TraceSummary(TRACE_ID, "root", "service", START, 0.1, 4, 0, 2, 0, 0, 0, None)
    around = Timeline(summary, list(records.values())).around(records["c"].span_id)
    remarks = answers.span(records["c"], around, None)["remarks"]
    assert remarks[1] | {"detail": ""} == {
        "kind": "cancelled",
        "text": "the deadline had been set in",
        "spans": [records["sets it"].span_id],
        "more": 0,
        "detail": "",
    }


@pytest.mark.anyio
async def test_a_deadline_two_scopes_up_belongs_to_the_span_that_set_it(
    tracer: prela.Tracer, prela_spans: Recorder
) -> None:
    with tracer.span("root"):
        with tracer.span("sets it"):
            with anyio.move_on_after(1_000) as scope:
                async with tracer.task_group("group") as group:
                    with tracer.span("patient"), anyio.move_on_after(1_000):
                        group.start_soon(anyio.sleep_forever, name="child")
                        await anyio.wait_all_tasks_blocked()
                        scope.deadline = anyio.current_time()
                        await anyio.sleep_forever()
    (found,) = deadlines(forest(prela_spans.records))
    assert found.owner.name == "sets it"
    assert sorted(record.name for record in found.cancelled) == ["child", "group", "patient"]
