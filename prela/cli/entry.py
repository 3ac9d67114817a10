"""The `prela` command's first step: the commands themselves, or a word on how to get what they need."""

import os
import pathlib
import sys
from typing import Any


def main() -> None:
    """Run the `prela` command."""
    try:
        from prela.cli.commands import app
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] == "prela":
            raise
        sys.exit(f"prela: the command line needs {error.name}: pip install 'prela[cli]'")
    _make_streams_usable()
    try:
        app(prog_name="prela")
    except OSError as error:
        sys.exit(f"prela: {error}")


def _make_streams_usable() -> None:
    """A stream may be closed, or be of an encoding that lacks what a trace has; a terminal may say it has no width."""
    for name in ("stdout", "stderr"):
        stream: Any = getattr(sys, name)
        if stream is None:
            setattr(sys, name, pathlib.Path(os.devnull).open("w"))  # noqa: SIM115  (as long as the process)
        elif hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    if os.environ.get("COLUMNS") == "0":
        del os.environ["COLUMNS"]
