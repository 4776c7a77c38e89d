"""Tasks that are interrupted, hung up, or outlived by their threads: they clean up and say their end."""

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time

import pexpect
import pytest
from shifted_clock import needs_the_machines_clock
from waiting import is_asleep, wait_until

from pvefw.core.errors import Cancelled
from pvefw.tasks import history, interruption
from pvefw.tasks.history import Filter
from pvefw.tasks.interruption import interruptible
from pvefw.tasks.task import run_task

CLEANS_UP = """
    try:
        with run_task(paths, "x", echo=echo) as task:
            try:
                task.log("working")
                task.wait(30)
            finally:
                task.log("cleaning up")
                task.log("cleaned up")
    except Cancelled:
        print("cancelled", flush=True)
    """


def the_task(paths):
    [found] = history.tasks(paths, Filter(source="all"))
    return found, list(history.log(paths, found.upid))


def test_control_c_at_a_terminal(command, paths):
    asks = CLEANS_UP.replace('task.log("cleaned', 'sys.stdin.readline(); task.log("cleaned')
    terminal = pexpect.spawn(*command(asks), encoding="utf-8", timeout=10)
    terminal.expect_exact("working")
    terminal.sendintr()
    terminal.expect_exact("cleaning up")
    terminal.sendintr()
    terminal.expect_exact("Still cleaning up, please wait")
    terminal.sendintr()
    terminal.sendline("go on")
    terminal.expect_exact("cancelled")
    terminal.expect(pexpect.EOF)
    assert terminal.wait() == 0
    _, log = the_task(paths)
    assert log == [
        "working",
        "cleaning up",
        "Still cleaning up, please wait",  # once, however often it was pressed
        "cleaned up",
        "TASK ERROR: interrupted by signal",
    ]


def test_a_terminal_that_hangs_up_does_not_stop_the_clean_up(command, paths):
    terminal = pexpect.spawn(*command(CLEANS_UP), encoding="utf-8", timeout=10)
    terminal.expect_exact("working")
    os.close(terminal.child_fd)  # SIGHUP; from now on, writing to the terminal is an error
    os.waitpid(terminal.pid, 0)
    terminal.terminated = True
    terminal.closed = True
    _, log = the_task(paths)
    assert log[1:] == ["cleaning up", "cleaned up", "TASK ERROR: interrupted by signal"]


def test_nobody_reads_the_output_any_more(program, paths):
    process = program(
        """
        with run_task(paths, "x", echo=echo) as task:
            task.log("first")
            sys.stdin.readline()
            task.log("second")
            task.log("third")
        """,
        stdin=subprocess.PIPE,
    )
    assert process.stdout.readline() == "first\n"
    process.stdout.close()
    process.stdin.write("go on\n")
    process.stdin.close()
    process.wait(10)
    _, log = the_task(paths)
    assert log == ["first", "second", "third", "TASK OK"]


def test_signals_that_are_ignored_stay_ignored(program, paths):
    process = program(
        """
        import signal
        signal.signal(signal.SIGHUP, signal.SIG_IGN)  # as nohup(1) does
        with run_task(paths, "x", echo=echo) as task:
            task.log("working")
            sys.stdin.readline()
        """,
        stdin=subprocess.PIPE,
    )
    assert process.stdout.readline() == "working\n"
    process.send_signal(signal.SIGHUP)
    process.communicate("go on\n", timeout=10)
    assert process.returncode == 0
    assert the_task(paths)[0].status == "OK"


@pytest.mark.parametrize("busy", ["task.log('busy')", "task.wait(0.0001)"])
def test_a_shower_of_signals_never_locks_up(program, paths, busy):
    process = program(
        f"""
        try:
            with run_task(paths, "x", echo=echo) as task:
                try:
                    task.log("working")
                    while True:
                        {busy}
                finally:
                    nobody_hurries = threading.Event()
                    for _ in range(300):
                        task.log("cleaning up")
                        nobody_hurries.wait(0.0005)
        except Cancelled:
            print("cancelled", flush=True)
        """
    )
    drained = []
    reader = threading.Thread(target=lambda: drained.append(process.stdout.read()))
    assert process.stdout.readline() == "working\n"
    reader.start()
    # not one that comes when the task has ended: that may end the program
    log = next(paths.task_dir.glob("?/UPID:*"))
    while not log.read_text().endswith("by signal\n") and log.read_text().count("cleaning") < 200:
        process.send_signal(signal.SIGTERM)
        reader.join(0.001)
    reader.join(20)
    assert drained, "the program hangs"
    assert drained[0].endswith("cancelled\n")
    assert the_task(paths)[1].count("cleaning up") == 300
    assert "Traceback" not in drained[0]
    assert process.wait(10) == 0


