"""What becomes of a batch: it is sent, in parts where it is too large, and each part is answered for."""

import time
from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec

from prela.aio.exporter import PartialExportError, RetryableExportError
from prela.aio.exporters.otlp import rules
from prela.aio.exporters.otlp.connection import Answer, Connection, ConnectionFailedError
from prela.aio.exporters.otlp.encoding import Body, Encoding, compressed, encode
from prela.aio.exporters.otlp.rules import Verdict
from prela.core import log
from prela.core.endpoint import (
    CANCELLED_AS,
    COMPRESSIONS,
    DEFAULT_ENDPOINT,
    PROTOCOLS,
    REQUEST_BYTES,
    OtlpSettings,
    checked_headers,
    checked_url,
    one_of,
    spool_name_of,
)
from prela.record.model import SpanRecord
from prela.variables import ConfigurationError

_USER_AGENT: Final = "prela-otlp-exporter"
_MESSAGE_LENGTH: Final = 500


class RefusedError(Exception):
    """The receiver does not take what it was sent, and would not the next time."""


class _Part(msgspec.Struct):
    """Spans that go into one request."""

    records: Sequence[SpanRecord]
    body: Body | None = None
    """Kept while the part is tried again, so that it is encoded once."""


class _Batch(msgspec.Struct):
    """What is left to send of a batch: when it is offered again, parts that were taken are not sent again."""

    spans: Sequence[SpanRecord]
    parts: deque[_Part]
    lost: int = 0
    reason: str = ""
    is_refused: bool = False
    """Whether a request was refused as a whole, and not for single spans of it."""


