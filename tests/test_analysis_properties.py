"""What holds for the analysis of every trace, whatever a file may hold; found again by counting nanoseconds."""

from hypothesis import given
from hypothesis import strategies as st

from prela.record.flat import FlatForest, flatten
from prela.record.model import SpanRecord
from prela.record.tree import forest
from prela.store.analysis import compare, concurrency, critical_path, idle_gaps, self_times
from prela.store.analysis.self_time import self_nanoseconds
from tests.traces import any_records, orderly_records

Records = list[SpanRecord]


def is_open(flat: FlatForest, i: int, time: int) -> bool:
    return flat.starts[i] <= time < flat.ends[i]


def moments(flat: FlatForest) -> range:
    return range(min(flat.starts), max(flat.ends))


def at_work(flat: FlatForest, time: int) -> list[int]:
    """The spans that are open while none of their children is."""
    return [
        i
        for i in range(len(flat.records))
        if is_open(flat, i, time) and not any(is_open(flat, child, time) for child in flat.children[i])
    ]


@given(any_records())
def test_self_time_is_the_time_in_which_a_span_was_at_work(records: Records) -> None:
    flat = flatten(forest(records))
    working = [i for time in moments(flat) for i in at_work(flat, time)]
    assert self_nanoseconds(flat) == [working.count(i) for i in range(len(records))]


@given(orderly_records())
def test_self_times_of_children_that_do_not_overlap_add_up_to_the_root(records: Records) -> None:
    roots = forest(records)
    assert sum(self_nanoseconds(flatten(roots))) == roots[0].record.end_time_unix_nano - records[0].start_time_unix_nano  # type: ignore[operator]


@given(any_records())
def test_the_critical_path_covers_the_extent_without_gap_or_overlap(records: Records) -> None:
    roots = forest(records)
    start, end = flatten(roots).extent
    path = critical_path(roots)
    reached = start
    for segment in path.segments:
        assert segment.start_time_unix_nano == reached
        assert segment.end_time_unix_nano > reached
        reached = segment.end_time_unix_nano
    assert reached == end
    if len(roots) == 1:
        assert all(segment.record is not None for segment in path.segments)


@given(any_records())
def test_a_segment_of_the_path_lies_within_its_span(records: Records) -> None:
    roots = forest(records)
    flat = flatten(roots)
    numbers = {record.span_id: i for i, record in enumerate(flat.records)}
    for segment in critical_path(roots).segments:
        if segment.record is None:
            assert not any(is_open(flat, i, segment.start_time_unix_nano) for i in flat.roots)
        else:
            i = numbers[segment.record.span_id]
            assert flat.starts[i] <= segment.start_time_unix_nano < segment.end_time_unix_nano <= flat.ends[i]


@given(any_records(plain=True))
def test_by_timing_the_path_is_what_the_definition_says(records: Records) -> None:
    roots = forest(records)[:1]
    flat = flatten(roots)
    found = [(s.record, s.start_time_unix_nano, s.end_time_unix_nano) for s in critical_path(roots).segments]
    expected = [(flat.records[i], start, end) for i, start, end in defined_path(flat, 0, flat.starts[0])][::-1]
    assert found == expected


def defined_path(flat: FlatForest, span: int, floor: int) -> list[tuple[int, int, int]]:
    """The definition, taken literally: segments from the end of a span to its start."""
    floor = max(floor, flat.starts[span])
    cursor = flat.ends[span]
    segments: list[tuple[int, int, int]] = []
    while True:
        ended = [
            child
            for child in flat.children[span]
            if floor < flat.ends[child] <= cursor and flat.starts[child] < flat.ends[child]
        ]
        last = min(ended, key=lambda i: (-flat.ends[i], flat.starts[i], flat.records[i].span_id), default=None)
        since = floor if last is None else flat.ends[last]
        if since < cursor:
            segments.append((span, since, cursor))
        if last is None:
            return segments
        segments += defined_path(flat, last, floor)
        cursor = max(floor, flat.starts[last])


@given(any_records(), st.randoms())
def test_the_order_of_the_records_makes_no_difference(records: Records, random: object) -> None:
    shuffled = records.copy()
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    one, other = forest(records), forest(shuffled)
    assert critical_path(one) == critical_path(other)
    assert idle_gaps(one) == idle_gaps(other)
    assert self_times(one) == self_times(other)


@given(any_records())
def test_the_profile_is_the_number_of_spans_at_work_at_every_moment(records: Records) -> None:
    flat = flatten(forest(records))
    found = concurrency(forest(records))
    counts = {time: at_work(flat, time) for time in moments(flat)}
    for profile, chosen in ((found.all, None), *((p, name) for name, p in found.by_type.items())):
        steps = dict(profile.steps)
        assert list(steps) == sorted(steps)
        running = 0
        for time, working in counts.items():
            running = steps.get(time, running)
            assert running == sum(chosen in (None, flat.records[i].span_type) for i in working)
        assert profile.steps == () or profile.steps[-1].running == 0


@given(any_records())
def test_the_integral_of_the_profile_is_the_sum_of_all_self_times(records: Records) -> None:
    roots = forest(records)
    profile = concurrency(roots)
    total = sum(self_nanoseconds(flatten(roots))) / 1e9
    assert profile.all.total == total
    assert round(sum(one.total for one in profile.by_type.values()) * 1e9) == round(total * 1e9)
    assert 0.0 <= profile.all.serial_share <= 1.0


@given(any_records())
def test_gaps_are_exactly_the_moments_in_which_no_leaf_was_open(records: Records) -> None:
    roots = forest(records)
    flat = flatten(roots)
    leaves = [i for i, children in enumerate(flat.children) if not children]
    expected = {time for time in range(*flat.extent) if not any(is_open(flat, i, time) for i in leaves)}
    found = idle_gaps(roots)
    covered = [time for gap in found for time in range(gap.start_time_unix_nano, gap.end_time_unix_nano)]
    assert len(covered) == len(set(covered))
    assert set(covered) == expected
    assert [gap.duration for gap in found] == sorted((gap.duration for gap in found), reverse=True)
    for gap in found:
        around = [
            i
            for i in range(len(flat.records))
            if flat.starts[i] <= gap.start_time_unix_nano and gap.end_time_unix_nano <= flat.ends[i]
        ]
        if gap.record is None:
            assert not around
        else:
            depths = {flat.records[i].span_id: flat.depths[i] for i in around}
            assert depths[gap.record.span_id] == max(depths.values())


@given(any_records())
def test_a_trace_compared_with_itself_is_not_different(records: Records) -> None:
    assert compare(forest(records), forest(records)).changes == ()


@given(any_records(), any_records())
def test_the_changes_of_self_time_add_up_to_that_of_all_work(before: Records, after: Records) -> None:
    one, other = forest(before), forest(after)
    found = compare(one, other)
    expected = sum(self_nanoseconds(flatten(other))) - sum(self_nanoseconds(flatten(one)))
    assert round(sum(change.self_change for change in found.changes) * 1e9) == expected
    back = compare(other, one)
    assert sorted(change.change for change in back.changes) == sorted(-change.change for change in found.changes)
    seen = [r.span_id for change in found.changes for r in change.before.records]
    assert len(seen) == len(set(seen))
