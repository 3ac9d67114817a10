"""Programs whose time is made up: what takes how long is given, so that it is known what must come out."""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from heapq import heappop, heappush
from itertools import count

import anyio
import anyio.lowlevel

from prela.record.tree import Node, forest
from prela.store.analysis import critical_path
from prela.testing import Recorder, recording

SETTLED = 60
"""Turns of the loop after which all has come to rest that can without time going on."""


class MadeUpTime:
    """A clock that goes on by itself when nothing else happens: to when the next sleeper wakes. In milliseconds."""

    def __init__(self) -> None:
        self.now = 0
        self._sleepers: list[tuple[int, int, anyio.Event]] = []
        self._numbers = count()

    def __call__(self) -> int:
        return self.now * 1_000_000

    async def sleep(self, milliseconds: int) -> None:
        woken = anyio.Event()
        heappush(self._sleepers, (self.now + milliseconds, next(self._numbers), woken))
        await woken.wait()

    def work(self, milliseconds: int) -> None:
        """Compute, in a thread or on the loop, so long."""
        self.now += milliseconds

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Time goes on, inside the block."""
        async with anyio.create_task_group() as group:
            group.start_soon(self._go_on)
            yield
            group.cancel_scope.cancel()

    async def _go_on(self) -> None:
        while True:
            for _ in range(SETTLED):
                await anyio.lowlevel.checkpoint()
            if self._sleepers:
                self.now, _, woken = heappop(self._sleepers)
                woken.set()


@contextmanager
def made_up_time() -> Iterator[tuple[MadeUpTime, Recorder]]:
    """A recorder whose spans take their times from made-up time."""
    time = MadeUpTime()
    with recording(clock=time) as recorder:
        yield time, recorder


def trees(recorder: Recorder) -> list[Node]:
    return forest(recorder.records)


def path(recorder: Recorder, root: str | None = None) -> list[tuple[str | None, int, int]]:
    """The critical path, in milliseconds; neighbours of one span as one."""
    found: list[tuple[str | None, int, int]] = []
    for segment in critical_path(trees(recorder)).segments:
        name = None if segment.record is None else segment.record.name
        start, end = segment.start_time_unix_nano // 1_000_000, segment.end_time_unix_nano // 1_000_000
        if found and found[-1][0] == name:
            start = found.pop()[1]
        found.append((name, start, end))
    return found


def basis(recorder: Recorder) -> str:
    return critical_path(trees(recorder)).basis


def check_waits(spans: Recorder) -> None:
    """Every join is for a span that had ended when the wait ended; every wait lies within who waited."""
    by_id = {record.span_id: record for record in spans.records}
    for record in spans.records:
        for link in record.links:
            start, end = (link.attributes.get(f"prela.join.{side}_time_unix_nano") for side in ("start", "end"))
            kind = link.attributes["prela.link.kind"]
            target = by_id[link.span_id]
            if kind == "join":
                assert start <= (target.end_time_unix_nano or 0) <= end
            if kind == "pull":
                times = link.attributes["prela.pull.times_unix_nano"]
                assert times == sorted(times)
                start, end = times[0], times[-1]
            assert record.start_time_unix_nano <= start <= end <= (record.end_time_unix_nano or 0)
