"""Libraries are traced once they are imported, and nobody who imports them can tell."""

import importlib
import importlib.util
import sys
import threading
import types
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from prela.integrations.importing import forget, when_imported
from tests.conftest import RunProgram

NAME = "prela_test_library"


@pytest.fixture
def library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A module that can be imported, and is forgotten afterwards."""
    path = tmp_path / f"{NAME}.py"
    path.write_text("value = 1\n")
    monkeypatch.syspath_prepend(tmp_path)
    importlib.invalidate_caches()
    before = list(sys.meta_path)
    yield path
    forget(NAME)
    sys.modules.pop(NAME, None)
    assert sys.meta_path == before


def load() -> types.ModuleType:
    importlib.invalidate_caches()
    return importlib.import_module(NAME)


def test_the_function_is_called_after_the_import(library: Path) -> None:
    seen: list[int] = []
    when_imported(NAME, lambda: seen.append(sys.modules[NAME].value))
    assert seen == []
    load()
    load()
    assert seen == [1]


def test_the_function_is_called_at_once_for_what_is_imported(library: Path) -> None:
    load()
    seen: list[int] = []
    when_imported(NAME, lambda: seen.append(1))
    assert seen == [1]


def test_to_look_for_a_module_is_not_to_import_it(library: Path) -> None:
    seen: list[int] = []
    when_imported(NAME, lambda: seen.append(1))
    spec = importlib.util.find_spec(NAME)
    assert spec is not None and spec.origin == str(library)
    assert spec.loader is not None and spec.loader.get_source(NAME) == "value = 1\n"  # type: ignore[attr-defined]
    assert seen == [] and NAME not in sys.modules
    load()
    assert seen == [1]


def test_the_module_is_as_without_us(library: Path) -> None:
    plain = load()
    spec, loader = plain.__spec__, plain.__loader__
    assert spec is not None
    del sys.modules[NAME]
    when_imported(NAME, lambda: None)
    watched = load()
    assert watched.__spec__ == spec
    assert type(watched.__loader__) is type(loader) and watched.__spec__ is not None
    assert watched.__spec__.loader is watched.__loader__
    assert vars(watched).keys() == vars(plain).keys()


def test_an_import_that_fails_raises_its_own_error_and_may_be_tried_again(library: Path) -> None:
    library.write_text("import nothing_of_this_name\n")
    seen: list[int] = []
    when_imported(NAME, lambda: seen.append(1))
    for _ in range(2):
        with pytest.raises(ModuleNotFoundError, match="nothing_of_this_name"):
            load()
    assert seen == [] and NAME not in sys.modules
    library.write_text("value = 'mended, and longer than before'\n")
    load()
    assert seen == [1]


def test_what_the_function_raises_stays_with_us(library: Path) -> None:
    def fail() -> None:
        raise RuntimeError("broken integration")

    when_imported(NAME, fail)
    assert load().value == 1
    assert load().value == 1


def test_a_module_that_is_not_there_is_not_there(library: Path) -> None:
    library.unlink()
    when_imported(NAME, lambda: None)
    assert importlib.util.find_spec(NAME) is None
    with pytest.raises(ModuleNotFoundError):
        load()


def test_a_module_that_may_not_be_imported_is_waited_for(library: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, NAME, None)
        when_imported(NAME, lambda: seen.append(1))
        assert seen == []
    load()
    assert seen == [1]


def test_a_module_waits_once_and_may_be_forgotten(library: Path) -> None:
    seen: list[int] = []
    when_imported(NAME, lambda: seen.append(1))
    when_imported(NAME, lambda: seen.append(2))
    forget(NAME)
    load()
    assert seen == []


def test_threads_that_import_at_once_have_it_called_once(library: Path) -> None:
    library.write_text("import time\ntime.sleep(0.05)\nvalue = 1\n")
    seen: list[int] = []
    when_imported(NAME, lambda: seen.append(1))
    start, values = threading.Barrier(8), []

    def run() -> None:
        start.wait()
        values.append(importlib.import_module(NAME).value)

    threads = [threading.Thread(target=run) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert values == [1] * 8 and seen == [1]


def test_a_module_may_be_reloaded(library: Path) -> None:
    seen: list[int] = []
    when_imported(NAME, lambda: seen.append(1))
    module = load()
    library.write_text("value = 'another one'\n")
    assert importlib.reload(module).value == "another one"
    assert seen == [1]


def test_a_module_in_an_archive_is_seen(library: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    library.unlink()
    archive = tmp_path / "library.zip"
    with zipfile.ZipFile(archive, "w") as opened:
        opened.writestr(f"{NAME}/__init__.py", "value = 2\n")
    monkeypatch.syspath_prepend(archive)
    seen: list[int] = []
    when_imported(NAME, lambda: seen.append(sys.modules[NAME].value))
    load()
    assert seen == [2]


def test_a_loader_of_the_old_kind_is_left_alone(library: Path) -> None:
    class Old:
        def find_spec(self, name: str, path: object = None, target: object = None) -> object:
            return importlib.machinery.ModuleSpec(name, self) if name == NAME else None  # type: ignore[arg-type]

        def load_module(self, name: str) -> types.ModuleType:
            sys.modules[name] = types.ModuleType(name)
            return sys.modules[name]

    sys.meta_path.insert(0, Old())  # type: ignore[arg-type]
    try:
        when_imported(NAME, lambda: None)
        spec = importlib.util.find_spec(NAME)
        assert spec is not None and type(spec.loader) is Old
    finally:
        sys.meta_path[:] = [finder for finder in sys.meta_path if not isinstance(finder, Old)]


# --- whole programs -----------------------------------------------------------------------------------------------

CALL = """
    import openai
    from prela.testing.openai_server import Answer, OpenAIServer
    def call(count=1):
        with OpenAIServer(lambda _: Answer("yes " + "x" * 100_000)) as server:
            client = openai.OpenAI(base_url=server.base_url, api_key="any")
            for _ in range(count):
                client.chat.completions.create(model="m", messages=[{"role": "user", "content": "y" * 60_000}])
