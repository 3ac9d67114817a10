"""`flush` and `shutdown` for programs that have no loop."""

from concurrent.futures import TimeoutError as NotAnswered

from prela.aio.process import process
from prela.core import log
from prela.sync.bridge import Bridge


def flush(timeout: float = 30.0) -> bool:
    """Wait until all that has ended so far is exported; the same as `await prela.flush()`, for code without a loop.

    Args:
        timeout: Seconds to wait at most.

    Returns:
        True when every exporter acknowledged all that was queued or in flight at the call, and nothing was dropped
        since the flush before this one began. False, with a word in the log, where it was called on the worker's own
        loop, which it would hold.
    """
    host = process.host
    if host is None:
        return True
    if host.is_here():
        log.warn("prela: sync.flush() on the worker's own loop would wait for itself; use `await prela.flush()`")
        return False
    try:
        return host.request_flush().result(timeout)
    except NotAnswered:
        log.warn("prela: flush was not done within %g s", timeout)
        return False


def shutdown(timeout: float = 5.0) -> bool:
    """Export what has ended, close the exporters and turn tracing off; no thread of ours is left after True.

    Args:
        timeout: Seconds to wait at most; what is not exported by then is counted under `shutdown`.

    Returns:
        Whether everything was exported.
    """
    host = process.host
    if host is None:
        return True
    if host.is_here():
        log.warn("prela: sync.shutdown() on the worker's own loop would wait for itself; use `await prela.shutdown()`")
        return False
    process.turn_off()
    if isinstance(host, Bridge):
        return host.stop(timeout)
    # The block of open_tracer ends what it began; here we can only wait until its spans are out.
    try:
        return host.request_flush().result(timeout)
    except NotAnswered:
        return False
