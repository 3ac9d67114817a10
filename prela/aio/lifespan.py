"""`open_tracer`: the worker in the caller's own loop, for as long as a block lasts."""

import os
import threading
from collections.abc import Mapping
from concurrent.futures import Future
from time import monotonic
from types import TracebackType
from typing import TYPE_CHECKING, Any

import anyio
import anyio.abc
import anyio.lowlevel

from prela.aio.assembly import carry_out, import_what_the_worker_needs
from prela.aio.process import process
from prela.aio.tracer import Tracer, tracer
from prela.aio.worker import Worker
from prela.config import Config, load
from prela.core import log
from prela.core.buffer import SHUTDOWN, Buffer
from prela.core.outage import spans_were
from prela.core.sampler import Sampler
from prela.core.settings import Limits, Settings
from prela.core.spool import Spool
from prela.core.tail import TailSampling

if TYPE_CHECKING:
    import signal
    from collections.abc import Callable

    from prela.aio.exporter import Exporter


class _LoopHost:
    """A worker in a loop that is not ours."""

    def __init__(
        self, settings: Settings, exporters: dict[str, Any], make_worker: "Callable[[Settings], Worker]"
    ) -> None:
        self.settings = settings
        self.exporters = exporters
        self.make_worker = make_worker
        self.workers = [make_worker(settings)]
        self.ready = anyio.Event()
        self.workers[0].on_ready = self.ready.set
        self._thread = threading.get_ident()
        self.finished = anyio.Event()

    async def run(self) -> None:
        """Run the worker until it is stopped; a cancelled scope around the block does not reach it."""
        try:
            with anyio.CancelScope(shield=True):
                await self.workers[0].run()
        finally:
            self.finished.set()

    @property
    def is_running(self) -> bool:
        return not self.finished.is_set()

    def is_here(self) -> bool:
        return threading.get_ident() == self._thread

    def request_flush(self) -> "Future[bool]":
        return self.workers[-1].request_flush()

    def retire(self, successor: Buffer, kept_open: list[Any]) -> None:
        self.settings.buffer.hand_over(successor)
        self.workers[-1].kept_open.extend(kept_open)
        self.workers[-1].request_stop()

    async def export_leftovers(self, timeout: float) -> None:
        """Export, in this task, what the worker has left because its own was cancelled, as all are at the end of
        `asyncio.run`."""
        before = self.workers[0]
        worker = self.make_worker(self.settings)
        worker.kept_open.extend(before.kept_open)
        self.workers.append(worker)
        worker.request_stop()
        with anyio.move_on_after(timeout, shield=True):
            await worker.run()
        lost = sum(worker.outcomes.lost().get(SHUTDOWN, 0) for worker in self.workers) + len(self.settings.buffer.queue)
        if lost:
            log.warn("prela: the worker of open_tracer was cancelled; %s lost (shutdown)", spans_were(lost))


