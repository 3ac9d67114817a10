"""What the web view's answers tell of a folder, and what it answers to those who ask for what is not there."""

import os
import threading
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("starlette", reason="the web view is an extra")

from starlette.types import ASGIApp

from prela.record.model import SpanEvent, SpanLink
from prela.store.store import Store
from prela.web import pages, reading
from prela.web.access import Access
from prela.web.app import make_app
from tests import insight
from tests.traces import MS, START, at, chain, record, records_of, span
from tests.web import ask, write

pytestmark = pytest.mark.anyio

A, B = "a" * 32, "b" * 32
USAGE = {
    "gen_ai.request.model": "gpt-4o",
    "gen_ai.usage.input_tokens": 7,
    "gen_ai.usage.output_tokens": 3,
    "prela.cost.usd": 0.5,
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "traces"
    slow = records_of(
        span("agent", 0, 100, span("chat", 10, 90, span_type="llm", attributes=USAGE), span("tool", 90, 95)),
    )
    quick = records_of(
        span("agent", 1_000, 1_050, span("chat", 1_010, 1_030, status="error", status_message="no route")),
    )
    write(made, [_of(found, A) for found in slow] + [_of(found, B) for found in quick])
    return made


def _of(found: Any, trace_id: str) -> Any:
    import msgspec

    return msgspec.structs.replace(found, trace_id=trace_id)


@pytest.fixture
async def app(folder: Path) -> AsyncIterator[ASGIApp]:
    async with running(folder) as app:
        yield app


class running:
    """The application, and its end as a server tells it."""

    def __init__(self, folder: Path) -> None:
        self.app = make_app(folder, access=Access(4318))

    async def __aenter__(self) -> ASGIApp:
        return self.app

    async def __aexit__(self, *exc: object) -> None:
        steps = [{"type": "lifespan.shutdown"}, {"type": "lifespan.startup"}]
        sent: list[str] = []

        async def receive() -> Any:
            return steps.pop()

        async def send(message: Any) -> None:
            sent.append(message["type"])

        await self.app({"type": "lifespan", "asgi": {"version": "3.0"}, "state": {}}, receive, send)
        assert sent == ["lifespan.startup.complete", "lifespan.shutdown.complete"]
        assert not [thread for thread in threading.enumerate() if thread.name == "prela-web-index"]


async def get(app: ASGIApp, target: str, status: int = 200) -> Any:
    answer = await ask(app, target)
    assert answer.status == status, answer.body
    assert answer.headers["cache-control"] == "no-store"
    return answer.json


# --- what is there ----------------------------------------------------------------------------------------------------


async def test_the_status_counts_the_folder(app: ASGIApp, folder: Path) -> None:
    with (folder / "a.jsonl").open("ab") as file:
        file.write(b"no record\n")
    found = await get(app, "/api/status")
    assert found.pop("version")
    assert found == {
        "folder": str(folder),
        "traces": 2,
        "spans": 5,
        "files": 1,
        "bad_lines": 1,
        "notice": None,
        "indexing": None,
        "receives": False,
    }


async def test_the_list_is_newest_first_and_in_pages(app: ASGIApp) -> None:
    found = await get(app, "/api/traces")
    newest, oldest = found["traces"]
    assert (newest["trace_id"], oldest["trace_id"], found["total"]) == (B, A, 2)
    assert newest["start"] == str(at(1_000))
    assert oldest == {
        "trace_id": A,
        "name": "agent",
        "service": "service",
        "start": str(START),
        "duration": 0.1,
        "spans": 3,
        "errors": 0,
        "cancelled": 0,
        "open": 0,
        "interrupted": 0,
        "input_tokens": 7,
        "output_tokens": 3,
        "cost": 0.5,
    }
    second = await get(app, "/api/traces?limit=1&offset=1")
    assert ([trace["trace_id"] for trace in second["traces"]], second["total"]) == ([A], 2)


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ("errors=true", [B]),
        ("errors=false", [B, A]),
        ("name=GEN", [B, A]),
        ("name=aaaa", [A]),
        ("name=nothing", []),
        ("service=service", [B, A]),
        ("service=serv", []),
        (f"since={START + 1}", [B]),
        (f"until={START + 1}", [A]),
        (f"since={START}&until={START}", [A]),
        ("since=1h", []),
        ("name=&service=&since=&errors=", [B, A]),
    ],
)
async def test_the_list_is_narrowed(app: ASGIApp, asked: str, expected: list[str]) -> None:
    found = await get(app, f"/api/traces?{asked}")
    assert [trace["trace_id"] for trace in found["traces"]] == expected
    assert found["total"] == len(expected)


