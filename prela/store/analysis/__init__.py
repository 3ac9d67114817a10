"""What a trace says about time: plain functions over the trees that `prela.record.tree.forest` returns.

Each takes the roots of a trace: one, or several where parents were lost or never were; most also take what
`prela.record.flat.flatten` makes of them. Durations are float seconds,
points in time integer nanoseconds since the Unix epoch. `now` is when spans that are still pending are taken to end; by
default it is the latest moment the trace knows, since a program that crashed yesterday has not run until today.

All are iterative and take O(n log n). `docs/analysis.md` shows what each says, and what it cannot know.
"""

from prela.store.analysis.comparison import Change, Comparison, Place, compare
from prela.store.analysis.concurrency import Concurrency, Profile, Step, concurrency, profile
from prela.store.analysis.critical_path import CriticalPath, Segment, critical_path
from prela.store.analysis.deadlines import Deadline, deadlines
from prela.store.analysis.idle_gaps import Gap, idle_gaps
from prela.store.analysis.self_time import SelfTime, self_times

__all__ = [
    "Change",
    "Comparison",
    "Concurrency",
    "CriticalPath",
    "Deadline",
    "Gap",
    "Place",
    "Profile",
    "Segment",
    "SelfTime",
    "Step",
    "compare",
    "concurrency",
    "critical_path",
    "deadlines",
    "idle_gaps",
    "profile",
    "self_times",
]
