"""Settings: declared once, checked with all findings at once, resolved at use, never shown."""

import os
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pvefw.core import masking, references, settings
from pvefw.core.errors import ConfigError, PluginBroken
from pvefw.core.masking import MASK
from pvefw.core.settings import setting


@dataclass
class Example:
    """For tests."""

    token: str = setting(help="The token.", key="EX_TOKEN", secret=True)
    ttl: int = setting(help="Seconds.", default=60)
    slow: bool = setting(help="Take your time.", default=False)
    endpoint: str = setting(help="Where.", default="eu", choices=["eu", "us"])
    path: Path | None = setting(help="A file.", default=None)
    servers: list[str] = setting(help="Some.", default=[])


INFOS = settings.declared(Example)


def test_what_is_declared():
    token, ttl, slow, endpoint, path, servers = INFOS
    assert (token.key, token.secret, token.required, token.type) == (
        "EX_TOKEN",
        True,
        True,
        "string",
    )
    assert (ttl.default, ttl.type) == ("60", "integer")
    assert (slow.default, slow.type) == ("0", "boolean")
    assert endpoint.choices == ("eu", "us")
    assert (path.type, path.default, path.required) == ("path", "", False)
    assert (servers.type, servers.default) == ("list", "")


def test_made_from_text():
    values = {"EX_TOKEN": "t", "ttl": "5", "slow": "yes", "path": "/x", "servers": "a, b"}
    made = settings.make(Example, settings.resolve_all(INFOS, values, "who"))
    assert made == Example("t", 5, True, "eu", Path("/x"), ["a", "b"])
    assert "'t'" not in repr(made)


def test_all_findings_are_in_one_message():
    values = {"EX_TOKNE": "secret", "ttl": "long", "endpoint": "moon"}
    with pytest.raises(ConfigError) as caught:
        settings.check(INFOS, values, "mine")
    said = str(caught.value)
    assert said.startswith("mine: ")
    assert "EX_TOKNE is not a setting (did you mean EX_TOKEN?)" in said
    assert "EX_TOKEN is missing" in said
    assert "ttl: 'long' is not of type integer" in said
    assert "endpoint: 'moon' is not one of eu, us" in said
    assert "secret" not in said
    assert "EX_TOKEN (required), ttl, slow" in caught.value.hint


def test_references(tmp_path, monkeypatch):
    file = tmp_path / "token"
    file.write_text("from-file\n")
    monkeypatch.setenv("EX_VARIABLE", "from-env")
    for reference, value in {
        f"file:{file}": "from-file",
        "env:EX_VARIABLE": "from-env",
        "cmd:printf 'from %s\\n' cmd": "from cmd",
        "literal": "literal",
        "https://x": "https://x",
    }.items():
        assert references.resolve(reference, "who") == value


@pytest.mark.parametrize(
    ("reference", "said"),
    [
        ("file:/no/such/file", "/no/such/file cannot be read: No such file"),
        ("env:NO_SUCH_VARIABLE", "the environment has no variable NO_SUCH_VARIABLE"),
        ("cmd:no-such-program", "no-such-program: no such program"),
        ("cmd:sh -c 'echo broken >&2; exit 3'", "sh failed with status 3"),
        ("cmd:'", "No closing quotation"),
    ],
)
def test_a_reference_that_leads_nowhere_says_for_whom(reference, said):
    with pytest.raises(ConfigError, match=rf"^mine: EX_TOKEN: .*{said}"):
        settings.resolve_all(INFOS, {"EX_TOKEN": reference}, "mine")


def test_a_program_behind_a_reference_sees_nothing_of_our_environment(monkeypatch):
    monkeypatch.setenv("EX_VARIABLE", "secret")
    assert "secret" not in references.resolve("cmd:env", "who")


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (os.mkfifo, "this is not a regular file"),
        (lambda path: path.symlink_to("/dev/zero"), "this is not a regular file"),
        (lambda path: (path.touch(), os.truncate(path, 1 << 33)), "this is a hole"),
    ],
)
def test_a_file_without_end_is_no_value(tmp_path, make, said):
    """Another node of the cluster may have put it there: root waited, or had its memory filled."""
    make(tmp_path / "value")
    with pytest.raises(ConfigError, match=said):
        references.resolve(f"file:{tmp_path / 'value'}", "who")


def test_what_a_reference_gives_is_checked_too(tmp_path):
    file = tmp_path / "ttl"
    file.write_text("long")
    with pytest.raises(ConfigError, match="not of type integer"):
        settings.resolve_all(INFOS, {"EX_TOKEN": "t", "ttl": f"file:{file}"}, "mine")


def test_secrets_are_masked_and_what_nobody_knows_too():
    values = {"EX_TOKEN": "secret", "ttl": "5", "EX_TOKNE": "secret", "other": "file:/x"}
    assert settings.mask(INFOS, values) == {
        "EX_TOKEN": MASK,
        "ttl": "5",
        "EX_TOKNE": MASK,
        "other": "file:/x",
    }


@given(st.text(min_size=4), st.text(), st.text())
def test_no_form_of_a_secret_is_left(secret, before, after):
    import json
    from urllib.parse import quote

    for form in (secret, json.dumps(secret), repr(secret), quote(secret, safe="")):
        shown = masking.redact(f"{before}{form}{after}", [secret])
        if secret not in before + after + MASK and secret.strip() == secret:
            assert form not in shown or form in MASK


def test_data_files():
    text = "# comment\n\nOVH_AK=abc\n OVH_AS = d=e \n"
    assert settings.parse(text) == {"OVH_AK": "abc", "OVH_AS": "d=e"}
    for wrong in ("no equals", "=x", "A=1\nA=2"):
        with pytest.raises(ConfigError):
            settings.parse(wrong)


def test_a_schema_for_forms():
    schema = settings.json_schema(INFOS)
    assert schema["required"] == ["EX_TOKEN"]
    assert schema["properties"]["EX_TOKEN"]["writeOnly"]
    assert schema["properties"]["ttl"] == {
        "type": "integer",
        "description": "Seconds.",
        "default": 60,
    }
    assert schema["properties"]["endpoint"]["enum"] == ["eu", "us"]


def test_types_that_cannot_be_settings():
    @dataclass
    class Wrong:
        mapping: dict[str, str] = setting(help="x", default=None)

    with pytest.raises(PluginBroken, match=r"Wrong\.mapping: .* cannot be a setting"):
        settings.declared(Wrong)
