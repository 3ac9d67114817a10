"""`POST /v1/embeddings`: vectors of length 1, the same for the same text every time and everywhere."""

import base64
import struct
from math import sqrt
from random import Random
from typing import Any

from prela.testing.openai_server.replies import Body, json_body
from prela.testing.openai_server.shelf import Call
from prela.testing.openai_server.tokens import overlaid, text_of, tokens

_DIMENSIONS = {"text-embedding-3-large": 3072}


def embeddings(call: Call) -> Body:
    """As many dimensions as are asked for, or as the model of that name has."""
    given = call.body["input"]
    several = isinstance(given, list) and bool(given) and not isinstance(given[0], int)
    size = int(call.body.get("dimensions") or _DIMENSIONS.get(call.model, 1536))
    as_base64 = call.body.get("encoding_format") == "base64"
    data: list[dict[str, Any]] = []
    for index, one in enumerate(given if several else [given]):
        packed = _vector(text_of(one), size)
        embedding = base64.b64encode(packed).decode() if as_base64 else struct.unpack(f"<{size}f", packed)
        data.append({"object": "embedding", "index": index, "embedding": embedding})
    usage = overlaid({"prompt_tokens": tokens(given)}, call.answer.usage, ("prompt_tokens",))
    return json_body({"object": "list", "data": data, "model": call.model, "usage": usage})


def _vector(text: str, size: int) -> bytes:
    """Single-precision floats, little-endian: what `base64` is, and what `float` is rounded to."""
    # Only `random()` is promised to give the same numbers on every Python.
    draw = Random(text).random
    values = [draw() - 0.5 for _ in range(size)]
    length = sqrt(sum(value * value for value in values))
    return struct.pack(f"<{size}f", *(value / length for value in values))
