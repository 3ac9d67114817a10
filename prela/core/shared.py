"""Texts that several spans hold on to at once: each is charged once, for as long as any of them does.

A conversation is sent again with every turn, and its texts are the same objects each time: two hundred spans that hold
on to one megabyte hold one megabyte. Were each charged for all of it, the buffer would shed spans over memory that
nobody uses.
"""

import weakref
from typing import Final

LARGE: Final = 512
"""Characters from which a text is worth looking after; shorter ones are charged to each span."""


class Share:
    """A span's part in a text. While any part in it is alive, the text is charged."""

    __slots__ = ("__weakref__", "size", "text")

    def __init__(self, text: str) -> None:
        self.text: str = text  # kept, so that its id() is nobody else's
        self.size: int = len(text)


class _Charge(weakref.ref[Share]):
    __slots__ = ("key", "size")

    key: int
    size: int


class SharedTexts:
    """The texts that are charged at present. As `Buffer`, it takes no lock, and so may be used in a finalizer."""

    __slots__ = ("_charges", "_in", "_out")

    def __init__(self) -> None:
        self._charges: dict[int, _Charge] = {}
        self._in = 0
        self._out = 0

    @property
    def bytes(self) -> int:
        """What all of them hold, by estimate."""
        return self._in - self._out

    def part(self, text: str) -> Share:
        """A part in this text. Two threads that ask for one at once may both be charged for it."""
        charge = self._charges.get(id(text))
        share = None if charge is None else charge()
        if share is None:
            share = Share(text)
            charge = _Charge(share, self._release)
            charge.key, charge.size = id(text), share.size
            self._charges[charge.key] = charge
            self._in += share.size
        return share

    def _release(self, charge: _Charge) -> None:
        self._out += charge.size
        if self._charges.get(charge.key) is charge:
            self._charges.pop(charge.key, None)


shared: Final = SharedTexts()
