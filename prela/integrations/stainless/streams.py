"""A streamed response, watched from inside the client's own objects: the user is given those, and nothing else.

Three places are watched, since there are three ways to read a stream and more to leave it:

- the iterator inside the client's `Stream`: every item, exception and end that the consumer sees passes it;
- the decoder inside it, which has each event's text, so that nothing need be taken apart while the program waits;
- the body of the HTTP response below, which is closed however a stream is left, and is read by those who asked for the
  raw response.

What is put into an object of the client refers to that only weakly: no cycle may keep it when the program lets go.
"""

import sys
from collections.abc import AsyncIterator, Callable, Iterator
from functools import cache
from types import ModuleType
from typing import TYPE_CHECKING, Any
from weakref import ref

from prela.core import log
from prela.core.current import current_span
from prela.core.stand_in import is_suppressed

_set = current_span.set

if TYPE_CHECKING:
    from prela.integrations.stainless.call import Call


def watch_stream(call: "Call", stream: Any) -> None:
    """Put the call between the client's stream and what it reads from."""
    iterator = stream._iterator
    call.reading.reads_events = True
    if hasattr(iterator, "__anext__"):
        stream._iterator = AsyncSteps(call, iterator)
    else:
        stream._iterator = Steps(call, iterator)
    call.reading.takes_items = not _watch_decoder(call, getattr(stream, "_decoder", None))


def _watch_decoder(call: "Call", decoder: Any) -> bool:
    """Have each event's text told to the call as the decoder makes it; False where that cannot be."""
    kind = type(decoder)
    decode: Callable[[Any, str], Any] | None = getattr(kind, "decode", None)
    # Its `__dict__` is not asked for: from then on CPython would find all its attributes the slow way.
    if decode is None or not kind.__dictoffset__:
        return False
    keep, itself = call.reading.keep_event(), ref(decoder)

    def watched(line: str) -> Any:
        event = decode(itself(), line)
        if event is not None:
            try:
                keep(event.data)
            except Exception as error:
                log.failed("keeping an event of a stream", error)
        return event

    decoder.decode = watched
    return True


def watch_raw(call: "Call", raw: Any) -> None:
    """Watch the stream that a raw response makes, if its user asks for one by `parse()`."""
    parse, itself = type(raw)._parse, ref(raw)

    def watched(*args: Any, **kwargs: Any) -> Any:
        parsed = parse(itself(), *args, **kwargs)
        try:
            if is_stream(parsed):
                watch_stream(call, parsed)
        except Exception as error:
            log.failed("watching a stream", error)
        return parsed

    raw._parse = watched


def is_stream(value: object) -> bool:
    """Whether this is the client's `Stream` or `AsyncStream`."""
    return hasattr(value, "_iterator") and hasattr(value, "_decoder")


class Steps:
    """The iterator inside a `Stream`, or a body: one step of the client's own code for each item.

    No generator: the loop would have to close one more of those, in a task of its own.
    """

    __slots__ = ("_call", "_inner", "_reading")

    def __init__(self, call: "Call", inner: Iterator[Any]) -> None:
        self._call = call
        self._reading = call.reading
        self._inner = inner

    def __iter__(self) -> Iterator[Any]:
        return self

    def __next__(self) -> Any:
        reading = self._reading
        clock = reading.clock
        began = clock()
        token = reading.begin_untold() if is_suppressed() else _set(reading.span)
        try:
            item = next(self._inner)
        except StopIteration:
            reading.end(began, token)
            self._call.completed()
            raise
        except BaseException as error:
            reading.end(began, token)
            if not getattr(self._inner, "gi_running", False):  # another thread is at it, and goes on
                self._call.fail(error)
            raise
        reading.end(began, token, item)
        return item

    def close(self) -> None:
        """What a generator in this place would have."""
        self._inner.close()  # type: ignore[attr-defined]
        self._call.closed()

    def __del__(self) -> None:
        self._call.dropped()


class AsyncSteps:
    """The iterator inside an `AsyncStream`, or its body."""

    __slots__ = ("_call", "_inner", "_reading")

    def __init__(self, call: "Call", inner: AsyncIterator[Any]) -> None:
        self._call = call
        self._reading = call.reading
        self._inner = inner

    def __aiter__(self) -> AsyncIterator[Any]:
        return self

    async def __anext__(self) -> Any:
        reading = self._reading
        clock = reading.clock
        began = clock()
        token = reading.begin_untold() if is_suppressed() else _set(reading.span)
        try:
            item = await self._inner.__anext__()
        except StopAsyncIteration:
            reading.end(began, token)
            self._call.completed()
            raise
        except BaseException as error:
            reading.end(began, token)
            if not getattr(self._inner, "ag_running", False):
                self._call.fail(error)
            raise
        reading.end(began, token, item)
        return item

    async def aclose(self) -> None:
        """What an async generator in this place would have."""
        await self._inner.aclose()  # type: ignore[attr-defined]
        self._call.closed()

    def __del__(self) -> None:
        self._call.dropped()


def watch_body(call: "Call", response: Any, *, waits: bool) -> None:
    """Put the call between an HTTP response that has not been read and its body; `waits`: of an asynchronous client."""
    library = _library_of(response)
    response.stream = (_async_body if waits else _sync_body)(library)(call, response.stream)


def _library_of(response: Any) -> ModuleType:
    """The HTTP library, of whose `Response` this may be of a class derived elsewhere."""
    modules = [sys.modules[kind.__module__.partition(".")[0]] for kind in type(response).__mro__]
    return next(module for module in modules if hasattr(module, "SyncByteStream"))


@cache
def _sync_body(library: Any) -> type:
    """The class for bodies of a synchronous client of this HTTP library, which checks that they are of its own."""

    class Body(library.SyncByteStream):  # type: ignore[misc]
        def __init__(self, call: "Call", inner: Any) -> None:
            self._call = call
            self._inner = inner

        def __iter__(self) -> Iterator[bytes]:
            return iter(self._inner) if self._call.reading.is_in_step() else Steps(self._call, iter(self._inner))

        def __getattr__(self, name: str) -> Any:
            return getattr(self.__dict__["_inner"], name)  # `elapsed`, which `Response` asks for

        def close(self) -> None:
            try:
                if hasattr(self._inner, "close"):
                    self._inner.close()
            finally:
                self._call.closed(sys.exception())

        def __del__(self) -> None:
            self._call.dropped_body()

    return Body


@cache
def _async_body(library: Any) -> type:
    """The same for an asynchronous client."""

    class Body(library.AsyncByteStream):  # type: ignore[misc]
        def __init__(self, call: "Call", inner: Any) -> None:
            self._call = call
            self._inner = inner

        def __aiter__(self) -> AsyncIterator[bytes]:
            return aiter(self._inner) if self._call.reading.is_in_step() else AsyncSteps(self._call, aiter(self._inner))

        def __getattr__(self, name: str) -> Any:
            return getattr(self.__dict__["_inner"], name)

        async def aclose(self) -> None:
            error = sys.exception()  # before others are handled below
            try:
                if hasattr(self._inner, "aclose"):
                    await self._inner.aclose()
            finally:
                self._call.closed(error)

        def __del__(self) -> None:
            self._call.dropped_body()

    return Body
