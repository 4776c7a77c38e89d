"""What the scheduler itself costs: guests that start and stop in no time.

Usage: python bench/guest_scheduler.py [GUESTS …]; prints milliseconds for each guest, the best of three,
for the state machine alone and with its worker threads.
"""

import sys
import time

from pvefw.core.model import Guest, GuestState
from pvefw.guests import plan
from pvefw.guests.plan import Listed, StopOptions
from pvefw.guests.runner import Runner
from pvefw.guests.scheduler import Scheduler
from pvefw.guests.simulation import simulate
from pvefw.host.clock import SystemClock
from pvefw.store.guest_reference import Reference

WORKERS = 8


def listed(count, state):
    """Guests in ten groups, every tenth after the one before it."""
    return [
        Listed(
            Reference(vmid),
            Guest(
                vmid=vmid,
                name="",
                kind="vm",
                state=state,
                onboot=True,
                order=vmid % 10,
                up=0,
                after=(vmid - 10,) if vmid % 10 == 0 and vmid >= 110 else (),
            ),
        )
        for vmid in range(100, 100 + count)
    ]


def alone(jobs):
    simulate(Scheduler(jobs, WORKERS), lambda _step: (0.0, None))


def threaded(jobs):
    Runner(Scheduler(jobs, WORKERS), lambda _step: None, SystemClock()).run()


def best(function, *arguments):
    times = []
    for _ in range(3):
        begin = time.perf_counter()
        function(*arguments)
        times.append(time.perf_counter() - begin)
    return min(times)


def main():
    counts = [int(argument) for argument in sys.argv[1:]] or [100, 1000, 10_000]
    print("guests  plan  start: machine  threads  stop: machine  threads   (ms a guest)")
    for count in counts:
        stopped, running = (
            listed(count, state) for state in (GuestState.STOPPED, GuestState.RUNNING)
        )
        start, stop = plan.to_start(stopped), plan.to_stop(running, None, StopOptions())
        figures = [
            best(plan.to_start, stopped),
            *(best(how, jobs) for jobs in (start, stop) for how in (alone, threaded)),
        ]
        print(f"{count:6}  " + "  ".join(f"{1000 * figure / count:10.4f}" for figure in figures))


if __name__ == "__main__":
    main()
