"""A stand-in for deSEC's API: record sets, read and changed one by one or in bulk, all or nothing.

https://desec.readthedocs.io/en/latest/dns/rrsets.html
"""

import re

_DOMAIN = re.compile(r"/domains/([^/]+)/")
_SETS = re.compile(r"/domains/([^/]+)/rrsets/(?:([^/]+)/TXT/)?")
_TTL = 3600
_STRING = re.compile(r'"((?:[^"\\]|\\.)*)"')
_LONGEST_STRING = 255
_TOO_SHORT = "Ensure this value is greater than or equal to 3600."


class FakeDesec:
    """One domain of one account."""

    token = "i-T3b1h_OI-H9ab8tRS98stGtURe"

    def __init__(self, zone):
        self.zone = zone
        self.requests = []
        self.ttls = {}
        self.busy = 0
        """How many requests are answered with 429 from now on."""

    def answer(self, request):
        self.requests.append(f"{request.method} {request.path}")
        if self.busy:
            self.busy -= 1
            return 429, {"detail": "Request was throttled."}, {"Retry-After": "7"}
        if request.headers.get("Authorization") != f"Token {self.token}":
            return 401, {"detail": "Invalid token."}
        path = re.sub("/+", "/", request.path)  # as the server in front of it does
        domain, sets = _DOMAIN.fullmatch(path), _SETS.fullmatch(path)
        found = domain or sets
        if not found or f"{found[1]}." != self.zone.name:
            return 404, {"detail": "Not found."}
        if domain:
            return 200, {"name": found[1], "minimum_ttl": _TTL}
        if not sets[2]:
            return self._all(request)
        return self._one("" if sets[2] == "@" else sets[2], request)

    def _all(self, request):
        match request.method:
            case "GET":
                return 200, self._listed(request.query)
            case "POST":
                status, said = self._write([request.json])
                return (201, request.json) if status == 200 else (status, said[0])
            case "PATCH":
                return self._write(request.json)
        return 405, {"detail": f'Method "{request.method}" not allowed.'}

    def _one(self, subname, request):
        if not self.zone.txt(self._name(subname)):
            return 404, {"detail": "Not found."}
        match request.method:
            case "GET":
                return 200, self._set(subname)
            case "PATCH":
                status, said = self._write([{**self._set(subname), **request.json}])
                return (status, request.json) if status == 200 else (status, said[0])
        return 405, {"detail": f'Method "{request.method}" not allowed.'}

    def _name(self, subname):
        return f"{subname}.{self.zone.name}" if subname else self.zone.name

    def _set(self, subname):
        name = self._name(subname)
        records = [_shown(value) for value in sorted(self.zone.txt(name))]
        return {
            "subname": subname,
            "name": name,
            "type": "TXT",
            "ttl": self.ttls.get(subname, _TTL),
            "records": records,
        }

    def _listed(self, query):
        names = sorted({name for name, _ in self.zone.records})
        subnames = [name.removesuffix(self.zone.name).rstrip(".") for name in names]
        wanted = query.get("subname")
        return [self._set(name) for name in subnames if wanted in (None, name)]

    def _write(self, rrsets):
        for rrset in rrsets:
            if int(rrset.get("ttl", _TTL)) < _TTL:
                return 400, [{"ttl": [_TOO_SHORT]}]
            if any(_STRING.sub("", text).strip() or not _text(text) for text in rrset["records"]):
                return 400, [{"records": ["Record content malformed: must be quoted."]}]
        for rrset in rrsets:
            name = self._name(rrset["subname"])
            self.ttls[rrset["subname"]] = int(rrset.get("ttl", _TTL))
            for value in self.zone.txt(name):
                self.zone.remove(name, value)
            for text in rrset["records"]:
                self.zone.add(name, _text(text))
        return 200, rrsets


def _shown(text):
    """As zone files have it: strings of at most 255 octets, in quotes (RFC 1035 section 5.1)."""
    parts = [text[at : at + _LONGEST_STRING] for at in range(0, len(text), _LONGEST_STRING)]
    return " ".join('"' + re.sub(r'(["\\])', r"\\\1", part) + '"' for part in parts)


def _text(shown):
    return re.sub(r"\\(.)", r"\1", "".join(_STRING.findall(shown)))
