"""OTLP/JSON as OpenTelemetry's own file exporter writes it: read whole, and written again as it stood."""

import json
import subprocess
from pathlib import Path
from typing import Any

from prela.record import jsonl
from prela.record.otlp import Records, as_json
from tests.environments import environment

PROGRAM = """
import sys
from opentelemetry.exporter.otlp.json.file.trace_exporter import FileSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.trace import Link, SpanContext, SpanKind, StatusCode, TraceFlags

provider = TracerProvider(resource=Resource.create({"service.name": "theirs", "list": ["a", "b"]}))
provider.add_span_processor(SimpleSpanProcessor(FileSpanExporter(sys.argv[1])))
tracer = provider.get_tracer("library", "1.2", "https://example.com/schema", {"k": 1})
linked = SpanContext(5, 6, is_remote=True, trace_flags=TraceFlags(1))
with tracer.start_as_current_span("outer", kind=SpanKind.SERVER, links=[Link(linked, {"k": 2})]) as outer:
    outer.set_attributes({"text": "a", "int": 2**62, "float": 0.5, "bool": True, "list": ["a", "b"]})
    outer.add_event("event", {"k": "v"}, timestamp=1_700_000_000_000_000_000)
    outer.set_status(StatusCode.OK)
    with tracer.start_as_current_span("inner") as inner:
        inner.set_status(StatusCode.ERROR, "because")
provider.shutdown()
"""


def said(value: Any) -> Any:
    """JSON without what says nothing: defaults, which may be written or left out (Protobuf's JSON mapping)."""
    if isinstance(value, dict):
        found = {key: said(item) for key, item in value.items()}
        return {key: item for key, item in found.items() if item not in ({}, [], "", 0, None)}
    return [said(item) for item in value] if isinstance(value, list) else value


def test_what_the_official_file_exporter_wrote_is_written_again_as_it_stood(tmp_path: Path) -> None:
    folder = environment("opentelemetry-exporter-otlp-json-file")
    path = tmp_path / "spans.jsonl"
    subprocess.run([folder / "bin" / "python", "-c", PROGRAM, path], check=True)
    lines = path.read_bytes().splitlines()
    assert len(lines) == 2
    for line in lines:
        records = list(Records(as_json.decode_request(line)))
        stored = [jsonl.decode(jsonl.encode(record)) for record in records]
        assert said(json.loads(as_json.encode_records(stored))) == said(json.loads(line))
