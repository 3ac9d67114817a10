"""OpenAI calls recorded as users record them, by the file exporter, and the file to be searched."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import openai

import prela
from prela.integrations.openai import instrument, uninstrument
from prela.testing.openai_server import Answer, OpenAIServer, echo


class Recording:
    """What the file exporter wrote."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    @property
    def text(self) -> str:
        return "".join(path.read_text() for path in sorted(self._folder.glob("*.jsonl")))

    @property
    def spans(self) -> int:
        return self.text.count("\n")

    @property
    def records(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.text.splitlines()]


@contextmanager
def recorded(folder: Path, **options: Any) -> Iterator[Recording]:
    prela.init("test", "file", trace_dir=folder, **options)
    assert instrument()
    try:
        yield Recording(folder)
        assert prela.sync.shutdown()
    finally:
        uninstrument()


@contextmanager
def client_of(*answers: Answer, **options: Any) -> Iterator[openai.OpenAI]:
    with OpenAIServer(answers or echo) as server:
        with openai.OpenAI(base_url=server.base_url, **{"api_key": "any", "max_retries": 0, **options}) as client:
            yield client
