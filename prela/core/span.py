"""The span: what a program holds between the start and the end of a piece of work.

This is everything about it but the hot path, which is `recording`: that makes the classes of those that can start.
`set_attribute` holds the common case in a few steps, and calls a method with a longer name for everything else.

The law that lives here (docs/context.md): a span ends once, whoever ends it and wherever. What is current then is
`current`'s.
"""

from collections.abc import Iterable, Mapping
from contextvars import Token
from types import TracebackType
from typing import ClassVar, Self

from prela.core import log
from prela.core.current import current_span, entered_above, restore_before
from prela.core.details import Complete, Details
from prela.core.outcome import STREAM_OUTCOME, exception_attributes, judge, recordable
from prela.core.private import withhold_quoting
from prela.core.readable import CLOSED, NOT_ENTERED, ReadableSpan
from prela.core.settings import Limits
from prela.core.shortcut import shorten
from prela.core.span_context import Link, SpanContext, checked_context
from prela.record.enums import SpanStatus

_get = current_span.get
_set = current_span.set

_claims: "dict[int, list[Span]]" = {}
"""Who is ending a span right now, by the span's id(): `setdefault` is atomic, so two threads cannot both.

It holds the span: where Ctrl-C comes just before it is taken out, no other span can be at that place in memory later,
and be taken for this one."""

_making: "dict[int, tuple[Span, Details]]" = {}
"""The details that a span is being given right now, likewise."""


