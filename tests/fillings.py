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
        from pvefw.api import ProviderError

        for one in challenges:
            answer = self.directory / one.token
            try:
                answer.write_text(one.key_authorization)
            except OSError as error:
                raise ProviderError(f"{answer}: {error.strerror}") from error
        """,
    "challenge_cleanup": """
        for one in challenges:
            (self.directory / one.token).unlink(missing_ok=True)
        """,
}
TLS_ALPN = {
    "challenge_present": """
        from pvefw.api import ProviderError, replace_file

        for one in challenges:
            answer = self.directory / f"{server_name(one)}.{one.token}.pem"
            try:
                replace_file(answer, certificate(one), mode=0o600)
            except OSError as error:
                raise ProviderError(f"{answer}: {error.strerror}") from error
        """,
    "challenge_cleanup": """
        for one in challenges:
            (self.directory / f"{server_name(one)}.{one.token}.pem").unlink(missing_ok=True)
        """,
}
NAME_SERVER = {
    "challenge_present": """
        for one in challenges:
            self._call("PUT", "/txt", {"name": _name(one), "value": one.dns_value})
        """,
    "challenge_cleanup": """
        for one in challenges:
            self._call("DELETE", "/txt", {"name": _name(one), "value": one.dns_value})
        """,
    "Provider.answer": DNS["Provider.answer"],
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
BOOTLOADER = {
    "install": """
        (root / "acmeboot").mkdir()
        (root / "acmeboot/loader.efi").write_bytes(b"the loader")
        """,
    "boots": """
        menu = root / "acmeboot/menu"
        if not menu.exists() or not (root / "acmeboot/loader.efi").exists():
            return None
        default, *lines = menu.read_text().splitlines()
        entries = dict(line.split("|", 1) for line in lines)
        once = root / "acmeboot/once"
        wanted = default
        if once.exists():
            wanted = once.read_text()
            once.unlink()
        if wanted not in entries:
            wanted = default
        if wanted not in entries:
            return None
        folder, cmdline = entries[wanted].split("|", 1)
        return Started(PurePosixPath(folder, "linux"), PurePosixPath(folder, "initrd"), cmdline)
        """,
    "boot_install": """
        loader = esp.mountpoint / "acmeboot/loader.efi"
        try:
            replace_file(loader, b"the loader")
        except OSError as error:
            raise ProviderError(f"{loader}: {error.strerror}") from error
        """,
    "boot_probe": """
        own = esp.mountpoint / "acmeboot"
        if not (own / "loader.efi").exists():
            return None
        menu, once = own / "menu", own / "once"
        text = menu.read_text(errors="replace") if menu.exists() else ""
        default, *lines = text.splitlines() or [""]
        kernels = [
            line.partition("|")[0]
            for line in lines
            if all(
                (esp.mountpoint / (line.split("|") + [""])[1] / name).is_file()
                for name in ("linux", "initrd")
            )
        ]
        armed = once.read_text(errors="replace") if once.exists() else None
        return BootState([Firmware.UEFI], kernels, default or None, armed)
        """,
    "boot_render": """
        from pathlib import PurePosixPath

        copies, lines = {}, [plan.default]
        for one in plan.kernels:
            folder = PurePosixPath("acmeboot", one.version.replace("+", "@"))
            copies |= {folder / "linux": one.vmlinuz, folder / "initrd": one.initrd}
            lines.append(f"{one.version}|{folder}|{plan.cmdline}")
        text = "".join(f"{line}\\n" for line in lines).encode()
        owned = ["acmeboot/*/linux", "acmeboot/*/initrd"]
        return BootTree(copies, {PurePosixPath("acmeboot/menu"): text}, owned)
        """,
    "boot_arm": """
        once = esp.mountpoint / "acmeboot/once"
        try:
            if plan.next_boot is None:
                once.unlink(missing_ok=True)
            else:
                once.write_text(plan.next_boot)
        except OSError as error:
            raise ProviderError(f"{once}: {error.strerror}") from error
        """,
}
_DATABASE = """
import os, sqlite3, threading, time

