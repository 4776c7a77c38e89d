"""DNS at Awkward, whose API has it all: sessions, numbered domains, pages, record sets, a commit.

A plugin as a third party wrote it with the published pages alone, and the API as its manual says it is,
told nothing of what the kit plays. Tests seed bugs into the text of this file.
"""

from dataclasses import dataclass, field

import requests

from pvefw.api import (
    CredentialsRejected,
    ProviderError,
    RateLimited,
    Unavailable,
    hookimpl,
    setting,
)


@dataclass
class Awkward:
    """DNS at Awkward."""

    user: str = setting(help="The account's name.")
    password: str = setting(help="Its password.", secret=True)
    url: str = setting(help="The API.", default="https://api.awkward.example")
    _sid: str = field(default="", init=False, repr=False)

    @hookimpl
    def dns_zones(self):
        return [f"{domain['name']}." for domain in self._pages("/domains")]

    @hookimpl
    def dns_add(self, zone, records, task):
        def with_it(there, value):
            return there if value in there else [*there, value]

        self._change(zone, records, task, with_it)

    @hookimpl
    def dns_remove(self, zone, records, task):
        def without_it(there, value):
            return [text for text in there if text != value]

        self._change(zone, records, task, without_it)

    def _change(self, zone, records, task, combine):
        number = self._number(zone)
        sets = {entry["host"]: entry for entry in self._sets(number) if entry["type"] == "TXT"}
        for name in sorted({record.name for record in records}):
            host = name.removesuffix(zone).rstrip(".") or "@"
            ours = [record for record in records if record.name == name]
            found = sets.get(host)
            before = found["values"] if found else []
            values = list(before)
            for zone_ in ours:
                values = combine(values, zone_.value)
            if values != before:
                task.log(f"{host}: {len(before)} values become {len(values)}")
                ttl = found["ttl"] if found else ours[0].ttl
                self._write(number, found, host, values, ttl)
        self._call("POST", f"/domains/{number}/commit")

    def _write(self, number, found, host, values, ttl):
        path = f"/domains/{number}/rrsets"
        body = {"host": host, "type": "TXT", "values": values, "ttl": ttl}
        if not found:
            self._call("POST", path, body)
        elif not values:
            self._call("DELETE", f"{path}/{found['rrset_id']}")
        else:
            self._call("PUT", f"{path}/{found['rrset_id']}", body)

    def _sets(self, number):
        return self._pages(f"/domains/{number}/rrsets")

    def _number(self, zone):
        for domain in self._pages("/domains"):
            if f"{domain['name']}." == zone:
                return domain["domain_id"]
        raise ProviderError(f"the account has no domain {zone}")

    def _pages(self, path):
        found, page = [], 1
        while True:
            answer = self._call("GET", f"{path}?page={page}")
            found += answer["items"]
            if page >= answer["pages"]:
                return found
            page += 1

    def _login(self):
        answer = self._send("POST", "/login", {"user": self.user, "password": self.password})
        self._sid = self._checked("login", answer)["sid"]

    def _call(self, method, path, body=None):
        if not self._sid:
            self._login()
        answer = self._send(method, path, body)
        if answer.status_code == 440:
            self._login()
            answer = self._send(method, path, body)
        return self._checked(f"{method} {path}", answer)

    def _send(self, method, path, body):
        headers = {"X-Awkward-Session": self._sid} if path != "/login" else {}
        try:
            return requests.request(method, self.url + path, json=body, headers=headers, timeout=30)
        except requests.RequestException as error:
            raise Unavailable(f"{method} {path}: {error}") from error

    def _checked(self, what, answer):
        said = f"{what}: {answer.status_code} {answer.text[:200]}"
        if answer.status_code in (401, 403, 440):
            raise CredentialsRejected(said)
        if answer.status_code == 429:
            after = answer.headers.get("Retry-After", "")
            raise RateLimited(said, retry_after=float(after) if after.isdigit() else None)
        if answer.status_code >= 500:
            raise Unavailable(said)
        if not answer.ok:
            raise ProviderError(said)
        return answer.json() if answer.content else None


PAGE = 25


class Fake:
    """The API."""

    def __init__(self):
        self.domains = {4711: "example.test"}
        self.sets = {}  # id: host, type, values, ttl
        self.shown = {}
        self.next, self.sids, self.logins = 1000, set(), 0
        self.failing = False

    def fail_next_commit(self):
        self.failing = True

    def txt(self, name):
        host = name.removesuffix("example.test.").strip(".")
        return set(self.shown.get(host, ()) if host else self.shown.get("@", ()))

    def handle(self, request):
        if request.path == "/login":
            if request.json != {"user": "joe-user", "password": "correct-password"}:
                return 401, {"error": "wrong user or password"}
            self.logins += 1
            self.sids.add(f"sid-{self.logins:06}")
            return 200, {"sid": f"sid-{self.logins:06}"}
        if request.headers.get("X-Awkward-Session") not in self.sids:
            return 440, {"error": "session expired"}
        return self.known(request, int(request.query.get("page", "1")))

    def known(self, request, page):
        match [request.method, *request.path.strip("/").split("/")]:
            case ["GET", "domains"]:
                return self.paged(
                    [{"domain_id": n, "name": d} for n, d in self.domains.items()], page
                )
            case [_, "domains", number, *_] if int(number) not in self.domains:
                return 404, {"error": "no such domain"}
            case ["GET", "domains", _, "rrsets"]:
                return self.paged(
                    [{"rrset_id": n, **entry} for n, entry in sorted(self.sets.items())], page
                )
            case ["POST", "domains", _, "rrsets"]:
                if any(entry["host"] == request.json["host"] for entry in self.sets.values()):
                    return 409, {"error": "there is such a set"}
                self.next += 1
                self.sets[self.next] = request.json
                return 201, {"rrset_id": self.next}
            case ["PUT", "domains", _, "rrsets", n] if int(n) in self.sets:
                self.sets[int(n)] = request.json
                return 200, {}
            case ["DELETE", "domains", _, "rrsets", n] if int(n) in self.sets:
                del self.sets[int(n)]
                return 200, {}
            case ["POST", "domains", _, "commit"] if self.failing:
                self.failing = False
                return 503, {"error": "restarting"}
            case ["POST", "domains", _, "commit"]:
                self.shown = {entry["host"]: list(entry["values"]) for entry in self.sets.values()}
                return 200, {}
        return 404, {"error": "nothing here"}

    @staticmethod
    def paged(items, page):
        pages = max(1, -(-len(items) // PAGE))
        return 200, {"items": items[(page - 1) * PAGE : page * PAGE], "pages": pages}