class Span(ReadableSpan):
    """A piece of work being traced. Made by a tracer; entered with `with`, or ended by `end()`.

    Every method may be called from any thread, never raises, and is ignored (and counted) once the span has ended.
    """

    __slots__ = ()

    _left_class: "ClassVar[type[Span]]"
    """What this becomes when it is left out of order; of the same layout."""

    def __enter__(self) -> Self:
        # What has not started yet is of a class that `recording` made, which starts it.
        return self._enter_started()

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._leave(exc)

    def set_attribute(self, key: str, value: object) -> None:
        """Record a value under a name, as it is now; later changes of the object are not seen."""
        try:
            kind = type(value)
            # 128 is QUICK_STRING and 8 is QUICK_ATTRIBUTES: a span looks them up six times, which costs it 2 %.
            if (
                len(value) <= 128 if kind is str else kind is int or kind is float or kind is bool  # type: ignore[arg-type]
            ) and len(attributes := self._writable) < 8:
                attributes[key] = value
            else:
                self._set_weighed(key, value)
        except RecursionError:
            pass  # no stack is left, not even to tell
        except Exception as error:
            log.failed("set_attribute", error)

    def set_attributes(self, attributes: Mapping[str, object]) -> None:
        """Record several values at once."""
        try:
            for key, value in list(attributes.items()):
                self.set_attribute(key, value)
        except Exception as error:
            log.failed("set_attributes", error)

    def add_event(self, name: str, attributes: Mapping[str, object] | None = None) -> None:
        """Record that something happened now."""
        try:
            self._add_event_at(name, attributes, None)
        except Exception as error:
            log.failed("add_event", error)

    def add_link(self, context: "Span | SpanContext | Link", attributes: Mapping[str, object] | None = None) -> None:
        """Refer to another span that is related to this one, and not its parent."""
        try:
            if details := self._open_details("add_link"):
                if isinstance(context, Link):
                    attributes = {**(context.attributes or {}), **(attributes or {})}
                    context = context.context
                target = context.context if isinstance(context, Span) else checked_context(context)
                details.add_link(self._limits, target, attributes)
        except Exception as error:
            log.failed("add_link", error)

    def record_exception(self, exception: BaseException, attributes: Mapping[str, object] | None = None) -> None:
        """Record an exception as an event. The status stays as it is."""
        try:
            self._record_exception_at(exception, attributes, None)
        except Exception as error:
            log.failed("record_exception", error)

    def set_status(self, status: SpanStatus | str, message: str | None = None) -> None:
        """Say how the work went. An exception that leaves the span overrides it."""
        try:
            if details := self._open_details("set_status"):
                said = None if message is None else recordable(str(message))
                details.set_status(self._limits, SpanStatus(status), said)
        except Exception as error:
            log.failed("set_status", error)

    def _add_event_at(self, name: str, attributes: Mapping[str, object] | None, at: int | None) -> None:
        """`add_event`, at a time in nanoseconds since the Unix epoch."""
        if details := self._open_details("add_event"):
            details.add_event(self._limits, name, self._moment(at), attributes)

    def _record_exception_at(
        self, exception: BaseException, attributes: Mapping[str, object] | None, at: int | None
    ) -> None:
        """`record_exception`, at a time in nanoseconds since the Unix epoch."""
        if details := self._open_details("record_exception"):
            if not self._trace.settings.capture_content:
                withhold_quoting(exception)
            recorded = {**exception_attributes(exception), **(attributes or {})}
            details.add_event(self._limits, "exception", self._moment(at), recorded)

    def _complete_later(self, complete: Complete, size: int, texts: Iterable[str] = ()) -> None:
        """Have the worker add what `complete` returns, which is charged with `size` bytes and these texts till then."""
        try:
            if details := self._open_details("_complete_later"):
                details.complete_later(complete, size, texts)
        except Exception as error:
            log.failed("_complete_later", error)

    def end(self) -> None:
        """End the span now. It stays current where it was entered, until it is left."""
        self._end_with(None)

    def _end_with(self, error: BaseException | None, *, stream: str | None = None, at: int | None = None) -> None:
        """End the span now, with the status that `error` gives it; `stream` says how a stream ended, but for errors.

        `at` is a time that is not now, in nanoseconds since the Unix epoch.
        """
        try:
            if not self._is_started:
                log.warn_once("end", "prela: end() of a span that was never started was ignored (told once)")
            elif details := self._open_details("end"):
                if stream is not None:
                    self._attributes[STREAM_OUTCOME] = stream
                self._finish(details, error, stream=stream is not None, at=at)
        except Exception as failure:
            log.failed("ending a span", failure)

    # Where the short cuts in C find what does all else, here for spans that have become of another class than they had.
    _enter_in_python = __enter__
    _exit_in_python = __exit__
    _set_attribute_in_python = set_attribute

    # --- the long way -------------------------------------------------------------------------------------------

    def _begin(self) -> None:
        """Start without becoming current, for `Tracer.start_span`; nothing if it has started."""
        if self._token is None:
            trace = self._trace
            clock = trace.clock
            self._start = clock()
            self._index = next(trace.settings.counters.ids.indexes)
            self._token = NOT_ENTERED

    def _start_at(self, at: int) -> None:
        """Have started at another time than it did: nanoseconds since the Unix epoch."""
        self._start = at - self._trace.epoch

    def _enter_started(self) -> Self:
        """`with` on a span that has started: it becomes current. On one that was entered or ended, nothing happens: a
        second time would give one span two lives."""
        if self._token is NOT_ENTERED and self._writable is not CLOSED:
            self._token = _set(self)
            self._ensure_details()
        return self

    def _open_details(self, caller: str) -> Details | None:
        """The details, made if need be; None, counted and told once, when the span has ended."""
        if self._writable is CLOSED:
            self._trace.settings.counters.late_calls.add()
            log.warn_once("late", "prela: %s() on the ended span %r was ignored (told once)", caller, self.name)
            return None
        return self._ensure_details()

    def _ensure_details(self) -> Details:
        """The details, made if need be; by one of several threads at once."""
        if self._details is None:
            key, mine = id(self), (self, Details())
            try:
                _, made = _making.setdefault(key, mine)
                if self._details is None:
                    self._details = made
            finally:
                try:  # and call nothing: there may be no stack for it
                    if _making[key] is mine:
                        del _making[key]  # after the assignment: who comes later finds that
                except KeyError:
                    pass
        return self._details

    def _set_weighed(self, key: str, value: object) -> None:
        """`set_attribute` for what is not plainly small."""
        if details := self._open_details("set_attribute"):
            details.set_attribute(self._attributes, self._limits, key if type(key) is str else str(key), value)

    def _moment(self, at: int | None) -> int:
        """A time of the local trace's clock: that of nanoseconds since the Unix epoch, or now."""
        trace = self._trace
        clock = trace.clock
        return clock() if at is None else at - trace.epoch

    @property
    def _limits(self) -> Limits:
        return self._trace.settings.limits

    def _leave_entry(self, interruption: BaseException) -> None:
        """A signal handler of the user's raised in `__enter__`, so `__exit__` will not be called."""
        if self._token is None and _get() is self:
            # It had become current, and the token was not kept: the parent is what was current before, if anything.
            parent = self._parent
            _set(parent if isinstance(parent, Span) else None)
            self._token = NOT_ENTERED
        self._leave(interruption)

    def _leave(self, error: BaseException | None) -> None:
        """`__exit__` for everything but the common case."""
        try:
            if not self._is_started:
                return
            details = self._ensure_details()
            # In this order: a span that could not be ended for lack of stack must still be found by who comes next.
            if self._writable is not CLOSED:
                self._finish(details, error)
            self._restore(error)
        except RecursionError:
            self.__class__ = self._left_class
        except Exception as failure:
            log.failed("leaving a span", failure)
        except BaseException:
            # A signal handler of the user's raised in the middle, or in `redact`: finish, and let it through.
            if self._writable is not CLOSED:
                self._finish(self._ensure_details(), error)
            self._restore(error)
            raise

    def _offer(self, error: BaseException | None) -> None:
        """End a span that was left, and has its end, where the buffer must be asked whether it has room."""
        if self._details is not None:
            self._leave(error)  # somebody has called `end`
            return
        self._writable = CLOSED
        self._trace.buffer.offer(self, 0, self._parent is None)

    def _settle_when_left(self) -> None:
        """Do not leave by the quick way, which looks at nothing."""
        self._ensure_details()

    def _restore(self, error: BaseException | None) -> None:
        """Make current what was current before, if this is the context, and the order, in which to do so."""
        if not isinstance(self._token, Token):
            return
        if not restore_before(self, error):
            self._be_passed_over()

    def _be_passed_over(self) -> None:
        """Left out of order or elsewhere. Who finds it current in the context where it was entered goes on to what was
        before it (`settle_current`); contexts that inherited it keep it."""
        self.__class__ = self._left_class
        for inner in entered_above(self) or ():
            inner._settle_when_left()  # so that nobody who is started later inherits this one

    def _finish(
        self, details: Details, error: BaseException | None, *, stream: bool = False, at: int | None = None
    ) -> None:
        key, mine = id(self), [self]
        try:
            if _claims.setdefault(key, mine) is mine and self._writable is not CLOSED:
                self._finish_once(details, error, stream, self._moment(at))
        finally:
            try:  # and call nothing: there may be no stack for it
                if _claims[key] is mine:
                    del _claims[key]
            except KeyError:
                pass

    def _finish_once(self, details: Details, error: BaseException | None, stream: bool, end: int) -> None:
        trace = self._trace
        settings = trace.settings
        try:
            if error is not None:
                if not settings.capture_content:
                    withhold_quoting(error)
                outcome = judge(error, settings.explain, stream=stream)
                details.record_outcome(self._attributes, settings.limits, outcome, end)
                if outcome.status is SpanStatus.ERROR:
                    settings.settle(error, self)
        except Exception as failure:
            log.failed("telling how a span ended", failure)
            details.status = SpanStatus.ERROR
        self._end = end
        self._writable = CLOSED
        try:
            try:
                self._settle_values(details)
            except RecursionError:
                raise
            except BaseException:  # a signal handler of the user's raised in `redact`: the span is over all the same
                trace.buffer.offer(self, self._extra_bytes(), self._parent is None)
                raise
            trace.buffer.offer(self, self._extra_bytes(), self._parent is None)
        except RecursionError:
            self._writable = self._attributes  # not ended after all; whoever has the stack to do it will
            raise

    def _settle_values(self, details: Details) -> None:
        redact = self._trace.settings.redact
        try:
            if redact is not None:
                details.complete(self._attributes, self._limits)  # `redact` sees every value before it is queued
                self._attributes = details.redact_all(redact, self._attributes)
            details.settle_size(self._attributes)
        except RecursionError:
            raise
        except BaseException as failure:
            self._attributes, details.events, details.status_message = {}, [], None  # nothing that was not seen
            if not isinstance(failure, Exception):
                raise
            log.failed("redacting a span", failure)

    def _extra_bytes(self) -> int:
        """Bytes beyond what every span is charged."""
        return 0 if self._details is None else max(0, self._details.size)


class CarefulSpan(Span):
    """A span that takes the long way throughout: its values go through `redact`, or its limits are lower than the quick
    way knows. A type of its own, so that no other pays for the question."""

    __slots__ = ()

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._leave(exc)  # and not as a quicker class would that comes after this

    def set_attribute(self, key: str, value: object) -> None:
        """Record a value under a name, as it is now; later changes of the object are not seen."""
        try:
            self._set_weighed(key, value)
        except Exception as error:
            log.failed("set_attribute", error)


class LeftSpan(Span):
    """What a span becomes that was left out of order or in another context, and may still be found current."""

    __slots__ = ()

    is_left = True


Span._left_class = LeftSpan
shorten(Span, "any")
