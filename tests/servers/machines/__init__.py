"""Whole machines under QEMU, without KVM: one where tools run for real, one that boots what they leave.

:mod:`kernels` fetches Debian's kernels and packs initrds, :mod:`workshop` runs scripts as root on a copy
of this machine's root file system with real disks, :mod:`power` switches a computer with these disks on
and reads from its serial console which kernel came up.
"""
