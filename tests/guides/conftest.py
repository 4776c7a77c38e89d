"""What guides are tried with: the guests of other tests."""

from guests.conftest import farm

__all__ = ["farm"]
