"""What no answer is asked for: models, files, batches, and responses given before."""

from typing import Any

from prela.testing.openai_server.replies import CREATED, Body, error_body, json_body
from prela.testing.openai_server.requests import Upload
from prela.testing.openai_server.shelf import Call, Shelf

_MODELS = ("gpt-4o-mini", "text-embedding-3-small")


def add_file(call: Call) -> Body:
    """Keep an upload; it is processed at once."""
    upload = call.body["file"]
    content, name = (upload.content, upload.filename) if isinstance(upload, Upload) else (str(upload).encode(), "file")
    file: dict[str, Any] = {
        "object": "file",
        "id": call.unique("file"),
        "purpose": call.body.get("purpose"),
        "filename": name,
        "bytes": len(content),
        "created_at": CREATED,
        "expires_at": None,
        "status": "processed",
        "status_details": None,
    }
    call.shelf.files[file["id"]], call.shelf.contents[file["id"]] = file, content
    return json_body(file)


def add_batch(call: Call) -> Body:
    """A batch that is checked for ever."""
    unset = (
        "errors", "output_file_id", "error_file_id", "in_progress_at", "finalizing_at", "completed_at", "failed_at",
        "expired_at", "cancelling_at", "cancelled_at",
    )  # fmt: skip
    batch: dict[str, Any] = {
        "id": call.unique("batch"),
        "object": "batch",
        "endpoint": call.body.get("endpoint"),
        "input_file_id": call.body["input_file_id"],
        "completion_window": call.body.get("completion_window"),
        "status": "validating",
        "created_at": CREATED,
        "expires_at": CREATED + 24 * 3600,
        "request_counts": {"total": 0, "completed": 0, "failed": 0},
        "metadata": call.body.get("metadata"),
        **dict.fromkeys(unset),
    }
    call.shelf.batches[batch["id"]] = batch
    return json_body(batch)


def fetch(path: str, shelf: Shelf) -> Body | None:
    """What a GET finds; None where the API has no such path."""
    match path.removeprefix("/v1/").split("/"):
        case ["models"]:
            return json_body({"object": "list", "data": [_model(name) for name in _MODELS]})
        case ["models", name]:
            return json_body(_model(name))
        case ["responses", name]:
            return _found(shelf.responses.get(name), f"Response with id '{name}' not found.")
        case ["files", name]:
            return _found(shelf.files.get(name), f"No such File object: {name}", param="id")
        case ["files", name, "content"] if name in shelf.contents:
            return Body(shelf.contents[name], content_type="application/octet-stream")
        case ["batches", name]:
            return _found(shelf.batches.get(name), f"No batch found with id '{name}'.")
        case _:
            return None


def _model(name: str) -> dict[str, Any]:
    return {"id": name, "object": "model", "created": CREATED, "owned_by": "system"}


def _found(value: dict[str, Any] | None, missing: str, param: str | None = None) -> Body:
    return error_body(404, missing, param=param) if value is None else json_body(value)
