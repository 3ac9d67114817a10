"""What a sender of OTLP must do (OTLP specification, "OTLP/HTTP Request"), checked of each request. Pure."""

import gzip
import zlib
from types import ModuleType
from typing import Any

from prela.record.model import SpanRecord
from prela.record.otlp import Records, as_json, as_protobuf
from prela.testing.openai_server.requests import Request

ENCODINGS: dict[str, ModuleType] = {encoding.CONTENT_TYPE: encoding for encoding in (as_protobuf, as_json)}


class Delivery:
    """A request, read: its spans, and what was wrong with it."""

    def __init__(self, request: Request) -> None:
        self.faults: list[str] = []
        self.records: list[SpanRecord] = []
        self.size: int = len(request.content)
        """Bytes as they came over the wire."""
        self.encoding: ModuleType = ENCODINGS.get(request.headers.get("content-type", ""), as_json)
        if request.method != "POST" or request.path != "/v1/traces":
            self.faults.append(f"{request.method} {request.target} is not POST /v1/traces")
        if request.headers.get("content-type") not in ENCODINGS:
            self.faults.append(f"the content type is {request.headers.get('content-type')!r}")
        if not request.headers.get("user-agent"):
            self.faults.append("no User-Agent")
        try:
            self._read(request)
        except (ValueError, OSError, EOFError, zlib.error) as error:
            self.faults.append(f"the body cannot be read: {error}")

    def _read(self, request: Request) -> None:
        compression = request.headers.get("content-encoding", "identity")
        if compression not in ("identity", "gzip"):
            raise ValueError(f"its content encoding is {compression}")
        content = gzip.decompress(request.content) if compression == "gzip" else request.content
        message: dict[str, Any] = self.encoding.decode_request(content)
        self._check(message)
        found = Records(message)
        self.records = list(found)
        if found.refused:
            self.faults.append(f"{found.refused} spans cannot be read: {found.reason}")

    def _check(self, message: dict[str, Any]) -> None:
        spans = 0
        for resource_spans in message.get("resource_spans", ()):
            names = [pair.get("key") for pair in resource_spans.get("resource", {}).get("attributes", ())]
            if "service.name" not in names:
                self.faults.append("a resource has no service.name")
            for scope_spans in resource_spans.get("scope_spans", ()):
                for span in scope_spans.get("spans", ()):
                    spans += 1
                    keys = [pair.get("key") for pair in span.get("attributes", ())] if isinstance(span, dict) else []
                    if len(keys) != len(set(keys)):
                        self.faults.append("a span has an attribute twice")
        if not spans:
            self.faults.append("the request has no span (the specification: senders should not create empty ones)")
