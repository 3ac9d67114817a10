"""The spool's settings, and what is decided of it: what its folders and files are called, and which go first."""

import os
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Final, NamedTuple

SUFFIX: Final = ".jsonl"
_NAME: Final = re.compile(r"(?P<time>[0-9]{20})-(?P<spans>[0-9]{1,9})-(?P<tail>[0-9a-f]{8})\.jsonl")


class Spool:
    """Where batches lie until they are delivered: `prela.init(spool=prela.Spool(...))`; `spool=True` for the defaults.

    Args:
        folder: A folder for it; None for `PRELA_SPOOL_DIR`, or `spool` in the trace folder. Processes that share it,
            at once or one after the other, deliver what an ended one has left there.
        max_bytes: What one process may have there. Beyond, the oldest batches go, and are counted as `spool_full`.

    Raises:
        ValueError: An argument is none of what is allowed.
    """

    def __init__(self, folder: "str | os.PathLike[str] | None" = None, *, max_bytes: int = 256 * 1024 * 1024) -> None:
        found = os.fspath(folder) if isinstance(folder, os.PathLike) else folder
        if found is not None and (not isinstance(found, str) or not found.strip() or "\0" in found):
            raise ValueError(f"Spool: folder is {folder!r}; allowed is a path, or None")
        if isinstance(max_bytes, bool) or not isinstance(max_bytes, int) or max_bytes < 1:
            raise ValueError(f"Spool: max_bytes is {max_bytes!r}; allowed is a whole number above 0")
        self.folder: Path | None = None if found is None else Path(found)
        self.max_bytes: int = max_bytes

    def __repr__(self) -> str:
        return f"Spool({None if self.folder is None else str(self.folder)!r}, max_bytes={self.max_bytes})"

    def with_folder(self, default: Path) -> "Spool":
        """The same, with the folder named."""
        return self if self.folder is not None else Spool(default, max_bytes=self.max_bytes)


class FileName(NamedTuple):
    """What the name of a batch's file tells, so that nobody need open it to count."""

    time_unix_nano: int
    """When it was written: names sort by age."""
    spans: int
    """How many it holds of those that statistics are kept of."""
    tail: str
    """Eight hexadecimal digits, so that no two are the same."""

    def __str__(self) -> str:
        return f"{self.time_unix_nano:020d}-{self.spans}-{self.tail}{SUFFIX}"


def read_name(name: str) -> FileName | None:
    """What a file's name tells; None if it is no batch's."""
    found = _NAME.fullmatch(name)
    return None if found is None else FileName(int(found["time"]), int(found["spans"]), found["tail"])


def how_many_go(sizes: Iterable[int], max_bytes: int) -> int:
    """How many batches must go, the oldest first, for the rest to be within the bound.

    Args:
        sizes: Bytes of each, the oldest first.
        max_bytes: The bound.
    """
    ordered = list(sizes)
    total, going = sum(ordered), 0
    while total > max_bytes:
        total -= ordered[going]
        going += 1
    return going


def spool_name(exporter: object) -> str | None:
    """What an exporter calls the place that it delivers to, in its attribute `spool_name`; None where it has none."""
    try:
        name = getattr(exporter, "spool_name", None)
    except Exception:
        return None
    return label_of(name) if isinstance(name, str) else None


def label_of(text: str) -> str:
    """The text as part of a file's name."""
    return re.sub(r"[^A-Za-z0-9_.-]+", "_", text).strip(".")[:80] or "_"
