"""What happens to spans when a process ends, or becomes two.

At the end of the interpreter the worker gets until the exit deadline; the hook is registered with the import of this
module, so it runs after every hook that the program registers later. After a fork the child starts empty.
"""

import atexit
import os
import sys
from time import monotonic

from prela.aio.process import process
from prela.core import log
from prela.core.buffer import EXIT_DEADLINE
from prela.sync.bridge import Bridge, started_hooks

_exit_timeout = 5.0
_is_ending = False


def set_exit_timeout(seconds: float) -> None:
    """How long the end of the program may wait for exports."""
    global _exit_timeout
    _exit_timeout = seconds


def drain_at_exit() -> None:
    """Export what is left, wait no longer than the deadline, and go on exporting what ends even later."""
    try:
        deadline = monotonic() + _exit_timeout
        before = process.statistics().dropped.get(EXIT_DEADLINE, 0)
        host = process.host
        hosts = [found for found in process.running_hosts() if isinstance(found, Bridge)]
        stopped = [found.stop(max(0.1, deadline - monotonic()), EXIT_DEADLINE) for found in hosts]
        lost = process.statistics().dropped.get(EXIT_DEADLINE, 0) - before
        if lost:
            log.warn("prela: %d spans were not exported within %g s of the exit (exit_deadline)", lost, _exit_timeout)
        if isinstance(host, Bridge) and all(stopped):
            _stay_open(host, deadline)
            _tell_where(host)
    except Exception as error:
        log.failed("the exit hook", error)


def _stay_open(host: Bridge, deadline: float) -> None:
    """Export what ends from now on as it ends: hooks registered before ours run after it, and daemon threads run on."""
    buffer = host.settings.buffer
    buffer.reopen(lambda: host.run_inline() if monotonic() < deadline else buffer.give_up(EXIT_DEADLINE))


def _tell_where(host: Bridge) -> None:
    """On a terminal, say where the traces are; elsewhere say nothing."""
    path = getattr(host.exporters.get("file"), "path", None)
    if path is not None and sys.stderr is not None and sys.stderr.isatty():
        print(f"prela: traces in {path}", file=sys.stderr)


def drain_in_pool_process() -> None:
    """Have multiprocessing's children, which skip `atexit`, drain too. Called when the first span ends."""
    for package in ("multiprocessing", "billiard"):  # billiard is Celery's multiprocessing
        util = sys.modules.get(f"{package}.util")
        processes = sys.modules.get(f"{package}.process")
        if util is None or processes is None:
            continue
        if type(processes.current_process()).__name__ != "_MainProcess":
            util.Finalize(None, drain_at_exit, exitpriority=-1000)


def _after_fork_in_child() -> None:
    try:
        host = process.host
        process.forget()
        if host is None:
            return
        settings = host.settings.after_fork(process.counters)
        process.take_over(Bridge(settings, host.exporters, host.make_worker))
    except Exception as error:
        log.failed("the fork hook", error)


started_hooks.append(drain_in_pool_process)
atexit.register(drain_at_exit)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
