# Map-Reduce Pattern: the documented example, as it is written. The first three lines are its preamble.
import prela
prela.init(service_name="map-reduce")
tracer = prela.get_tracer()
from concurrent.futures import ThreadPoolExecutor
from prela.core.context import copy_context_to_thread
def map_function(item):
    """Map step (parallel)."""
    with tracer.span(f"map_{item}", prela.SpanType.CUSTOM) as span:
        span.set_attribute("input", item)
        result = item * 2 # Transform
        span.set_attribute("output", result)
        return result
def reduce_function(results):
    """Reduce step (sequential)."""
    with tracer.span("reduce", prela.SpanType.CUSTOM) as span:
        span.set_attribute("input_count", len(results))
        total = sum(results)
        span.set_attribute("total", total)
        return total
with tracer.span("map_reduce", prela.SpanType.AGENT) as parent:
    items = [1, 2, 3, 4, 5]
    # Map phase (parallel)
    with tracer.span("map_phase", prela.SpanType.CUSTOM) as map_span:
        wrapped_map = copy_context_to_thread(map_function)
        with ThreadPoolExecutor(max_workers=3) as executor:
            map_results = list(executor.map(wrapped_map, items))
        map_span.set_attribute("results_count", len(map_results))
    # Reduce phase (sequential)
    with tracer.span("reduce_phase", prela.SpanType.CUSTOM):
        final_result = reduce_function(map_results)
    parent.set_attribute("final_result", final_result)
