"""What CI runs stops where a cheap stage fails, says which, and ends with pytest's closing lines."""

import shutil
import subprocess

import pytest
from environments import ROOT

PASSED = "=== 3 passed in 0.10s ==="
FAILED = "=== 1 failed, 2 passed in 0.20s ==="
MAKEFILE = """
check:
	@echo checks
	@{check}
quick:
	@echo '{quick}'
	@{status}
test:
	@printf '%s\\n' {test}
	@{status}
test-anywhere:
	@echo '{later}'
	@{days}
"""
LATER = "=== 4 passed in 0.30s ==="


def run(tmp_path, *, check="true", status="true", quick=PASSED, test=(PASSED,), days="true"):
    (tmp_path / ".ci").mkdir()
    shutil.copy(ROOT / ".ci/run", tmp_path / ".ci/run")
    lines = " ".join(f"'{word}'" for word in test)
    text = MAKEFILE.format(
        check=check, status=status, quick=quick, test=lines, later=LATER, days=days
    )
    (tmp_path / "Makefile").write_text(text)
    done = subprocess.run([tmp_path / ".ci/run"], capture_output=True, text=True, check=False)
    return done.returncode, done.stdout.splitlines()


def test_all_is_well(tmp_path):
    status, said = run(tmp_path, test=["tests", PASSED])
    assert status == 0
    assert said[-2:] == [PASSED, LATER]


def test_what_fails_on_another_day_is_a_failure(tmp_path):
    status, said = run(tmp_path, days="false")
    assert status != 0
    assert said[-1] == LATER


def test_after_a_failed_check_only_quick_tests_are_run(tmp_path):
    status, said = run(tmp_path, check="false", quick=PASSED)
    assert status != 0
    assert said[-2:] == ["Stage check failed; not run: servers, machines", PASSED]


def test_a_failed_stage_is_named_before_the_closing_lines(tmp_path):
    sentence = "Stage servers failed; not run: machines"
    status, said = run(tmp_path, status="false", test=["x", sentence, PASSED, FAILED])
    assert status != 0
    assert said[-3:] == [sentence, PASSED, FAILED]


@pytest.mark.parametrize("check", ["true", "false"])
def test_tests_that_fail_are_a_failure(tmp_path, check):
    told = ["Stage quick failed; not run: servers, machines", FAILED]
    status, said = run(tmp_path, check=check, status="false", quick=FAILED, test=told)
    assert status != 0
    assert said[-1] == FAILED
