"""A program that uses `openai` sees the same with us and without us."""

import gc
import logging
import re
import threading
from collections.abc import Callable, Iterator
from typing import Any

import anyio
import pytest

import prela
from prela.core.silent import NO_SPAN
from prela.integrations.openai import instrument, uninstrument
from prela.testing import Recorder
from prela.testing.openai_server import Answer, OpenAIServer
from tests.openai_clients import Script, async_client, sync_client
from tests.openai_programs import ASYNC_PROGRAMS, PROGRAMS, AsyncProgram, Program, Seen, same

LOGGERS = ("openai", "httpx", "httpx2")

Run = Callable[[list[Answer], Callable[[OpenAIServer], Seen]], Seen]


class Lines(logging.Handler):
    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(same(f"{record.name} {record.levelname} {record.getMessage()}"))


@pytest.fixture(autouse=True)
def _let_go() -> Iterator[None]:
    yield
    uninstrument()


def everything(answers: list[Answer], run: Callable[[OpenAIServer], Seen]) -> dict[str, Any]:
    """What a program saw, what the server saw of it, and what was logged meanwhile."""
    script = Script()
    script.says(*answers)
    lines = Lines()
    for name in LOGGERS:
        logging.getLogger(name).addHandler(lines)
        logging.getLogger(name).setLevel(logging.DEBUG)
    gc.collect()
    gc.freeze()
    gc.disable()
    threads = set(threading.enumerate())
    try:
        with OpenAIServer(script) as server:
            seen = run(server)
            headers = [{**one, "host": "", "content-type": _form(one)} for one in server.headers]
            sent = [server.paths, server.requests, headers, [str(error) for error in server.errors]]
    finally:
        gc.enable()
        gc.unfreeze()
        gc.collect()
        for name in LOGGERS:
            logging.getLogger(name).removeHandler(lines)
            logging.getLogger(name).setLevel(logging.NOTSET)
    return {"seen": seen, "sent": sent, "logged": lines.lines, "threads": len(set(threading.enumerate()) - threads)}


def _form(headers: dict[str, str]) -> str:
    return re.sub("boundary=.*", "", headers.get("content-type", ""))


def compare(answers: list[Answer], run: Callable[[OpenAIServer], Seen]) -> None:
    without = everything(answers, run)
    instrument()
    with_us = everything(answers, run)
    assert prela.get_current_span() is NO_SPAN
    assert with_us.pop("threads") <= without.pop("threads")  # trio keeps some of its own, for a while
    for part, value in without.items():
        if isinstance(value, list):
            for ours, theirs in zip(with_us[part], value, strict=True):
                assert ours == theirs
        assert with_us[part] == value


def run_sync(program: Program) -> Callable[[OpenAIServer], Seen]:
    def run(server: OpenAIServer) -> Seen:
        with sync_client(server) as client:
            return program(client, server)

    return run


def run_async(program: AsyncProgram, backend: tuple[str, dict[str, Any]]) -> Callable[[OpenAIServer], Seen]:
    async def main(server: OpenAIServer) -> Seen:
        async with async_client(server) as client:
            return await program(client, server)

    return lambda server: anyio.run(main, server, backend=backend[0], backend_options=backend[1])


@pytest.mark.filterwarnings("ignore:Async generator:ResourceWarning")  # trio's, of iterators of openai's own
@pytest.mark.parametrize("name", PROGRAMS)
def test_a_program_sees_the_same(name: str, prela_spans: Recorder) -> None:
    program, answers = PROGRAMS[name]
    compare(answers, run_sync(program))
    assert len(prela_spans) > 3


@pytest.mark.filterwarnings("ignore:Async generator:ResourceWarning")
@pytest.mark.parametrize("name", ASYNC_PROGRAMS)
def test_an_async_program_sees_the_same(name: str, anyio_backend: Any, prela_spans: Recorder) -> None:
    program, answers = ASYNC_PROGRAMS[name]
    compare(answers, run_async(program, anyio_backend))
    assert len(prela_spans) > 2
