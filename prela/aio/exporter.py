"""What an exporter is, to the worker and to whoever writes one."""

from collections.abc import Awaitable, Sequence
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from prela.record.model import SpanRecord


class RetryableExportError(Exception):
    """Raised by an exporter for a failure that may pass: the same batch is offered again later."""

    def __init__(self, message: str = "", *, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after
        """Seconds to wait before the next attempt, where the receiver said so."""


class PartialExportError(Exception):
    """Raised by an exporter when some of a batch was not taken, and will not be: the rest was."""

    def __init__(self, message: str = "", *, lost: int) -> None:
        super().__init__(message)
        self.lost = lost
        """How many spans of the batch were not taken."""


class Exporter(Protocol):
    """Anything with these two methods. Either may be a plain `def`, which then runs in a daemon thread of ours.

    One export is under way at a time. What is exported is not traced. At the end of the interpreter, spans may end
    after everything was closed; `export` is then called once more, and may raise.

    One that has an attribute `accepts_pending` which is True is also given, with `init(insight=True)`, a record of
    each span that has been open for a while: of status "pending", and no substitute for the final one.

    One that has an attribute `spool_name`, a text that tells the place it delivers to from others, has its batches on
    disk until they are delivered, with `init(spool=True)`.
    """

    def export(self, spans: "Sequence[SpanRecord]") -> Awaitable[object] | object:
        """Take a batch. Returning is success; returning False, or raising, is final and counted `export_failed`.

        Raises:
            RetryableExportError: Try this batch again later.
            PartialExportError: Some of it is lost, and counted `rejected`; the rest is exported.
        """
        ...

    def aclose(self) -> Awaitable[object] | object:
        """Let go of everything. Called once there is nothing more to export; an exporter may do without it."""
        ...
