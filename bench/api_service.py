"""The API over HTTPS: how long it takes to start, what it needs when idle, and what clients get.

Aims: it answers within 0.5 s of its start, has no more than 60 MB in both processes, lets no handshake
fail while the certificate is swapped, and lists tasks for 50 clients at once within 100 ms (p95), all
with the same token, each with its own, or while a task runs. What that takes of the processors is beside
it: that is the same on a busy machine. So are the ratios: a bare uvicorn, which answers any call with the
same bytes, and a bare interpreter take turns with the service. To be run by root: the front is another
user's.
"""

import compileall
import os
import re
import socket
import ssl
import statistics
import subprocess
import sys
import tempfile
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from time import perf_counter, sleep, time

from measure import AS_INSTALLED, BIN, ROOT, keep, seconds, side_by_side, table
from task_history import write

from pvefw.store.paths import Paths
from pvefw.tasks import archive, registry
from pvefw.tasks.upid import Upid, process_start
from pvefw_api_server import users

PORT, PEER_PORT = 18006, 18007
HISTORY = 1_000_000
HANDSHAKES, SWAPS, THREADS = 1000, 40, 4
CLIENTS, REQUESTS = 50, 20
STARTS, ROUNDS = 7, 5
PEER = """
import sys, uvicorn
port, certificate, key, answer = sys.argv[1:]
with open(answer, "rb") as file:
    body = file.read()
head = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
async def app(scope, receive, send):
    await send({"type": "http.response.start", "status": 200, "headers": head})
    await send({"type": "http.response.body", "body": body})
uvicorn.run(
    app, host="127.0.0.1", port=int(port), ssl_certfile=certificate, ssl_keyfile=key, http="h11",
    ws="none", lifespan="off", log_config=None, access_log=False, server_header=False,
)
"""
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


def connected(port=PORT):
    plain = socket.create_connection(("127.0.0.1", port), timeout=60)
    return UNSAFE.wrap_socket(plain)


def started_peer(stack, folder, answer):
    """A bare uvicorn, and the seconds until a first handshake was done."""
    begin = perf_counter()
    pair = [folder / "pveproxy-ssl.pem", folder / "pveproxy-ssl.key"]
    words = [sys.executable, "-c", PEER, str(PEER_PORT), *pair, answer]
    process = stack.enter_context(
        subprocess.Popen(words, env={**os.environ, **AS_INSTALLED}, stderr=subprocess.DEVNULL)
    )
    stack.callback(process.terminate)
    wait_for_handshake(PEER_PORT)
    return process, perf_counter() - begin


def wait_for_handshake(port):
    while True:
        try:
            connected(port).close()
            return
        except OSError:
            sleep(0.005)  # nothing tells a client that a port is listened at


def started(stack, root, env):
    """Both processes, and the seconds until a first handshake was done, and a first call answered."""
    place, begin = root / "helper.sock", perf_counter()
    options = {"env": {**os.environ, **AS_INSTALLED, **env}, "stderr": subprocess.DEVNULL}
    words = [BIN / "pvefw", "api", "helper", "--socket", place, "--user", "nobody"]
    processes = [stack.enter_context(subprocess.Popen(words, **options))]
    stack.callback(processes[0].terminate)
    words = [BIN / "pvefw", "api", "serve", "--socket", place, "--listen", "127.0.0.1"]
    serve = [*NOBODY, *words, "--port", str(PORT)]
    processes.append(stack.enter_context(subprocess.Popen(serve, **options)))
    stack.callback(processes[1].terminate)
    wait_for_handshake(PORT)
    shaken = perf_counter() - begin
    with connected() as connection:
        assert ask(connection, "/version", "nobody").startswith(b"HTTP/1.1 401")
    return processes, shaken, perf_counter() - begin


def ask(connection, path, token):
    """One request on a connection that stays; no library for the client, as it would be measured, too."""
    head = (
        f"GET /api2/json{path} HTTP/1.1\r\nHost: pve1\r\nAuthorization: PVEAPIToken={token}\r\n\r\n"
    )
    connection.sendall(head.encode())
    answer = b""
    while b"\r\n\r\n" not in answer:
        answer += connection.recv(1 << 16)
    found, _, body = answer.partition(b"\r\n\r\n")
    length = int(re.search(rb"content-length: (\d+)", found, re.IGNORECASE)[1])
    while len(body) < length:
        body += connection.recv(1 << 16)
    return found + b"\r\n\r\n" + body


def processor_seconds(process):
    """What a process has used, with its children that have ended: proc_pid_stat(5)."""
    fields = Path(f"/proc/{process.pid}/stat").read_text().rpartition(") ")[2].split()
    return sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK")


def megabytes(process):
    """Memory, with what is shared counted in shares (PSS); the helper's children included."""
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    texts = [Path(f"/proc/{child}/smaps_rollup").read_text() for child in (process.pid, *children)]
    return sum(int(re.search(r"^Pss:\s+(\d+)", text, re.MULTILINE)[1]) for text in texts) / 1024


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


