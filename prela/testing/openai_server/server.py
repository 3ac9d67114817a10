"""The server itself: a thread with a loop, and what a test may ask it."""

import threading
from collections.abc import Callable
from concurrent.futures import Future
from types import TracebackType
from typing import Any, Self

import anyio
import anyio.abc
import h11

from prela.core.context import suppress
from prela.testing.openai_server.answers import Answer, Answers, echo, in_turn
from prela.testing.openai_server.api import reply
from prela.testing.openai_server.connection import GONE, Connection
from prela.testing.openai_server.replies import error_body
from prela.testing.openai_server.requests import Request
from prela.testing.openai_server.shelf import Shelf
from prela.testing.openai_server.transmission import Transmission, transmission


class OpenAIServer:
    """Serves while its `with` block lasts; `base_url` is what to give the client.

    `answer` is a function of the request's body, or a sequence of answers to be used one after the other. It is asked
    wherever a model would have to answer, one request at a time, in the server's thread: it must not wait. What it
    raises, and a request for which the sequence has no answer left, is a 500 with the reason, which `openai` clients
    do not retry, and is kept in `errors`.
    """

    def __init__(self, answer: Answers = echo) -> None:
        self._answer = in_turn(answer)
        self._shelf = Shelf()
        self._changed = threading.Condition()
        self._address: Future[int] = Future()
        self._stop: Callable[[], None] = lambda: None
        self._thread = threading.Thread(target=self._main, name="openai-test-server", daemon=True)
        self.requests: list[dict[str, Any]] = []
        """The bodies received so far, in order; forms as dicts, `{}` for none."""
        self.paths: list[str] = []
        """What each request was for, as `POST /v1/chat/completions`."""
        self.headers: list[dict[str, str]] = []
        """The headers of each request, their names in lower case."""
        self.errors: list[Exception] = []
        """What the test itself did wrong: exceptions of its answer function, answers used up, faults out of range."""
        self.disconnects: int = 0
        """How many answers the client did not wait for. Connections that the server cut are not counted."""

    def __enter__(self) -> Self:
        self._thread.start()
        self._address.result(timeout=10)
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._stop()
        self._thread.join(timeout=10)

    @property
    def base_url(self) -> str:
        """The URL that `OPENAI_BASE_URL` or the client's `base_url` takes."""
        return f"http://127.0.0.1:{self._address.result(timeout=10)}/v1"

    def wait_for_requests(self, count: int, timeout: float = 10.0) -> None:
        """Block until so many requests have come in all, whether or not they are answered.

        Async tests call it in a thread: `await anyio.to_thread.run_sync(server.wait_for_requests, 1)`.

        Raises:
            TimeoutError: They have not, within `timeout` seconds.
        """
        self._wait(lambda: len(self.requests), count, timeout, "requests")

    def wait_for_disconnects(self, count: int, timeout: float = 10.0) -> None:
        """Block until so many answers have not been waited for; otherwise as `wait_for_requests`."""
        self._wait(lambda: self.disconnects, count, timeout, "disconnects")

    def _wait(self, seen: Callable[[], int], count: int, timeout: float, what: str) -> None:
        with self._changed:
            if not self._changed.wait_for(lambda: seen() >= count, timeout):
                raise TimeoutError(f"{seen()} of {count} {what} came within {timeout:g} s")

    def _main(self) -> None:
        try:
            anyio.run(self._serve)
        except Exception as error:
            if not self._address.done():
                self._address.set_exception(error)
            raise

    async def _serve(self) -> None:
        from prela.aio.waking import caller_into_this_loop

        call, stopped = caller_into_this_loop(), anyio.Event()
        self._stop = lambda: call(stopped.set)
        listener = await anyio.create_tcp_listener(local_host="127.0.0.1")
        with suppress():
            async with listener, anyio.create_task_group() as group:
                group.start_soon(listener.serve, self._converse)
                self._address.set_result(listener.extra(anyio.abc.SocketAttribute.local_port))
                await stopped.wait()
                group.cancel_scope.cancel()

    async def _converse(self, stream: anyio.abc.SocketStream) -> None:
        connection = Connection(stream)
        async with stream:
            try:
                while (request := await connection.next_request()) is not None:
                    if not await connection.transmit(self._respond(request)):
                        with self._changed:
                            self.disconnects += 1
                            self._changed.notify_all()
                        return
            except (h11.ProtocolError, *GONE):
                return

    def _respond(self, request: Request) -> Transmission:
        try:
            body, readable = request.body(), True
        except ValueError:
            body, readable = {}, False
        number = self._note(request, body)
        headers = {"openai-version": "2020-10-01", "x-request-id": f"req_{number:032x}"}
        if not readable:
            return transmission(error_body(400, "We could not parse the JSON body of your request."), Answer(), headers)
        try:
            replied, answer = reply(request, body, self._answer, number, self._shelf)
            return transmission(replied, answer, headers)
        except Exception as error:
            self.errors.append(error)
            reason = error_body(500, f"{type(error).__name__}: {error}")
            return transmission(reason, Answer(), {**headers, "x-should-retry": "false"})

    def _note(self, request: Request, body: dict[str, Any]) -> int:
        with self._changed:
            self.paths.append(f"{request.method} {request.target}")
            self.headers.append(request.headers)
            self.requests.append(body)
            self._changed.notify_all()
            return len(self.requests)
