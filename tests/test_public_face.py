"""The names a program imports: all there, lazily found, and cheap to import."""

import ast
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import prela
from tests.conftest import ROOT


def test_every_public_name_is_found() -> None:
    for module in (prela, prela.aio, prela.sync, import_module("prela.testing")):
        for name in module.__all__:
            assert getattr(module, name) is not None
    assert set(dir(prela)) == set(prela.__all__)


def test_what_type_checkers_see_is_what_is_found() -> None:
    tree = ast.parse((ROOT / "prela" / "__init__.py").read_text())
    (block,) = [node for node in tree.body if isinstance(node, ast.If)]
    seen = {alias.name: node.module for node in block.body if isinstance(node, ast.ImportFrom) for alias in node.names}
    assert seen == {**prela._WHERE, "aio": "prela", "sync": "prela"}
    assert set(seen) == set(prela.__all__)


def test_importing_prela_imports_no_loop_and_no_json_library() -> None:
    check = (
        "import sys, prela; prela.get_tracer(); prela.trace; "
        "heavy = {'anyio', 'asyncio', 'trio', 'msgspec', 'aiofiles', 'logging', 'inspect', 'rich'} & set(sys.modules); "
        "sys.exit(repr(heavy) if heavy else 0)"
    )
    done = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr


def test_the_version_is_that_of_the_project() -> None:
    assert f'version = "{prela.__version__}"' in (ROOT / "pyproject.toml").read_text()


def test_every_public_name_is_in_the_reference() -> None:
    reference = Path(ROOT / "docs" / "reference.md").read_text()
    missing = [name for name in prela.__all__ if f"`{name}" not in reference and f"prela.{name}" not in reference]
    assert not missing
