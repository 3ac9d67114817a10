"""What a call cost, from the prices that `genai-prices` keeps; without that package no cost is recorded.

All of it is imported with the integration, in the program's thread: where a worker imports while the program forks, the
child is left with an import that never ends.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from prela.core import log
from prela.integrations import semconv

if TYPE_CHECKING:
    from prela.integrations.stainless.provider import Operation, Provider

try:
    import genai_prices

    # It imports most of itself at the first price; tests/test_importing.py looks for what the worker imports.
    genai_prices.calc_price(genai_prices.Usage(input_tokens=1), model_ref="gpt-4o", provider_id="openai")
except Exception:
    genai_prices = None  # type: ignore[assignment]

_PROVIDERS: Final = {
    "azure.ai.openai": "azure",
    "gcp.gemini": "google",
    "gcp.vertex_ai": "google",
    "mistral_ai": "mistral",
    "moonshot_ai": "moonshotai",
    "x_ai": "x-ai",
    "aws.bedrock": "aws",
}
"""The conventions' names, where those of `genai-prices` differ."""
_USAGE: Final = {
    semconv.INPUT_TOKENS: "input_tokens",
    semconv.OUTPUT_TOKENS: "output_tokens",
    semconv.CACHE_READ_TOKENS: "cache_read_tokens",
    semconv.CACHE_WRITE_TOKENS: "cache_write_tokens",
    semconv.MODALITY_TOKENS.format(modality="audio", side="input"): "input_audio_tokens",
    semconv.MODALITY_TOKENS.format(modality="audio", side="output"): "output_audio_tokens",
}
_USUAL_TIERS: Final = {None, "auto", "default", "standard"}
"""Others have prices of their own, which are not known here."""


def in_usd(provider: "Provider", operation: "Operation", attributes: Mapping[str, Any]) -> float | None:
    """The cost of a call by its usage, in US dollars; None where it is not known for certain."""
    usage = {name: attributes[key] for key, name in _USAGE.items() if attributes.get(key) is not None}
    if genai_prices is None or not usage or attributes.get(semconv.OPENAI_RESPONSE_SERVICE_TIER) not in _USUAL_TIERS:
        return None
    name = str(operation.attributes.get(semconv.PROVIDER, provider.name))
    for model in (attributes.get(semconv.RESPONSE_MODEL), operation.model):
        if isinstance(model, str) and model:
            try:
                price = genai_prices.calc_price(
                    genai_prices.Usage(**usage), model_ref=model, provider_id=_PROVIDERS.get(name, name)
                )
            except LookupError:
                continue
            except Exception as error:
                log.failed("working out a cost", error)
                return None
            return float(price.total_price) if _covers(price.model_price, attributes) else None
    return None


def _covers(prices: Any, attributes: Mapping[str, Any]) -> bool:
    """Whether these prices are by the token, and know the sorts of tokens that were used."""
    if getattr(prices, "input_mtok", None) is None:
        return False  # by the hour, or by the character
    for modality, side in (("audio", "input"), ("audio", "output"), ("image", "input"), ("image", "output")):
        used = attributes.get(semconv.MODALITY_TOKENS.format(modality=modality, side=side))
        own_price = getattr(prices, f"{side}_{modality}_mtok", None) is not None
        # Tokens of sound have a price of their own everywhere; those of images where such a price is known.
        if used and own_price is (modality == "image"):
            return False
    return True
