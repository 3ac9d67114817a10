"""What a provider must say about its own API, for calls of its client to be traced: plain functions of plain data."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Protocol

from prela.record.enums import SpanType


class Request(NamedTuple):
    """A request as the client's `request` method was given it."""

    method: str
    """In capitals."""
    path: str
    """Below the base URL, without the query: "/chat/completions"."""
    body: Mapping[str, Any]
    """The JSON body; empty for none."""
    host: str
    streamed: bool
    query: Mapping[str, Any] = {}


class Operation(NamedTuple):
    """What a request is, in the words of the conventions."""

    name: str
    """`gen_ai.operation.name`."""
    span_name: str
    span_type: SpanType
    api: str
    """Which shapes the request and the response have; the provider's own word."""
    model: str | None
    attributes: Mapping[str, object]


class Provider(Protocol):
    """See the module. Nothing here may raise for any input; but if it does, only that part of the record is lost."""

    name: str
    """`gen_ai.provider.name`, and what `genai-prices` knows it by."""

    def describe(self, request: Request) -> Operation:
        """What is known before the call."""
        ...

    def content_keys(self, operation: Operation) -> Sequence[str]:
        """Which parts of the request's body are content."""
        ...

    def request_content(self, operation: Operation, body: Mapping[str, Any]) -> Mapping[str, object]:
        """The attributes that hold the request's content. Called in the worker."""
        ...

    def response_attributes(self, operation: Operation, body: Mapping[str, Any]) -> Mapping[str, object]:
        """The attributes of a response that hold no content. Called in the worker."""
        ...

    def response_content(self, operation: Operation, body: Mapping[str, Any]) -> Mapping[str, object]:
        """The attributes that hold the response's content. Called in the worker."""
        ...

    def assemble(self, operation: Operation) -> "Assembly":
        """Something that makes of a stream's events what a plain response would have been."""
        ...

    def failure(self, operation: Operation, body: Mapping[str, Any]) -> "Failure | None":
        """How the response, or the last event of a stream, says that the call failed, though no exception did."""
        ...

    def with_stream_usage(self, operation: Operation, body: Mapping[str, Any]) -> Mapping[str, Any] | None:
        """The request's body, changed so that a stream ends with its usage; None where it does so anyway."""
        ...


class Failure(NamedTuple):
    """A failure told in a response."""

    type: str
    """`error.type`: low in variety."""
    message: str | None


class Assembly(Protocol):
    """Collects the events of one stream."""

    def add(self, event: Mapping[str, Any]) -> None:
        """Take in an event, in the order of their coming."""
        ...

    def body(self) -> Mapping[str, Any]:
        """The response, as far as it has come."""
        ...
