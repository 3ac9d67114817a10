"""The one logger, `prela`, and how an error of our own is told: once for each place, never raised."""

from functools import cache
from typing import Any

_told: set[str] = set()
_MOST_TOLD = 1_000


@cache
def _logger() -> Any:
    # Not at the top: logging is a fifth of the time of `import prela`, and most programs never need it from us.
    import logging

    return logging.getLogger("prela")


def warn(message: str, *args: object) -> None:
    """Log a warning. Never raises an Exception, whatever handlers the user has set up."""
    try:
        _logger().warning(message, *args)
    except Exception:
        pass


def warn_once(key: str, message: str, *args: object) -> None:
    """Log a warning the first time that `key` is seen in this process."""
    if key not in _told and len(_told) < _MOST_TOLD:
        _told.add(key)
        warn(message, *args)


def failed(where: str, error: BaseException) -> None:
    """Tell of an exception inside Prela that was kept from the user's code."""
    warn_once(
        f"{where}:{type(error).__name__}",
        "prela: %s failed and was skipped (told once): %s: %s",
        where,
        type(error).__name__,
        _text(error),
    )
    debug("prela: %s failed", where, exc_info=error)


def _text(error: BaseException) -> str:
    try:
        return str(error)
    except Exception:
        return "(it cannot be printed)"


def debug(message: str, *args: object, exc_info: BaseException | None = None) -> None:
    """Log at level DEBUG, with the traceback of `exc_info` where there is one."""
    try:
        _logger().debug(message, *args, exc_info=exc_info)
    except Exception:
        pass


def enable_debug() -> None:
    """Show everything the logger has to say, on stderr if nothing else was set up (`PRELA_DEBUG`)."""
    import logging

    logging.basicConfig()
    _logger().setLevel(logging.DEBUG)
