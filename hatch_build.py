"""Compile the short cuts in C (prela/core/shortcut.py) where there is a compiler; without one, leave them out.

Prela is whole without them. So nothing that goes wrong here ends an installation: the reason is said (`pip install -v`
shows it), and that is all. Nothing is written beside the sources, but by an editable installation.
"""

import os
import shutil
import sys
import sysconfig
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

SOURCE = "prela/core/shortcut.c"
MODULE = "prela.core._shortcut"


class ShortcutHook(BuildHookInterface):
    """The wheel holds what was compiled, and is named for this interpreter and machine; else for any."""

    folder: "TemporaryDirectory[str] | None" = None

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        place = Path(self.root, SOURCE).parent
        try:
            if version == "editable":
                removed(place)  # also where none is made now: what lies there would be used
            self.folder = TemporaryDirectory(prefix="prela-")
            built = compiled(Path(self.root), Path(self.folder.name))
            if version == "editable":
                moved(built, place)
            else:
                build_data["force_include"][str(built)] = f"{Path(SOURCE).parent.as_posix()}/{built.name}"
        except (Exception, SystemExit) as error:  # setuptools ends a failed compilation by SystemExit, among others
            reason = f"{type(error).__name__}: {error}"
            self.app.display_warning(f"prela is installed without its short cuts in C, and slower ({reason})")
        else:
            build_data["pure_python"] = False
            build_data["infer_tag"] = True

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:
        if self.folder is not None:
            self.folder.cleanup()


class NotWantedError(Exception):
    """They are not to be compiled here."""


def compiled(root: Path, folder: Path) -> Path:
    """Compile them in a folder, and return the file."""
    if os.environ.get("PRELA_NO_EXTENSIONS", "") not in {"", "0"}:
        raise NotWantedError("PRELA_NO_EXTENSIONS is set")
    if sys.implementation.name != "cpython":
        raise NotWantedError("they are for CPython")
    if sysconfig.get_config_var("Py_GIL_DISABLED"):
        raise NotWantedError("they rely on the interpreter's lock")
    from setuptools import Distribution, Extension
    from setuptools.command.build_ext import build_ext

    flags = [] if sys.platform == "win32" else ["-O3", "-g0"]
    command = build_ext(
        Distribution({"name": "prela", "ext_modules": [Extension(MODULE, [SOURCE], extra_compile_args=flags)]})
    )
    command.build_temp, command.build_lib = str(folder / "temp"), str(folder / "lib")
    before = Path.cwd()
    os.chdir(root)  # the source is named from there
    try:
        command.ensure_finalized()
        command.run()
    finally:
        os.chdir(before)
    return Path(command.get_ext_fullpath(MODULE))


def removed(place: Path) -> None:
    """Remove what was compiled for this interpreter before."""
    (place / f"_shortcut{sysconfig.get_config_var('EXT_SUFFIX')}").unlink(missing_ok=True)


def moved(built: Path, place: Path) -> None:
    """Put what was compiled beside the sources, in one step: a process may be about to load it."""
    beside = place / f"_shortcut.{os.getpid()}.new"
    try:
        shutil.copyfile(built, beside)
        beside.replace(place / built.name)
    finally:
        beside.unlink(missing_ok=True)
