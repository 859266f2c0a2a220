"""Reads XML documents that strangers send: elements, attributes and text, and nothing else.

A document type is refused, so there are no entities to expand and nothing to load. expat does the parsing.
"""

from typing import Final
from xml.parsers import expat

#: Deeper than any message of a wallet.
MAX_DEPTH: Final = 16


class NotXml(Exception):
    """Malformed, nested too deeply, or with a document type."""


class Element:
    """An element. `text` is what precedes its first child, `tail` what follows its end."""

    __slots__ = ("attributes", "children", "name", "tail", "text")

    def __init__(self, name: str, attributes: dict[str, str]) -> None:
        self.name = name
        self.attributes = attributes
        self.children: list[Element] = []
        self.text = ""
        self.tail = ""

    def find_all(self, name: str) -> "list[Element]":
        """The children with this name."""
        return [child for child in self.children if child.name == name]


def parse_xml(text: str) -> Element:
    """The root of a document. An encoding that the document declares is ignored. Raises NotXml."""
    document = Element("", {})
    path = [document]

    def start(name: str, attributes: dict[str, str]) -> None:
        if len(path) > MAX_DEPTH:
            raise NotXml("nested too deeply")
        element = Element(name, attributes)
        path[-1].children.append(element)
        path.append(element)

    def end(_: str) -> None:
        path.pop()

    def add_text(data: str) -> None:
        element = path[-1]
        if element.children:
            element.children[-1].tail += data
        else:
            element.text += data

    parser = expat.ParserCreate()
    parser.buffer_text = True
    parser.StartElementHandler = start
    parser.EndElementHandler = end
    parser.CharacterDataHandler = add_text
    parser.StartDoctypeDeclHandler = _refuse_doctype
    try:
        parser.Parse(text, True)
    except expat.ExpatError as error:
        raise NotXml(expat.ErrorString(error.code)) from error
    except ValueError as error:  # a surrogate
        raise NotXml("no text") from error
    return document.children[0]


def _refuse_doctype(*_: object) -> None:
    raise NotXml("a document type")
