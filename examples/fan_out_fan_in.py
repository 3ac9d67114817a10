# Fan-Out Fan-In: the documented example, as it is written. The first three lines are its preamble.
import prela
prela.init(service_name="fan-out-fan-in")
tracer = prela.get_tracer()
from concurrent.futures import ThreadPoolExecutor, as_completed
from prela.core.context import copy_context_to_thread
def query_source(source_name: str, query: str):
    """Query a single data source."""
    with tracer.span(f"query_{source_name}", prela.SpanType.RETRIEVAL) as span:
        span.set_attribute("source", source_name)
        span.set_attribute("query", query)
        # Simulate data retrieval
        return [f"{source_name}_result_{i}" for i in range(3)]
def aggregate_results(all_results: list):
    """Aggregate results from all sources."""
    with tracer.span("aggregate", prela.SpanType.CUSTOM) as span:
        flat_results = [item for sublist in all_results for item in sublist]
        span.set_attribute("total_items", len(flat_results))
        return flat_results
with tracer.span("fan_out_fan_in", prela.SpanType.AGENT) as parent:
    query = "search term"
    sources = ["database", "api", "cache"]
    # Fan-out: Query all sources in parallel
    with tracer.span("fan_out", prela.SpanType.CUSTOM) as fan_out_span:
        wrapped_query = copy_context_to_thread(query_source)
        with ThreadPoolExecutor(max_workers=len(sources)) as executor:
            futures = {
                executor.submit(wrapped_query, source, query): source
                for source in sources
            }
            all_results = []
            for future in as_completed(futures):
                source = futures[future]
                try:
                    result = future.result()
                    all_results.append(result)
                except Exception as e:
                    fan_out_span.add_event(f"{source}_failed", {"error": str(e)})
        fan_out_span.set_attribute("sources_queried", len(sources))
        fan_out_span.set_attribute("successful_queries", len(all_results))
    # Fan-in: Aggregate all results
    with tracer.span("fan_in", prela.SpanType.CUSTOM):
        final_results = aggregate_results(all_results)
    parent.set_attribute("final_count", len(final_results))
