"""A challenge plugin that misbehaves in every way: one clear error, and everything else goes on."""

import textwrap

import pytest

PLUGIN = """
    import os, sys, threading
    from dataclasses import dataclass
    from pvefw.api import hookimpl, setting

    @dataclass
    class Plugin:
        '''For tests.'''

        password: str = setting(help="A password.", secret=True, default="")

        @hookimpl
        def challenge_types(self):
            {types}

        @hookimpl
        def challenge_present(self, challenges, task):
            {present}

        @hookimpl
        def challenge_cleanup(self, challenges, task):
            {cleanup}
"""
TYPES = "return ['http-01']"


@pytest.fixture
def hostile(host, pebble, tmp_path):
    """Installs a plugin with these hook bodies and lets it validate a name; gives the host."""

    def install(types=TYPES, present="pass", cleanup="pass"):
        site = tmp_path / "site"
        info = site / "dist_hostile-1.0.dist-info"
        info.mkdir(parents=True)
        (info / "METADATA").write_text(
            "Metadata-Version: 2.1\nName: dist-hostile\nVersion: 1.0\nRequires-Dist: pvefw>=1,<2\n"
        )
        (info / "entry_points.txt").write_text("[pvefw.challenge]\nhostile = dist_hostile:Plugin\n")
        code = textwrap.dedent(PLUGIN).format(types=types, present=present, cleanup=cleanup)
        (site / "dist_hostile.py").write_text(code)
        host.env |= {"PYTHONPATH": str(site), "PVEFW_PLUGIN_TIMEOUT": "2"}
        host.register(pebble)
        data = tmp_path / "hostile.data"
        data.write_text("password=s3cr3t-pa55\n")
        host.run("acme", "plugin", "add", "challenge", "bad", "--api", "hostile", "--data", data)
        host.run("config", "set", "-acmedomain0", "a.example,plugin=bad")
        return host

    return install


@pytest.mark.parametrize(
    ("bodies", "said"),
    [
        ({"present": "raise ValueError(f'no {self.password}')"}, "bad: challenge_present failed"),
        ({"present": "sys.exit(0)"}, "bad: challenge_present failed: SystemExit"),
        ({"present": "return 'done'"}, "bad: challenge_present returned 'done'"),
        (
            {"present": "threading.Event().wait()"},
            "challenge_present did not return within 2 seconds",
        ),
        ({"types": "return 42"}, "bad: challenge_types returned 42"),
        ({"types": "return ['tls-alpn-02']"}, "the plugin answers tls-alpn-02"),
        ({"types": "return []"}, "the plugin answers nothing"),
    ],
)
def test_a_hook_that_misbehaves(hostile, bodies, said):
    host = hostile(**bodies)
    error = host.fail("acme", "cert", "order")
    assert said in error
    assert "s3cr3t-pa55" not in error
    assert not host.paths.proxy_certificate.exists()
    host.run("config", "set", "-acmedomain0", "a.example")
    host.run("acme", "cert", "order")


def test_a_clean_up_that_fails_costs_no_certificate(hostile, pebble):
    host = hostile(
        present=(
            "from pvefw_acme_standalone import Standalone; "
            f"self.inner = Standalone(port={pebble.http_port}); "
            "self.inner.challenge_present(challenges=challenges, task=task)"
        ),
        cleanup=(
            "self.inner.challenge_cleanup(challenges=challenges, task=task); "
            "raise RuntimeError(self.password)"
        ),
    )
    said = host.run("acme", "cert", "order")
    assert "WARN: Clean-up failed: bad: challenge_cleanup failed: RuntimeError: ********" in said
    assert "s3cr3t-pa55" not in said
    assert host.paths.proxy_certificate.exists()


@pytest.mark.parametrize(
    "does", ["sys.stdout.close()", "os.closerange(0, 3)", "os.umask(0o777)", "os.umask(0)"]
)
def test_what_a_plugin_takes_away_costs_neither_clean_up_nor_modes(hostile, pebble, tmp_path, does):
    mark = tmp_path / "cleaned"
    host = hostile(
        present=(
            "from pvefw_acme_standalone import Standalone; "
            f"self.inner = Standalone(port={pebble.http_port}); "
            f"self.inner.challenge_present(challenges=challenges, task=task); {does}"
        ),
        cleanup=(
            "self.inner.challenge_cleanup(challenges=challenges, task=task); "
            f"open({str(mark)!r}, 'w').close()"
        ),
    )
    said = host.run("acme", "cert", "order")
    assert "Task OK" in said
    assert mark.exists()
    pair = host.paths.proxy_certificate, host.paths.proxy_key
    assert [path.stat().st_mode & 0o777 for path in pair] == [0o644, 0o600]
    assert "Task" not in "".join(data.decode() for data in host.pair())


def test_a_plugin_that_ends_the_process_leaves_the_next_order_working(hostile):
    host = hostile(present="os._exit(9)")
    assert host.try_("acme", "cert", "order").returncode == 9
    host.run("config", "set", "-acmedomain0", "a.example")
    host.run("acme", "cert", "order")


def test_secrets_are_masked_where_a_plugin_is_shown(hostile):
    host = hostile(present="task.log(f'using {self.password}')")
    assert "s3cr3t-pa55" not in host.run("acme", "plugin", "config", "bad")
    assert "s3cr3t-pa55" in host.run("acme", "plugin", "config", "bad", "--show-secrets")
    done = host.try_("acme", "cert", "order")
    assert "using ********" in done.stdout
    assert "s3cr3t-pa55" not in done.stdout + done.stderr
    debug = host.try_("--debug", "acme", "cert", "order")
    assert "s3cr3t-pa55" not in debug.stdout + debug.stderr
