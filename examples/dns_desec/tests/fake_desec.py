"""A stand-in for deSEC's API: record sets are read one by one and changed in bulk, all or nothing."""

import re

_SETS = re.compile(r"/domains/([^/]+)/rrsets/(?:([^/]+)/TXT/)?")


class FakeDesec:
    """One domain of one account."""

    token = "i-T3b1h_OI-H9ab8tRS98stGtURe"

    def __init__(self, zone):
        self.zone = zone
        self.requests = []
        self.busy = 0
        """How many requests are answered with 429 from now on."""

    def answer(self, request):
        self.requests.append(f"{request.method} {request.path}")
        if self.busy:
            self.busy -= 1
            return 429, {"detail": "Request was throttled."}, {"Retry-After": "7"}
        if request.headers.get("Authorization") != f"Token {self.token}":
            return 401, {"detail": "Invalid token."}
        found = _SETS.fullmatch(request.path)
        if not found or f"{found[1]}." != self.zone.name:
            return 404, {"detail": "Not found."}
        if request.method == "GET" and found[2]:
            return self._read("" if found[2] == "@" else found[2])
        if request.method == "PATCH" and not found[2]:
            return self._write(request.json)
        return 405, {"detail": f'Method "{request.method}" not allowed.'}

    def _name(self, subname):
        return f"{subname}.{self.zone.name}" if subname else self.zone.name

    def _read(self, subname):
        values = self.zone.txt(self._name(subname))
        if not values:
            return 404, {"detail": "Not found."}
        return 200, {"subname": subname, "type": "TXT", "records": [f'"{one}"' for one in values]}

    def _write(self, rrsets):
        for one in rrsets:
            if one["ttl"] < 3600:
                return 400, [{"ttl": ["Ensure this value is greater than or equal to 3600."]}]
            if any(not re.fullmatch(r'"[^"]{1,255}"', text) for text in one["records"]):
                return 400, [{"records": ["Record content malformed: must be quoted."]}]
        for one in rrsets:
            name = self._name(one["subname"])
            for value in self.zone.txt(name):
                self.zone.remove(name, value)
            for text in one["records"]:
                self.zone.add(name, text.strip('"'))
        return 200, rrsets
