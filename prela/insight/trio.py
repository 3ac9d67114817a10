"""Every step of a trio run, exactly: an `Instrument`, which is trio's own way of being watched."""

import threading
from time import monotonic_ns
from typing import Any, Final

import trio

from prela.core import log
from prela.insight.accounting import Ledger
from prela.insight.accounts import accounts
from prela.insight.frames import place_of_await


class _Here(threading.local):
    """What is watched in the calling thread."""

    ledger: Ledger | None = None


here: Final = _Here()


class StepInstrument(trio.abc.Instrument):
    """Tells a ledger of the steps of one run. trio would remove one that raises, and go on."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    def task_scheduled(self, task: trio.lowlevel.Task) -> None:
        """The run knows that the task can go on."""
        account = accounts.get(id(task))
        if account is not None:
            account.ready_since = monotonic_ns()

    def before_task_step(self, task: trio.lowlevel.Task) -> None:
        """The task begins to run."""
        self._ledger.begin_step(accounts.get(id(task)), monotonic_ns())

    def after_task_step(self, task: trio.lowlevel.Task) -> None:
        """The task has given the run back."""
        ledger = self._ledger
        begin = ledger.begin
        if begin:
            account = ledger.account
            step = monotonic_ns() - begin
            account.run += step
            ledger.begin = 0 if step <= account.notable else self._settled(task, begin + step)

    def after_run(self) -> None:
        """The run is over, in its own thread."""
        here.ledger = None
        self._ledger.close()

    def _settled(self, task: Any, now: int) -> int:
        ledger = self._ledger
        ledger.current = task
        try:
            return ledger.settle(now)
        except Exception as error:
            log.failed("settling a step", error)
            return 0
        finally:
            ledger.current = None


in_task: Final = trio.lowlevel.in_trio_task
"""Whether the code that asks runs in a task of trio's."""
current_task: Final = trio.lowlevel.current_task
"""The task of trio's that the caller runs in."""


def watch(ledger: Ledger) -> None:
    """Watch the run of this thread, from now on until the ledger is closed."""
    instrument = StepInstrument(ledger)
    token = trio.lowlevel.current_trio_token()
    trio.lowlevel.add_instrument(instrument)

    def unwatch() -> None:
        try:
            token.run_sync_soon(_remove, instrument)
        except trio.RunFinishedError:
            pass

    here.ledger = ledger
    ledger.loop = lambda: token
    ledger.on_close = unwatch


def _remove(instrument: StepInstrument) -> None:
    try:
        trio.lowlevel.remove_instrument(instrument)
    except KeyError:
        pass  # trio has removed it


def locate(ledger: Ledger, account: Any) -> str | None:
    """Where the task waits now, after a step."""
    if ledger.sample is not None:
        return ledger.sample.place  # type: ignore[no-any-return]
    task = None if account.task is None else account.task()
    return None if task is None else place_of_await(task.coro)
