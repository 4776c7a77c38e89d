"""The store ``etcd``: what the nodes share is in etcd, version 3.4 or later, through its HTTP gateway.

Keys are below ``PREFIX/files/``, locks below ``PREFIX/locks/``, each bound to a lease. Every read is one
that the members agree on, and every change is one transaction: it compares the key's revision, and that
the locks still hang on their leases.

An answer that was lost says nothing of the change. So the next member is asked with the same comparison:
where it fails and our value is there, it was ours.
"""

import base64
import json
import ssl
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic, sleep
from typing import Any
from urllib.parse import urlsplit

import requests
from etcd3gw.client import Etcd3Client
from etcd3gw.exceptions import Etcd3Exception
from etcd3gw.lease import Lease

from pvefw.api import (
    CredentialsRejected,
    ProviderError,
    StoreEntry,
    StoreListing,
    StoreLock,
    Unavailable,
    cause_of,
    hookimpl,
    setting,
)

_SECONDS = 6.0
"""For one answer: a member that has lost its leader gives up after five."""
_PAUSES = (0.0, 0.5, 1.0, 2.0)
"""Seconds before each round of the members: an election takes a second or two, and may be repeated."""
_LONGEST = 20.0
"""Seconds after which no further round is begun: members that do not answer at all take their time."""
_PAGE = 500
_PORT = 2379
_LOST = (requests.RequestException, OSError)
_NOT_LET_IN = ("_ALERT_", "EOF occurred")
"""In OpenSSL's words where a member has refused the client's certificate; TLS 1.3 may cut that short."""
_OTHERS = 0o077
_NOT_ETCD = "what listens there does not answer as etcd does"


