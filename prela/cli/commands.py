"""The commands, each a function: its docstring is what `--help` shows."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from prela.cli import comparing, finding, serving, upkeep
from prela.cli.completing import complete_trace
from prela.cli.doctor import doctor, installed_version
from prela.cli.folder import AsJson, TraceDir, fail, folder_in_force, opened
from prela.cli.printing import print_file, print_records
from prela.cli.tables import print_json
from prela.record.file_names import SUFFIX
from prela.record.jsonl import Lines, latest
from prela.store.files import trace_files

app: typer.Typer = typer.Typer(
    name="prela",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


def _print_version(wanted: bool) -> None:
    if wanted:
        print("prela", installed_version("prela"))
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """Look at what your program did: traces, as trees over time."""


@app.command()
def demo(trace_dir: TraceDir = None) -> None:
    """Run a small concurrent agent, and show its trace. No network, no key.

    Example: prela demo
    """
    try:
        from prela.demo.run import run_demo
    except ModuleNotFoundError as error:
        fail(f"the demo needs {error.name}: pip install 'prela[cli,openai]'")
    console = Console(stderr=True)
    try:
        with console.status("An agent with thread pools, gather, map-reduce, fan-out, a race and a stream is running"):
            path = run_demo(folder_in_force(trace_dir))
    except OSError as error:
        fail(str(error))
    print_file(path)


@app.command()
def show(
    trace: Annotated[
        str | None,
        typer.Argument(
            help="The first digits of a trace id, or a trace file; by default the newest file.",
            autocompletion=complete_trace,
        ),
    ] = None,
    trace_dir: TraceDir = None,
    as_json: AsJson = False,
) -> None:
    """Print a trace as a tree, with a bar for each span's time. Of a file, every trace in it.

    Example: prela show 4b7a46bc
    """
    if trace is not None and not Path(trace).exists() and not trace.endswith(SUFFIX):
        _show_trace(trace, trace_dir, as_json)
        return
    path = Path(trace) if trace is not None else _newest(folder_in_force(trace_dir))
    if path.is_dir():
        fail(f"{trace or path}: this is a folder; `prela list --trace-dir` shows what is in one")
    if not path.is_file():
        fail(f"{path}: there is no such file")
    try:
        if as_json:
            with path.open("rb") as file:
                records = latest(Lines(file))
            print_json(records)
            found = len(records)
        else:
            found = print_file(path)
    except OSError as error:
        fail(str(error))
    if not found:
        fail(f"{path}: no spans in it")


def _show_trace(trace: str, trace_dir: Path | None, as_json: bool) -> None:
    with opened(trace_dir) as store:
        try:
            records, pending = store.trace(trace), store.pending(trace)
        except LookupError as error:
            fail(str(error))
    print_json(records) if as_json else print_records(records, pending=pending)


def _newest(folder: Path) -> Path:
    files = trace_files(folder)
    if not files:
        fail(f"no trace files in {folder}; run `prela demo`, or a program that calls prela.init()")
    return folder / files[0].name


app.command("list")(finding.list_traces)
app.command()(finding.last)
app.command()(finding.errors)
app.command()(finding.search)
app.command()(finding.stats)
app.command()(comparing.diff)
app.command()(comparing.export)
app.command()(upkeep.tail)
app.command()(upkeep.prune)
app.command()(doctor)
app.command()(serving.serve)
