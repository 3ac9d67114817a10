"""Waiting, in a plain function, until what has ended is exported: for those who ask by OpenTelemetry's words."""

import atexit
from time import monotonic
from typing import Final

from opentelemetry import trace

from prela.aio.process import process
from prela.core import log

_AT_EXIT: Final = 5.0


def flushed(timeout: float) -> bool:
    """Wait until what has ended is exported, at most so many seconds; whether it was, and nothing lost.

    False also in the worker's own thread or loop, which cannot wait for itself.
    """
    if any(host.is_here() for host in process.running_hosts()):
        return False
    deadline = monotonic() + timeout
    flush = process.request_flush()
    try:
        for answer in flush.answers:
            answer.result(max(0.0, deadline - monotonic()))
    except TimeoutError:
        return False
    return flush.went_well(process.losses())


class SdkWatch:
    """Sees to it that the SDK to which spans are handed does not end before it was given them.

    The SDK ends in an `atexit` hook, and hooks run backwards: one that is registered after the SDK was set up runs
    before. That it was is seen when its spans meet ours, or at the first export.
    """

    def __init__(self) -> None:
        self._seen = False
        self.is_ending: bool = False
        """Whether the SDK ends next, or has: it is not to be asked for anything any more."""

    def look(self) -> None:
        """Register the hook, once there is an SDK."""
        if not self._seen and getattr(trace, "_TRACER_PROVIDER", None) is not None:
            self._seen = True
            atexit.register(self._flush)

    def _flush(self) -> None:
        try:
            flushed(_AT_EXIT)
            self.is_ending = True
        except Exception as error:
            log.failed("flushing before the OpenTelemetry SDK ends", error)


sdk_watch: Final = SdkWatch()
