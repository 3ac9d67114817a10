"""Images, sounds and files inside a conversation: told by type, size and digest instead of being recorded whole."""

import base64
import binascii
import re
from collections.abc import Callable, Mapping
from hashlib import sha256
from typing import Any, Final

LIMIT: Final = 1024
"""Characters of base64 from which a digest takes the place of what is encoded."""

_DATA_URL: Final = re.compile(
    r"data:([\w.+-]+/[\w.+-]+)?[^,\s]{0,200};base64," rf"([A-Za-z0-9+/_\r\n-]{{{LIMIT},}}={{0,2}})"
)
_BASE64: Final = re.compile(r"[A-Za-z0-9+/_\r\n-]+={0,2}\s*")
_DATA_KEYS: Final = {"b64_json", "blob", "file_data", "partial_image_b64"}
"""Under these stands nothing but data."""
_WORDS_FOR_DATA: Final = {"base64", "bytes", "data", "image", "result", "screenshot"}
"""Under these, data may stand by itself: if it looks like data. Elsewhere a long word is a long word."""
_SAMPLE: Final = 1_000
_VARIETY: Final = 24
"""Different characters in a sample of data, of 64. Long runs of less are no image, no sound and no archive."""


def without_media(value: Any, clean: Callable[[str], str], key: str = "", mime_type: str | None = None) -> Any:
    """The value with large base64 replaced, and `clean` applied to every other text.

    Args:
        value: Plain: strings, numbers, lists and mappings.
        clean: For texts.
        key: Under which the value stands.
        mime_type: What the mapping in which it stands says of it.
    """
    if isinstance(value, str):
        return _without_data(value, clean, key, mime_type)
    if isinstance(value, Mapping):
        named, is_blob = value.get("mime_type"), value.get("type") == "blob"
        return {
            clean(name): without_media(item, clean, "blob" if is_blob and name == "content" else name, named)
            for name, item in value.items()
        }
    if isinstance(value, list):
        return [without_media(item, clean, key, mime_type) for item in value]
    return value


def _without_data(text: str, clean: Callable[[str], str], key: str, mime_type: str | None) -> str:
    if len(text) <= LIMIT:
        return clean(text)
    if (key in _DATA_KEYS or (key in _WORDS_FOR_DATA and _looks_like_data(text))) and _BASE64.fullmatch(text):
        return described(text, mime_type)
    if ";base64," in text:
        text = _DATA_URL.sub(lambda found: described(found[2], found[1]), text)
    return clean(text)


def _looks_like_data(text: str) -> bool:
    return len(set(text[:_SAMPLE])) >= _VARIETY


def described(text: str, mime_type: object = None) -> str:
    """What stands for data that is encoded as this text."""
    data = _decoded(text)
    return f"[{mime_type or 'application/octet-stream'}, {len(data)} bytes, sha256 {sha256(data).hexdigest()}]"


def _decoded(text: str) -> bytes:
    """The bytes that a text encodes; where it is broken, its own."""
    text = "".join(text.split())
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_" if re.search("[-_]", text) else None)
    except (binascii.Error, ValueError):
        return text.encode()
