"""Finding, loading, checking and binding plugins, good ones and hostile ones."""

import subprocess
import sys
import threading

import pytest
from waiting import wait_until

from pvefw.core import binding, finding
from pvefw.core.errors import (
    Cancelled,
    ConfigError,
    CredentialsRejected,
    PluginBroken,
    PluginFailed,
    PluginMissing,
    PluginTimeout,
    ProviderError,
)
from pvefw.core.families import CHALLENGE, DNS, GUEST, OBSERVER
from pvefw.core.hookspecs import hookimpl
from pvefw.core.masking import MASK
from pvefw.core.model import GuestEvent, TxtRecord

RECORDS = [TxtRecord("_acme-challenge.example.com.", "value")]


class Log:
    """A task that keeps what it is told."""

    cancelled = False

    def __init__(self) -> None:
        self.lines: list[str] = []

    def log(self, message: str) -> None:
        self.lines.append(message)

    warn = log

    def wait(self, seconds: float) -> None:
        raise AssertionError(f"nobody should wait {seconds} seconds here")


def add(bound, task=None):
    return bound.hooks.dns_add(zone="example.com.", records=RECORDS, task=task or Log())


def dns_plugin(add):
    """A DNS plugin object whose ``dns_add`` calls ``add``."""

    class Plugin:
        @hookimpl
        def dns_add(self, zone, records, task):
            return add()

        @hookimpl
        def dns_remove(self):
            pass

    return Plugin()


# --- find -----------------------------------------------------------------------------------------


def test_listing_imports_nothing(install, site):
    install("dns", "acme", "import sys; sys.exit('imported')")
    [info] = [plugin for plugin in finding.installed(DNS) if plugin.name == "acme"]
    assert (info.distribution, info.version, info.api, info.problem) == ("dist-acme", "1.5", 1, "")
    assert "dist_acme" not in sys.modules


def test_missing_plugin_names_those_that_are_there(install):
    install("dns", "acme")
    with pytest.raises(PluginMissing, match="no dns plugin named amce") as caught:
        finding.find(DNS, "amce")
    assert "acme" in caught.value.hint


def test_two_distributions_with_one_name_are_both_named(install):
    install("dns", "acme", distribution="dist-one")
    install("dns", "acme", distribution="dist-two")
    with pytest.raises(PluginBroken, match=r"dist-one 1\.5 and dist-two 1\.5"):
        finding.find(DNS, "acme")


@pytest.mark.parametrize("requires", ["pvefw>=2,<3", "pvefw<1", "pvefw>=1.999"])
def test_another_plugin_api_is_refused_before_the_import(install, requires):
    install("dns", "acme", "raise RuntimeError('imported')", requires=requires)
    with pytest.raises(PluginBroken, match="it requires pvefw") as caught:
        binding.bind(DNS, "acme", {"token": "x"})
    assert "dist-acme" in caught.value.hint


def test_broken_metadata_of_one_distribution_hides_no_other(install, site):
    install("dns", "acme")
    broken = site / "broken-1.0.dist-info"
    broken.mkdir()
    (broken / "entry_points.txt").write_bytes(b"[pvefw.dns]\n\xff\xfe nonsense\n")
    assert "acme" in {info.name for info in finding.installed(DNS)}


# --- load -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("raise ValueError('at import')", "ValueError: at import"),
        ("import no_such_module_anywhere", "ModuleNotFoundError"),
        ("def broken(:\n    pass", "SyntaxError"),
        ("raise SystemExit(3)", "SystemExit: 3"),
        ("raise BaseException('odd')", "BaseException: odd"),
        ("assert False, 'asserted'", "AssertionError: asserted"),
        ("Plugin = 42", "is not a class"),
        ("Other = 1", "AttributeError"),
    ],
)
def test_a_plugin_that_cannot_be_loaded_is_one_clear_error(install, code, said):
    install("dns", "acme", code)
    with pytest.raises(PluginBroken) as caught:
        binding.bind(DNS, "acme", {})
    assert said in caught.value.message
    assert "dns/acme (dist-acme 1.5)" in caught.value.message
    assert "dist-acme" in caught.value.hint