@dataclass
class Etcd:
    """Shares files through etcd."""

    endpoints: list[str] = setting(help="URLs of its members: https://10.0.0.1:2379,https://…")
    ca_file: Path | None = setting(
        help="Certificates to trust for the members; without it, the system's.",
        default=None,
        key="ca-file",
    )
    certificate_file: Path | None = setting(
        help="The client certificate, PEM.", default=None, key="certificate-file"
    )
    key_file: Path | None = setting(
        help="The private key of the client certificate, PEM.", default=None, key="key-file"
    )
    prefix: str = setting(
        help="What all keys begin with; different for each cluster.", default="/pvefw"
    )
    _members: list[Etcd3Client] = field(init=False, repr=False, default_factory=list)

    def __post_init__(self) -> None:
        if (self.certificate_file is None) != (self.key_file is None):
            raise ValueError("certificate-file and key-file go together")
        self._check_key()
        self._members = [self._member(endpoint) for endpoint in self.endpoints]
        if not self._members:
            raise ValueError("endpoints: name one member at least")

    def _check_key(self) -> None:
        for path in filter(None, (self.ca_file, self.certificate_file, self.key_file)):
            if not path.is_file():
                raise ValueError(f"there is no file {path}")
        if self.key_file and self.key_file.stat().st_mode & _OTHERS:
            raise ValueError(
                f"key-file: others than its owner can read it: chmod 600 {self.key_file}"
            )

    def _member(self, endpoint: str) -> Etcd3Client:
        url = urlsplit(endpoint)
        if url.scheme not in ("http", "https") or not url.hostname:
            raise ValueError(f"endpoints: '{endpoint}' is not http(s)://HOST:PORT")
        session = requests.Session()
        session.trust_env = False  # REQUESTS_CA_BUNDLE would win over what is configured
        known = ssl.get_default_verify_paths()
        session.verify = str(self.ca_file or known.cafile or known.capath or "") or True
        if self.certificate_file:
            session.cert = (str(self.certificate_file), str(self.key_file))
        return Etcd3Client(
            host=url.hostname,
            port=url.port or _PORT,
            protocol=url.scheme,
            timeout=_SECONDS,
            api_path="/v3/",
            session=session,
        )

    # --- values -----------------------------------------------------------------------------------

    @hookimpl
    def store_read(self, key: str) -> StoreEntry | None:
        """One key."""
        answer, _ = self._ask("kv/range", {"key": _b64(self._file(key))})
        return _entry(answer.get("kvs"))

    @hookimpl
    def store_swap(
        self, key: str, data: bytes | None, revision: str, locks: Sequence[StoreLock]
    ) -> str | None:
        """One transaction."""
        name = _b64(self._file(key))
        change: dict[str, Any] = (
            {"request_delete_range": {"key": name}}
            if data is None
            else {"request_put": {"key": name, "value": _b64(data)}}
        )
        compare = [
            {"key": name, "target": "MOD", "result": "EQUAL", "mod_revision": revision or "0"},
            *(self._held(lock) for lock in locks),
        ]
        look = {"request_range": {"key": name}}
        answer, doubtful = self._ask(
            "kv/txn", {"compare": compare, "success": [change], "failure": [look]}
        )
        if answer.get("succeeded"):
            return "" if data is None else str(answer["header"]["revision"])
        there = _entry(answer["responses"][0]["response_range"].get("kvs"))
        if doubtful and (there.data if there else None) == data:
            return there.revision if there else ""  # it was done, and the answer was lost
        return None

    @hookimpl
    def store_list(self, prefix: str) -> StoreListing:
        """Page by page, all of one revision."""
        begin, end = self._range(prefix)
        revisions: dict[str, str] = {}
        asked: dict[str, Any] = {"range_end": _b64(end), "limit": _PAGE, "keys_only": True}
        revision = ""
        while True:
            answer, _ = self._ask("kv/range", {**asked, "key": _b64(begin)})
            revision = revision or str(answer["header"]["revision"])
            for pair in answer.get("kvs", ()):
                begin = base64.b64decode(pair["key"])
                revisions[begin.removeprefix(self._file("")).decode()] = str(pair["mod_revision"])
            if not answer.get("more"):
                return StoreListing(revisions, revision)
            asked["revision"], begin = revision, begin + b"\0"

    @hookimpl
    def store_watch(self, prefix: str, position: str, timeout: float) -> Iterator[str]:
        """A stream of events from the revision after the listing."""
        end = monotonic() + timeout
        begin, last = self._range(prefix)
        wanted = {
            "key": _b64(begin),
            "range_end": _b64(last),
            "start_revision": str(int(position) + 1),
        }
        try:
            for line in self._stream({"create_request": wanted}, end):
                result = _message(line)
                if "compact_revision" in result:
                    yield ""
                    return
                for event in result.get("events", ()):
                    key = base64.b64decode(event["kv"]["key"])
                    yield key.removeprefix(self._file("")).decode()
        except _LOST as error:
            if monotonic() < end:
                raise Unavailable(f"the watch was interrupted: {self._why(error)}") from error

    def _stream(self, wanted: Mapping[str, Any], end: float) -> Iterator[bytes]:
        """Lines of a stream until the time is over: then reading fails, which is not an error."""
        for member in self._members:
            left = max(end - monotonic(), 0.001)
            try:
                response = member.session.post(
                    member.get_url("watch"), json=wanted, stream=True, timeout=(_SECONDS, left)
                )
            except _LOST:
                if member is self._members[-1]:
                    raise
                continue
            with response:
                for line in response.iter_lines(chunk_size=1):
                    if line:
                        yield line
                    if monotonic() >= end:
                        return
            return

    # --- locks ------------------------------------------------------------------------------------

    @hookimpl
    def store_lock(self, name: str, holder: str, seconds: float) -> StoreLock:
        """A key that hangs on a lease of its own."""
        key = _b64(self._lock(name))
        look = {"request_range": {"key": key}}
        answer, _ = self._ask("kv/txn", {"compare": [], "success": [look], "failure": []})
        if there := _entry(answer["responses"][0]["response_range"].get("kvs")):
            return StoreLock(name, there.data.decode(errors="replace"), "")
        granted, _ = self._ask("lease/grant", {"TTL": max(round(seconds), 1), "ID": 0})
        lease = str(granted["ID"])
        put = {"request_put": {"key": key, "value": _b64(holder.encode()), "lease": lease}}
        free = {"key": key, "target": "CREATE", "result": "EQUAL", "create_revision": "0"}
        answer, _ = self._ask("kv/txn", {"compare": [free], "success": [put], "failure": [look]})
        if answer.get("succeeded"):
            return StoreLock(name, holder, lease)
        held = answer["responses"][0]["response_range"].get("kvs", [{}])[0]
        if str(held.get("lease", "")) == lease:
            return StoreLock(name, holder, lease)  # it was done, and the answer was lost
        self._revoke(lease)
        return StoreLock(name, base64.b64decode(held.get("value", "")).decode(errors="replace"), "")

    @hookimpl
    def store_renew(self, lock: StoreLock) -> bool:
        """Keep the lease alive, if the key hangs on it."""
        if not lock.token:
            return False
        answer, _ = self._ask("lease/keepalive", {"ID": lock.token})
        if int(answer.get("result", {}).get("TTL", 0)) <= 0:
            return False
        answer, _ = self._ask(
            "kv/txn", {"compare": [self._held(lock)], "success": [], "failure": []}
        )
        return bool(answer.get("succeeded"))

    @hookimpl
    def store_unlock(self, lock: StoreLock) -> None:
        """End the lease, and the key with it."""
        if lock.token:
            self._revoke(lock.token)

    def _revoke(self, lease: str) -> None:
        def revoke(member: Etcd3Client) -> dict[str, Any]:
            Lease(int(lease), member).revoke()
            return {}

        try:
            self._try(revoke)
        except ProviderError as error:
            if "requested lease not found" not in error.message:
                raise

    def _held(self, lock: StoreLock) -> dict[str, Any]:
        key = _b64(self._lock(lock.name))
        return {"key": key, "target": "LEASE", "result": "EQUAL", "lease": lock.token or "-1"}

    # --- asking -----------------------------------------------------------------------------------

    def _file(self, key: str) -> bytes:
        return f"{self.prefix.rstrip('/')}/files/{key}".encode()

    def _lock(self, name: str) -> bytes:
        return f"{self.prefix.rstrip('/')}/locks/{name}".encode()

    def _range(self, prefix: str) -> tuple[bytes, bytes]:
        begin = self._file(prefix)
        return begin, begin[:-1] + bytes([begin[-1] + 1])

    def _ask(self, path: str, body: Mapping[str, Any]) -> tuple[dict[str, Any], bool]:
        """An answer of a member, and whether an earlier try may have been carried out, too."""
        return self._try(lambda member: _of_etcd(member.post(member.get_url(path), json=body)))

    def _rounds(self) -> Iterator[Etcd3Client]:
        """The members, again and again."""
        began = monotonic()
        for pause in _PAUSES:
            if monotonic() + pause > began + _LONGEST:
                return
            sleep(pause)
            yield from list(self._members)

    def _try(self, ask: Callable[[Etcd3Client], dict[str, Any]]) -> tuple[dict[str, Any], bool]:
        """Ask the members one by one, first the one that answered last.

        :raises Unavailable: none answers.
        :raises ProviderError: one refuses.
        """
        doubtful, why = False, ""
        for member in self._rounds():
            try:
                answer = ask(member)
            except Etcd3Exception as error:
                why = self._why(error)
                _refused(error, why)
                doubtful = True
            except _LOST as error:
                why, doubtful = self._why(error), True
            else:
                if member is not self._members[0]:
                    self._members = [
                        member,
                        *(other for other in self._members if other is not member),
                    ]
                return answer, doubtful
        raise Unavailable(f"none of its members answers: {why}")

    def _why(self, error: Exception) -> str:
        """What a member says, else what kept it from saying anything."""
        text = str(getattr(error, "detail_text", None) or error)
        if any(phrase in text for phrase in _NOT_LET_IN):
            if self.certificate_file is None:
                return "it requires a client certificate: set certificate-file and key-file"
            return f"it does not accept the client certificate {self.certificate_file}"
        if isinstance(error, _LOST) or isinstance(error.__context__, _LOST):
            return cause_of(error)
        try:
            return str(json.loads(text)["error"])
        except (ValueError, KeyError, TypeError):
            return text


