"""Bulk suspension where the backend cannot do it."""


def test_a_backend_that_cannot_suspend_is_said_and_nothing_happens(farm):
    farm.guest(100, state="running")
    said = farm.fail("suspendall")
    assert "100 blocked: farm can neither suspend nor resume guests" in said
    assert farm.state(100) == "running"
    farm.guest(101, state="paused")
    assert "101 blocked: farm can neither" in farm.fail("resumeall")


def test_a_shutdown_that_may_suspend_shuts_down_what_it_cannot_suspend(farm):
    farm.guest(100, state="running")
    assert farm.run("shutdown-guests", "--suspend").endswith("Task OK\n")
    assert farm.state(100) == "stopped"
