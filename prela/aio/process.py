"""What is in force in this process: the settings, the host that runs the worker, and the counts since the start.

A *host* lends a worker a loop: a thread of our own (`sync.bridge`) or the caller's loop (`aio.lifespan`).
"""

from concurrent.futures import Future
from threading import RLock
from typing import TYPE_CHECKING, Any, Protocol

from prela.aio.tracer import tracer
from prela.core.buffer import OVERLOAD, Buffer
from prela.core.settings import Counters, Settings
from prela.core.statistics import ExporterStatistics, Statistics

if TYPE_CHECKING:
    from collections.abc import Callable

    from prela.aio.worker import Worker


class Host(Protocol):
    """What lends a worker a loop."""

    settings: Settings
    exporters: dict[str, Any]
    """By name, as far as they have been made."""
    make_worker: "Callable[[Settings], Worker]"

    @property
    def workers(self) -> "list[Worker]":
        """The workers it has run, the one running now last."""
        ...

    def is_here(self) -> bool:
        """Whether the calling thread is the one the worker runs in: waiting for it here would wait for ever."""
        ...

    def request_flush(self) -> "Future[bool]":
        """See `Worker.request_flush`."""
        ...

    def retire(self, successor: Buffer) -> None:
        """Export what is queued, close the exporters, and end; what still ends goes to the successor's buffer."""
        ...


class Process:
    """The one object that `init`, `open_tracer`, `flush`, `shutdown` and a fork change."""

    def __init__(self) -> None:
        self.lock = RLock()
        """Held while a host replaces another; never on the way of a span."""
        self.counters = Counters()
        self.host: Host | None = None
        self._hosts: list[Host] = []

    def take_over(self, host: Host) -> None:
        """Put a host in force; the one before it exports what it has, and ends."""
        with self.lock:
            before, self.host = self.host, host
            self._hosts.append(host)
            tracer.configure(host.settings)
            if before is not None:
                before.retire(host.settings.buffer)

    def turn_off(self) -> None:
        """Record nothing from now on."""
        with self.lock:
            tracer.configure(None)
            self.host = None

    def forget(self) -> None:
        """After a fork, in the child: nothing was started, ended or exported here, and nobody runs."""
        for host in self._hosts:
            host.settings.buffer.disown()
        self.__init__()  # type: ignore[misc]

    def statistics(self) -> Statistics:
        """See `prela.statistics`."""
        with self.lock:
            return self._add_up()

    def _add_up(self) -> Statistics:
        buffers = [host.settings.buffer for host in self._hosts]
        workers = [worker for host in self._hosts for worker in host.workers]
        dropped: dict[str, int] = {}
        for counts in [*(buffer.dropped_counts() for buffer in buffers), *(w.dropped() for w in workers)]:
            for reason, count in counts.items():
                dropped[reason] = dropped.get(reason, 0) + count
        exporters: dict[str, ExporterStatistics] = {}
        for worker in workers:
            for name, found in worker.exporter_statistics().items():
                exporters[name] = _added(exporters.get(name), found)
        unsampled, started = self.counters.unsampled.value, self.counters.ids.started
        return Statistics(
            started=started + unsampled + dropped.get(OVERLOAD, 0),
            open=started - sum(buffer.ended for buffer in buffers),
            queued=sum(len(buffer.queue) for buffer in buffers),
            in_flight=sum(worker.in_flight for worker in workers),
            exported=sum(worker.exported for worker in workers),
            unsampled=unsampled,
            dropped=dropped,
            exporters=exporters,
            late_calls=self.counters.late_calls.value,
        )


def _added(a: ExporterStatistics | None, b: ExporterStatistics) -> ExporterStatistics:
    if a is None:
        return b
    dropped = {r: a.dropped.get(r, 0) + b.dropped.get(r, 0) for r in {**a.dropped, **b.dropped}}
    return ExporterStatistics(a.exported + b.exported, dropped, a.waiting + b.waiting)


process = Process()
