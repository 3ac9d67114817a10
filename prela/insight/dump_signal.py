"""The dump on a signal: `init(dump_signal=signal.SIGUSR1)`.

Python runs signal handlers in the main thread, between two steps of it: one that hangs in a library never comes to
that, and other threads may not even set one. So the handler is `faulthandler`'s, in C: it writes at once, whatever the
interpreter is doing, and not to a file but into a pipe, which wakes a thread of ours that prints the dump. Neither the
wakeup descriptor, which asyncio, uvloop and trio have taken, nor `signal.signal` is touched. What handled the signal
before still does; a handler that the program sets later takes the place of ours.
"""

import faulthandler
import os
import signal
import threading
from contextlib import suppress as ignoring
from typing import Final

from prela.aio.process import process
from prela.core import log
from prela.insight.dump import dump_open_spans


class DumpOnSignal:
    """A signal, the pipe that it writes into, and the thread that reads it."""

    def __init__(self, chosen: signal.Signals) -> None:
        self.signal = chosen
        self._pid = os.getpid()
        self._out, self._in = os.pipe()
        os.set_blocking(self._in, False)  # a handler must not wait for anybody
        self._thread = threading.Thread(target=self._serve, name="prela-dump", daemon=True)

    def start(self) -> None:
        """Begin to listen.

        Raises:
            OSError: The system does not let this signal be handled.
            RuntimeError: No thread is to be had.
        """
        self._thread.start()
        # To hand the signal on to its default would end the program, which is not what was asked for.
        chains = signal.getsignal(self.signal) not in (signal.SIG_DFL, signal.SIG_IGN)
        faulthandler.register(self.signal, file=self._in, all_threads=False, chain=chains)

    def stop(self) -> None:
        """Give the signal back to whatever handled it before."""
        with ignoring(Exception):
            faulthandler.unregister(self.signal)
        self.forget()
        if self._pid == os.getpid() and threading.current_thread() is not self._thread:
            self._thread.join(timeout=1.0)

    def forget(self) -> None:
        """Close our end of the pipe, which ends the thread, if it is in this process."""
        with ignoring(OSError):
            os.close(self._in)
        if self._pid != os.getpid():
            with ignoring(OSError):
                os.close(self._out)

    def _serve(self) -> None:
        while os.read(self._out, 4_096):
            dump_open_spans()
            self._empty()
        os.close(self._out)

    def _empty(self) -> None:
        """Read what else was written: the rest of what one signal writes, and signals that came during the dump."""
        os.set_blocking(self._out, False)
        try:
            while os.read(self._out, 65_536):
                pass
        except BlockingIOError:
            pass
        finally:
            os.set_blocking(self._out, True)


class _InForce:
    """The one signal of this process, if any."""

    def __init__(self) -> None:
        self.dump: DumpOnSignal | None = None


_in_force: Final = _InForce()


def dump_on(chosen: signal.Signals | None) -> None:
    """Dump on this signal from now on, and on no other; None: on none. Errors are logged."""
    before, _in_force.dump = _in_force.dump, None
    if before is not None:
        before.stop()
    process.on_turn_off = None
    if chosen is None:
        return
    try:
        _in_force.dump = DumpOnSignal(chosen)
        _in_force.dump.start()
        process.on_turn_off = lambda: dump_on(None)
    except Exception as error:
        log.failed(f"dump_signal={chosen.name}", error)


def _after_fork_in_child() -> None:
    """Listen in the child too, at a pipe of its own: what comes out of the parent's the parent reads."""
    before, _in_force.dump = _in_force.dump, None
    if before is not None:
        before.forget()
        dump_on(before.signal)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
