"""The tokens that a response says it used, under the names of the conventions."""

from collections.abc import Mapping
from typing import Any, Final

from prela.integrations import semconv

_TOTALS: Final = {
    "prompt_tokens": semconv.INPUT_TOKENS,
    "input_tokens": semconv.INPUT_TOKENS,
    "completion_tokens": semconv.OUTPUT_TOKENS,
    "output_tokens": semconv.OUTPUT_TOKENS,
}
_SIDES: Final = {
    "prompt_tokens_details": "input",
    "prompt_token_details": "input",
    "input_tokens_details": "input",
    "input_token_details": "input",
    "completion_tokens_details": "output",
    "output_tokens_details": "output",
    "output_token_details": "output",
}
_DETAILS: Final = {
    ("input", "cached_tokens"): semconv.CACHE_READ_TOKENS,
    ("input", "cache_write_tokens"): semconv.CACHE_WRITE_TOKENS,
    ("output", "reasoning_tokens"): semconv.REASONING_TOKENS,
} | {
    (side, f"{modality}_tokens"): semconv.MODALITY_TOKENS.format(modality=modality, side=side)
    for modality in ("audio", "image", "text")
    for side in ("input", "output")
}


def usage_attributes(usage: object) -> dict[str, object]:
    """The counts of any of the API's usage objects. Details that are zero are left out: most always are."""
    found: dict[str, object] = {}
    if not isinstance(usage, Mapping):
        return found
    for key, attribute in _TOTALS.items():
        if _is_count(usage.get(key)):
            found[attribute] = usage[key]
    for key, side in _SIDES.items():
        details: Any = usage.get(key)
        for name, count in details.items() if isinstance(details, Mapping) else ():
            if (side, name) in _DETAILS and _is_count(count) and count:
                found[_DETAILS[side, name]] = count
    return found


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0
