"""Secrets: in no form that they take, and in no place that prints."""

import base64
import html
import json
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from pvefw.core import binding, masking, references, text
from pvefw.core.errors import ConfigError, PluginFailed, PvefwError
from pvefw.core.families import DNS
from pvefw.core.hookspecs import hookimpl
from pvefw.tasks import history
from pvefw.tasks.task import run_task


def b64(said):
    return base64.b64encode(said.encode()).decode()


def lower(said):
    import re

    return re.sub("%..", lambda match: match[0].lower(), said)


FORMS = {
    "plain": str,
    "folded": lambda secret: " ".join(secret.split()),
    "one line": text.one_line,
    "json": lambda secret: json.dumps(secret)[1:-1],
    "json in json": lambda secret: json.dumps(json.dumps(secret)[1:-1])[1:-1],
    "json with \\/": lambda secret: json.dumps(secret)[1:-1].replace("/", r"\/"),
    "json unescaped": lambda secret: json.dumps(secret, ensure_ascii=False)[1:-1],
    "repr": lambda secret: repr(secret)[1:-1],
    "url": quote,
    "url, all of it": lambda secret: quote(secret, safe=""),
    "url, lower": lambda secret: lower(quote(secret, safe="")),
    "form": quote_plus,
    "url, twice": lambda secret: quote(quote(secret, safe=""), safe=""),
    "html": html.escape,
    "hex": lambda secret: secret.encode().hex(),
    "HEX": lambda secret: secret.encode().hex().upper(),
    "base64": b64,
    "base64 in a url": lambda secret: quote(b64(secret).rstrip("="), safe=""),
}
SECRETS = st.text(
    st.characters(exclude_categories=("Cs",), exclude_characters="*"), min_size=8, max_size=40
)


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
@given(secret=SECRETS)
@example(secret="a/b\\c\"d'e<f>&g h\n  i+%=")
@example(secret="p@ss  word//\tlong")
def test_no_form_of_a_secret_is_shown(form, secret):
    assume(len(" ".join(secret.split())) >= 4)
    shown = masking.redact(f"<{form(secret)}>", [secret])
    assert masking.MASK in shown
    assert form(secret) not in shown


@given(
    secret=st.text("abcdefghijklmnopqrstuvwxyz0123456789+/:&", min_size=10),
    before=st.text(max_size=9),
    after=st.text(max_size=9),
)
def test_a_secret_within_base64_cannot_be_read_from_it(secret, before, after):
    """Basic auth, wherever the secret begins: RFC 7617."""
    shown = masking.redact(b64(f"{before}:{secret}{after}"), [secret])
    assert masking.MASK in shown
    longest = max(shown.split(masking.MASK), key=len)
    assert len(longest) <= len(b64(f"{before}:{after}")) + 6


# --- the places -----------------------------------------------------------------------------------------

TOKEN = 'se/cret "t&ken'


class Talkative:
    """Obtains a token at run time, and talks about it everywhere."""

    def __init__(self, how=None):
        self.how = how

    @hookimpl
    def dns_add(self, task):
        task.secret(TOKEN)
        task.log(f"Authorization: Basic {b64(f'me:{TOKEN}')}")
        task.warn(f"token={quote(TOKEN, safe='')}")
        if self.how == "returns":
            return ("x" * 70) + TOKEN
        raise self.how(json.dumps(TOKEN))

    @hookimpl
    def dns_remove(self):
        pass


@pytest.mark.parametrize("how", [ValueError, PvefwError, "returns"])
def test_a_secret_of_run_time_is_masked_in_log_error_and_index(paths, how):
    hooks = binding.bind_object(DNS, Talkative(how), "mine").hooks
    with pytest.raises(PvefwError) as caught, run_task(paths, "x") as task:
        hooks.dns_add(zone="x.", records=[], task=task)
    shown = "\n".join(
        [
            *history.log(paths, task.upid),
            caught.value.message,
            *getattr(caught.value, "__notes__", []),
            (paths.task_dir / "index").read_text(),
        ]
    )
    for form in FORMS.values():
        assert form(TOKEN) not in shown
    assert "cret" not in shown
    assert masking.MASK in shown


def test_what_fails_outside_of_hooks_is_masked_too(paths):
    bound = binding.bind_object(DNS, Talkative(ValueError), "mine", secrets=["hunter2hunter2"])
    with pytest.raises(ValueError), run_task(paths, "x") as task:
        task.log("with hunter2hunter2")
        raise ValueError("hunter2hunter2")
    assert bound
    assert "hunter2" not in "\n".join(history.log(paths, task.upid))


def test_a_secret_is_forgotten_with_its_plugin():
    bound = binding.bind_object(DNS, Talkative(), "mine", secrets=["abcdefgh"])
    assert masking.redact_known("abcdefgh") == masking.MASK
    del bound
    import gc

    gc.collect()
    assert masking.redact_known("abcdefgh") == "abcdefgh"


@pytest.mark.parametrize("where", [1, 2])
def test_what_a_failing_command_said_is_not_shown(tmp_path, where):
    program = tmp_path / "show-secret"
    program.write_text(f"#!/bin/sh\necho hunter2 >&{where}\nexit 3\n")
    program.chmod(0o755)
    with pytest.raises(ConfigError, match="failed with status 3") as caught:
        references.resolve(f"cmd:{program} hunter2", "mine")
    assert "hunter2" not in f"{caught.value.message}{caught.value.hint}"
    assert caught.value.__cause__ is None


def test_old_plugins_need_no_secret(task):
    class Old:
        @hookimpl
        def dns_add(self, task):
            task.log("x")

        @hookimpl
        def dns_remove(self):
            pass

    binding.bind_object(DNS, Old(), "old").hooks.dns_add(zone="x.", records=[], task=task)
    assert task.lines == ["x"]
    assert PluginFailed
