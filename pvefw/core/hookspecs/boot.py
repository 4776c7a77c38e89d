"""The boot-loader family: what lies on an ESP so that the host starts from it.

Core chooses the kernels, mounts the ESPs, compares, copies, syncs, prunes and unmounts. A plugin says
what its loader wants to find there.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath

from pvefw.core.hookspecs import optional, required
from pvefw.core.model import BootPlan, BootState, BootTree, Esp, Firmware, Task


class BootloaderSpec:
    """Knows one boot loader. `examples/bootloader_minimal` is a complete plugin."""

    @required
    def boot_firmware(self) -> Sequence[Firmware]:
        """The kinds of firmware that this loader can be started by, on any machine.

        Never called twice at once on an instance. It may take 600 seconds. Since 1.0.
        """

    @required
    def boot_probe(self, esp: Esp) -> BootState | None:
        """Look whether this loader is on the ESP. Read-only.

        Never called twice at once on an instance. It may take 600 seconds. Since 1.0.

        :param esp: mounted, perhaps read-only.
        :returns: what was found, or ``None`` where the loader is not installed there.
        :raises ProviderError: when the ESP cannot be read.
        """

    @required
    def boot_install(self, esp: Esp, firmware: Firmware, task: Task) -> None:
        """Put the loader's own binary on the ESP (or in front of it) and register it.

        Called by ``boot init`` and ``boot reinit``, before the first :meth:`boot_render`, once for each
        kind of firmware that can start this disk: UEFI, and BIOS where the disk has a place for it.

        The ESP is shared: everything that is not this loader's own stays, ``EFI/BOOT`` included, where
        another loader may be already. A second call leaves what the first one left. After ``boot reinit``
        what :meth:`boot_render` put there before must still boot.

        Never called twice at once on an instance. It may take 600 seconds. Since 1.0.

        :param esp: mounted and writable.
        :param firmware: one of :meth:`boot_firmware`; it need not be the one this host runs under.
        :param task: for messages and cancellation.
        :raises Unsupported: on this machine the loader cannot be installed.
        :raises ProviderError: anything else, with the failing program's last words.
        """

    @required
    def boot_render(self, esp: Esp, plan: BootPlan) -> BootTree:
        """Every file that the loader wants on this ESP for this plan.

        It reads at most the host's configuration below ``plan.root``, neither clock nor ESP, and writes
        nothing: as long as the configuration is the same, the same arguments give the same tree.

        Never called twice at once on an instance. It may take 600 seconds. Since 1.0.

        :param esp: which ESP, perhaps not mounted; only its ``uuid`` may decide anything.
        :param plan: the same for every ESP.
        :returns: kernels to copy, configuration to write, and what core may delete. Wherever core is
            stopped while it brings an ESP from the tree before to this one (see
            :class:`~pvefw.core.model.BootTree` for the order), some kernel boots.
        :raises ProviderError: when the plan cannot be expressed for this loader.
        """

    @optional
    def boot_arm(self, esp: Esp, plan: BootPlan, task: Task) -> None:
        """Arrange for ``plan.next_boot`` to be booted once, or undo that where it is ``None``.

        Where nothing is armed and ``plan.next_boot`` is ``None`` there is nothing to do, and no error.

        Called after the tree is in place, wherever :meth:`boot_probe` finds another ``next_boot`` than
        the plan's; since 1.1 also where it finds itself ``overruled``, and the plan is ``pinned`` or to
        ``take_over``: what overrules is to be taken away then. A loader that falls back by itself (an
        EFI variable, boot counting, a saved entry that is cleared before the kernel starts) does it
        here; without this hook the loader's rendered configuration must do it. Core forgets
        ``plan.next_boot`` as soon as the host has been started again, whichever kernel came up.

        A loader that can boot nothing once implements this hook and raises Unsupported: core reports
        that, and the default boots. It must not render ``next_boot`` as a default: nobody would undo it.

        Never called twice at once on an instance. It may take 600 seconds. Since 1.0.

        :param esp: mounted and writable.
        :param plan: as for :meth:`boot_render`.
        :param task: for messages and cancellation.
        :raises Unsupported: this loader cannot boot an entry once; nothing was changed.
        :raises ProviderError: when it cannot be arranged; the default entry is unharmed.
        """

    @optional
    def boot_files(self, esp: Esp) -> Mapping[PurePosixPath, Path]:
        """The loader's own files on this ESP, and what this host's packages have of them now. Since 1.1.

        Core compares them by content: an ESP with others is out of date, and a refresh replaces them
        after the kernels and the configuration, folder after folder, each durably before the next. The
        old ones are put back where :meth:`boot_probe` does not find the loader and its kernels with the
        new ones. EFI/BOOT/BOOTX64.EFI is one of them only where what is in it is this loader: another's
        would be replaced.

        Never called twice at once on an instance. It may take 600 seconds.

        :param esp: mounted, perhaps read-only; :meth:`boot_probe` finds the loader on it.
        :returns: target on the ESP to file of the host; nothing for what no package of this host has.
        :raises ProviderError: when the ESP cannot be read.
        """

    @optional
    def boot_update(self, esp: Esp, firmware: Sequence[Firmware], task: Task) -> None:
        """Replace the loader's own files, where copies of :meth:`boot_files` do not do. Since 1.1.

        For loaders whose image is made on the host, for this disk. The firmware's boot entries are not
        touched. Another system's loader in EFI/BOOT need not be kept: core puts it back.

        Never called twice at once on an instance. It may take 600 seconds.

        :param esp: mounted and writable.
        :param firmware: the kinds that :meth:`boot_probe` has found the loader for.
        :param task: for messages and cancellation.
        :raises ProviderError: with the failing program's last words.
        """

    @optional
    def boot_select(
        self, default: str | None, next_boot: str | None, root: Path, task: Task
    ) -> None:
        """Choose kernels on a host without synced ESPs, in the loader's own configuration.

        Never called twice at once on an instance. It may take 600 seconds. Since 1.0.

        :param default: the version to boot from now on; ``None`` for what the loader chooses by itself.
        :param next_boot: the version to boot once; ``None`` for none.
        :param root: below which the host's own files lie (``/`` but for tests).
        :param task: for messages and cancellation.
        :raises Unsupported: this host is not started by this loader.
        :raises ProviderError: it could not be chosen; what was chosen before still is.
        """
