"""Pins on a host without synced ESPs: the loader that starts it is told itself."""

from collections.abc import Callable

from pvefw.boot import choice, firmware, kernels
from pvefw.boot.context import Context
from pvefw.core.errors import PvefwError, Unsupported
from pvefw.store import files


def change(context: Context, alter: Callable[[], object]) -> None:
    """Choose other kernels, and tell the loader; what it does not do is not kept.

    :param alter: makes the choice, with :mod:`pvefw.boot.choice`.
    :raises PvefwError: it cannot be chosen, or the loader cannot do it.
    """
    before = {path: files.read_if_exists(path) for path in choice.pins(context.paths)}
    try:
        alter()
        select(context)
    except PvefwError:
        for path, data in before.items():
            files.remove(path) if data is None else files.replace(path, data)
        raise


def select(context: Context) -> str:
    """Tell the loader of this host which kernel to boot by default, and which one once.

    :returns: the loader's name.
    :raises Unsupported: no installed loader starts this host.
    :raises ProviderError: the loader cannot do it.
    """
    choice.settle(context.paths)
    chosen = choice.load(context.paths)
    default, next_boot = _installed(context, chosen.pinned), _installed(context, chosen.next_boot)
    reasons = []
    for name in _candidates(context):
        loader = context.loaders.get(name)
        try:
            loader.hooks.boot_select(
                default=default, next_boot=next_boot, root=context.paths.root, task=context.task
            )
        except Unsupported as error:
            reasons.append(error.message)
            continue
        context.task.log(
            f"{name}: default {default or 'as it chooses'}, once {next_boot or 'none'}"
        )
        return name
    raise Unsupported(
        "no ESP is configured, and no installed boot loader starts this host by itself"
        + (f": {'; '.join(reasons)}" if reasons else ""),
        hint="Set up an ESP: pvefw boot init PARTITION",
    )


def _candidates(context: Context) -> list[str]:
    """The loaders that may be told: where it is known what starts this host, that one only.

    :raises Unsupported: it cannot be told.
    """
    able = [
        name
        for name, loader in context.loaders.bound.items()
        if "boot_select" in loader.implemented
    ]
    started = firmware.detect(context.paths).loader
    if started and started in context.loaders.bound and started not in able:
        raise Unsupported(
            f"no ESPs are managed, and this host is started by {started}: it is set on ESPs only",
            hint="Set up its ESP: pvefw boot init PARTITION. See: pvefw boot loader",
        )
    return [name for name in able if name == started] or able


def _installed(context: Context, version: str | None) -> str | None:
    """A pinned kernel, unless it is gone: the loader could not find it, and would refuse all the rest."""
    if version and version not in kernels.installed(context.paths).versions:
        context.task.warn(f"kernel {version} is pinned, but it is not installed")
        return None
    return version
