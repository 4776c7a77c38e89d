"""Where everything lies, for one node below one root."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from pvefw.core.errors import UsageError

STORE_CFG = "etc/pvefw/store.cfg"
STORE_COPY = "var/lib/pvefw/store"
STAGED = ".pvefw-new"
"""What the names of a pair's new files end with until both are complete."""
ORDERED = ".pvefw-order"
"""What the name of a key ends with until the certificate is there that was ordered with it."""
_NODE = re.compile(r"[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?")
"""As in the ids of tasks: one with another name would be read by nobody."""
_LONGEST = 63
"""Characters of a host name (RFC 1123 section 2.1)."""


class CertificateFiles(NamedTuple):
    """Where one certificate is kept, and what is remembered of it."""

    certificate: Path
    """PEM: the leaf, then its chain."""
    key: Path
    order: Path
    """Where an order is recorded until its certificate is installed."""
    told: Path
    """Which observers have been told of which certificate."""
    served: Path
    """Where something else was seen than what is installed, and when somebody was told."""


@dataclass(frozen=True)
class Paths:
    """The files of the node ``node`` in the tree below ``root``.

    :raises UsageError: it is not the name of a node. Names become parts of paths.
    """

    root: Path
    node: str

    def __post_init__(self) -> None:
        _check_node(self.node)

    def below(self, absolute: str) -> Path:
        """A host path (``/etc/kernel/cmdline``) as it lies below the root."""
        return self.root / absolute.lstrip("/")

    # the cluster's files

    @property
    def etc_pve(self) -> Path:
        """Proxmox VE's configuration; on its nodes pmxcfs, the same on all of them."""
        return self.below("etc/pve")

    @property
    def nodes(self) -> Path:
        """A directory for each node of the cluster."""
        return self.etc_pve / "nodes"

    @property
    def datacenter_cfg(self) -> Path:
        """The cluster's settings; ``max_workers`` is read."""
        return self.etc_pve / "datacenter.cfg"

    @property
    def storage_cfg(self) -> Path:
        """Proxmox VE's storages; those of Proxmox Backup Server may have a fingerprint."""
        return self.etc_pve / "storage.cfg"

    @property
    def cluster_pvefw_cfg(self) -> Path:
        """What Proxmox VE's parsers would refuse: defaults for all nodes, guest backends, observers."""
        return self.etc_pve / "pvefw.cfg"

    @property
    def acme_dir(self) -> Path:
        """ACME accounts, a file each: JSON with the account's key; plugin instances."""
        return self.etc_pve / "priv/acme"

    @property
    def plugins_cfg(self) -> Path:
        """The plugin instances, in Proxmox VE's format, with their secrets."""
        return self.acme_dir / "plugins.cfg"

    @property
    def own_plugins_cfg(self) -> Path:
        """The plugin instances that Proxmox VE's parser would refuse; as private as its own."""
        return self.acme_dir / "pvefw-plugins.cfg"

    @property
    def persistent_records(self) -> Path:
        """The records of dns-persist-01 that were published or found: JSON."""
        return self.acme_dir / "pvefw-persist.json"

    @property
    def pve_dns_apis(self) -> Path:
        """What names Proxmox VE accepts as ``api`` of a dns instance: the keys of a JSON object."""
        return self.below("usr/share/proxmox-acme/dns-challenge-schema.json")

    @property
    def api_users(self) -> Path:
        """Who may use the API over HTTPS: users, digests of their tokens; JSON."""
        return self.etc_pve / "priv/pvefw-api.json"

    @property
    def api_key(self) -> Path:
        """What signs the tickets of the API over HTTPS; removing it ends every session."""
        return self.etc_pve / "priv/pvefw-api.key"

    @property
    def cluster_locks(self) -> Path:
        """Locks of the whole cluster: directories, as pmxcfs offers them."""
        return self.etc_pve / "priv/lock"

    @property
    def lock_holders(self) -> Path:
        """Who holds which lock of the cluster, where that takes longer: a file of JSON each."""
        return self.etc_pve / "priv/pvefw-locks"

    @property
    def store_cfg(self) -> Path:
        """Which store the files below ``/etc/pve`` are kept in, where there is no cluster file system."""
        return self.below(STORE_CFG)

    @property
    def store_copy(self) -> Path:
        """What is known of the copy of a store that ``/etc/pve`` is, and what was replaced there."""
        return self.below(STORE_COPY)

    @property
    def revocations(self) -> Path:
        """The certificates that were revoked, by serial number: JSON. No node shares or serves one."""
        return self.etc_pve / "pvefw-revoked.json"

    @property
    def authority_certificate(self) -> Path:
        """The cluster's CA; while it is being replaced, the new one and then the old one."""
        return self.etc_pve / "pve-root-ca.pem"

    @property
    def authority_key(self) -> Path:
        """The private key of the cluster's CA."""
        return self.etc_pve / "priv/pve-root-ca.key"

    @property
    def authority_serial(self) -> Path:
        """The serial number that was given last, in hex, as openssl keeps it."""
        return self.etc_pve / "priv/pve-root-ca.srl"

    @property
    def authority_cross(self) -> Path:
        """The CA, signed by the one before it, for as long as that is good."""
        return self.etc_pve / "pve-root-ca-cross.pem"

    @property
    def members(self) -> Path:
        """The nodes of the cluster and their addresses, as pmxcfs shows them."""
        return self.etc_pve / ".members"

    @property
    def vmlist(self) -> Path:
        """The guests of the cluster and where they are, as pmxcfs shows them."""
        return self.etc_pve / ".vmlist"

    # this node's files

    def node_dir(self, node: str = "") -> Path:
        """The directory of a node: this one, or the one that is named.

        :raises UsageError: that is not the name of a node.
        """
        _check_node(node or self.node)
        return self.nodes / (node or self.node)

    def node_config(self, node: str = "") -> Path:
        """A node's configuration, as Proxmox VE has it."""
        return self.node_dir(node) / "config"

    def node_pvefw_cfg(self, node: str = "") -> Path:
        """What Proxmox VE's parsers would refuse of a node's configuration."""
        return self.node_dir(node) / "pvefw.cfg"

    @property
    def proxy_certificate(self) -> Path:
        """The certificate of the services: from an ACME authority, or set by hand."""
        return self.node_dir() / "pveproxy-ssl.pem"

    @property
    def proxy_key(self) -> Path:
        """The private key of ``pveproxy-ssl.pem``."""
        return self.node_dir() / "pveproxy-ssl.key"

    @property
    def node_certificate(self) -> Path:
        """The node's own certificate, signed by the cluster's CA."""
        return self.node_dir() / "pve-ssl.pem"

    @property
    def node_key(self) -> Path:
        """The private key of ``pve-ssl.pem``."""
        return self.node_dir() / "pve-ssl.key"

    def certificate_files(self, name: str = "") -> "CertificateFiles":
        """The files of a certificate of this node.

        :param name: that of its section; without it, the one of Proxmox VE's services.
        """
        if not name:
            return CertificateFiles(
                self.proxy_certificate,
                self.proxy_key,
                self.open_order,
                self.deploy_state,
                self.served_state,
            )
        where, state = self.certificate_dir, f"{self.node}.{name}.json"
        return CertificateFiles(
            where / f"{name}.pem",
            where / f"{name}.key",
            self.state_dir / f"order-{state}",
            self.state_dir / f"deploy-{state}",
            self.state_dir / f"served-{state}",
        )

    @property
    def certificate_dir(self) -> Path:
        """The certificates with a ``certificate`` section: ``NAME.pem`` with chain, and ``NAME.key``."""
        return self.below(f"etc/pvefw/nodes/{self.node}")

    # state of this host

    @property
    def task_dir(self) -> Path:
        """``index``, ``active``, and the tasks' logs, below the last digit of the time of their start."""
        return self.below("var/log/pve/tasks")

    @property
    def state_dir(self) -> Path:
        """What this node has to remember."""
        return self.below("var/lib/pvefw")

    @property
    def install_intent(self) -> Path:
        """Where the installation of a certificate is recorded while it is under way."""
        return self.state_dir / f"install-{self.node}.json"

    @property
    def open_order(self) -> Path:
        """Where an order is recorded until its certificate is installed."""
        return self.state_dir / f"order-{self.node}.json"

    @property
    def renewal_state(self) -> Path:
        """What the last runs of ``pvefw renew`` found out, and how they ended."""
        return self.state_dir / f"renewal-{self.node}.json"

    @property
    def deploy_state(self) -> Path:
        """Which observers have been told of which certificate."""
        return self.state_dir / f"deploy-{self.node}.json"

    @property
    def served_state(self) -> Path:
        """Where something else was seen than what is installed, and when somebody was told."""
        return self.state_dir / f"served-{self.node}.json"

    @property
    def attention(self) -> Path:
        """What needs attention and was acknowledged, and when somebody was told of it."""
        return self.state_dir / f"attention-{self.node}.json"

    @property
    def dns_journals(self) -> Path:
        """The TXT records that orders have added and not removed yet, a file for each order."""
        return self.state_dir / "dns"

    @property
    def task_index(self) -> Path:
        """Where each task is in the text files of the history; can be deleted at any time."""
        return self.state_dir / "task-index.sqlite"

    @property
    def task_removals(self) -> Path:
        """The tasks that retention is removing."""
        return self.state_dir / "task-removals"

    @property
    def task_retention(self) -> Path:
        """Its time stamp says when retention was last applied."""
        return self.state_dir / "task-retention"

    @property
    def guest_notes(self) -> Path:
        """Which guests there were when a command last asked."""
        return self.state_dir / f"guests-{self.node}.json"

    @property
    def provider_notes(self) -> Path:
        """Which DNS providers there were when a command last listed all."""
        return self.state_dir / "providers.json"

    @property
    def boot_guests(self) -> Path:
        """Which guests ``boot-guests`` has started since this boot."""
        return self.below(f"run/pvefw/boot-guests-{self.node}.json")

    def drained(self, node: str = "") -> Path:
        """That a node is drained, since when, and where its guests have gone: JSON. All nodes see it."""
        return self.node_dir(node) / "pvefw-drained.json"

    @property
    def maintenance(self) -> Path:
        """Which hosts a maintenance is about, and how far it is, until it is done: JSON."""
        return self.state_dir / "maintenance.json"

    @property
    def suspended_guests(self) -> Path:
        """Which guests ``shutdown-guests --suspend`` has suspended."""
        return self.state_dir / f"suspended-guests-{self.node}.json"

    @property
    def boot_state(self) -> Path:
        """Digests of what is on the ESPs, and in which boot a one-shot was set; may be lost."""
        return self.state_dir / "boot"

    # how this host boots

    @property
    def kernel_dir(self) -> Path:
        """How this host boots."""
        return self.below("etc/kernel")

    @property
    def esp_uuids(self) -> Path:
        """The ESPs that are managed: one FAT volume id a line."""
        return self.kernel_dir / "proxmox-boot-uuids"

    @property
    def manual_kernels(self) -> Path:
        """The kernels that ``boot kernel add`` selected, a version a line."""
        return self.kernel_dir / "proxmox-boot-manual-kernels"

    @property
    def pinned_kernel(self) -> Path:
        """The version that boots until it is unpinned."""
        return self.kernel_dir / "proxmox-boot-pin"

    @property
    def next_boot_kernel(self) -> Path:
        """The version that boots once."""
        return self.kernel_dir / "next-boot-pin"

    @property
    def cmdline(self) -> Path:
        """The kernel's command line, one line; without it, the one that is running."""
        return self.kernel_dir / "cmdline"

    @property
    def esp_mounts(self) -> Path:
        """Where ESPs are mounted while they are worked on, for pvefw only."""
        return self.below("run/pvefw/esp")

    @property
    def kernels(self) -> Path:
        """Where kernels and their initrds are."""
        return self.below("boot")

    @property
    def modules(self) -> Path:
        """A directory of modules for each kernel."""
        return self.below("lib/modules")

    # the kernel's

    @property
    def ksm(self) -> Path:
        """The kernel's files about kernel samepage merging."""
        return self.below("sys/kernel/mm/ksm")

    @property
    def local_locks(self) -> Path:
        """Locks of this host: files, with flock(2). Not in ``/run/lock``, where everybody may write."""
        return self.below("run/pvefw/locks")

    @property
    def former_locks(self) -> Path:
        """Where release 1.0 has them: its tasks go on while a package is upgraded."""
        return self.below("run/lock/pvefw")

    @property
    def pve_certificate_lock(self) -> Path:
        """What Proxmox VE locks on this host to change certificate files, with flock(2)."""
        return self.below("run/lock/pve-certs.lock")

    @property
    def pve_node_config_lock(self) -> Path:
        """What Proxmox VE locks on this host to change the node configuration, with flock(2)."""
        return self.below("run/lock/pvenode.lock")


def _check_node(name: str) -> None:
    if not _NODE.fullmatch(name) or len(name) > _LONGEST:
        short = name.partition(".")[0]
        usable = short != name and _NODE.fullmatch(short)
        raise UsageError(
            f"'{name}' is not the name of a node",
            hint=f"A short host name, without a domain{f': {short}' if usable else ''}.",
        )
