"""Tells an HTTP endpoint: a chat, a ticket system, an automation of one's own."""

import dataclasses
import json
import re
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from string import Template

from requests.structures import CaseInsensitiveDict

from pvefw.api import NOTICES, NoticeEvent, hookimpl, setting
from pvefw_observer_generic import http

__all__ = ["Webhook"]

_WORDS = ("event", "node", "severity", "subject", "text", "secret", "json")
_JSON = "application/json"
_TOKEN = re.compile(r"[\w!#$%&'*+.^`|~-]+", re.ASCII)
"""A header's name (RFC 9110 section 5.6.2)."""


@dataclasses.dataclass
class Webhook:
    """Sends a request for each event, with a body of one's own or the event as JSON.

    In ``url``, ``headers`` and ``body``: $event, $node, $severity, $subject, $text, $json
    (the whole event) and $secret. In a body that is JSON, they are escaped for a string; $json is not.
    """

    url: str = setting(help="Where to send the request.")
    method: str = setting(
        help="The method.", default="POST", choices=("POST", "PUT", "PATCH", "GET")
    )
    headers: list[str] = setting(
        help="More headers, each NAME: VALUE (default: Content-Type: application/json).", default=[]
    )
    body: str = setting(help="The body; without it, the event as JSON.", default="$json")
    secret: str | None = setting(
        help="The value of $secret in the others.", default=None, secret=True
    )
    events: list[str] = setting(
        help=f"What to send: {', '.join(NOTICES)} (default: all but certificate).",
        default=[notice for notice in NOTICES if notice != "certificate"],
    )
    ca_file: Path | None = setting(
        help="Certificates to trust instead of the system's.", default=None
    )

    def __post_init__(self) -> None:
        if not self.url.startswith(("https://", "http://")):
            raise ValueError(f"url {self.url} does not begin with https://")
        for event in self.events:
            if event not in NOTICES:
                raise ValueError(f"'{event}' is not an event; there are {', '.join(NOTICES)}")
        for header in self.headers:
            name, _, value = header.partition(":")
            if not value.strip() or not _TOKEN.fullmatch(name.strip()):
                raise ValueError(f"the header '{header}' is not NAME: VALUE")
        for text in (self.url, self.body, *self.headers):
            self._check_words(Template(text))

    def _check_words(self, template: Template) -> None:
        if not template.is_valid():
            raise ValueError(f"'{template.template}': a $ that begins no word is written $$")
        for word in template.get_identifiers():
            if word not in _WORDS:
                known = ", ".join(f"${part}" for part in _WORDS)
                raise ValueError(f"${word} is not known; there are {known}")
            if word == "secret" and self.secret is None:
                raise ValueError("$secret is used, and no secret is set")

    @hookimpl
    def on_notice(self, event: NoticeEvent) -> None:
        """Send it, where it is one of the events to send."""
        if event.kind not in self.events:
            return
        document = {
            "event": event.kind,
            "node": event.node,
            "severity": event.severity.value,
            "subject": event.subject,
            **event.facts,
        }
        words = {
            "event": event.kind,
            "node": event.node,
            "severity": event.severity.value,
            "subject": event.subject,
            "text": "\n".join(event.lines),
            "secret": self.secret or "",
        }
        headers = CaseInsensitiveDict({"Content-Type": _JSON, **self._headers(words)})
        escape = _JSON in headers["Content-Type"]
        inside = {key: json.dumps(word)[1:-1] if escape else word for key, word in words.items()}
        whole = json.dumps(document, default=_as_text)
        body = Template(self.body).substitute(inside, json=whole)
        url = Template(self.url).substitute(words, json="")
        http.send(self.method, url, body.encode(), headers, self.ca_file)

    def _headers(self, words: Mapping[str, str]) -> dict[str, str]:
        one_line = {key: " ".join(word.split()) for key, word in words.items()}
        split = (header.partition(":") for header in self.headers)
        return {
            key.strip(): Template(value.strip()).substitute(one_line, json="")
            for key, _, value in split
        }


def _as_text(value: object) -> str:
    """Times in ISO 8601, paths as they are."""
    return value.isoformat() if isinstance(value, datetime) else str(value)
