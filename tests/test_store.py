"""What a store tells of a folder: its lines, traces, spans and totals."""

import itertools
import json
import math
from pathlib import Path
from typing import Any

import pytest

from prela.record.model import SpanRecord
from prela.store import files
from prela.store.series import interval
from prela.store.store import AmbiguousTraceError, Query, Store, TraceFilter, percentile

_numbers = itertools.count(1)


def record(name: str = "span", **fields: Any) -> dict[str, Any]:
    number = next(_numbers)
    return {
        "v": 1,
        "trace_id": f"{number:032x}",
        "span_id": f"{number:016x}",
        "parent_span_id": None,
        "name": name,
        "span_type": "custom",
        "status": "success",
        "status_message": None,
        "start_time_unix_nano": number,
        "end_time_unix_nano": number + 10,
        "attributes": {},
        "events": [],
        "links": [],
        "service_name": "test",
        "resource": {},
        **fields,
    }


def line(name: str = "span", **fields: Any) -> bytes:
    return json.dumps(record(name, **fields)).encode() + b"\n"


def write(path: Path, *lines: bytes) -> None:
    path.parent.mkdir(exist_ok=True)
    with path.open("ab") as file:
        file.write(b"".join(lines))


def names(store: Store) -> set[str]:
    return {found.name for found in store.search(Query(), 100_000)}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "a.jsonl"


@pytest.fixture
def store(tmp_path: Path) -> Any:
    with Store(tmp_path) as store:
        yield store


# --- lines ------------------------------------------------------------------------------------------------------------


def test_only_new_bytes_are_read(tmp_path: Path, path: Path) -> None:
    write(path, line(), line())
    read = []
    with Store(tmp_path, on_progress=lambda progress: read.append(progress)) as store:
        store.traces()
        more = line()
        write(path, more)
        store.traces()
        store.traces()
    assert [progress.done for progress in read] == [path.stat().st_size - len(more), len(more)]
    assert all(progress.done == progress.total for progress in read)


def test_half_a_line_waits_for_its_other_half(store: Store, path: Path) -> None:
    whole = line("two")
    write(path, line("one"), whole[:50])
    assert names(store) == {"one"}
    write(path, whole[50:-1])
    assert names(store) == {"one"}
    write(path, b"\n")
    assert names(store) == {"one", "two"}
    assert store.bad_lines() == 0


def test_a_file_cut_and_grown_again_is_read_anew(store: Store, path: Path) -> None:
    first = line("one")
    write(path, first, line("two"))
    assert names(store) == {"one", "two"}
    with path.open("ab") as file:
        file.truncate(len(first))
    assert names(store) == {"one"}
    write(path, line("three"), line("four"))
    assert names(store) == {"one", "three", "four"}
    with path.open("ab") as file:
        file.truncate(len(first))
    write(path, line("five"), line("six"), line("seven"))  # grown beyond where it was before anyone looked
    assert names(store) == {"one", "five", "six", "seven"}


def test_a_file_written_anew_in_place_is_another(store: Store, path: Path) -> None:
    write(path, line("aaa"))
    inode = path.stat().st_ino
    assert names(store) == {"aaa"}
    with path.open("wb") as file:
        file.write(line("bbb"))
    assert path.stat().st_ino == inode
    assert names(store) == {"bbb"}


def test_a_file_replaced_and_one_renamed_are_told_apart(store: Store, path: Path, tmp_path: Path) -> None:
    write(path, line("one"))
    assert names(store) == {"one"}
    path.rename(tmp_path / "b.jsonl")
    write(path, line("two"))
    assert names(store) == {"one", "two"}
    (tmp_path / "b.jsonl").replace(path)
    assert names(store) == {"one"}
    path.unlink()
    assert names(store) == set()
    assert store.traces() == []


