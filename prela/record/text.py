"""A trace as lines of plain text: a tree with a bar for each span's time, the same wherever text is shown.

What it leaves to others: colour, and where the lines go.
"""

from collections.abc import Iterable, Iterator, Mapping
from types import MappingProxyType
from typing import Final, NamedTuple

from prela.record import facts
from prela.record.model import SpanRecord
from prela.record.tree import Node

INTERRUPTED: Final = "interrupted"
"""The status of a pending span whose program is over, as those show it who know that; no record has it."""
MARKS: Final = {"success": "✓", "error": "✗", "cancelled": "⊘", "pending": "…", INTERRUPTED: "†"}
_ASCII_MARKS: Final = {"success": "+", "error": "x", "cancelled": "~", "pending": "?", INTERRUPTED: "!"}
PENDING_AGE: Final = "prela.pending.age"
"""In the record of a span that is open: for how many seconds it had been when it was written down."""
_BAR: Final = 24
_RUN, _READY, _WAIT = ("█", "#"), ("▓", "="), ("░", "-")
"""What a bar is made of, where it is known; and in ASCII."""


class Pending(NamedTuple):
    """What is known of a span that has not ended."""

    state: str = ""
    """"open" while its program runs, "interrupted" where that is over; empty where nobody knows."""
    heard: int = 0
    """When there was last a sign of its program, in nanoseconds since the Unix epoch; 0 where there was none."""


class Row(NamedTuple):
    """One line of a printed tree, in its parts."""

    branch: str
    """The lines that lead to the span: "│  ├─ "."""
    name: str
    span_type: str
    """Empty for an ordinary span."""
    mark: str
    duration: str
    bar: str
    note: str
    """Why it is not a success; empty otherwise."""
    status: str
    times: str = ""
    """How long it ran, was ready and waited; empty where nobody recorded it."""

    def text(self, width: int) -> str:
        """The row as plain text, its name column padded to `width`."""
        label = f"{self.branch}{self.name}" + (f" [{self.span_type}]" if self.span_type else "")
        line = f"{self.mark} {label:<{width}}  {self.duration:>8}  {self.bar}"
        return "  ".join(filter(None, (line, self.note, self.times))).rstrip()

    @property
    def label_width(self) -> int:
        return len(self.branch) + len(self.name) + (len(self.span_type) + 3 if self.span_type else 0)


_NOTHING_KNOWN: Final[Mapping[str, Pending]] = MappingProxyType({})


def rows(
    root: Node,
    *,
    ascii_only: bool = False,
    pending: Mapping[str, Pending] = _NOTHING_KNOWN,
    now: int | None = None,
) -> list[Row]:
    """Return a row for each span of a tree, depth first.

    Args:
        pending: What is known of spans that have not ended, by their ids.
        now: For the ages of these, in nanoseconds since the Unix epoch; without it they are not told.
    """
    begin, end = _extent(root)
    marks = _ASCII_MARKS if ascii_only else MARKS
    found = []
    for branch, node in branches(root, ascii_only=ascii_only):
        record = node.record
        known = pending.get(record.span_id, Pending())
        is_cut = record.status == "pending" and known.state == INTERRUPTED
        status = INTERRUPTED if is_cut else record.status
        found.append(
            Row(
                branch=branch,
                name=one_line(record.name),
                span_type="" if record.span_type == "custom" else record.span_type,
                mark=marks.get(status, "?"),
                duration="cut off" if is_cut else format_duration(record.duration),
                bar=timeline_bar(record, begin, end, ascii_only=ascii_only),
                note=note(record) or ("" if now is None else pending_note(record, known, now)),
                status=status,
                times=_times(record),
            )
        )
    return found


def pending_note(record: SpanRecord, known: Pending, now: int) -> str:
    """How long a span that has not ended has been open, or was for all that is known; empty for one that has."""
    if record.status != "pending":
        return ""
    last = last_sign(record, known.heard)
    ran = format_duration(max(0, last - record.start_time_unix_nano) / 1e9)
    if known.state == INTERRUPTED:
        return f"interrupted {format_duration(max(0, now - last) / 1e9)} ago, after {ran} at least"
    if known.state:
        return f"open for {format_duration(max(0, now - record.start_time_unix_nano) / 1e9)}"
    return f"not ended: ran for {ran} at least" if last > record.start_time_unix_nano else "not ended"


def last_sign(record: SpanRecord, heard: int) -> int:
    """When a span that has not ended is known to have been running last: when it was written down, or heard of."""
    age = facts.seconds(record.attributes.get(PENDING_AGE)) or 0.0
    return max(record.start_time_unix_nano + round(age * 1e9), heard)


def _times(record: SpanRecord) -> str:
    times = facts.times(record)
    if times is None:
        return ""
    parts = [("ran", times.run), ("ready", times.ready), ("waited", times.wait)]
    told = ", ".join(f"{word} {format_duration(seconds)}" for word, seconds in parts if seconds or word == "ran")
    return f"about: {told}" if times.is_sampled else told


