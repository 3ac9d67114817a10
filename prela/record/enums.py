"""The closed sets of words a record may hold, as they stand in the JSON."""

from enum import StrEnum


class SpanType(StrEnum):
    """What a span's work is, in the words of an agent program."""

    AGENT = "agent"
    LLM = "llm"
    TOOL = "tool"
    RETRIEVAL = "retrieval"
    EMBEDDING = "embedding"
    CUSTOM = "custom"


class SpanStatus(StrEnum):
    """How a span ended. CANCELLED is not an error: somebody no longer wanted the answer."""

    PENDING = "pending"
    SUCCESS = "success"
    ERROR = "error"
    CANCELLED = "cancelled"


class SpanKind(StrEnum):
    """The span's side of a remote call (OpenTelemetry trace API, "SpanKind")."""

    INTERNAL = "internal"
    SERVER = "server"
    CLIENT = "client"
    PRODUCER = "producer"
    CONSUMER = "consumer"
