"""Who is in force: whether OpenTelemetry's API leads to Prela, and whether the two share one current span."""

from typing import Final

from opentelemetry import trace


class Force:
    """What `instrument`, `uninstrument` and `hand_over` decided; the application's provider has the last word."""

    __slots__ = ("handing_over", "provider")

    def __init__(self) -> None:
        self.provider: trace.TracerProvider | None = None
        """Ours, once it was put in force."""
        self.handing_over: bool = False
        """Whether our spans go to the application's OpenTelemetry SDK, so that its spans and ours are of one tree."""

    @property
    def is_ours(self) -> bool:
        """Whether spans started through the API are Prela's. The application may have set a provider after us."""
        return self.provider is not None and getattr(trace, "_TRACER_PROVIDER", None) is self.provider

    @property
    def is_shared(self) -> bool:
        """Whether what is current for one is current for the other.

        Not when an SDK sends its spans elsewhere: its roots would name parents there that nobody ever sends.
        """
        return self.handing_over or self.is_ours


force: Final = Force()
