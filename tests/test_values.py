"""Any Python value becomes a bounded plain value, and a plain value goes through JSON and comes back the same."""

import dataclasses
import datetime
import decimal
import enum
import json
import math
import pathlib
import uuid
from array import array
from collections import OrderedDict, defaultdict, deque, namedtuple
from types import MappingProxyType
from typing import Any, NamedTuple

import msgspec
import pydantic
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

import prela
from prela.record import jsonl
from prela.record.values import DEPTH_LIMIT, Snapshot, attributes_from_json, attributes_to_json, snapshot, to_json
from prela.record.values import from_json as back_from_json
from prela.testing import Recorder

# --- what hypothesis draws from -----------------------------------------------------------------------------------

dollars = st.sampled_from(["$bytes", "$float", "$int", "$dict", "$", "$other"])
texts = st.text(max_size=20)
keys = texts | dollars
plain_leaves = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(min_value=-(10**40), max_value=10**40)
    | st.floats()
    | texts
    | st.binary(max_size=20)
)
plain_values = st.recursive(
    plain_leaves, lambda inner: st.lists(inner, max_size=5) | st.dictionaries(keys, inner, max_size=4), max_leaves=20
)
hashable_leaves = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=10) | st.binary(max_size=9)
surrogates = st.text(st.characters(categories=["Cs", "L"]), max_size=8)
any_leaves = (
    hashable_leaves
    | surrogates
    | st.complex_numbers()
    | st.decimals()
    | st.fractions()
    | st.datetimes()
    | st.dates()
    | st.times()
    | st.timedeltas()
    | st.uuids()
    | st.binary(max_size=9).map(bytearray)
    | st.binary(max_size=9).map(memoryview)
    | st.just(object())
    | st.sampled_from([int, print, ..., NotImplemented, ValueError("x"), range(5), 10**3000, prela.SpanType.LLM])
)
any_values = st.recursive(
    any_leaves,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.lists(inner, max_size=4).map(tuple)
        | st.lists(inner, max_size=4).map(deque)
        | st.sets(hashable_leaves, max_size=4)
        | st.frozensets(hashable_leaves, max_size=4)
        | st.dictionaries(hashable_leaves | surrogates, inner, max_size=4)
        | st.dictionaries(st.tuples(hashable_leaves), inner, max_size=2)
        | st.dictionaries(keys, inner, max_size=4).map(MappingProxyType)
    ),
    max_leaves=25,
)


def is_plain(value: Any) -> bool:
    if type(value) is list:
        return all(is_plain(item) for item in value)
    if type(value) is dict:
        return all(type(key) is str and is_plain(item) for key, item in value.items())
    return type(value) in {str, int, float, bool, type(None), bytes}


def same(a: Any, b: Any) -> bool:
    """Equal, and of equal types throughout; nan is itself, and 0.0 is not -0.0."""
    if type(a) is not type(b):
        return False
    if type(a) is list:
        return len(a) == len(b) and all(map(same, a, b))
    if type(a) is dict:
        return list(a) == list(b) and all(map(same, a.values(), b.values()))
    if type(a) is float:
        return (math.isnan(a) and math.isnan(b)) or (a == b and math.copysign(1, a) == math.copysign(1, b))
    return bool(a == b)


def strict_json(value: Any) -> str:
    return json.dumps(value, allow_nan=False, ensure_ascii=False)


# --- plain values and JSON ----------------------------------------------------------------------------------------


@settings(deadline=None)
@given(plain_values)
@example({"$bytes": "aGk="})
@example({"$dict": {"$dict": {}}})
@example([math.nan, math.inf, -math.inf, -0.0, 2**64, -(2**63) - 1, 2**63, 10**40, b"", b"\xff"])
def test_plain_values_go_through_json_and_come_back_the_same(value: Any) -> None:
    text = strict_json(to_json(value))
    text.encode()
    assert same(back_from_json(json.loads(text)), value)


@settings(deadline=None)
@given(st.dictionaries(keys, plain_values, max_size=5))
@example({"$bytes": "aGk="})
def test_attributes_go_through_json_and_come_back_the_same(attributes: dict[str, Any]) -> None:
    text = strict_json(attributes_to_json(attributes))
    assert same(attributes_from_json(json.loads(text)), attributes)


