"""From OpenAI's content parts to those of the GenAI conventions (`gen-ai-input-messages.json` and its siblings).

Whatever stands where something else is expected is recorded as it is, under the type that it says it has: nothing here
raises for any JSON value.
"""

from collections.abc import Mapping, Sequence
from mimetypes import guess_type
from typing import Any, Final

import msgspec

_AUDIO_TYPES: Final = {"mp3": "audio/mpeg", "wav": "audio/wav"}
_ARGUMENTS_LIMIT: Final = 65_536
"""Characters of a tool call's arguments up to which they are read as JSON."""

Part = dict[str, Any]

_NOTHING: Final[Mapping[str, Any]] = {}


def mapping(value: object) -> Mapping[str, Any]:
    """The value, if it is a JSON object; else an empty one."""
    return value if isinstance(value, Mapping) else _NOTHING


def mappings(value: object) -> list[Mapping[str, Any]]:
    """The JSON objects in a list; none, if it is no list."""
    return [item for item in sequence(value) if isinstance(item, Mapping)]


def sequence(value: object) -> Sequence[Any]:
    """The value, if it is a JSON list; else an empty one."""
    return value if isinstance(value, list | tuple) else ()


def text(content: object) -> Part:
    """A text part."""
    return {"type": "text", "content": content if isinstance(content, str) else str(content)}


def texts(*contents: object) -> list[Part]:
    """A text part for each that says something."""
    return [text(content) for content in contents if content]


def reasoning(*contents: object) -> list[Part]:
    """A reasoning part for each that says something."""
    return [{"type": "reasoning", "content": content} for content in contents if content and isinstance(content, str)]


def tool_call(identity: object, name: object, arguments: object) -> Part:
    """A tool that the model wants to be called; arguments that are JSON become what they say."""
    part: Part = {"type": "tool_call", "name": _name(name), "arguments": parsed(arguments)}
    return part if identity is None else {**part, "id": _name(identity)}


def tool_result(identity: object, response: object) -> Part:
    """What a tool answered to the call of this id."""
    return {"type": "tool_call_response", "id": None if identity is None else _name(identity), "response": response}


def server_tool(part: str, identity: object, name: object, kind: str, fields: Mapping[str, Any]) -> Part:
    """What a tool that the provider runs was asked, or answered: `part` is the type of the part."""
    return {
        "type": part,
        "id": None if identity is None else _name(identity),
        "name": _name(name),
        part: {**fields, "type": kind},
    }


def _name(value: object) -> str:
    return value if isinstance(value, str) else "" if value is None else str(value)


def parsed(arguments: object) -> object:
    """The value that a JSON text says; the text itself where it is none, as half of a stream's."""
    if isinstance(arguments, str) and len(arguments) <= _ARGUMENTS_LIMIT:
        try:
            return msgspec.json.decode(arguments)
        except (msgspec.DecodeError, UnicodeError, RecursionError):
            pass
    return arguments


def parts_of(content: object) -> list[Part]:
    """The parts of a message's content, of chat completions and of responses."""
    if content is None:
        return []
    if isinstance(content, Mapping):
        return [_part(content)]
    if isinstance(content, list | tuple):
        return [_part(item) if isinstance(item, Mapping) else text(item) for item in content]
    return [text(content)]


def _part(part: Mapping[str, Any]) -> Part:
    kind = part.get("type")
    return _known(kind, part) or {**part, "type": _name(kind) or "unknown"}


def _known(kind: object, part: Mapping[str, Any]) -> Part | None:
    match kind:
        case "text" | "input_text" | "output_text" | "summary_text":
            return text(part.get("text", ""))
        case "reasoning_text":
            return {"type": "reasoning", "content": _name(part.get("text"))}
        case "refusal":
            return text(part.get("refusal", ""))
        case "image_url":
            image = part.get("image_url")
            return _linked("image", image.get("url") if isinstance(image, Mapping) else image)
        case "input_image":
            return _filed("image", part, part.get("image_url"))
        case "input_audio":
            audio = mapping(part.get("input_audio"))
            return _blob("audio", _AUDIO_TYPES.get(str(audio.get("format"))), audio.get("data"))
        case "file":
            return _filed("document", mapping(part.get("file")), None)
        case "input_file":
            return _filed("document", part, part.get("file_url"))
    return None


def _filed(modality: str, part: Mapping[str, Any], url: object) -> Part | None:
    """A part that is in one of three places: at a URL, uploaded before, or here."""
    name, identity = part.get("filename"), part.get("file_id")
    mime_type = guess_type(name)[0] if isinstance(name, str) else None
    if url is not None:
        return _linked(modality, url)
    if isinstance(identity, str):
        found: Part = {"type": "file", "modality": modality, "file_id": identity}
        return {**found, "mime_type": mime_type} if mime_type else found
    data = part.get("file_data")
    if isinstance(data, str) and data.startswith("data:"):
        return _linked(modality, data)
    return _blob(modality, mime_type, data)


def _linked(modality: str, url: object) -> Part | None:
    if not isinstance(url, str):
        return None
    if url.startswith("data:"):
        head, _, data = url.partition(",")
        return _blob(modality, head.removeprefix("data:").partition(";")[0] or None, data)
    return {"type": "uri", "modality": modality, "uri": url}


def _blob(modality: str, mime_type: str | None, data: object) -> Part | None:
    """`data` is base64; large ones are replaced by their digest later."""
    if not isinstance(data, str):
        return None
    return {"type": "blob", "modality": modality, "mime_type": mime_type, "content": data}
