"""Encrypts what leaves the node for a store, where a key is given: Fernet, as ``cryptography`` has it.

The name of the key in the store is encrypted with the value, so who can write to the store cannot
put one value in another's place. An old value in place of a newer one is not noticed.
"""

from typing import TYPE_CHECKING

from pvefw.core.errors import ConfigError, StoreError

if TYPE_CHECKING:
    from cryptography.fernet import MultiFernet

_END = b"\0"
"""Of the name; no key of a store has it."""


class Plain:
    """Where no key is given: values are as they are."""

    def sealed(self, _key: str, data: bytes) -> bytes:
        """What the store gets."""
        return data

    def opened(self, _key: str, data: bytes) -> bytes:
        """What the store has."""
        return data


class Sealed:
    """Values are encrypted with the first of some keys; each of them can decrypt.

    :param keys: as ``Fernet.generate_key`` makes them, separated by white space: two while one replaces
        the other.
    :raises ConfigError: one is none.
    """

    def __init__(self, keys: str) -> None:
        self._fernet = _fernet(keys)

    def sealed(self, key: str, data: bytes) -> bytes:
        """What the store gets."""
        return self._fernet.encrypt(key.encode() + _END + data)

    def opened(self, key: str, data: bytes) -> bytes:
        """What was sealed as the value of this key.

        :raises StoreError: it was not, or with another key.
        """
        from cryptography.fernet import InvalidToken

        try:
            name, _, content = self._fernet.decrypt(data).partition(_END)
        except InvalidToken:
            raise StoreError(
                f"{key}: the store's value was not encrypted with this node's key",
                hint="Every node needs the same encryption-key in /etc/pvefw/store.cfg.",
            ) from None
        if name != key.encode():
            raise StoreError(f"{key}: the store has the value of another key there")
        return content


def _fernet(keys: str) -> "MultiFernet":
    from cryptography.fernet import Fernet, MultiFernet

    try:
        return MultiFernet([Fernet(word) for word in keys.split()])
    except ValueError:
        raise ConfigError(
            "encryption-key: this is not a Fernet key: 32 bytes in base64, URL-safe",
            hint="Make one: openssl rand -base64 32 | tr +/ -_",
        ) from None
