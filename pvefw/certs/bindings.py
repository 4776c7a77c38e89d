"""Key id and key of an external account binding, in the forms in which authorities hand them out."""

import json
import re
from typing import Any

from pvefw.core.errors import ConfigError, UsageError

_BASE64 = re.compile(r"[A-Za-z0-9_+/-]+={0,2}")
_FIELD = re.compile(r"\b(?P<key>keyId|b64MacKey)\b\W{1,4}(?P<value>[\w=+/.-]+)")


def read(text: str, kid: str | None, what: str) -> tuple[str, str]:
    """Key id and MAC key from a file and the option.

    The file holds the key alone, or what ``gcloud publicca external-account-keys create`` prints, as
    JSON or as text: then it has the key id, too.

    :param kid: the key id that was given; it wins.
    :param what: names the file in errors.
    :raises UsageError: there is no key id.
    :raises ConfigError: there is no key.
    """
    fields = _fields(text)
    key = fields["b64MacKey"] if fields else text.strip()
    known = (kid or fields.get("keyId", "")).strip()
    if not known:
        raise UsageError(
            "acme account register: the key id of the external account binding is missing",
            hint="Give it with --eab-kid.",
        )
    if not _BASE64.fullmatch(key):
        raise ConfigError(
            f"{what}: this is not the key of an external account binding: it is base64url",
            hint="Put the key into the file as the authority gave it to you.",
        )
    return known, key


def _fields(text: str) -> dict[str, str]:
    """What gcloud prints; nothing where it is something else."""
    try:
        document: Any = json.loads(text)
    except (ValueError, RecursionError):
        document = {match["key"]: match["value"] for match in _FIELD.finditer(text)}
    if isinstance(document, list) and len(document) == 1:
        document = document[0]
    if not isinstance(document, dict) or not isinstance(document.get("b64MacKey"), str):
        return {}
    return {key: value for key, value in document.items() if isinstance(value, str)}
