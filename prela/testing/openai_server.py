"""An OpenAI-compatible server on loopback, for agents under test and for the demo: no network, no key.

It speaks `POST /v1/chat/completions`, plain and streamed, over HTTP/1.1 (parsed by h11), in a thread of its own.
"""

import json
import threading
from collections.abc import AsyncIterator, Callable
from concurrent.futures import Future
from itertools import count
from types import TracebackType
from typing import Any, NamedTuple, Self

import anyio
import anyio.abc
import h11

from prela.core.context import suppress


class Answer(NamedTuple):
    """What the server says to one request."""

    text: str
    delay: float = 0.0
    """Seconds before the first byte."""
    chunk_delay: float = 0.0
    """Seconds between the chunks of a stream; a chunk is a word."""
    status: int = 200


def echo(request: dict[str, Any]) -> Answer:
    """Answer with the last message."""
    return Answer(f"You said: {request['messages'][-1]['content']}")


class OpenAIServer:
    """Serves while its `with` block lasts; `base_url` is what to give the client."""

    def __init__(self, answer: Callable[[dict[str, Any]], Answer] = echo) -> None:
        self._answer = answer
        self._numbers = count(1)
        self._address: Future[int] = Future()
        self._stop: Callable[[], None] = lambda: None
        self._thread = threading.Thread(target=self._main, name="openai-test-server", daemon=True)
        self.requests: list[dict[str, Any]] = []
        """The bodies received so far."""

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
        """One connection, kept alive from request to request as HTTP/1.1 does."""
        connection = h11.Connection(h11.SERVER)
        async with stream:
            try:
                while (request := await _next_request(connection, stream)) is not None:
                    await self._respond(connection, stream, *request)
                    if connection.our_state is not h11.DONE:
                        return
                    connection.start_next_cycle()
            except (h11.RemoteProtocolError, anyio.BrokenResourceError, anyio.ClosedResourceError):
                return  # a client that went away, as cancelled ones do

    async def _respond(
        self, connection: h11.Connection, stream: anyio.abc.SocketStream, path: str, body: bytes
    ) -> None:
        async def send(event: h11.Event) -> None:
            await stream.send(connection.send(event) or b"")

        async def reply(status: int, content: bytes) -> None:
            headers = [("content-type", "application/json"), ("content-length", str(len(content)))]
            await send(h11.Response(status_code=status, headers=headers))
            await send(h11.Data(data=content))
            await send(h11.EndOfMessage())

        try:
            request = json.loads(body)
            answer = self._answer(request)
        except (ValueError, LookupError, TypeError) as error:
            return await reply(400, _error(f"bad request: {error!r}"))
        if path.partition("?")[0] != "/v1/chat/completions":
            return await reply(404, _error(f"unknown path {path}"))
        self.requests.append(request)
        await anyio.sleep(answer.delay)
        number = next(self._numbers)
        if answer.status != 200:
            await reply(answer.status, _error(answer.text))
        elif request.get("stream"):
            await send(h11.Response(status_code=200, headers=[("content-type", "text/event-stream")]))
            async for chunk in _chunks(request, answer, number):
                await send(h11.Data(data=chunk))
            await send(h11.EndOfMessage())
        else:
            await reply(200, json.dumps(_completion(request, answer, number)).encode())
        return None


async def _next_request(connection: h11.Connection, stream: anyio.abc.SocketStream) -> tuple[str, bytes] | None:
    path, body = "", b""
    while True:
        event = connection.next_event()
        if event is h11.NEED_DATA:
            try:
                connection.receive_data(await stream.receive())
            except anyio.EndOfStream:
                return None
        elif isinstance(event, h11.Request):
            path = event.target.decode()
        elif isinstance(event, h11.Data):
            body += event.data
        elif isinstance(event, h11.EndOfMessage):
            return path, body
        else:
            return None


def _completion(request: dict[str, Any], answer: Answer, number: int) -> dict[str, Any]:
    return {
        **_head(request, number, "chat.completion"),
        "choices": [{"index": 0, "message": {"role": "assistant", "content": answer.text}, "finish_reason": "stop"}],
        "usage": _usage(request, answer),
    }


async def _chunks(request: dict[str, Any], answer: Answer, number: int) -> AsyncIterator[bytes]:
    """The events of a streamed answer, as they go over the wire."""
    head = _head(request, number, "chat.completion.chunk")
    words = answer.text.split(" ")
    deltas: list[dict[str, Any]] = [{"role": "assistant", "content": ""}]
    deltas += [{"content": word if i == 0 else f" {word}"} for i, word in enumerate(words)]
    for delta in deltas:
        yield _event({**head, "choices": [{"index": 0, "delta": delta, "finish_reason": None}]})
        await anyio.sleep(answer.chunk_delay)
    yield _event({**head, "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]})
    if (request.get("stream_options") or {}).get("include_usage"):
        yield _event({**head, "choices": [], "usage": _usage(request, answer)})
    yield b"data: [DONE]\n\n"


def _head(request: dict[str, Any], number: int, kind: str) -> dict[str, Any]:
    return {"id": f"chatcmpl-{number}", "object": kind, "created": 1_700_000_000, "model": request.get("model", "")}


def _usage(request: dict[str, Any], answer: Answer) -> dict[str, int]:
    """Counts of words, which is what tokens are to this server."""
    prompt = sum(len(str(message.get("content", "")).split()) for message in request.get("messages", []))
    completion = len(answer.text.split())
    return {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion}


def _event(data: dict[str, Any]) -> bytes:
    return b"data: " + json.dumps(data).encode() + b"\n\n"


def _error(message: str) -> bytes:
    return json.dumps({"error": {"message": message, "type": "invalid_request_error", "code": None}}).encode()