def test_an_import_that_does_not_end(install, monkeypatch):
    monkeypatch.setenv("PVEFW_PLUGIN_TIMEOUT", "0.2")
    install("dns", "endless", "import threading; threading.Event().wait()")
    with pytest.raises(PluginBroken, match="does not end"):
        binding.bind(DNS, "endless", {})


def test_a_plugin_that_changed_its_distribution_is_found_at_once(install, site):
    install("dns", "acme", "raise ValueError('old')", distribution="dist-old")
    with pytest.raises(PluginBroken, match="dist-old"):
        binding.bind(DNS, "acme", {})
    for file in (site / "dist_old-1.5.dist-info").iterdir():
        file.unlink()
    install("dns", "acme", distribution="dist-new")
    assert binding.bind(DNS, "acme", {"token": "x"}).name == "acme"


# --- bind -----------------------------------------------------------------------------------------


def test_binding_makes_it_from_its_settings_and_masks_its_secrets(install):
    install("dns", "acme")
    bound = binding.bind(DNS, "acme", {"token": "s3cr3t-value", "ttl": "300"}, instance="mine")
    task = Log()
    add(bound, task)
    assert task.lines == [f"using {MASK}"]
    assert bound.implemented == {"dns_add", "dns_remove"}
    assert bound.hooks.dns_zones(task=task) is None
    assert "s3cr3t" not in repr(bound)


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({}, "token is missing"),
        ({"token": "x", "tll": "5"}, r"tll is not a setting \(did you mean ttl\?\)"),
        ({"token": "x", "ttl": "long"}, "ttl: 'long' is not of type integer"),
    ],
)
def test_wrong_settings_name_the_known_keys(install, values, said):
    install("dns", "acme")
    with pytest.raises(ConfigError, match=said) as caught:
        binding.bind(DNS, "acme", values)
    assert "token (required), ttl" in caught.value.hint


def test_a_missing_required_hook_is_named():
    class Half:
        @hookimpl
        def dns_add(self, zone, records):
            pass

    with pytest.raises(PluginBroken, match="half: it lacks the hook dns_remove"):
        binding.bind_object(DNS, Half(), "half")


def test_a_misspelt_hook_is_named_with_what_was_meant():
    class Misspelt:
        @hookimpl
        def dns_add(self, zone, records):
            pass

        @hookimpl
        def dns_remvoe(self, zone, records):
            pass

    with pytest.raises(PluginBroken, match=r"dns_remvoe .*did you mean dns_remove"):
        binding.bind_object(DNS, Misspelt(), "misspelt")


def test_an_argument_that_the_hook_does_not_have():
    class Wrong:
        @hookimpl
        def dns_add(self, zone, record):
            pass

        @hookimpl
        def dns_remove(self):
            pass

    with pytest.raises(PluginBroken, match="record"):
        binding.bind_object(DNS, Wrong(), "wrong")


def test_an_observer_that_observes_nothing():
    with pytest.raises(PluginBroken, match="none of the hooks"):
        binding.bind_object(OBSERVER, object(), "blind")


def test_a_class_that_is_no_dataclass(install):
    install("dns", "acme", "class Plugin: pass")
    with pytest.raises(PluginBroken, match="is not a dataclass"):
        binding.bind(DNS, "acme", {})


PARTICULAR = """
        from dataclasses import dataclass
        from pvefw.api import setting

        @dataclass
        class Plugin:
            token: str = setting(help="The token.", secret=True)

            def __post_init__(self):
                if self.token != "good":
                    raise ERROR(f"bad token {self.token}")
        """


def test_settings_that_only_the_plugin_can_judge(install):
    install("dns", "acme", PARTICULAR.replace("ERROR", "ValueError"))
    with pytest.raises(ConfigError) as caught:
        binding.bind(DNS, "acme", {"token": "s3cr3t-value"}, instance="mine")
    assert caught.value.message == f"mine: bad token {MASK}"
    assert caught.value.hint == "What it needs: pvefw plugin show dns acme"


