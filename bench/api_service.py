"""The API over HTTPS: how long it takes to start, what it needs when idle, and what clients get.

Aims: it answers within 0.5 s of its start, has no more than 60 MB in both processes, lets no handshake
fail while the certificate is swapped, and lists tasks for 50 clients at once within 100 ms (p95).
To be run by root: the front is another user's.
"""

import http.client
import os
import re
import socket
import ssl
import subprocess
import tempfile
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from time import perf_counter, sleep

from measure import BIN, keep, table
from task_history import write

from pvefw.store.paths import Paths
from pvefw.tasks import archive

PORT = 18006
HISTORY = 1_000_000
HANDSHAKES, SWAPS, THREADS = 1000, 40, 4
CLIENTS, REQUESTS = 50, 10
NOBODY = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--"]
UNSAFE = ssl.create_default_context()
UNSAFE.check_hostname, UNSAFE.verify_mode = False, ssl.CERT_NONE


def new_pair(folder):
    """A key, then its certificate, each by a rename."""
    made = [folder / "new.key", folder / "new.pem"]
    request = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"]
    request += ["-nodes", "-subj", "/CN=pve1", "-keyout", made[0], "-out", made[1]]
    subprocess.run(request, check=True, capture_output=True)
    made[0].rename(folder / "pveproxy-ssl.key")
    made[1].rename(folder / "pveproxy-ssl.pem")


def connected():
    plain = socket.create_connection(("127.0.0.1", PORT), timeout=60)
    return UNSAFE.wrap_socket(plain)


def started(stack, root, env):
    """Both processes, and the seconds until the first handshake was done."""
    place, begin = root / "helper.sock", perf_counter()
    options = {"env": {**os.environ, **env}, "stderr": subprocess.DEVNULL}
    words = [BIN / "pvefw", "api", "helper", "--socket", place, "--user", "nobody"]
    processes = [stack.enter_context(subprocess.Popen(words, **options))]
    stack.callback(processes[0].terminate)
    words = [BIN / "pvefw", "api", "serve", "--socket", place, "--listen", "127.0.0.1"]
    serve = [*NOBODY, *words, "--port", str(PORT)]
    processes.append(stack.enter_context(subprocess.Popen(serve, **options)))
    stack.callback(processes[1].terminate)
    while True:
        try:
            connected().close()
            return processes, perf_counter() - begin
        except OSError:
            sleep(0.005)


def megabytes(process):
    """Memory, with what is shared counted in shares (PSS); the helper's children included."""
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    texts = [Path(f"/proc/{one}/smaps_rollup").read_text() for one in (process.pid, *children)]
    return sum(int(re.search(r"^Pss:\s+(\d+)", one, re.MULTILINE)[1]) for one in texts) / 1024


def hammer(folder):
    """Handshakes while the pair is swapped: how many, and how many failed."""
    done, counts, failures = threading.Event(), [], []

    def run():
        while not done.is_set():
            try:
                connected().close()
                counts.append(1)
            except OSError as error:
                failures.append(error)

    with ThreadPoolExecutor(THREADS) as pool:
        for _ in range(THREADS):
            pool.submit(run)
        swaps = 0
        while swaps < SWAPS or len(counts) < HANDSHAKES:
            new_pair(folder)
            swaps += 1
            sleep(0.2)
        done.set()
    return {"handshakes": len(counts), "swaps": swaps, "failures": len(failures)}


def listing(token):
    """Seconds of requests for the tasks, by many clients at once, each on a connection of its own."""
    headers = {"Authorization": f"PVEAPIToken={token}"}

    def client(_):
        found = []
        connection = http.client.HTTPSConnection("127.0.0.1", PORT, context=UNSAFE)
        for _ in range(REQUESTS):
            begin = perf_counter()
            connection.request("GET", "/api2/json/nodes/pve1/tasks", headers=headers)
            answer = connection.getresponse()
            answer.read()
            assert answer.status == 200
            found.append(perf_counter() - begin)
        connection.close()
        return found

    with ThreadPoolExecutor(CLIENTS) as pool:
        times = sorted(one for found in pool.map(client, range(CLIENTS)) for one in found)
    return {"median": times[len(times) // 2], "p95": times[len(times) * 95 // 100]}


def main():
    with tempfile.TemporaryDirectory(prefix="pvefw-bench-") as name, ExitStack() as stack:
        root = Path(name)
        root.chmod(0o755)
        folder = root / "etc/pve/nodes/pve1"
        folder.mkdir(parents=True)
        new_pair(folder)
        paths = Paths(root, "pve1")
        write(paths, HISTORY)
        archive.bring_up_to_date(paths)
        env = {"PVEFW_ROOT": name, "PVEFW_NODE": "pve1"}
        add = [BIN / "pvefw", "api", "token", "add", "root@pam", "bench"]
        made = subprocess.run(add, env={**os.environ, **env}, check=True, capture_output=True)
        processes, start = started(stack, root, env)
        idle = sum(map(megabytes, processes))
        listed, hammered = listing(made.stdout.decode().strip()), hammer(folder)
    table(
        [
            ["start, s", f"{start:.2f}"],
            ["idle, MB", f"{idle:.0f}"],
            [f"tasks, {CLIENTS} clients, of {HISTORY:,}, p95 ms", f"{listed['p95'] * 1000:.0f}"],
            *([key, str(value)] for key, value in hammered.items()),
        ],
        ["", ""],
    )
    keep("api_service", {"start": start, "idle_megabytes": idle, "tasks": listed, **hammered})


if __name__ == "__main__":
    main()
