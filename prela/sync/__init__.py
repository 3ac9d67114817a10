"""Lends the waiting half of Prela a loop of its own, for programs that have none, and sees to the program's end."""

from prela.sync.blocking import flush, shutdown

__all__ = ["flush", "shutdown"]
