"""`python -m benchmarks`: every target of the project beside what was measured, as ratios of this one run."""

import argparse
import platform
import sys
from collections.abc import Callable
from importlib.metadata import version

from benchmarks import browser, end_to_end, hot_path, imports, insight, memory, openai_calls, otlp, sinks, store, ticker
from prela.core import shortcut

_Row = tuple[str, str, str, bool]


def _hot_path() -> list[_Row]:
    found = hot_path.measure()
    otel = found["OpenTelemetry SDK, nested"]
    nested = found["nested"]
    targets = {"nested": 1.5, "unsampled root": 0.8, "below an unsampled root": 0.4, "tracing off": 0.4}
    rows = [
        (f"a span, {name}", f"at most {target} x floor", f"{found[name]:.2f} x floor", found[name] <= target)
        for name, target in targets.items()
    ]
    way = "without the short cuts in C" if shortcut.compiled is None else "with the short cuts in C"
    floor = f"floor {found['floor (ns)']:.0f} ns, OpenTelemetry SDK {otel:.1f} x floor, {way}"
    return [
        *rows,
        (
            "a span beside the OpenTelemetry SDK's",
            "15 x cheaper",
            f"{otel / nested:.1f} x cheaper",
            otel / nested >= 15,
        ),
        ("(the measures themselves)", "", floor, True),
    ]


def _end_to_end() -> list[_Row]:
    found = end_to_end.measure()
    seen = f"{found['ratio']:.2f} ({found['prela (us)']:.1f} against {found['OpenTelemetry SDK (us)']:.1f} us of CPU)"
    return [("end to end, beside the OpenTelemetry SDK", "at most 0.1", seen, found["ratio"] <= 0.1)]


def _ticker() -> list[_Row]:
    found = ticker.measure()
    seen = f"{found['ratio']:.2f} ({found['on (ms)']:.2f} against {found['off (ms)']:.2f} ms)"
    return [("p99 lateness of a 1 ms ticker, 20,000 spans/s", "at most 2 x off", seen, found["ratio"] <= 2)]


def _memory(spans: int) -> Callable[[], list[_Row]]:
    def rows() -> list[_Row]:
        held = memory.queued_span_bytes()
        grown = memory.resident_growth(spans)
        seen = f"{grown['growth']:.3f} ({grown['after a tenth (MiB)']:.1f} to {grown['after all (MiB)']:.1f} MiB)"
        return [
            ("a queued span with 3 attributes", "at most 1024 bytes", f"{held:.0f} bytes", held <= 1024),
            (f"resident memory over {spans:,} spans", "flat (1.05 at most)", seen, grown["growth"] <= 1.05),
        ]

    return rows


def _openai() -> list[_Row]:
    found = openai_calls.measure()
    ours = found.pop("prela")
    if isinstance(ours, str):
        return [("a call of openai", "", ours, False)]
    share = openai_calls.share_of_a_call(ours["call"])
    rows = [
        ("openai: share of a 50 ms call", "at most 1 %", f"{share:.2%} ({ours['call']:.0f} us)", share <= 0.01),
        ("openai: a streamed chunk", "at most 3 us", f"{ours['chunk']:.1f} us", ours["chunk"] <= 3),
    ]
    for name, other in found.items():
        if isinstance(other, str):
            rows.append((f"openai: beside {name}", "ahead", f"not measured: {other}", True))
            continue
        seen = f"call {other['call']:.0f} us, chunk {other['chunk']:.1f} us: {other['call'] / ours['call']:.1f} x and "
        seen += f"{other['chunk'] / ours['chunk']:.1f} x ours"
        ahead = ours["call"] < other["call"] and ours["chunk"] < other["chunk"]
        rows.append((f"openai: beside {name}'s instrumentation", "ahead", seen, ahead))
    alone = f"call {ours['call alone']:.0f} us of CPU, chunk {ours['chunk alone']:.1f} us"
    return [*rows, ("(the untraced client)", "", alone, True)]


def _store(spans: int) -> Callable[[], list[_Row]]:
    def rows() -> list[_Row]:
        found = store.measure(spans)
        rate, ratio = found.pop("spans/s"), found.pop("ratio")
        seen = f"{rate:,.0f} spans/s, {found.pop('MB/s'):.0f} MB/s of CPU; "
        seen += f"{found.pop('spans/s of wall time'):,.0f} spans/s of wall time; "
        seen += f"{ratio:.1f} x plain ({found.pop('plain spans/s'):,.0f})"
        first = (f"store: first index of {spans:,} spans", "100,000 spans/s, or 5 x plain", seen)
        targets = {"list": 0.3, "show": 0.3}
        return [
            (*first, rate >= 100_000 or ratio >= 5),
            *(
                (
                    f"store: {what} (a fresh process)",
                    f"under {targets[what]} s of CPU" if what in targets else "",
                    f"{seconds:.2f} s",
                    seconds < targets.get(what, float("inf")),
                )
                for what, seconds in found.items()
            ),
        ]

    return rows


