"""Boundary chaos with insight on: whichever of its functions raises, the program sees what it sees without us."""

import contextvars
import io
import sys
from typing import Any

import pytest

import prela
from prela.aio.process import process
from tests.test_chaos import InternalError, internal_functions, program

FUNCTIONS = internal_functions("prela.core", "prela.insight", "prela.aio")


@pytest.mark.parametrize(("full", "owner", "name"), FUNCTIONS, ids=[full for full, _, _ in FUNCTIONS])
def test_the_program_sees_the_same_when_this_raises(
    full: str, owner: Any, name: str, tracer: prela.Tracer, monkeypatch: pytest.MonkeyPatch
) -> None:
    def watched() -> list[Any]:
        seen = program(tracer)
        tracer.start_span("leaks")
        with tracer.span("looked at"):
            seen.append(type(prela.open_spans()))
            prela.dump_open_spans(io.StringIO())
        return seen

    expected = watched()
    prela.init(service_name="chaos", exporter="memory", insight=True, export_delay=0.01)

    def broken(*args: object, **kwargs: object) -> Any:
        raise InternalError(full)

    monkeypatch.setattr(owner, name, broken)
    try:
        assert contextvars.copy_context().run(watched) == expected
    finally:
        monkeypatch.undo()
        prela.sync.shutdown(timeout=1.0)
        process.forget()
    if sys.version_info >= (3, 12):
        assert sys.monitoring.get_tool(4) is sys.monitoring.get_tool(3) is None


def test_the_chaos_reaches_most_of_what_is_inside() -> None:
    assert sum(full.startswith("prela.insight.") for full, _, _ in FUNCTIONS) > 30