def test_what_json_lacks_is_tagged() -> None:
    assert to_json(b"hi") == {"$bytes": "aGk="}
    assert to_json(math.nan) == {"$float": "nan"}
    assert to_json([math.inf, -math.inf]) == [{"$float": "inf"}, {"$float": "-inf"}]
    assert to_json(2**64) == {"$int": "18446744073709551616"}
    assert to_json(2**64 - 1) == 2**64 - 1
    assert to_json(-(2**63)) == -(2**63)
    assert to_json(-(2**63) - 1) == {"$int": "-9223372036854775809"}
    assert to_json({"$bytes": 1}) == {"$dict": {"$bytes": 1}}
    assert to_json({"$a": 1, "$b": 2}) == {"$a": 1, "$b": 2}


@pytest.mark.parametrize(
    "value",
    [{"$new": 1}, {"$bytes": 5}, {"$int": "x"}, {"$int": None}, {"$float": []}, {"$dict": 5}, {"$bytes": "a"}],
)
def test_a_tag_that_is_not_ours_or_not_well_formed_is_left_as_it_stands(value: Any) -> None:
    assert back_from_json(value) == value


@settings(deadline=None)
@given(surrogates)
def test_lone_surrogates_become_escapes_that_any_reader_takes(text: str) -> None:
    encoded = to_json(text)
    encoded.encode()
    assert encoded == text.encode(errors="backslashreplace").decode()
    assert list(to_json({text: 1})) == [encoded]


# --- any value at all ---------------------------------------------------------------------------------------------


@settings(deadline=None)
@given(any_values)
def test_any_value_becomes_a_plain_value_that_json_holds(value: Any) -> None:
    taken = snapshot(value)
    assert is_plain(taken)
    assert same(snapshot(taken), taken)
    text = strict_json(to_json(taken))
    text.encode()
    json.loads(text)


@settings(deadline=None)
@given(plain_values)
def test_a_plain_value_is_its_own_snapshot_and_shares_nothing_mutable(value: Any) -> None:
    def containers(tree: Any) -> list[int]:
        if type(tree) is list:
            return [id(tree), *(found for item in tree for found in containers(item))]
        if type(tree) is dict:
            return [id(tree), *(found for item in tree.values() for found in containers(item))]
        return []

    taken = snapshot(value)
    assert same(taken, value)
    assert set(containers(taken)).isdisjoint(containers(value))


@settings(max_examples=30, deadline=None)
@given(value=any_values, key=st.text(max_size=10) | surrogates)
def test_a_span_with_any_value_is_written_and_read_back(value: Any, key: str) -> None:
    from prela.testing import recording

    with recording() as spans:
        with prela.get_tracer().span("span") as span:
            span.set_attribute(key, value)
        (record,) = spans.records
    line = jsonl.encode(record)
    json.loads(line)
    assert line.count(b"\n") == 1
    assert len(jsonl.decode(line).attributes) == len(record.attributes)


def count_nodes(value: Any) -> int:
    if type(value) is list:
        return 1 + sum(map(count_nodes, value))
    return 1 + sum(map(count_nodes, value.values())) if type(value) is dict else 1


@settings(deadline=None)
@given(any_values, st.integers(1, 8), st.integers(1, 10))
def test_a_snapshot_never_exceeds_its_bounds(value: Any, node_limit: int, string_limit: int) -> None:
    taken = Snapshot(string_limit, node_limit)
    plain = taken.take(value)
    assert is_plain(plain)
    # each container may carry one mark, and there are no more containers than nodes
    assert count_nodes(plain) <= 2 * (node_limit + 1)
    assert taken.size > 0

    def leaves(tree: Any) -> Any:
        if type(tree) is list:
            for item in tree:
                yield from leaves(item)
        elif type(tree) is dict:
            yield from tree
            yield from leaves(list(tree.values()))
        elif type(tree) in {str, bytes}:
            yield tree

    assert all(len(leaf) <= string_limit + 60 or leaf.startswith("<") for leaf in leaves(plain))


# --- bounds -------------------------------------------------------------------------------------------------------


def test_cuts_are_marked_where_they_were_made_and_counted() -> None:
    taken = Snapshot(5, 4)
    assert taken.take(["123456", list(range(9))]) == ["12345… [1 more characters cut]", [0, 1, "[7 more items cut]"]]
    assert taken.cuts == 2