def _browser() -> list[_Row]:
    found = browser.measure()
    drawn, frame = found["drawn (ms)"], found["longest frame (ms)"]
    seen = f"{drawn:.0f} ms, the very first time {found['first drawn (ms)']:.0f} ms"
    frames = f"{frame:.0f} ms, the median {found['median frame (ms)']:.0f} ms"
    return [
        ("browser: the waterfall of 20,000 spans is drawn", "under 1 s", seen, found["first drawn (ms)"] < 1_000),
        ("browser: its longest frame while scrolling", "at most 50 ms", frames, frame <= 50),
    ]


def _otlp() -> list[_Row]:
    found = otlp.measure()

    def seen(ratio: str, what: str) -> str:
        ours, theirs = found[f"prela{what} (us)"], found[f"OpenTelemetry SDK{what} (us)"]
        return f"{found[ratio]:.1f} x ({ours:.1f} against {theirs:.1f} us of CPU a span)"

    sizes = f"{found['prela (bytes)']:.0f} against {found['OpenTelemetry SDK (bytes)']:.0f} bytes a span, uncompressed"
    return [
        ("OTLP: the exporter alone, spans a CPU-second", "5 x the SDK's", seen("ratio", ""), found["ratio"] >= 5),
        (
            "OTLP: a whole program, spans a CPU-second",
            "5 x the SDK's",
            seen("whole ratio", ", whole"),
            found["whole ratio"] >= 5,
        ),
        ("(on the wire)", "", sizes, True),
        (
            "(a whole program, with a spool)",
            "",
            f"{found['prela, whole, with a spool (us)']:.1f} us of CPU a span",
            True,
        ),
    ]


def _sinks() -> list[_Row]:
    found = sinks.measure()
    off = found["taking", "prela"]["p99"]
    rows = []
    for (sink, side), seen in found.items():
        counts = (f"{seen[what]:,} {what}" for what in ("arrived", "lost", "spooled") if seen.get(what) is not None)
        text = f"{', '.join(counts)}; ticker p99 {seen['p99']:.1f} ms; {seen['cpu']:.0f} us of CPU a span; "
        if "flush" in seen:
            text += (
                f"flush {seen['flushed']} after {seen['flush']:.1f} s, the loop held for {seen['held']:.2f} s of it; "
            )
            text += f"shutdown {seen['shutdown']:.1f} s; {seen['rss']:.0f} MiB"
        else:
            text += "flush or shutdown not over a minute after the program's start"
        is_ours = side != "OpenTelemetry SDK"
        rows.append((f"a sink that is {sink}: {side}", "", text, not is_ours or seen["p99"] <= 2 * max(off, 1.0)))
    return rows


def _insight() -> list[_Row]:
    found = insight.measure()
    rows = []
    for loop, most in (("asyncio", 1.0), ("trio", 3.0)):
        off, added = found[f"{loop} step, off (us)"], found[f"{loop} step, added (us)"]
        seen = f"{added:.2f} us, beside {off:.2f} us off"
        rows.append((f"insight: a step of {loop}", f"at most {most:g} us more", seen, added <= most))
        off, added = found[f"{loop} span, off (us)"], found[f"{loop} span, added (us)"]
        rows.append((f"insight: a span on {loop}", "", f"{added:.1f} us more, beside {off:.1f} us off", True))
    return rows


def _imports() -> list[_Row]:
    found = imports.measure()
    seen = f"{found['ratio']:.2f} ({found['prela (ms)']:.0f} against {found['anyio (ms)']:.0f} ms)"
    return [("import prela, beside import anyio", "at most 1.5", seen, found["ratio"] <= 1.5)]


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description="Measure every target. Example: python -m benchmarks --only hot-path,imports",
    )
    parser.add_argument(
        "--only",
        default="hot-path,imports,insight,memory,ticker,end-to-end,otlp,sinks,openai,store,browser",
        help="parts, by commas",
    )
    parser.add_argument("--spans", type=int, help="spans for memory (10,000,000) and for store (1,000,000)")
    options = parser.parse_args()
    parts = {
        "hot-path": _hot_path,
        "imports": _imports,
        "insight": _insight,
        "memory": _memory(options.spans or 10_000_000),
        "ticker": _ticker,
        "end-to-end": _end_to_end,
        "otlp": _otlp,
        "sinks": _sinks,
        "openai": _openai,
        "store": _store(options.spans or 1_000_000),
        "browser": _browser,
    }
    chosen = options.only.split(",")
    if unknown := set(chosen) - set(parts):
        parser.error(f"unknown parts: {', '.join(sorted(unknown))}; there are {', '.join(parts)}")
    versions = ", ".join(f"{name} {version(name)}" for name in ("anyio", "msgspec", "opentelemetry-sdk"))
    print(f"Python {platform.python_version()}, {platform.machine()}, {versions}\n")
    print("| what | target | measured | |\n|---|---|---|---|")
    for name in chosen:
        print(f"measuring {name} ...", file=sys.stderr)
        for what, target, seen, met in parts[name]():
            print(f"| {what} | {target} | {seen} | {'met' if met else 'MISSED'} |", flush=True)


if __name__ == "__main__":
    main()
