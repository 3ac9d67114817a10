"""Which endpoint a request is for, and what it is told when there is none."""

from collections.abc import Callable
from typing import Any, NamedTuple

from prela.testing.openai_server.answers import Answer
from prela.testing.openai_server.chat import chat
from prela.testing.openai_server.completions import completions
from prela.testing.openai_server.embeddings import embeddings
from prela.testing.openai_server.media import images, moderations, speech, transcriptions
from prela.testing.openai_server.replies import Body, EventStream, error, error_body, json_body
from prela.testing.openai_server.requests import Request
from prela.testing.openai_server.responses import responses
from prela.testing.openai_server.shelf import Call, Shelf
from prela.testing.openai_server.stored import add_batch, add_file, fetch


class _Endpoint(NamedTuple):
    """What POST does at a path."""

    reply: Callable[[Call], Body | EventStream]
    needs: str | None = None
    """The parameter without which the API refuses the request."""
    asks: bool = True
    """Whether a model would have to answer, and so the test's answer is asked for."""


_ENDPOINTS = {
    "/v1/chat/completions": _Endpoint(chat, "messages"),
    "/v1/responses": _Endpoint(responses),
    "/v1/completions": _Endpoint(completions, "prompt"),
    "/v1/embeddings": _Endpoint(embeddings, "input"),
    "/v1/moderations": _Endpoint(moderations, "input"),
    "/v1/images/generations": _Endpoint(images, "prompt"),
    "/v1/audio/speech": _Endpoint(speech, "input"),
    "/v1/audio/transcriptions": _Endpoint(transcriptions, "file"),
    "/v1/files": _Endpoint(add_file, "file", asks=False),
    "/v1/batches": _Endpoint(add_batch, "input_file_id", asks=False),
}


def reply(
    request: Request, body: dict[str, Any], answer: Callable[[dict[str, Any]], Answer], number: int, shelf: Shelf
) -> tuple[Body | EventStream, Answer]:
    """What a request gets, with the answer whose faults are to be done to it.

    Raises:
        Exception: Whatever the test's own function raises.
    """
    endpoint = _ENDPOINTS.get(request.path)
    if request.method == "GET" and (found := fetch(request.path, shelf)) is not None:
        return found, Answer()
    if endpoint is None or request.method != "POST":
        return _unknown(request, endpoint), Answer()
    if endpoint.needs is not None and endpoint.needs not in body:
        missing = f"Missing required parameter: '{endpoint.needs}'."
        return error_body(400, missing, param=endpoint.needs, code="missing_required_parameter"), Answer()
    given = answer(body) if endpoint.asks else Answer()
    if not isinstance(given, Answer):
        raise TypeError(f"the answer is {given!r}, and should be an Answer")
    if given.status != 200:
        return json_body({"error": error(given)}, given.status), given
    return endpoint.reply(Call(body, given, number, shelf)), given


def _unknown(request: Request, endpoint: _Endpoint | None) -> Body:
    where = f"{request.method} {request.path}"
    if endpoint is None:
        return error_body(404, f"Invalid URL ({where})")
    return error_body(405, f"Not allowed to {where}.", code="method_not_supported")
