"""Boundary chaos: whichever function of the integration raises, a program that uses `openai` sees the same."""

import contextvars
import gc
import importlib
import inspect
import pkgutil
import types
from collections.abc import Iterator
from typing import Any

import anyio
import openai
import pytest

import prela
from prela.core.span import Span
from prela.integrations.openai import instrument, uninstrument
from prela.testing import recording
from prela.testing.openai_server import Answer, OpenAIServer
from tests.openai_clients import CHAT, INPUT, Script, async_client, sync_client

PACKAGES = ("prela.integrations.stainless", "prela.integrations.openai")

BOUNDARY = {
    # Run when the package is taken hold of, before the program runs.
    "prela.integrations.stainless.seams",
    "prela.integrations.openai.instrumentation",
    # What the client calls in place of its own: these guard what they call, and cannot guard themselves.
    "prela.integrations.stainless.streams._sync_body.Body",
    *("prela.integrations.stainless.streams." + kind for kind in ("Steps", "AsyncSteps")),
    "prela.integrations.stainless.caller.Caller.begin",
    "prela.integrations.stainless.caller.Caller.__init__",
    *("prela.integrations.stainless.call.Call." + name for name in ("enter", "leave", "completed", "closed")),
    *(
        "prela.integrations.stainless.reading.Reading." + name
        for name in ("begin_untold", "end", "is_in_step", "_look_at")
    ),
    *("prela.integrations.stainless.call.Call." + name for name in ("dropped", "dropped_body", "fail", "returned")),
    *("prela.integrations.stainless.call.Call." + name for name in ("receives", "begin_retry", "end_retry")),
    *("prela.integrations.stainless." + name for name in ("timing._tell",)),
    # Steps of these that guard all they do.
    *("prela.integrations.stainless.call." + name for name in ("_leave", "Call._end")),
    *("prela.integrations.stainless.call.UnrecordedCall." + name for name in ("enter", "leave", "fail", "returned")),
}


class InternalError(Exception):
    """What the internal functions are made to raise."""


def _functions() -> list[tuple[str, Any, str]]:
    found: list[tuple[str, Any, str]] = [
        ("Span._finish", Span, "_finish"),
    ]
    for package in PACKAGES:
        for info in pkgutil.walk_packages(importlib.import_module(package).__path__, f"{package}."):
            module = importlib.import_module(info.name)
            for owner in [module, *(one for one in vars(module).values() if inspect.isclass(one))]:
                if getattr(owner, "__module__", module.__name__) != module.__name__:
                    continue
                where = module.__name__ if owner is module else f"{module.__name__}.{owner.__qualname__}"
                for name, function in vars(owner).items():
                    if isinstance(function, types.FunctionType) and function.__module__ == module.__name__:
                        full = f"{where}.{name}"
                        if not {full, where, module.__name__} & BOUNDARY:
                            found.append((full, owner, name))
    return found


FUNCTIONS = _functions()
ANSWERS = [
    *[Answer(status=429, headers={"retry-after-ms": "1"}), Answer("yes")],
    *[Answer("one two three")] * 6,
    Answer("one two three", cut_at=2),
    Answer("no", status=400),
]


def program(client: openai.OpenAI) -> list[Any]:
    """A small program that calls in every way, and what it saw."""
    chat = client.chat.completions
    seen: list[Any] = [chat.create(**CHAT).choices]
    with chat.create(stream=True, **CHAT) as stream:
        seen.append([chunk.choices for chunk in stream])
    with chat.create(stream=True, **CHAT) as stream:
        seen.append(next(stream).choices)
    with chat.with_streaming_response.create(stream=True, **CHAT) as raw:
        seen.append([line for line in raw.iter_lines() if "[DONE]" in line])
    seen.append([chunk.choices for chunk in chat.with_raw_response.create(stream=True, **CHAT).parse()])
    chat.create(stream=True, **CHAT).close()
    try:
        with chat.create(stream=True, **CHAT) as stream:
            raise KeyError(next(stream).object)
    except KeyError as error:
        seen.append(error.args)
    for _ in range(2):
        try:
            list(chat.create(stream=True, **CHAT))
        except Exception as error:
            seen.append((type(error), str(error), type(error.__cause__)))
    with prela.get_tracer().span("root"), prela.suppress():
        seen.append(client.responses.create(**INPUT).output_text)
    return seen


async def async_program(client: openai.AsyncOpenAI) -> list[Any]:
    chat = client.chat.completions
    seen: list[Any] = [(await chat.create(**CHAT)).choices]
    for _ in range(6):
        async with await chat.create(stream=True, **CHAT) as stream:
            seen.append([chunk.choices async for chunk in stream])
    for _ in range(2):
        try:
            async for _ in await chat.create(stream=True, **CHAT):
                pass
        except Exception as error:
            seen.append((type(error), str(error), type(error.__cause__)))
    return seen


@pytest.fixture(scope="module")
def script() -> Script:
    return Script()


@pytest.fixture(scope="module")
def server(script: Script) -> Iterator[OpenAIServer]:
    with OpenAIServer(script) as server:
        yield server


@pytest.fixture(scope="module")
def client(server: OpenAIServer) -> Iterator[openai.OpenAI]:
    with sync_client(server, max_retries=1) as client:
        yield client


def run(client: openai.OpenAI, server: OpenAIServer, script: Script) -> list[Any]:
    """What both programs saw. In a context of their own, for what a broken step leaves current there."""

    async def main() -> list[Any]:
        async with async_client(server, max_retries=1) as aclient:
            return await async_program(aclient)

    script.says(*ANSWERS)
    seen = contextvars.copy_context().run(program, client)
    script.says(*ANSWERS)
    return seen + anyio.run(main)


@pytest.fixture(scope="module")
def expected(client: openai.OpenAI, server: OpenAIServer, script: Script) -> list[Any]:
    return run(client, server, script)


@pytest.mark.parametrize(("full", "owner", "name"), FUNCTIONS, ids=[full for full, _, _ in FUNCTIONS])
def test_the_program_sees_the_same_when_this_raises(
    full: str,
    owner: Any,
    name: str,
    client: openai.OpenAI,
    server: OpenAIServer,
    script: Script,
    expected: list[Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def broken(*args: object, **kwargs: object) -> Any:
        raise InternalError(full)

    with recording() as spans:
        instrument()
        monkeypatch.setattr(owner, name, broken)
        try:
            assert run(client, server, script) == expected
            gc.collect()
        finally:
            monkeypatch.undo()
            uninstrument()
        gc.collect()
        assert full.startswith("Span._") or spans._settings.counters.ids.started == len(spans)


def test_the_chaos_reaches_most_of_what_is_inside() -> None:
    assert len(FUNCTIONS) > 60
