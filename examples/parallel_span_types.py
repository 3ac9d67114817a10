# Parallel with Different Span Types: the documented example, as it is written. The first three lines are its preamble.
import prela
prela.init(service_name="parallel-span-types")
tracer = prela.get_tracer()
from concurrent.futures import ThreadPoolExecutor
from prela.core.context import copy_context_to_thread
def search_database(query: str):
    with tracer.span("database_search", prela.SpanType.RETRIEVAL) as span:
        span.set_attribute("query", query)
        # Search logic
        return ["result1", "result2"]
def call_llm(prompt: str):
    with tracer.span("llm_call", prela.SpanType.LLM) as span:
        span.set_attribute("prompt", prompt)
        # LLM call
        return "LLM response"
def execute_tool(tool_name: str):
    with tracer.span(f"tool_{tool_name}", prela.SpanType.TOOL) as span:
        span.set_attribute("tool.name", tool_name)
        # Tool execution
        return f"{tool_name} result"
with tracer.span("parallel_operations", prela.SpanType.AGENT) as parent:
    # Wrap functions
    wrapped_search = copy_context_to_thread(search_database)
    wrapped_llm = copy_context_to_thread(call_llm)
    wrapped_tool = copy_context_to_thread(execute_tool)
    # Execute in parallel
    with ThreadPoolExecutor() as executor:
        search_future = executor.submit(wrapped_search, "user query")
        llm_future = executor.submit(wrapped_llm, "generate text")
        tool_future = executor.submit(wrapped_tool, "calculator")
        # Collect results
        search_results = search_future.result()
        llm_response = llm_future.result()
        tool_result = tool_future.result()
    parent.set_attribute("operations_completed", 3)
