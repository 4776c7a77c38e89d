"""A Linux that does nothing but run QEMU's guest agent; it does not know what a power button is."""

import functools
from pathlib import Path

from servers.machines.kernels import ALL_SAID, KERNEL_SILENT, Kernel, boot_kernels, initrd

COMMAND_LINE = "console=ttyS0 quiet panic=-1"
SAYS = "asked by the agent to shut down"
"""What its console has when it was."""
_AGENT = Path("/usr/sbin/qemu-ga")
_SHUTDOWN = f"""#!/bin/sh
{KERNEL_SILENT}
echo "{SAYS}" >/dev/console
{ALL_SAID.format("/dev/console")}
poweroff -f
"""
_INIT = f"""#!/bin/busybox sh
/bin/busybox --install -s /bin
export PATH=/bin:/usr/sbin
mount -t devtmpfs dev /dev
mount -t proc proc /proc
mount -t sysfs sys /sys
while read module; do insmod $module; done < /modules
mkdir -p /sbin /var/run
cat >/sbin/shutdown <<'END'
{_SHUTDOWN}END
chmod +x /sbin/shutdown
until grep -l org.qemu.guest_agent.0 /sys/class/virtio-ports/*/name > /port; do sleep 0.1; done
exec qemu-ga -m virtio-serial -p /dev/$(basename $(dirname $(cat /port))) -t /var/run
"""


@functools.cache
def system() -> tuple[Kernel, Path]:
    """Its kernel and initrd."""
    kernel = boot_kernels()[-1]
    return kernel, initrd(_INIT, kernel, ["virtio_pci", "virtio_console"], [_AGENT])
