"""W3C Trace Context and Baggage: what is written into a carrier, what is read, and what is passed over."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import prela
from prela import SpanContext, get_tracer
from prela.record import jsonl
from prela.testing import Recorder, recording
from tests.conftest import ROOT

TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
GOOD = f"00-{TRACE}-{SPAN}-01"


@pytest.fixture
def recorder() -> Iterator[Recorder]:
    with recording() as found:
        yield found


def parent_of(*traceparents: str, state: str | list[str] = "") -> SpanContext | None:
    states = [state] if isinstance(state, str) else state
    pairs = [("traceparent", text) for text in traceparents]
    return prela.extract([*pairs, *(("tracestate", text) for text in states)]).parent


# --- traceparent ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "sampled"),
    [
        (GOOD, True),
        (f"  {GOOD}\t", True),
        (f"00-{TRACE}-{SPAN}-00", False),
        (f"00-{TRACE}-{SPAN}-03", True),  # the flag "random" of level 2
        (f"00-{TRACE}-{SPAN}-fe", False),  # flags nobody knows
        (f"01-{TRACE}-{SPAN}-01", True),  # a version of the future
        (f"cc-{TRACE}-{SPAN}-01-what-the-future-will-be-like", True),
    ],
)
def test_a_good_traceparent_is_the_parent(text: str, sampled: bool) -> None:
    assert parent_of(text) == SpanContext(TRACE, SPAN, sampled, "", True)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "00",
        GOOD[:-1],
        GOOD + "-extra",  # not in version 00
        GOOD + "-",
        f"ff-{TRACE}-{SPAN}-01",
        f"cc-{TRACE}-{SPAN}-01.what",
        f"00-{'0' * 32}-{SPAN}-01",
        f"00-{TRACE}-{'0' * 16}-01",
        f"00-{TRACE.upper()}-{SPAN}-01",
        f"00-{TRACE}-{SPAN}-0G",
        f"00-{TRACE[:-1]}g-{SPAN}-01",
        f"00 {TRACE} {SPAN} 01",
        f"00-{TRACE}-{SPAN}-01\n",
        f"００-{TRACE}-{SPAN}-01",
    ],
)
def test_a_bad_traceparent_is_none_and_its_tracestate_with_it(text: str) -> None:
    assert parent_of(text, state="a=1") is None


def test_two_traceparents_contradict_each_other() -> None:
    assert parent_of(GOOD, GOOD) is None
    assert prela.extract({"traceparent": f"{GOOD}, {GOOD}"}).parent is None


@pytest.mark.parametrize("name", ["traceparent", "Traceparent", "TRACEPARENT", b"traceparent"])
@pytest.mark.parametrize("value", [GOOD, GOOD.encode(), [GOOD]])
def test_headers_are_found_in_any_case_as_text_and_as_bytes(name: Any, value: Any) -> None:
    for carrier in ({name: value}, [(name, value)], iter([(b"x", b"\xff"), (name, value)])):
        parent = prela.extract(carrier).parent
        assert parent is not None
        assert parent.trace_id == TRACE


@pytest.mark.parametrize("carrier", [None, 3, [1], [(1, 2, 3)], {"traceparent": None}, {"traceparent": object()}, "x"])
def test_what_is_no_carrier_holds_nothing(carrier: Any) -> None:
    assert prela.extract(carrier) == (None, {})
    with prela.attach(carrier) as remote:
        assert remote.parent is None


# --- tracestate -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("states", "found"),
    [
        (["a=1,b=2"], "a=1,b=2"),
        (["a=1", "b=2"], "a=1,b=2"),
        ([" a=1 ,\t b= 2 ,, "], "a=1,b= 2"),
        (["tenant@system=x", "0t@s=y"], "tenant@system=x,0t@s=y"),
        (["a=!\"#$%&'()*+-./:;<>?@[]^`{|}~"], "a=!\"#$%&'()*+-./:;<>?@[]^`{|}~"),
        ([",".join(f"k{n}=v" for n in range(32))], ",".join(f"k{n}=v" for n in range(32))),
        ([",".join(f"k{n}=v" for n in range(33))], ""),
        ([f"{'k' * 256}={'v' * 256}"], f"{'k' * 256}={'v' * 256}"),
        ([f"{'k' * 257}=v"], ""),
        ([f"k={'v' * 257}"], ""),
        (["a=1,a=2"], ""),
        (["A=1"], ""),
        (["0=1,a@b@c=2"], "0=1,a@b@c=2"),  # keys that level 2 allows
        (["@a=1"], ""),
        (["_a=1"], ""),
        (["a"], ""),
        (["a="], ""),
        (["a=b=c"], ""),
        (["a=ü"], ""),
    ],
)
def test_a_tracestate_goes_on_as_it_is_or_not_at_all(states: list[str], found: str) -> None:
    parent = parent_of(GOOD, state=states)
    assert parent is not None
    assert parent.trace_state == found
    assert prela.inject({}, parent).get("tracestate", "") == found


# --- baggage ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("a=1,b=2", {"a": "1", "b": "2"}),
        (" a = 1 , b\t=\t2 ", {"a": "1", "b": "2"}),
        ("a=1;ttl=5;secret,b=2", {"a": "1", "b": "2"}),
        ("a=%20x%2C%C3%BC%25", {"a": " x,ü%"}),
        ("a=%FFx", {"a": "�x"}),
        ("a=b=c", {"a": "b=c"}),
        ("a=", {"a": ""}),
        ("a,=1,b c=2,ü=3,d=4,,", {"d": "4"}),
        ("a=1,a=2", {"a": "2"}),
        (",".join(f"k{n}=v" for n in range(100)), {f"k{n}": "v" for n in range(64)}),
    ],
)
def test_baggage_is_read(text: str, found: dict[str, str]) -> None:
    assert prela.extract({"baggage": text}).baggage == found


def test_several_baggage_headers_are_one() -> None:
    assert prela.extract([("baggage", "a=1"), (b"Baggage", b"b=2")]).baggage == {"a": "1", "b": "2"}


@given(st.dictionaries(st.text("abcXYZ019!#$&'*+-.^_`|~", min_size=1, max_size=9), st.text(max_size=9), max_size=9))
def test_baggage_that_is_sent_is_what_is_read(entries: dict[str, str]) -> None:
    with prela.attach(prela.RemoteContext(None, entries)):
        headers = prela.inject({})
    expected = {name: value.encode(errors="replace").decode() for name, value in entries.items()}
    assert prela.extract(headers).baggage == expected
    assert headers.get("baggage", "").isascii()
    assert "traceparent" not in headers


def test_what_has_no_room_and_names_that_cannot_be_sent_are_left_out(caplog: pytest.LogCaptureFixture) -> None:
    with prela.baggage(**{"a b": 1, "big": "x" * 9_000, "ok": True, **{f"k{n}": n for n in range(100)}}):
        header = prela.inject({})["baggage"]
    found = prela.extract({"baggage": header}).baggage
    assert found == {"ok": "True", **{f"k{n}": str(n) for n in range(63)}}
    with prela.baggage(**{f"k{n}": "v" * 1_000 for n in range(20)}):
        assert len(prela.inject({})["baggage"]) <= 8192


@given(st.lists(st.tuples(st.sampled_from(["traceparent", "tracestate", "baggage"]), st.text() | st.binary())))
def test_nothing_in_a_header_raises(pairs: list[tuple[str, Any]]) -> None:
    prela.extract(pairs)


# --- inject and attach ------------------------------------------------------------------------------------------------


def test_what_is_injected_names_the_current_span_and_replaces_what_stood_there(recorder: Recorder) -> None:
    headers = {"Traceparent": "old", "TRACESTATE": "old=1", "Accept": "*/*"}
    with get_tracer().span("here") as span:
        assert prela.inject(headers) is headers
    assert headers == {"Accept": "*/*", "traceparent": f"00-{span.trace_id}-{span.span_id}-01"}


def test_outside_any_span_headers_stay_as_they_are(recorder: Recorder) -> None:
    assert prela.inject({"traceparent": GOOD}) == {"traceparent": GOOD}


def test_while_suppressed_nothing_is_written(recorder: Recorder) -> None:
    with get_tracer().span("here"), prela.baggage(a=1), prela.suppress():
        assert prela.inject({}) == {}


def test_a_trace_that_is_not_sampled_is_told_so() -> None:
    with recording(sample_rate=0.0), get_tracer().span("here"), get_tracer().span("below"):
        parent = prela.extract(prela.inject({})).parent
    assert parent is not None
    assert not parent.sampled


def test_a_remote_trace_passes_through_where_tracing_is_off() -> None:
    sent = {"traceparent": f"00-{TRACE}-{SPAN}-00", "tracestate": "a=1", "baggage": "x=1"}
    with prela.attach(sent):
        assert prela.inject({}) == sent
    assert prela.inject({}) == {}


def test_spans_below_an_attached_carrier_go_on_with_its_trace(recorder: Recorder) -> None:
    with prela.attach({"traceparent": GOOD, "tracestate": "a=1", "baggage": "user=7"}):
        with get_tracer().span("here"):
            assert prela.get_baggage() == {"user": "7"}
            assert prela.inject({})["tracestate"] == "a=1"
        with get_tracer().span("apart", parent=None):
            pass
    here = recorder["here"]
    assert (here.trace_id, here.parent_span_id, here.trace_state) == (TRACE, SPAN, "a=1")
    assert recorder["apart"].trace_id != TRACE
    assert prela.get_baggage() == {}


def test_what_was_extracted_is_a_parent(recorder: Recorder) -> None:
    with get_tracer().span("here", parent=prela.extract({"traceparent": GOOD}).parent):
        pass
    assert recorder["here"].parent_span_id == SPAN


def test_a_carrier_without_a_trace_leaves_what_is_current(recorder: Recorder) -> None:
    with get_tracer().span("outer"), prela.attach({"baggage": "a=1"}), get_tracer().span("inner"):
        pass
    assert recorder.tree() == "outer\n  inner"


# --- processes --------------------------------------------------------------------------------------------------------

CHILD = """
import prela
prela.init(service_name="child", trace_dir={folder!r})
with prela.get_tracer().span("child root") as span:
    span.set_attribute("baggage", dict(prela.get_baggage()))
