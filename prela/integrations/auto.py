"""Which integrations `init()` sets up by itself: those of libraries that the program imports, before or after."""

from prela.integrations.importing import forget, once_complete, when_imported


def instrument_what_is_imported() -> None:
    """Have every supported library traced once it has been imported. Doing so again changes nothing."""
    when_imported("openai", _openai)
    when_imported("opentelemetry.trace", _otel)


def instrument_nothing_more() -> None:
    """Let libraries that are imported from now on be; those that are traced stay so."""
    forget("openai")
    forget("opentelemetry.trace")


def _openai() -> None:
    from prela.integrations.openai import instrument

    instrument()


def _otel() -> None:
    once_complete("prela.integrations.otel.instrumentation", _instrument_otel)


def _instrument_otel() -> None:
    from prela.integrations.otel.instrumentation import instrument

    instrument()