async def test_a_list_that_has_not_changed_is_not_sent_again(app: ASGIApp, folder: Path) -> None:
    first = await ask(app, "/api/traces")
    tag = first.headers["etag"]
    assert tag == f'"{first.json["revision"]}"'
    again = await ask(app, "/api/traces", headers=[("if-none-match", f'"other", W/{tag}')])
    assert (again.status, again.body) == (304, b"")
    write(folder, [record("new", trace_id="c" * 32)])
    changed = await ask(app, "/api/traces", headers=[("if-none-match", tag)])
    assert (changed.status, changed.json["total"]) == (200, 3)


async def test_a_trace_is_its_columns(app: ASGIApp) -> None:
    found = await get(app, "/api/traces/aa")
    assert (found["trace_id"], found["name"], found["spans"], found["errors"]) == (A, "agent", 3, 0)
    assert (found["begin"], found["duration_ns"]) == (str(START), 100_000_000)
    columns = found["columns"]
    assert [found["names"][i] for i in columns["name"]] == ["agent", "chat", "tool"]
    assert columns["parent"] == [-1, 0, 0]
    assert columns["start"] == [0, 10_000_000, 90_000_000]


async def test_a_trace_that_has_not_changed_is_not_sent_again(app: ASGIApp, folder: Path) -> None:
    tag = (await ask(app, f"/api/traces/{A}")).headers["etag"]
    assert (await ask(app, f"/api/traces/{A}", headers=[("if-none-match", tag)])).status == 304
    write(folder, [record("elsewhere", trace_id="c" * 32)])
    assert (await ask(app, f"/api/traces/{A}", headers=[("if-none-match", tag)])).status == 304
    write(folder, [record("late", trace_id=A, span_id="e" * 16, parent_span_id="0" * 15 + "1")])
    changed = await ask(app, f"/api/traces/{A}", headers=[("if-none-match", tag)])
    assert (changed.status, changed.json["spans"]) == (200, 4)


async def test_a_span_is_all_of_its_record_and_what_stands_around_it(app: ASGIApp, folder: Path) -> None:
    big = (1 << 53) + 1
    write(
        folder,
        [
            record(
                "odd",
                trace_id=A,
                span_id="e" * 16,
                parent_span_id="0" * 15 + "1",
                start_time_unix_nano=at(92),
                end_time_unix_nano=None,
                status="pending",
                attributes={"big": big, "most": [2**53 - 1], "raw": b"\0", "not": float("nan"), "text": "<b>\u2028"},
                events=[SpanEvent(name="now", time_unix_nano=at(93), attributes={"n": {"m": -big}})],
                links=[SpanLink(trace_id=A, span_id="0" * 15 + "2", attributes={})],
            )
        ],
    )
    found = await get(app, f"/api/traces/{A}/spans/{'e' * 16}")
    line = found["record"]
    assert (line["start_time_unix_nano"], line["end_time_unix_nano"]) == (str(at(92)), None)
    assert line["events"] == [
        {"name": "now", "time_unix_nano": str(at(93)), "attributes": {"n": {"m": {"$int": str(-big)}}}}
    ]
    assert line["attributes"] == {
        "big": {"$int": str(big)},
        "most": [2**53 - 1],
        "raw": {"$bytes": "AA=="},
        "not": {"$float": "nan"},
        "text": "<b>\u2028",
    }
    assert (found["children"], found["siblings"]) == ([], ["0" * 15 + "3", None])
    linked = await get(app, f"/api/traces/{A}/spans/{'0' * 15}2")
    assert linked["links_from"] == [{"trace_id": A, "span_id": "e" * 16, "name": "odd", "kind": ""}]
    root = await get(app, f"/api/traces/{A}/spans/{'0' * 15}1")
    assert root["children"] == ["0" * 15 + "2", "0" * 15 + "3", "e" * 16]
    # The one that is open lasts to the last moment that the trace knows.
    assert (root["siblings"], root["self_ns"]) == ([None, None], 10_000_000)


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ("", ["chat", "agent", "tool", "chat", "agent"]),
        ("name=CHA", ["chat", "chat"]),
        ("type=llm", ["chat"]),
        ("status=error", ["chat"]),
        ("service=service&name=tool", ["tool"]),
        ("text=no+route", ["chat"]),
        ("attribute=gen_ai.request.model%3Dgpt-4o", ["chat"]),
        ("attribute=gen_ai.request.model%3Dgpt-4o&attribute=gen_ai.usage.input_tokens%3D8", []),
        ("model=gpt-4o", ["chat"]),
        ("min_duration=80ms", ["agent", "chat"][::-1]),
        ("since=1h+ago", []),
        ("until=2000-01-01", []),
        (f"since={at(1_010)}", ["chat"]),
    ],
)
async def test_a_search_finds_what_the_command_line_would(app: ASGIApp, asked: str, expected: list[str]) -> None:
    found = await get(app, f"/api/search?{asked}")
    assert ([one["name"] for one in found["spans"]], found["cut"]) == (expected, False)


