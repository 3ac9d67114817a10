"""Records made of finished spans: as many at a time as may be handed on together, and with turns for others between."""

from typing import TYPE_CHECKING, Final, NamedTuple

from prela.aio.outcomes import Outcomes
from prela.aio.pacing import CHUNK, give_way, is_turn_over
from prela.core import log
from prela.core.buffer import ENCODE_FAILED
from prela.core.convert import move_plain, record_of
from prela.core.shared import Share
from prela.record.jsonl import CheckedRecords

if TYPE_CHECKING:
    from prela.core.span import Span

_HEAVY: Final = 4 * 1024 * 1024
"""Bytes beyond the ordinary charge from which a batch is handed on before it is full: what is made of so much takes
time, and at the end of the program the part that was handed on is not lost."""


class Made(NamedTuple):
    """What was made in one go."""

    records: CheckedRecords
    heavy_bytes: int
    """What they hold beyond what each is charged anyway."""
    are_charged: bool
    """Whether some hold texts that the buffer charges once for all spans."""


async def make_records(spans: "list[Span]", outcomes: Outcomes) -> Made:
    """Make records of spans, which the list loses from its end on, until it is empty or what was made is heavy.

    A span of which none can be made is counted as lost; one of a trace that is not kept, under the reason for that.
    """
    records = CheckedRecords()
    texts: set[Share] = set()
    heavy, turn = 0, CHUNK
    while spans and heavy <= _HEAVY:
        before = len(spans)
        size = _make_some(spans, records, texts, turn, outcomes)
        heavy += size
        turn -= before - len(spans)
        if turn <= 0 or (size and is_turn_over()):
            turn = CHUNK
            await give_way()
    return Made(records, heavy, bool(texts))


def _make_some(spans: "list[Span]", records: CheckedRecords, texts: set[Share], most: int, outcomes: Outcomes) -> int:
    """Make records of up to so many spans, until one needed more than most do; return the bytes that it was charged
    beyond the ordinary, but for texts charged before."""
    size = 0
    try:
        if move_plain(spans, records, most):
            return 0
        span = spans.pop()
        if (details := span._details) is not None:
            new = [share for share in details.shares if share not in texts]
            texts.update(new)
            size = span._extra_bytes() + sum(share.size for share in new)
        verdict = span._trace.verdict
        if verdict is None or verdict.keeps:
            record = record_of(span)
            if span._parent is None and record.parent_span_id is not None:
                records.local_roots.add(len(records))
            records.append_unplain(record)
        else:
            outcomes.refuse(verdict.why, 1)  # decided under settings before these
    except Exception as error:
        log.failed("making a record", error)
        outcomes.lose(ENCODE_FAILED, 1)
    return size
