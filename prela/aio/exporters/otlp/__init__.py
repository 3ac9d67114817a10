"""The OTLP exporter: spans over HTTP, as Protobuf or JSON, to anything that speaks OpenTelemetry's protocol.

`exporter` says what becomes of a batch, `rules` what an answer means, `encoding` how a batch becomes a body without
holding up anybody, `connection` keeps the HTTP client. The mapping is `prela.record.otlp`'s. Needs the extra `otlp`.
"""

from prela.aio.exporters.otlp.exporter import OtlpExporter

__all__ = ["OtlpExporter"]