def test_a_cycle_is_named_and_not_followed() -> None:
    cyclic: list[Any] = [1]
    cyclic.append(cyclic)
    mapping: dict[str, Any] = {"list": cyclic}
    mapping["self"] = mapping
    assert snapshot(cyclic) == [1, "[a cycle]"]
    assert snapshot(mapping) == {"list": [1, "[a cycle]"], "self": "[a cycle]"}


def test_what_stands_twice_side_by_side_is_no_cycle() -> None:
    shared = [1]
    assert snapshot([shared, shared, {"a": shared}]) == [[1], [1], {"a": [1]}]


def test_depth_is_bounded_and_the_cut_is_counted() -> None:
    deep: list[Any] = []
    for _ in range(100_000):
        deep = [deep]
    taken = Snapshot()
    plain, levels = taken.take(deep), 0
    while isinstance(plain, list):
        plain, levels = plain[0], levels + 1
    assert (plain, levels, taken.cuts) == ("[too deep]", DEPTH_LIMIT, 1)
    while deep:  # by hand: its own destructor is recursive
        deep = deep.pop()


def test_many_nodes_in_all_are_bounded_across_containers() -> None:
    taken = snapshot([list(range(100)) for _ in range(100)], node_limit=150)
    assert [len(inner) for inner in taken[:2]] == [51, 1]
    assert taken[0][-1] == "[50 more items cut]"
    assert taken[1] == ["[100 more items cut]"]


def test_huge_integers_are_named_and_others_kept() -> None:
    assert snapshot(10**2_000) == 10**2_000
    assert snapshot(1 << 100_000) == "[an integer of 100001 bits]"
    assert back_from_json(json.loads(strict_json(to_json(snapshot(10**2_000))))) == 10**2_000


def test_bytes_of_every_kind_are_bytes_and_cut() -> None:
    assert snapshot([b"ab", bytearray(b"ab"), memoryview(b"ab")]) == [b"ab"] * 3
    taken = Snapshot(string_limit=3)
    assert taken.take(b"abcdef") == b"abc"
    assert taken.cuts == 1


def test_size_grows_with_what_is_held() -> None:
    def size(value: Any) -> int:
        taken = Snapshot()
        taken.take(value)
        return taken.size

    assert size("x" * 10_000) >= 10_000
    assert size(b"x" * 10_000) >= 10_000
    assert size(list(range(1_000))) > size(list(range(10))) > size(1)


# --- foreign objects ----------------------------------------------------------------------------------------------


class Colour(enum.Enum):
    RED = "red"
    MANY = [1, 2]  # noqa: RUF012


class Level(enum.IntEnum):
    HIGH = 3


class Flags(enum.Flag):
    A = 1
    B = 2


class Model(pydantic.BaseModel):
    name: str
    tags: list[str] = ["a"]
    inner: "Model | None" = None


@dataclasses.dataclass
class Data:
    x: Any
    y: int = 2


@dataclasses.dataclass(slots=True, frozen=True)
class Slotted:
    x: Any


class Struct(msgspec.Struct):
    a: int


class Point(NamedTuple):
    x: int
    y: int


OldPoint = namedtuple("OldPoint", "x y")


class TextKind(str):
    def __str__(self) -> str:
        return "lies"


class Number(int):
    pass


class ListKind(list):  # type: ignore[type-arg]
    pass


AT = datetime.datetime(2024, 5, 17, 12, 30, tzinfo=datetime.UTC)