async def test_a_search_says_that_there_is_more(app: ASGIApp) -> None:
    found = await get(app, "/api/search?limit=4")
    assert (len(found["spans"]), found["cut"]) == (4, True)
    assert found["spans"][0] == {
        "trace_id": B,
        "span_id": "0" * 15 + "2",
        "name": "chat",
        "span_type": "custom",
        "status": "error",
        "status_message": "no route",
        "service": "service",
        "start": str(at(1_010)),
        "duration": 0.02,
    }


async def test_stats_are_by_what_was_asked(app: ASGIApp) -> None:
    found = await get(app, "/api/stats?by=type&since=2000-01-01")
    assert [(total["group"], total["spans"], total["errors"]) for total in found["totals"]] == [
        ("custom", 4, 1),
        ("llm", 1, 0),
    ]
    assert found["totals"][1]["p50"] == 0.08
    assert (await get(app, "/api/stats?by=type&type=llm"))["totals"][0]["cost"] == 0.5


async def test_a_series_is_columns_of_one_length(app: ASGIApp) -> None:
    found = await get(app, "/api/series?buckets=12")
    assert found["bucket_seconds"] == 0.1
    assert {len(values) for name, values in found.items() if name != "bucket_seconds"} == {11}
    assert (found["spans"][0], found["spans"][10], sum(found["spans"])) == (3, 2, 5)
    assert (found["errors"][10], found["p50"][0], found["p50"][1]) == (1, 0.08, None)
    assert (found["cost"][0], found["tokens"][0]) == (0.5, 10)
    assert found["times"][0] == START / 1e9
    assert (await get(app, "/api/series?type=nothing"))["times"] == []


async def test_a_comparison_says_what_changed_and_where_to_look(app: ASGIApp) -> None:
    found = await get(app, f"/api/compare?before={A}&after=bb")
    assert (found["before"]["trace_id"], found["after"]["trace_id"], found["cut"]) == (A, B, False)
    assert (found["before_s"], found["after_s"]) == (0.1, 0.05)
    by_place = {tuple(change["where"]): change for change in found["changes"]}
    assert by_place["agent",]["kind"] == "faster"
    gone = by_place["agent", "tool"]
    assert (gone["kind"], gone["after"], gone["span_before"], gone["span_after"]) == (
        "gone",
        None,
        "0" * 15 + "3",
        None,
    )


# --- what is not there ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("target", "status"),
    [
        ("/api/traces/c", 404),
        ("/api/traces/%00", 404),
        ("/api/traces/%ff%fe", 404),
        ("/api/traces/..%2f..%2fetc%2fpasswd", 404),
        ("/api/traces/" + "a" * 8_000, 404),
        (f"/api/traces/{A}/spans/{'f' * 16}", 404),
        (f"/api/traces/{A}/spans/%ff", 404),
        (f"/api/traces/{A}/spans/' OR 1=1", 404),
        ("/api/traces/", 404),
        ("/api/nothing", 404),
        ("/api", 404),
        ("/api/../api/status", 404),
        ("/nothing", 404),
        ("/traces/a/b", 404),
        ("/v1/traces", 404),
        ("/static/", 404),
        ("/static/../app.py", 404),
        ("/static/..%2fapp.py", 404),
        ("/static/%2e%2e/%2e%2e/__init__.py", 404),
        ("/static//etc/passwd", 404),
        ("/static/%00", 404),
        ("/static/..\\app.py", 404),
        ("//etc/passwd", 404),
        ("/api/traces?limit=-1", 400),
        ("/api/traces?limit=1.5", 400),
        ("/api/traces?limit=%D9%A3", 400),
        ("/api/traces?offset=-9", 400),
        ("/api/traces?errors=perhaps", 400),
        ("/api/traces?since=never", 400),
        ("/api/traces?since=%ff", 400),
        ("/api/search?limit=x", 400),
        ("/api/search?attribute=nothing", 400),
        ("/api/search?min_duration=-1s", 400),
        ("/api/search?min_duration=1" + "0" * 400, 400),
        ("/api/search?since=99999999999999999999999d", 400),
        ("/api/stats?by=name;DROP", 400),
        ("/api/series?buckets=-3", 400),
        ("/api/compare", 400),
        ("/api/compare?before=a", 400),
        ("/api/compare?before=a&after=zz", 404),
    ],
)
async def test_what_is_wrong_is_one_sentence(app: ASGIApp, target: str, status: int) -> None:
    found = await get(app, target, status)
    assert list(found) == ["error"]
    assert len(found["error"]) < 9_000
    assert "Traceback" not in found["error"]