db = sqlite3.connect(self.url, timeout=60, isolation_level=None)
db.executescript('''
    PRAGMA synchronous = OFF;
    CREATE TABLE IF NOT EXISTS log(number INTEGER PRIMARY KEY AUTOINCREMENT, key TEXT, data BLOB);
    CREATE INDEX IF NOT EXISTS keys ON log(key, number);
    CREATE TABLE IF NOT EXISTS locks(name PRIMARY KEY, holder, token, until, seconds);
''')
LAST = "SELECT max(number), data FROM log WHERE key = ?"
OURS = "name = ? AND token = ? AND until > ?"
"""
STORE = {
    "store_read": """
        number, data = db.execute(LAST, [key]).fetchone()
        return None if data is None else StoreEntry(data, str(number))
        """,
    "store_swap": """
        with self.__dict__.setdefault("turn", threading.Lock()), db:  # SQLite's own turns are slow
            db.execute("BEGIN IMMEDIATE")
            for one in locks:
                held = [one.name, one.token, time.time()]
                if not db.execute(f"SELECT 1 FROM locks WHERE {OURS}", held).fetchone():
                    return None
            number, before = db.execute(LAST, [key]).fetchone()
            if revision != ("" if before is None else str(number)):
                return None
            done = db.execute("INSERT INTO log(key, data) VALUES(?, ?)", [key, data])
            return "" if data is None else str(done.lastrowid)
        """,
    "store_list": """
        found = db.execute("SELECT key, max(number), data FROM log GROUP BY key").fetchall()
        there = {
            key: str(number)
            for key, number, data in found
            if data is not None and key.startswith(prefix)
        }
        return StoreListing(there, str(max((number for _, number, _ in found), default=0)))
        """,
    "store_watch": """
        at, end = int(position), time.monotonic() + timeout
        while time.monotonic() < end:
            news = db.execute("SELECT number, key FROM log WHERE number > ?", [at]).fetchall()
            for at, key in news:
                if key.startswith(prefix):
                    yield key
            time.sleep(0.05)
        """,
    "store_lock": """
        now, token = time.time(), os.urandom(8).hex()
        db.execute("BEGIN IMMEDIATE")
        with db:
            db.execute("DELETE FROM locks WHERE until <= ?", [now])
            there = db.execute("SELECT holder FROM locks WHERE name = ?", [name]).fetchone()
            if there:
                return StoreLock(name, there[0], "")
            mine = [name, holder, token, now + seconds, seconds]
            db.execute("INSERT INTO locks VALUES(?, ?, ?, ?, ?)", mine)
            return StoreLock(name, holder, token)
        """,
    "store_renew": """
        now = time.time()
        renewal = f"UPDATE locks SET until = ? + seconds WHERE {OURS}"
        return db.execute(renewal, [now, lock.name, lock.token, now]).rowcount == 1
        """,
    "store_unlock": """
        db.execute("DELETE FROM locks WHERE name = ? AND token = ?", [lock.name, lock.token])
        """,
}
STORE = {name: _DATABASE + textwrap.dedent(body) for name, body in STORE.items()}
FILLINGS = {
    "dns": DNS,
    "challenge": CHALLENGE,
    "challenge tls-alpn-01": TLS_ALPN,
    "challenge dns-01": NAME_SERVER,
    "observer": OBSERVER,
    "guest": GUEST,
    "bootloader": BOOTLOADER,
    "store": STORE,
}


def unwritten(project: Path) -> dict[str, Path]:
    """What is left to write: the name in each NotImplementedError, and its file."""
    return {
        name: file
        for file in sorted(project.glob("**/*.py"))
        for name in re.findall(r'NotImplementedError\(\s*"Write ([\w.]+) in', file.read_text())
    }


def fill_in(project: Path, kind: str, name: str) -> None:
    """Write one of the things that are left to write."""
    file = unwritten(project)[name]
    place = re.compile(
        rf'^( +)raise NotImplementedError\(\s*"Write {re.escape(name)} in.*?^ +\)\n',
        re.MULTILINE | re.DOTALL,
    )
    body = textwrap.dedent(FILLINGS[kind][name]).strip("\n")

    def written(found: re.Match[str]) -> str:
        return textwrap.indent(body, found[1]) + "\n"

    text, count = place.subn(written, file.read_text())
    assert count == 1, f"{name} does not stand once in {file}"
    file.write_text(text)
