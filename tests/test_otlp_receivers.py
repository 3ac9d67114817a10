"""The OTLP exporter and receivers that others made: what they say they got is what was sent, field by field."""

import json
import math
from collections.abc import Iterator
from pathlib import Path
from urllib.request import urlopen

import anyio
import msgspec
import pytest

pytest.importorskip("httpx2", reason="the OTLP exporter is an extra")

from google.protobuf.json_format import ParseDict
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from prela.aio.exporters.otlp import OtlpExporter
from prela.record import jsonl
from prela.record.model import SpanEvent, SpanLink, SpanRecord
from prela.record.otlp import Records, as_json, as_protobuf
from prela.testing.otlp_collector import Collector
from tests.environments import collector, environment, free_port, running
from tests.traces import START, record

RESOURCE = {"service.name": "service", "list": ["a", "b"]}

SENT = [
    record("plain", span_id="1" * 16, resource=RESOURCE),
    record(
        "everything",
        span_id="2" * 16,
        parent_span_id="1" * 16,
        span_type="agent",
        status="cancelled",
        kind="client",
        trace_state="a=b",
        attributes={
            "text": "ü🎉",
            "int": -(2**63),
            "large": 2**64,
            "float": 0.1,
            "infinity": math.inf,
            "true": True,
            "bytes": b"\x00\xff",
            "nested": [1, "a", {"k": [None, 2.5]}],
        },
        events=[SpanEvent(name="event", time_unix_nano=START + 1, attributes={"k": "v"})],
        links=[SpanLink(trace_id="3" * 32, span_id="4" * 16, attributes={"k": 1}, trace_state="c=d")],
        dropped={"attributes": 1, "events": 2, "links": 3},
        resource=RESOURCE,
    ),
    record("failed", span_id="5" * 16, status="error", status_message="because", span_type="llm", resource=RESOURCE),
]


PLAINER = [
    msgspec.structs.replace(
        SENT[1],
        span_id="6" * 16,
        attributes={
            **{name: value for name, value in SENT[1].attributes.items() if name not in ("infinity", "nested")},
            "nothing": None,
            "nested": [1, "a", {"k": [2.5]}],
        },
    )
]
"""Without what rotel refuses in JSON, though Protobuf's JSON mapping has it: infinities, and nothing in a list."""


def send(records: list[SpanRecord], endpoint: str, protocol: str, compression: str) -> None:
    async def main() -> None:
        exporter = OtlpExporter(endpoint, protocol=protocol, compression=compression)
        await exporter.export(records)
        await exporter.aclose()

    anyio.run(main)


def lines(records: list[SpanRecord]) -> list[bytes]:
    return sorted(map(jsonl.encode, records))


IN_EVERY_FORM = pytest.mark.parametrize(
    ("protocol", "compression"),
    [(protocol, compression) for protocol in ("http/protobuf", "http/json") for compression in ("none", "gzip")],
)


@pytest.fixture(scope="module")
def test_agent(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of a running ddapm-test-agent."""
    folder = environment("ddapm-test-agent")
    ports = {name: free_port() for name in ("--port", "--otlp-http-port", "--otlp-grpc-port")}
    options = [word for name, port in ports.items() for word in (name, str(port))]
    url = f"http://127.0.0.1:{ports['--otlp-http-port']}"
    with running(
        [folder / "bin" / "ddapm-test-agent", *options],
        f"{url}/test/session/traces",
        tmp_path_factory.mktemp("agent") / "log",
    ):
        yield url


@IN_EVERY_FORM
def test_the_test_agent_says_that_it_got_what_was_sent(test_agent: str, protocol: str, compression: str) -> None:
    urlopen(f"{test_agent}/test/session/clear").close()
    send(SENT, f"{test_agent}/v1/traces", protocol, compression)
    with urlopen(f"{test_agent}/test/session/traces") as answer:
        (told,) = json.load(answer)
    if protocol == "http/json":
        request = as_json.decode_request(json.dumps(told).encode())
    else:
        message = ParseDict(told, ExportTraceServiceRequest())
        request = as_protobuf.decode_request(message.SerializeToString())
    assert lines(list(Records(request))) == lines(SENT)


@IN_EVERY_FORM
def test_what_goes_through_a_collector_comes_out_as_it_went_in(tmp_path: Path, protocol: str, compression: str) -> None:
    sent = PLAINER if protocol == "http/json" else SENT
    with Collector() as behind:
        options = {
            "exporter": "otlp",
            "otlp-exporter-endpoint": f"http://127.0.0.1:{behind.port}",
            "otlp-exporter-protocol": "http",
        }
        with collector(tmp_path, options) as url:
            send(sent, f"{url}/v1/traces", protocol, compression)
            behind.wait_for_requests(1)
    assert lines(behind.records) == lines(sent)