async def test_digits_that_several_traces_begin_with_are_not_enough(app: ASGIApp, folder: Path) -> None:
    write(folder, [record("third", trace_id="ab" * 16)])
    assert "several traces" in (await get(app, "/api/traces/a", 400))["error"]


@pytest.mark.parametrize(
    "target",
    [
        "/api/traces?limit=99999999999999999999&offset=99999999999999999999",
        "/api/traces?limit=0",
        "/api/traces?since=-999999999999999999&until=9999999999999999999",
        "/api/search?since=-9999999999999999999&limit=0",
        "/api/search?text=%ff%00%22%5c&name=%f0%9f%98%80&type=%00",
        "/api/search?attribute=%00%3D%ff&attribute==",
        "/api/search?" + "&".join(["attribute=a%3Db"] * 900),
        "/api/series?since=-9223372036854775808&until=9223372036854775807&buckets=0",
        "/api/series?since=9999999999999999999&until=-9999999999999999999",
        "/api/series?buckets=99999999999",
        "/api/search?unknown=1&since=&limit=",
    ],
)
async def test_wild_parameters_are_answered(app: ASGIApp, target: str) -> None:
    await get(app, target)


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "PROPFIND", "G" * 1_000])
@pytest.mark.parametrize("target", ["/", "/api/traces", "/static/app.js"])
async def test_there_is_nothing_to_do_but_to_look(app: ASGIApp, method: str, target: str) -> None:
    answer = await ask(app, target, method=method)
    assert answer.status == 405
    assert set(answer.headers["allow"].split(", ")) == {"GET", "HEAD"}
    assert "error" in answer.json


async def test_head_has_the_headers_of_get(app: ASGIApp) -> None:
    got, head = await ask(app, "/api/traces"), await ask(app, "/api/traces", method="HEAD")
    assert (head.status, head.headers) == (got.status, got.headers)


# --- the pages --------------------------------------------------------------------------------------------------------


