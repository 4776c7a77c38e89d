"""Records a program on a terminal as an asciicast v2 (https://docs.asciinema.org/manual/asciicast/v2/).

The first line is a header, each further one `[seconds, "o", output]`. `asciinema play FILE` shows it.
"""

import codecs
import fcntl
import json
import os
import pty
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

COLUMNS, ROWS = 80, 30


def record(command: Sequence[str], path: Path, title: str) -> int:
    """Run a program on a terminal of its own; show its output, and write it when it succeeds.

    :returns: the program's exit status.
    """
    ours, its = pty.openpty()
    fcntl.ioctl(its, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, COLUMNS, 0, 0))
    env = {**os.environ, "TERM": "xterm-256color", "COLUMNS": str(COLUMNS)}
    with subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=its, stderr=its, env=env
    ) as running:
        os.close(its)
        events = list(_events(ours))
    if running.returncode == 0:
        header = {"version": 2, "width": COLUMNS, "height": ROWS, "title": title}
        lines = [json.dumps(event, ensure_ascii=False) for event in (header, *events)]
        path.write_text("\n".join(lines) + "\n")
    return running.returncode


def _events(terminal: int) -> Iterator[tuple[float, str, str]]:
    """What comes from a terminal until its other end is closed, which Linux reports as EIO."""
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    begin = time.monotonic()
    with os.fdopen(terminal, "rb", buffering=0) as reader, suppress(OSError):
        while data := reader.read(65536):
            text = decoder.decode(data)
            sys.stdout.write(text)
            sys.stdout.flush()
            yield round(time.monotonic() - begin, 3), "o", text


def output(path: Path) -> str:
    """All that a recording shows."""
    _, *events = path.read_text().splitlines()
    return "".join(json.loads(event)[2] for event in events)
