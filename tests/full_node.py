"""A node that has one of everything that needs no server: what lists and shows is tried on it."""

import json

import certificates

from pvefw.store import files

UPID = "UPID:pve1:00010D94:001CA6EA:6124E1B9:vzdump:100:root@pam:"
"""Of its task, which failed."""
_ACCOUNT = {
    "account": {"status": "valid"},
    "directory": "https://ca.example/",
    "key": "x",
    "location": "https://ca.example/1",
    "tos": "",
}


def fill(paths):
    """Write its files."""
    pem, key = certificates.self_signed()
    files.replace(paths.proxy_certificate, pem)
    files.replace(paths.proxy_key, key, private=True)
    paths.node_config().write_text("#note\nacmedomain0: pve1.example\n")
    paths.acme_dir.mkdir(parents=True)
    (paths.acme_dir / "default").write_text(json.dumps(_ACCOUNT))
    paths.plugins_cfg.write_text("standalone: mine\n\tnodes pve1\n\tdisable 1\n\n")
    paths.cluster_pvefw_cfg.write_text("observer: tell\n\tapi exec\n")
    log = paths.task_dir / "9" / UPID
    log.parent.mkdir(parents=True)
    log.write_text("one\ntwo\nTASK ERROR: job errors\n")
    (paths.task_dir / "index").write_text(f"{UPID} 6124E1C0 job errors\n")
    paths.ksm.mkdir(parents=True)
    for name in ("run", "pages_sharing", "general_profit"):
        (paths.ksm / name).write_text("1\n")
    paths.kernel_dir.mkdir(parents=True)
    paths.cmdline.write_text("root=/dev/sda1\n")
