"""`flush` and `shutdown` for programs that have no loop."""

import threading
from time import monotonic

from prela.aio.process import Host, process
from prela.core import log
from prela.sync.bridge import Bridge


def seconds_to_wait(timeout: float | None) -> float:
    """So many, none for what is no number, and as many as can be for None."""
    if timeout is None:
        return threading.TIMEOUT_MAX
    return min(timeout, threading.TIMEOUT_MAX) if timeout > 0 else 0.0


def flush(timeout: float = 30.0) -> bool:
    """Wait until all that has ended so far is exported; the same as `await prela.flush()`, for code without a loop.

    Args:
        timeout: Seconds to wait at most.

    Returns:
        True when every exporter acknowledged all that was queued or in flight at the call, and nothing was dropped
        since the flush before this one began. False, with a word in the log, where it was called on the worker's own
        loop, which it would hold.
    """
    if _would_wait_for_itself("flush", process.running_hosts()):
        return False
    timeout = seconds_to_wait(timeout)
    deadline = monotonic() + timeout
    pending = process.request_flush()
    try:
        for answer in pending.answers:
            answer.result(max(0.0, deadline - monotonic()))
    except TimeoutError:  # concurrent.futures' own is this one, from Python 3.11 on
        log.warn("prela: flush was not done within %g s", timeout)
        return False
    return pending.went_well(process.losses())


def shutdown(timeout: float = 5.0) -> bool:
    """Export what has ended, close the exporters and turn tracing off; no thread of ours is left after True.

    Args:
        timeout: Seconds to wait at most; what is not exported by then is counted under `shutdown`.

    Returns:
        Whether everything was exported: what lies in a spool was not. False, with a word in the log, on the worker's
        own loop; the block of `open_tracer` ends what it began.
    """
    timeout = seconds_to_wait(timeout)
    hosts = process.running_hosts()
    if _would_wait_for_itself("shutdown", hosts):
        return False
    host = process.host
    process.turn_off()
    return stop_all([*hosts, *([host] if host is not None and host not in hosts else [])], timeout)


def stop_all(hosts: list[Host], timeout: float) -> bool:
    """Stop every host that is a thread of ours, all within so many seconds; wait for what the others have."""
    deadline = monotonic() + timeout
    before = process.request_flush().losses_before
    stopped = [_stop(host, max(0.1, deadline - monotonic())) for host in hosts]
    is_left = any(worker.outcomes.spooled for host in hosts for worker in host.workers)
    return all(stopped) and not is_left and process.losses() == before


def _stop(host: Host, timeout: float) -> bool:
    if isinstance(host, Bridge):
        return host.stop(timeout)
    try:
        return host.request_flush().result(timeout)
    except TimeoutError:
        return False


def _would_wait_for_itself(what: str, hosts: list[Host]) -> bool:
    if any(host.is_here() for host in hosts):
        log.warn("prela: sync.%s() on the worker's own loop would wait for itself; use `await prela.%s()`", what, what)
        return True
    return False
