"""Where ids come from.

A trace id is 128 random bits. A span keeps an index, and its id is computed when somebody asks for it: the element of
the process's SplitMix64 stream at that index (Steele, Lea and Flood, 2014; the finalizer is a bijection of 64 bits, so
ids of one process never collide, and the seed is random, so those of two processes are as good as random). Starting a
span then costs one step of a counter, and that same counter tells how many spans were started.
"""

from itertools import count
from random import Random
from typing import Final

from prela.core.tally import peek

_MASK: Final = (1 << 64) - 1
_GOLDEN_GAMMA: Final = 0x9E3779B97F4A7C15


class IdGenerator:
    """Ids for one process. Make a new one after a fork: the seed must not be shared."""

    __slots__ = ("_random_bits", "_seed", "indexes")

    def __init__(self) -> None:
        # A generator of our own, seeded by the operating system: the user's random.seed() must not repeat our ids.
        self._random_bits = Random().getrandbits
        self._seed = self._random_bits(64)
        self.indexes: count[int] = count()

    def new_trace_id(self) -> int:
        return self._random_bits(128) or 1

    def span_id(self, index: int) -> int:
        """The span id for an index: SplitMix64, with 0, which W3C reserves, moved to 1."""
        z = (self._seed + (index + 1) * _GOLDEN_GAMMA) & _MASK
        z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
        z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & _MASK
        return (z ^ (z >> 31)) or 1

    @property
    def started(self) -> int:
        """How many indexes were given to spans."""
        return peek(self.indexes)