def start_up(root, env, folder, answer):
    """Seconds until a first handshake: of the service, and of what no service of Python is without."""

    def service():
        with ExitStack() as stack:
            return started(stack, root, env)[1]

    def uvicorn():
        with ExitStack() as stack:
            return started_peer(stack, folder, answer)[1]

    measures = {"service": service, "uvicorn": uvicorn}
    measures["interpreter"] = lambda: seconds([sys.executable, "-c", "pass"])
    return side_by_side(measures, STARTS)


def listings(paths, tokens, processes, peer):
    """Each kind of listing in turn; the middle of what each round gave."""
    same, kept = tokens[:1] * CLIENTS, {}
    for _ in range(ROUNDS):
        rounds = {
            "tasks": listing(same, processes),
            "tasks_of_each": listing(tokens, processes),
            "tasks_while_one_runs": while_one_runs(paths, lambda: listing(tokens, processes)),
            "constant": listing(same, [peer], PEER_PORT),
        }
        for name, figures in rounds.items():
            kept.setdefault(name, []).append(figures)
    return {
        name: {key: statistics.median(figures[key] for figures in taken) for key in taken[0]}
        for name, taken in kept.items()
    }


def while_one_runs(paths, measure):
    """What is measured while this process is a task."""
    us = os.getpid()
    task = Upid("pve1", us, process_start(us), int(time()), "startall", "", "root@pam")
    registry.begin(paths, task)
    try:
        return measure()
    finally:
        registry.forget(paths, task)


def listing(tokens, processes, port=PORT):
    """Requests for the tasks by many clients at once, each on a connection that is open: seconds until
    each was answered, and of the processors for each.
    """
    before, together = sum(map(processor_seconds, processes)), threading.Barrier(CLIENTS)

    def client(token):
        found = []
        with connected(port) as connection:
            together.wait()
            for _ in range(REQUESTS):
                begin = perf_counter()
                answer = ask(connection, "/nodes/pve1/tasks", token)
                found.append(perf_counter() - begin)
                assert answer.startswith(b"HTTP/1.1 200"), answer
                assert answer.count(b'"upid"') == 50
        return found

    with ThreadPoolExecutor(CLIENTS) as pool:
        times = sorted(
            seconds for times_of_client in pool.map(client, tokens) for seconds in times_of_client
        )
    used = sum(map(processor_seconds, processes)) - before
    middle, most = times[len(times) // 2], times[len(times) * 95 // 100]
    return {"median": middle, "p95": most, "processor": used / len(times)}


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
        tokens = made_tokens(paths)
        compileall.compile_dir(ROOT / "plugins", quiet=1)  # as pip does: the front may not write it
        answer = root / "answer"
        with ExitStack() as first:
            started(first, root, env)
            with connected() as connection:
                whole = ask(connection, "/nodes/pve1/tasks", tokens[0])
            answer.write_bytes(whole.partition(b"\r\n\r\n")[2])
        starts = start_up(root, env, folder, answer)
        processes, _, first_answer = started(stack, root, env)
        sleep(1)
        at_start = sum(map(processor_seconds, processes))
        idle = sum(map(megabytes, processes))
        peer, _ = started_peer(stack, folder, answer)
        lists = listings(paths, tokens, processes, peer)
        hammered = hammer(folder)
    rows = [[f"first handshake, {name}, s", f"{taken:.3f}"] for name, taken in starts.items()]
    rows += [
        ["first answer, s", f"{first_answer:.2f}"],
        ["start, processor s", f"{at_start:.2f}"],
        ["idle, MB", f"{idle:.0f}"],
    ]
    for name, figures in lists.items():
        what = f"{CLIENTS} clients, {name.replace('_', ' ')} ({HISTORY:,})"
        rows += [[f"{what}, p95 ms", f"{figures['p95'] * 1000:.0f}"]]
        rows += [[f"{what}, processor ms each", f"{figures['processor'] * 1000:.2f}"]]
    table([*rows, *([key, str(value)] for key, value in hammered.items())], ["", ""])
    kept = {
        "start": first_answer,
        "handshake": starts["service"],
        "handshake_of_uvicorn": starts["uvicorn"],
        "interpreter": starts["interpreter"],
        "idle_megabytes": idle,
        "start_processor": at_start,
    }
    keep("api_service", {**kept, **lists, **hammered, "ratios": ratios(kept, lists)})


def ratios(kept, lists):
    """The service to what it stands on: these can be compared with those of another machine."""
    constant = lists["constant"]["p95"]
    return {
        "handshake_to_uvicorn": kept["handshake"] / kept["handshake_of_uvicorn"],
        "handshake_to_interpreter": kept["handshake"] / kept["interpreter"],
        **{
            f"{name}_to_constant": figures["p95"] / constant
            for name, figures in lists.items()
            if name != "constant"
        },
    }


def made_tokens(paths):
    """A token of root's for each client."""
    found = []
    with users.changing(paths) as known:
        for number in range(CLIENTS):
            name = f"bench{number}"
            known[users.ROOT], secret = users.new_token(known[users.ROOT], name, None, 0)
            found.append(f"{users.ROOT}!{name}={secret}")
    return found


if __name__ == "__main__":
    main()