class OpenTracer:
    """What `open_tracer` returns: `async with` it."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self._group: anyio.abc.TaskGroup
        self._host: _LoopHost | None = None

    async def __aenter__(self) -> Tracer:
        self._group = anyio.create_task_group()
        await self._group.__aenter__()
        try:
            carry_out(self._config, self._start_host)
            with anyio.CancelScope(shield=True):
                await self._begun()
        except BaseException:
            if self._host is not None:
                await self._end(self._host)
            self._group.cancel_scope.cancel()
            await self._group.__aexit__(None, None, None)
            raise
        return tracer

    async def _begun(self) -> None:
        """Wait until every task of ours runs: one that is cancelled before can do nothing about that."""
        if self._host is not None:
            await self._host.ready.wait()
            await anyio.lowlevel.checkpoint()

    def _start_host(
        self, settings: Settings, exporters: dict[str, Any], make_worker: "Callable[[Settings], Worker]"
    ) -> _LoopHost:
        self._host = host = _LoopHost(settings, exporters, make_worker)
        self._group.start_soon(host.run, name="prela.worker")
        if settings.insight is not None:
            settings.insight.attach()
        return host

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        cancelled = None if self._host is None else await self._end(self._host)
        try:
            # Not told of the body's exception, which it would wrap in a group: that is the user's, and stays as it is.
            await self._group.__aexit__(None, None, None)
        except anyio.get_cancelled_exc_class():
            if exc is None:
                raise
        if cancelled is not None and exc is None:
            raise cancelled

    async def _end(self, host: _LoopHost) -> BaseException | None:
        """Export what is left, in time, and record nothing more; return a cancellation that came in between."""
        if process.host is host:
            process.turn_off()
        worker, deadline = host.workers[0], monotonic() + self._config.exit_timeout
        worker.request_stop()
        cancelled = await self._wait_shielded(host.finished, self._config.exit_timeout)
        if not host.finished.is_set():
            log.warn("prela: open_tracer gave up after %g s", self._config.exit_timeout)
            worker.abandon(SHUTDOWN)
        elif host.settings.buffer.queue or worker.outcomes.abandoned:
            try:
                await host.export_leftovers(max(0.1, deadline - monotonic()))
            except anyio.get_cancelled_exc_class() as error:
                cancelled = error
        host.settings.buffer.give_up(SHUTDOWN)
        return cancelled

    @staticmethod
    async def _wait_shielded(event: anyio.Event, timeout: float) -> BaseException | None:
        """Wait for an event, at most so long; return the cancellation, if asyncio's own came in between.

        anyio's shield holds off cancelled scopes, and not `asyncio.Task.cancel()`.
        """
        cancelled = None
        deadline = monotonic() + timeout
        while not event.is_set() and (left := deadline - monotonic()) > 0:
            try:
                with anyio.move_on_after(left, shield=True):
                    await event.wait()
            except anyio.get_cancelled_exc_class() as error:
                cancelled = error
        return cancelled


def open_tracer(
    service_name: str | None = None,
    exporter: "str | Exporter | list[str | Exporter] | None" = None,
    *,
    trace_dir: str | os.PathLike[str] | None = None,
    sampler: Sampler | None = None,
    sample_rate: float | None = None,
    tail_sampling: TailSampling | None = None,
    resource: Mapping[str, Any] | None = None,
    auto_instrument: bool | None = None,
    capture_content: bool | None = None,
    redact: "Callable[..., Any] | None" = None,
    limits: Limits | Mapping[str, int] | None = None,
    export_delay: float | None = None,
    exit_timeout: float = 5.0,
    spool: "bool | Spool | None" = None,
    continue_trace: bool | None = None,
    insight: bool | None = None,
    stall_threshold: float | None = None,
    dump_signal: "signal.Signals | int | str | None" = None,
) -> OpenTracer:
    """Trace inside an `async with` block, with the worker in this very loop, asyncio's or trio's. No thread is ours;
    what touches the disk runs in those that the loop has for that.

    The arguments are those of `prela.init`, which it takes the place of for the block. Leaving the block exports what
    is left, shielded from cancellation for `exit_timeout` seconds, and turns tracing off. An exporter that lets itself
    not be cancelled is waited for: it runs in this loop, and nothing may outlive the block.

    Raises:
        ConfigurationError: An argument or a `PRELA_*` variable cannot be used.
    """
    config = load(
        service_name=service_name,
        exporter=exporter,
        trace_dir=trace_dir,
        sampler=sampler,
        sample_rate=sample_rate,
        tail_sampling=tail_sampling,
        resource=resource,
        auto_instrument=auto_instrument,
        capture_content=capture_content,
        redact=redact,
        limits=limits,
        export_delay=export_delay,
        exit_timeout=exit_timeout,
        spool=spool,
        continue_trace=continue_trace,
        insight=insight,
        stall_threshold=stall_threshold,
        dump_signal=dump_signal,
    )
    import_what_the_worker_needs(config)
    return OpenTracer(config)