BAD: dict[str, bytes] = {
    "no JSON": b"hello\n",
    "other JSON": b'{"hello": [1, 2]}\n[]\n3\nnull\n"x"\n',
    "binary": bytes(range(256)).replace(b"\n", b"") + b"\n",
    "NUL": b"\0" * 5000 + b"\n",
    "another version": line(v=2) + line(v="1") + line(v=None),
    "NaN": line(attributes={"gen_ai.usage.input_tokens": math.nan}),
    "a lone surrogate": line(attributes={"x": "\ud800"}) + line("\udfff"),
    "no attributes": line(attributes=[1]) + line(attributes=None),
    "times beyond 64 bits": line(start_time_unix_nano=2**63) + line(end_time_unix_nano=-(2**70)),
    "times that are none": line(start_time_unix_nano=1.5) + line(start_time_unix_nano="1"),
    "ids that are none": line(trace_id=1) + line(span_id=None),
    "wrong inner types": line(events=[1]) + line(resource=3) + line(links={}),
    "deep": line(attributes={"x": "@"}).replace(b'"@"', b"[" * 100_000 + b"]" * 100_000),
    "a number of 5,000 digits": b"1" * 5000 + b"\n",
    "a number out of range": line(attributes={"x": "@"}).replace(b'"@"', b"1e999"),
    "bytes that are no UTF-8": line(attributes={"x": "@"}).replace(b"@", b"\xff"),
}


@pytest.mark.parametrize("bad", BAD.values(), ids=BAD.keys())
def test_a_foreign_line_costs_itself_only_and_is_counted(store: Store, path: Path, bad: bytes) -> None:
    write(path, line("before"), bad, line("after"))
    assert names(store) == {"before", "after"}
    assert store.bad_lines() == bad.count(b"\n")
    assert len(store.traces()) == 2
    assert len(store.search(Query(text="e"))) == 2


def test_blank_lines_and_windows_line_ends_are_no_fault(store: Store, path: Path) -> None:
    write(path, b"\n\r\n  \n", line("one").replace(b"\n", b"\r\n"), b"\n", line("two"))
    assert names(store) == {"one", "two"}
    assert store.bad_lines() == 0


def test_huge_lines_and_names_are_read(store: Store, path: Path) -> None:
    write(path, line("one"), line("n" * 1_000_000), line("big", attributes={"x": "y" * 50_000_000}), line("two"))
    assert {found[:3] for found in names(store)} == {"one", "nnn", "big", "two"}
    assert [found.name for found in store.search(Query(text="y" * 100))] == ["big"]
    assert len(store.search(Query(name="N" * 1_000_000))) == 1


def test_a_line_too_long_to_be_held_is_passed_over(store: Store, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "_CHUNK", 1_000)
    monkeypatch.setattr(files, "LONGEST_LINE", 10_000)
    write(path, b"x" * 20_000)
    assert names(store) == set()
    write(path, b"x" * 20_000 + b"\n", line("one"), b"y" * 11_001 + b"\n", line("two"))
    assert names(store) == {"one", "two"}
    assert store.bad_lines() == 2
    write(path, line("three"))
    assert names(store) == {"one", "two", "three"}
    assert store.bad_lines() == 2


@pytest.mark.parametrize("tokens", [2**70, -1, "12", 1.5, True, [1], None, 10**15])
def test_tokens_that_are_none_count_as_none(store: Store, path: Path, tokens: Any) -> None:
    attributes = {"gen_ai.usage.input_tokens": tokens, "gen_ai.usage.output_tokens": 7, "prela.cost.usd": tokens}
    write(path, line("one", trace_id="a" * 32, attributes=attributes), line("two", trace_id="a" * 32))
    (trace,) = store.traces()
    assert (trace.spans, trace.input_tokens, trace.output_tokens) == (2, 0, 7)


# --- one span, one record ---------------------------------------------------------------------------------------------

PENDING: dict[str, Any] = {"status": "pending", "end_time_unix_nano": None}
SPAN: dict[str, Any] = {"trace_id": "a" * 32, "span_id": "b" * 16, "start_time_unix_nano": 1}


