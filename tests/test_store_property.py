"""An index that grew with its folder, through whatever happened there, tells what one made anew tells."""

import json
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from prela.record import jsonl
from prela.record.model import SpanRecord
from prela.store.query import as_text
from prela.store.store import Query, Store

WORDS = st.sampled_from(
    ["alpha", "Beta", "gämma", 'qu"ote', "back\\slash", "50%", "under_score", "a'; DROP TABLE spans"]
)
VALUES = st.one_of(
    WORDS,
    st.integers(-3, 3),
    st.booleans(),
    st.none(),
    st.floats(allow_nan=False, width=16),
    st.lists(WORDS, max_size=2),
)
LINES = st.fixed_dictionaries(
    {
        "v": st.just(1),
        "trace_id": st.sampled_from(["a" * 32, "ab" * 16, "ABC", "", "not hex, ever"]),
        "span_id": st.sampled_from(["0" * 16, "f" * 16, "no id", "12"]),
        "parent_span_id": st.sampled_from([None, "0" * 16]),
        "name": WORDS,
        "span_type": st.sampled_from(["llm", "tool"]),
        "status": st.sampled_from(["pending", "success", "error", "cancelled"]),
        "status_message": st.none(),
        "start_time_unix_nano": st.integers(0, 4) | st.just(2**64),
        "end_time_unix_nano": st.none() | st.integers(2, 9),
        "attributes": st.dictionaries(
            WORDS | st.sampled_from(["gen_ai.usage.input_tokens", "gen_ai.request.model", "prela.cost.usd"]),
            VALUES,
            max_size=3,
        ),
        "events": st.just([]),
        "links": st.just([]),
        "service_name": st.sampled_from(["one", "two"]),
        "resource": st.just({}),
    }
)
NUMBER = st.integers(0, 2)
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("append"), NUMBER, LINES, st.booleans()),
        st.tuples(st.just("half"), NUMBER, LINES, st.booleans()),
        st.tuples(st.just("junk"), NUMBER, st.sampled_from([b"", b"\n\n", b"{}\r\n", b"\xff\n", b"[1", b'{"v":2}\n'])),
        st.tuples(st.just("cut"), NUMBER, st.integers(0, 2000)),
        st.tuples(st.just("delete"), NUMBER),
        st.tuples(st.just("rotate"), NUMBER, NUMBER),
        st.tuples(st.just("refresh")),
    ),
    max_size=25,
)


