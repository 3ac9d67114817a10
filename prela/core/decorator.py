"""`trace`: a span around each call of a function, a coroutine function, a generator or an async generator.

What comes back is still what `inspect` says went in, with the same signature. The span of a generator is current only
while the generator's own code runs, never while its consumer's does.
"""

import sys
import types
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator, Mapping
from contextlib import AbstractContextManager
from functools import wraps
from typing import Any, NamedTuple, Protocol, TypeVar, overload

from prela.core import log
from prela.core.arguments import argument_namer
from prela.core.scope import Scope
from prela.core.span import Span
from prela.core.step import Step
from prela.core.tracer import Tracer
from prela.record.enums import SpanType

F = TypeVar("F", bound=Callable[..., Any])


class Plan(Protocol):
    """How each call of a function is traced."""

    def span(self, args: tuple[Any, ...], kwargs: Mapping[str, Any], /) -> AbstractContextManager[Any]:
        """A span to enter, for one call."""
        ...

    def start_span(self, args: tuple[Any, ...], kwargs: Mapping[str, Any], /) -> Span:
        """A span that has started, for one call of a generator."""
        ...

    def record_result(self, span: Any, result: object, /) -> None:
        """Note what the call returned."""
        ...


class _Plan(NamedTuple):
    """What `trace` was told about one function."""

    tracer: Tracer
    name: str
    span_type: SpanType | str
    attributes: Mapping[str, object] | None
    arguments: Callable[..., Mapping[str, object]] | None
    """Names a call's arguments; None: they are not captured."""
    capture_result: bool

    def span(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Span:
        return self._with_arguments(self.tracer.span(self.name, self.span_type, self.attributes), args, kwargs)

    def start_span(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Span:
        return self._with_arguments(self.tracer.start_span(self.name, self.span_type, self.attributes), args, kwargs)

    def _with_arguments(self, span: Span, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Span:
        if self.arguments is not None and span.is_recording:
            try:
                span.set_attributes(self.arguments(*args, **kwargs))
            except Exception as error:
                log.failed("capturing arguments", error)
        return span

    def record_result(self, span: Span, result: object) -> None:
        if self.capture_result:
            span.set_attribute("result", result)


class TraceDecorator:
    """`prela.trace`, for one tracer."""

    def __init__(self, tracer: Tracer) -> None:
        self._tracer = tracer

    @overload
    def __call__(self, name: F) -> F: ...

    @overload
    def __call__(
        self,
        name: str | None = None,
        span_type: SpanType | str = SpanType.CUSTOM,
        attributes: Mapping[str, object] | None = None,
        *,
        capture_args: bool = False,
        capture_result: bool = False,
    ) -> Callable[[F], F]: ...

    def __call__(
        self,
        name: Any = None,
        span_type: SpanType | str = SpanType.CUSTOM,
        attributes: Mapping[str, object] | None = None,
        *,
        capture_args: bool = False,
        capture_result: bool = False,
    ) -> Any:
        """Trace each call of a function. Use it bare (`@prela.trace`) or called (`@prela.trace("name", ...)`).

        Args:
            name: The span's name; by default the function's `__qualname__`.
            span_type: What sort of work it is.
            attributes: Set on every span.
            capture_args: Record the arguments as `args.<name>`, never `self` or `cls`.
            capture_result: Record what is returned as `result`; of a generator, what it returns at its end.

        Raises:
            TypeError: What is decorated is no function.
        """

        def decorate(func: Any) -> Any:
            given = name if isinstance(name, str) else None
            return _decorate(self._tracer, func, given, span_type, attributes, capture_args, capture_result)

        if name is None or isinstance(name, str):
            return decorate
        return decorate(name)


def _decorate(
    tracer: Tracer,
    func: Any,
    name: str | None,
    span_type: SpanType | str,
    attributes: Mapping[str, object] | None,
    capture_args: bool,
    capture_result: bool,
    method: bool | None = None,
) -> Any:
    if isinstance(func, classmethod | staticmethod):
        is_class = isinstance(func, classmethod)
        inner = _decorate(tracer, func.__func__, name, span_type, attributes, capture_args, capture_result, is_class)
        return type(func)(inner)
    if not callable(func) or isinstance(func, type):
        raise TypeError(f"prela.trace: {func!r} is no function, method, generator or coroutine function")
    name = name or getattr(func, "__qualname__", None) or type(func).__qualname__
    arguments = argument_namer(func, method) if capture_args else None
    plan = _Plan(tracer, name, span_type, attributes, arguments, capture_result)
    return wrapped(func, plan)


def wrapped(func: Any, plan: Plan) -> Any:
    """Return the function with a span around each call, of the sort that suits the function's own."""
    # Imported here: inspect is slow to import, and a program that never decorates does not need it.
    import inspect

    called = func.__call__ if isinstance(getattr(type(func), "__call__", None), types.FunctionType) else func  # noqa: B004
    if inspect.isasyncgenfunction(called):
        return _async_generator(func, plan)
    if inspect.iscoroutinefunction(called):
        return _coroutine_function(func, plan)
    if inspect.isgeneratorfunction(called):
        traced = _generator(func, plan)
        return types.coroutine(traced) if _is_awaitable(func) else traced
    return _function(func, plan)


def _is_awaitable(func: Any) -> bool:
    """Whether a generator function was made a coroutine function by `types.coroutine`."""
    from inspect import CO_ITERABLE_COROUTINE

    return bool(getattr(getattr(func, "__code__", None), "co_flags", 0) & CO_ITERABLE_COROUTINE)


def _function(func: Any, plan: Plan) -> Any:
    @wraps(func)
    def traced(*args: Any, **kwargs: Any) -> Any:
        with plan.span(args, kwargs) as span:
            result = func(*args, **kwargs)
            plan.record_result(span, result)
            return result

    return traced


def _coroutine_function(func: Any, plan: Plan) -> Any:
    @wraps(func)
    async def traced(*args: Any, **kwargs: Any) -> Any:
        with plan.span(args, kwargs) as span:
            result = await func(*args, **kwargs)
            plan.record_result(span, result)
            return result

    return traced


class _Steps:
    """The span of a generator, held across its steps. The parent is what is current at the first of them."""

    __slots__ = ("_closing", "_plan", "_scope", "_span")

    def __init__(self, plan: Plan, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
        self._plan = plan
        self._span = plan.start_span(args, kwargs)
        self._scope = Scope(self._span)
        self._closing = False

    def take(self, resume: Callable[[Any], Any], value: Any) -> Any:
        """One step of a generator; what it yields is held nowhere."""
        step = Step()
        try:
            self._scope.enter(step)
            return resume(value)
        finally:
            del resume, value  # an exception that is thrown in holds this frame, which must not hold it
            try:
                self._scope.leave(step)
            except BaseException:
                self._scope.leave(step)
                raise

    async def take_async(self, step: Awaitable[Any]) -> Any:
        """One step of an async generator."""
        taken = Step()
        try:
            self._scope.enter(taken)
            return await step
        finally:
            try:
                self._scope.leave(taken)
            except BaseException:
                self._scope.leave(taken)
                raise

    def threw(self, error: BaseException) -> BaseException:
        """Note what the consumer throws in, on its way to the generator."""
        self._closing = isinstance(error, GeneratorExit)
        return error

    def completed(self, result: object = None) -> None:
        self._plan.record_result(self._span, result)
        self._span._end_with(None, stream="closed_early" if self._closing else "completed")

    def failed(self, error: BaseException) -> None:
        self._span._end_with(error, stream="error")


def _generator(func: Any, plan: Plan) -> Any:
    @wraps(func)
    def traced(*args: Any, **kwargs: Any) -> Generator[Any, Any, Any]:
        generator = func(*args, **kwargs)
        steps = _Steps(plan, args, kwargs)
        resume, value = generator.send, None
        try:
            while True:
                produced = [steps.take(resume, value)]  # popped as it is yielded: nothing is kept alive here
                try:
                    resume, value = generator.send, (yield produced.pop())
                except BaseException as thrown:
                    resume, value = generator.throw, steps.threw(thrown)
        except StopIteration as stop:
            steps.completed(stop.value)
            return stop.value
        except BaseException as error:
            steps.failed(error)
            raise
        finally:
            resume = value = None  # likewise

    return traced


def _async_generator(func: Any, plan: Plan) -> Any:
    @wraps(func)
    async def traced(*args: Any, **kwargs: Any) -> AsyncGenerator[Any, Any]:
        generator = func(*args, **kwargs)
        steps = _Steps(plan, args, kwargs)
        step = _first_step(generator)
        try:
            while True:
                produced = [await steps.take_async(step)]
                try:
                    step = generator.asend((yield produced.pop()))
                except BaseException as thrown:
                    step = generator.athrow(steps.threw(thrown))
        except StopAsyncIteration:
            steps.completed()
        except BaseException as error:
            steps.failed(error)
            raise

    return traced


def _first_step(generator: AsyncGenerator[Any, Any]) -> Any:
    """The first step of an async generator whose closing is ours to see to, and not the event loop's.

    The loop learns of an async generator at its first step, and closes it when it is collected or the loop ends. The
    generator around this one is known to the loop; if this one were too, both would be closed at once, and one of
    them would find the other running.
    """
    hooks = sys.get_asyncgen_hooks()
    sys.set_asyncgen_hooks(None, None)
    try:
        return generator.asend(None)
    finally:
        sys.set_asyncgen_hooks(*hooks)