def test_what_is_logged_after_the_end_goes_nowhere(paths):
    heard = []
    with run_task(paths, "x", echo=heard.append) as task:
        task.log("in time")
    with (paths.root / "other").open("w") as other:  # it may get the descriptor of the log
        task.log("too late")
        task.warn("too late")
    assert (paths.root / "other").read_text() == ""
    assert other.closed
    assert heard == ["in time"]
    assert the_task(paths)[1] == ["in time", "TASK OK"]


def test_threads_that_are_left_behind_are_told_to_end(paths):
    ended = threading.Event()

    def hook(task):
        with contextlib.suppress(BaseException):
            task.wait(60)
        ended.set()

    with run_task(paths, "x") as task:
        threading.Thread(target=hook, args=(task,), daemon=True).start()
    assert ended.wait(10)


def test_a_task_outside_the_main_thread_leaves_signals_alone(paths):
    before = signal.getsignal(signal.SIGINT)
    seen = []

    def work():
        with run_task(paths, "x") as task:
            seen.append(signal.getsignal(signal.SIGINT))
            task.log("working")

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [before]
    assert the_task(paths)[0].status == "OK"


def test_a_killed_task_that_its_parent_has_not_noticed(program, paths):
    """A zombie still has its pid and its start time, but it does not run."""
    process = program(CLEANS_UP)
    assert process.stdout.readline() == "working\n"
    os.kill(process.pid, signal.SIGKILL)  # and no wait() yet
    [task] = history.tasks(paths, Filter(source="active"))
    wait_until(
        lambda: history.state(history.status(paths, task.upid)) == "UNKNOWN", "it still runs"
    )
    assert history.status(paths, task.upid).status == "unexpected status"


# --- wherever a signal finds the main thread ---------------------------------------------------------


def test_a_signal_leaves_no_lock_of_the_standard_library_taken():
    """Hundreds of signals, each at another moment of a wait that is almost only taking locks."""
    needs_the_machines_clock("this hangs under libfaketime; why is not known")
    main = threading.get_ident()
    for number in range(400):
        event, cancelled = threading.Event(), threading.Event()
        event.set()

        def send(spin=number):
            for _ in range(spin):
                pass
            signal.pthread_kill(main, signal.SIGINT)

        sender = threading.Thread(target=send)
        with pytest.raises(Cancelled), interruptible(cancelled.set, lambda: None):
            sender.start()
            deadline = time.monotonic() + 10
            while time.monotonic() < deadline:
                event.wait()
        sender.join()
        assert cancelled.is_set()
        assert not event._cond._lock.locked()


def test_a_signal_without_effect_is_sent_again(monkeypatch):
    """The first one finds the main thread where nothing may be raised, and nobody sends a second."""
    answers = iter([False, False, True])
    seen = []

    def is_safe(frame):
        seen.append(frame)
        return next(answers)

    monkeypatch.setattr(interruption, "_is_safe", is_safe)
    with pytest.raises(Cancelled), interruptible(lambda: None, lambda: None):
        signal.raise_signal(signal.SIGINT)
        threading.Event().wait()
    assert len(seen) == 3


def test_the_next_signal_is_answered_wherever_the_main_thread_is(monkeypatch):
    """It raises nothing, so there is no place where it would be lost."""
    answers = iter([False, True])
    monkeypatch.setattr(interruption, "_is_safe", lambda _frame: next(answers, False))
    said, heard = [], threading.Event()

    def cancel():
        said.append("cancelled")

    def repeated():
        said.append("answered")
        heard.set()

    with pytest.raises(Cancelled), interruptible(cancel, repeated):
        try:
            signal.raise_signal(signal.SIGINT)
            threading.Event().wait()
        finally:
            assert said == ["cancelled"]  # that it had to be sent again makes no second one of it
            for _ in range(2):
                signal.raise_signal(signal.SIGINT)
            assert heard.wait(60)
    assert said == ["cancelled", "answered"]


def test_asleep_it_is_safe_and_while_it_takes_a_lock_it_is_not():
    frames, asleep = [], []
    before = signal.signal(
        signal.SIGUSR1, lambda _number, frame: asleep.append(interruption._is_safe(frame))
    )
    main, never = threading.current_thread(), threading.Event()

    def send():
        wait_until(lambda: is_asleep(main), "the main thread waits")
        signal.pthread_kill(main.ident, signal.SIGUSR1)

    try:
        threading.Thread(target=send).start()
        while not asleep:
            never.wait(0.5)
    finally:
        signal.signal(signal.SIGUSR1, before)
    assert asleep == [True]

    class Lock:
        """Tells from which frame it was taken."""

        def acquire(self, *_):
            frames.append(sys._getframe(1))

        def release(self):
            pass

    threading.Condition(Lock()).acquire()
    threading.Condition(Lock())._acquire_restore(None)
    assert not interruption._is_safe(frames[-1])
