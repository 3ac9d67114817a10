"""What must never reach a record: secrets, and the text of exceptions that quote what nobody may keep.

An integration knows both: the key a client was made with, and that an error of its provider quotes the prompt. Where
such an exception goes afterwards, and which spans it leaves on the way, is the program's affair; so what is said of it
is decided here, for all of them.
"""

import weakref
from collections.abc import Iterator
from typing import Final

WITHHELD: Final = "[withheld: capture_content is off]"
SECRET: Final = "[secret]"

_SECRETS_KEPT: Final = 64
_SHORTEST_SECRET: Final = 16
"""Characters. Local servers are given keys such as "ollama" or "test", which are words of the language too."""
_CHAIN: Final = 100
_MARK: Final = "_prela_withheld"

_secrets: dict[str, None] = {}
_withheld: "dict[int, weakref.ref[BaseException]]" = {}


def keep_secret(secret: object) -> None:
    """Let this text appear in no record from now on, as far as it comes from exceptions or integrations."""
    if type(secret) is not str or secret in _secrets:
        return
    if len(secret) >= _SHORTEST_SECRET or (secret.startswith("sk-") and len(secret) >= _SHORTEST_SECRET // 2):
        while len(_secrets) >= _SECRETS_KEPT:
            _secrets.pop(next(iter(_secrets)), None)
        _secrets[secret] = None


def without_secrets(text: str) -> str:
    """The text, with every known secret replaced."""
    for secret in list(_secrets):
        if secret in text:
            text = text.replace(secret, SECRET)
    return text


def withhold(error: BaseException) -> None:
    """Record of this exception its type and where it was raised, and nothing that it says."""
    key = id(error)
    try:
        _withheld[key] = weakref.ref(error, lambda _: _withheld.pop(key, None))
    except TypeError:  # those of pydantic take no weak reference, but attributes
        try:
            setattr(error, _MARK, True)
        except Exception:
            pass


def is_withheld(error: BaseException) -> bool:
    """Whether this exception, or one that it came from or holds, was withheld: its text may quote theirs."""
    return any(_is_marked(one) for one in _chain(error))


def _is_marked(error: BaseException) -> bool:
    reference = _withheld.get(id(error))
    return (reference is not None and reference() is error) or getattr(error, _MARK, False) is True


def _chain(error: BaseException) -> Iterator[BaseException]:
    pending, seen = [error], set[int]()
    while pending and len(seen) < _CHAIN:
        one = pending.pop()
        if id(one) in seen:
            continue
        seen.add(id(one))
        yield one
        pending += [related for related in (one.__cause__, one.__context__) if related is not None]
        if isinstance(one, BaseExceptionGroup):
            pending += one.exceptions
