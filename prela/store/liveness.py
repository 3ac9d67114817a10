"""Whether the program that wrote a trace file still runs: spans that it never ended are open, or were cut off.

A file of Prela's is named after its process, and while spans are open that were written down, that process sets the
file's time again and again. A process of that number that runs here, and ran when the file was last touched, may end
its spans yet. Where none does, the file is left alone for a while first: the process may be one of another machine or
container, whose numbers are not ours. Of a file of another name only its rest tells, and takes longer.
"""

import os
import re
import time
from pathlib import Path
from typing import Final

from prela.record.text import INTERRUPTED, Pending

_NAMED: Final = re.compile(r"-\d{8}T\d{6}Z-(\d{1,10})-[0-9a-f]+\.jsonl\Z")
_QUIET: Final = 10.0
"""Seconds without a touch after which a process that is not here is taken to be over."""
_SILENT: Final = 600.0
"""And a writer of which nothing more is known."""
_SLACK: Final = 2.0
"""Seconds by which the clocks of files and of processes may differ."""


def look_at(path: Path, now: float | None = None) -> Pending:
    """What a trace file tells of the spans in it that have not ended.

    Args:
        now: Seconds since the Unix epoch.
    """
    try:
        touched = path.stat().st_mtime_ns
    except OSError:
        return Pending(INTERRUPTED)
    written = touched / 1e9
    quiet = (time.time() if now is None else now) - written
    named = _NAMED.search(path.name)
    if named is None or os.name != "posix":
        return Pending(INTERRUPTED if quiet > _SILENT else "open", touched)
    began = _process_began(int(named[1]))
    if began is None:
        return Pending(INTERRUPTED if quiet > _QUIET else "", touched)
    return Pending(INTERRUPTED if began > written + _SLACK else "open", touched)  # the number may be another's by now


def _process_began(number: int) -> float | None:
    """When the process of a number began, in seconds since the epoch; 0.0 if that cannot be told, None if none runs."""
    try:
        os.kill(number, 0)
    except (ProcessLookupError, OverflowError):
        return None
    except OSError:
        pass  # another user's
    try:
        fields = Path(f"/proc/{number}/stat").read_text().rpartition(")")[2].split()
        booted = re.search(r"^btime (\d+)", Path("/proc/stat").read_text(), re.MULTILINE)
        return int(booted[1]) + int(fields[19]) / os.sysconf("SC_CLK_TCK") if booted else 0.0
    except (OSError, ValueError, IndexError):
        return 0.0
