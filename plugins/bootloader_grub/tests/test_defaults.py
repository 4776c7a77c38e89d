"""/etc/default/grub, as a shell reads it."""

import os
import pwd
import re
import subprocess

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from privileges import only_root

from pvefw.api import ProviderError
from pvefw.core.errors import ProgramError
from pvefw_bootloader_grub import defaults


@pytest.fixture
def write(tmp_path):
    def write(main=None, **snippets):
        (tmp_path / defaults.SNIPPETS).mkdir(parents=True, exist_ok=True)
        if main is not None:
            (tmp_path / defaults.MAIN).write_text(main, newline="")
        for name, text in snippets.items():
            (tmp_path / defaults.SNIPPETS / f"{name}.cfg").write_text(text)
        return tmp_path

    return write


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("GRUB_DEFAULT=a", "a"),
        ("GRUB_DEFAULT='a b'  # comment", "a b"),
        ('GRUB_DEFAULT="a \\"b\\" \\$c"', 'a "b" $c'),
        ("X=1\nGRUB_DEFAULT=${X}2$X", "121"),
        ('GRUB_DEFAULT=a\nGRUB_DEFAULT="$GRUB_DEFAULT more"', "a more"),
        ("GRUB_DEFAULT=a\\\nb", "ab"),
        ("GRUB_DEFAULT=a\\", "a\\"),
        ("GRUB_DEFAULT=a\\\\", "a\\"),
        ("export GRUB_DEFAULT=a", "a"),
        ("GRUB_DEFAULT=`echo a`$(echo b)", "ab"),
        ("if true; then GRUB_DEFAULT=a; fi", "a"),
        ('[ -n "$NOTHING" ] && GRUB_DEFAULT=b', None),
        ("GRUB_DEFAULT=a\nunset GRUB_DEFAULT", None),
        ("GRUB_DEFAULT=a; return; GRUB_DEFAULT=b", "a"),
        ("echo noise; GRUB_DEFAULT=a; echo more >&2", "a"),
        ("GRUB_DEFAULT='two\nlines'", "two\nlines"),
        ("# Grö\N{LATIN SMALL LETTER SHARP S}e\nGRUB_DEFAULT=ü", "ü"),
    ],
)
def test_one_file(write, text, value):
    values, warnings = defaults.read(write(text))
    assert values.get("GRUB_DEFAULT") == value
    assert warnings == []


def test_snippets_come_after_in_the_order_of_their_names(write):
    root = write(
        "GRUB_TIMEOUT=1\nGRUB_DEFAULT=1", b="GRUB_TIMEOUT=3", a="GRUB_TIMEOUT=2$GRUB_DEFAULT"
    )
    values, _ = defaults.read(root)
    assert (values["GRUB_TIMEOUT"], values["GRUB_DEFAULT"]) == ("3", "1")


def test_no_files_at_all(tmp_path):
    values, warnings = defaults.read(tmp_path)
    assert values == {
        "GRUB_DISABLE_OS_PROBER": "true",
        "GRUB_EARLY_INITRD_LINUX_STOCK": defaults.STOCK,
    }
    assert warnings == []


def test_the_pin_of_a_host_without_esps_is_not_read(write):
    root = write("GRUB_DEFAULT=1")
    (root / defaults.PIN).write_text("GRUB_DEFAULT=2")
    assert defaults.read(root)[0]["GRUB_DEFAULT"] == "1"


def test_line_ends_of_windows(write):
    values, warnings = defaults.read(write("GRUB_DEFAULT=a\r\nGRUB_TIMEOUT=3\r\n"))
    assert (values["GRUB_DEFAULT"], values["GRUB_TIMEOUT"]) == ("a", "3")
    assert "as on Windows" in warnings[0]


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("GRUB_DEFAULT='a", "Unterminated"),
        ("GRUB_DEFAULT=a b-c-d", "not found"),
        ("GRUB_DEFAULT+=b", "not found"),
        ("false", "a command in it failed"),
        ("exit 0", "a command in it failed"),
        ("GRUB_DEFAULT=a\0", "null bytes"),
        ("#" * 100_000, "100000 bytes"),
    ],
)
def test_a_file_that_no_shell_reads(write, text, why):
    root = write("GRUB_TIMEOUT=1", good="GRUB_TIMEOUT=1")
    (root / defaults.SNIPPETS / "odd.cfg").write_text(text)
    with pytest.raises(ProviderError, match=why) as caught:
        defaults.read(root)
    assert "odd.cfg: " in caught.value.message
    assert caught.value.hint


def test_a_file_that_does_not_end(write, monkeypatch):
    monkeypatch.setattr(defaults, "_SECONDS", 0.3)
    with pytest.raises(ProgramError, match="did not end"):
        defaults.read(write("while :; do :; done"))


@only_root("has anything to lose")
def test_it_runs_as_nobody_who_is_known(write, tmp_path):
    (tmp_path / "secret").write_text("x")
    (tmp_path / "secret").chmod(0o600)
    root = write(f"GRUB_DEFAULT=$(id -u):$(cat {tmp_path}/secret 2>/dev/null || echo denied)")
    user, secret = defaults.read(root)[0]["GRUB_DEFAULT"].split(":")
    assert secret == "denied"
    with pytest.raises(KeyError):
        pwd.getpwuid(int(user))


ASSIGNMENTS = st.lists(
    st.tuples(
        st.sampled_from(["GRUB_DEFAULT", "GRUB_TIMEOUT"]),
        st.sampled_from(["=", "= ", "=$GRUB_DEFAULT"]),
        st.text("ab'\"\\$ \n#;&|(){}`*?=", max_size=8),
    ),
    max_size=4,
).map(lambda lines: re.sub(r"\$+", "$", "\n".join("".join(parts) for parts in lines)))
"""Without ``$$``: each shell has a process id of its own."""


@settings(max_examples=4 * settings.default.max_examples)
@given(ASSIGNMENTS)
def test_values_are_those_of_a_shell_that_sources_the_file(tmp_path_factory, text):
    root = tmp_path_factory.mktemp("host")
    (root / defaults.SNIPPETS).mkdir(parents=True)
    (root / defaults.MAIN).write_text(text)
    show = 'printf \'%s\\0%s\\0\' "${GRUB_DEFAULT-}" "${GRUB_TIMEOUT-}"'
    real = subprocess.run(
        ["sh", "-c", f"exec 3>&1 >/dev/null; set -e; . {root / defaults.MAIN}; {show} >&3"],
        capture_output=True,
        text=True,
        cwd="/",
        env={"PATH": os.environ["PATH"]},
        check=False,
    )
    try:
        values, _ = defaults.read(root)
    except ProviderError:
        assert real.returncode != 0 or real.stdout.count("\0") != 2
    else:
        if real.returncode == 0:
            seen = (values.get("GRUB_DEFAULT", ""), values.get("GRUB_TIMEOUT", ""))
            assert seen == tuple(real.stdout.split("\0")[:2])
