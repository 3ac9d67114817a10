"""The body of a request, within bounds, also once it is decompressed: a few bytes of gzip may stand for gigabytes."""

import zlib
from contextlib import aclosing
from typing import Final

from starlette.requests import Request

_PIECE: Final = 256 * 1024
"""Bytes decompressed at once."""
_GZIP: Final = 16 + zlib.MAX_WBITS
_RAW: Final = -zlib.MAX_WBITS


class BodyTooLargeError(ValueError):
    """The body, or what it decompresses to, is beyond the limit."""


class BodyEncodingError(ValueError):
    """The body's content encoding is not known, or the body is not of it.

    Attributes:
        is_known: False where no body of that encoding is taken.
    """

    def __init__(self, message: str, *, is_known: bool) -> None:
        super().__init__(message)
        self.is_known: bool = is_known


async def received(request: Request, limit: int) -> bytes:
    """The body as it was sent, of at most `limit` bytes.

    Raises:
        BodyTooLargeError: There is more. The rest of it has not been received.
    """
    told = request.headers.get("content-length", "")
    if told.isdecimal() and int(told[:20]) > limit:
        raise BodyTooLargeError(f"the body is larger than {limit:,} bytes")
    body = bytearray()
    async with aclosing(request.stream()) as pieces:  # closed here where it is left early: nobody else would
        async for piece in pieces:
            body += piece
            if len(body) > limit:
                raise BodyTooLargeError(f"the body is larger than {limit:,} bytes")
    return bytes(body)


def decompressed(body: bytes, encoding: str, limit: int) -> bytes:
    """What a body of a content encoding holds, of at most `limit` bytes.

    Args:
        encoding: `gzip`, `deflate` (RFC 9110, section 8.4.1; without zlib's header too, which some send), `identity` or
            nothing, in any case.

    Raises:
        BodyTooLargeError: There is more. It has not been held in memory.
        BodyEncodingError: The encoding is another, or the body is not of it, or cut.
    """
    match encoding.strip().lower():
        case "" | "identity":
            if len(body) > limit:
                raise BodyTooLargeError(f"the body is larger than {limit:,} bytes")
            return body
        case "gzip" | "x-gzip":
            return _inflated(body, _GZIP, limit)
        case "deflate":
            return _inflated(body, zlib.MAX_WBITS if _has_zlib_header(body) else _RAW, limit)
    raise BodyEncodingError("the body's content encoding is none of gzip, deflate and identity", is_known=False)


def _has_zlib_header(body: bytes) -> bool:
    return len(body) >= 2 and body[0] & 0x0F == 8 and int.from_bytes(body[:2]) % 31 == 0


def _inflated(body: bytes, window: int, limit: int) -> bytes:
    found = bytearray()
    while body:  # gzip may have several members, one after the other
        member = zlib.decompressobj(window)
        while not member.eof:
            try:
                piece = member.decompress(body, _PIECE)
            except zlib.error:
                raise BodyEncodingError("the body is not of its content encoding", is_known=True) from None
            body = member.unconsumed_tail
            found += piece
            if len(found) > limit:
                raise BodyTooLargeError(f"the body is larger than {limit:,} bytes once it is decompressed")
            if not piece and not body and not member.eof:
                raise BodyEncodingError("the body ends too early", is_known=True)
        body = member.unused_data
        if window != _GZIP and body:
            raise BodyEncodingError("something follows the body", is_known=True)
    return bytes(found)
