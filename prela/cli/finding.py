"""Commands that find traces and spans: `list`, `last`, `errors`, `search`, `stats`."""

from typing import Annotated

import typer
from rich.text import Text

from prela.cli.completing import complete_grouping, complete_status, complete_type
from prela.cli.folder import AsJson, Limit, TraceDir, fail, moment, opened, seconds
from prela.cli.printing import print_records
from prela.cli.tables import cost_of, duration_of, print_json, print_table, time_of, tokens_of
from prela.record.model import SpanRecord
from prela.record.text import note
from prela.store.store import Query, Store, TraceSummary

_ID_DIGITS = 12
"""Of a trace id that a list shows; enough to ask for it by."""

Since = Annotated[int | None, typer.Option(parser=moment, metavar="TIME", help="Not before: 2h ago, or ISO 8601.")]
Until = Annotated[int | None, typer.Option(parser=moment, metavar="TIME", help="Not after.")]
MinDuration = Annotated[
    float | None, typer.Option(parser=seconds, metavar="DURATION", help="At least this long: 200ms, 1.5s.")
]


def list_traces(limit: Limit = 20, trace_dir: TraceDir = None, as_json: AsJson = False) -> None:
    """List the traces, newest first.

    Example: prela list -n 50
    """
    with opened(trace_dir) as store:
        _print_traces(store, store.traces(limit), as_json, f"no traces in {store.folder}")


def errors(limit: Limit = 20, trace_dir: TraceDir = None, as_json: AsJson = False) -> None:
    """List the traces with errors, newest first. Each is shown with what failed first in it.

    Example: prela errors
    """
    with opened(trace_dir) as store:
        found = store.traces(limit, errors_only=True)
        _print_traces(store, found, as_json, f"no errors in {store.folder}", tells_why=True)


def last(trace_dir: TraceDir = None, as_json: AsJson = False) -> None:
    """Show the newest trace as a tree.

    Example: prela last
    """
    with opened(trace_dir) as store:
        found = store.traces(1)
        if not found:
            fail(f"no traces in {store.folder}")
        trace_id = found[0].trace_id
        records, pending = store.trace(trace_id), store.pending(trace_id)
    print_json(records) if as_json else print_records(records, pending=pending)


def search(
    text: Annotated[str | None, typer.Argument(help="Anywhere in the record, as it is written.")] = None,
    name: Annotated[str | None, typer.Option(help="A part of the span's name.")] = None,
    span_type: Annotated[
        str | None, typer.Option("--type", help="agent, llm, tool, retrieval, ...", autocompletion=complete_type)
    ] = None,
    status: Annotated[
        str | None, typer.Option(help="success, error, cancelled or pending.", autocompletion=complete_status)
    ] = None,
    service: Annotated[str | None, typer.Option(help="The service's name.")] = None,
    attribute: Annotated[
        list[str] | None, typer.Option("--attribute", "-a", metavar="NAME=VALUE", help="May be given several times.")
    ] = None,
    since: Since = None,
    until: Until = None,
    min_duration: MinDuration = None,
    limit: Limit = 50,
    trace_dir: TraceDir = None,
    as_json: AsJson = False,
) -> None:
    """Find spans, newest first. What is given must all be so.

    Example: prela search --type llm -a gen_ai.request.model=gpt-4o --since 1d
    """
    wanted = {}
    for given in attribute or ():
        key, equals, value = given.partition("=")
        if not equals:
            raise typer.BadParameter(f"{given!r}: write NAME=VALUE", param_hint="--attribute")
        wanted[key] = value
    query = Query(name, span_type, status, service, wanted, text, since, until, min_duration)
    with opened(trace_dir) as store:
        found = store.search(query, limit)
    if as_json:
        print_json(found)
    elif found:
        print_table(("trace", "start", "duration", "status", "type", "name", ""), map(_span_row, found), ("duration",))
    if not found:
        fail("no such spans")


def stats(
    by: Annotated[
        str, typer.Option(help="name, model, status, type or service.", autocompletion=complete_grouping)
    ] = "name",
    name: Annotated[str | None, typer.Option(help="Only spans with this in their names.")] = None,
    span_type: Annotated[
        str | None, typer.Option("--type", help="Only spans of this type.", autocompletion=complete_type)
    ] = None,
    service: Annotated[str | None, typer.Option(help="Only spans of this service.")] = None,
    since: Since = None,
    until: Until = None,
    limit: Limit = 50,
    trace_dir: TraceDir = None,
    as_json: AsJson = False,
) -> None:
    """Show what the spans come to: their number, time, tokens and cost.

    Example: prela stats --by model --since 1d
    """
    query = Query(name, span_type, service=service, since=since, until=until)
    with opened(trace_dir) as store:
        try:
            found = store.totals(by, query)[:limit]
        except ValueError as error:
            raise typer.BadParameter(str(error), param_hint="--by") from None
    if as_json:
        print_json(found)
    elif found:
        numbers = ("spans", "errors", "cancelled", "p50", "p95", "p99", "tokens", "cost")
        rows = [
            (
                total.group,
                total.spans,
                total.errors or "",
                total.cancelled or "",
                duration_of(total.p50),
                duration_of(total.p95),
                duration_of(total.p99),
                tokens_of(total.input_tokens, total.output_tokens),
                cost_of(total.cost),
            )
            for total in found
        ]
        print_table((by, *numbers), rows, numbers)
    if not found:
        fail("no spans to sum up")


def _print_traces(
    store: Store, found: list[TraceSummary], as_json: bool, nothing: str, *, tells_why: bool = False
) -> None:
    if as_json:
        print_json(found)
    elif found:
        headers = ["trace", "start", "duration", "spans", "", "name", "service", "tokens", "cost"]
        rows = [_trace_row(trace, len(store.interrupted(trace.trace_id)) if trace.open else 0) for trace in found]
        if tells_why:
            headers.append("failed first")
            rows = [(*row, _why(store, trace)) for row, trace in zip(rows, found, strict=True)]
        print_table(headers, rows, ("duration", "spans", "tokens", "cost"))
    if not found:
        fail(nothing)


def _why(store: Store, trace: TraceSummary) -> str:
    record = store.first_error(trace.trace_id)
    return "" if record is None else f"{record.name}: {note(record)}"


def _trace_row(trace: TraceSummary, interrupted: int) -> tuple[object, ...]:
    marks = [
        (f"{trace.errors} failed", "bold red", trace.errors),
        (f"{trace.cancelled} cancelled", "yellow", trace.cancelled),
        (f"{trace.open - interrupted} open", "cyan", trace.open - interrupted),
        (f"{interrupted} interrupted", "magenta", interrupted),
    ]
    state = Text(", ").join([Text(text, style=style) for text, style, count in marks if count]) or Text("ok", "green")
    return (
        trace.trace_id[:_ID_DIGITS],
        time_of(trace.start),
        duration_of(trace.duration),
        trace.spans,
        state,
        trace.name,
        trace.service,
        tokens_of(trace.input_tokens, trace.output_tokens),
        cost_of(trace.cost),
    )


def _span_row(record: SpanRecord) -> tuple[object, ...]:
    return (
        record.trace_id[:_ID_DIGITS],
        time_of(record.start_time_unix_nano),
        duration_of(record.duration),
        record.status,
        record.span_type,
        record.name,
        record.status_message or "",
    )