def take_step(folder: Path, number: int, step: tuple[Any, ...]) -> None:
    kind, *arguments = step
    path = folder / f"{arguments[0]}.jsonl"
    if kind in ("append", "half"):
        # Each line is one of its own, as real ones are: a file cut and grown again never holds the same bytes.
        line = {"v": 1, "nr": number, **arguments[1]}
        data = json.dumps(line, ensure_ascii=arguments[2], separators=(",", ":")).encode() + b"\n"
        with path.open("ab") as file:
            file.write(data if kind == "append" else data[: len(data) * 2 // 3])
    elif kind == "junk":
        with path.open("ab") as file:
            file.write(arguments[1])
    elif kind == "cut" and path.exists():
        with path.open("ab") as file:
            file.truncate(min(file.tell(), arguments[1]))
    elif kind == "delete":
        path.unlink(missing_ok=True)
    elif kind == "rotate" and path.exists():
        path.replace(folder / f"{arguments[1]}.jsonl")


def told(store: Store) -> dict[str, Any]:
    traces = store.traces(1000)
    return {
        "traces": traces,
        "bad": store.bad_lines(),
        "totals": [store.totals(by) for by in ("name", "model", "status", "type", "service")],
        "each": [store.trace(trace.trace_id) for trace in traces],
        "all": store.search(Query(), 1000),
    }


def lines_of(folder: Path) -> Iterator[tuple[bytes, SpanRecord]]:
    for path in sorted(folder.glob("*.jsonl")):
        for line in path.read_bytes().splitlines(keepends=True):
            try:
                record = jsonl.decode(line)
            except ValueError:
                continue
            if line.endswith(b"\n") and record.start_time_unix_nano < 2**63:
                yield line, record


@given(STEPS)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_an_index_that_grew_tells_what_one_made_anew_tells(steps: list[tuple[Any, ...]]) -> None:
    folder = Path(tempfile.mkdtemp())
    try:
        with Store(folder) as grown:
            for number, step in enumerate(steps):
                if step[0] == "refresh":
                    grown.refresh()
                else:
                    take_step(folder, number, step)
            with Store(folder, folder / "anew.sqlite") as anew:
                assert told(grown) == told(anew)
                latest = jsonl.latest(record for _, record in lines_of(folder))
                key = lambda record: (record.trace_id, record.span_id)  # noqa: E731
                assert sorted(anew.search(Query(), 1000), key=key) == sorted(latest, key=key)
                assert sum(trace.spans for trace in anew.traces(1000)) == len(latest)
    finally:
        shutil.rmtree(folder)


def maybe(values: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.none() | values


QUERIES = st.builds(
    Query,
    name=maybe(WORDS | st.sampled_from(["ALP", "GÄM", "%", "_", "'"])),
    span_type=maybe(st.sampled_from(["llm", "x"])),
    status=maybe(st.sampled_from(["success", "error", "' OR 1=1 --"])),
    service=maybe(st.sampled_from(["one", "two"])),
    attributes=st.dictionaries(
        WORDS,
        WORDS | st.sampled_from(["0", "-1", "true", "null", "0.5", "1.0", '["alpha"]', '["gämma","50%"]']),
        max_size=1,
    ),
    text=maybe(WORDS | st.sampled_from(["%", "ä", '"', "lph", "\n"])),
    since=maybe(st.integers(0, 4) | st.just(-(10**30))),
    until=maybe(st.integers(0, 4) | st.just(10**30)),
    min_duration=maybe(st.sampled_from([0.0, 2e-9, 5e-9, float("inf"), -1.0])),
    model=maybe(WORDS),
)


def matches(line: bytes, record: SpanRecord, query: Query) -> bool:
    text = query.text or ""
    forms = [json.dumps(text, ensure_ascii=ascii_only)[1:-1].encode() for ascii_only in (True, False)]
    return (
        (query.name is None or query.name.casefold() in record.name.casefold())
        and query.span_type in (None, record.span_type)
        and query.status in (None, record.status)
        and query.service in (None, record.service_name)
        and query.model in (None, record.attributes.get("gen_ai.request.model"))
        and all(k in record.attributes and as_text(record.attributes[k]) == v for k, v in query.attributes.items())
        and any(form in line for form in forms)
        and (query.since is None or record.start_time_unix_nano >= query.since)
        and (query.until is None or record.start_time_unix_nano <= query.until)
        and (query.min_duration is None or (record.duration is not None and record.duration >= query.min_duration))
    )


@given(st.lists(st.tuples(LINES, st.booleans(), st.booleans(), NUMBER), max_size=12), st.lists(QUERIES, min_size=4))
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_a_search_finds_what_reading_every_line_finds(
    lines: list[tuple[dict[str, Any], bool, bool, int]], queries: list[Query]
) -> None:
    folder = Path(tempfile.mkdtemp())
    try:
        for number, (line, ascii_only, spaced, file_number) in enumerate(lines):
            line = {**line, "span_id": f"{number:016x}"}
            separators = (", ", ": ") if spaced else (",", ":")
            with (folder / f"{file_number}.jsonl").open("a", encoding="utf-8") as file:
                file.write(json.dumps(line, ensure_ascii=ascii_only, separators=separators) + "\n")
        with Store(folder) as store:
            for query in queries:
                expected = [record for line, record in lines_of(folder) if matches(line, record, query)]
                expected.sort(key=lambda r: (r.start_time_unix_nano, r.trace_id, r.span_id), reverse=True)
                assert store.search(query, 1000) == expected
                assert [r.start_time_unix_nano for r in store.search(query, 2)] == [
                    r.start_time_unix_nano for r in expected[:2]
                ]
                assert store.search(query, 0) == []
    finally:
        shutil.rmtree(folder)
