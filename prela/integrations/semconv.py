"""The names under which a call of a model is recorded: one table, so that new conventions are one change.

From OpenTelemetry's GenAI semantic conventions (`open-telemetry/semantic-conventions-genai`, main as of 9 October 2026;
all of `gen_ai.*` and `openai.*` has the status Development there) and its general attributes (1.44, stable). What those
have no name for is under `prela.`.
"""

from typing import Final

VERSION: Final = "semantic-conventions-genai 2026-10-09"

OPERATION: Final = "gen_ai.operation.name"
PROVIDER: Final = "gen_ai.provider.name"
CONVERSATION_ID: Final = "gen_ai.conversation.id"
CONVERSATION_COMPACTED: Final = "gen_ai.conversation.compacted"
OUTPUT_TYPE: Final = "gen_ai.output.type"
PROMPT_NAME: Final = "gen_ai.prompt.name"
PROMPT_VERSION: Final = "gen_ai.prompt.version"
PROMPT_VARIABLE: Final = "gen_ai.prompt.variable."
"""A prefix."""

REQUEST_MODEL: Final = "gen_ai.request.model"
REQUEST_STREAM: Final = "gen_ai.request.stream"
REQUEST_TEMPERATURE: Final = "gen_ai.request.temperature"
REQUEST_TOP_P: Final = "gen_ai.request.top_p"
REQUEST_TOP_K: Final = "gen_ai.request.top_k"
REQUEST_MAX_TOKENS: Final = "gen_ai.request.max_tokens"
REQUEST_FREQUENCY_PENALTY: Final = "gen_ai.request.frequency_penalty"
REQUEST_PRESENCE_PENALTY: Final = "gen_ai.request.presence_penalty"
REQUEST_SEED: Final = "gen_ai.request.seed"
REQUEST_CHOICE_COUNT: Final = "gen_ai.request.choice.count"
REQUEST_STOP_SEQUENCES: Final = "gen_ai.request.stop_sequences"
REQUEST_ENCODING_FORMATS: Final = "gen_ai.request.encoding_formats"
REQUEST_REASONING_LEVEL: Final = "gen_ai.request.reasoning.level"
REQUEST_PREVIOUS_RESPONSE: Final = "gen_ai.request.previous_response.id"
REQUEST_STREAM_CURSOR: Final = "gen_ai.request.stream_cursor"
EMBEDDING_DIMENSIONS: Final = "gen_ai.embeddings.dimension.count"

RESPONSE_ID: Final = "gen_ai.response.id"
RESPONSE_MODEL: Final = "gen_ai.response.model"
RESPONSE_STATUS: Final = "gen_ai.response.status"
FINISH_REASONS: Final = "gen_ai.response.finish_reasons"
TIME_TO_FIRST_CHUNK: Final = "gen_ai.response.time_to_first_chunk"
"""Seconds from the start of the call."""

INPUT_TOKENS: Final = "gen_ai.usage.input_tokens"
"""All of them: those read from a cache are among them."""
OUTPUT_TOKENS: Final = "gen_ai.usage.output_tokens"
CACHE_READ_TOKENS: Final = "gen_ai.usage.cache_read.input_tokens"
CACHE_WRITE_TOKENS: Final = "gen_ai.usage.cache_write.input_tokens"
REASONING_TOKENS: Final = "gen_ai.usage.reasoning.output_tokens"
MODALITY_TOKENS: Final = "gen_ai.usage.{modality}.{side}_tokens"

INPUT_MESSAGES: Final = "gen_ai.input.messages"
OUTPUT_MESSAGES: Final = "gen_ai.output.messages"
SYSTEM_INSTRUCTIONS: Final = "gen_ai.system_instructions"
TOOL_DEFINITIONS: Final = "gen_ai.tool.definitions"

OPENAI_API_TYPE: Final = "openai.api.type"
OPENAI_REQUEST_SERVICE_TIER: Final = "openai.request.service_tier"
OPENAI_RESPONSE_SERVICE_TIER: Final = "openai.response.service_tier"
OPENAI_SYSTEM_FINGERPRINT: Final = "openai.response.system_fingerprint"

SERVER_ADDRESS: Final = "server.address"
SERVER_PORT: Final = "server.port"
ERROR_TYPE: Final = "error.type"
HTTP_METHOD: Final = "http.request.method"
HTTP_STATUS: Final = "http.response.status_code"
HTTP_RESEND: Final = "http.request.resend_count"
REQUEST_ID: Final = "prela.request.id"
"""What the server calls the request, for asking its makers about it."""

# Where the time of a call went, in seconds.
TIME_POOL: Final = "prela.time.pool"
"""Until a connection of the pool was free or a new one was begun."""
TIME_CONNECT: Final = "prela.time.connect"
"""Name resolution and connecting."""
TIME_TLS: Final = "prela.time.tls"
TIME_SEND: Final = "prela.time.send"
TIME_SERVER: Final = "prela.time.server"
"""From the request's last byte until the response's headers."""
TIME_RECEIVE: Final = "prela.time.receive"
"""Reading the response's body; of a stream, without what its consumer did in between."""
TIME_CONSUMER: Final = "prela.time.consumer"
"""What the consumer of a stream did between two chunks."""
TIME_RETRY: Final = "prela.time.retry"
"""Sleeping between attempts."""

STREAM_CHUNKS: Final = "prela.stream.chunks"
STREAM_BYTES: Final = "prela.stream.bytes"
STREAM_CONSUMER_ERROR: Final = "prela.stream.consumer_error"
"""The type of the exception with which a stream's consumer gave it up."""

RETRY_EVENT: Final = "retry"
RETRY_ATTEMPT: Final = "prela.retry.attempt"
"""Which attempt failed; 1 is the first."""
RETRY_WAIT: Final = "prela.retry.wait"
"""Seconds slept before the next."""

COST: Final = "prela.cost.usd"
REQUEST_PARAMETERS: Final = "prela.request."
"""A prefix, for parameters of a request that the conventions have no name for."""
