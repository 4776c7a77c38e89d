"""Answers of HTTP servers, read up to a size: requests itself reads whatever comes."""

TYPE_CHECKING = False  # as typing has it; nobody waits for requests who does not use it
if TYPE_CHECKING:
    from requests import Response

_PIECE = 1 << 14
"""Bytes that are read at once."""


def read_answer(answer: "Response", largest: int) -> bool:
    """Read the body of an answer that was asked for with ``stream=True``, up to a size.

    Then ``content``, ``text`` and ``json()`` are there as without ``stream``. Since 1.1.

    :param largest: bytes that it may have.
    :returns: whether that was all; else nothing of it is kept.
    :raises requests.RequestException: the connection breaks.
    """
    body = bytearray()
    for piece in answer.iter_content(_PIECE):
        body += piece
        if len(body) > largest:
            return False
    answer._content = bytes(body)  # noqa: SLF001 - requests has no public name for it
    return True
