"""What is in force in this process: the settings, the host that runs the worker, and the counts since the start.

A *host* lends a worker a loop: a thread of our own (`sync.bridge`) or the caller's loop (`aio.lifespan`).
"""

from threading import RLock
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from prela.aio.tracer import tracer
from prela.core.buffer import OVERLOAD, Buffer
from prela.core.settings import Counters, Settings
from prela.core.statistics import ExporterStatistics, Statistics

if TYPE_CHECKING:
    from collections.abc import Callable
    from concurrent.futures import Future

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

    @property
    def is_running(self) -> bool:
        """Whether there is anything left for it to export, or a thread of it."""
        ...

    def is_here(self) -> bool:
        """Whether the calling thread is the one the worker runs in: waiting for it here would wait for ever."""
        ...

    def request_flush(self) -> "Future[bool]":
        """See `Worker.request_flush`."""
        ...

    def retire(self, successor: Buffer, kept_open: list[Any]) -> None:
        """Export what is queued, close the exporters but those, and end; what still ends is the successor's."""
        ...


class Flush(NamedTuple):
    """A flush under way: an answer from each host that had anything to export, and what had been lost before."""

    answers: "list[Future[bool]]"
    losses_before: int

    def went_well(self, losses_now: int) -> bool:
        """Whether everything was acknowledged and nothing lost since the flush before; ask once all have answered."""
        return losses_now == self.losses_before and all(answer.result() for answer in self.answers)


class Process:
    """The one object that `init`, `open_tracer`, `flush`, `shutdown` and a fork change."""

    def __init__(self) -> None:
        self.lock: RLock = RLock()
        """Held while a host replaces another; never on the way of a span."""
        self.counters: Counters = Counters()
        self.host: Host | None = None
        self._hosts: list[Host] = []
        self._past = Counts(0, 0, 0, 0, 0, 0, {}, {})
        self.is_pinned = False
        """While a test records: what is in force stays so, whatever the program under test calls."""
        self._losses_at_last_flush = 0
        self.on_take_over: Callable[[Host], object] | None = None
        """Called with each host that is put in force, at the end of the interpreter."""
        self.on_turn_off: Callable[[], object] | None = None
        """Called when tracing is turned off: what was set up beside it ends with it."""

    def take_over(self, host: Host, kept_open: list[Any] | None = None) -> None:
        """Put a host in force; the one before it exports what it has, and ends. `kept_open`: exporters of both."""
        with self.lock:
            before, self.host = self.host, host
            self._forget_the_past(before, host.settings.buffer)
            self._hosts.append(host)
            tracer.configure(host.settings)
            if self.on_take_over is not None:
                self.on_take_over(host)
            _unwatch(before)
            if before is not None:
                before.retire(host.settings.buffer, kept_open or [])

    def turn_off(self) -> None:
        """Record nothing from now on, unless a test does."""
        with self.lock:
            if not self.is_pinned:
                tracer.configure(None)
            before, self.host = self.host, None
            _unwatch(before)
            if self.on_turn_off is not None:
                self.on_turn_off()

    def forget(self) -> None:
        """After a fork, in the child: nothing was started, ended or exported here, and nobody runs."""
        for host in self._hosts:
            host.settings.buffer.disown()
        unsampled = self.counters.unsampled.from_zero()  # roots that were current at the fork go on counting there
        self.__init__()  # type: ignore[misc]
        self.counters = Counters(unsampled=unsampled)

    def all_settings(self) -> list[Settings]:
        """Those that anything may still have been started, or queued, under."""
        return [host.settings for host in self._hosts]

    def running_hosts(self) -> "list[Host]":
        """Those with anything left to export: the one in force, and those before it that are still at it."""
        with self.lock:
            return [host for host in self._hosts if host.is_running]

    def request_flush(self) -> Flush:
        """Have everything exported that has ended so far."""
        with self.lock:
            before, self._losses_at_last_flush = self._losses_at_last_flush, self.losses()
            return Flush([host.request_flush() for host in self.running_hosts()], before)

    def losses(self) -> int:
        """Spans lost so far, whatever the reason."""
        return sum(self.statistics().dropped.values())

    def statistics(self) -> Statistics:
        """See `prela.statistics`."""
        with self.lock:
            found = add_up(self._past, self._hosts)
        unsampled, recorded = self.counters.unsampled.value, self.counters.ids.started
        return Statistics(
            started=recorded + unsampled + found.dropped.get(OVERLOAD, 0),
            open=recorded - found.ended,
            queued=found.queued,
            in_flight=found.in_flight,
            spooled=found.spooled,
            exported=found.exported,
            unsampled=unsampled + found.unsampled,
            dropped=found.dropped,
            exporters=found.exporters,
            late_calls=self.counters.late_calls.value,
        )

    def _forget_the_past(self, before: Host | None, successor: Buffer) -> None:
        """Keep of hosts that are done nothing but their counts: a notebook may call `init()` a thousand times."""
        done = [host for host in self._hosts if not host.is_running and host is not before]
        for host in done:
            host.settings.buffer.hand_over(successor)  # what was started before a shutdown, and ends only now
        self._past = add_up(self._past, done)
        self._hosts = [host for host in self._hosts if host not in done]


