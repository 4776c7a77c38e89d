"""What needs one worker for itself gets it: the marks ``xdist_group`` are heeded.

pytest and pytest-xdist have parted ways over this once, without a word; the suite then only took longer,
and tests of one machine ran side by side.
"""

import subprocess
import sys

TESTS = """
import pytest

@pytest.mark.xdist_group("{group}")
@pytest.mark.parametrize("number", range(4))
def test_together(number, worker_id):
    with open("{log}", "a") as file:
        file.write(worker_id + "\\n")
"""


def test_a_group_stays_on_one_worker(tmp_path):
    """Two files of one group, on two workers."""
    log = tmp_path / "log"
    for name in ("one", "other"):
        path = tmp_path / f"test_{name}.py"
        path.write_text(TESTS.format(group="together", log=log))
    pytest = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "--rootdir", tmp_path]
    done = subprocess.run(
        [*pytest, "-n", "2", "--dist", "loadgroup", tmp_path],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    workers = log.read_text().split()
    assert len(workers) == 8
    assert len(set(workers)) == 1, "this pytest and this xdist do not heed groups"