with prela.get_tracer().span("own root", parent=None):
    pass
"""


def records_in(folder: Path) -> dict[str, Any]:
    found = [record for path in folder.glob("*.jsonl") for record in jsonl.Lines(path.read_bytes().splitlines())]
    return {record.name: record for record in found}


def run_child(folder: Path, env: dict[str, str]) -> dict[str, Any]:
    code = CHILD.format(folder=str(folder))
    subprocess.run([sys.executable, "-c", code], check=True, env={**env, "PYTHONPATH": str(ROOT)}, timeout=60)
    return records_in(folder)


def test_a_child_process_goes_on_with_the_trace_of_its_environment(recorder: Recorder, tmp_path: Path) -> None:
    with get_tracer().span("parent") as span, prela.baggage(user="ü 7"):
        env = prela.environment({"TRACESTATE": "stale=1", "PATH": "/bin"})
    assert set(env) == {"PATH", "TRACEPARENT", "BAGGAGE", "PRELA_CONTINUE_TRACE"}
    found = run_child(tmp_path, env)
    child = found["child root"]
    assert (child.trace_id, child.parent_span_id) == (span.trace_id, span.span_id)
    assert child.attributes["baggage"] == {"user": "ü 7"}
    assert found["own root"].trace_id != span.trace_id
    assert found["own root"].parent_span_id is None


def test_outside_any_span_a_child_process_is_told_of_none(recorder: Recorder) -> None:
    stale = {"TRACEPARENT": GOOD, "PRELA_CONTINUE_TRACE": "true"}
    assert prela.environment(stale) == {"PRELA_CONTINUE_TRACE": "false"}


def test_what_the_parent_records_the_child_records_whatever_its_own_rate(tmp_path: Path) -> None:
    env = {"TRACEPARENT": GOOD, "PRELA_CONTINUE_TRACE": "1", "PRELA_SAMPLE_RATE": "0"}
    assert set(run_child(tmp_path, env)) == {"child root"}


@pytest.mark.anyio
async def test_a_tracer_in_the_programs_own_loop_goes_on_with_the_environments_trace(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("TRACEPARENT", GOOD)
    monkeypatch.setenv("BAGGAGE", "user=7")
    async with prela.aio.open_tracer(exporter="none", continue_trace=True) as tracer:
        with tracer.span("here") as span:
            assert (span.trace_id, span.parent_span_id) == (TRACE, SPAN)
            assert prela.get_baggage() == {"user": "7"}
    async with prela.aio.open_tracer(exporter="none") as tracer:
        assert tracer.start_span("here").parent_span_id is None
        assert prela.get_baggage() == {}


@pytest.mark.parametrize("env", [{"TRACEPARENT": GOOD}, {"TRACEPARENT": "x", "PRELA_CONTINUE_TRACE": "1"}, {}])
def test_without_the_setting_or_a_good_value_roots_are_roots(env: dict[str, str], tmp_path: Path) -> None:
    assert run_child(tmp_path, env)["child root"].parent_span_id is None


def test_an_unsampled_parent_in_the_environment_is_followed(tmp_path: Path) -> None:
    env = {"TRACEPARENT": f"00-{TRACE}-{SPAN}-00", "PRELA_CONTINUE_TRACE": "1"}
    assert set(run_child(tmp_path, env)) == {"own root"}


POOL = """
import multiprocessing, os, sys
from concurrent.futures import ProcessPoolExecutor
from functools import partial
import prela
from prela import copy_context_to_process

