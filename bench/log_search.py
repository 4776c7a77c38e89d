"""What an index over the logs of tasks would cost and save: FTS5 with trigrams, against reading the logs.

`task list --grep` finds any text, so only trigrams can answer it. Logs are those of backups, two
kilobytes each; both search what is in memory, in processor time. Sizes are multiples of the logs' own.
"""

import random
import sqlite3
import statistics
import tempfile
import time
from pathlib import Path

from measure import keep, table

from pvefw.store.paths import Paths
from pvefw.tasks.upid import Upid

COUNT = 20_000
TEXTS = {
    "in one log of a thousand": "no space left",
    "in each log": "Backup started",
    "in none": "nothing has this",
}


def content(chance, number):
    failed = number % 1000 == 7
    guest = 100 + chance.randrange(200)
    steps = (
        f"INFO: {part:3}% ({chance.random() * 40:.1f} of 40.0 GiB) in {chance.randrange(500)}s, "
        f"read: {chance.random() * 800:.1f} MiB/s, write: {chance.random() * 200:.1f} MiB/s"
        for part in range(0, 100, 4)
    )
    lines = (
        f"INFO: Backup started of guest {guest}",
        *steps,
        "ERROR: no space left on device" if failed else f"INFO: {chance.random() * 9:.2f} GB",
        "TASK ERROR: job errors" if failed else "TASK OK",
    )
    return "\n".join(lines) + "\n"


def write(paths):
    """Logs, by their tasks, and how many bytes they are."""
    chance, found, size = random.Random(COUNT), [], 0
    for number in range(COUNT):
        upid = Upid("pve1", 1000, number, 1_600_000_000 + number, "vzdump", "100", "root@pam")
        upid.log_path(paths).parent.mkdir(parents=True, exist_ok=True)
        size += upid.log_path(paths).write_text(content(chance, number))
        found.append(upid)
    return found, size


def index(connection, paths, upids):
    connection.execute(
        "CREATE VIRTUAL TABLE log USING fts5(body, tokenize='trigram case_sensitive 1', content='')"
    )
    connection.execute("BEGIN")
    connection.executemany(
        "INSERT INTO log (rowid, body) VALUES (?, ?)",
        ((at, upid.log_path(paths).read_text()) for at, upid in enumerate(upids)),
    )
    connection.execute("COMMIT")


def timed(work):
    started = time.process_time()
    result = work()
    return time.process_time() - started, result


def read(paths, upids, text):
    sought = text.encode()
    return [at for at, upid in enumerate(upids) if sought in upid.log_path(paths).read_bytes()]


def look_up(connection, text):
    query = "SELECT rowid FROM log WHERE log MATCH ? ORDER BY rowid"
    return [at for [at] in connection.execute(query, (f'"{text}"',))]


def main():
    with tempfile.TemporaryDirectory(prefix="pvefw-bench-") as folder:
        paths, file = Paths(Path(folder), "pve1"), Path(folder) / "logs.sqlite"
        upids, size = write(paths)
        connection = sqlite3.connect(file, isolation_level=None)
        built, _ = timed(lambda: index(connection, paths, upids))
        searches = {}
        for name, text in TEXTS.items():
            runs = [timed(lambda: read(paths, upids, text)) for _ in range(3)]  # noqa: B023 - called at once
            plain = statistics.median(seconds for seconds, _ in runs)
            quick, found = timed(lambda: look_up(connection, text))  # noqa: B023 - called at once
            if found != runs[0][1]:
                raise SystemExit(f"{name}: index and logs do not agree")
            searches[name] = {"index": quick, "reading": plain, "reading_over_index": plain / quick}
        connection.close()
        results = {
            "logs": COUNT,
            "bytes": size,
            "index_over_logs": file.stat().st_size / size,
            "build": built,
            "build_over_reading_once": built / searches["in none"]["reading"],
            "searches": searches,
        }
    table(
        [
            [name, *(f"{value:.4f}" for value in search.values())]
            for name, search in searches.items()
        ],
        ["", "index s", "reading s", "ratio"],
    )
    print({name: value for name, value in results.items() if name != "searches"})
    keep("log_search", results)


if __name__ == "__main__":
    main()