@pytest.mark.parametrize("refresh_between", [True, False])
@pytest.mark.parametrize("second_file", ["a", "b", "0"])
@pytest.mark.parametrize("final_first", [True, False])
def test_a_final_record_beats_a_pending_one(
    store: Store, tmp_path: Path, refresh_between: bool, second_file: str, final_first: bool
) -> None:
    pending, final = line("pending", **SPAN, **PENDING), line("final", **SPAN)
    first, second = (final, pending) if final_first else (pending, final)
    write(tmp_path / "a.jsonl", first)
    if refresh_between:
        store.refresh()
    write(tmp_path / f"{second_file}.jsonl", second)
    (trace,) = store.traces()
    assert (trace.name, trace.spans, trace.open) == ("final", 1, 0)
    assert names(store) == {"final"}
    assert [found.name for found in store.trace("a")] == ["final"]


def test_a_pending_record_shows_again_when_the_final_one_is_gone(store: Store, tmp_path: Path) -> None:
    write(tmp_path / "a.jsonl", line("pending", **SPAN, **PENDING))
    write(tmp_path / "b.jsonl", line("final", **SPAN))
    assert names(store) == {"final"}
    (tmp_path / "b.jsonl").unlink()
    assert names(store) == {"pending"}
    assert store.traces()[0].open == 1


def test_a_span_written_twice_counts_once(store: Store, tmp_path: Path) -> None:
    usage = {"gen_ai.usage.input_tokens": 5, "prela.cost.usd": 0.5}
    batch = [line(str(n), trace_id="a" * 32, attributes=usage) for n in range(3)]
    write(tmp_path / "a.jsonl", *batch, *batch)
    write(tmp_path / "b.jsonl", *batch)
    (trace,) = store.traces()
    assert (trace.spans, trace.input_tokens, trace.cost) == (3, 15, 1.5)
    assert len(store.trace("a" * 32)) == 3
    assert len(store.search(Query(text="input_tokens"))) == 3
    assert sum(total.spans for total in store.totals()) == 3


# --- traces -----------------------------------------------------------------------------------------------------------


def test_a_trace_is_found_by_its_first_digits(store: Store, path: Path) -> None:
    ids = ["abcd" * 8, "abce" * 8, "ABF0" * 8, "f" * 32, "", "no hex at all", "x'; DROP TABLE traces; --"]
    write(path, *(line(trace_id, trace_id=trace_id) for trace_id in ids))

    def found(digits: str) -> str:
        return store.trace(digits)[0].name

    for trace_id in ids:
        assert found(trace_id) == trace_id
    assert found("f") == "f" * 32
    assert [found("abcd" * 8)[:n] for n in (4, 32)] == ["abcd", "abcd" * 8]
    assert {found(("abcd" * 8)[:n]) for n in range(4, 33)} == {"abcd" * 8}
    assert found("ABCD") == "abcd" * 8
    assert found("abf") == "ABF0" * 8
    assert found("x'") == ids[-1]
    for ambiguous in ("a", "AB", "abc"):
        with pytest.raises(AmbiguousTraceError, match="several traces begin with"):
            store.trace(ambiguous)
    for missing in ("0", "abcdb", "abcd" * 8 + "0", "%", "_bcd", "' OR 1=1", "\ud800", "a\0"):
        with pytest.raises(LookupError, match="no trace"):
            store.trace(missing)


def test_traces_come_newest_first_and_in_pages(store: Store, path: Path) -> None:
    write(path, *(line(str(n), start_time_unix_nano=n % 7, trace_id=f"{n:032x}") for n in range(20)))
    found = store.traces(100)
    assert [(t.start, t.trace_id) for t in found] == sorted(((t.start, t.trace_id) for t in found), reverse=True)
    assert store.traces(5) + store.traces(100, offset=5) == found
    assert store.traces(0) == store.traces(-1) == []
    assert store.traces(10**30) == found


