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
    hides_first = first is not None and (_is_method(func) if method is None else method)

    def name_arguments(*args: Any, **kwargs: Any) -> Mapping[str, object]:
        bound = signature.bind(*args, **kwargs)
        bound.apply_defaults()
        named = dict(bound.arguments)
        if hides_first and first is not None:
            hidden = named.pop(first.name, ())
            if first.kind is first.VAR_POSITIONAL:
                named[first.name] = hidden[1:]
        return {f"args.{name}": value for name, value in named.items()}

    return name_arguments


def _is_method(func: Any) -> bool:
    """Whether a function was defined in the body of a class."""
    outer = getattr(func, "__qualname__", "").rpartition(".")[0]
    return bool(outer) and not outer.endswith("<locals>")
