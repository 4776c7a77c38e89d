"""Each place that prints, with a secret in each of its forms, and with what a terminal obeys."""

import io
import sys

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from resources import uses

from pvefw.cli import streams
from pvefw.cli.framework import App
from pvefw.cli.run import guarded
from pvefw.core import binding, masking, trace
from pvefw.core.errors import PvefwError
from pvefw.core.families import DNS
from pvefw.core.hookspecs import hookimpl
from pvefw.tasks import events
from pvefw.tasks.task import run_task
from pvefw.testing.fakes import FakeTask

CLIPBOARD = "\x1b]52;c;cm0gLXJmIC8=\x07"


class Plugin:
    """Says a text in every way that a plugin has."""

    def __init__(self, text, how):
        self.text, self.how = text, how

    @hookimpl
    def dns_add(self, task):
        task.log(self.text)
        task.warn(self.text)
        return self.how(self.text)

    @hookimpl
    def dns_remove(self):
        pass


def raised(kind):
    def how(text):
        raise kind(text)

    return how


def through_a_hook(bound):
    bound.hooks.dns_add(zone="x.", records=[], task=FakeTask())


PLACES = {
    "say": lambda text, _bound: streams.say(text),
    "an error": lambda text, _bound: guarded(App(), lambda: raised(PvefwError)(text)),
    "an error inside": lambda text, _bound: guarded(App(), lambda: raised(ValueError)(text)),
    "a hint": lambda text, _bound: guarded(
        App(), lambda: raised(lambda said: PvefwError("x", hint=said))(text)
    ),
    "a warning": lambda text, _bound: App().warn(text),
    "an event": lambda text, _bound: sys.stdout.write(events.readable(text)),
    "a call": lambda _text, bound: guarded(App(), lambda: through_a_hook(bound)),
}


def shown(place, text, secret):
    """Everything that was printed."""
    bound = binding.bind_object(DNS, Plugin(text, raised(ValueError)), "mine", secrets=[secret])
    out = io.StringIO()
    before = sys.stdout, sys.stderr, trace._active
    sys.stdout = sys.stderr = out
    trace._active = True
    try:
        PLACES[place](text, bound)
    finally:
        sys.stdout, sys.stderr, trace._active = before
    return out.getvalue()


def forms(secret):
    return sorted(masking._forms(secret))


@pytest.mark.parametrize("place", PLACES)
@given(
    secret=st.text(
        st.characters(exclude_categories=("Cs", "Zs", "Cc"), exclude_characters="*"),
        min_size=8,
        max_size=20,
    ),
    number=st.integers(0, 40),
)
@example(secret="a/b\\c\"d'e<f>&g+%=h", number=0)
@example(secret="p@ss+word//long=", number=7)
def test_no_place_shows_a_secret_in_any_form(place, secret, number):
    form = forms(secret)[number % len(forms(secret))]
    said = shown(place, f"<{form}>", secret)
    assert form not in said
    assert masking.MASK in said


@pytest.mark.parametrize("place", PLACES)
def test_no_place_shows_what_a_terminal_obeys(place):
    said = shown(place, f"x{CLIPBOARD}\r\x9b2J\u202ey", "unused-secret")
    assert said
    assert all(line.isprintable() for line in said.split("\n")), repr(said)


def test_a_log_masks_what_the_task_was_told(paths):
    heard = []
    with run_task(paths, "x", echo=heard.append) as task:
        task.secret("hunter2hunter2")
        for form in forms("hunter2hunter2"):
            task.log(form)
    log = task.upid.log_path(paths).read_text()
    assert not any(form in log or form in "".join(heard) for form in forms("hunter2hunter2"))


@uses("program")
@pytest.mark.parametrize("module", ["pvenode", "proxmox_boot_tool", "pvesh"])
def test_threads_that_a_plugin_left_do_not_keep_these_commands_either(module):
    import subprocess

    code = f"""
import sys, threading
from pvefw_shims import {module} as program
import pvefw.cli.run
def work(*_arguments):
    threading.Thread(target=threading.Event().wait).start()
    print("done", flush=True)
    return 3
pvefw.cli.run.run = program.run = work
sys.argv = ["x", "y"]
program.main()
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=120
    )
    assert (done.returncode, done.stdout) == (3, "done\n"), done.stderr
