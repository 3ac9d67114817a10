"""Who waits for a flush, and until when: each asks from any thread, and is answered in the worker's loop."""

from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, InvalidStateError
from typing import NamedTuple


class _Flush(NamedTuple):
    """Somebody waits until the first `target` spans of the buffer are answered for."""

    target: int
    answer: "Future[bool]"


class Flushes:
    """Those asked for, and those that wait."""

    __slots__ = ("_requests", "_waiting")

    def __init__(self) -> None:
        self._requests: deque[Future[bool]] = deque()
        self._waiting: list[_Flush] = []

    def __bool__(self) -> bool:
        """Whether anybody waits who was let in."""
        return bool(self._waiting)

    @property
    def are_asked_for(self) -> bool:
        """Whether there are any that were not let in yet."""
        return bool(self._requests)

    def ask(self) -> "Future[bool]":
        """Ask for one, from any thread."""
        answer: Future[bool] = Future()
        self._requests.append(answer)
        return answer

    def let_in(self, taken_and_queued: Callable[[], int]) -> None:
        """Those asked for so far wait for as many spans as there are; counted after each was seen to ask."""
        while self._requests:
            request = self._requests.popleft()
            self._waiting.append(_Flush(taken_and_queued(), request))

    def furthest_of(self, taken: int) -> int | None:
        """The most that anybody waits for who needs no more spans than were taken; None where there is nobody."""
        return max((flush.target for flush in self._waiting if flush.target <= taken), default=None)

    def answer(self, reached: int) -> None:
        """So many spans are answered for: answer those who wait for no more."""
        waiting, self._waiting = self._waiting, []
        for flush in waiting:
            if reached >= flush.target:
                reply(flush.answer, True)
            else:
                self._waiting.append(flush)

    def answer_everybody(self, reached: int, went_well: bool) -> None:
        """The same at the end, after which there is nothing to wait for; `went_well`: for those who have just asked."""
        self.answer(reached)
        for flush in self._waiting:
            reply(flush.answer, False)
        self._waiting = []
        while True:
            try:
                request = self._requests.popleft()
            except IndexError:
                return  # there is none, or another thread was quicker
            reply(request, went_well)


def reply(answer: "Future[bool]", value: bool) -> None:
    """Answer, unless that was done already."""
    try:
        answer.set_result(value)
    except InvalidStateError:
        pass
