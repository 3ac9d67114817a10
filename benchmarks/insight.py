"""What insight costs a step of a loop and a span, on and off, as differences within one run."""

import asyncio
from collections.abc import Awaitable, Callable
from time import process_time

import trio

import prela

_STEPS = 20_000
_SPANS = 4_000
_ROUNDS = 9


async def _step_asyncio() -> None:
    await asyncio.sleep(0)


async def _step_trio() -> None:
    await trio.lowlevel.checkpoint()


async def _steps(step: Callable[[], Awaitable[None]]) -> float:
    """Seconds of processor time for one step, in a task that has a span."""
    async with prela.get_tracer().aspan("steps"):
        begin = process_time()
        for _ in range(_STEPS):
            await step()
        return (process_time() - begin) / _STEPS


async def _spans(step: Callable[[], Awaitable[None]]) -> float:
    """The same for one span inside another."""
    tracer = prela.get_tracer()
    async with tracer.aspan("spans"):
        begin = process_time()
        for _ in range(_SPANS):
            with tracer.span("span"):
                pass
        return (process_time() - begin) / _SPANS


class _Nowhere:
    async def export(self, spans: object) -> None:
        pass

    async def aclose(self) -> None:
        pass


def _least(run: Callable[..., float], what: Callable[..., object], step: object) -> dict[bool, float]:
    found: dict[bool, list[float]] = {False: [], True: []}
    for _ in range(_ROUNDS):
        for insight in (False, True):
            prela.init(service_name="benchmark", exporter=_Nowhere(), auto_instrument=False, insight=insight)
            found[insight].append(run(what(step)))
            prela.sync.shutdown()
    return {insight: min(seconds) for insight, seconds in found.items()}


def _run_trio(coroutine: Awaitable[float]) -> float:
    async def main() -> float:
        return await coroutine

    return trio.run(main)


def measure() -> dict[str, float]:
    """Microseconds, the least of several rounds each: what is added to a step, and to a span."""
    loops = {"asyncio": (asyncio.run, _step_asyncio), "trio": (_run_trio, _step_trio)}
    found = {}
    for name, (run, step) in loops.items():
        for what, work in (("step", _steps), ("span", _spans)):
            least = _least(run, work, step)  # type: ignore[arg-type]
            found[f"{name} {what}, off (us)"] = least[False] * 1e6
            found[f"{name} {what}, added (us)"] = (least[True] - least[False]) * 1e6
    return found
