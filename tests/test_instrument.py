"""Taking hold of the `openai` package, once, and leaving it exactly as it was."""

import inspect
import logging
import sys
from collections.abc import Callable, Iterator
from functools import wraps
from types import ModuleType
from typing import Any

import openai
import openai._base_client as base_client
import pytest

import prela
from prela.core import log
from prela.integrations.openai import instrument, uninstrument
from prela.integrations.stainless import cost
from prela.testing import recording
from prela.testing.openai_server import Answer, OpenAIServer
from tests.openai_on_file import client_of

ASK: dict[str, Any] = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "hi"}]}


@pytest.fixture(autouse=True)
def _as_it_was() -> Iterator[None]:
    uninstrument()  # `init()` in another test has set it up by itself
    yield
    uninstrument()


@pytest.fixture
def warnings(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> Callable[[], list[str]]:
    """The warnings logged so far; each is told once a process, and for these tests anew."""
    monkeypatch.setattr(log, "_told", set())
    return lambda: [r.getMessage() for r in caplog.records if r.name == "prela" and r.levelno >= logging.WARNING]


def functions() -> dict[tuple[str, str, str], Any]:
    """Everything that stands in a class of the package's two faces."""
    found = {}
    for module in (base_client, openai):
        for name, kind in list(vars(module).items()):
            if inspect.isclass(kind) and kind.__module__.startswith("openai"):
                for key, value in list(vars(kind).items()):
                    if inspect.isfunction(value) or isinstance(value, property | classmethod | staticmethod):
                        found[module.__name__, name, key] = value
    return found


def assert_same(before: dict[tuple[str, str, str], Any]) -> None:
    after = functions()
    assert [key for key in after.keys() | before.keys() if after.get(key) is not before.get(key)] == []


def is_traced(client: openai.OpenAI) -> int:
    """How many spans a call makes."""
    with recording() as spans:
        client.chat.completions.create(**ASK)
    return len(spans)


def test_everything_is_put_back() -> None:
    before = functions()
    assert instrument()
    changed = {key[1:] for key, value in functions().items() if value is not before.get(key)}
    assert ("SyncAPIClient", "request") in changed and ("AsyncAPIClient", "request") in changed
    uninstrument()
    assert_same(before)


def test_twice_is_once() -> None:
    before = functions()
    assert instrument() and instrument()
    with client_of() as client:
        assert is_traced(client) == 1
        uninstrument()
        assert is_traced(client) == 0
    assert_same(before)
    uninstrument()
    assert_same(before)
    with client_of() as client:
        assert instrument()
        assert is_traced(client) == 1


def test_replaced_functions_look_as_before() -> None:
    before = {name: getattr(base_client.SyncAPIClient, name) for name in ("request", "_build_request")}
    assert instrument()
    for name, original in before.items():
        replaced = getattr(base_client.SyncAPIClient, name)
        assert inspect.signature(replaced) == inspect.signature(original)
        assert (replaced.__name__, replaced.__qualname__) == (original.__name__, original.__qualname__)
    assert inspect.iscoroutinefunction(base_client.AsyncAPIClient.request)


def test_a_call_under_way_is_recorded_to_its_end() -> None:
    with client_of(Answer("a few words")) as client, recording() as spans:
        assert instrument()
        stream = client.chat.completions.create(**ASK, stream=True)
        next(stream)
        uninstrument()
        assert len(list(stream)) == 4
    assert spans["chat gpt-4o-mini"].attributes["prela.stream.outcome"] == "completed"


# --- other tracers ------------------------------------------------------------------------------------------------


class Other:
    """Traces as some others do: puts a `request` on the client class itself, which calls what was there."""

    def __init__(self) -> None:
        self.calls = 0

    def instrument(self) -> None:
        self._original: Any = openai.OpenAI.request
        original = self._original

        @wraps(original)
        def request(client: Any, *args: Any, **kwargs: Any) -> Any:
            self.calls += 1
            return original(client, *args, **kwargs)

        openai.OpenAI.request = request  # type: ignore[method-assign]

    def uninstrument(self) -> None:
        openai.OpenAI.request = self._original  # type: ignore[method-assign]


@pytest.fixture
def other() -> Iterator[Other]:
    yield Other()
    if "request" in vars(openai.OpenAI):
        del openai.OpenAI.request


@pytest.mark.parametrize("ours_first", [True, False])
@pytest.mark.parametrize("ours_leaves_first", [True, False])
def test_another_tracer_and_ours_both_see_a_call_once(ours_first: bool, ours_leaves_first: bool, other: Other) -> None:
    steps: list[Callable[[], object]] = [instrument, other.instrument]
    for step in steps if ours_first else steps[::-1]:
        step()
    with client_of() as client:
        assert is_traced(client) == 1
        assert other.calls == 1
        leaving = [uninstrument, other.uninstrument]
        for step in leaving if ours_leaves_first else leaving[::-1]:
            step()
        assert is_traced(client) == 0
        assert other.calls == 1


def test_a_client_class_of_the_programs_that_calls_super_is_traced_once() -> None:
    class Client(openai.OpenAI):
        def request(self, *args: Any, **kwargs: Any) -> Any:
            return super().request(*args, **kwargs)

    own = vars(Client)["request"]
    assert instrument()
    with OpenAIServer() as server, Client(base_url=server.base_url, api_key="any") as client:
        assert is_traced(client) == 1
    uninstrument()
    assert vars(Client)["request"] is own


# --- what is not known --------------------------------------------------------------------------------------------


def wrong_version(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(openai, "__version__", "99.0.0")


def no_version(patch: pytest.MonkeyPatch) -> None:
    patch.delattr(openai, "__version__")


def missing_method(patch: pytest.MonkeyPatch) -> None:
    patch.delattr(base_client.AsyncAPIClient, "_sleep_for_retry")


def missing_class(patch: pytest.MonkeyPatch) -> None:
    patch.delattr(base_client, "AsyncAPIClient")


def other_signature(patch: pytest.MonkeyPatch) -> None:
    original = base_client.SyncAPIClient._process_response

    def process(self: Any, **everything: Any) -> Any:
        return original(self, **everything)

    patch.setattr(base_client.SyncAPIClient, "_process_response", process)


def not_a_function(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(base_client.AsyncAPIClient, "request", 5)


def no_coroutine(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(base_client.AsyncAPIClient, "request", base_client.SyncAPIClient.request)


@pytest.mark.parametrize(
    "change",
    [wrong_version, no_version, missing_method, missing_class, other_signature, not_a_function, no_coroutine],
)
def test_what_is_not_as_it_was_is_left_alone_with_one_warning(
    change: Callable[[pytest.MonkeyPatch], None], warnings: Callable[[], list[str]]
) -> None:
    with pytest.MonkeyPatch.context() as patch, client_of() as client:
        change(patch)
        before = functions()
        assert not instrument()
        assert not instrument()
        prela.init("test", "none")
        assert_same(before)
        assert is_traced(client) == 0
    (said,) = warnings()
    assert said.startswith("prela: calls of openai") and "not traced" in said


def test_there_is_no_version_in_the_metadata_of_a_bundled_program(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "meta_path", [f for f in sys.meta_path if not hasattr(f, "find_distributions")])
    assert instrument()


def test_a_package_that_is_imported_anew_is_taken_hold_of_anew() -> None:
    assert instrument()
    fresh = ModuleType("openai._base_client")
    for name in ("SyncAPIClient", "AsyncAPIClient"):
        kind = getattr(base_client, name)
        setattr(fresh, name, type(name, (), {key: getattr(kind, key) for key in _SEAMS}))
    own = vars(fresh.SyncAPIClient)["request"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, "openai._base_client", fresh)
        assert instrument()
        assert vars(fresh.SyncAPIClient)["request"] is not own
    uninstrument()
    assert vars(fresh.SyncAPIClient)["request"] is own


_SEAMS = ("request", "_build_request", "_sleep_for_retry", "_process_response")


# --- what is not installed ----------------------------------------------------------------------------------------


def test_without_prices_there_is_no_cost_and_no_complaint(
    monkeypatch: pytest.MonkeyPatch, warnings: Callable[[], list[str]]
) -> None:
    instrument()
    monkeypatch.setattr(cost, "genai_prices", None)
    with client_of() as client, recording() as spans:
        client.chat.completions.create(**ASK)
    attributes = spans["chat gpt-4o-mini"].attributes
    assert "prela.cost.usd" not in attributes and attributes["gen_ai.usage.input_tokens"]
    assert warnings() == []


def test_a_call_has_a_cost_only_where_the_price_is_known() -> None:
    pytest.importorskip("genai_prices")
    instrument()
    with client_of() as client, recording() as spans:
        client.chat.completions.create(**ASK)
        client.chat.completions.create(**{**ASK, "model": "nobody-knows-this-1"})
    assert 0 < spans["chat gpt-4o-mini"].attributes["prela.cost.usd"] < 0.01
    assert "prela.cost.usd" not in spans["chat nobody-knows-this-1"].attributes
