"""Every step of asyncio's own loops, exactly: `sys.monitoring` (PEP 669, CPython 3.12) on three of its functions.

`Handle._run` runs one step: the CALL event of `context.run(callback, ...)` comes just before, and has the callback, and
its return is the end. What `BaseEventLoop._call_soon` returns is a step that can run from now on. `create_task` tells
when a task that is started eagerly is done with its first step, which is inside another's. The events are local to
these code objects: nothing else of the program gets slower, and a debugger, coverage or profiler is not in the way.
Two methods of `asyncio.Timeout` are seen likewise, whatever the loop: whose deadline it was, only they know.

A loop that does not run its steps so is sampled (`sampling`).
"""

import asyncio
import sys
import threading
from asyncio.base_events import BaseEventLoop
from asyncio.events import Handle
from time import monotonic_ns
from types import CodeType, FrameType
from typing import Any, Final

from prela.aio import deadlines
from prela.core import log
from prela.core.current import current_span
from prela.core.stand_in import meant
from prela.insight.accounting import Books, Ledger
from prela.insight.accounts import accounts
from prela.insight.frames import place_of_await
from prela.insight.sampling import SampledLedger

RUN: Final[CodeType] = Handle._run.__code__
_SOON: Final[CodeType] = BaseEventLoop._call_soon.__code__  # type: ignore[attr-defined]
_CREATE: Final[CodeType] = BaseEventLoop.create_task.__code__
_TIMEOUT_SET: Final[CodeType] = asyncio.Timeout.__aenter__.__code__
_TIMEOUT_EXPIRES: Final[CodeType] = asyncio.Timeout._on_timeout.__code__  # type: ignore[attr-defined]


class _Here(threading.local):
    """What is watched in the calling thread."""

    ledger: Books | None = None
    """Of the asyncio loop that ran last in this thread, if that was watched."""
    exact: Ledger | None = None
    """The same, if each of its steps is seen."""


here: Final = _Here()


class Monitor:
    """Has the events delivered, from `start` to `stop`."""

    def __init__(self) -> None:
        self._tool: int | None = None
        self._sees_steps = False

    def start(self, steps: bool) -> bool:
        """Have timeouts seen, and each step, if that is wanted; whether the steps are.

        Nothing is before 3.12, nor where other tools have taken every free place.
        """
        if sys.version_info < (3, 12) or (self._tool is None and not self._take_place()):
            return False
        if steps and not self._sees_steps:
            self._sees_steps = self._watch_steps()
        return steps and self._sees_steps

    def _take_place(self) -> bool:
        if sys.version_info < (3, 12):
            return False
        monitoring, events = sys.monitoring, sys.monitoring.events
        on_start = _callback_of_starts()  # before a place is taken, that nobody would give back if this failed
        for tool in (4, 3):  # the ids below are the debugger's, coverage's and the profiler's, and 5 the optimizer's
            try:
                monitoring.use_tool_id(tool, "prela")
            except ValueError:
                continue
            self._tool = tool
            try:
                monitoring.register_callback(tool, events.PY_START, on_start)
                monitoring.set_local_events(tool, _TIMEOUT_SET, events.PY_START)
                monitoring.set_local_events(tool, _TIMEOUT_EXPIRES, events.PY_START)
            except BaseException:
                self.stop()
                raise
            return True
        return False

    def _watch_steps(self) -> bool:
        if sys.version_info < (3, 12) or self._tool is None:
            return False
        offset = _offset_of_call()
        if offset is None:
            return False
        on_call, on_return = _callbacks(offset)
        tool, monitoring, events = self._tool, sys.monitoring, sys.monitoring.events
        try:
            monitoring.register_callback(tool, events.CALL, on_call)
            monitoring.register_callback(tool, events.PY_RETURN, on_return)
            monitoring.set_local_events(tool, RUN, events.CALL | events.PY_RETURN)
            monitoring.set_local_events(tool, _SOON, events.PY_RETURN)
            monitoring.set_local_events(tool, _CREATE, events.PY_START | events.PY_RETURN)
        except BaseException:
            self.stop()
            raise
        return True

    def stop(self) -> None:
        """Give everything back."""
        tool, self._tool = self._tool, None
        self._sees_steps = False
        if tool is None or sys.version_info < (3, 12):
            return
        monitoring, events = sys.monitoring, sys.monitoring.events
        for code in (RUN, _SOON, _CREATE, _TIMEOUT_SET, _TIMEOUT_EXPIRES):
            monitoring.set_local_events(tool, code, 0)
        for event in (events.CALL, events.PY_RETURN, events.PY_START):
            monitoring.register_callback(tool, event, None)
        monitoring.free_tool_id(tool)


def _offset_of_call() -> int | None:
    """Where `Handle._run` calls what is to be run; None where it is not written as expected."""
    import dis

    found = [step.offset for step in dis.get_instructions(RUN) if step.opname == "CALL_FUNCTION_EX"]
    return found[0] if len(found) == 1 else None


