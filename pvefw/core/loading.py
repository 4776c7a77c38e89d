"""Loads the object of one entry point, whatever its import does."""

import contextlib
import os
import threading
from collections.abc import Iterator
from functools import partial
from typing import NoReturn

from pvefw.core import metadata
from pvefw.core.errors import Cancelled, PluginBroken
from pvefw.core.guard import in_words, time_limit
from pvefw.host import concurrency

IMPORT_SECONDS = 20.0


def load(point: metadata.EntryPoint, who: str) -> object:
    """Import what an entry point names.

    :param who: for messages: ``dns/ovh (pvefw-acme-dns-ovh 1.0.0)``.
    :raises PluginBroken: it is made for another pvefw, or its import fails in whatever way.
    """
    problem = metadata.problem(point.distribution)
    if problem:
        raise PluginBroken(
            f"{who}: {problem}",
            plugin=_name(point),
            hint=f"Install a release of {point.distribution.name} for this pvefw, or upgrade pvefw.",
        )
    try:
        return concurrency.call_within(partial(_import, point), time_limit(IMPORT_SECONDS), who)
    except (Cancelled, KeyboardInterrupt):
        raise
    except concurrency.DidNotReturn as error:
        raise broken(point, who, "its import does not end") from error
    except BaseException as error:
        raise broken(point, who, f"its import fails: {in_words(error)}") from error


def broken(point: metadata.EntryPoint, who: str, why: str, hint: str = "") -> PluginBroken:
    """The error for an entry point's object that cannot be used."""
    advice = f"Fix or upgrade {point.distribution.name}; `pvefw plugin doctor` says more."
    return PluginBroken(
        f"{who}: {why}", plugin=_name(point), hint=f"{hint} {advice}" if hint else advice
    )


def _name(point: metadata.EntryPoint) -> str:
    return f"{point.group.rpartition('.')[2]}/{point.name}"


@contextlib.contextmanager
def _stays_alive() -> Iterator[None]:
    """Let this thread's ``os._exit`` raise.

    A plugin that ends the process at its import would end every command that looks at all plugins of a
    family, without a word about who it was.
    """
    end, process, thread = os._exit, os.getpid(), threading.get_ident()

    def refuse(status: int) -> NoReturn:
        if (os.getpid(), threading.get_ident()) != (process, thread):
            end(status)
        raise SystemExit(f"os._exit({status})")

    os._exit = refuse
    try:
        yield
    finally:
        os._exit = end


def _import(point: metadata.EntryPoint) -> object:
    from importlib.metadata import EntryPoint

    from stevedore import DriverManager

    class OneDriver(DriverManager[object]):
        """Takes the entry point that was found.

        stevedore's own list comes from a cache on disk, whose time stamps are rounded to 128 s: a plugin
        that was just replaced would be missed.
        """

        def list_entry_points(self) -> list[EntryPoint]:
            return [EntryPoint(point.name, point.value, point.group)]

    with _stays_alive():
        return OneDriver(point.group, point.name).driver
