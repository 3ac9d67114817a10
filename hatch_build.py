"""Compile the short cuts in C (prela/core/shortcut.py) where there is a compiler; without one, leave them out.

Prela is whole without them. So nothing that goes wrong here ends an installation: it is said, and that is all.
"""

import os
import sys
import sysconfig
import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

SOURCE = "prela/core/shortcut.c"
MODULE = "prela.core._shortcut"


class ShortcutHook(BuildHookInterface):
    """The wheel holds what was compiled, and is named for this interpreter and machine; else for any."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        reason = _why_not()
        if reason is None:
            try:
                built = compiled(Path(self.root))
            except BaseException as error:  # setuptools ends a failed compilation by SystemExit, among others
                if isinstance(error, KeyboardInterrupt):
                    raise
                reason = f"{type(error).__name__}: {error}"
        if reason is not None:
            self.app.display_warning(f"prela is installed without its short cuts in C, and slower ({reason})")
            return
        build_data["artifacts"].append(f"/{built}")
        build_data["pure_python"] = False
        build_data["infer_tag"] = True


def _why_not() -> str | None:
    """The reason not to compile here; None for none."""
    if os.environ.get("PRELA_NO_EXTENSIONS", "") not in {"", "0"}:
        return "PRELA_NO_EXTENSIONS is set"
    if sys.implementation.name != "cpython":
        return f"{sys.implementation.name} is not CPython"
    if sysconfig.get_config_var("Py_GIL_DISABLED"):
        return "they rely on the interpreter's lock"
    return None


def compiled(root: Path) -> str:
    """Compile them into the folder of their source, and return where, as seen from the root of the project."""
    from setuptools import Distribution, Extension
    from setuptools.command.build_ext import build_ext

    flags = [] if sys.platform == "win32" else ["-O3"]
    extension = Extension(MODULE, [SOURCE], extra_compile_args=flags)
    command = build_ext(Distribution({"name": "prela", "ext_modules": [extension]}))
    before = Path.cwd()
    os.chdir(root)
    try:
        with tempfile.TemporaryDirectory() as build:
            command.build_temp, command.inplace, command.force = build, True, True
            command.ensure_finalized()
            command.run()
        return Path(command.get_ext_fullpath(MODULE)).resolve().relative_to(root.resolve()).as_posix()
    finally:
        os.chdir(before)
