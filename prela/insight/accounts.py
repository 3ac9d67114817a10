"""The account of each task that has had a span, by the task's `id()`, for as long as the task exists."""

from typing import Any, Final
from weakref import ref

from prela.insight.accounting import Account


class _TaskReference(ref[Any]):
    __slots__ = ("key",)

    key: int


accounts: Final[dict[int, Account]] = {}


def account_of(task: Any, threshold: int) -> Account:
    """The account of a task, opened if need be."""
    key = id(task)
    account = accounts.get(key)
    if account is None:
        reference = _TaskReference(task, _forget)
        reference.key = key
        account = accounts.setdefault(key, Account(threshold, reference))
    return account


def _forget(reference: Any) -> None:
    accounts.pop(reference.key, None)
