"""Keeps secrets out of what people and programs read."""

import base64
import functools
import re
import weakref
from collections.abc import Iterable, Sequence
from urllib.parse import quote, quote_plus

from pvefw.core import text as texts

MASK = "********"

_SHORTEST_SECRET = 4
"""Masking anything shorter would blank out half of a log and hide nothing."""
_ESCAPED = re.compile("%[0-9A-F]{2}")


class Secrets:
    """Values that are masked for as long as somebody holds this.

    A plugin may add to them: those that it obtains at run time, a session's token.
    """

    def __init__(self, values: Iterable[str] = ()) -> None:
        self._values = tuple(values)
        _alive.add(self)

    @property
    def values(self) -> tuple[str, ...]:
        """All of them."""
        return self._values

    def add(self, value: str) -> None:
        """Mask this, too, from now on."""
        if value not in self._values:
            self._values = (*self._values, value)

    def redact(self, text: str) -> str:
        """The text without them; see :func:`redact`."""
        return redact(text, self._values)


_alive: "weakref.WeakSet[Secrets]" = weakref.WeakSet()


def redact(text: str, secrets: Sequence[str]) -> str:
    """The text with every secret masked, in each form that it takes on its way.

    Those are: as it is, folded onto one line, quoted by Python, in JSON, HTML or a URL (also twice), in
    hexadecimal digits, and in base64, alone or as a part of more (``user:secret``, RFC 7617).
    """
    for form in sorted(
        {form for secret in secrets for form in _forms(secret)}, key=len, reverse=True
    ):
        text = text.replace(form, MASK)
    return text


def redact_known(text: str) -> str:
    """The text without the secrets of all plugins that are in use: for what fails outside their hooks."""
    return redact(text, [value for secrets_ in list(_alive) for value in secrets_.values])


@functools.lru_cache(maxsize=64)
def _forms(secret: str) -> frozenset[str]:
    """How a secret looks in the places where it is likely to turn up."""
    parts = {secret, secret.strip(), *secret.splitlines(), " ".join(secret.split())}
    parts |= {texts.one_line(piece) for piece in parts}
    parts = {piece for piece in parts if len(piece) >= _SHORTEST_SECRET}
    once = parts | {form for part in parts for form in (*_escaped(part), *_in_digits(part))}
    twice = once | {form for text_ in once for form in _escaped(text_)}
    return frozenset(form for form in twice if len(form) >= _SHORTEST_SECRET)


def _escaped(part: str) -> set[str]:
    """As text formats write it where some characters mean something to them."""
    import html  # the Tab key knows no secret: it waits for neither
    import json

    json_texts = {json.dumps(part, ensure_ascii=ascii_)[1:-1] for ascii_ in (True, False)}
    raw = part.encode(errors="surrogatepass")
    urls = {quote(raw), quote(raw, safe=""), quote_plus(raw)}
    return {
        *json_texts,
        *(text.replace("/", r"\/") for text in json_texts),
        repr(part)[1:-1],
        html.escape(part),
        html.escape(part, quote=False),
        html.escape(part).replace("&#x27;", "&#39;"),
        *urls,
        *(_ESCAPED.sub(lambda match: match[0].lower(), url) for url in urls),
    }


def _in_digits(part: str) -> set[str]:
    """In hexadecimal digits, and in base64 wherever it begins in what is encoded."""
    data = part.encode(errors="surrogatepass")
    forms = {data.hex(), data.hex().upper(), data.hex(" "), data.hex(":")}
    for before in range(3):
        encoded = base64.b64encode(bytes(before) + data).rstrip(b"=").decode()
        # what its neighbours have a share in is not the secret's alone
        first = (0, 2, 3)[before]
        last = len(encoded) - bool((before + len(data)) % 3)
        forms |= {encoded[first:last], encoded[first:last].replace("+", "-").replace("/", "_")}
        if not before:
            forms |= {encoded, encoded.replace("+", "-").replace("/", "_")}
    return forms
