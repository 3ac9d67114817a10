"""Phoenix and MLflow show an agent's spans as what they are: agent, tool, retrieval, LLM with its tokens."""

import json
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import pytest

pytest.importorskip("httpx2", reason="the OTLP exporter is an extra")

from prela.record.model import SpanRecord
from tests.backends.conftest import poll
from tests.environments import free_port, large_environment, running

KINDS = {"agent": "AGENT", "documents": "RETRIEVER", "search": "TOOL", "chat gpt-4o-mini": "LLM"}


@pytest.fixture(scope="module")
def phoenix(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder, port = tmp_path_factory.mktemp("phoenix"), free_port()
    variables: dict[str, str | Path] = {
        "PHOENIX_WORKING_DIR": folder,
        "PHOENIX_HOST": "127.0.0.1",
        "PHOENIX_PORT": str(port),
        "PHOENIX_GRPC_PORT": str(free_port()),
        "PHOENIX_TELEMETRY_ENABLED": "false",
        "PHOENIX_ALLOW_EXTERNAL_RESOURCES": "false",
    }
    program = large_environment("arize-phoenix") / "bin" / "phoenix"
    with running([program, "serve"], f"http://127.0.0.1:{port}/", folder / "log", variables):
        yield f"http://127.0.0.1:{port}"


@pytest.mark.parametrize("compression", ["none", "gzip"])
def test_phoenix_shows_every_span_as_what_it_is(
    phoenix: str, compression: str, run_agent: Callable[..., list[SpanRecord]]
) -> None:
    records = run_agent(phoenix, OTEL_EXPORTER_OTLP_COMPRESSION=compression)

    def spans() -> list[dict[str, Any]]:
        with urlopen(f"{phoenix}/v1/projects/default/spans?limit=1000") as answer:
            told = json.load(answer)["data"]
        found = [span for span in told if span["context"]["trace_id"] == records[0].trace_id]
        return found if len(found) == len(records) else []

    found = {span["context"]["span_id"]: span for span in poll(spans)}
    for record in records:
        span = found[record.span_id]
        assert (span["name"], span["parent_id"]) == (record.name, record.parent_span_id)
        assert span["span_kind"] == KINDS.get(record.name, "UNKNOWN")
        assert span["status_code"] == ("ERROR" if record.status == "error" else "UNSET")
        assert span["attributes"].get("prela.status") == ("cancelled" if record.status == "cancelled" else None)
        told = {event["name"] for event in span["events"]}
        assert told == {event.name for event in record.events}
        if record.name == "chat gpt-4o-mini":
            ours = record.attributes
            tokens = (ours.get("gen_ai.usage.input_tokens"), ours.get("gen_ai.usage.output_tokens"))
            shown = span["attributes"]
            assert (shown.get("llm.token_count.prompt"), shown.get("llm.token_count.completion")) == tokens
            assert shown["llm.model_name"] == "gpt-4o-mini"
            assert shown.get("prela.stream.outcome") == ours.get("prela.stream.outcome")


READ_BACK = """
import json, sys
import mlflow

trace = mlflow.MlflowClient(sys.argv[1]).get_trace("tr-" + sys.argv[2])
usage = "mlflow.chat.tokenUsage"
print(json.dumps([
    [s.name, s.span_id, s.parent_id, s.span_type, s.status.status_code.value, s.start_time_ns, s.end_time_ns,
     s.attributes.get(usage)]
    for s in trace.data.spans
]))
"""


@pytest.fixture(scope="module")
def mlflow(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, str]]:
    """Its interpreter, and its URL."""
    folder, port = tmp_path_factory.mktemp("mlflow"), free_port()
    variables = {
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "DO_NOT_TRACK": "true",
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
    }
    programs = large_environment("mlflow") / "bin"
    command: list[str | Path] = [programs / "mlflow", "server", "--host", "127.0.0.1", "--port", str(port)]
    with running([*command, "--workers", "1"], f"http://127.0.0.1:{port}/health", folder / "log", variables):
        yield programs / "python", f"http://127.0.0.1:{port}"


@pytest.mark.parametrize("protocol", ["http/protobuf", "http/json"])
def test_mlflow_shows_every_span_as_what_it_is(
    mlflow: tuple[Path, str], protocol: str, run_agent: Callable[..., list[SpanRecord]]
) -> None:
    python, url = mlflow
    records = run_agent(
        url, OTEL_EXPORTER_OTLP_HEADERS="x-mlflow-experiment-id=0", OTEL_EXPORTER_OTLP_PROTOCOL=protocol
    )
    command = [python, "-c", READ_BACK, url, records[0].trace_id]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    kinds = {**KINDS, "chat gpt-4o-mini": "CHAT_MODEL"}
    found = {span[1]: span for span in json.loads(done.stdout.splitlines()[-1])}
    assert len(found) == len(records)
    for record in records:
        name, _, parent, kind, status, start, end, usage = found[record.span_id]
        assert (name, parent) == (record.name, record.parent_span_id)
        assert (start, end) == (record.start_time_unix_nano, record.end_time_unix_nano)
        assert status == ("ERROR" if record.status == "error" else "UNSET")
        if record.name in kinds:
            assert kind == kinds[record.name]
        if tokens := record.attributes.get("gen_ai.usage.input_tokens"):
            assert usage["input_tokens"] == tokens
            assert usage["output_tokens"] == record.attributes["gen_ai.usage.output_tokens"]
