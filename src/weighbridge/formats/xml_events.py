"""Reads XML as a stream of elements, and nothing that XML can do beyond that.

Expat reads the tokens; declarations of types and entities end the reading with an `XmlProblem`, so nothing is expanded
and nothing is fetched. Limits: `MAX_DEPTH` levels, `MAX_ATTRIBUTES` attributes, `MAX_TOKEN_BYTES` of one tag,
`MAX_ELEMENTS` elements.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import field
from typing import Final
from xml.parsers import expat

from weighbridge.core.dataclass import dataclass
from weighbridge.core.errors import Malformed
from weighbridge.core.ports import RangeReader
from weighbridge.formats.bounded import blocks

MAX_DEPTH: Final = 200
MAX_ATTRIBUTES: Final = 256
MAX_TOKEN_BYTES: Final = 4 * 1024 * 1024
MAX_ELEMENTS: Final = 5_000_000
MAX_KEPT_TEXT: Final = 4096
_BLOCK_BYTES = 256 * 1024


class XmlProblem(Malformed):
    """The text is not read further. `rule` is a stable word: entity, external, dtd, syntax, limit."""

    def __init__(self, rule: str, message: str) -> None:
        super().__init__(message)
        self.rule = rule


@dataclass(frozen=True, slots=True)
class Element:
    """A start tag (`text` empty) or, when `ended`, its end with the beginning of its own text. `path` ends with it."""

    path: tuple[str, ...]
    attributes: dict[str, str]
    line: int
    ended: bool = False
    text: str = ""

    @property
    def tag(self) -> str:
        """Its name without a prefix."""
        return self.path[-1]


@dataclass(slots=True)
class _Reading:
    """What the handlers noticed since the last block."""

    parser: expat.XMLParserType
    path: list[str] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)
    events: list[Element] = field(default_factory=list)
    elements: int = 0
    problem: XmlProblem | None = None

    def start(self, name: str, attributes: dict[str, str]) -> None:
        self.path.append(name.rpartition(":")[2])
        self.texts.append("")
        self.elements += 1
        if len(self.path) > MAX_DEPTH or len(attributes) > MAX_ATTRIBUTES or self.elements > MAX_ELEMENTS:
            raise XmlProblem("limit", "the text has more levels, attributes or elements than are read")
        self.events.append(Element(tuple(self.path), attributes, self.parser.CurrentLineNumber))

    def end(self, _name: str) -> None:
        text = self.texts.pop()
        self.events.append(Element(tuple(self.path), {}, self.parser.CurrentLineNumber, ended=True, text=text))
        self.path.pop()

    def characters(self, data: str) -> None:
        if self.texts and len(self.texts[-1]) < MAX_KEPT_TEXT:
            self.texts[-1] += data[:MAX_KEPT_TEXT]

    def doctype(self, _name: str, system: str | None, public: str | None, subset: int) -> None:
        if system or public:
            raise XmlProblem("external", f"the text wants another file: {(system or public or '')[:100]!a}")
        if not subset:
            raise XmlProblem("dtd", "the text declares its type")

    def entity(self, name: str, _parameter: bool, value: str | None, _base: str | None, *where: str | None) -> None:
        if value is None:
            raise XmlProblem("external", f"the entity {name[:100]!a} is in {str(where[0])[:100]!a}")
        raise XmlProblem("entity", f"the text declares the entity {name[:100]!a}")

    def other_declaration(self, *_said: object) -> None:
        raise XmlProblem("dtd", "the text declares elements, attributes or notations")

    def external(self, _context: str, _base: str | None, system: str | None, _public: str | None) -> int:
        raise XmlProblem("external", f"the text refers to {str(system)[:100]!a}")


def read_elements(reader: RangeReader) -> Iterator[Element]:
    """The elements of an artifact, as they start and end.

    Raises:
        XmlProblem: it is no XML, or more than elements.
        Truncated: the reader returned less than the artifact's size promises.
    """
    parser = expat.ParserCreate()
    reading = _Reading(parser)
    parser.StartElementHandler, parser.EndElementHandler = reading.start, reading.end
    parser.CharacterDataHandler = reading.characters
    parser.StartDoctypeDeclHandler, parser.EntityDeclHandler = reading.doctype, reading.entity
    parser.ElementDeclHandler = parser.AttlistDeclHandler = parser.NotationDeclHandler = reading.other_declaration
    parser.ExternalEntityRefHandler = reading.external
    parser.SetParamEntityParsing(expat.XML_PARAM_ENTITY_PARSING_NEVER)
    fed = 0
    for block in blocks(reader, _BLOCK_BYTES):
        fed += len(block)
        _feed(parser, block, final=False)
        if fed - parser.CurrentByteIndex > MAX_TOKEN_BYTES:
            raise XmlProblem("limit", f"a tag is longer than {MAX_TOKEN_BYTES} bytes")
        yield from reading.events
        reading.events.clear()
    _feed(parser, b"", final=True)
    yield from reading.events


def _feed(parser: expat.XMLParserType, block: bytes, *, final: bool) -> None:
    try:
        parser.Parse(block, final)
    except (expat.ExpatError, LookupError, ValueError) as error:
        # An encoding that Python does not have is a LookupError, one that expat cannot use a ValueError.
        raise XmlProblem("syntax", f"the text is no XML: {error}") from error
