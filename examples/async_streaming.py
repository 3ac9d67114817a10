# Async Streaming: the documented example, as it is written. The first three lines are its preamble.
import prela
prela.init(service_name="async-streaming")
tracer = prela.get_tracer()
import asyncio
from openai import AsyncOpenAI
async def stream_completion(prompt: str):
    """Stream completion asynchronously."""
    with tracer.span("streaming_completion", prela.SpanType.LLM) as span:
        client = AsyncOpenAI()
        stream = await client.chat.completions.create(
            model="gpt-4",
            messages=[{"role": "user", "content": prompt}],
            stream=True
        )
        chunks = []
        async for chunk in stream:
            if chunk.choices[0].delta.content:
                chunks.append(chunk.choices[0].delta.content)
        full_response = "".join(chunks)
        span.set_attribute("response_length", len(full_response))
        return full_response
async def process_multiple_streams(prompts: list[str]):
    """Process multiple streaming completions concurrently."""
    with tracer.span("multi_stream", prela.SpanType.AGENT) as span:
        span.set_attribute("num_streams", len(prompts))
        # Create streaming tasks
        tasks = [stream_completion(prompt) for prompt in prompts]
        # Run all streams concurrently
        results = await asyncio.gather(*tasks)
        span.set_attribute("total_responses", len(results))
        return results
# Run
prompts = ["Question 1", "Question 2", "Question 3"]
results = asyncio.run(process_multiple_streams(prompts))
