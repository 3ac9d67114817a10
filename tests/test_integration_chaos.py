"""Whatever raises inside the ASGI middleware and the HTTP clients' tracing, requests are served, sent and answered."""

import inspect
import types
from importlib import import_module
from typing import Any

import anyio
import httpx2
import pytest

from prela.integrations.httpx import instrument, uninstrument
from prela.testing import recording
from tests.test_asgi import BODY, GONE, REQUEST, START, answering, request, serve, starlette_app, websocket

MODULES = ("asgi", "http", "routes", "httpx")
BOUNDARY = {
    # What the program calls, and the steps that guard all they do.
    *("asgi.TracingMiddleware." + name for name in ("__init__", "__call__", "_watch")),
    *("asgi._Watch." + name for name in ("receiving", "sending", "left", "_guarded")),
    *("httpx." + name for name in ("instrument", "uninstrument", "_imported", "_pattern", "_traced", "_traced_async")),
    *("httpx." + name for name in ("_begun", "_carry_on", "_answered")),
}


def _internal_functions() -> list[tuple[str, Any, str]]:
    found = []
    for module in (import_module(f"prela.integrations.{name}") for name in MODULES):
        for owner in [module, *(c for c in vars(module).values() if inspect.isclass(c))]:
            if getattr(owner, "__module__", module.__name__) != module.__name__:
                continue
            where = module.__name__.rpartition(".")[2] + ("" if owner is module else f".{owner.__qualname__}")
            for name, function in vars(owner).items():
                is_own = isinstance(function, types.FunctionType) and function.__module__ == module.__name__
                if is_own and f"{where}.{name}" not in BOUNDARY:
                    found.append((f"{where}.{name}", owner, name))
    return found


FUNCTIONS = _internal_functions()


async def program() -> list[Any]:
    """Requests of every kind, and what server, application and client saw."""
    seen: list[Any] = []

    async def fails(scope: Any, receive: Any, send: Any) -> None:
        seen.append(await receive())
        raise ZeroDivisionError("the application's own")

    traceparent = f"00-{'1' * 32}-{'2' * 16}-01"
    seen.append((await serve(answering(START, BODY), request(traceparent=traceparent))).sent)
    seen.append((await serve(answering(START, BODY), request(traceparent=traceparent), trust_caller=False)).sent)
    seen.append((await serve(starlette_app(), request("/users/7/items/3"))).sent)
    seen.append((await serve(answering({**START, "status": 500}, BODY), request("/x"), REQUEST, GONE)).sent)
    seen.append((await serve(answering({"type": "websocket.accept"}), websocket())).sent)
    try:
        await serve(fails)
    except ZeroDivisionError as error:
        seen.append(str(error))
    transport = httpx2.MockTransport(lambda request: httpx2.Response(404 if request.url.path == "/404" else 200))
    with httpx2.Client(transport=transport) as client:
        seen.extend(client.get(f"http://user:pw@x:99/{path}?a=b").status_code for path in ("", "404"))
    async with httpx2.AsyncClient(transport=transport) as aclient:
        seen.append((await aclient.get("http://x/")).status_code)
    return seen


@pytest.mark.parametrize(("full", "owner", "name"), FUNCTIONS, ids=[full for full, _, _ in FUNCTIONS])
def test_requests_are_served_and_sent_when_this_raises(
    full: str, owner: Any, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = anyio.run(program)

    def broken(*args: object, **kwargs: object) -> Any:
        raise RuntimeError(full)

    with recording() as recorder:
        instrument()
        monkeypatch.setattr(owner, name, broken)
        try:
            assert anyio.run(program) == expected
        finally:
            monkeypatch.undo()
            uninstrument()
    assert all(record.end_time_unix_nano is not None for record in recorder.records)


def test_the_chaos_reaches_what_is_inside() -> None:
    assert len(FUNCTIONS) > 15
