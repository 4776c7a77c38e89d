"""How long it takes to list tasks, look one up and enter one, in histories of a thousand to a million.

Against a plain scan, which reads the text files line by line, sorts and filters; both in one process that
has everything imported, in processor time, which a busy machine hardly changes: the files are in memory.
What waits for disks and other processes is in real time: to enter a task, and whole commands, which are
`pvefw task list` on this history, and on an empty one for what the start costs.

Aim: lists that are often asked for within 10 ms plus the start, any within 200, in a million; look-ups
and entering independent of the size.
"""

import gc
import itertools
import os
import random
import statistics
import sys
import tempfile
import time
from pathlib import Path

from measure import BIN, keep, seconds, table

from pvefw.store.paths import Paths
from pvefw.tasks import archive, history, registry
from pvefw.tasks.history import Filter
from pvefw.tasks.upid import Upid

SIZES = (1_000, 10_000, 100_000, 1_000_000)
TYPES = ("vzdump", "qmstart", "qmshutdown", "qmigrate", "vzstart", "acmenewcert", "startall")
USERS = ("root@pam", "admin@pve", "backup@pbs!nightly", "ops@ldap")
STATUSES = ("OK",) * 90 + ("WARNINGS: 2",) * 4 + ("job errors",) * 5 + ("unexpected status",)
BEGIN = 1_600_000_000
LISTS = {
    "no filter": ({}, 0),
    "one guest": ({"vmid": 137}, 0),
    "errors of one guest and type": ({"errors": True, "vmid": 137, "type": "vzdump"}, 0),
    "everything at once": (
        {"vmid": 137, "type": "vzdump", "user": "ROOT", "states": frozenset({"error", "warning"}),
         "since": BEGIN + 1000, "until": BEGIN + 10**9},
        0,
    ),
    "errors": ({"errors": True}, 0),
    "one type": ({"type": "vzdump"}, 0),
    "matches nothing": ({"type": "qmstart", "user": "nobody", "errors": True}, 0),
    "the rarest, at the very beginning": ({"type": "cephcreateosd"}, 0),
    "a deep page": ({}, 0.9),
    "a deep page of a filter": ({"states": frozenset({"ok"}), "user": "pve"}, 0.2),
    "a time long ago": ({"since": BEGIN + 5000, "until": BEGIN + 6000}, 0),
}  # fmt: skip


def write(paths, size):
    """A history in the order in which tasks ended; their starts are not in order."""
    chance = random.Random(size)
    paths.task_dir.mkdir(parents=True)
    last = None
    with (paths.task_dir / "index").open("w") as file:
        for number in range(size):
            start = BEGIN + 10 * number - chance.randrange(3600)
            type_ = "cephcreateosd" if number < 3 else chance.choice(TYPES)
            upid = Upid(
                "pve1", 1000 + number, number, start, type_, str(100 + chance.randrange(200)),
                chance.choice(USERS),
            )  # fmt: skip
            file.write(f"{upid} {BEGIN + 10 * number:08X} {chance.choice(STATUSES)}\n")
            last = upid if number == size // 3 else last
    log = last.log_path(paths)
    log.parent.mkdir()
    log.write_text("a line\n" * 1000 + "TASK OK\n")
    return last


def read(paths):
    """All tasks, latest first, without an index."""
    found = {}
    for task in registry.indexed(paths):
        found.pop(task.upid, None)
        found[task.upid] = task
    return sorted(found.values(), key=lambda value: value.upid.start)[::-1]


def select(entries, wanted, start, limit):
    passing = (entry for entry in entries if wanted.wants(entry))
    return list(itertools.islice(passing, start, start + limit))


def scan_for(paths, upid):
    return next(task for task in registry.indexed(paths) if task.upid == upid)


def timed(work, repeats, clock=time.process_time):
    """Median seconds, and the last result."""
    taken = []
    for _ in range(repeats):
        started = clock()
        result = work()
        taken.append(clock() - started)
    return statistics.median(taken), result


