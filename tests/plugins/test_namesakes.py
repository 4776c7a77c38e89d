"""``plugin doctor`` says which names of DNS providers two catalogues offer, and who answers to them."""

from types import SimpleNamespace

import pytest

from pvefw.core import doctor
from pvefw.core.families import DNS, DNS_CATALOG

OFFERED = {"acmesh": ["aws", "cf", "ovh"], "lexicon": ["aws", "gandi", "ovh"]}


def findings(name, family):
    info = SimpleNamespace(name=name, family=family)
    diagnosis = doctor.Diagnosis(info, [], 0.1, OFFERED.get(name, ()))
    return doctor._with_namesakes(diagnosis, OFFERED).findings


def test_the_first_catalogue_says_so():
    (found,) = findings("acmesh", DNS_CATALOG)
    assert found.severity == "note"
    assert found.what == "lexicon offers 2 of its providers, too: aws, ovh"
    assert "write lexicon/NAME for the other" in found.fix


@pytest.mark.parametrize(
    ("name", "family", "count"),
    [("lexicon", DNS_CATALOG, 0), ("ovh", DNS, 1), ("rfc2136", DNS, 0)],
)
def test_once_for_each_name(name, family, count):
    assert len(findings(name, family)) == count
