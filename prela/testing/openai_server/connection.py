"""One connection: HTTP/1.1, parsed by h11, kept alive from request to request."""

import anyio
import anyio.abc
import h11

from prela.testing.openai_server.requests import Request
from prela.testing.openai_server.transmission import Ending, Transmission

GONE = (anyio.BrokenResourceError, anyio.ClosedResourceError, anyio.EndOfStream)
"""What a client that went away, as cancelled ones do, looks like from here."""


class Connection:
    """A client's, until it goes away or is cut off."""

    def __init__(self, stream: anyio.abc.ByteStream) -> None:
        self._stream = stream
        self._http = h11.Connection(h11.SERVER)

    async def next_request(self) -> Request | None:
        """Wait for a request; None when there will be none, as after an answer that was cut."""
        if self._http.our_state is h11.DONE:
            self._http.start_next_cycle()
        elif self._http.our_state is not h11.IDLE:
            return None
        head, content = None, bytearray()
        while True:
            event = self._http.next_event()
            if event is h11.NEED_DATA:
                if self._http.they_are_waiting_for_100_continue:
                    await self._send(h11.InformationalResponse(status_code=100, headers=[]))
                try:
                    self._http.receive_data(await self._stream.receive())
                except anyio.EndOfStream:
                    return None
            elif isinstance(event, h11.Request):
                head = event
            elif isinstance(event, h11.Data):
                content += event.data
            elif isinstance(event, h11.EndOfMessage) and head is not None:
                headers = {name.decode(): value.decode("latin-1") for name, value in head.headers}
                return Request(head.method.decode(), head.target.decode(), headers, bytes(content))
            else:
                return None

    async def transmit(self, what: Transmission) -> bool:
        """Send; False if the client went away before all of it was sent."""
        whole = False

        async def send() -> None:
            nonlocal whole
            try:
                await self._transmit(what)
                whole = True
            except GONE:
                pass
            group.cancel_scope.cancel()

        async with anyio.create_task_group() as group:
            group.start_soon(self._watch, group.cancel_scope)
            group.start_soon(send)
        return whole

    async def _watch(self, scope: anyio.CancelScope) -> None:
        """End `scope` when the client goes away, which nothing but reading tells."""
        try:
            while True:
                self._http.receive_data(await self._stream.receive())
        except GONE:
            scope.cancel()

    async def _transmit(self, what: Transmission) -> None:
        await anyio.sleep(what.delay)
        if what.ending is Ending.HANG_BEFORE_HEADERS:
            await anyio.sleep_forever()
        if what.ending is Ending.CUT_BEFORE_HEADERS:
            return
        await self._send(h11.Response(status_code=what.status, headers=list(what.headers.items())))
        for number, piece in enumerate(what.pieces):
            await anyio.sleep(what.pause if number else 0)
            last = what.ending is Ending.WHOLE and number == len(what.pieces) - 1
            # The end goes out together with the last piece: a client that has read that may be gone already.
            await self._send(h11.Data(data=piece), *([h11.EndOfMessage()] if last else []))
        if what.ending is Ending.HANG:
            await anyio.sleep_forever()

    async def _send(self, *events: h11.Event) -> None:
        data = b"".join(self._http.send(event) or b"" for event in events)
        await self._stream.send(data)
