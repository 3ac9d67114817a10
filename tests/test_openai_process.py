"""Streams across the ends and the forks of processes."""

import os

import pytest

from tests.conftest import RunProgram

OPENING = """
import os
import openai, prela
from prela.testing.openai_server import Answer, OpenAIServer

CHAT = {"model": "m", "messages": [{"role": "user", "content": "one two three"}], "stream": True}
prela.init(service_name="first")
server = OpenAIServer().__enter__()
client = openai.OpenAI(base_url=server.base_url, api_key="any", max_retries=0)
stream = client.chat.completions.create(**CHAT)
next(stream)
"""


def test_a_stream_held_at_the_exit_does_no_harm(run_program: RunProgram) -> None:
    # Not simply 0: CPython 3.13.0 dies of what `openai` leaves open, whether it is traced or not.
    source = OPENING + "print('the end')"
    without = run_program(source, dev=False, PRELA_AUTO_INSTRUMENT="false")
    program = run_program(source, dev=False)
    assert (program.returncode, program.stdout, program.stderr) == (without.returncode, "the end\n", without.stderr)


def test_a_stream_outlives_a_second_init(run_program: RunProgram) -> None:
    program = run_program(OPENING + "prela.init(service_name='second')\nlist(stream)\nclient.close()", dev=False)
    assert (program.returncode, program.stderr) == (0, "")
    (line,) = program.lines
    assert line["attributes"]["prela.stream.outcome"] == "completed"
    assert line["service_name"] == "first"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_stream_ends_in_the_process_that_made_the_call(run_program: RunProgram) -> None:
    program = run_program(
        OPENING
        + """
pid = os.fork()
if pid == 0:
    stream.close()
    assert prela.get_current_span().is_recording is False
    del stream
    prela.sync.flush()
    os._exit(0)
assert os.waitpid(pid, 0)[1] == 0
list(stream)
client.close()
""",
        dev=False,
    )
    assert program.returncode == 0
    assert [line["attributes"]["prela.stream.outcome"] for line in program.lines] == ["completed"]