def test_a_plugin_that_cannot_be_made_is_broken_and_keeps_secrets(install):
    install("dns", "acme", PARTICULAR.replace("ERROR", "RuntimeError"))
    with pytest.raises(PluginBroken) as caught:
        binding.bind(DNS, "acme", {"token": "s3cr3t-value"})
    assert f"bad token {MASK}" in caught.value.message


def test_values_are_checked_before_they_are_kept(install):
    install("dns", "acme", PARTICULAR.replace("ERROR", "ValueError"))
    info = finding.find(DNS, "acme")
    with pytest.raises(ConfigError, match="bad token"):
        binding.check_values(info, {"token": "wrong"}, "mine")
    with pytest.raises(ConfigError, match="tokem is not a setting"):
        binding.check_values(info, {"tokem": "good"}, "mine")
    binding.check_values(info, {"token": "env:NOT_SET_YET"}, "mine")  # looked up when it is used
    assert [value.key for value in binding.check_values(info, {"token": "good"}, "mine")] == [
        "token"
    ]


# --- call -----------------------------------------------------------------------------------------


def test_provider_errors_keep_their_kind_and_get_the_name():
    def refuse():
        raise CredentialsRejected("the key is not allowed to POST", hint="Make one with s3cr3t!")

    bound = binding.bind_object(DNS, dns_plugin(refuse), "ovh1", secrets=["s3cr3t!"])
    with pytest.raises(CredentialsRejected) as caught:
        add(bound)
    assert str(caught.value) == "ovh1: the key is not allowed to POST"
    assert caught.value.hint == f"Make one with {MASK}"


@pytest.mark.parametrize("error", [KeyError("x"), SystemExit(1), GeneratorExit(), MemoryError()])
def test_anything_else_that_is_raised_is_the_plugins_fault(error):
    def fail():
        raise error

    with pytest.raises(PluginFailed, match=rf"bad: dns_add failed: {type(error).__name__}"):
        add(binding.bind_object(DNS, dns_plugin(fail), "bad"))


def test_no_secret_is_left_in_what_debug_prints():
    def fail():
        try:
            raise ValueError("https://api.example/?key=s3cr3t!")
        except ValueError as error:
            raise RuntimeError("request failed") from error

    bound = binding.bind_object(DNS, dns_plugin(fail), "bad", secrets=["s3cr3t!"])
    with pytest.raises(PluginFailed) as caught:
        add(bound)
    [trace] = caught.value.__notes__
    assert "ValueError" in trace
    assert "s3cr3t!" not in trace
    assert caught.value.__suppress_context__


@pytest.mark.parametrize("value", [False, "ok", 0])
def test_a_status_instead_of_an_exception_is_refused(value):
    bound = binding.bind_object(DNS, dns_plugin(lambda: value), "bad")
    with pytest.raises(PluginFailed, match="its contract says nothing"):
        add(bound)


@pytest.mark.parametrize("value", ["http-01", 7, [1, 2], {"http-01": 1}])
def test_nonsense_instead_of_challenge_types_is_refused(value):
    class Plugin:
        @hookimpl
        def challenge_types(self):
            return value

        @hookimpl
        def challenge_present(self):
            pass

        @hookimpl
        def challenge_cleanup(self):
            pass

    bound = binding.bind_object(CHALLENGE, Plugin(), "bad")
    with pytest.raises(PluginFailed, match="challenge_types returned"):
        bound.hooks.challenge_types()


def test_a_hook_that_hangs(monkeypatch):
    monkeypatch.setenv("PVEFW_PLUGIN_TIMEOUT", "0.1")
    bound = binding.bind_object(DNS, dns_plugin(threading.Event().wait), "slow")
    with pytest.raises(PluginTimeout, match=r"slow: dns_add did not return within 0\.1 seconds"):
        add(bound)


def test_a_timeout_of_the_plugins_own_is_not_taken_for_ours():
    def fail():
        raise TimeoutError("the provider is slow")

    with pytest.raises(PluginFailed, match="TimeoutError: the provider is slow"):
        add(binding.bind_object(DNS, dns_plugin(fail), "bad"))


