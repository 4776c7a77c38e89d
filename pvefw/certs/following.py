"""Takes over a certificate that nodes share as soon as another node has it in the store.

``pvefw store watch`` does that, in a unit of its own; without it, the timer of ``pvefw renew`` does.
"""

import threading
from collections.abc import Callable, Mapping

from pvefw.certs import renew, timer
from pvefw.core.errors import PvefwError, StoreError
from pvefw.host.clock import Clock
from pvefw.store import joining, units
from pvefw.store.paths import Paths
from pvefw.store.shared import Shared

UNIT = "pvefw-store.service"
_WATCHED = 300.0
"""Seconds after which a watch is begun again."""
_PAUSE = 1.0
"""Seconds: many nodes have something new at once."""
_AGAIN = 10.0
"""Seconds until a store that does not answer is asked again."""
Say = Callable[[str], None]


def follow(paths: Paths, say: Say, echo: Say, clock: Clock) -> None:
    """Wait for what others install, and take it over where it is wanted here, too; for ever.

    :param say: gets a line for each decision, and for what keeps the store from answering.
    :param echo: gets the logs of the tasks that are run.
    :raises ConfigError: no store is chosen.
    """
    store, trouble = joining.chosen(paths), ""
    while True:
        try:
            position = store.listing().position
            store.look(now=True)
            renew.take_over(paths, say, echo, clock)
            trouble = ""
            _wait_for_news(store, position)
        except StoreError as error:
            if error.message != trouble:
                say(error.message)
            trouble = error.message
            clock.wait(threading.Event(), _AGAIN)
        except PvefwError as error:
            say(error.message)
            clock.wait(threading.Event(), _AGAIN)
        clock.wait(threading.Event(), _PAUSE)


def _wait_for_news(store: Shared, position: str) -> None:
    for key in store.watch(position, _WATCHED):
        if not key or key.endswith(".pem"):
            return


def install(paths: Paths, say: Say) -> None:
    """Write the unit, and start it where systemd runs.

    :raises StoreError: it cannot be written.
    :raises ProgramError: systemd rejects it, or cannot be asked.
    """
    made = texts(units.program())
    for target in units.install(paths, made, enable=[UNIT], start=[UNIT]):
        say(f"Wrote {target}")


def texts(program: str) -> Mapping[str, str]:
    """The unit by its name (systemd.service(5)).

    :param program: the command line that runs pvefw.
    """
    text = timer.confined(
        "Take over shared certificates as soon as another node has them",
        f"Type=exec\nExecStart={program} store watch\nRestart=always\nRestartSec=10\n",
    )
    return {UNIT: f"{text}\n[Install]\nWantedBy=multi-user.target\n"}
