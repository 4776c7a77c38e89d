"""Sends through the notification targets of Proxmox VE, as its matchers say.

Its files are section configurations: ``notifications.cfg`` with targets and matchers, and beside it, in
``priv``, the secrets of targets. Described in the chapter "Notifications" of Proxmox VE's administration
guide.
"""

import base64
import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import quote

from pvefw.api import NoticeEvent, ProviderError, Severity, Task, hookimpl, setting
from pvefw_observer_generic import http
from pvefw_observer_generic.mail import Mail
from pvefw_observer_generic.matching import matches

__all__ = ["Proxmox"]

_HEADER = re.compile(r"(\S+):\s*(\S+)\s*$")
_BUILT_IN = """\
sendmail: mail-to-root
	mailto-user root@pam
matcher: default-matcher
	target mail-to-root
"""
"""What Proxmox VE has as long as the file does not say otherwise."""
_SECURITY = {"insecure": "none", "starttls": "starttls", "tls": "tls"}
_PRIORITY = {Severity.INFO: 1, Severity.NOTICE: 3, Severity.WARNING: 5, Severity.ERROR: 9}
"""Of Gotify, as Proxmox VE sets it."""
_EXPRESSION = re.compile(r"{{{?\s*(?:(\S+)\s+)?([\w.-]+)\s*}}}?")
_EMAIL = 6
"""Which field of a user in ``user.cfg`` is the address."""


@dataclass
class Section:
    """A section of a configuration; a key may be there several times."""

    type: str
    id: str
    values: dict[str, list[str]] = field(default_factory=dict, repr=False)

    def all(self, key: str) -> list[str]:
        """The values of a key."""
        return self.values.get(key, [])

    def get(self, key: str, default: str = "") -> str:
        """The last value of a key."""
        return self.values.get(key, [default])[-1]

    def is_on(self, key: str) -> bool:
        """Whether a switch is on."""
        return self.get(key) in ("1", "true", "yes", "on")


@dataclass
class Proxmox:
    """Sends each event to those targets of Proxmox VE whose matchers match it.

    Its field ``type`` is the event (``renewal-failed`` …), ``hostname`` the node.
    """

    config: Path = setting(
        help="Proxmox VE's targets and matchers.", default=Path("/etc/pve/notifications.cfg")
    )
    private: Path = setting(
        help="The secrets of the targets.", default=Path("/etc/pve/priv/notifications.cfg")
    )
    users: Path = setting(
        help="Proxmox VE's users, for their mail addresses.", default=Path("/etc/pve/user.cfg")
    )
    ca_file: Path | None = setting(
        help="Certificates to trust instead of the system's.", default=None
    )

    @hookimpl
    def on_notice(self, event: NoticeEvent, task: Task) -> None:
        """Send it to every target that is wanted, whatever becomes of the others."""
        sections = _sections(_BUILT_IN) | _sections(_read(self.config))
        secrets = _sections(_read(self.private))
        fields = {"type": event.kind, "hostname": event.node}
        now, failed = datetime.now(UTC).astimezone(), list[str]()
        wanted = [
            target
            for section in sections.values()
            if section.type == "matcher" and not section.is_on("disable")
            if matches(section, fields, event.severity, now)
            for target in section.all("target")
        ]
        for id_ in dict.fromkeys(wanted):
            target = sections.get(id_)
            if target is None or target.is_on("disable"):
                continue
            try:
                self._send(target, secrets.get(id_, Section("", id_)), event, now)
                task.log(f"Sent to {id_} ({target.type})")
            except ProviderError as error:
                failed.append(f"{id_}: {error}")
        if failed:
            raise ProviderError("; ".join(failed))

    def _send(self, target: Section, secret: Section, event: NoticeEvent, now: datetime) -> None:
        match target.type:
            case "sendmail" | "smtp":
                self._mail(target, secret, event)
            case "gotify":
                self._gotify(target, secret, event)
            case "webhook":
                self._webhook(target, secret, event, now)
            case other:
                raise ProviderError(f"a target of the type {other} is not known")

    def _mail(self, target: Section, secret: Section, event: NoticeEvent) -> None:
        users = _addresses(_read(self.users))
        named = [users.get(user, "") for user in target.all("mailto-user")]
        to = [address for address in [*target.all("mailto"), *named] if address]
        if not to:
            raise ProviderError("no mail address is known for the users that it names")
        server = target.get("server") if target.type == "smtp" else ""
        port = target.get("port")
        if port and not (port.isascii() and port.isdecimal()):
            raise ProviderError(f"'{port}' is not a port")
        try:
            mail = Mail(
                to=to,
                sender=target.get("from-address") or None,
                server=server or None,
                security=_SECURITY.get(target.get("mode", "tls"), "tls"),
                port=int(port) if port else None,
                username=target.get("username") or None,
                password=secret.get("password") or None,
                ca_file=self.ca_file,
            )
        except ValueError as error:
            raise ProviderError(str(error)) from error
        mail.send(event)

    def _gotify(self, target: Section, secret: Section, event: NoticeEvent) -> None:
        body = {
            "title": event.subject,
            "message": "\n".join(event.lines),
            "priority": _PRIORITY[event.severity],
        }
        headers = {"Content-Type": "application/json", "X-Gotify-Key": secret.get("token")}
        url = f"{target.get('server').rstrip('/')}/message"
        http.send("POST", url, json.dumps(body).encode(), headers, self.ca_file)

    def _webhook(self, target: Section, secret: Section, event: NoticeEvent, now: datetime) -> None:
        words = {
            "title": event.subject,
            "message": "\n".join(event.lines),
            "severity": event.severity.value,
            "timestamp": str(int(now.timestamp())),
            "fields.type": event.kind,
            "fields.hostname": event.node,
            **{f"secrets.{key}": value for key, value in _named(secret.all("secret"))},
        }
        one_line = {key: " ".join(word.split()) for key, word in words.items()}
        headers = {key: _filled(value, one_line) for key, value in _named(target.all("header"))}
        body = _filled(_decoded(target.get("body")), words).encode()
        url = _filled(target.get("url"), words)
        http.send(target.get("method", "post").upper(), url, body, headers, self.ca_file)