def test_cancellation_passes_through():
    def cancel():
        raise Cancelled

    with pytest.raises(Cancelled):
        add(binding.bind_object(DNS, dns_plugin(cancel), "dns"))


def test_one_instance_is_never_called_twice_at_once():
    running = threading.Semaphore(1)
    overlaps, begun = [], []

    def begin():
        begun.append(1)
        add(bound)

    def work():
        if not running.acquire(blocking=False):
            overlaps.append(1)
            return
        wait_until(lambda: len(begun) == len(threads), "the others want to call it, too")
        running.release()

    bound = binding.bind_object(DNS, dns_plugin(work), "dns")
    threads = [threading.Thread(target=begin) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not overlaps


def test_an_iterator_that_fails_later_is_guarded_too():
    class Plugin:
        @hookimpl
        def guest_watch(self, timeout):
            yield GuestEvent(100, "running", None)
            raise OSError("connection lost")

        @hookimpl
        def guest_list(self):
            return []

        @hookimpl
        def guest_start(self): ...
        @hookimpl
        def guest_shutdown(self): ...
        @hookimpl
        def guest_stop(self): ...
        @hookimpl
        def guest_migrate(self): ...

    bound = binding.bind_object(GUEST, Plugin(), "hv")
    events = bound.hooks.guest_watch(timeout=1.0)
    assert next(events).vmid == 100
    with pytest.raises(PluginFailed, match="hv: guest_watch failed: OSError: connection lost"):
        next(events)


def test_a_failing_program_becomes_the_providers_error():
    from pvefw.api import run

    bound = binding.bind_object(
        DNS, dns_plugin(lambda: run(["sh", "-c", "echo no such zone >&2; exit 4"])), "sh"
    )
    with pytest.raises(ProviderError, match="sh: sh failed with status 4: no such zone"):
        add(bound)


# --- the command line ---------------------------------------------------------------------------------


def pvefw(*args, timeout=60):
    return subprocess.run(
        [sys.executable, "-m", "pvefw", *args],
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )


HOSTILE = {
    "syntax": "def broken(:",
    "raises": "raise RuntimeError('no')",
    "exits": "import os; os._exit(7)",
    "hangs": "import threading; threading.Event().wait()",
}


def test_hostile_plugins_stop_no_other_command_and_doctor_names_them(install, monkeypatch):
    monkeypatch.setenv("PVEFW_PLUGIN_TIMEOUT", "2")
    install("dns", "good")
    for name, code in HOSTILE.items():
        install("dns", name, code)
    listing = pvefw("plugin", "list", "--family", "dns")
    assert listing.returncode == 0
    assert all(name in listing.stdout for name in HOSTILE)
    shown = pvefw("plugin", "show", "dns", "good")
    assert "token" in shown.stdout
    broken = pvefw("plugin", "show", "dns", "raises")
    assert broken.returncode == 1
    assert "dns/raises (dist-raises 1.5): its import fails: RuntimeError: no" in broken.stderr
    assert "Traceback" not in broken.stderr
    diagnosis = pvefw("plugin", "doctor", timeout=120)
    assert diagnosis.returncode == 1
    for name in HOSTILE:
        assert f"dns/{name} (dist-{name} 1.5): BROKEN" in diagnosis.stdout
    assert "dns/good (dist-good 1.5): ok" in diagnosis.stdout


def test_doctor_advises(install):
    install(
        "dns",
        "sloppy",
        """
        import socket
        from dataclasses import dataclass
        from pvefw.api import hookimpl, setting

        try:
            socket.create_connection(("127.0.0.1", 9), timeout=1)
        except OSError:
            pass

        @dataclass
        class Plugin:
            api_token: str = setting(help="")

            @hookimpl
            def dns_add(self): ...
            @hookimpl
            def dns_remove(self): ...
        """,
        requires=None,
    )
    said = pvefw("plugin", "doctor", "--output-format", "json").stdout
    assert "its import connects to" in said
    assert "the setting api_token has no help" in said
    assert "api_token sounds like a secret" in said
    assert "does not say which plugin API it speaks" in said
