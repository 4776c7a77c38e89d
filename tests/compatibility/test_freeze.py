"""``make freeze`` takes back nothing that was promised."""

import sys

from environments import ROOT

sys.path.insert(0, str(ROOT / "tools"))
import freeze


def test_an_api_that_is_kept_is_not_overwritten(tmp_path, monkeypatch):
    monkeypatch.setattr(freeze, "ROOT", tmp_path)
    (tmp_path / "pvefw/testing").mkdir(parents=True)
    (tmp_path / "pvefw/testing/dns.py").write_text("new kit\n")
    folder = tmp_path / "tests/compatibility" / ".".join(freeze.pvefw.__version__.split(".")[:2])
    (folder / "testing").mkdir(parents=True)
    (folder / "testing/gone.py").write_text("old kit\n")
    (folder / "api.json").write_text("kept")
    freeze.main()
    assert (folder / "api.json").read_text() == "kept"
    assert [path.name for path in (folder / "testing").iterdir()] == ["dns.py"]


def test_a_new_release_gets_its_api(tmp_path, monkeypatch):
    monkeypatch.setattr(freeze, "ROOT", tmp_path)
    (tmp_path / "pvefw/testing").mkdir(parents=True)
    freeze.main()
    [kept] = tmp_path.glob("tests/compatibility/*/api.json")
    assert '"pvefw.dns"' in kept.read_text()
