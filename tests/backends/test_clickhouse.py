"""From a program through a collector into ClickHouse, and the queries of docs/clickhouse.md as they are printed."""

import json
import re
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import pytest

pytest.importorskip("httpx2", reason="the OTLP exporter is an extra")

from prela.record.model import SpanRecord
from tests.backends.conftest import poll
from tests.conftest import ROOT
from tests.environments import collector, free_port, large_environment, running

PAGE = (ROOT / "docs" / "clickhouse.md").read_text()
TABLE, *_ = re.findall(r"```sql\n(.*?)```", PAGE, re.DOTALL)
QUERIES: dict[str, str] = dict(re.findall(r"^### (.*?)\n.*?```sql\n(.*?)```", PAGE, re.DOTALL | re.MULTILINE))


class ClickHouse:
    """The engine over HTTP."""

    def __init__(self, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}"

    def run(self, statement: str) -> bytes:
        with urlopen(self.url, statement.encode(), timeout=60) as answer:
            found: bytes = answer.read()
            return found

    def rows(self, query: str) -> list[dict[str, Any]]:
        """What a query finds; 64-bit integers as numbers, and no number as None."""
        settings = "SETTINGS output_format_json_quote_64bit_integers = 0"
        return [json.loads(line) for line in self.run(f"{query} {settings} FORMAT JSONEachRow").splitlines()]

    def ask(self, title: str, **named: str) -> list[dict[str, Any]]:
        query = QUERIES[title]
        for name, value in named.items():
            query = query.replace(f"{{{name}:String}}", f"'{value}'")
        return self.rows(query)


@pytest.fixture(scope="module")
def clickhouse(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ClickHouse]:
    python = large_environment("chdb") / "bin" / "python"
    server, port = Path(__file__).parent / "clickhouse_server.py", free_port()
    with running([python, server, str(port)], f"http://127.0.0.1:{port}/", tmp_path_factory.mktemp("ch") / "log"):
        found = ClickHouse(port)
        found.run(TABLE)
        yield found


def test_every_query_of_the_page_is_answered_by_what_went_through_the_collector(
    clickhouse: ClickHouse, tmp_path: Path, run_agent: Callable[..., list[SpanRecord]]
) -> None:
    options = {
        "exporter": "clickhouse",
        "clickhouse-exporter-endpoint": clickhouse.url,
        "clickhouse-exporter-compression": "none",  # chdb has no HTTP interface of its own, and ours knows no LZ4
        "clickhouse-exporter-async-insert": "false",
    }
    with collector(tmp_path, options) as url:
        records = run_agent(url)
        poll(lambda: clickhouse.rows("SELECT count() AS n FROM otel_traces")[0]["n"] == len(records))

    # Span for span, what each row says is what the record says.
    rows = {
        row["SpanId"]: row
        for row in clickhouse.rows("SELECT *, toUnixTimestamp64Nano(Timestamp) AS start FROM otel_traces")
    }
    for record in records:
        row = rows[record.span_id]
        assert (row["TraceId"], row["ParentSpanId"]) == (record.trace_id, record.parent_span_id or "")
        assert (row["SpanName"], row["SpanKind"].lower(), row["ServiceName"]) == (record.name, record.kind, "backends")
        assert row["start"] == record.start_time_unix_nano
        assert record.end_time_unix_nano is not None
        assert row["Duration"] == record.end_time_unix_nano - record.start_time_unix_nano
        assert row["StatusCode"] == ("Error" if record.status == "error" else "Unset")
        assert row["SpanAttributes"].get("prela.status") == ("cancelled" if record.status == "cancelled" else None)
        assert row["Events.Name"] == [event.name for event in record.events]
        assert row["Links.SpanId"] == [link.span_id for link in record.links]
        assert record.attributes.keys() <= row["SpanAttributes"].keys()

    names = Counter(record.name for record in records)
    told = clickhouse.ask("How slow is what, and how often does it fail?")
    assert {row["SpanName"]: row["spans"] for row in told} == names
    assert [row["SpanName"] for row in told if row["failed"]] == ["broken"]
    assert [row["SpanName"] for row in told if row["cancelled"]] == ["slow"]

    def total(key: str) -> float:
        return sum(record.attributes.get(key, 0) for record in records)

    (model,) = clickhouse.ask("What does each model cost?")
    assert (model["model"], model["calls"]) == ("gpt-4o-mini", 3)
    assert model["input_tokens"] == total("gen_ai.usage.input_tokens") > 0
    assert model["output_tokens"] == total("gen_ai.usage.output_tokens") > 0
    assert model["usd"] == pytest.approx(total("prela.cost.usd"), abs=1e-6) and model["usd"] > 0

    outcomes = {row["outcome"]: row["streams"] for row in clickhouse.ask("How did the streams end?")}
    assert outcomes == {"completed": 1, "closed_early": 1}

    ran = clickhouse.ask("Where did the time go?")
    assert {row["SpanName"] for row in ran[:2]} == {"hold", "holds the loop"}
    assert all(0.18 <= row["run"] <= 0.3 for row in ran[:2])

    (stall,) = clickhouse.ask("Who held the loop, and whom did it cost?")
    victims = [record for record in records if "prela.stall.victim_of" in record.attributes]
    assert (stall["culprit"], stall["stalls"], stall["victims"]) == ("holds the loop", 1, len(victims))
    assert victims and 0.18 <= stall["longest_seconds"] <= 0.3

    (slowest,) = clickhouse.ask("Show me the slowest traces")
    assert (slowest["TraceId"], slowest["SpanName"]) == (records[0].trace_id, "agent")

    tree = clickhouse.ask("Show me one of them, as a tree", trace=records[0].trace_id)
    shown = [(len(row["span"]) - len(row["span"].lstrip()), row["span"].strip()) for row in tree]
    assert Counter(name for _, name in shown) == names
    assert shown[:3] == [(0, "agent"), (2, "documents"), (4, "search")]
    assert (4, "hold") in shown and (6, "holds the loop") in shown