def _unwatch(host: Host | None) -> None:
    """End the watching of loops that was done for a host which is no longer in force."""
    if host is not None and host.settings.insight is not None:
        host.settings.insight.detach()


class Counts(NamedTuple):
    """What became of the spans that ended under some hosts."""

    ended: int
    queued: int
    in_flight: int
    spooled: int
    exported: int
    unsampled: int
    dropped: dict[str, int]
    exporters: dict[str, ExporterStatistics]


def add_up(past: Counts, hosts: list[Host]) -> Counts:
    """Return the counts of the hosts on top of those of the past."""
    buffers = [host.settings.buffer for host in hosts]
    workers = [worker for host in hosts for worker in host.workers]
    dropped = dict(past.dropped)
    for counts in [*(buffer.dropped_counts() for buffer in buffers), *(worker.outcomes.lost() for worker in workers)]:
        for reason, count in counts.items():
            dropped[reason] = dropped.get(reason, 0) + count
    return Counts(
        ended=past.ended + sum(buffer.ended for buffer in buffers),
        queued=past.queued + sum(len(buffer.queue) for buffer in buffers),
        in_flight=past.in_flight + sum(worker.outcomes.in_flight for worker in workers),
        spooled=past.spooled + sum(worker.outcomes.spooled for worker in workers),
        exported=past.exported + sum(worker.outcomes.exported for worker in workers),
        unsampled=past.unsampled + sum(worker.outcomes.unsampled for worker in workers),
        dropped=dropped,
        exporters=_exporters(past.exporters, workers),
    )


def _exporters(past: dict[str, ExporterStatistics], workers: "list[Worker]") -> dict[str, ExporterStatistics]:
    exporters = dict(past)
    held: set[str] = set()
    for worker in workers:
        for name, found in worker.exporter_statistics().items():
            before = exporters.get(name, ExporterStatistics(0, {}, 0))
            if name not in held:  # those before are over: what they left is the next one's, which counts it itself
                before = before._replace(waiting=0, spooled=0)
            exporters[name] = _added(before, found)
            if not worker.is_over:
                held.add(name)
    return exporters


def _added(a: ExporterStatistics, b: ExporterStatistics) -> ExporterStatistics:
    dropped = {r: a.dropped.get(r, 0) + b.dropped.get(r, 0) for r in {**a.dropped, **b.dropped}}
    return ExporterStatistics(
        a.exported + b.exported, dropped, a.waiting + b.waiting, a.spooled + b.spooled, a.recovered + b.recovered
    )


process: "Process" = Process()
