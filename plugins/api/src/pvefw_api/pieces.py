"""Parameters of a JSON object in pieces, as a form has them: a list is what is given several times.

The service's front uses this, too, which loads as little as it can.
"""


def of(document: object) -> dict[str, list[str]]:
    """The pieces of each parameter: one, or those of a list, which may have none.

    :raises ValueError: the document is no such object.
    """
    if isinstance(document, dict):
        lists = {
            key: value if isinstance(value, list) else [value] for key, value in document.items()
        }
        if all(isinstance(piece, str | int) for pieces in lists.values() for piece in pieces):
            return {key: [*map(_text, pieces)] for key, pieces in lists.items()}
    raise ValueError("not an object of texts, numbers and lists of them")


def _text(piece: str | int) -> str:
    return str(int(piece) if isinstance(piece, bool) else piece)
