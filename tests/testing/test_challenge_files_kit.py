"""The challenge kit on plugins that write files: a good one passes, each seeded bug is caught."""

from dataclasses import dataclass
from pathlib import Path

import pytest

from pvefw.api import ProviderError, hookimpl, remove_file, replace_file, setting
from pvefw.core import binding
from pvefw.core.families import CHALLENGE
from pvefw.testing.challenge import ChallengeConformance
from pvefw.testing.fakes import FakeTask

KEY = b"-----BEGIN PRIVATE KEY-----\n"


@dataclass
class Good:
    """Writes a key for each token, as a certificate for tls-alpn-01 has one."""

    folder: Path = setting(help="Where the server looks.")
    mode = 0o600

    @hookimpl
    def challenge_types(self):
        return ["http-01"]

    @hookimpl
    def challenge_present(self, challenges, task):
        for challenge in challenges:
            try:
                replace_file(self.folder / challenge.token, KEY, mode=self.mode)
            except OSError as error:
                self.fail(error, task)

    def fail(self, error, task):
        raise ProviderError(str(error))

    @hookimpl
    def challenge_cleanup(self, challenges):
        for challenge in challenges:
            remove_file(self.folder / challenge.token)


class Swallows(Good):
    def fail(self, error, task):
        task.log(str(error))


class Fails(Good):
    def fail(self, error, task):
        raise error


class Readable(Good):
    mode = 0o644


class KeepsCopies(Good):
    @hookimpl
    def challenge_present(self, challenges, task):
        super().challenge_present(challenges, task)
        for challenge in challenges:
            replace_file(self.folder / "old" / challenge.token, KEY, mode=0o600)


TESTS = (
    "test_what_cannot_be_presented_is_an_error",
    "test_private_keys_are_private",
    "test_clean_up_leaves_no_file",
)


def run(name, plugin, scratch):
    kit, task = ChallengeConformance(), FakeTask()
    hooks = binding.bind_object(CHALLENGE, plugin, "it").hooks
    test = getattr(kit, name)
    known = {"plugin": plugin, "hooks": hooks, "task": task}
    known |= {"broken_plugin": None, "tmp_path": scratch}
    names = test.__func__.__code__.co_varnames[1 : test.__func__.__code__.co_argcount]
    test(**{word: known[word] for word in names})


@pytest.fixture
def folder(tmp_path):
    made = tmp_path / "answers"
    made.mkdir()
    return made


@pytest.mark.parametrize("name", TESTS)
def test_a_good_plugin_passes(name, folder, tmp_path):
    run(name, Good(folder), tmp_path)


@pytest.mark.parametrize(
    ("bug", "name", "sentence"),
    [
        (Swallows, TESTS[0], "returns as if all were well"),
        (Fails, TESTS[0], "catch OSError"),
        (Readable, TESTS[1], "mode=0o600"),
        (KeepsCopies, TESTS[2], "remove every file that challenge_present has written"),
    ],
)
def test_each_seeded_bug_is_caught_with_a_sentence(bug, name, sentence, folder, tmp_path):
    with pytest.raises(AssertionError, match=sentence.replace("(", "\\(")):
        run(name, bug(folder), tmp_path)
