"""The `prela` command's first step: the commands themselves, or a word on how to get what they need."""

import sys


def main() -> None:
    """Run the `prela` command."""
    try:
        from prela.cli.commands import app
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] == "prela":
            raise
        sys.exit(f"prela: the command line needs {error.name}: pip install 'prela[cli]'")
    app(prog_name="prela")
