"""The plugins of this project by what they are called, for those who miss one: what to install.

It is data, so that a plugin which is not installed can be named; ``tests/house`` holds it against the
distributions of the project.
"""

from collections.abc import Mapping, Sequence

OURS: Mapping[str, Mapping[str, str]] = {
    "challenge": {"standalone": "pvefw-acme-standalone", "tls-alpn": "pvefw-acme-tls-alpn"},
    "dns": {
        "exec": "pvefw-acme-dns-generic",
        "ovh": "pvefw-acme-dns-ovh",
        "rfc2136": "pvefw-acme-dns-generic",
    },
    "dns_catalog": {"acmesh": "pvefw-acme-dns-generic", "lexicon": "pvefw-acme-dns-lexicon"},
    "bootloader": {"grub": "pvefw-bootloader-grub", "systemd-boot": "pvefw-bootloader-systemd"},
    "guest": {"libvirt": "pvefw-guest-libvirt", "pve": "pvefw-guest-pve"},
    "observer": {
        "apache": "pvefw-observer-targets",
        "apprise": "pvefw-observer-apprise",
        "cockpit": "pvefw-observer-targets",
        "exec": "pvefw-observer-generic",
        "files": "pvefw-observer-targets",
        "haproxy": "pvefw-observer-targets",
        "healthchecks": "pvefw-observer-generic",
        "libvirt-tls": "pvefw-observer-targets",
        "mail": "pvefw-observer-generic",
        "nginx": "pvefw-observer-targets",
        "pbs": "pvefw-observer-targets",
        "pmg": "pvefw-observer-targets",
        "proxmox": "pvefw-observer-generic",
        "ssh": "pvefw-observer-targets",
        "webhook": "pvefw-observer-generic",
    },
    "store": {"etcd": "pvefw-store-etcd"},
}
"""By family and name, the distribution that has it."""

_ALSO_CALLED = {
    "bind": "rfc2136",
    "knot": "rfc2136",
    "dnsupdate": "rfc2136",
    "ovhcloud": "ovh",
    "http": "standalone",
    "http-01": "standalone",
    "webroot": "standalone",
    "alpn": "tls-alpn",
    "tls-alpn-01": "tls-alpn",
    "acme.sh": "acmesh",
    "systemd": "systemd-boot",
    "kvm": "libvirt",
    "qemu": "libvirt",
    "virsh": "libvirt",
    "lxc": "libvirt",
    "proxmox": "pve",
    "email": "mail",
    "smtp": "mail",
    "sendmail": "mail",
    "script": "exec",
    "hook": "exec",
    "apache2": "apache",
    "httpd": "apache",
    "scp": "ssh",
}
"""Other words for some of them."""
_CLOSE = 0.75


def close(name: str, known: Sequence[str]) -> str:
    """The name that is meant by another word or spelling, ``dns_cf`` of acme.sh's too; or nothing."""
    plain = name.lower().removeprefix("dns_").replace("_", "-")
    for spelling in (plain, _ALSO_CALLED.get(plain, ""), plain.replace("-", "_")):
        if spelling in known and spelling != name:
            return spelling
    from difflib import get_close_matches  # only for those who mistype

    return next(iter(get_close_matches(plain, known, n=1, cutoff=_CLOSE)), "")


def how_to_get(family: str, name: str, installed: Sequence[str]) -> str:
    """What to do where a plugin is missing: what is meant, what to install, or what there is.

    :param installed: names that can be used.
    """
    ours = OURS.get(family, {})
    meant = close(name, [*installed, *ours])
    if name in ours or (meant in ours and meant not in installed):
        return install(ours[name if name in ours else meant])
    if meant:
        return f"Did you mean {meant}?"
    others = {key: dist for key, dist in ours.items() if key not in installed}
    listed = f"Installed: {', '.join(sorted(set(installed))) or 'none'}."
    if not others:
        return listed
    more = ", ".join(f"{key} ({dist})" for key, dist in others.items())
    return f"{listed} Can be installed: {more}."


def install(distribution: str) -> str:
    """How a distribution of the project is installed beside pvefw."""
    return (
        f"Install it: pipx inject pvefw {distribution}\n"
        "The Debian package pvefw has all plugins of the project."
    )
