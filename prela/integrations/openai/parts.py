"""From OpenAI's content parts to those of the GenAI conventions (`gen-ai-input-messages.json` and its siblings)."""

from collections.abc import Iterable, Mapping
from mimetypes import guess_type
from typing import Any, Final

import msgspec

_AUDIO_TYPES: Final = {"mp3": "audio/mpeg", "wav": "audio/wav"}
_ARGUMENTS_LIMIT: Final = 65_536
"""Characters of a tool call's arguments up to which they are read as JSON."""

Part = dict[str, Any]


def text(content: object) -> Part:
    """A text part."""
    return {"type": "text", "content": content if isinstance(content, str) else str(content)}


def tool_call(identity: object, name: object, arguments: object) -> Part:
    """A tool that the model wants to be called; arguments that are JSON become what they say."""
    part: Part = {"type": "tool_call", "name": str(name or ""), "arguments": parsed(arguments)}
    return part if identity is None else {**part, "id": identity}


def tool_result(identity: object, response: object) -> Part:
    """What a tool answered to the call of this id."""
    return {"type": "tool_call_response", "id": identity, "response": response}


def parsed(arguments: object) -> object:
    """The value that a JSON text says; the text itself where it is none, as half of a stream's."""
    if isinstance(arguments, str) and len(arguments) <= _ARGUMENTS_LIMIT:
        try:
            return msgspec.json.decode(arguments)
        except (msgspec.DecodeError, UnicodeError):
            pass
    return arguments


def parts_of(content: object) -> list[Part]:
    """The parts of a message's content, of chat completions and of responses."""
    if content is None:
        return []
    if isinstance(content, str):
        return [text(content)]
    if isinstance(content, Mapping):
        return [_part(content)]
    if isinstance(content, Iterable):
        return [_part(item) if isinstance(item, Mapping) else text(item) for item in content]
    return [text(content)]


def _part(part: Mapping[str, Any]) -> Part:
    kind = part.get("type")
    match kind:
        case "text" | "input_text" | "output_text" | "summary_text" | "reasoning_text":
            return text(part.get("text", ""))
        case "refusal":
            return text(part.get("refusal", ""))
        case "image_url":
            image = part.get("image_url")
            return _linked("image", image.get("url") if isinstance(image, Mapping) else image)
        case "input_image":
            return _filed("image", part, part.get("image_url"))
        case "input_audio":
            audio = part.get("input_audio")
            audio = audio if isinstance(audio, Mapping) else {}
            return _blob("audio", _AUDIO_TYPES.get(str(audio.get("format"))), audio.get("data"))
        case "file":
            file = part.get("file")
            return _filed("document", file if isinstance(file, Mapping) else {}, None)
        case "input_file":
            return _filed("document", part, part.get("file_url"))
    return {**part, "type": str(kind)}


def _filed(modality: str, part: Mapping[str, Any], url: object) -> Part:
    """A part that is in one of three places: at a URL, uploaded before, or here."""
    name = part.get("filename")
    mime_type = guess_type(name)[0] if isinstance(name, str) else None
    if url is not None:
        return _linked(modality, url)
    if part.get("file_id") is not None:
        found: Part = {"type": "file", "modality": modality, "file_id": part["file_id"]}
        return {**found, "mime_type": mime_type} if mime_type else found
    data = part.get("file_data")
    if isinstance(data, str) and data.startswith("data:"):
        return _linked(modality, data)
    return _blob(modality, mime_type, data)


def _linked(modality: str, url: object) -> Part:
    if isinstance(url, str) and url.startswith("data:"):
        head, _, data = url.partition(",")
        return _blob(modality, head.removeprefix("data:").partition(";")[0] or None, data)
    return {"type": "uri", "modality": modality, "uri": url}


def _blob(modality: str, mime_type: str | None, data: object) -> Part:
    """`data` is base64; large ones are replaced by their digest later."""
    return {"type": "blob", "modality": modality, "mime_type": mime_type, "content": data}
