"""Plugins that take away what is everybody's, examined by the doctor and called in an order."""

import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from resources import uses
from waiting import wait_until

from pvefw.core import binding, doctor, finding, text, trace
from pvefw.core.errors import PluginFailed
from pvefw.core.families import DNS, OBSERVER
from pvefw.core.hookspecs import hookimpl
from pvefw.core.model import RenewalFailedEvent
from pvefw.tasks import events

FORGED = '{"findings": [], "import_seconds": 0.0, "providers": []}'
IMPORTS = {
    "closes standard output": ("import os, sys; sys.stdout.close()", "it lacks the hook"),
    "closes every descriptor": ("import os; os.closerange(0, 3)", "it lacks the hook"),
    "ends the process": ("import os, signal; os.kill(os.getpid(), 9)", "its import fails"),
    "prints a report and is killed": (
        f"print('''{FORGED}'''); import os; os.abort()",
        "its import fails: ",
    ),
    "prints what is no report": ("import json; json.dumps = lambda _: '[1]'", "ends the whole"),
    "prints another report": (
        'import json; json.dumps = lambda _: \'{"findings": [5], "import_seconds": []}\'',
        "ends the whole process",
    ),
    "prints depths": ("import json; json.dumps = lambda _: '[' * 9**6", "ends the whole process"),
    "prints without end": ("while True: print('x' * 65536)", "printed more than"),
    "leaves a thread and no report": (
        "import json, threading; threading.Thread(target=threading.Event().wait).start(); json.dumps = 0",
        "ends the whole process",
    ),
    "wants all memory": ("x = bytearray(1 << 33)", "MemoryError"),
    "cannot be printed": (
        "class E(Exception):\n    def __str__(self): raise E\nraise E",
        "its text is not available",
    ),
    "obeys no terminal": ("raise ValueError('\\x1b]52;c;x\\x07\\nFAKE: ok')", "its import fails"),
}


@pytest.fixture
def examined(tmp_path, monkeypatch):
    """What the doctor says of a plugin with this code."""

    def examine(code):
        info = tmp_path / "dist_hostile-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(
            "Metadata-Version: 2.1\nName: dist-hostile\nVersion: 1.0\nRequires-Dist: pvefw>=1,<2\n"
        )
        (info / "entry_points.txt").write_text("[pvefw.dns]\nhostile = dist_hostile:Plugin\n")
        body = "\nfrom dataclasses import dataclass\n@dataclass\nclass Plugin:\n    pass\n"
        (tmp_path / "dist_hostile.py").write_text(code + body)
        monkeypatch.syspath_prepend(str(tmp_path))
        return doctor.examine(finding.find(DNS, "hostile"))

    return examine


@uses("program")
@pytest.mark.parametrize("name", IMPORTS)
def test_the_doctor_names_a_plugin_that(examined, name):
    code, said = IMPORTS[name]
    found = examined(code)
    assert not found.usable
    assert found.info.name == "hostile"
    words = " ".join(problem.what for problem in found.findings)
    assert said in words
    assert all(text.one_line(problem.what) == problem.what for problem in found.findings)


@uses("program")
def test_the_doctor_leaves_no_program_behind(examined, tmp_path):
    place = tmp_path / "pid"
    code = (
        "import subprocess\n"
        f"open({str(place)!r}, 'w').write(str(subprocess.Popen(['sleep', '600']).pid))"
    )
    examined(code)
    pid = place.read_text()
    wait_until(lambda: state(pid) in ("", "Z"), "it has ended")


def state(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][:1]
    except OSError:
        return ""


# --- what is called ----------------------------------------------------------------------------------


class Worst(Exception):
    def __str__(self):
        raise Worst

    __repr__ = __str__


class Plugin:
    """Closes what is everybody's, sets a umask, and returns or raises what cannot be shown."""

    def __init__(self, how=lambda: None):
        self.how = how

    @hookimpl
    def dns_add(self):
        return self.how()

    @hookimpl
    def dns_remove(self):
        return None


def called(how, task):
    binding.bind_object(DNS, Plugin(how), "mine").hooks.dns_add(zone="x.", records=[], task=task)


def raise_worst():
    raise Worst


@pytest.mark.parametrize("traced", [False, True])
@pytest.mark.parametrize("how", [Worst, raise_worst], ids=["returned", "raised"])
def test_what_has_no_words_is_the_plugins(monkeypatch, capsys, task, traced, how):
    monkeypatch.setattr(trace, "_active", traced)
    with pytest.raises(PluginFailed, match="Worst"):
        called(how, task)
    assert all(line.isprintable() for line in capsys.readouterr().err.split("\n"))


CLOSES = {
    "sys.stdout.close()": ["after"],
    "os.close(1)": ["after"],
    "os.close(0)": ["after"],
    "os.closerange(0, 3)": ["after"],
    "sys.stdout = open(os.devnull); sys.stdout.close()": ["after"],
}


@uses("program")
@pytest.mark.parametrize("code", CLOSES)
def test_what_a_plugin_closes_is_open_again(tmp_path, code):
    """Or the next file or connection would get the log in between."""
    program = f"""
        import os, sys
        from pvefw.cli.streams import carry_out, say
        from pvefw.host import concurrency
        def plugin():
            {code}
        def work():
            concurrency.call_within(plugin, 30.0, "plugin")
            with open({str(tmp_path / "file")!r}, "w") as file:
                assert file.fileno() > 2
                say("after")
            return 0
        carry_out(work)
        """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)],
        capture_output=True,
        text=True,
        check=False,
        stdin=subprocess.DEVNULL,
    )
    assert (done.returncode, done.stdout.split()) == (0, CLOSES[code]), done.stderr
    assert (tmp_path / "file").read_text() == ""


# --- what observers hear -----------------------------------------------------------------------------


def test_observers_hear_clean_lines(monkeypatch, task):
    """They write mails and logs of what others said, and start programs with it."""
    heard = []

    class Observer:
        @hookimpl
        def on_renewal_failed(self, event):
            heard.append(event)

    bound = binding.bind_object(OBSERVER, Observer(), "mine", secrets=["hunter2hunter2"])
    monkeypatch.setattr(events.instances, "bind", lambda *_: bound)
    evil = "no\r\nBcc: x@example.com\n\x1b]52;c;x\x07 hunter2hunter2" + "x" * 10**6
    event = RenewalFailedEvent("pve1", [evil], Path("/x"), None, 1.0, 1, evil)
    events.call(None, None, "on_renewal_failed", event=event, task=task)
    [line] = heard
    for text_ in (*line.names, line.reason):
        assert text_.isprintable()
        assert "hunter2" not in text_
        assert len(text_) < 10_000
    assert (line.node, line.certificate, line.days_left) == ("pve1", Path("/x"), 1.0)
