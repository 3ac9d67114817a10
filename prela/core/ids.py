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

BLOCK_BITS: Final = 6
WITHIN_BLOCK: Final = (1 << BLOCK_BITS) - 1
"""The bits of an index that say which id of its block it has. A block is made at once: spans are exported nearly in the
order of their indexes, so the next is mostly at hand."""
_BLOCKS_KEPT: Final = 256
_BYTES: Final = 8
_INVALID: Final = "00" * _BYTES


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
        return self.block(index >> BLOCK_BITS)[index & WITHIN_BLOCK]

    def block(self, number: int) -> list[str]:
        """The span ids for the indexes that begin with these bits, in their order."""
        block = self._blocks.get(number)
        if block is None:
            if len(self._blocks) >= _BLOCKS_KEPT:
                self._blocks.clear()
            block = self._blocks[number] = self._make_block(number)
        return block

    def _make_block(self, number: int) -> list[str]:
        stream = shake_128(self._seed + number.to_bytes(8)).digest((WITHIN_BLOCK + 1) * _BYTES)
        block = stream.hex(" ", _BYTES).split(" ")
        if _INVALID in block:
            block[block.index(_INVALID)] = f"{1:0{2 * _BYTES}x}"
        return block

    @property
    def started(self) -> int:
        """How many indexes were given to spans."""
        return peek(self.indexes)
