"""The boot-loader family: what lies on an ESP so that the host starts from it.

Core chooses the kernels, mounts the ESPs, compares, copies, syncs, prunes and unmounts. A plugin says
what its loader wants to find there.
"""

from collections.abc import Sequence

from pvefw.hookspecs import Family, optional, required
from pvefw.model import BootPlan, BootState, BootTree, Esp, Firmware, Task


class BootloaderSpec:
    """Knows one boot loader. `examples/bootloader_minimal` is a complete plugin."""

    @required
    def boot_firmware(self) -> Sequence[Firmware]:  # type: ignore[empty-body]
        """The kinds of firmware that this loader can be started by."""

    @required
    def boot_probe(self, esp: Esp) -> BootState | None:
        """Look whether this loader is on the ESP. Read-only.

        :param esp: mounted, perhaps read-only.
        :returns: what was found, or ``None`` where the loader is not installed there.
        :raises ProviderError: when the ESP cannot be read.
        """

    @required
    def boot_install(self, esp: Esp, firmware: Firmware, task: Task) -> None:
        """Put the loader's own binary on the ESP (or in front of it) and register it.

        Called by ``boot init`` and ``boot reinit``, before the first :meth:`boot_render`.

        :param esp: mounted and writable.
        :param firmware: one of :meth:`boot_firmware`.
        :param task: for messages and cancellation.
        :raises Unsupported: on this machine the loader cannot be installed.
        :raises ProviderError: anything else, with the failing program's last words.
        """

    @required
    def boot_render(self, esp: Esp, plan: BootPlan) -> BootTree:  # type: ignore[empty-body]
        """Every file that the loader wants on this ESP for this plan.

        Pure: it reads neither clock nor ESP and writes nothing; the same arguments give the same tree.

        :param esp: which ESP; only its ``uuid`` may decide anything.
        :param plan: the same for every ESP.
        :returns: kernels to copy, configuration to write, and what core may delete.
        :raises ProviderError: when the plan cannot be expressed for this loader.
        """

    @optional
    def boot_arm(self, esp: Esp, plan: BootPlan, task: Task) -> None:
        """Arrange for ``plan.next_boot`` to be booted once, or undo that where it is ``None``.

        Called after the tree is in place. A loader that falls back by itself (an EFI variable, boot
        counting, a saved entry that is cleared first) does it here; without this hook the loader's
        rendered configuration must do it.

        :param esp: mounted and writable.
        :param plan: as for :meth:`boot_render`.
        :param task: for messages and cancellation.
        :raises ProviderError: when it cannot be arranged; the default entry is unharmed.
        """


BOOTLOADER = Family("bootloader", BootloaderSpec)
