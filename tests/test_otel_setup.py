"""Who provides what the OpenTelemetry API gives: Prela, unless the application says otherwise, before or after."""

import pytest
from opentelemetry import context, trace

import prela
from prela.integrations.otel import instrument, uninstrument
from prela.integrations.otel.context import PrelaRuntimeContext
from prela.testing import Recorder, recording
from tests.conftest import RunProgram

USE = """
from opentelemetry import trace
with prela.get_tracer().span("ours"), trace.get_tracer("lib").start_as_current_span("theirs"):
    with prela.get_tracer().span("ours again"):
        pass
"""

SDK = """
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor, ConsoleSpanExporter
provider = TracerProvider()
provider.add_span_processor(SimpleSpanProcessor(ConsoleSpanExporter(
    formatter=lambda span: f"{span.name} below {span.parent.span_id if span.parent else None}\\n")))
trace.set_tracer_provider(provider)
"""


@pytest.mark.parametrize("before", ["", "from opentelemetry import trace\n"])
def test_init_takes_the_api_in_whether_it_was_imported_before_or_is_after(run_program: RunProgram, before: str) -> None:
    done = run_program(before + "import prela\nprela.init()\n" + USE)
    assert not done.stderr
    assert done.parent_of("theirs") == "ours" and done.parent_of("ours again") == "theirs"


def test_init_takes_the_api_in_where_our_own_part_of_it_is_imported_first(run_program: RunProgram) -> None:
    done = run_program("import prela\nprela.init()\nimport prela.integrations.otel\n" + USE)
    assert not done.stderr
    assert done.parent_of("theirs") == "ours" and done.parent_of("ours again") == "theirs"


def test_a_tracer_got_before_init_leads_here_too(run_program: RunProgram) -> None:
    done = run_program(
        "from opentelemetry import trace\nearly = trace.get_tracer('early')\nimport prela\nprela.init()\n"
        "with early.start_as_current_span('first'): pass"
    )
    assert done.names == ["first"]


def test_init_imports_nothing_of_opentelemetry(run_program: RunProgram) -> None:
    done = run_program(
        "import sys, prela\nprela.init()\nwith prela.get_tracer().span('s'): pass\nprela.sync.flush()\n"
        "print([name for name in sys.modules if name.startswith('opentelemetry')])"
    )
    assert done.stdout.strip() == "[]"


def test_a_provider_that_the_application_has_set_stays_and_its_spans_are_its_own(run_program: RunProgram) -> None:
    done = run_program(SDK + "import prela\nprela.init()\n" + USE)
    assert done.stdout == "theirs below None\n" and not done.stderr
    assert sorted(done.names) == ["ours", "ours again"] and done.parent_of("ours again") == "ours"


def test_a_provider_that_it_sets_afterwards_takes_the_place_of_ours(run_program: RunProgram) -> None:
    before = "import prela\nprela.init()\nfrom opentelemetry import trace\nearly = trace.get_tracer('early')\n"
    used = "with early.start_as_current_span('through ours'): pass\n"
    after = "with early.start_as_current_span('through theirs'): pass\n"
    done = run_program(before + used + SDK + after + USE)
    assert not done.stderr, "setting it is no override to be warned of"
    assert done.stdout == "through theirs below None\ntheirs below None\n"
    assert sorted(done.names) == ["ours", "ours again", "through ours"]


def test_a_program_that_sets_up_its_sdk_only_where_there_is_none_does_so(run_program: RunProgram) -> None:
    sdk = "\n".join(f"    {line}" for line in SDK.strip().splitlines())
    look = "from opentelemetry import trace\nif isinstance(trace.get_tracer_provider(), trace.ProxyTracerProvider):\n"
    done = run_program("import prela\nprela.init()\n" + look + sdk + USE)
    assert done.stdout == "theirs below None\n" and not done.stderr


def test_auto_instrument_may_be_declined(run_program: RunProgram) -> None:
    done = run_program("import prela\nprela.init()\n" + USE, PRELA_AUTO_INSTRUMENT="false")
    assert sorted(done.names) == ["ours", "ours again"]