def _callbacks(call_offset: int) -> tuple[Any, Any]:
    """What the events CALL and PY_RETURN call. An exception in them would be the program's: none may leave.

    `Ledger.begin_step` and `end_step` are written out here, since these run for every step of every loop.
    """
    find = accounts.get
    clock = monotonic_ns
    watched, run, soon = here, RUN, _SOON

    def on_call(code: CodeType, offset: int, function: object, callback: Any) -> None:
        ledger = watched.exact
        if ledger is None or offset != call_offset:
            return
        if ledger.begin:
            _step_in_step(ledger)
        try:
            ledger.account = account = find(id(callback.__self__), ledger.loose)
        except Exception:
            ledger.account = account = ledger.loose
        ledger.begin = now = clock()
        if since := account.ready_since:
            account.ready += now - since
            account.ready_since = 0

    def on_return(code: CodeType, offset: int, value: Any) -> None:
        if code is run:
            ledger = watched.exact
            if ledger is not None and (begin := ledger.begin):
                step = clock() - begin
                account = ledger.account
                account.run += step
                ledger.begin = 0 if step <= account.notable else _settled(ledger, begin + step)
        elif code is soon:
            try:
                known = find(id(value._callback.__self__))
            except Exception:
                return
            if known is not None:
                known.ready_since = clock()
        else:
            ledger = watched.exact
            if ledger is not None and ledger.creating:
                _created(ledger, clock())

    return on_call, on_return


def _callback_of_starts() -> Any:
    """What the event PY_START calls."""
    watched, create = here, _CREATE

    def on_start(code: CodeType, offset: int) -> None:
        if code is create:
            ledger = watched.exact
            if ledger is not None and ledger.begin and len(ledger.creating) < 100:
                ledger.creating.append(monotonic_ns())
            return
        try:
            _timeout_begins(code, sys._getframe(1))
        except Exception as error:
            log.failed("taking note of a timeout", error)

    return on_start


def _timeout_begins(code: CodeType, frame: FrameType) -> None:
    """A method of a timeout's begins."""
    timeout = frame.f_locals["self"]
    if code is _TIMEOUT_SET:
        deadlines.entered(timeout, meant(current_span.get(None)))
    else:
        deadlines.expired(timeout)


def _settled(ledger: Ledger, now: int) -> int:
    try:
        return ledger.settle(now)
    except Exception as error:
        log.failed("settling a step", error)
        return 0


def _created(ledger: Ledger, now: int) -> None:
    try:
        ledger.created(now)
    except Exception as error:
        log.failed("taking note of a new task", error)


def _step_in_step(ledger: Ledger) -> None:
    """A step begins while one is in progress: a loop is run inside it, or an exception ended it unseen."""
    try:
        nested = 1 + sum(paused.depth < 0 for paused in ledger.outer)
        frame: FrameType | None = sys._getframe(2)
        while frame is not None and nested >= 0:
            nested -= frame.f_code is RUN
            frame = frame.f_back
        if nested < 0:
            ledger.pause(ledger.loose, monotonic_ns())
        else:
            ledger.lose()
    except Exception as error:
        log.failed("a step inside a step", error)


def runs_steps_of(loop: object) -> bool:
    """Whether the step in progress here is one that the events tell of."""
    if not isinstance(loop, BaseEventLoop):
        return False
    frame: FrameType | None = sys._getframe(1)
    while frame is not None and frame.f_code is not RUN:
        frame = frame.f_back
    return frame is not None


class _RunningStep:
    """A step of one of asyncio's own loops, known by the frame it runs in."""

    __slots__ = ("_frame",)

    def __init__(self, frame: FrameType) -> None:
        self._frame = frame

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _RunningStep) and self._frame is other._frame

    __hash__ = object.__hash__


class _Ping:
    """A callback that was left in a loop while a task ran: it is answered before any other step of that task.

    Loops run what is ready in the order in which it became so; and the task could not be ready while it ran.
    """

    __slots__ = ("is_answered", "task")

    def __init__(self, task: int) -> None:
        self.task = task
        self.is_answered = False

    def answer(self) -> None:
        """Called by the loop."""
        self.is_answered = True


def step_of(ledger: SampledLedger, task: Any, frame: FrameType | None) -> object:
    """What is the same in two looks at a loop only if no step of it began or ended in between."""
    loop: Any = ledger.loop()
    if isinstance(loop, BaseEventLoop):
        while frame is not None and frame.f_code is not RUN:
            frame = frame.f_back
        return object() if frame is None else _RunningStep(frame)
    ping = ledger.ping
    if task is None or (isinstance(ping, _Ping) and not ping.is_answered and ping.task == id(task)):
        return ping
    if ledger.thread == threading.get_ident():
        return object()  # the next look from outside will do; no callback is left for every span
    ledger.ping = ping = _Ping(id(task))
    try:
        loop.call_soon_threadsafe(ping.answer)
    except RuntimeError:
        pass  # the loop is closed
    return ping


def is_step(step: object) -> bool:
    """Whether `step_of` has seen a step, even if that is no task's."""
    return isinstance(step, _RunningStep)


current_task: Final = asyncio.current_task
"""The task that a loop runs now, asked from any thread."""


def locate(ledger: Ledger, account: Any) -> str | None:
    """Where the task waits now, after a step."""
    if ledger.sample is not None:
        return ledger.sample.place  # type: ignore[no-any-return]
    task = None if account.task is None else account.task()
    return None if task is None else place_of_await(task.get_coro())


def context_of_step(frame: FrameType | None) -> Any:
    """The context of the step that a frame is in; None where it is not to be had."""
    while frame is not None:
        if frame.f_code is RUN:
            handle = frame.f_locals.get("self")
            if handle is None and frame.f_back is not None:  # `_run` forgets it at its end; its caller does not
                handle = frame.f_back.f_locals.get("handle")
            return getattr(handle, "_context", None)
        frame = frame.f_back
    return None
