"""Parameters of the kernel that cannot be meant (``Documentation/admin-guide/kernel-parameters.rst``)."""

import re

_TAG = "(?:UUID|PARTUUID|LABEL|PARTLABEL|ZFS)="
_NO_ROOT = rf"root=(?:(?:{_TAG})?(?:\$.*)?|.*[<>'\u2018-\u201f].*)"
"""The kernel takes off double quotes only."""
_NO_DEVICE = rf"[\w.]+=(?:[^\s\"]*[,:=])?{_TAG}(?:[:,].*)?"
_NOTHING = re.compile(f"{_NO_ROOT}|{_NO_DEVICE}", re.IGNORECASE)


def names_nothing(parameter: str) -> bool:
    """Whether a parameter says of a device or a file system that there is one, and not which.

    ``root=UUID=``, ``cryptdevice=UUID=:root``, ``root=UUID=<yours>``: it comes out of a variable that
    nobody has set, of a command that only root may run, or of a page of documentation. Since 1.1.
    """
    return _NOTHING.fullmatch(parameter) is not None
