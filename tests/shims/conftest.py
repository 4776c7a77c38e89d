"""What the shims are tried with: the hosts of the other tests."""

from boot.conftest import context, host, machine, memory, plain
from guests.conftest import farm

__all__ = ["context", "farm", "host", "machine", "memory", "plain"]
