"""What files look like that people, editors and power cuts have been at."""

from hypothesis import strategies as st

from pvefw.store import files

_LINES = (
    "#Küche, Regal 3\n".encode("latin-1"),
    b"<<<<<<< HEAD\n",
    b"startall-onboot-delay: 400\n",
    b"startall-onboot-delay 1\n",
    b"  max_workers: 0\n",
    b"max_workers: 4 # four\r\n",
    b"acmedomain0: a.example.com, plugin=nobody\n",
    b"acme: domains=*\n",
    b"wakeonlan: 01:00:5e:00:00:01\n",
    b"key-type: dsa\n",
    b"ca-key-type: dsa\n",
    b"key-reuse: perhaps\n",
    b"renew-before: soon\n",
    b"task-history-days: many\n",
    b"observer: nowhere\n\tapi nowhere\n\n",
    b"observer: broken\n\tapi exec\n\tdata %%%\n\n",
    b"dns: web\n\tapi nowhere\n\tvalidation-delay x\n\n",
    b"dns: web\n\tapi ovh\n\ndns: web\n\tapi ovh\n\n",
    b"\tlost 1\n",
    b"\xef\xbb\xbf",
    b"\0\0\0\0",
    b"\xff\xfe",
    b"6.8.1 and more\n",
    b"../../etc/passwd\n",
    b"{",
    b"[]",
)
rubbish = st.one_of(
    st.sampled_from(_LINES),
    st.lists(st.sampled_from(_LINES), max_size=4).map(b"".join),
    st.binary(max_size=60),
)


def damage(path, data, at):
    """Put something into a file that does not belong there, in front, amid its lines, or behind.

    What is there keeps its lines whole: whoever needs it can still read it.
    """
    there = files.read_if_exists(path) or b""
    lines = there.splitlines(keepends=True)
    place = 0 if at == "front" else len(lines)
    if lines and not lines[-1].endswith(b"\n"):
        lines[-1] += b"\n"
    ended = data if data.endswith(b"\n") else data + b"\n"
    blank = b"\n" if path.suffix == ".cfg" else b""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"".join([*lines[:place], blank, ended, blank, *lines[place:]]))


def instead(path, data):
    """Replace a file by something else, or a directory."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if data is None:
        path.unlink(missing_ok=True)
        path.mkdir()
    else:
        path.write_bytes(data)
