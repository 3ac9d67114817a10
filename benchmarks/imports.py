"""How long `import prela` takes beside `import anyio`, in fresh processes, net of starting Python."""

import statistics
import subprocess
import sys
from time import perf_counter

_ROUNDS = 15


def _seconds(statement: str) -> float:
    begin = perf_counter()
    subprocess.run([sys.executable, "-c", statement], check=True)
    return perf_counter() - begin


def measure() -> dict[str, float]:
    """Medians in milliseconds, and their ratio."""
    rounds = [(_seconds("pass"), _seconds("import anyio"), _seconds("import prela")) for _ in range(_ROUNDS)]
    anyio = statistics.median(a - n for n, a, _ in rounds)
    prela = statistics.median(p - n for n, _, p in rounds)
    return {"anyio (ms)": anyio * 1e3, "prela (ms)": prela * 1e3, "ratio": prela / anyio}
