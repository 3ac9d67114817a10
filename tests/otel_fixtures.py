"""A recorder with the OpenTelemetry API leading to it, and everything as it was afterwards."""

from collections.abc import Iterator

import pytest
from opentelemetry import trace

from prela.integrations.otel import instrument, uninstrument
from prela.testing import Recorder, recording


@pytest.fixture
def spans() -> Iterator[Recorder]:
    """What ends, in Prela and through the API."""
    uninstrument()  # what an `init()` of an earlier test may have left
    with recording() as recorder:
        assert instrument()
        try:
            yield recorder
        finally:
            uninstrument()


@pytest.fixture
def otel() -> trace.Tracer:
    """A tracer as an instrumentation gets it."""
    return trace.get_tracer("tests.instrumentation", "1.2.3")
