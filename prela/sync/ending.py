"""What happens to spans when a process ends, or becomes two.

At the end of the interpreter the worker gets until the exit deadline; the hook is registered with the import of this
module, so it runs after every hook that the program registers later. After a fork the child starts empty.
"""

import atexit
import os
import sys
import threading
from contextlib import suppress as ignoring
from time import monotonic

from prela.aio.process import Host, process
from prela.core import log
from prela.core.buffer import EXIT_DEADLINE
from prela.core.outage import spans_were
from prela.core.recording import start_under
from prela.sync.bridge import Bridge

_exit_timeout = 5.0


def set_exit_timeout(seconds: float) -> None:
    """How long the end of the program may wait for exports."""
    global _exit_timeout
    _exit_timeout = seconds


def drain_at_exit() -> None:
    """Export what is left, wait no longer than the deadline, and go on exporting what ends even later."""
    deadline = monotonic() + _exit_timeout
    process.on_take_over = _rest_at_once
    hosts = [host for host in process.running_hosts() if isinstance(host, Bridge)]
    current = process.host
    try:
        before = process.statistics().dropped.get(EXIT_DEADLINE, 0)
        if isinstance(current, Bridge) and current not in hosts:
            hosts.append(current)
        slow = [host for host in hosts if not host.rest(max(0.01, deadline - monotonic()), EXIT_DEADLINE)]
        _give_up_what_is_in_loops_of_others()
        lost = process.statistics().dropped.get(EXIT_DEADLINE, 0) - before
        if lost and not any("console" in host.exporters for host in slow):  # it may hold stderr, that nobody reads
            told = "prela: %s not exported within %g s of the exit (exit_deadline)"
            log.warn(told, spans_were(lost), _exit_timeout)
        if isinstance(current, Bridge):
            _tell_where(current)
    except BaseException as error:
        _give_up_for(error)


def _rest_at_once(host: Host) -> None:
    """Tracing was set up by a hook that runs after ours: what ends under it is exported as it ends."""
    if isinstance(host, Bridge):
        host.rest(_exit_timeout, EXIT_DEADLINE)


def _give_up_what_is_in_loops_of_others() -> None:
    """Count what `open_tracer` has left in a loop that was stopped, or left, before the end of its block."""
    for host in process.running_hosts():
        if not isinstance(host, Bridge):
            for worker in host.workers:
                with ignoring(Exception):  # its loop is closed
                    worker.abandon(EXIT_DEADLINE)


def _give_up_for(error: BaseException) -> None:
    """A signal handler of the program's raised while it ends: it wants out now, and Python would only print that."""
    for host in process.running_hosts():
        if isinstance(host, Bridge):
            host.abandon(EXIT_DEADLINE)
    lost = process.statistics().dropped.get(EXIT_DEADLINE, 0)
    log.warn("prela: %s ended the wait for exports; %s lost", type(error).__name__, spans_were(lost))


def _tell_where(host: Bridge) -> None:
    """On a terminal, say where the traces are; elsewhere say nothing."""
    path = getattr(host.exporters.get("file"), "path", None)
    with ignoring(Exception):  # it may be closed, or be anything that has a method `write`
        if path is not None and sys.stderr is not None and sys.stderr.isatty():
            print(f"prela: traces in {path}", file=sys.stderr)


def drain_in_child_process() -> None:
    """Have multiprocessing's children, which skip `atexit`, drain too. Called in the thread where a first span ends."""
    util = sys.modules.get("multiprocessing.util")
    processes = sys.modules.get("multiprocessing.process")
    if util is not None and processes is not None and processes.parent_process() is not None:
        util.Finalize(None, drain_at_exit, exitpriority=-1000)


def _after_fork_in_child() -> None:
    try:
        host, before = process.host, process.all_settings()
        process.forget()
        if host is None:
            return
        settings = host.settings.after_fork(process.counters)
        for one in before:
            start_under(one, settings)
        process.take_over(Bridge(settings, host.exporters, host.make_worker, drain_in_child_process))
    except Exception as error:
        log.failed("the fork hook", error)


def _let_threads_start() -> None:
    """Called as the main thread ends, when threads can still be started; at `atexit`, from 3.12 on, they cannot."""
    try:
        for host in process.running_hosts():
            if isinstance(host, Bridge):
                host.wait_until_ready(1.0)
    except BaseException as error:
        _give_up_for(error)


atexit.register(drain_at_exit)
if hasattr(threading, "_register_atexit"):  # what concurrent.futures uses; without it a short program may be too short
    with ignoring(RuntimeError):  # the end has come already
        threading._register_atexit(_let_threads_start)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
