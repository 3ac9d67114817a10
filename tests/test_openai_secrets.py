"""Keys and tokens appear in no record, whatever is captured and whoever repeats them."""

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import anyio
import openai
import pytest

import prela
from prela.core.private import SECRET, keep_secret, keep_secrets_of, without_secrets
from prela.testing.openai_server import Answer, OpenAIServer
from tests.openai_on_file import client_of, recorded

KEY = "3c9d-canary-key-0f7e1b"
ASK: dict[str, Any] = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": f"my key is {KEY}"}]}

Use = Callable[[str], object]


def ask(client: openai.OpenAI, **options: Any) -> None:
    """A failed call and its like: the server says the key again, and the program does."""
    with client, suppress(RuntimeError), prela.get_tracer().span("outer"):
        try:
            client.chat.completions.create(**ASK, **options)
        except openai.APIError as error:
            raise RuntimeError(f"{error}, with {KEY}") from error


def by_argument(url: str) -> None:
    ask(openai.OpenAI(base_url=url, api_key=KEY, max_retries=0))


def by_function(url: str) -> None:
    ask(openai.OpenAI(base_url=url, api_key=lambda: KEY, max_retries=0))


def by_async_function(url: str) -> None:
    async def give() -> str:
        return KEY

    async def main() -> None:
        async with openai.AsyncOpenAI(base_url=url, api_key=give, max_retries=0) as client:
            with suppress(openai.APIError), prela.get_tracer().span("outer"):
                await client.chat.completions.create(**ASK)

    anyio.run(main)


def by_default_header(url: str) -> None:
    ask(openai.OpenAI(base_url=url, api_key="any", default_headers={"X-Gateway-Auth": KEY}, max_retries=0))


def by_header_of_the_call(url: str) -> None:
    client = openai.OpenAI(base_url=url, api_key="any", max_retries=0)
    ask(client, extra_headers={"Authorization": f"Basic {KEY}"})


def by_query(url: str) -> None:
    ask(openai.OpenAI(base_url=url, api_key="any", max_retries=0), extra_query={"subscription-key": KEY})


def by_azure_key(url: str) -> None:
    ask(openai.AzureOpenAI(azure_endpoint=url, api_key=KEY, api_version="2024-06-01", max_retries=0))


def by_azure_token(url: str) -> None:
    given = {"azure_ad_token_provider": lambda: KEY, "api_version": "2024-06-01", "max_retries": 0}
    ask(openai.AzureOpenAI(azure_endpoint=url, **given))


WAYS: tuple[Use, ...] = (
    by_argument,
    by_function,
    by_async_function,
    by_default_header,
    by_header_of_the_call,
    by_query,
    by_azure_key,
    by_azure_token,
)


@pytest.mark.parametrize("capture", [True, False])
@pytest.mark.parametrize("way", WAYS)
def test_a_key_that_the_server_echoes_is_not_recorded(way: Use, capture: bool, tmp_path: Path) -> None:
    echoing = Answer(status=401, error_message=f"Incorrect API key provided: {KEY}.")
    with OpenAIServer(lambda _: echoing) as server, recorded(tmp_path, capture_content=capture) as recording:
        with suppress(openai.APIError):
            way(server.base_url)
    assert recording.spans == 2
    assert KEY not in recording.text
    assert (SECRET in recording.text) is capture


def test_a_key_inside_a_conversation_is_not_recorded(tmp_path: Path) -> None:
    with (
        client_of(Answer(f"it is {KEY}"), Answer(f"it is {KEY}"), api_key=KEY) as client,
        recorded(tmp_path) as recording,
    ):
        client.chat.completions.create(**ASK)
        for _ in client.chat.completions.create(**ASK, stream=True):
            pass
    assert KEY not in recording.text
    assert recording.text.count(f"it is {SECRET}") == recording.text.count(f"my key is {SECRET}") == 2


def test_what_looks_like_a_key_is_not_recorded_whoever_said_it() -> None:
    key = "sk-proj-Ab3_" + "x9" * 20
    assert without_secrets(f"use {key}, or Bearer {'t0ken' * 9}==.") == f"use {SECRET}, or Bearer {SECRET}."
    assert without_secrets("ask-me-anything-about-bearer-bonds and task-" + "x" * 30) == (
        "ask-me-anything-about-bearer-bonds and task-" + "x" * 30
    )


@pytest.mark.parametrize("word", ["ollama", "test", "lm-studio", "not-needed", "any"])
def test_keys_that_are_words_stay_in_the_language(word: str) -> None:
    keep_secret(word)
    assert without_secrets(f"start {word} now") == f"start {word} now"


@pytest.mark.parametrize("key", ["sk-short1", "s3cretkey", "SECRETKEY", "a-long-key-of-words"])
def test_short_keys_that_are_no_words_are_secrets(key: str) -> None:
    keep_secret(key)
    assert without_secrets(f"<{key}>") == f"<{SECRET}>"


def test_a_key_in_use_is_not_forgotten_for_newer_ones() -> None:
    for number in range(500):
        keep_secret(KEY)
        keep_secret(f"key-of-customer-{number:05}")
        assert without_secrets(KEY) == SECRET
    assert without_secrets("key-of-customer-00499") == SECRET


def test_headers_are_secret_by_their_names() -> None:
    headers = {
        "Authorization": "Bearer header-canary-1",
        "cf-aig-authorization": "Bearer header-canary-2",
        "x-portkey-api-key": "header-canary-3",
        "cookie": "session=header-canary-4",
        "idempotency-key": "header-canary-5",
        "content-type": "application/json; header-canary-6",
    }
    keep_secrets_of(headers, [("sig", "header-canary-7"), ("api-version", "header-canary-8")])
    found = without_secrets(" ".join(f"header-canary-{number}" for number in range(1, 9)))
    assert [number for number in range(1, 9) if f"header-canary-{number}" not in found] == [1, 2, 3, 7]
    assert without_secrets("session=header-canary-4") == SECRET