@pytest.mark.parametrize(
    ("value", "plain"),
    [
        (Colour.RED, "red"),
        (Colour.MANY, [1, 2]),
        (Level.HIGH, 3),
        (Flags.A | Flags.B, 3),
        (prela.SpanType.LLM, "llm"),
        (
            Model(name="m", inner=Model(name="n")),
            {"name": "m", "tags": ["a"], "inner": {"name": "n", "tags": ["a"], "inner": None}},
        ),
        (Data([1]), {"x": [1], "y": 2}),
        (Data(Data(Slotted(1))), {"x": {"x": {"x": 1}, "y": 2}, "y": 2}),
        (Struct(1), {"a": 1}),
        (Point(1, 2), {"x": 1, "y": 2}),
        (OldPoint(1, 2), {"x": 1, "y": 2}),
        (AT, "2024-05-17T12:30:00+00:00"),
        (AT.date(), "2024-05-17"),
        (AT.time(), "12:30:00"),
        (datetime.timedelta(hours=1, seconds=2), "1:00:02"),
        (uuid.UUID(int=5), "00000000-0000-0000-0000-000000000005"),
        (decimal.Decimal("1.50"), "1.50"),
        (pathlib.PurePosixPath("a/b"), "a/b"),
        ({1}, [1]),
        (frozenset({"a"}), ["a"]),
        (deque([1, deque([2])]), [1, [2]]),
        (range(3), [0, 1, 2]),
        ({"a": 1}.keys(), ["a"]),
        ({"a": 1}.values(), [1]),
        ({"a": 1}.items(), [["a", 1]]),
        (OrderedDict(a=1), {"a": 1}),
        (defaultdict(int, a=1), {"a": 1}),
        (MappingProxyType({"a": 1}), {"a": 1}),
        ((1, (2,)), [1, [2]]),
        (TextKind("text"), "text"),
        (Number(5), 5),
        (ListKind([1]), [1]),
        ({1: "a", 2.5: "b", False: "c"}, {"1": "a", "2.5": "b", "False": "c"}),
        ({None: "d", (1, 2): "e", b"k": "f"}, {"None": "d", "(1, 2)": "e", "b'k'": "f"}),
        (1j, "1j"),
        (int, "<class 'int'>"),
        (ValueError("x"), "ValueError('x')"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_foreign_objects_become_what_they_say_of_themselves(value: Any, plain: Any) -> None:
    assert same(snapshot(value), plain)


class RaisingRepr:
    def __repr__(self) -> str:
        raise RuntimeError("no")

    __str__ = __repr__


class RaisingDump:
    def model_dump(self) -> Any:
        raise RuntimeError("no")


class RaisingLength(list):  # type: ignore[type-arg]
    def __len__(self) -> int:
        raise RuntimeError("no")


class ReprThatIsNoText:
    def __repr__(self) -> Any:
        return 5


class RaisingKey:
    def __repr__(self) -> str:
        raise LookupError("no")


@pytest.mark.parametrize("value", [RaisingRepr(), RaisingDump(), RaisingLength(), ReprThatIsNoText()])
def test_an_object_that_raises_when_asked_is_named_instead(value: Any) -> None:
    text = snapshot(value)
    assert type(text) is str
    assert text.startswith(f"<{__name__}.{type(value).__qualname__}: ")
    assert "Error" in text
    assert snapshot([1, value, {"k": value}]) == [1, text, {"k": text}]


def test_a_key_that_raises_when_asked_is_named_instead() -> None:
    assert snapshot({RaisingKey(): 1}) == {f"<{__name__}.RaisingKey: LookupError in __repr__>": 1}


def test_a_repr_is_bounded_as_any_string() -> None:
    class Long:
        def __repr__(self) -> str:
            return "x" * 1_000_000

    assert snapshot(Long(), 100) == "x" * 100 + "… [999900 more characters cut]"


def test_a_dataclass_that_holds_itself_is_named_and_not_followed() -> None:
    value = Data(None)
    value.x = [value]
    assert snapshot(value) == {"x": ["[a cycle]"], "y": 2}


def test_a_large_container_costs_no_more_than_its_bound(tracer: prela.Tracer, prela_spans: Recorder) -> None:
    with tracer.span("span") as span:
        span.set_attribute("deque", deque(range(100_000)))
        span.set_attribute("keys", dict.fromkeys(range(100_000)).keys())
    for name in ("deque", "keys"):
        assert prela_spans["span"].attributes[name] == [*range(10_000), "[90000 more items cut]"]
    assert prela_spans["span"].attributes["prela.cuts"] == 2


def test_a_view_of_memory_is_its_bytes_and_one_that_is_gone_costs_itself_only() -> None:
    numbers = memoryview(array("d", [1.0] * 100_000))
    gone = memoryview(b"x")
    gone.release()
    taken = snapshot({"view": memoryview(b"abc"), "scalar": memoryview(b"a").cast("B", ()), "gone": gone, "n": numbers})
    assert (taken["view"], taken["scalar"]) == (b"abc", b"a")
    assert "ValueError" in taken["gone"]
    assert len(taken["n"]) == 65_536


def test_a_repr_that_is_no_plain_string_is_made_one() -> None:
    class Text(str):
        pass

    class Odd:
        def __repr__(self) -> str:
            return Text("odd")

    assert type(snapshot(Odd())) is str