@pytest.mark.parametrize("auto", ["true", "false"])
def test_the_environment_can_choose_prela_by_opentelemetrys_own_variable(run_program: RunProgram, auto: str) -> None:
    done = run_program(
        "import prela\nprela.init()\n" + USE, PRELA_AUTO_INSTRUMENT=auto, OTEL_PYTHON_TRACER_PROVIDER="prela"
    )
    assert not done.stderr
    assert done.parent_of("theirs") == "ours" and done.parent_of("ours again") == "theirs"


def test_the_environment_can_choose_another(run_program: RunProgram) -> None:
    done = run_program("import prela\nprela.init()\n" + USE, OTEL_PYTHON_TRACER_PROVIDER="sdk_tracer_provider")
    assert sorted(done.names) == ["ours", "ours again"]


def test_uninstrumented_the_api_is_as_it_was() -> None:
    early = trace.get_tracer("early")
    with recording() as recorder:
        assert instrument() and instrument()
        early.start_span("recorded").end()
        open_span = early.start_span("open")
        uninstrument()
        uninstrument()
        assert type(trace.get_tracer_provider()) is trace.ProxyTracerProvider
        with early.start_as_current_span("not recorded") as span:
            assert not span.is_recording()
        open_span.end()
    assert recorder.names == ["recorded", "open"]


def test_what_was_the_runtime_context_is_asked_as_long_as_ours_has_nothing_to_say() -> None:
    assert instrument()
    ours = context._RUNTIME_CONTEXT
    assert isinstance(ours, PrelaRuntimeContext)
    uninstrument()
    token = ours.before.attach(context.Context({"k": "v"}))
    assert context.get_value("k") == "v"
    context.detach(token)
    assert context.get_value("k") is None


def test_a_tracer_of_ones_own_may_be_used(prela_spans: Recorder) -> None:
    own = prela.Tracer()
    assert instrument(own)
    trace.get_tracer("lib").start_span("nowhere").end()
    assert instrument()
    trace.get_tracer("lib").start_span("recorded").end()
    uninstrument()
    assert prela_spans.names == ["recorded"]


def test_force_flush_waits_for_the_export_as_the_sdks_does() -> None:
    from prela.testing import FailingExporter, HangingExporter

    assert instrument()
    provider = trace.get_tracer_provider()
    for exporter, answer in ((FailingExporter(times=0), True), (FailingExporter(), False)):
        prela.init(exporter=exporter, auto_instrument=False)
        trace.get_tracer("lib").start_span("s").end()
        assert provider.force_flush() is answer  # type: ignore[attr-defined]
    hanging = HangingExporter()
    prela.init(exporter=hanging, auto_instrument=False)
    trace.get_tracer("lib").start_span("s").end()
    assert provider.force_flush(50) is False  # type: ignore[attr-defined]
    hanging.release()
    provider.shutdown()  # type: ignore[attr-defined]
    assert len(hanging.records) == 1
    uninstrument()


async def test_in_the_workers_own_loop_force_flush_says_that_it_cannot_wait(anyio_backend: object) -> None:
    assert instrument()
    async with prela.aio.open_tracer(exporter="memory", auto_instrument=False):
        assert trace.get_tracer_provider().force_flush() is False  # type: ignore[attr-defined]
    uninstrument()


def test_after_a_fork_both_sides_go_on(run_program: RunProgram) -> None:
    done = run_program(
        "import os, prela\nprela.init()\nfrom opentelemetry import trace\ntracer = trace.get_tracer('lib')\n"
        "with tracer.start_as_current_span('parent'):\n"
        "    pid = os.fork()\n"
        "    if pid == 0:\n"
        "        with tracer.start_as_current_span('in the child'): pass\n"
        "        prela.sync.shutdown(); os._exit(0)\n"
        "    os.waitpid(pid, 0)\n",
        dev=False,
    )
    assert done.parent_of("in the child") == "parent"
