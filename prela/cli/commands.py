"""The commands, each a function: its docstring is what `--help` shows."""

import sys
from pathlib import Path
from typing import Annotated, NoReturn

import typer
from rich.console import Console

from prela.cli.printing import print_file
from prela.config import ConfigurationError, load

app: typer.Typer = typer.Typer(
    name="prela",
    help="Look at what your program did: traces, as trees over time.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

TraceDir = Annotated[
    Path | None, typer.Option(help="The folder with trace files; by default PRELA_TRACE_DIR, or ./traces.")
]


@app.command()
def demo(trace_dir: TraceDir = None) -> None:
    """Run a small concurrent agent, and show its trace. No network, no key.

    Example: prela demo
    """
    try:
        from prela.demo.run import run_demo
    except ModuleNotFoundError as error:
        _fail(f"the demo needs {error.name}: pip install 'prela[cli,openai]'")
    console = Console(stderr=True)
    try:
        with console.status("An agent with thread pools, gather, map-reduce, fan-out, a race and a stream is running"):
            path = run_demo(trace_dir or _trace_dir())
    except OSError as error:
        _fail(str(error))
    print_file(path)


@app.command()
def show(
    file: Annotated[Path | None, typer.Argument(help="A trace file; by default the newest of the folder.")] = None,
    trace_dir: TraceDir = None,
) -> None:
    """Print every trace of a file as a tree, with a bar for each span's time.

    Example: prela show traces/my-agent-20260101T120000Z-4242-1f2e3d4c.jsonl
    """
    path = file or _newest(trace_dir or _trace_dir())
    if not path.is_file():
        _fail(f"{path}: there is no such file")
    try:
        found = print_file(path)
    except OSError as error:
        _fail(str(error))
    if not found:
        _fail(f"{path}: no spans in it")


def _trace_dir() -> Path:
    try:
        return load().trace_dir
    except ConfigurationError as error:
        _fail(str(error))


def _newest(folder: Path) -> Path:
    files = sorted(folder.glob("*.jsonl"), key=lambda path: path.stat().st_mtime)
    if not files:
        _fail(f"no trace files in {folder}; run `prela demo`, or a program that calls prela.init()")
    return files[-1]


def _fail(message: str) -> NoReturn:
    print(f"prela: {message}", file=sys.stderr)
    raise typer.Exit(1)