class OtlpExporter:
    """Posts spans to an OTLP/HTTP receiver.

    Args:
        endpoint: The URL that traces are posted to, with its path.
        headers: Sent with each request.
        protocol: "http/protobuf" or "http/json".
        compression: "gzip" or "none".
        timeout: Seconds that one request may take.
        certificate: A file of certificates that the server's is checked against, in place of the system's.
        client_certificate: A file with the client's certificate.
        client_key: A file with its private key, where that is another.
        cancelled_as: What a cancelled span is to the receiver: "unset", or "error".
        max_request_bytes: From this size on, before compression, a batch is sent in several requests.

    Raises:
        ConfigurationError: An argument cannot be used.
    """

    def __init__(
        self,
        endpoint: str = DEFAULT_ENDPOINT,
        *,
        headers: Mapping[str, str] | None = None,
        protocol: str = "http/protobuf",
        compression: str = "none",
        timeout: float = 10.0,
        certificate: str | None = None,
        client_certificate: str | None = None,
        client_key: str | None = None,
        cancelled_as: str = "unset",
        max_request_bytes: int = REQUEST_BYTES,
    ) -> None:
        settings = OtlpSettings(
            endpoint=_checked("endpoint", endpoint, checked_url),
            headers=_checked("headers", headers or {}, checked_headers),
            timeout=_checked("timeout", timeout, _positive),
            compression=_checked("compression", compression, one_of(*COMPRESSIONS)),
            protocol=_checked("protocol", protocol, one_of(*PROTOCOLS)),
            certificate=certificate,
            client_certificate=client_certificate,
            client_key=client_key,
            cancelled_as=_checked("cancelled_as", cancelled_as, one_of(*CANCELLED_AS)),
        )
        self.spool_name: str = spool_name_of(settings.endpoint)
        """The receiver, for the spool: batches for one are never sent to another."""
        self._encoding = _encoding_of(settings.protocol)
        self._gzip = settings.compression == "gzip"
        self._cancelled_as = settings.cancelled_as
        self._max_bytes = int(_checked("max_request_bytes", max_request_bytes, _positive))
        self._connection = Connection(
            settings,
            {
                "user-agent": _USER_AGENT,
                "content-type": self._encoding.CONTENT_TYPE,
                "accept-encoding": "identity",
                **({"content-encoding": "gzip"} if self._gzip else {}),
            },
        )
        self._batch: _Batch | None = None

    async def export(self, spans: Sequence[SpanRecord]) -> None:
        """Send a batch.

        Raises:
            RetryableExportError: The receiver was not reached, or wants it later. What it took is not sent again.
            PartialExportError: It took some of the spans only.
            RefusedError: It takes none of them.
        """
        if self._batch is None or self._batch.spans is not spans:
            self._batch = _Batch(spans, deque([_Part(spans)]))
        batch = self._batch
        while batch.parts:
            await self._send_next(batch)
        self._batch = None
        if batch.is_refused and batch.lost >= len(spans):  # also of an empty batch, which asks whether one is taken
            raise RefusedError(batch.reason)
        if batch.lost:
            raise PartialExportError(batch.reason, lost=batch.lost)

    async def aclose(self) -> None:
        """Close the connection. A later export opens another."""
        self._batch = None
        await self._connection.aclose()

    async def _send_next(self, batch: _Batch) -> None:
        part = batch.parts[0]
        if part.body is None:
            part.body = await encode(part.records, self._encoding, self._cancelled_as)
        if len(part.body.content) > self._max_bytes:
            self._split(batch, f"a span is larger than {self._max_bytes:,} bytes")
            return
        answer = await self._post(part.body.content)
        verdict = rules.verdict_on(answer.status)
        if verdict is Verdict.TRY_AGAIN:
            retry_after = rules.seconds_to_wait(answer.headers.get("retry-after"), time.time())
            raise RetryableExportError(self._told(answer), retry_after=retry_after)
        if verdict is Verdict.SPLIT:
            self._split(batch, self._told(answer))
            return
        batch.parts.popleft()
        if verdict is Verdict.REFUSED:
            batch.reason = batch.reason or self._told(answer)
            batch.lost += len(part.records)
            batch.is_refused = True
            return
        rejected, reason = self._rejected(answer, len(part.records) - part.body.refused)
        self._lose(batch, part.body.refused, "spans could not be encoded")
        self._lose(batch, rejected, f"spans were rejected: {reason}")

    async def _post(self, content: bytes) -> Answer:
        body = await compressed(content) if self._gzip else content
        try:
            return await self._connection.post(body)
        except ConnectionFailedError as error:
            raise RetryableExportError(str(error)) from None

    def _split(self, batch: _Batch, reason: str) -> None:
        """Send the halves of the next part instead of it; a single span is lost."""
        part = batch.parts.popleft()
        if len(part.records) <= 1:
            self._lose(batch, len(part.records), reason)
            return
        middle = len(part.records) // 2
        batch.parts.extendleft([_Part(part.records[middle:]), _Part(part.records[:middle])])

    @staticmethod
    def _lose(batch: _Batch, count: int, reason: str) -> None:
        if count:
            batch.lost += count
            batch.reason = batch.reason or reason

    def _rejected(self, answer: Answer, sent: int) -> tuple[int, str]:
        """How many spans a receiver that took the request did not take, and why."""
        try:
            told, message = self._encoding.decode_response(answer.content)
        except ValueError:
            return 0, ""  # not the answer that it should be, but a success
        if message and not told:
            log.debug("prela: the OTLP receiver says: %s", message[:_MESSAGE_LENGTH])
        return rules.rejected_of(told, sent), message[:_MESSAGE_LENGTH]

    def _told(self, answer: Answer) -> str:
        """An answer's status, and what it says of it."""
        try:
            message = self._encoding.decode_error(answer.content)
        except ValueError:
            message = answer.content.decode(errors="replace")
        shown = "".join(c if c.isprintable() else " " for c in message[:_MESSAGE_LENGTH]).strip()
        return f"HTTP {answer.status}{f': {shown}' if shown else ''}"


def _encoding_of(protocol: str) -> Encoding:
    if protocol == "http/json":
        from prela.record.otlp import as_json

        return as_json
    from prela.record.otlp import as_protobuf

    return as_protobuf


def _checked(name: str, value: Any, check: Any) -> Any:
    try:
        return check(value)
    except ValueError as bad:
        raise ConfigurationError(name, value, str(bad)) from None


def _positive(value: Any) -> Any:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < float("inf"):
        raise ValueError("a number above 0")
    return value
