"""Bodies of requests: within their bounds, and no larger once decompressed."""

import gzip
import tracemalloc
import zlib
from collections.abc import Iterator

import pytest

pytest.importorskip("starlette", reason="the web view is an extra")

from starlette.requests import Request
from starlette.types import Message

from prela.web.bodies import BodyEncodingError, BodyTooLargeError, decompressed, received

DATA = bytes(range(256)) * 100


def raw_deflate(data: bytes) -> bytes:
    packer = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return packer.compress(data) + packer.flush()


@pytest.mark.parametrize(
    ("encoding", "body"),
    [
        ("", DATA),
        ("identity", DATA),
        ("gzip", gzip.compress(DATA, mtime=0)),
        (" GZip ", gzip.compress(DATA, mtime=0)),
        ("x-gzip", gzip.compress(DATA[:100]) + gzip.compress(DATA[100:])),
        ("deflate", zlib.compress(DATA)),
        ("deflate", raw_deflate(DATA)),
    ],
)
def test_a_body_is_decompressed_up_to_its_limit(encoding: str, body: bytes) -> None:
    assert decompressed(body, encoding, len(DATA)) == DATA
    with pytest.raises(BodyTooLargeError):
        decompressed(body, encoding, len(DATA) - 1)


@pytest.mark.parametrize("encoding", ["br", "zstd", "gzip, gzip", "x", "\xff"])
def test_an_encoding_that_is_not_known_is_told_from_a_damaged_body(encoding: str) -> None:
    with pytest.raises(BodyEncodingError) as caught:
        decompressed(DATA, encoding, 1_000_000)
    assert not caught.value.is_known


@pytest.mark.parametrize(
    ("encoding", "body"),
    [
        ("gzip", DATA),
        ("gzip", gzip.compress(DATA, mtime=0)[:-1]),
        ("gzip", gzip.compress(DATA, mtime=0)[:5]),
        ("gzip", gzip.compress(DATA, mtime=0) + b"x"),
        ("gzip", gzip.compress(DATA, mtime=0)[:-6] + b"xxxxxx"),
        ("deflate", b"\xff\xff" + DATA),
        ("deflate", zlib.compress(DATA)[:-1]),
        ("deflate", zlib.compress(DATA) + b"x"),
        ("deflate", raw_deflate(DATA) + b"x"),
    ],
)
def test_a_damaged_body_is_an_error_and_never_half_a_body(encoding: str, body: bytes) -> None:
    with pytest.raises(BodyEncodingError) as caught:
        decompressed(body, encoding, 1_000_000)
    assert caught.value.is_known


def test_a_bomb_is_stopped_before_it_is_held() -> None:
    bomb = gzip.compress(bytes(100_000_000))
    tracemalloc.start()
    try:
        with pytest.raises(BodyTooLargeError):
            decompressed(bomb, "gzip", 1_000_000)
        assert tracemalloc.get_traced_memory()[1] < 4_000_000
    finally:
        tracemalloc.stop()


def request(pieces: Iterator[bytes], **headers: str) -> Request:
    async def receive() -> Message:
        return {"type": "http.request", "body": next(pieces), "more_body": True}

    encoded = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    return Request({"type": "http", "method": "POST", "headers": encoded}, receive)


@pytest.mark.anyio
async def test_no_more_of_a_body_is_received_than_its_limit() -> None:
    taken = []

    def endless() -> Iterator[bytes]:
        while True:
            taken.append(1)
            yield bytes(1_000)

    with pytest.raises(BodyTooLargeError):
        await received(request(endless()), 10_000)
    assert len(taken) == 11
    taken.clear()
    for length in ("10001", "9" * 5_000):
        with pytest.raises(BodyTooLargeError):
            await received(request(endless(), content_length=length), 10_000)
    assert not taken
