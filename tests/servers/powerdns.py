"""PowerDNS, primary, on SQLite, as an ordinary user, on a high port; changed through its HTTP API."""

import contextlib
import json
import sqlite3
import tempfile
import urllib.request
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from servers.nameserver import NameServer, Zone, free_dns_port
from servers.processes import free_port, process, wait_for_port

_SCHEMA = Path("/usr/share/pdns-backend-sqlite3/schema/schema.sqlite3.sql")


@dataclass
class PowerDns(NameServer):
    """A PowerDNS that runs."""

    api_port: int = 0
    api_key: str = "powerdns-api-key"

    @property
    def api(self) -> str:
        """The API's URL."""
        return f"http://127.0.0.1:{self.api_port}/api/v1/servers/localhost"

    def call(self, method: str, path: str, body: object = None) -> Any:
        """Call the API; the parsed answer, or ``None`` for an empty one."""
        request = urllib.request.Request(
            f"{self.api}/{path}",
            None if body is None else json.dumps(body).encode(),
            {"X-API-Key": self.api_key, "Content-Type": "application/json"},
            method=method,
        )
        with urllib.request.urlopen(request, timeout=10) as answer:
            text = answer.read()
        return json.loads(text) if text else None

    def set_txt(self, zone: str, name: str, values: Sequence[str]) -> None:
        """Replace a TXT record set; an empty one is removed."""
        records = [{"content": f'"{value}"', "disabled": False} for value in values]
        changed = {
            "name": name,
            "type": "TXT",
            "ttl": 1,
            "changetype": "REPLACE" if records else "DELETE",
            "records": records,
        }
        self.call("PATCH", f"zones/{zone}", {"rrsets": [changed]})


@contextlib.contextmanager
def powerdns(
    workdir: Path, zones: Sequence[Zone], *, address: str = "127.0.0.1", port: int = 0
) -> Iterator[PowerDns]:
    """Start a PowerDNS."""
    workdir.mkdir(parents=True, exist_ok=True)
    port, api_port = port or free_dns_port(), free_port()
    database = workdir / "pdns.sqlite3"
    with contextlib.closing(sqlite3.connect(database)) as connection:
        connection.executescript(_SCHEMA.read_text())
    settings = {
        "launch": "gsqlite3",
        "gsqlite3-database": database,
        "local-address": address,
        "local-port": port,
        "api": "yes",
        "api-key": PowerDns.api_key,
        "webserver": "yes",
        "webserver-address": "127.0.0.1",
        "webserver-port": api_port,
        "cache-ttl": 0,
        "query-cache-ttl": 0,
        "negquery-cache-ttl": 0,
        "zone-cache-refresh-interval": 0,
        "receiver-threads": 1,
        "distributor-threads": 1,
    }
    argv = ["pdns_server", "--config-dir=" + str(workdir), "--daemon=no", "--guardian=no"]
    argv += [f"--{key}={value}" for key, value in settings.items()]
    log = workdir / "pdns.log"
    with (
        tempfile.TemporaryDirectory(prefix="pdns-") as sockets,
        process([*argv, f"--socket-dir={sockets}"], log) as running,
    ):
        server = PowerDns(address, port, workdir, running, log, api_port=api_port)
        wait_for_port(api_port, running, log)
        for zone in zones:
            server.call(
                "POST",
                "zones",
                {"name": zone.name, "kind": "Native", "zone": zone.render(), "nameservers": []},
            )
        server.wait_until_ready(zones[-1].name)
        yield server