def lines(root: Node, *, ascii_only: bool = False) -> list[str]:
    """Return a tree as plain lines of text."""
    found = rows(root, ascii_only=ascii_only)
    width = min(60, max(row.label_width for row in found))
    return [row.text(width) for row in found]


def branches(root: Node, *, ascii_only: bool = False) -> Iterator[tuple[str, Node]]:
    """Each node with the lines that lead to it; not recursive."""
    fork, last, pipe = ("|- ", "`- ", "|  ") if ascii_only else ("├─ ", "└─ ", "│  ")
    pending: list[tuple[str, str, Node]] = [("", "", root)]
    while pending:
        branch, below, node = pending.pop()
        yield branch, node
        for i, child in reversed(list(enumerate(node.children))):
            is_last = i == len(node.children) - 1
            pending.append((below + (last if is_last else fork), below + ("   " if is_last else pipe), child))


def _extent(root: Node) -> tuple[int, int]:
    """The time from the first start to the last end in a tree, in nanoseconds; children may outlive their parents.

    A span that has not ended reaches to where it was when it was written down: its file may have been copied since.
    """
    records = [node.record for _, node in root.walk()]
    return (
        min(r.start_time_unix_nano for r in records),
        max(r.end_time_unix_nano or last_sign(r, 0) for r in records),
    )


def timeline_bar(record: SpanRecord, begin: int, end: int, *, width: int = _BAR, ascii_only: bool = False) -> str:
    """Where a span lies between two points in time, as a bar of `width` characters."""
    full, empty = ("#", ".") if ascii_only else ("█", "·")
    span = max(1, end - begin)
    finish = end if record.end_time_unix_nano is None else record.end_time_unix_nano
    first = min(width - 1, max(0, (record.start_time_unix_nano - begin) * width // span))
    after = min(width, max(first + 1, -(-(finish - begin) * width // span)))
    return empty * first + _shaded(record, after - first, full, ascii_only) + empty * (width - after)


def _shaded(record: SpanRecord, width: int, full: str, ascii_only: bool) -> str:
    """A bar in the shares of what its span ran, was ready and waited; nobody recorded when."""
    if facts.is_wait(record):
        return _WAIT[ascii_only] * width
    times, duration = facts.times(record), record.duration
    if times is None or not duration or duration < 0:
        return full * width
    wait = min(width, round(width * times.wait / duration))
    ready = min(width - wait, round(width * times.ready / duration))
    return _RUN[ascii_only] * (width - ready - wait) + _READY[ascii_only] * ready + _WAIT[ascii_only] * wait


def format_duration(seconds: float | None) -> str:
    """A duration for people: three digits and a unit; "open" for a span that has not ended."""
    if seconds is None:
        return "open"
    for limit, factor, unit in ((1e-3, 1e6, "µs"), (1.0, 1e3, "ms"), (60.0, 1.0, "s")):
        if seconds < limit:
            return f"{seconds * factor:.3g} {unit}" if seconds * factor < 999.5 else f"{seconds * factor:.0f} {unit}"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} m {rest:02d} s"
    if minutes < 2_880:
        return f"{minutes // 60} h {minutes % 60:02d} m"
    return f"{seconds / 86_400:.3g} d" if seconds < 864e5 else f"{seconds / 86_400:.0f} d"


def one_line(text: str, most: int = 200) -> str:
    """Text from a trace, made safe for a terminal: no control characters, no line breaks, and no longer than `most`."""
    kept = text[: most + 1]
    if kept.isprintable() and len(kept) <= most:
        return kept
    clean = "".join(c if c.isprintable() else f"\\x{ord(c):02x}" for c in kept)
    return clean if len(clean) <= most else clean[:most] + "…"


_STREAMS_LEFT: Final = {"closed_early": "stream closed early", "abandoned": "stream abandoned"}


def note(record: SpanRecord) -> str:
    """Why a span is not a plain success, as one line: its error, how it was cancelled, or that it was held up, held up
    others, leaked, or left a stream; empty where it is one."""
    if record.status == "cancelled":
        cause = record.attributes.get("prela.cancel.cause", "unknown")
        return one_line(f"cancelled: {cause}", 80)
    if record.status == "error":
        return one_line(record.status_message or "error", 80)
    if facts.is_leaked(record):
        return one_line(f"leaked: started at {record.attributes.get('prela.leaked.where', 'unknown')}", 80)
    if held := sum(stall.seconds for stall in facts.stalls(record)):
        return f"held its event loop for {format_duration(held)}"
    if exposed := facts.exposed(record):
        return f"held up for {format_duration(exposed)} at most"
    return _STREAMS_LEFT.get(record.attributes.get("prela.stream.outcome"), "")  # type: ignore[arg-type]


def totals(records: Iterable[SpanRecord]) -> str:
    """One line that counts spans by status."""
    counts: dict[str, int] = {}
    for record in records:
        counts[record.status] = counts.get(record.status, 0) + 1
    total = sum(counts.values())
    parts = [f"{counts[status]} {status}" for status in MARKS if counts.get(status)]
    return f"{total} span{'' if total == 1 else 's'}: {', '.join(parts)}" if parts else "no spans"
