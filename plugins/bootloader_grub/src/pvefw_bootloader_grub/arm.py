"""A kernel that is booted once: ``next_entry`` in the environment block of an ESP."""

from pvefw.api import BootPlan, Esp, ProviderError, Task
from pvefw_bootloader_grub import defaults, grubenv
from pvefw_bootloader_grub.render import ENVIRONMENT, menu_of


def arm(esp: Esp, plan: BootPlan, task: Task) -> None:
    """See :meth:`BootloaderSpec.boot_arm`."""
    path = esp.mountpoint / ENVIRONMENT
    entry = None
    if plan.next_boot is not None:
        settings, _ = defaults.read(plan.root)
        entry = menu_of(plan, settings).ordinary(plan.next_boot)
        if entry is None:
            raise ProviderError(f"{plan.next_boot}: the menu has no such kernel")
        task.log(f"{esp.uuid}: GRUB boots {plan.next_boot} once")
    if entry != (grubenv.read(path) or {}).get("next_entry"):
        grubenv.update(path, {"next_entry": entry})
