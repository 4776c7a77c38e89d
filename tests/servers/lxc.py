"""A private libvirt daemon with LXC containers; it needs root, and control groups of version 1 or 2.

LXC has no session mode: the daemon runs as root, in mount and PID namespaces of its own in which all
that it writes outside of our folder is a file system in memory. It gets the LXC driver only: those for
QEMU and networks would want users and programs that a test machine need not have.
"""

import contextlib
import shutil
import subprocess
import tempfile
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from resources import uses
from waiting import wait_until

from servers.libvirt import accepts
from servers.machines.cache import locked

_INSIDE = """
set -e
for folder in /run /var/log /var/cache /var/lib/libvirt /etc/libvirt; do
    mkdir -p $folder
    mount -t tmpfs tmpfs $folder
done
printf 'security_driver="none"\\n' > /etc/libvirt/lxc.conf
drivers=$(echo /usr/lib/*/libvirt/connection-driver)
mkdir /run/drivers
cp $drivers/libvirt_driver_lxc.so /run/drivers
mount --bind /run/drivers $drivers
# where both versions are mounted, libvirt_lxc trips over the second
umount /sys/fs/cgroup/unified 2>/dev/null || true
LD_PRELOAD="$1/slow.so" PVEFW_SLOW="$1/slow" exec libvirtd -f "$1/libvirtd.conf" -p /run/libvirtd.pid
"""
_SLOW = """
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdlib.h>
#include <unistd.h>

int virNetClientAddProgram(void *client, void *program)
{
    int (*next)(void *, void *) = (int (*)(void *, void *)) dlsym(RTLD_NEXT, "virNetClientAddProgram");
    if (unlink(getenv("PVEFW_SLOW")) == 0)
        usleep(500000);
    return next(client, program);
}
"""
"""Makes the daemon as slow as a busy host now and then does, right where it misses what it is told."""
DOMAIN = """
<domain type='lxc'>
  <name>{name}</name>
  <memory unit='MiB'>64</memory>
  <os><type>exe</type><init>/bin/bash</init><initarg>-c</initarg><initarg>{script}</initarg></os>
  <devices>
    <emulator>/usr/lib/libvirt/libvirt_lxc</emulator>
    <filesystem type='mount'><source dir='/'/><target dir='/'/></filesystem>
    <console type='pty'/>
  </devices>
</domain>
"""
_OBEYS = "trap 'exit 0' TERM; sleep infinity &amp; wait"  # in XML
_DEAF = "trap '' TERM; exec sleep infinity"


@dataclass
class LxcNode:
    """A daemon that runs, and its containers."""

    base: Path
    _connection: Any = field(default=None, repr=False)

    @property
    def uri(self) -> str:
        return f"lxc+unix:///system?socket={self.base}/libvirt-sock"

    @property
    def connection(self) -> Any:
        """A connection for the test itself."""
        import libvirt

        if self._connection is None:
            self._connection = libvirt.open(self.uri)
        return self._connection

    def define(self, name: str, *, deaf: bool = False) -> Any:
        """A container whose init obeys SIGTERM, or ignores it."""
        script = _DEAF if deaf else _OBEYS
        return self.connection.defineXML(DOMAIN.format(name=name, script=script))

    def active(self) -> set[str]:
        """The names of the containers that run."""
        return {domain.name() for domain in self.connection.listAllDomains() if domain.isActive()}

    def miss_an_init(self) -> None:
        """Let the daemon miss which process the init of the next container is."""
        (self.base / "slow").touch()

    def clear(self) -> None:
        """Stop and remove every container."""
        import libvirt

        for domain in self.connection.listAllDomains():
            for act in (domain.destroy, domain.undefine):
                with contextlib.suppress(libvirt.libvirtError):
                    act()


def _remove_control_groups() -> None:
    """Remove those that libvirt made, where no other container needs them."""
    for made in Path("/sys/fs/cgroup").glob("*/machine"):
        for path in sorted((made, *made.glob("**/")), reverse=True):
            with contextlib.suppress(OSError):
                path.rmdir()


@contextlib.contextmanager
@uses("server")
def lxc_node() -> Iterator[LxcNode]:
    """Start a daemon for containers; on one machine there is one at a time.

    In namespaces of their own, two of them may give their containers the same numbers, and with them the
    same control groups: those are the machine's.

    :raises RuntimeError: it ends at once; with its last words.
    """
    with locked("containers"):
        yield from _lxc_node()


def _lxc_node() -> Iterator[LxcNode]:
    base = Path(tempfile.mkdtemp(prefix="lxc-"))  # a socket's path must be short
    (base / "libvirtd.conf").write_text(
        f'host_uuid="{uuid.uuid4()}"\nunix_sock_dir="{base}"\nauth_unix_rw="none"\n'
    )
    (base / "slow.c").write_text(_SLOW)
    compiler = ["cc", "-shared", "-fPIC", "-o", base / "slow.so", base / "slow.c", "-ldl"]
    subprocess.run(compiler, check=True)
    node, log = LxcNode(base), base / "log"
    argv = ["unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"]
    with log.open("wb") as output:
        daemon = subprocess.Popen(
            [*argv, "bash", "-c", _INSIDE, "bash", str(base)],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    try:
        socket = base / "libvirt-sock"
        wait_until(lambda: accepts(socket) or daemon.poll() is not None, "libvirtd for LXC")
        if daemon.poll() is not None:
            raise RuntimeError(f"libvirtd for LXC ended:\n{log.read_text()[-2000:]}")
        yield node
        node.clear()
    finally:
        daemon.kill()
        daemon.wait()
        _remove_control_groups()
        shutil.rmtree(base, ignore_errors=True)
