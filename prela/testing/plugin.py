"""The pytest plugin: `prela_spans` records the spans of one test.

Prela is imported inside the fixture, so that having the plugin installed costs a test run nothing.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from prela.testing.recorder import Recorder


@pytest.fixture
def prela_spans() -> "Iterator[Recorder]":
    """The spans of this test: `prela_spans["name"]`, `prela_spans.records`, `prela_spans.tree()`.

    Calls of supported libraries are among them, as they are after `prela.init()`.
    """
    from prela.testing.recorder import recording

    with recording(auto_instrument=True) as recorder:
        yield recorder