def test_a_trace_is_named_after_its_root_even_when_that_starts_last(store: Store, path: Path) -> None:
    write(
        path,
        line("child", trace_id="a" * 32, parent_span_id="1" * 16, start_time_unix_nano=1, status="error"),
        line("root", trace_id="a" * 32, start_time_unix_nano=2, end_time_unix_nano=2_000_000_001),
    )
    (trace,) = store.traces(errors_only=True)
    assert (trace.name, trace.spans, trace.errors, trace.duration) == ("root", 2, 1, 2.0)


# --- search and totals ------------------------------------------------------------------------------------------------


def test_nothing_that_is_asked_for_is_sql_or_a_pattern(store: Store, path: Path) -> None:
    write(path, line("100%"), line("a_b"), line("it's"), line('q"uote'))
    for name in ("%", "_", "'", '"', "' OR 1=1 --", "\\", "*", "\ud800", "\0"):
        expected = {n for n in ("100%", "a_b", "it's", 'q"uote') if name in n}
        assert {found.name for found in store.search(Query(name=name))} == expected, name
        for query in (Query(status=name), Query(service=name), Query(span_type=name), Query(attributes={name: name})):
            assert store.search(query) == []
        store.search(Query(text=name))


def test_every_kind_of_attribute_is_found_however_it_is_written(store: Store, path: Path) -> None:
    values = {
        "4": 4,
        "-17": -17,
        "4.5": 4.5,
        "1e+300": 1e300,
        "true": True,
        "null": None,
        "nan": {"$float": "nan"},
        '{"a":[1,"ü"]}': {"a": [1, "ü"]},
        "ü/é": "ü/é",
        'a"b\\c\n': 'a"b\\c\n',
        "123456789012345678901234567890": {"$int": "123456789012345678901234567890"},
        '{"$bytes":"AAE="}': {"$bytes": "AAE="},
    }
    for value in values.values():
        one = record(attributes={"ke/y ä": value})
        write(
            path,
            json.dumps(one).encode() + b"\n",
            json.dumps(one | {"span_id": "e" * 16}, ensure_ascii=False).encode() + b"\n",
        )
        slashed = json.dumps(one | {"span_id": "d" * 16}, indent=None, separators=(" , ", " : ")).replace("/", "\\/")
        write(path, slashed.replace("4.5", "45e-1").encode() + b"\n")
    for text in values:
        assert len(store.search(Query(attributes={"ke/y ä": text}))) == 3, text
        assert store.search(Query(attributes={"ke/y": text})) == []


def test_totals_are_what_counting_by_hand_gives(store: Store, path: Path) -> None:
    lengths = [(7 * n) % 101 for n in range(101)]
    usage = {"gen_ai.request.model": "asked", "gen_ai.response.model": "answered", "gen_ai.usage.output_tokens": 2}
    write(path, *(line("a", start_time_unix_nano=0, end_time_unix_nano=n * 10**9, attributes=usage) for n in lengths))
    write(path, line("b", status="error"), line("b", **PENDING), line("b", status="cancelled"))
    a, b = store.totals("name")
    assert (a.group, a.spans, a.p50, a.p95, a.p99, a.output_tokens, a.cost) == ("a", 101, 50.0, 95.0, 99.0, 202, None)
    assert (b.group, b.spans, b.errors, b.cancelled) == ("b", 3, 1, 1)
    assert [total.group for total in store.totals("model")] == ["answered"]
    assert [total.spans for total in store.totals(query=Query(min_duration=95))] == [6]
    with pytest.raises(ValueError, match="totals are by"):
        store.totals("name; DROP TABLE spans")
    with pytest.raises(ValueError, match="narrowed"):
        store.totals(query=Query(text="x"))


def test_percentiles_are_of_the_nearest_rank() -> None:
    assert [percentile([1, 2, 3, 4], share) for share in (0, 0.25, 0.5, 0.75, 0.76, 1)] == [1, 1, 2, 3, 4, 4]
    assert percentile([], 0.5) == 0


