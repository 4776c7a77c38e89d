"""acme2certifier, an ACME server with renewal information, external account binding and profiles.

It has many dependencies, and pins them; so it gets an environment of its own, made once.
"""

import contextlib
import fcntl
import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import trustme

from servers.processes import free_port, process, wait_for_port

HERE = Path(__file__).parent
REQUIREMENTS = HERE / "a2c.txt"
ENVIRONMENT = HERE.parent.parent / ".venv" / "acme2certifier"


@dataclass
class Acme2certifier:
    """A server that runs. Without a DNS server it validates nothing: every challenge is believed."""

    directory: str
    ca_file: Path
    root: Path
    """The certificate of its issuing CA."""
    http_port: int = field(default_factory=free_port)


@contextlib.contextmanager
def acme2certifier(
    workdir: Path,
    *,
    days: int = 90,
    binding_keys: Mapping[str, str] | None = None,
    profiles: Mapping[str, str] | None = None,
    window_percent: float = 85.0,
    dns_server: str = "",
    issuer: str = "",
) -> Iterator[Acme2certifier]:
    """Start a server.

    :param days: how long its certificates are good.
    :param binding_keys: key id to MAC key; it then requires external account binding.
    :param profiles: name to description.
    :param window_percent: of the lifetime, after which its renewal window begins.
    :param dns_server: an address that answers on port 53; challenges are validated then, also
        dns-persist-01.
    :param issuer: its name in records of dns-persist-01.
    """
    python = _environment()
    workdir.mkdir(parents=True, exist_ok=True)
    authority, issuing = (trustme.CA(key_type=trustme.KeyType.ECDSA) for _ in range(2))
    issued = authority.issue_cert("localhost", "127.0.0.1", key_type=trustme.KeyType.ECDSA)
    names = ("ca.pem", "server.pem", "server.key", "issuing.pem", "issuing.key")
    ca_file, certificate, key, root, root_key = (workdir / name for name in names)
    authority.cert_pem.write_to_path(str(ca_file))
    certificate.write_bytes(issued.cert_chain_pems[0].bytes())
    issued.private_key_pem.write_to_path(str(key))
    issuing.cert_pem.write_to_path(str(root))
    issuing.private_key_pem.write_to_path(str(root_key))
    (workdir / "certs").mkdir()
    sections = {
        "DEFAULT": {"debug": "True"},
        "CAhandler": {
            "handler_module": "acme2certifier.cahandlers.openssl_ca_handler",
            "issuing_ca_key": root_key,
            "issuing_ca_cert": root,
            "issuing_ca_crl": workdir / "issuing.crl",
            "cert_validity_days": days,
            "cert_save_path": workdir / "certs",
        },
        "DBhandler": {"handler": "wsgi", "dbfile": workdir / "acme.db"},
        "Challenge": {"challenge_validation_disable": "True"},
        "Renewalinfo": {"renewalthreshold_pctg": window_percent},
    }
    if binding_keys:
        keys = workdir / "eab.json"
        keys.write_text(json.dumps(binding_keys))
        sections["EABhandler"] = {
            "eab_handler_module": "acme2certifier.eabhandlers.json_handler",
            "key_file": keys,
        }
    if dns_server:
        sections["DEFAULT"]["dns_server_list"] = json.dumps([dns_server])
        sections["Directory"] = {"caaidentities": json.dumps([issuer])}
        sections["Challenge"] = {
            "dns_persist_01_support": "True",
            "dns_persist_allow_policy_wildcard": "True",
        }
    if profiles:
        sections["Order"] = {"profiles": json.dumps(profiles)}
    config = workdir / "acme_srv.cfg"
    config.write_text(
        "\n".join(
            f"[{name}]\n" + "".join(f"{name_}: {value}\n" for name_, value in values.items())
            for name, values in sections.items()
        )
    )
    env = {
        **os.environ,
        "ACME_SRV_CONFIGFILE": str(config),
        "ACME2CERTIFIER_I_KNOW_THE_RISK": "1",
    }
    subprocess.run(
        [python.with_name("a2c-db-update")], env=env, cwd=workdir, check=True, capture_output=True
    )
    port, log = free_port(), workdir / "acme2certifier.log"
    command = [python, HERE / "a2c_server.py", port, certificate, key]
    with process([str(word) for word in command], log, env) as running:
        wait_for_port(port, running, log)
        yield Acme2certifier(f"https://127.0.0.1:{port}/directory", ca_file, root)


def _environment() -> Path:
    """The interpreter of the server's environment, which is made where it is missing or out of date."""
    ENVIRONMENT.parent.mkdir(exist_ok=True)
    python, done = ENVIRONMENT / "bin" / "python", ENVIRONMENT / "requirements.txt"
    with ENVIRONMENT.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not done.exists() or done.read_bytes() != REQUIREMENTS.read_bytes():
            base = Path(sys.base_prefix) / "bin" / "python3"
            subprocess.run([base, "-m", "venv", "--clear", ENVIRONMENT], check=True)
            subprocess.run(
                [python, "-m", "pip", "install", "--quiet", "-r", REQUIREMENTS], check=True
            )
            done.write_bytes(REQUIREMENTS.read_bytes())
    return python
