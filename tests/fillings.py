"""What an author writes into each generated project, in the place of each NotImplementedError."""

import re
import textwrap
from pathlib import Path

DNS = {
    "dns_add": """
        for record in records:
            body = {"name": record.name, "value": record.value, "ttl": record.ttl}
            self._call("PUT", f"/zones/{zone}/txt", body)
        """,
    "dns_remove": """
        for record in records:
            self._call("DELETE", f"/zones/{zone}/txt", {"name": record.name, "value": record.value})
        """,
    "Provider.answer": """
        name, value = request.json["name"], request.json["value"]
        change = self.zone.add if request.method == "PUT" else self.zone.remove
        change(name, value)
        return 200, {}
        """,
}
CHALLENGE = {
    "challenge_present": """
        for one in challenges:
            (self.directory / one.token).write_text(one.key_authorization)
        """,
    "challenge_cleanup": """
        for one in challenges:
            (self.directory / one.token).unlink(missing_ok=True)
        """,
}
OBSERVER = {
    "on_certificate": """
        from pvefw.api import ProviderError

        try:
            self.target.touch(mode=0o600)
            self.target.write_bytes(event.certificate.read_bytes() + event.key.read_bytes())
        except OSError as error:
            raise ProviderError(f"{self.target}: {error.strerror}") from error
        task.log(f"Deployed to {self.target}")
        """,
}
GUEST = {
    "guest_list": """
        states = {True: GuestState.RUNNING, False: GuestState.STOPPED}
        return [
            Guest(one["id"], one["name"], "vm", states[one["running"]])
            for one in self._call("GET", "/guests")
        ]
        """,
    "guest_start": """
        self._call("POST", f"/guests/{guest.vmid}/start")
        self._wait(guest, GuestState.RUNNING, timeout, task)
        """,
    "guest_shutdown": """
        self._call("POST", f"/guests/{guest.vmid}/shutdown")
        self._wait(guest, GuestState.STOPPED, timeout, task)
        """,
    "guest_stop": """
        self._call("POST", f"/guests/{guest.vmid}/stop")
        self._wait(guest, GuestState.STOPPED, timeout, task)
        """,
}
FILLINGS = {"dns": DNS, "challenge": CHALLENGE, "observer": OBSERVER, "guest": GUEST}


def unwritten(project: Path) -> dict[str, Path]:
    """What is left to write: the name in each NotImplementedError, and its file."""
    return {
        name: file
        for file in sorted(project.glob("**/*.py"))
        for name in re.findall(r'NotImplementedError\(\s*"Write ([\w.]+) in', file.read_text())
    }


def fill_in(project: Path, family: str, name: str) -> None:
    """Write one of the things that are left to write."""
    file = unwritten(project)[name]
    place = re.compile(
        rf'^ +raise NotImplementedError\(\s*"Write {re.escape(name)} in.*?^ +\)\n',
        re.MULTILINE | re.DOTALL,
    )
    body = textwrap.dedent(FILLINGS[family][name]).strip("\n")
    written = textwrap.indent(body, " " * 8) + "\n"
    text, count = place.subn(lambda _: written, file.read_text())
    assert count == 1, f"{name} does not stand once in {file}"
    file.write_text(text)
