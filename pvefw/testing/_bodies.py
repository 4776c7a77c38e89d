"""Bodies of requests and replies as data: JSON, XML and forms are read, changed, and written again.

XML becomes what JSON would be: an element is a mapping of its attributes (``@name``) and children, each a
list, or its text alone. The order of children with different names is not kept.
"""

import json
import xml.etree.ElementTree as ET
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qsl, urlencode

Body = tuple[Any, Callable[[Any], bytes]]
"""The data, and what makes a body of that form of other data."""
_TEXT = "#text"


def opened(raw: bytes) -> Body | None:
    """JSON or XML; ``None`` for anything else."""
    try:
        return json.loads(raw), lambda data: json.dumps(data).encode()
    except ValueError:
        pass
    try:
        root = ET.fromstring(raw)  # noqa: S314 - a test's own plugin and fake have written it
    except (ET.ParseError, ValueError):
        return None
    return {root.tag: [_data(root)]}, _xml


def opened_form(raw: bytes) -> Body | None:
    """JSON, XML or the fields of a form, as requests have them."""
    if not raw:
        return None
    if known := opened(raw):
        return known
    form = dict(parse_qsl(raw.decode(errors="replace")))
    return (form, lambda data: urlencode(data).encode()) if form else None


def _data(element: ET.Element) -> Any:
    data: dict[str, Any] = {f"@{name}": value for name, value in element.attrib.items()}
    for child in element:
        data.setdefault(child.tag, []).append(_data(child))
    text = element.text or ""
    if not data:
        return text
    return data | {_TEXT: text} if text.strip() else data


def _xml(data: Any) -> bytes:
    [(tag, [content])] = data.items()
    made: bytes = ET.tostring(_element(tag, content), encoding="utf-8", xml_declaration=True)
    return made


def _element(tag: str, content: Any) -> ET.Element:
    made = ET.Element(tag)
    if not isinstance(content, dict):
        made.text = str(content)
        return made
    for name, value in content.items():
        if name == _TEXT:
            made.text = value
        elif name.startswith("@"):
            made.set(name[1:], str(value))
        else:
            made.extend(_element(name, item) for item in value)
    return made
