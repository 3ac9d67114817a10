"""Where ids come from.

A trace id is 128 random bits. A span keeps an index, and its id is looked up when somebody asks for it: the index's
place in an endless stream of bytes that SHAKE128 (FIPS 202) makes of a random seed, so that ids are as good as random
and an index always has the same. Starting a span then costs one step of a counter, and that same counter tells how
many spans were started.
"""

from hashlib import shake_128
from itertools import count
from random import Random
from typing import Final

from prela.core.tally import peek

_BLOCK_BITS: Final = 6
_BLOCK: Final = 1 << _BLOCK_BITS
"""Ids made at once. Spans are exported nearly in the order of their indexes, so the next is mostly at hand."""
_BLOCKS_KEPT: Final = 256
_DIGITS: Final = 16
_INVALID: Final = "0" * _DIGITS


class IdGenerator:
    """Ids for one process. Make a new one after a fork: the seed must not be shared."""

    __slots__ = ("_blocks", "_random_bits", "_seed", "indexes")

    def __init__(self) -> None:
        # A generator of our own, seeded by the operating system: the user's random.seed() must not repeat our ids.
        self._random_bits = Random().getrandbits
        self._seed = self._random_bits(128).to_bytes(16)
        self._blocks: dict[int, str] = {}
        self.indexes: count[int] = count()

    def new_trace_id(self) -> int:
        return self._random_bits(128) or 1

    def span_id(self, index: int) -> str:
        """The span id for an index: 16 hexadecimal digits, never all zero, which W3C Trace Context reserves."""
        block = self._blocks.get(index >> _BLOCK_BITS) or self._make_block(index >> _BLOCK_BITS)
        begin = (index & _BLOCK - 1) * _DIGITS
        found = block[begin : begin + _DIGITS]
        return found if found != _INVALID else f"{1:0{_DIGITS}x}"

    def _make_block(self, number: int) -> str:
        if len(self._blocks) >= _BLOCKS_KEPT:
            self._blocks.clear()
        block = shake_128(self._seed + number.to_bytes(8)).hexdigest(_BLOCK * _DIGITS // 2)
        self._blocks[number] = block
        return block

    @property
    def started(self) -> int:
        """How many indexes were given to spans."""
        return peek(self.indexes)
