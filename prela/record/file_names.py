"""How trace files are called, so that those who look after a folder know theirs from a program's own. Pure."""

import re
from datetime import datetime
from typing import Final

SUFFIX: Final = ".jsonl"
_WRITTEN: Final = re.compile(rf".+-\d{{8}}T\d{{6}}Z-\d+-[0-9a-f]{{8}}{re.escape(SUFFIX)}")


def file_name(service_name: str, begun: datetime, process_id: int, unique: str) -> str:
    """`{service}-{utc}-{pid}-{random}.jsonl`. `unique` is 8 hexadecimal digits."""
    prefix = re.sub(r"[^A-Za-z0-9_.-]+", "_", service_name)[:64] or "prela"
    return f"{prefix}-{begun:%Y%m%dT%H%M%SZ}-{process_id}-{unique}{SUFFIX}"


def is_written_by_prela(name: str) -> bool:
    """Whether a file's name is one that `file_name` gives: only such may be deleted unasked."""
    return _WRITTEN.fullmatch(name) is not None
