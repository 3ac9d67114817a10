"""The command line: the roof over both wings."""

from prela.cli.entry import main

__all__ = ["main"]
