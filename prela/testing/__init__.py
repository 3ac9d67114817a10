"""For tests of programs that use Prela: what is recorded, deterministically, and how it looks when it is wrong.

The pytest plugin in `prela.testing.plugin` gives a fixture `prela_spans`, a `Recorder`.
"""

from prela.testing.clock import CountingIds, TickingClock
from prela.testing.exporters import FailingExporter, HangingExporter
from prela.testing.recorder import Recorder, recording

__all__ = ["CountingIds", "FailingExporter", "HangingExporter", "Recorder", "TickingClock", "recording"]
