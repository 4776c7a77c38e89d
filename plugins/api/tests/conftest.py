"""A node that has one of everything that needs no server, and answers in its process."""

import json

import certificates
import pytest

from pvefw.store.paths import Paths

UPID = "UPID:pve1:00010D94:001CA6EA:6124E1B9:vzdump:100:root@pam:"


@pytest.fixture
def paths(tmp_path):
    paths = Paths(tmp_path / "root", "pve1")
    pem, _ = certificates.self_signed()
    paths.node_dir().mkdir(parents=True)
    paths.node_dir("pve2").mkdir()
    paths.proxy_certificate.write_bytes(pem)
    paths.node_config().write_text("#note\nacmedomain0: pve1.example\nballooning-target: 70\n")
    paths.node_config("pve2").write_text("wakeonlan: 02:00:00:00:00:01\n")
    paths.datacenter_cfg.write_text("keyboard: de\nmax_workers: 4\n")
    paths.acme_dir.mkdir(parents=True)
    account = {"account": {"status": "valid"}, "directory": "https://ca.example/", "key": "x",
               "location": "https://ca.example/1", "tos": ""}  # fmt: skip
    (paths.acme_dir / "default").write_text(json.dumps(account))
    paths.plugins_cfg.write_text("standalone: mine\n\tnodes pve1\n\tdisable 1\n\n")
    paths.cluster_pvefw_cfg.write_text("observer: tell\n\tapi exec\n")
    paths.task_dir.mkdir(parents=True)
    (paths.task_dir / "index").write_text(f"{UPID} 6124E1C0 job errors\n")
    log = paths.task_dir / "9" / UPID
    log.parent.mkdir()
    log.write_text("one\ntwo\nTASK ERROR: job errors\n")
    paths.ksm.mkdir(parents=True)
    for name in ("run", "pages_sharing", "general_profit"):
        (paths.ksm / name).write_text("1\n")
    paths.kernel_dir.mkdir(parents=True)
    paths.cmdline.write_text("root=/dev/sda1\n")
    return paths
