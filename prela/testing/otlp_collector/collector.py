"""The collector itself: a thread with a loop, and what a test may ask it."""

import ssl
import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from types import TracebackType
from typing import Any, Self

import anyio
import anyio.abc
import h11
from anyio.streams.tls import TLSListener

from prela.core.context import suppress
from prela.record.model import SpanRecord
from prela.testing.openai_server.connection import GONE, Connection
from prela.testing.openai_server.requests import Request
from prela.testing.openai_server.transmission import Ending, Transmission
from prela.testing.otlp_collector.answers import Answer
from prela.testing.otlp_collector.manners import Delivery


class Collector:
    """Takes OTLP over HTTP on a loopback port while its `with` block lasts; `endpoint` is what to give the exporter.

    Args:
        answers: One for each request, in turn; when they are used up, requests are taken.
        port: 0 for any that is free.
        tls: With it, the collector speaks HTTPS; `endpoint` names it by its address, 127.0.0.1.
    """

    def __init__(self, *answers: Answer, port: int = 0, tls: ssl.SSLContext | None = None) -> None:
        self._tls = tls
        self._answers = deque(answers)
        self._port = port
        self._changed = threading.Condition()
        self._address: Future[int] = Future()
        self._stop: Callable[[], None] = lambda: None
        self._thread = threading.Thread(target=self._main, name="otlp-collector", daemon=True)
        self.records: list[SpanRecord] = []
        """The spans it has taken, in the order they came."""
        self.requests: list[Request] = []
        self.deliveries: list[Delivery] = []
        """The same requests, read."""
        self.connections: int = 0
        """How many were opened."""

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
    def port(self) -> int:
        return self._address.result(timeout=10)

    @property
    def endpoint(self) -> str:
        """The URL that traces are posted to."""
        return f"http{'s' if self._tls else ''}://127.0.0.1:{self.port}/v1/traces"

    @property
    def faults(self) -> list[str]:
        """What the specification forbids and a request did."""
        return [fault for delivery in self.deliveries for fault in delivery.faults]

    def answer(self, *answers: Answer) -> None:
        """Say these to the next requests."""
        self._answers.extend(answers)

    def wait_for_requests(self, count: int, timeout: float = 10.0) -> None:
        """Block until so many requests have come in all. Async tests call it in a thread.

        Raises:
            TimeoutError: They have not, within `timeout` seconds.
        """
        with self._changed:
            if not self._changed.wait_for(lambda: len(self.requests) >= count, timeout):
                raise TimeoutError(f"{len(self.requests)} of {count} requests came within {timeout:g} s")

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
        plain = await anyio.create_tcp_listener(local_host="127.0.0.1", local_port=self._port, reuse_port=True)
        port = plain.extra(anyio.abc.SocketAttribute.local_port)
        listener: anyio.abc.Listener[Any] = plain
        if self._tls is not None:
            listener = TLSListener(plain, self._tls, standard_compatible=False)
        with suppress():
            async with listener, anyio.create_task_group() as group:
                group.start_soon(listener.serve, self._converse)
                self._address.set_result(port)
                await stopped.wait()
                group.cancel_scope.cancel()

    async def _converse(self, stream: anyio.abc.ByteStream) -> None:
        self.connections += 1
        connection = Connection(stream)
        async with stream:
            try:
                while (request := await connection.next_request()) is not None:
                    if not await connection.transmit(self._respond(request)):
                        return
            except (h11.ProtocolError, *GONE):
                return

    def _respond(self, request: Request) -> Transmission:
        delivery = Delivery(request)
        with self._changed:
            answer = self._answers.popleft() if self._answers else Answer()
            self.requests.append(request)
            self.deliveries.append(delivery)
            if answer.status == 200 and not answer.is_cut and not answer.hangs:
                self.records.extend(delivery.records[: len(delivery.records) - answer.rejected])
            self._changed.notify_all()
        return _transmission(answer, delivery)


def _transmission(answer: Answer, delivery: Delivery) -> Transmission:
    encoding = delivery.encoding
    if answer.body is not None:
        content = answer.body
    elif answer.status == 200:
        content = encoding.encode_response(answer.rejected, answer.message)
    else:
        content = encoding.encode_error(answer.message)
    ending = Ending.WHOLE
    if answer.is_cut:
        ending = Ending.CUT_BEFORE_HEADERS
    elif answer.hangs:
        ending = Ending.HANG_BEFORE_HEADERS
    headers = {
        "content-type": encoding.CONTENT_TYPE,
        "content-length": str(len(content)),
        **{name.lower(): value for name, value in answer.headers.items()},
    }
    return Transmission(answer.status, headers, [content], ending, answer.delay)
