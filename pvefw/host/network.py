"""Other machines: whether they answer."""


def answers(host: str, port: int, *, timeout: float) -> bool:
    """Whether somebody accepts a TCP connection there.

    :param host: a name or an address.
    :param timeout: seconds, for each of the addresses that the name has.
    """
    import socket

    try:
        with socket.create_connection((host, port), timeout):
            return True
    except (OSError, UnicodeError):
        return False