def test_a_record_that_names_a_path_reaches_no_file(store: Store, path: Path, tmp_path: Path) -> None:
    hostile = "../../../../etc/passwd"
    write(path, line(hostile, trace_id=hostile, span_id=hostile, service_name=hostile, span_type=hostile))
    (found,) = store.trace(hostile)
    assert isinstance(found, SpanRecord)
    assert sorted(p.name for p in tmp_path.iterdir() if ".prela-index" not in p.name) == ["a.jsonl"]


# --- over time, one span, one trace -----------------------------------------------------------------------------------

HOUR = 3600 * 10**9


def test_a_series_counts_each_span_once_in_the_interval_in_which_it_started(store: Store, path: Path) -> None:
    usage = {"gen_ai.usage.input_tokens": 2, "gen_ai.usage.output_tokens": 1, "prela.cost.usd": 0.25}
    times = [0, HOUR - 1, HOUR, 5 * HOUR]
    write(path, *(line(start_time_unix_nano=time, end_time_unix_nano=time + 10**9, attributes=usage) for time in times))
    write(path, line(start_time_unix_nano=HOUR, **{**PENDING, "status": "error"}))
    found = store.series(buckets=6)
    assert found.length == HOUR
    assert [(bucket.start, bucket.spans, bucket.errors) for bucket in found.buckets] == [
        (0, 2, 0),
        (HOUR, 2, 1),
        (2 * HOUR, 0, 0),
        (3 * HOUR, 0, 0),
        (4 * HOUR, 0, 0),
        (5 * HOUR, 1, 0),
    ]
    first, second, third, *_ = found.buckets
    assert (first.p50, first.p99, first.input_tokens, first.output_tokens, first.cost) == (1.0, 1.0, 4, 2, 0.5)
    assert (second.p50, second.cost) == (1.0, 0.25)
    assert (third.p50, third.cost, third.input_tokens) == (None, None, 0)


def test_a_series_is_of_the_time_that_was_asked_for(store: Store, path: Path) -> None:
    write(path, line(start_time_unix_nano=3 * HOUR), line(start_time_unix_nano=30 * HOUR))
    found = store.series(Query(since=0, until=6 * HOUR - 1), 6)
    assert (found.length, [bucket.spans for bucket in found.buckets]) == (HOUR, [0, 0, 0, 1, 0, 0])
    assert store.series(Query(name="nothing")).buckets == ()
    with pytest.raises(ValueError, match="narrowed"):
        store.series(Query(attributes={"a": "b"}))


@pytest.mark.parametrize("times", [[-1, 0], [-HOUR, -HOUR + 1], [-(2**63), 2**63 - 1], [0], [7, 7]])
@pytest.mark.parametrize("most", [0, 1, 7, 1_000])
def test_a_series_of_any_times_leaves_no_span_out(store: Store, path: Path, times: list[int], most: int) -> None:
    write(path, *(line(start_time_unix_nano=time, end_time_unix_nano=time) for time in times))
    found = store.series(buckets=most)
    assert sum(bucket.spans for bucket in found.buckets) == len(times)
    assert len(found.buckets) <= max(4, most) + 1
    for bucket in found.buckets:
        within = [time for time in times if bucket.start <= time < bucket.start + found.length]
        assert bucket.spans == len(within)


def test_intervals_have_lengths_that_people_count_in() -> None:
    second = 10**9
    asked = {
        1: 1,
        60: 1,
        61: 2,
        30 * second: 5 * 10**8,
        59 * 60 * second: 60 * second,
        90 * 86400 * second: 2 * 86400 * second,
    }
    assert {extent: interval(extent, 60) for extent in asked} == asked
    assert interval(100 * 365 * 86400 * second, 60) % (7 * 86400 * second) == 0


def test_one_span_is_read_without_its_trace(store: Store, path: Path) -> None:
    write(path, line("one", trace_id="a" * 32, span_id="1" * 16), line("two", trace_id="a" * 32, span_id="no id"))
    assert store.span("a", "1" * 16).name == "one"
    assert store.span("A" * 32, "no id").name == "two"
    for trace, span in (("a", "2" * 16), ("a", "1"), ("a", "\ud800"), ("b", "1" * 16)):
        with pytest.raises(LookupError):
            store.span(trace, span)