# --- its templates (Handlebars) -------------------------------------------------------------------

_HELPERS: Mapping[str, Callable[[str], str]] = {
    "": str,
    "escape": lambda text: json.dumps(text)[1:-1],
    "json": json.dumps,
    "url-encode": lambda text: quote(text, safe=""),
}


def _filled(template: str, words: Mapping[str, str]) -> str:
    """A template with its expressions replaced.

    :raises ProviderError: it has an expression that is not known, for instance a block.
    """

    def value(match: re.Match[str]) -> str:
        helper, word = match[1] or "", match[2]
        if helper not in _HELPERS:
            raise ProviderError(f"its template has the helper {helper}, which is not known here")
        return _HELPERS[helper](words.get(word, ""))

    blocks = re.search(r"{{{?\s*[#/^>&!]", template)
    if blocks:
        raise ProviderError("its template has blocks, which are not known here")
    return _EXPRESSION.sub(value, template)


# --- its files ------------------------------------------------------------------------------------


def _read(path: Path) -> str:
    try:
        return path.read_text(errors="replace")
    except FileNotFoundError:
        return ""
    except OSError as error:
        raise ProviderError(f"{path} cannot be read: {error.strerror}") from error


def _sections(text: str) -> dict[str, Section]:
    """The sections by their id."""
    sections: dict[str, Section] = {}
    current: Section | None = None
    for line in text.splitlines():
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        if not line[0].isspace():
            header = _HEADER.match(line)
            current = Section(header[1], header[2]) if header else None
            if current:
                sections[current.id] = current
        elif current:
            key, _, value = line.strip().partition(" ")
            current.values.setdefault(key, []).append(value.strip())
    return sections


def _addresses(text: str) -> dict[str, str]:
    """The mail address of each user, where there is one."""
    rows = (line.split(":") for line in text.splitlines() if line.startswith("user:"))
    return {row[1]: row[_EMAIL] for row in rows if len(row) > _EMAIL and "@" in row[_EMAIL]}


def _named(values: list[str]) -> Iterator[tuple[str, str]]:
    """What ``name=NAME,value=BASE64`` says, of each."""
    for value in values:
        parts = dict(part.partition("=")[::2] for part in value.split(","))
        yield parts.get("name", ""), _decoded(parts.get("value", ""))


def _decoded(text: str) -> str:
    try:
        return base64.b64decode(text, validate=True).decode()
    except ValueError as error:
        raise ProviderError("a value of it is not base64") from error