async def test_every_page_is_the_one_page_and_files_come_from_the_table(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = {
        pages.INDEX: pages.File(b"<!doctype html>", "text/html; charset=utf-8", '"1"'),
        "pages/a.js": pages.File(b"1", "text/javascript; charset=utf-8", '"2"'),
    }
    monkeypatch.setattr(pages, "static_files", lambda: files)
    async with running(folder) as app:
        for target in ("/", "/traces", "/traces/abc?span=1", "/search?x", "/stats", "/compare"):
            answer = await ask(app, target)
            assert (answer.status, answer.body) == (200, b"<!doctype html>")
            assert answer.headers["content-type"] == "text/html; charset=utf-8"
        script = await ask(app, "/static/pages/a.js")
        assert (script.body, script.headers["content-type"]) == (b"1", "text/javascript; charset=utf-8")
        known = [("if-none-match", script.headers["etag"])]
        assert (await ask(app, "/static/pages/a.js", headers=known)).status == 304
        assert (await ask(app, "/static/pages/b.js")).status == 404


def test_the_table_holds_what_lies_in_the_package_and_no_program() -> None:
    for name, file in pages.static_files().items():
        assert not name.startswith("/") and ".." not in name
        assert file.content_type
        assert not name.endswith((".py", ".pyc", ".map"))


# --- a folder that changes under it -----------------------------------------------------------------------------------


async def test_a_folder_that_is_not_there_is_empty_until_it_is(tmp_path: Path) -> None:
    folder = tmp_path / "later"
    async with running(folder) as app:
        assert (await get(app, "/api/traces"))["traces"] == []
        assert (await get(app, "/api/status"))["notice"] is None
        assert not folder.exists()
        write(folder, [record("root", trace_id=A)])
        assert (await get(app, "/api/traces"))["total"] == 1
        assert (await get(app, f"/api/traces/{A}"))["spans"] == 1
        assert (folder / ".prela-index.sqlite").exists()


async def test_a_folder_or_its_index_may_be_deleted_at_any_time(app: ASGIApp, folder: Path) -> None:
    assert (await get(app, "/api/traces"))["total"] == 2
    for path in folder.glob(".prela-index.sqlite*"):
        path.unlink()
    assert (await get(app, "/api/traces"))["total"] == 2
    assert (await get(app, f"/api/traces/{B}"))["spans"] == 2
    for path in folder.iterdir():
        path.unlink()
    folder.rmdir()
    assert (await get(app, "/api/traces"))["total"] == 0
    await get(app, f"/api/traces/{B}", 404)
    write(folder, [record("again", trace_id=B)])
    assert (await get(app, f"/api/traces/{B}"))["spans"] == 1


async def test_an_index_that_has_to_move_is_followed(folder: Path, tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    async with running(folder) as app:
        assert (await get(app, "/api/traces"))["total"] == 2
        for path in folder.glob(".prela-index.sqlite*"):
            path.unlink()
        (folder / ".prela-index.sqlite").mkdir()  # nothing can be written there any more
        write(folder, [record("new", trace_id="c" * 32)])
        assert (await get(app, "/api/traces"))["total"] == 3
        assert list((tmp_path / "cache" / "prela").glob("*.sqlite"))


async def test_a_folder_that_cannot_be_read_is_said_in_the_status(tmp_path: Path, monkeypatch: Any) -> None:
    def refuse(self: Store) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Store, "refresh", refuse)
    async with running(tmp_path) as app:
        assert "Permission denied" in (await get(app, "/api/status"))["notice"]
        assert (await get(app, "/api/traces"))["traces"] == []


async def test_hostile_text_comes_back_as_it_is(app: ASGIApp, folder: Path) -> None:
    hostile = "<img src=x onerror=alert(1)>\"'\\\u202e\u2028\x1b[31m"
    write(folder, [record(hostile, trace_id="f" * 32, service_name=hostile, span_type=hostile)])
    (newest, *_) = [t for t in (await get(app, "/api/traces"))["traces"] if t["trace_id"] == "f" * 32]
    assert newest["name"] == newest["service"] == hostile
    answer = await ask(app, "/api/traces/ffff")
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["x-content-type-options"] == "nosniff"


async def test_a_deep_trace_is_answered(app: ASGIApp, folder: Path) -> None:
    write(folder, chain(5_000))
    found = await get(app, "/api/traces/0000")
    assert found["columns"]["depth"][-1] == 4_999


def test_while_a_large_folder_is_first_read_questions_are_answered_from_what_is_there(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading, "_WORTH_TELLING", 1)
    told, go_on = threading.Event(), threading.Event()
    on_progress = reading.Reading._on_progress

    def held(self: Any, progress: Any) -> None:
        on_progress(self, progress)
        told.set()
        assert go_on.wait(60)

    monkeypatch.setattr(reading.Reading, "_on_progress", held)
    with reading.Reading(folder, patience=60) as asked:
        assert asked.ask(lambda store: store.traces()) == []
        assert told.is_set()
        progress = asked.state().indexing
        assert progress is not None and progress.spans == 5
        go_on.set()
        while asked.state().indexing is not None:
            pass
        assert len(asked.ask(lambda store: store.traces())) == 2


def test_closing_ends_a_reading_under_way(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "_WORTH_TELLING", 1)
    begun, closing = threading.Event(), threading.Event()
    on_progress = reading.Reading._on_progress

    def held(self: Any, progress: Any) -> None:
        on_progress(self, progress)
        begun.set()
        assert closing.wait(60)
        on_progress(self, progress)  # the next block

    monkeypatch.setattr(reading.Reading, "_on_progress", held)
    asked = reading.Reading(folder)
    threading.Thread(target=asked.state).start()
    assert begun.wait(60)
    ending = threading.Thread(target=asked.close)
    ending.start()
    while not asked._is_closing:
        pass
    closing.set()
    ending.join(60)
    assert not ending.is_alive()
    with Store(folder, refreshes=False) as store:
        assert store.count_traces() == 0  # nothing of what was cut off is half done
        store.refresh()
        assert store.count_traces() == 2


def test_many_threads_ask_at_once_while_the_folder_grows(folder: Path) -> None:
    wrong: list[object] = []

    def look(asked: reading.Reading) -> None:
        seen = 0
        for _ in range(30):
            try:
                found = asked.ask(lambda store: store.count_traces())
            except Exception as error:
                wrong.append(error)
                return
            if found < seen:
                wrong.append((found, seen))
            seen = found

    with reading.Reading(folder) as asked:
        threads = [threading.Thread(target=look, args=(asked,)) for _ in range(8)]
        for thread in threads:
            thread.start()
        for number in range(50):
            write(folder, [record("more", trace_id=f"{number + 100:032x}")], f"{number % 3}.jsonl")
        for thread in threads:
            thread.join()
        assert not wrong
        assert asked.ask(lambda store: store.count_traces()) == 52


@pytest.mark.parametrize(
    ("page", "link"),
    [
        (f"/traces/{A}", f"</api/traces/{A}>; rel=preload; as=fetch; crossorigin"),
        ("/traces/a%3E%3B", None),
        ("/traces/a%0D%0Ax", None),
        ("/", None),
    ],
)
async def test_the_page_of_a_trace_has_the_browser_ask_for_the_trace_at_once(
    app: ASGIApp, page: str, link: str | None
) -> None:
    answer = await ask(app, page)
    assert (answer.status, answer.headers.get("link")) == (200, link)


async def test_a_trace_that_no_page_can_hold_is_refused_with_what_to_do_instead(
    app: ASGIApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("prela.web.app._MOST_SPANS_A_TRACE", 2)
    for target in (f"/api/traces/{A}", f"/api/traces/{A}/spans/{'0' * 15}1", f"/api/compare?before={B}&after={A}"):
        answer = await ask(app, target)
        assert answer.status == 413
        assert answer.json["error"].startswith("this trace has 3 spans, and a page holds 2. ")
        assert f"`prela export {A[:12]} --to perfetto`" in answer.json["error"]
    assert (await ask(app, f"/api/traces/{B}")).status == 200


async def test_a_trace_tells_of_stalls_waits_and_what_was_cut_off(tmp_path: Path) -> None:
    insight.write(tmp_path)
    async with running(tmp_path) as app:
        first = await ask(app, f"/api/traces/{insight.INSIGHT}")
        found = first.json
        (listed,) = (await get(app, "/api/traces"))["traces"]
        assert (listed["open"], listed["interrupted"]) == (2, 1)
        assert (found["open"], found["interrupted"]) == (2, 1)
        place = found["columns"]["span_id"].index
        compute, reader, writer = (str(place(span)) for span in (insight.COMPUTE, insight.READER, insight.WRITER))
        assert found["stalls"] == {compute: [[150 * MS, 270 * MS]]}
        assert found["victims"] == {reader: [int(compute)], writer: [int(compute)]}
        assert found["waiting"] == [place(insight.POOL)]
        assert found["marks"] == {}
        statuses = [found["statuses"][status] for status in found["columns"]["status"]]
        assert statuses[place(insight.CUT)] == "interrupted"
        assert statuses[place(insight.RUNNING)] == "pending"
        span = await get(app, f"/api/traces/{insight.INSIGHT}/spans/{insight.COMPUTE}")
        assert span["remarks"][1] == {
            "kind": "stall",
            "text": "held up 2 other spans:",
            "spans": [insight.READER, insight.WRITER],
            "more": 0,
            "detail": "",
        }
        linked = await get(app, f"/api/traces/{insight.INSIGHT}/spans/{insight.READER}")
        assert [(link["name"], link["kind"]) for link in linked["links_from"]] == [("later", "join")]


async def test_that_a_program_has_ended_makes_its_trace_another(tmp_path: Path) -> None:
    insight.write(tmp_path)
    (running_file,) = tmp_path.glob(f"agent-*-{os.getpid()}-*.jsonl")
    async with running(tmp_path) as app:
        first = await ask(app, f"/api/traces/{insight.INSIGHT}")
        known = [("if-none-match", first.headers["etag"])]
        assert (await ask(app, f"/api/traces/{insight.INSIGHT}", headers=known)).status == 304
        os.utime(running_file, (1, 1))  # long before this process began
        later = await ask(app, f"/api/traces/{insight.INSIGHT}", headers=known)
        assert (later.status, later.json["interrupted"]) == (200, 2)
