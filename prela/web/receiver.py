"""The OTLP/HTTP receiver: spans of other processes and languages, posted to `/v1/traces`, become records.

Answers as the OTLP specification says ("OTLP/HTTP Response"), in the encoding of the request. Who may post is the
app's to say; where records go is the sink's.
"""

import logging
from collections.abc import Awaitable, Callable, Sequence
from types import ModuleType
from typing import Final

import anyio.to_thread
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route

from prela.record.model import SpanRecord
from prela.record.otlp import Records, as_json, as_protobuf
from prela.web.bodies import BodyEncodingError, BodyTooLargeError, decompressed, received

Sink = Callable[[Sequence[SpanRecord]], Awaitable[object]]

PATH: Final = "/v1/traces"
BODY_BYTES: Final = 64 * 1024 * 1024
"""The most that a request's body may be, decompressed too."""
_RETRY_AFTER: Final = 5
"""Seconds after which a client may try again what the sink did not take."""

_ENCODINGS: Final = {encoding.CONTENT_TYPE: encoding for encoding in (as_protobuf, as_json)}
_log = logging.getLogger("prela")


def route(sink: Sink, *, body_bytes: int = BODY_BYTES) -> Route:
    """Return the route that receives spans.

    Args:
        sink: Called with the records of each request. What it raises is logged, and the client told to try again.
        body_bytes: The most that a request's body may be, decompressed too.
    """

    async def receive(request: Request) -> Response:
        encoding = _ENCODINGS.get(request.headers.get("content-type", "").partition(";")[0].strip().lower())
        if encoding is None:
            allowed = " or ".join(_ENCODINGS)
            return _failure(as_json, 415, f"the content type is not {allowed}")
        try:
            body = await received(request, body_bytes)
            content_encoding = request.headers.get("content-encoding", "")
            # In a thread: a large request takes long to read, and the pages are served by the same loop.
            records, refused, reason = await anyio.to_thread.run_sync(
                _read, encoding, body, content_encoding, body_bytes
            )
        except BodyTooLargeError as error:
            return _failure(encoding, 413, str(error))
        except BodyEncodingError as error:
            return _failure(encoding, 400 if error.is_known else 415, str(error))
        except ValueError as error:
            return _failure(encoding, 400, f"the body is no ExportTraceServiceRequest: {error}")
        except ClientDisconnect:
            return _failure(encoding, 400, "the client went away")  # which nobody reads
        try:
            if records:
                await sink(records)
        except Exception as error:
            _log.warning("prela: received spans could not be kept: %s: %s", type(error).__name__, error)
            return _failure(encoding, 503, "the spans could not be kept now", {"Retry-After": str(_RETRY_AFTER)})
        return Response(encoding.encode_response(refused, reason), media_type=encoding.CONTENT_TYPE)

    return Route(PATH, receive, methods=["POST"])


def _read(encoding: ModuleType, body: bytes, content_encoding: str, limit: int) -> tuple[list[SpanRecord], int, str]:
    found = Records(encoding.decode_request(decompressed(body, content_encoding, limit)))
    return list(found), found.refused, found.reason


def _failure(encoding: ModuleType, status: int, message: str, headers: dict[str, str] | None = None) -> Response:
    return Response(encoding.encode_error(message), status, headers, encoding.CONTENT_TYPE)
