"""Runs a function once a module has been imported: at once if it has been, else right after it is.

So `init()` need not import libraries that the program may never use, and works before and after they are imported.
"""

import sys
from collections.abc import Callable, Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from threading import get_ident
from types import ModuleType
from typing import Any

from prela.core import log


def when_imported(name: str, function: Callable[[], object]) -> None:
    """Call `function` after the module of this name has been imported. What it raises is logged.

    A module waits with one function; a second is ignored.
    """
    if sys.modules.get(name) is not None:
        _guarded(function)
    elif not any(isinstance(finder, _Waiting) and finder.name == name for finder in sys.meta_path):
        sys.meta_path.insert(0, _Waiting(name, function))


def forget(name: str) -> None:
    """Call nothing for this module any more."""
    for finder in [found for found in sys.meta_path if isinstance(found, _Waiting) and found.name == name]:
        sys.meta_path.remove(finder)


def once_complete(module: str, function: Callable[[], object]) -> None:
    """Call `function`: now, or where this module of ours is being imported now, when it says `complete(__name__)`.

    A module of ours that imports a library may be imported first; what waits for the library then comes too early.
    """
    if getattr(getattr(sys.modules.get(module), "__spec__", None), "_initializing", False):
        _put_off[module] = function
    else:
        function()


def complete(module: str) -> None:
    """Said by a module of ours at its end: do what was put off until then."""
    if function := _put_off.pop(module, None):
        _guarded(function)


_put_off: dict[str, Callable[[], object]] = {}


def _guarded(function: Callable[[], object]) -> None:
    try:
        function()
    except Exception as error:
        log.failed("an integration", error)


class _Waiting(MetaPathFinder):
    """Stands first in `sys.meta_path` until its module has been imported; to look for a module is not to import it."""

    def __init__(self, name: str, function: Callable[[], object]) -> None:
        self.name = name
        self._function = function
        self._looking: set[int] = set()  # threads that are being told where the module is

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        thread = get_ident()
        if fullname != self.name or thread in self._looking:
            return None
        self._looking.add(thread)
        try:
            spec = find_spec(fullname)
        finally:
            self._looking.discard(thread)
        if spec is not None and hasattr(spec.loader, "exec_module"):
            spec.loader = _Notifying(spec.loader, self._imported)
        return spec

    def _imported(self) -> None:
        forget(self.name)
        self._function()


class _Notifying(Loader):
    """A module's own loader, and a function to call when it has done its work."""

    def __init__(self, loader: Any, function: Callable[[], object]) -> None:
        self._loader = loader
        self._function = function

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return self._loader.create_module(spec)  # type: ignore[no-any-return]

    def exec_module(self, module: ModuleType) -> None:
        if module.__spec__ is not None:
            module.__spec__.loader = self._loader  # nothing of us stays in sight
        module.__loader__ = self._loader
        self._loader.exec_module(module)
        _guarded(self._function)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._loader, name)