def _refused(error: Etcd3Exception, message: str) -> None:
    """Raise what no other member would answer otherwise."""
    text = message.lower()
    if "permission denied" in text or "authentication" in text or "user name is empty" in text:
        raise CredentialsRejected(message) from error
    if "lease not found" in text or "nospace" in text or "too large" in text:
        raise ProviderError(message) from error


def _of_etcd(answer: Any) -> dict[str, Any]:
    """An answer, if etcd gave it: each of its own has a header, if not within a result.

    Whatever else listens there says nothing of what is stored: an object without anything would mean that
    there is nothing.

    :raises OSError: something else did.
    """
    if isinstance(answer, dict):
        result = answer.get("result")
        inner = result if isinstance(result, dict) else answer
        if isinstance(inner.get("header"), dict):
            return answer
    raise OSError(_NOT_ETCD)


def _message(line: bytes) -> Mapping[str, Any]:
    """What a line of a watch says.

    :raises Unavailable: that the watch has ended.
    :raises OSError: etcd did not write it.
    """
    try:
        message = json.loads(line)
    except ValueError:
        raise OSError(_NOT_ETCD) from None
    error = message.get("error") if isinstance(message, dict) else None
    if isinstance(error, dict):
        raise Unavailable(f"etcd ended the watch: {error.get('message', '')}")
    if not isinstance(message, dict) or not isinstance(message.get("result"), dict):
        raise OSError(_NOT_ETCD)
    result: Mapping[str, Any] = message["result"]
    return result


def _entry(pairs: Sequence[Mapping[str, str]] | None) -> StoreEntry | None:
    if not pairs:
        return None
    data = base64.b64decode(pairs[0].get("value", ""))
    return StoreEntry(data, str(pairs[0]["mod_revision"]))


def _b64(data: bytes) -> str:
    return base64.b64encode(data).decode()
