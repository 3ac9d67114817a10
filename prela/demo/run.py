"""Runs the demo from beginning to end, and says where its trace is."""

import asyncio
import os
from pathlib import Path

import prela
from prela.aio.exporters.file import FileExporter
from prela.demo import agent
from prela.testing.openai_server import OpenAIServer


def run_demo(trace_dir: str | os.PathLike[str]) -> Path:
    """Run the agent, and return the trace file it left in `trace_dir`.

    Raises:
        OSError: The trace could not be written.
    """
    exporter = FileExporter(trace_dir, "prela-demo")
    prela.init(service_name="prela-demo", exporter=exporter)
    with OpenAIServer(agent.answer) as server:
        asyncio.run(_agent(server.base_url))
    if not prela.sync.shutdown() or exporter.path is None:
        raise OSError(f"the trace could not be written to {Path(trace_dir).resolve()}")
    return exporter.path


async def _agent(base_url: str) -> None:
    await agent.run(base_url)
