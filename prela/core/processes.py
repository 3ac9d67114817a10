"""Work that is handed to another process goes on with this trace there: for `ProcessPoolExecutor` and its like.

Only texts go over: the ids of the current span, baggage, propagated attributes. The span itself stays here, and spans
that the work starts end, and are exported, in the process it runs in.
"""

from collections.abc import Callable
from typing import Any, Generic, ParamSpec, TypeVar

from prela.core.context import get_propagated_attributes, propagate_attributes, suppress, without_current_span
from prela.core.propagation import attach, inject
from prela.core.stand_in import is_suppressed

P = ParamSpec("P")
T = TypeVar("T")


class _InCapturedContext(Generic[P, T]):
    """A function and the context that it is called in; pickled as these, wherever the function itself can be."""

    def __init__(self, func: Callable[P, T]) -> None:
        self.func = func
        self.headers: dict[str, str] = inject({})
        self.propagated = dict(get_propagated_attributes())
        self.is_suppressed = is_suppressed()

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> T:
        if self.is_suppressed:
            with suppress():
                return self.func(*args, **kwargs)
        # A forked worker still has what was current when it was forked, which has nothing to do with this call.
        with without_current_span(), attach(self.headers):
            if not self.propagated:
                return self.func(*args, **kwargs)
            with propagate_attributes(**self.propagated):
                return self.func(*args, **kwargs)

    def __repr__(self) -> str:
        return f"copy_context_to_process({self.func!r})"


def copy_context_to_process(func: Callable[P, T]) -> Callable[P, T]:
    """Return `func` bound to the span, baggage and propagated attributes of this moment, for a process pool.

    With the start methods spawn and forkserver the workers are new programs: there nothing is recorded until they
    call `prela.init()`; give the pool `initializer=prela.init`, or call it where the module is imported. What `func`
    needs to be pickled it needs here too: a name at the top of a module.

    Raises:
        TypeError: `func` is a coroutine function, whose call would only make a coroutine, which cannot be sent back.
    """
    from inspect import isasyncgenfunction, iscoroutinefunction

    for callee in (func, getattr(type(func), "__call__", None)):  # noqa: B004
        if iscoroutinefunction(callee) or isasyncgenfunction(callee):
            raise TypeError(f"copy_context_to_process: {func!r} is a coroutine function; processes run plain functions")
    bound: Any = _InCapturedContext(func)
    return bound  # type: ignore[no-any-return]
