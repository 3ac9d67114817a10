"""Takes in what is traced through the OpenTelemetry API: `instrument()`, and `uninstrument()` to let go again."""

from prela.integrations.otel.instrumentation import hand_over, instrument, provider, uninstrument

__all__ = ["hand_over", "instrument", "provider", "uninstrument"]