def test_a_traces_revision_changes_with_the_trace_and_with_nothing_else(
    store: Store, path: Path, tmp_path: Path
) -> None:
    write(path, line("pending", **SPAN, **PENDING))
    seen = [store.revision("a")]
    assert store.revision("a") == seen[0]
    write(path, line("other"))
    write(tmp_path / "b.jsonl", line("other"))
    assert store.revision("a") == seen[0]
    write(tmp_path / "b.jsonl", line("final", **SPAN))
    seen.append(store.revision("a"))
    content = path.read_bytes().replace(b'"pending"', b'"PENDING"', 1)
    (tmp_path / "b.jsonl").unlink()
    seen.append(store.revision("a"))
    path.write_bytes(content)
    seen.append(store.revision("a"))
    assert store.trace("a")[0].name == "PENDING"
    assert len({*seen[:2], *seen[3:]}) == 3
    assert seen[2] == seen[0]


def test_lists_are_narrowed_and_counted_alike(store: Store, path: Path) -> None:
    for number, name in enumerate(("Plan", "plan B", "other", "100%")):
        write(path, line(name, trace_id=f"{number:x}" * 32, start_time_unix_nano=number, service_name=f"s{number}"))
    wanted: dict[int, TraceFilter] = {
        0: {"name": "PLANS"},
        1: {"name": "%"},
        2: {"name": "plan"},
        3: {"since": 1},
        4: {"since": -(10**30), "until": 10**30},
    }
    for count, narrowed in wanted.items():
        assert len(store.traces(**narrowed)) == store.count_traces(**narrowed) == count
    assert [trace.name for trace in store.traces(name="2222")] == ["other"]
    assert [trace.name for trace in store.traces(service="s1", until=1)] == ["plan B"]
    assert store.summary("33").name == "100%"
    assert store.counts() == (4, 4, 1, 0)


def test_a_store_that_does_not_refresh_tells_what_another_has_taken_in(tmp_path: Path, path: Path) -> None:
    write(path, line("one"))
    with Store(tmp_path) as keeper, Store(tmp_path, refreshes=False) as reader:
        assert reader.traces() == []
        keeper.refresh()
        assert reader.count_traces() == 1
        write(path, line("two"))
        assert reader.count_traces() == 1
        for file in tmp_path.glob(".prela-index*"):
            file.unlink()
        keeper.refresh()
        assert reader.count_traces() == 2


def test_a_folder_that_comes_later_gets_its_index_then(tmp_path: Path) -> None:
    folder = tmp_path / "later"
    with Store(folder) as store:
        assert (store.traces(), store.index_path, store.notice) == ([], None, None)
        write(folder / "a.jsonl", line())
        assert len(store.traces()) == 1
        assert store.index_path == folder / ".prela-index.sqlite"
        assert store.notice is None


def test_the_records_of_a_known_revision_are_not_read(tmp_path: Path, path: Path) -> None:
    write(path, line("one", trace_id="a" * 32))
    with Store(tmp_path) as store:
        revision, records = store.trace_unless("a", ())
        assert records == store.trace("a")
        assert store.trace_unless("a", {revision}) == (revision, None)
        write(path, line("two", trace_id="a" * 32))
        later, records = store.trace_unless("a", {revision})
        assert later == store.revision("a") != revision
        assert records == store.trace("a")


def test_lines_are_read_in_stretches_and_each_is_what_stands_at_its_place(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = bytes(range(256)) * 4
    path.write_bytes(data)
    monkeypatch.setattr(files, "_RUN", 100)
    places = [(0, 10), (10, 60), (70, 40), (200, 5), (100, 5), (105, 300), (1000, 24), (1024, 1), (1020, 9), (3, 0)]
    expected = [data[at : at + length] if at + length <= len(data) else None for at, length in places]
    assert list(files.read_at(path, places)) == expected
    assert list(files.read_at(path, [])) == []
    assert list(files.read_at(path.with_name("gone"), places)) == [None] * len(places)
