"""Providers' HTTP APIs in the forms that their documentation and recorded sessions show.

Each keeps TXT values of one zone, in quotes or bare: providers have changed from one to the other.
"""

import itertools
from dataclasses import dataclass, field
from typing import ClassVar

ZONE = "example.com"


@dataclass
class Provider:
    """What all of them have."""

    url: ClassVar[str]
    token: ClassVar[str]
    refusal: ClassVar[object]

    quoted: bool
    records: dict[str, tuple[str, str]] = field(default_factory=dict)
    """By id: relative name, and value as it is kept."""
    numbers: itertools.count = field(default_factory=itertools.count)
    failing: tuple[int, object] | None = None
    """Status and body of every answer, instead of what it would be."""

    def kept(self, value):
        bare = value.strip('"')
        return f'"{bare}"' if self.quoted else bare

    def add(self, label, value):
        number = f"id{next(self.numbers):030}"
        self.records[number] = (label, self.kept(value))
        return number

    def shown(self, name):
        label = name.removesuffix(f"{ZONE}.").rstrip(".")
        return {value.strip('"') for other, value in self.records.values() if other == label}

    def answer(self, request):
        if self.failing:
            status, body = self.failing
            return status, body, {"Retry-After": "7"}
        return self.answered(request)


@dataclass
class Cloudflare(Provider):
    """https://developers.cloudflare.com/api/resources/dns/subresources/records/"""

    url = "https://api.cloudflare.com/client/v4"
    token = "cf-token-0123456789"
    refusal: ClassVar = {
        "success": False,
        "errors": [{"code": 9109, "message": "Invalid access token"}],
    }

    def answered(self, request):
        if request.headers.get("Authorization") != f"Bearer {self.token}":
            return 403, self.refusal
        parts = request.path.strip("/").split("/")
        if parts == ["zones"]:
            return 200, self.page([{"id": "zone1", "name": ZONE}])
        if request.method == "POST":
            body = request.json
            label = body["name"].removesuffix(ZONE).rstrip(".")
            if self.kept(body["content"]) in [v for at, v in self.records.values() if at == label]:
                message = "An identical record already exists."
                return 400, {"success": False, "errors": [{"code": 81058, "message": message}]}
            return 200, {"success": True, "result": {"id": self.add(label, body["content"])}}
        if request.method == "DELETE":
            del self.records[parts[-1]]
            return 200, {"success": True, "result": {"id": parts[-1]}}
        return 200, self.page(self.found(request.query))

    def found(self, query):
        """Filters compare exactly, the content as it is kept."""
        listed = [
            {
                "id": id_,
                "type": "TXT",
                "name": f"{label}.{ZONE}".lstrip("."),
                "content": value,
                "ttl": 60,
            }
            for id_, (label, value) in self.records.items()
        ]
        return [
            record
            for record in listed
            if query.get("name", record["name"]) == record["name"]
            and query.get("content", record["content"]) == record["content"]
        ]

    @staticmethod
    def page(result):
        info = {"page": 1, "per_page": 100, "total_pages": 1, "count": len(result)}
        return {"success": True, "errors": [], "result": result, "result_info": info}


@dataclass
class HetznerDns(Provider):
    """https://dns.hetzner.com/api-docs: the older of Hetzner's two."""

    url = "https://dns.hetzner.com/api/v1"
    token = "0123456789abcdef0123456789abcdef"
    refusal: ClassVar = {"message": "Invalid authentication credentials"}

    def answered(self, request):
        if request.headers.get("Auth-API-Token") != self.token:
            return 401, self.refusal
        if request.path == "/zones":
            return 200, {"zones": [{"id": "zone1", "name": ZONE}]}
        if request.method == "POST":
            body = request.json
            return 200, {"record": {"id": self.add(body["name"], body["value"])}}
        if request.method == "DELETE":
            del self.records[request.path.rpartition("/")[2]]
            return 200, {}
        listed = [
            {"id": id_, "type": "TXT", "name": label, "value": value, "zone_id": "zone1"}
            for id_, (label, value) in self.records.items()
        ]
        return 200, {"records": listed}


@dataclass
class HetznerCloud(Provider):
    """https://docs.hetzner.cloud/reference/cloud#zones: record sets, changed by actions."""

    url = "https://api.hetzner.cloud/v1/zones"
    token = "0123456789abcdef" * 4
    refusal: ClassVar = {"error": {"code": "unauthorized", "message": "unable to authenticate"}}

    def answered(self, request):
        if request.headers.get("Authorization") != f"Bearer {self.token}":
            return 401, self.refusal
        parts = request.path.strip("/").split("/")
        if len(parts) == 1:
            return 200, {"zone": {"id": 7, "name": ZONE}}
        if request.method == "GET":
            sets = [] if request.query["name"] not in self.labels() else [self.set_of(request)]
            pages = {"page": 1, "last_page": 1, "next_page": None}
            return 200, {"rrsets": sets, "meta": {"pagination": pages}}
        label, action = parts[2], parts[-1]
        values = [record["value"] for record in request.json["records"]]
        if not all(value.startswith('"') for value in values):
            return 422, {"error": {"code": "invalid_input", "message": "TXT must be quoted"}}
        if action == "add_records":
            for value in values:
                self.add(label, value)
        else:
            gone = [(label, self.kept(value)) for value in values]
            self.records = {
                id_: record for id_, record in self.records.items() if record not in gone
            }
        return 201, {"action": {"id": 1, "status": "success"}}

    def labels(self):
        return {label for label, _ in self.records.values()}

    def set_of(self, request):
        label = request.query["name"]
        records = [{"value": value} for at, value in self.records.values() if at == label]
        return {"name": label, "type": "TXT", "ttl": 60, "records": records}
