"""The arguments of a call by name, as `trace(capture_args=True)` records them."""

from collections.abc import Callable, Mapping
from typing import Any


def argument_namer(func: Any, method: bool | None) -> Callable[..., Mapping[str, object]]:
    """Return what names the arguments of a call. `method`: whether the first is self or cls; None: find out."""
    import inspect  # slow to import, and seldom needed

    try:
        signature = inspect.signature(func)
    except (TypeError, ValueError):  # some builtins tell nothing of their parameters
        return lambda *args, **kwargs: {f"args.{name}": value for name, value in (*enumerate(args), *kwargs.items())}
    first = next(iter(signature.parameters.values()), None)
    may_hide = first is not None and (method is True or (method is None and _is_in_class(func)))

    def name_arguments(*args: Any, **kwargs: Any) -> Mapping[str, object]:
        bound = signature.bind(*args, **kwargs)
        bound.apply_defaults()
        named = dict(bound.arguments)
        if may_hide and first is not None and (method or (args and _is_owner(args[0], func, first.name))):
            hidden = named.pop(first.name, ())
            if first.kind is first.VAR_POSITIONAL:
                named[first.name] = hidden[1:]
        return {f"args.{name}": value for name, value in named.items()}

    return name_arguments


def _is_in_class(func: Any) -> bool:
    """Whether a function was defined in the body of a class, and is not bound to an object already."""
    import inspect

    outer = getattr(func, "__qualname__", "").rpartition(".")[0]
    return bool(outer) and not outer.endswith("<locals>") and not inspect.ismethod(func)


def _is_owner(argument: object, func: Any, called: str) -> bool:
    """Whether an argument is the object, or the class, that a function is a method of: a static method of its class may
    have been made of it after it was traced. `called`: what the function calls the argument, where its class does not
    know it by its own name."""
    name = func.__name__
    if name == "__new__":  # which Python makes a static method
        return True
    for base in (*(argument.__mro__ if isinstance(argument, type) else ()), *type(argument).__mro__):
        for spelled in (name, f"_{base.__name__.lstrip('_')}{name}"):
            if spelled in vars(base):
                return not isinstance(vars(base)[spelled], staticmethod)
    return called in ("self", "cls")