def enter(paths, numbers):
    upid = Upid("pve1", os.getpid(), 1, BEGIN + next(numbers), "vzdump", "100", "root@pam")
    registry.begin(paths, upid)
    registry.finish(paths, upid, BEGIN, "OK")


def measure(paths, size, upid):
    """Figures of one history."""
    built, count = timed(lambda: archive.bring_up_to_date(paths), 1)
    if count != size:
        sys.exit(f"{count} of {size} tasks are in the index")
    lists = {}
    reading, entries = timed(lambda: read(paths), 1 if size > 10**5 else 3)
    gc.freeze()  # a million objects more are no matter for who lists
    for name, (filters, depth) in LISTS.items():
        wanted, start = Filter(**filters), int(depth * size)
        selecting, expected = timed(lambda: select(entries, wanted, start, 50), 1)  # noqa: B023 - called at once
        plain = reading + selecting
        quick, found = timed(lambda: history.tasks(paths, wanted, start=start), 9)  # noqa: B023 - called at once
        if found != expected:
            sys.exit(f"{name}, in {size}: index and scan do not agree")
        lists[name] = {"seconds": quick, "scan": plain, "scan_over_index": plain / quick}
    entries.clear()
    gc.unfreeze()
    plain, expected = timed(lambda: scan_for(paths, upid), 3)
    status, found = timed(lambda: history.status(paths, upid), 20)
    if found != expected:
        sys.exit("index and scan do not agree on one task")
    log, _ = timed(lambda: list(history.log(paths, upid)), 20)
    command = [BIN / "pvefw", "task", "list", "--root", paths.root, "--node", "pve1"]
    whole, _ = timed(lambda: seconds([*command, "--errors", "--vmid", "137"]), 5, time.perf_counter)
    empty = paths.root / "empty"
    empty.mkdir()
    nothing = [*command[:4], empty, *command[5:]]
    start, _ = timed(lambda: seconds([*nothing, "--errors", "--vmid", "137"]), 5, time.perf_counter)
    numbers = itertools.count(10 * size)
    entered, _ = timed(lambda: enter(paths, numbers), 100, time.perf_counter)
    return {
        "lists": lists,
        "status": {"seconds": status, "scan": plain, "scan_over_index": plain / status},
        "log": log,
        "enter": entered,
        "build": built,
        "process": {"task list": whole, "empty history": start},
    }


def main():
    results = {}
    for size in SIZES:
        with tempfile.TemporaryDirectory(prefix="pvefw-bench-") as folder:
            paths = Paths(Path(folder), "pve1")
            results[size] = measure(paths, size, write(paths, size))
    report(results)
    keep("task_history", {"histories": results, "growth": growth(results)})


def growth(results):
    """How many times longer things take in the largest history than in the smallest."""
    first, last = results[SIZES[0]], results[SIZES[-1]]
    worst = {
        size: max(listing["seconds"] for listing in result["lists"].values())
        for size, result in results.items()
    }
    return {
        "tasks": SIZES[-1] / SIZES[0],
        "worst list": worst[SIZES[-1]] / worst[SIZES[0]],
        "status": last["status"]["seconds"] / first["status"]["seconds"],
        "log": last["log"] / first["log"],
        "enter": last["enter"] / first["enter"],
    }


def report(results):
    print("Milliseconds with the index, and how many times as long a plain scan takes")
    found = list(results.values())
    table(
        [
            *([name, *(_cell(result["lists"][name]) for result in found)] for name in LISTS),
            ["status by UPID", *(_cell(result["status"]) for result in found)],
            *(
                [name, *(f"{1000 * result[name]:.2f}" for result in found)]
                for name in ("log", "enter", "build")
            ),
            *(
                [f"process: {name}", *(f"{1000 * result['process'][name]:.0f}" for result in found)]
                for name in ("task list", "empty history")
            ),
        ],
        ["", *(f"{size:,}" for size in results)],
    )


def _cell(figures):
    return f"{1000 * figures['seconds']:.2f} ({figures['scan_over_index']:.0f})"


if __name__ == "__main__":
    main()
