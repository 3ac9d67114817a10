"""Traces every call of the `openai` package: `instrument()`, and `uninstrument()` to have it as it was."""

from prela.integrations.openai.instrumentation import instrument, uninstrument

__all__ = ["instrument", "uninstrument"]
