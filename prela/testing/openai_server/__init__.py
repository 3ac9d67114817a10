"""An OpenAI-compatible server on loopback, for agents under test and for the demo: no network, no key.

It speaks, in the API's own wire shapes: chat completions, responses and completions, plain and streamed; embeddings,
moderations, images, speech, transcriptions, models, files and batches. What it says, and how it fails, is an `Answer`.

    with OpenAIServer([Answer(status=429, headers={"retry-after-ms": "1"}), Answer("Paris")]) as server:
        client = openai.OpenAI(base_url=server.base_url, api_key="any")
"""

from prela.testing.openai_server.answers import Answer, ToolCall, echo
from prela.testing.openai_server.server import OpenAIServer

__all__ = ["Answer", "OpenAIServer", "ToolCall", "echo"]