def work(number):
    with prela.get_tracer().span(f"work {{number}}") as span:
        span.set_attribute("pid", os.getpid())
        span.set_attribute("user", dict(prela.get_baggage()).get("user"))
    return number * 2

if __name__ == "__main__":
    init = partial(prela.init, service_name="pool", trace_dir={folder!r})
    init()
    context = multiprocessing.get_context({method!r})
    with ProcessPoolExecutor(2, mp_context=context, initializer=init) as pool:
        with prela.get_tracer().span("stale"):
            pool.submit(os.getpid).result()  # forks here
        with prela.get_tracer().span("root") as root, prela.baggage(user="7"), prela.propagate_attributes(user_id="u"):
            root.set_attribute("pid", os.getpid())
            assert list(pool.map(copy_context_to_process(work), range(20))) == [n * 2 for n in range(20)]
        with prela.suppress():
            pool.submit(copy_context_to_process(work), 99).result()
        pool.submit(copy_context_to_process(work), 100).result()
"""


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_spans_of_a_process_pool_are_one_tree_and_none_is_lost(method: str, tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text(POOL.format(folder=str(tmp_path / "traces"), method=method))
    done = subprocess.run(
        [sys.executable, "-W", "ignore::DeprecationWarning", str(program)],
        capture_output=True,
        text=True,
        timeout=120,
        env={"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin"},
    )
    assert (done.returncode, done.stderr) == (0, "")
    found = records_in(tmp_path / "traces")
    assert set(found) == {"stale", "root", "work 100", *(f"work {n}" for n in range(20))}
    root = found["root"]
    for number in range(20):
        work = found[f"work {number}"]
        assert (work.trace_id, work.parent_span_id) == (root.trace_id, root.span_id)
        assert work.attributes["pid"] != root.attributes["pid"]
        assert (work.attributes["user"], work.attributes["user.id"]) == ("7", "u")
    assert found["work 100"].parent_span_id is None


def test_a_coroutine_function_is_refused() -> None:
    async def work() -> None: ...

    with pytest.raises(TypeError, match="coroutine function"):
        prela.copy_context_to_process(work)


def test_a_bound_function_is_called_here_as_it_would_be_there(recorder: Recorder) -> None:
    with get_tracer().span("root"):
        bound = prela.copy_context_to_process(int)
    assert bound("12", base=3) == 5
    assert "int" in repr(bound)
