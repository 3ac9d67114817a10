"""Fixtures for tests of calls of `openai`: to be imported by name, since not every test should import that package."""

import gc
from collections.abc import AsyncIterator, Iterator
from typing import Any

import openai
import pytest

import prela
from prela.core.silent import NO_SPAN
from prela.integrations.openai import instrument, uninstrument
from prela.testing import Recorder
from prela.testing.openai_server import OpenAIServer
from tests.openai_clients import Script, async_client, collected, late_calls, sync_client


@pytest.fixture(scope="module")
def script() -> Script:
    return Script()


@pytest.fixture(scope="module")
def server(script: Script) -> Iterator[OpenAIServer]:
    with OpenAIServer(script) as server:
        yield server


@pytest.fixture(autouse=True)
def instrumented(script: Script) -> Iterator[None]:
    script.says()
    gc.freeze()  # what was imported need not be gone through by every collection below
    instrument()
    yield
    uninstrument()
    gc.unfreeze()


@pytest.fixture(scope="module")
def shared_client(server: OpenAIServer) -> Iterator[openai.OpenAI]:
    with sync_client(server) as client:
        yield client


@pytest.fixture
def client(shared_client: openai.OpenAI, prela_spans: Recorder) -> Iterator[openai.OpenAI]:
    """A client, and after the test: nothing is current, and nothing happened to a span that had ended."""
    yield shared_client
    gc.collect()
    assert prela.get_current_span() is NO_SPAN
    assert late_calls(prela_spans) == 0


@pytest.fixture
async def aclient(server: OpenAIServer, prela_spans: Recorder, anyio_backend: Any) -> AsyncIterator[openai.AsyncOpenAI]:
    async with async_client(server) as client:
        yield client
    await collected()
    assert prela.get_current_span() is NO_SPAN
    assert late_calls(prela_spans) == 0
