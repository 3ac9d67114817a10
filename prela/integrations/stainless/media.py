"""Images, sounds and files inside a conversation: told by type, size and digest instead of being recorded whole."""

import base64
import binascii
import re
from collections.abc import Callable, Mapping
from hashlib import sha256
from typing import Any, Final

LIMIT: Final = 1024
"""Characters of base64 from which a digest takes the place of what is encoded."""

_DATA_URL: Final = re.compile(r"data:([\w.+-]+/[\w.+-]+)?[^,]{0,200};base64,")
_BASE64: Final = re.compile(r"[A-Za-z0-9+/_-]+={0,2}")
_DATA_KEYS: Final = {"b64_json", "blob", "data", "file_data", "partial_image_b64", "result"}
"""Under these, base64 stands by itself. Elsewhere a long word is a long word."""


def without_media(value: Any, clean: Callable[[str], str], key: str = "", mime_type: str | None = None) -> Any:
    """The value with large base64 replaced, and `clean` applied to every other text.

    Args:
        value: Plain: strings, numbers, lists and mappings.
        clean: For texts.
        key: Under which the value stands.
        mime_type: What the mapping in which it stands says of it.
    """
    if isinstance(value, str):
        return described(value, mime_type, is_data=key in _DATA_KEYS) or clean(value)
    if isinstance(value, Mapping):
        named, is_blob = value.get("mime_type"), value.get("type") == "blob"
        return {
            name: without_media(item, clean, "blob" if is_blob and name == "content" else name, named)
            for name, item in value.items()
        }
    if isinstance(value, list):
        return [without_media(item, clean, key, mime_type) for item in value]
    return value


def described(text: str, mime_type: object = None, *, is_data: bool) -> str | None:
    """What stands for large base64, in a data URL or where only data is expected; None for any other text."""
    if len(text) <= LIMIT:
        return None
    match = _DATA_URL.match(text)
    if match is None and not is_data:
        return None
    mime_type = (match[1] if match else mime_type) or "application/octet-stream"
    start = match.end() if match else 0
    if not _BASE64.fullmatch(text, start):
        return None
    data = _decoded(text[start:])
    return f"[{mime_type}, {len(data)} bytes, sha256 {sha256(data).hexdigest()}]"


def _decoded(text: str) -> bytes:
    """The bytes that a text encodes; where it is broken, its own."""
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_" if re.search("[-_]", text) else None)
    except (binascii.Error, ValueError):
        return text.encode()
