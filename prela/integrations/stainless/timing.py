"""Where the time of a call went, from what the HTTP library itself reports (`extensions={"trace": hook}`).

httpcore tells each step as it begins and ends: "connection.connect_tcp.started", "http11.send_request_headers.complete"
and so on (its documentation, "Extensions", "trace"). The steps of all attempts and redirects of a call are summed.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from prela.core import log
from prela.integrations import semconv

if TYPE_CHECKING:
    from prela.integrations.stainless.call import Call

_STEPS: Final = {
    "connect_tcp": semconv.TIME_CONNECT,
    "connect_unix_socket": semconv.TIME_CONNECT,
    "setup_socks5_connection": semconv.TIME_CONNECT,
    "start_tls": semconv.TIME_TLS,
    "send_request_headers": semconv.TIME_SEND,
    "send_request_body": semconv.TIME_SEND,
    "receive_response_headers": semconv.TIME_SERVER,
    "receive_response_body": semconv.TIME_RECEIVE,
}
_FIRST_STEPS: Final = {"connect_tcp", "connect_unix_socket", "send_request_headers"}
"""With one of these ends the wait for a connection."""


class Timing:
    """Adds up the steps of one call.

    Args:
        clock: Nanoseconds.
    """

    __slots__ = ("_clock", "_requested", "_started", "_sums")

    def __init__(self, clock: Callable[[], int]) -> None:
        self._clock = clock
        self._sums: dict[str, int] = {}
        self._started: dict[str, int] = {}
        self._requested = 0

    def requested(self) -> None:
        """An HTTP request is about to be given to the pool."""
        self._requested = self._clock()

    def told(self, event: str) -> None:
        """Take in an event of the HTTP library."""
        step, _, phase = event.rpartition(".")
        step = step.rpartition(".")[2]
        if step not in _STEPS:
            return
        now = self._clock()
        if phase == "started":
            self._started[step] = now
            if self._requested and step in _FIRST_STEPS:
                self._add(semconv.TIME_POOL, now - self._requested)
                self._requested = 0
        elif (started := self._started.pop(step, None)) is not None:  # "complete" or "failed"
            self._add(_STEPS[step], now - started)

    def gave_up(self) -> None:
        """The attempt failed: if it had no connection by then, it waited for one all the time."""
        if self._requested:
            self._add(semconv.TIME_POOL, self._clock() - self._requested)
            self._requested = 0

    def slept(self, nanoseconds: int) -> None:
        """Add a pause between two attempts."""
        self._add(semconv.TIME_RETRY, nanoseconds)

    def _add(self, name: str, nanoseconds: int) -> None:
        self._sums[name] = self._sums.get(name, 0) + nanoseconds

    def attributes(self, now: int) -> dict[str, float]:
        """Seconds by attribute. A step that never ended, of a call that was given up, counts until now."""
        sums = dict(self._sums)
        for step, started in list(self._started.items()):
            sums[_STEPS[step]] = sums.get(_STEPS[step], 0) + now - started
        if self._requested:
            sums[semconv.TIME_POOL] = sums.get(semconv.TIME_POOL, 0) + now - self._requested
        return {name: nanoseconds / 1e9 for name, nanoseconds in sums.items()}


def trace_sync(call: "Call", request: Any) -> None:
    """Have the HTTP library tell the call's timing what it does for a request of a synchronous client."""
    timing, theirs = call.timing, request.extensions.get("trace")

    def trace(name: str, info: Any) -> None:
        _tell(timing, name)
        if theirs is not None:
            theirs(name, info)

    _hook(timing, request, trace)


def trace_async(call: "Call", request: Any) -> None:
    """The same for an asynchronous client, which wants a coroutine function."""
    timing, theirs = call.timing, request.extensions.get("trace")

    async def trace(name: str, info: Any) -> None:
        _tell(timing, name)
        if theirs is not None:
            await theirs(name, info)

    _hook(timing, request, trace)


def _tell(timing: Timing, name: str) -> None:
    try:
        timing.told(name)
    except Exception as error:
        log.failed("timing an HTTP request", error)


def _hook(timing: Timing, request: Any, trace: Callable[..., Any]) -> None:
    request.extensions = {**request.extensions, "trace": trace}
    timing.requested()
