"""Keeps secrets out of what people and programs read."""

import base64
import json
from collections.abc import Sequence
from urllib.parse import quote, quote_plus

MASK = "********"

_SHORTEST_SECRET = 4
"""Masking anything shorter would blank out half of a log and hide nothing."""


def redact(text: str, secrets: Sequence[str]) -> str:
    """The text with every secret masked, also where it is quoted or encoded for JSON, a URL or HTTP."""
    for form in sorted({form for one in secrets for form in _forms(one)}, key=len, reverse=True):
        text = text.replace(form, MASK)
    return text


def _forms(secret: str) -> set[str]:
    """How a secret looks in the places where it is likely to turn up."""
    parts = {secret, *secret.splitlines()}
    encoded = {
        form
        for part in parts
        for form in (
            json.dumps(part)[1:-1],
            json.dumps(part, ensure_ascii=False)[1:-1],
            repr(part)[1:-1],
            quote(part),
            quote(part, safe=""),
            quote_plus(part),
            base64.b64encode(part.encode()).decode().rstrip("="),
            base64.urlsafe_b64encode(part.encode()).decode().rstrip("="),
        )
    }
    return {form for form in parts | encoded if len(form) >= _SHORTEST_SECRET}
