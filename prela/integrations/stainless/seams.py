"""Where a generated client is taken hold of: four methods of its base clients, replaced and put back.

All resources of a client pass `request`, so that one is the choke point; the three others are steps of it that tell
what `request` does not: which HTTP request is sent, how long is slept between attempts, and which response came.
They are not public. So they are looked at first, and where one is not as it was when this was written, nothing is
touched.
"""

import inspect
from collections.abc import Callable
from functools import wraps
from types import ModuleType
from typing import Any, Final

from prela.core import log
from prela.integrations.stainless.call import Call, current_call
from prela.integrations.stainless.caller import Caller
from prela.integrations.stainless.timing import trace_async, trace_sync

_EXPECTED: Final = {
    "request": ("cast_to", "options", "stream", "stream_cls"),
    "_build_request": ("options", "retries_taken"),
    "_sleep_for_retry": ("retries_taken", "max_retries", "options", "response"),
    "_process_response": ("cast_to", "options", "response", "stream", "stream_cls", "retries_taken"),
}
"""The parameters that each must have, besides `self`."""

Function = Callable[..., Any]


class Seams:
    """The replaced methods of one client library.

    Args:
        module: Its `_base_client`.
        caller: Begins a traced call.
    """

    def __init__(self, module: ModuleType, caller: Caller) -> None:
        self._module = module
        self._caller = caller
        self._originals: list[tuple[type, str, Function | None, Function]] = []

    def mismatch(self) -> str | None:
        """What of the library is not as it should be; None when all is."""
        for class_name in ("SyncAPIClient", "AsyncAPIClient"):
            client = getattr(self._module, class_name, None)
            if not inspect.isclass(client):
                return f"{class_name} is missing"
            for name, expected in _EXPECTED.items():
                method = getattr(client, name, None)
                if not inspect.isfunction(method):
                    return f"{class_name}.{name} is missing"
                missing = set(expected) - set(inspect.signature(method).parameters)
                if missing:
                    return f"{class_name}.{name} has no parameter {min(missing)!r}"
                waits = class_name == "AsyncAPIClient" and name != "_build_request"
                if inspect.iscoroutinefunction(method) is not waits:
                    return f"{class_name}.{name} should {'' if waits else 'not '}be a coroutine function"
        return None

    def install(self) -> None:
        """Replace the methods. Classes below that override one and call it by `super()` are traced too."""
        sync, asynchronous = self._module.SyncAPIClient, self._module.AsyncAPIClient
        for client in _with_own_request(sync):
            self._replace(client, "request", lambda original: _request(original, self._caller))
        self._replace(sync, "_build_request", lambda original: _build_request(original, trace_sync))
        self._replace(sync, "_sleep_for_retry", _sleep_for_retry)
        self._replace(sync, "_process_response", _process_response)
        for client in _with_own_request(asynchronous):
            self._replace(client, "request", lambda original: _async_request(original, self._caller))
        self._replace(asynchronous, "_build_request", lambda original: _build_request(original, trace_async))
        self._replace(asynchronous, "_sleep_for_retry", _async_sleep_for_retry)
        self._replace(asynchronous, "_process_response", _async_process_response)

    def restore(self) -> None:
        """Put everything back as it was; what others replaced since is left to them, and lets the calls through."""
        while self._originals:
            owner, name, original, replaced = self._originals.pop()
            if owner.__dict__.get(name) is not replaced:
                continue
            if original is None:
                delattr(owner, name)  # it was inherited
            else:
                setattr(owner, name, original)

    def _replace(self, owner: type, name: str, make: Callable[[Function], Function]) -> None:
        replacement = make(getattr(owner, name))
        self._originals.append((owner, name, owner.__dict__.get(name), replacement))
        setattr(owner, name, replacement)


def _with_own_request(base: type) -> list[type]:
    """The base client, and those below that have a `request` which may not lead there: other tracers put one on
    `OpenAI` that calls what stood on the base before, and leave one behind."""
    found, pending = [], [base]
    while pending:
        client = pending.pop()
        if "request" in vars(client) and client not in found:
            found.append(client)
        pending += client.__subclasses__()
    return found


def _request(original: Function, caller: Caller) -> Function:
    @wraps(original)
    def request(self: Any, *args: Any, **kwargs: Any) -> Any:
        call = caller.begin(self, args, kwargs)
        if call is None:
            return original(self, *args, **kwargs)
        step = call.enter()
        try:
            result = original(self, *call.args, **call.kwargs)
        except BaseException as error:
            call.leave(step)
            call.fail(error)
            raise
        call.leave(step)
        call.returned(result)
        return result

    return request


def _async_request(original: Function, caller: Caller) -> Function:
    @wraps(original)
    async def request(self: Any, *args: Any, **kwargs: Any) -> Any:
        call = caller.begin(self, args, kwargs)
        if call is None:
            return await original(self, *args, **kwargs)
        step = call.enter()
        try:
            result = await original(self, *call.args, **call.kwargs)
        except BaseException as error:
            call.leave(step)
            call.fail(error)
            raise
        call.leave(step)
        call.returned(result)
        return result

    return request


def _build_request(original: Function, trace: Callable[[Call, Any], object]) -> Function:
    @wraps(original)
    def build(self: Any, *args: Any, **kwargs: Any) -> Any:
        request = original(self, *args, **kwargs)
        call = current_call.get()
        if call is not None:
            try:
                call.sends(request)
                trace(call, request)
            except Exception as error:
                log.failed("tracing an HTTP request", error)
        return request

    return build


def _sleep_for_retry(original: Function) -> Function:
    @wraps(original)
    def sleep(self: Any, *args: Any, **kwargs: Any) -> Any:
        call = current_call.get()
        if call is None:
            return original(self, *args, **kwargs)
        retry = call.begin_retry(kwargs)
        try:
            return original(self, *args, **kwargs)
        finally:
            call.end_retry(retry)

    return sleep


def _async_sleep_for_retry(original: Function) -> Function:
    @wraps(original)
    async def sleep(self: Any, *args: Any, **kwargs: Any) -> Any:
        call = current_call.get()
        if call is None:
            return await original(self, *args, **kwargs)
        retry = call.begin_retry(kwargs)
        try:
            return await original(self, *args, **kwargs)
        finally:
            call.end_retry(retry)

    return sleep


def _process_response(original: Function) -> Function:
    @wraps(original)
    def process(self: Any, *args: Any, **kwargs: Any) -> Any:
        call = current_call.get()
        if call is not None:
            call.receives(kwargs.get("response"), waits=False)
        return original(self, *args, **kwargs)

    return process


def _async_process_response(original: Function) -> Function:
    @wraps(original)
    async def process(self: Any, *args: Any, **kwargs: Any) -> Any:
        call = current_call.get()
        if call is not None:
            call.receives(kwargs.get("response"), waits=True)
        return await original(self, *args, **kwargs)

    return process
