# Rate-Limited Parallel Execution: the documented example, as it is written. The first three lines are its preamble.
import prela
prela.init(service_name="rate-limited")
tracer = prela.get_tracer()
import time
from concurrent.futures import ThreadPoolExecutor
from prela.core.context import copy_context_to_thread
class RateLimiter:
    def __init__(self, calls_per_second):
        self.calls_per_second = calls_per_second
        self.last_call = 0
    def wait(self):
        now = time.time()
        time_since_last = now - self.last_call
        min_interval = 1.0 / self.calls_per_second
        if time_since_last < min_interval:
            time.sleep(min_interval - time_since_last)
        self.last_call = time.time()
limiter = RateLimiter(calls_per_second=5)
def rate_limited_operation(item_id):
    """Operation with rate limiting."""
    limiter.wait()
    with tracer.span(f"operation_{item_id}", prela.SpanType.CUSTOM) as span:
        span.set_attribute("item_id", item_id)
        # Operation logic
        return f"Result {item_id}"
with tracer.span("rate_limited_batch", prela.SpanType.AGENT) as parent:
    wrapped_op = copy_context_to_thread(rate_limited_operation)
    with ThreadPoolExecutor(max_workers=10) as executor:
        futures = [executor.submit(wrapped_op, i) for i in range(20)]
        results = [f.result() for f in futures]
    parent.set_attribute("completed", len(results))
