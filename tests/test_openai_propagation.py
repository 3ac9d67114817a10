"""By option, calls of `openai` carry the trace on to a gateway or model server of one's own."""

from collections.abc import Iterator
from importlib import import_module
from typing import Any

import openai
import pytest
from openai import _base_client

import prela
from prela.integrations.openai import instrument, uninstrument
from prela.testing import recording
from tests.openai_clients import CHAT

httpx: Any = import_module(
    _base_client.SyncAPIClient.__init__.__annotations__.get("http_client", "httpx").split(".")[0]
)
"""The HTTP library of this version of `openai`."""


@pytest.fixture(autouse=True)
def _uninstrumented() -> Iterator[None]:
    yield
    uninstrument()


def headers_sent(**options: Any) -> Any:
    seen: list[Any] = []

    def answer(request: Any) -> Any:
        seen.append(request.headers)
        return httpx.Response(200, json={"id": "1", "object": "chat.completion", "model": "m", "choices": []})

    transport = httpx.MockTransport(answer)
    with openai.OpenAI(api_key="k", http_client=httpx.Client(transport=transport)) as client:
        client.chat.completions.create(**CHAT, **options)
    return seen[0]


@pytest.mark.parametrize("options", [{}, {"extra_headers": {"x-own": "1", "Traceparent": "old"}}])
def test_the_headers_name_the_span_of_the_call(options: dict[str, Any]) -> None:
    given = {key: dict(value) for key, value in options.items()}
    with recording() as recorder, prela.baggage(user=7):
        instrument(propagate=True)
        headers = headers_sent(**options)
    (record,) = recorder.records
    assert headers["traceparent"] == f"00-{record.trace_id}-{record.span_id}-01"
    assert headers["baggage"] == "user=7"
    assert headers.get("x-own") == ("1" if options else None)
    assert options == given


def test_unasked_nothing_of_the_trace_leaves_the_program() -> None:
    with recording(), prela.baggage(user=7):
        instrument()
        headers = headers_sent()
    assert not {"traceparent", "tracestate", "baggage"} & set(headers)
