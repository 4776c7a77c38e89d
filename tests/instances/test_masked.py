"""A secret that comes back as it is shown is the one that is there."""

from dataclasses import replace

from pvefw import instances
from pvefw.core.masking import MASK
from pvefw.instances import Instance
from pvefw.store.node import Node


def changed(paths, **settings):
    instances.change(paths, "dns", "mine", lambda instance: replace(instance, settings=settings))
    return dict(instances.load(Node.open(paths), "dns", "mine").settings)


def test_a_mask_keeps_the_secret_and_all_else_is_as_given(paths):
    known = {"OVH_AK": "key", "OVH_AS": "secret", "OVH_CK": "consumer"}
    instances.add(paths, Instance("dns", "mine", "ovh", known))
    found = changed(paths, OVH_AK="other", OVH_AS=MASK, OVH_END_POINT="ovh-ca", OVH_CK="consumer")
    assert found == {**known, "OVH_AK": "other", "OVH_END_POINT": "ovh-ca"}
    shown = instances.describe(Node.open(paths), instances.load(Node.open(paths), "dns", "mine"))
    assert changed(paths, **shown["data"]) == found
