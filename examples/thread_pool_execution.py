# Thread Pool Execution: the documented example, as it is written.
from concurrent.futures import ThreadPoolExecutor, as_completed
import prela
from prela.core.context import copy_context_to_thread
prela.init(service_name="parallel-app")
tracer = prela.get_tracer()
def process_item(item_id):
    """Process a single item (runs in worker thread)."""
    with tracer.span(f"process_{item_id}", prela.SpanType.CUSTOM) as span:
        span.set_attribute("item_id", item_id)
        # Processing logic
        return f"Result for {item_id}"
# Create parent span
with tracer.span("batch_processing", prela.SpanType.AGENT) as parent:
    parent.set_attribute("batch_size", 10)
    # Wrap function INSIDE parent span context
    wrapped_process = copy_context_to_thread(process_item)
    # Submit to thread pool
    with ThreadPoolExecutor(max_workers=4) as executor:
        futures = [
            executor.submit(wrapped_process, i)
            for i in range(10)
        ]
        # Collect results
        results = []
        for future in as_completed(futures):
            result = future.result()
            results.append(result)
    parent.set_attribute("results_count", len(results))
    # All child spans properly linked to parent
