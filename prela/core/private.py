"""What must never reach a record: secrets, and the text of exceptions that quote what nobody may keep.

An integration knows both: the keys that a client sends, and that an error of its provider quotes the prompt. Where
such an exception goes afterwards, which spans it leaves on the way, and what the program says of it there, is the
program's affair; so what is said of it is decided here, for all of them. In doubt the text is left out.
"""

import re
import sys
import weakref
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from typing import Any, Final

WITHHELD: Final = "[withheld: capture_content is off]"
SECRET: Final = "[secret]"

_SECRETS_KEPT: Final = 64
"""Each is looked for in every text, at a third of a millisecond a megabyte, in the worker."""
_SHORTEST_SECRET: Final = 8
_SURELY_SECRET: Final = 16
"""Characters. Local servers are given keys such as "ollama" or "lm-studio", which are words of the language too."""
_SECRET_NAME: Final = re.compile(r"auth|key|token|secret|cookie|signature|\bsig\b|password|credential", re.IGNORECASE)
"""Of headers and of parameters in a URL."""
_IN_THE_CLEAR: Final = frozenset({"idempotency-key"})
_SHAPES: Final = {
    "sk-": (re.compile(r"\bsk-[\w-]{20,}"), SECRET),
    "earer ": (re.compile(r"\b([Bb]earer )[\w.~+/-]{20,}=*"), rf"\1{SECRET}"),
}
"""What looks like a secret wherever it stands, by what is quickly looked for."""
_QUOTES_KEPT: Final = 256
_QUOTE: Final = 200
_SHORTEST_QUOTE: Final = 16
_MARK: Final = "_prela_withheld"

_secrets: dict[str, None] = {}
_withheld: "dict[int, weakref.ref[BaseException]]" = {}
_quotes: dict[str, None] = {}
_quoting: set[str] = set()


# --- secrets ------------------------------------------------------------------------------------------------------


def keep_secret(secret: object) -> None:
    """Let this text appear in no record from now on, as far as it comes from exceptions or integrations."""
    if type(secret) is not str or not _is_secret(secret):
        return
    if secret in _secrets and len(_secrets) < _SECRETS_KEPT // 2:
        return
    _secrets.pop(secret, None)  # it becomes the newest: which are forgotten is decided by when they were last used
    _remember(_secrets, secret, _SECRETS_KEPT)


def keep_secrets_of(headers: Mapping[str, str], query: Iterable[tuple[str, str]] = ()) -> None:
    """`keep_secret` for the values of a request that by their names are secret."""
    for name, value in headers.items():
        if _names_a_secret(name):
            scheme, _, credentials = value.partition(" ")
            keep_secret(credentials.strip() or scheme)
    for name, value in query:
        if _names_a_secret(name):
            keep_secret(value)


@lru_cache(1_000)
def _names_a_secret(name: str) -> bool:
    return _SECRET_NAME.search(name) is not None and name.lower() not in _IN_THE_CLEAR


def _is_secret(text: str) -> bool:
    if len(text) < _SHORTEST_SECRET:
        return False
    return len(text) >= _SURELY_SECRET or text.startswith("sk-") or any(c.isdigit() or c.isupper() for c in text)


def without_secrets(text: str) -> str:
    """The text, with every known secret replaced, and what has the shape of one."""
    for secret in list(_secrets):
        if secret in text:
            text = text.replace(secret, SECRET)
    for sign, (shape, replacement) in _SHAPES.items():
        if sign in text:
            text = shape.sub(replacement, text)
    return text


def _remember(texts: dict[str, None], text: str, most: int) -> None:
    while len(texts) >= most:
        texts.pop(next(iter(texts), ""), None)
    texts[text] = None


# --- exceptions ---------------------------------------------------------------------------------------------------


def distrust(*packages: str) -> None:
    """Say that exceptions which come out of these packages quote what they were given: see `withhold_quoting`."""
    _quoting.update(packages)


def withhold(error: BaseException) -> None:
    """Record of this exception its type and where it was raised, and nothing that it says, there or elsewhere."""
    key = id(error)
    try:
        _withheld[key] = weakref.ref(error, lambda _: _withheld.pop(key, None))
    except TypeError:  # those made in C take no weak reference, but attributes
        try:
            setattr(error, _MARK, True)
        except Exception:
            pass
    for said in _said_by(error):
        for text in {said, repr(said)[1:-1]}:
            if len(text) >= _SHORTEST_QUOTE:
                _remember(_quotes, text[:_QUOTE], _QUOTES_KEPT)


def _said_by(error: BaseException) -> list[str]:
    body: Any = getattr(error, "body", None)  # what the server sent, in the exceptions of generated clients
    said = [body.get("message") if isinstance(body, dict) else body]
    try:
        said.append(str(error))
    except Exception:
        pass
    return [text for text in said if isinstance(text, str)]


def withhold_quoting(error: BaseException) -> None:
    """Withhold an exception, and those it came from or holds, if they came out of a package that is not trusted."""
    if _quoting:
        for one in _chain(error):
            if not _is_marked(one) and _came_out_of(one, _quoting):
                withhold(one)


def _came_out_of(error: BaseException, packages: set[str]) -> bool:
    traceback = error.__traceback__
    while traceback is not None:
        if str(traceback.tb_frame.f_globals.get("__name__")).partition(".")[0] in packages:
            return True
        traceback = traceback.tb_next
    return False


def is_withheld(error: BaseException) -> bool:
    """Whether this exception, or one that it came from or holds, was withheld: its text may quote theirs.

    So may that of an exception which is recorded where a withheld one is being handled.
    """
    return any(_is_marked(one) for one in _chain(error, sys.exception()))


def is_quote(text: str) -> bool:
    """Whether a text has in it what a withheld exception said."""
    return any(quote in text for quote in list(_quotes))


def _is_marked(error: BaseException) -> bool:
    reference = _withheld.get(id(error))
    return (reference is not None and reference() is error) or getattr(error, _MARK, False) is True


def _chain(*errors: BaseException | None) -> Iterator[BaseException]:
    pending, seen = [*errors], set[int]()
    while pending:
        one = pending.pop()
        if one is None or id(one) in seen:
            continue
        seen.add(id(one))
        yield one
        pending += [one.__cause__, one.__context__]
        if isinstance(one, BaseExceptionGroup):
            pending += one.exceptions
