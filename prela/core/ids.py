"""Where ids come from.

A trace id is 128 random bits. A span keeps an index, and its id is looked up when somebody asks for it: the index's
place in an endless stream of bytes that SHAKE128 (FIPS 202) makes of a random seed, so that ids are as good as random
and an index always has the same. Starting a span then costs one step of a counter, and that same counter tells how
many spans were started.
"""

from collections.abc import Callable
from hashlib import shake_128
from itertools import count
from random import Random
from typing import Final

from prela.core.tally import peek

RANDOM_BITS: Final = 56
"""The lower bits of a trace id, which W3C Trace Context Level 2 ("Random Trace ID Flag") holds to be random."""

_BLOCK_BITS: Final = 6
_BLOCK: Final = 1 << _BLOCK_BITS
"""Ids made at once. Spans are exported nearly in the order of their indexes, so the next is mostly at hand."""
_BLOCKS_KEPT: Final = 256
_DIGITS: Final = 16
_INVALID: Final = "0" * _DIGITS


class IdGenerator:
    """Ids for one process. Make a new one after a fork: the seed must not be shared."""

    __slots__ = ("_blocks", "_seed", "draw", "indexes")

    def __init__(self) -> None:
        # A generator of our own, seeded by the operating system: the user's random.seed() must not repeat our ids.
        self.draw: Callable[[int], int] = Random().getrandbits
        """So many random bits."""
        self._seed = self.draw(128).to_bytes(16)
        self._blocks: dict[int, list[str]] = {}
        self.indexes: count[int] = count()

    def new_trace_id(self, lower: int | None = None) -> int:
        """A new trace id; `lower` are its lower 56 bits, where a sampler had them drawn already."""
        if lower is None:
            return self.draw(128) or 1
        return self.draw(128 - RANDOM_BITS) << RANDOM_BITS | lower or 1

    def span_id(self, index: int) -> str:
        """The span id for an index: 16 hexadecimal digits, never all zero, which W3C Trace Context reserves."""
        block = self._blocks.get(index >> _BLOCK_BITS) or self._make_block(index >> _BLOCK_BITS)
        return block[index & _BLOCK - 1]

    def _make_block(self, number: int) -> list[str]:
        if len(self._blocks) >= _BLOCKS_KEPT:
            self._blocks.clear()
        stream = shake_128(self._seed + number.to_bytes(8)).hexdigest(_BLOCK * _DIGITS // 2)
        block = [stream[begin : begin + _DIGITS] for begin in range(0, len(stream), _DIGITS)]
        if _INVALID in block:
            block[block.index(_INVALID)] = f"{1:0{_DIGITS}x}"
        self._blocks[number] = block
        return block

    @property
    def started(self) -> int:
        """How many indexes were given to spans."""
        return peek(self.indexes)
