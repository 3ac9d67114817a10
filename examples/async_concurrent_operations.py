# Async Concurrent Operations: the documented example, as it is written.
import asyncio
import prela
from openai import AsyncOpenAI
prela.init(service_name="async-app")
tracer = prela.get_tracer()
async def fetch_completion(prompt: str, index: int):
    """Fetch completion asynchronously."""
    with tracer.span(f"completion_{index}", prela.SpanType.LLM) as span:
        span.set_attribute("prompt_index", index)
        client = AsyncOpenAI()
        response = await client.chat.completions.create(
            model="gpt-4",
            messages=[{"role": "user", "content": prompt}]
        )
        return response.choices[0].message.content
async def process_batch(prompts: list[str]):
    """Process multiple prompts concurrently."""
    with tracer.span("async_batch", prela.SpanType.AGENT) as batch_span:
        batch_span.set_attribute("num_prompts", len(prompts))
        # Create tasks
        tasks = [
            fetch_completion(prompt, i)
            for i, prompt in enumerate(prompts)
        ]
        # Run concurrently
        results = await asyncio.gather(*tasks)
        batch_span.set_attribute("results_count", len(results))
        return results
# Run
prompts = ["Prompt 1", "Prompt 2", "Prompt 3"]
results = asyncio.run(process_batch(prompts))
