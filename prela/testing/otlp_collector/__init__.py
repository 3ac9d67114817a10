"""A collector for tests of what sends OTLP: it keeps what comes, checks its manners, and answers as a test tells it.

Needs the extra `otlp`, and `h11`.
"""

from prela.testing.otlp_collector.answers import Answer, partial_success
from prela.testing.otlp_collector.collector import Collector

__all__ = ["Answer", "Collector", "partial_success"]