"""
BEFORE = f"if True:\n{CALL}\nimport prela\nprela.init()\ncall()\n"
AFTER = f"import prela\nprela.init()\nif True:\n{CALL}\ncall()\n"


@pytest.mark.parametrize("source", [BEFORE, AFTER], ids=["before", "after"])
def test_init_traces_what_is_imported_before_it_or_after(source: str, run_program: RunProgram) -> None:
    program = run_program(source, dev=False)
    assert (program.returncode, program.stderr) == (0, "")
    assert program.names == ["chat m"]


@pytest.mark.parametrize("off", [{"PRELA_AUTO_INSTRUMENT": "0"}, {"OTEL_SDK_DISABLED": "true"}])
def test_it_can_be_turned_off(off: dict[str, str], run_program: RunProgram) -> None:
    program = run_program(AFTER + "print([f for f in __import__('sys').meta_path if 'prela' in repr(f)])", **off)
    assert (program.returncode, program.stdout, program.names) == (0, "[]\n", [])


def test_a_later_init_may_turn_it_off(run_program: RunProgram) -> None:
    program = run_program(f"import prela\nprela.init()\nprela.init(auto_instrument=False)\nif True:\n{CALL}\ncall()\n")
    assert (program.returncode, program.names) == (0, [])


def test_a_program_without_the_library_pays_nothing(run_program: RunProgram) -> None:
    program = run_program(
        "import sys, prela\nprela.init()\n"
        "print([m for m in ('openai', 'pydantic', 'genai_prices', 'httpx2', 'httpx') if m in sys.modules])\n"
        "print([m for m in sys.modules if m.startswith('prela.integrations.') and m.count('.') > 2])\n"
        "print(len([f for f in sys.meta_path if type(f).__module__.startswith('prela')]))"
    )
    assert program.stdout == "[]\n[]\n2\n", "one finder waits for openai, one for the OpenTelemetry API"


def test_a_forked_child_traces_what_it_imports(run_program: RunProgram) -> None:
    program = run_program(
        f"import os, sys, prela\nprela.init()\npid = os.fork()\nif True:\n{CALL}\n"
        "call()\nif pid:\n    sys.exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))\n",
        dev=False,
    )
    assert (program.returncode, program.names) == (0, ["chat m", "chat m"])


def test_calls_before_and_after_a_fork_are_written_once_each(run_program: RunProgram) -> None:
    program = run_program(
        f"import os, sys, prela\nprela.init()\nif True:\n{CALL}\ncall(3)\npid = os.fork()\n"
        "call(2)\nif pid:\n    sys.exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))\n",
        dev=False,
    )
    assert (program.returncode, len(program.names)) == (0, 7), program.stderr
    assert len({line["span_id"] for line in program.lines}) == 7


WATCHED = """
import sys, threading
class Watching:
    def find_spec(self, name, path=None, target=None):
        if threading.current_thread().name.startswith("prela"):
            print(name)
sys.meta_path.insert(0, Watching())
"""


def test_the_worker_imports_nothing_for_a_fork_to_break(run_program: RunProgram) -> None:
    program = run_program(WATCHED + AFTER + "prela.sync.flush()")
    assert (program.stdout, program.names) == ("", ["chat m"])


def test_what_was_put_off_is_done_at_the_end_of_the_program(run_program: RunProgram) -> None:
    program = run_program(AFTER.replace("call()\n", "call(60)\n"), dev=False)
    assert (program.returncode, len(program.names)) == (0, 60)
    for line in program.lines:
        assert len(line["attributes"]["gen_ai.input.messages"][0]["parts"][0]["content"]) == 60_000


def test_without_prices_a_program_runs_as_ever(run_program: RunProgram) -> None:
    program = run_program("import sys\nsys.modules['genai_prices'] = None\n" + AFTER, dev=False)
    assert (program.returncode, program.stderr) == (0, "")
    assert program.names == ["chat m"]
    assert "prela.cost.usd" not in program.lines[0]["attributes"]
