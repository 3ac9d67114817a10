"""The trace folder's stores, lent to threads.

A `Store` is for one thread at a time, and bringing its index up to date may take long. So one thread of ours does
that, whenever somebody has asked; and questions are answered by other stores on the same index, several at once. A
question waits a moment for what is new, and then goes on with what there is: so the pages are alive while the first
index of a large folder is made.

Plain threads: nothing here knows an event loop.
"""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Final, NamedTuple, Self, TypeVar

from prela.store.store import Counts, Progress, Store

T = TypeVar("T")

_PATIENCE: Final = 1.0
"""Seconds that a question waits for what is new."""
_WORTH_TELLING: Final = 8 * 1024 * 1024
"""Bytes of new lines from which their reading is told of."""
_MOST_IDLE: Final = 4
"""Stores kept open for the next question."""


class State(NamedTuple):
    """What is known of the folder now."""

    counts: Counts
    notice: str | None
    """What stood in the way; None if all is as usual."""
    indexing: Progress | None
    """How far the reading of much that is new has come."""


class _ClosingError(Exception):
    """Ends a reading under way."""


class Reading:
    """A trace folder that many threads may ask at once. Use it with `with`, or `close()` it.

    Args:
        folder: Need not exist.
        patience: Seconds that a question waits for what is new in the folder.
    """

    def __init__(self, folder: Path, *, patience: float = _PATIENCE) -> None:
        self.folder: Path = folder
        self._patience = patience
        self._changed = threading.Condition()
        self._asked = 0  # how often somebody wanted the index to be brought up to date
        self._done = 0  # up to which of these times it has been
        self._is_closing = False
        self._keeper_thread: threading.Thread | None = None
        self._index: Path | None = None
        self._state = State(Counts(0, 0, 0, 0), None, None)
        self._keeper: Store | None = None
        self._keeping = threading.RLock()  # whoever has it may use the keeper
        self._idle: list[Store] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End what is being read, and let go of the index. No question may be under way, and none may come."""
        with self._changed:
            self._is_closing = True
            self._changed.notify_all()
        if self._keeper_thread is not None:
            self._keeper_thread.join()
        for store in [*self._idle, *([self._keeper] if self._keeper else [])]:
            store.close()
        self._idle.clear()
        self._keeper = None

    def ask(self, question: Callable[[Store], T]) -> T:
        """Ask a store, after what is new has been taken in or has kept us waiting for long enough."""
        self._wait_for_news()
        with self._lent() as store:
            return question(store)

    def state(self) -> State:
        """What is known of the folder now; waits no longer than a question does, and not at all for a large reading."""
        self._wait_for_news()
        return self._state

    # --- those who ask --------------------------------------------------------------------------------------------

    def _wait_for_news(self) -> None:
        with self._changed:
            self._asked += 1
            ticket = self._asked
            if self._keeper_thread is None:
                self._keeper_thread = threading.Thread(target=self._keep, name="prela-web-index", daemon=True)
                self._keeper_thread.start()
            self._changed.notify_all()
            self._changed.wait_for(
                lambda: self._done >= ticket or self._is_closing or self._state.indexing is not None, self._patience
            )

    @contextmanager
    def _lent(self) -> Iterator[Store]:
        """A store for one question. An index in memory has one store only, which does both."""
        path = self._index
        if path is None:
            with self._keeping:
                yield self._kept()
            return
        store = self._idle_store(path) or Store(self.folder, path, refreshes=False)
        try:
            yield store
        finally:
            with self._changed:
                is_kept = len(self._idle) < _MOST_IDLE and store.index_path == self._index and not self._is_closing
                if is_kept:
                    self._idle.append(store)
            if not is_kept:
                store.close()

    def _idle_store(self, path: Path) -> Store | None:
        with self._changed:
            store = self._idle.pop() if self._idle else None
        if store is not None and store.index_path != path:
            store.close()  # it is of a place where the index is no more
            return None
        return store

    # --- the one who keeps the index up to date -------------------------------------------------------------------

    def _keep(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._asked > self._done or self._is_closing)
                if self._is_closing:
                    return
                covers = self._asked
            state = self._brought_up_to_date()
            with self._changed:
                if state is not None:
                    self._state = state
                self._done = covers
                self._changed.notify_all()

    def _brought_up_to_date(self) -> State | None:
        """None where there was no time to."""
        try:
            with self._keeping:
                store = self._kept()
                store.refresh()
                self._index = store.index_path
                return State(store.counts(), store.notice, None)
        except _ClosingError:
            return None
        except Exception as error:  # a folder that may not be read: said to those who look, who are shown what there is
            return State(self._state.counts, f"the folder could not be read: {error}", None)

    def _kept(self) -> Store:
        if self._keeper is None:
            self._keeper = Store(self.folder, on_progress=self._on_progress, refreshes=False)
            self._index = self._keeper.index_path
        return self._keeper

    def _on_progress(self, progress: Progress) -> None:
        if self._is_closing:
            raise _ClosingError
        if progress.total >= _WORTH_TELLING:
            with self._changed:
                self._state = self._state._replace(indexing=progress)
                self._changed.notify_all()
