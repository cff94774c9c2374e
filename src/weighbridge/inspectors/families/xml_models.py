"""Is this XML (PMML, OpenVINO IR, or any other) only elements, and does the model in it name code?

Read by a strict reader: type declarations and entities, which make a text explode or fetch files, end the reading. In
PMML, functions are those of the standard or of the document; a dotted one is a Java class to JPMML. In OpenVINO IR,
every layer must be an operation of a published operation set or of OpenVINO's tokenizers; any other needs a native
library, and tensors must lie in the `.bin` beside it (stated as facts). XML of another vocabulary stays unknown.

Covers files that are XML by their first tag or by name (`.xml`, `.pmml`).
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

from weighbridge.core.finding import Report, Severity
from weighbridge.formats.xml_events import Element, XmlProblem, read_elements
from weighbridge.inspectors.families.openvino_ops import OPERATIONS, TOKENIZER_OPERATIONS
from weighbridge.inspectors.notes import Notes, shown
from weighbridge.inspectors.rule import Rule
from weighbridge.inspectors.subject import Subject

NAME: Final = "xml-models"
MAX_BYTES: Final = 256 * 1024 * 1024


def _rule(name: str, title: str, severity: Severity, explanation: str) -> Rule:
    remedy = "Do not load the file. Ask its publisher for one without it."
    return Rule(name, title, severity, NAME, explanation, remedy)


RULES: Final[tuple[Rule, ...]] = (
    _rule(
        "xml-entity",
        "XML that declares entities",
        Severity.HIGH,
        "Entities multiply when they are read (billion laughs).",
    ),
    _rule(
        "xml-external",
        "XML that refers to other files",
        Severity.HIGH,
        "Readers fetch them, or send local files out (XXE).",
    ),
    _rule(
        "xml-dtd",
        "XML that declares its type",
        Severity.MEDIUM,
        "No model format needs it; readers differ on what it does.",
    ),
    _rule(
        "xml-syntax", "XML that is broken", Severity.MEDIUM, "It is cut or damaged, or readers differ on what it says."
    ),
    _rule(
        "xml-limit",
        "XML larger than is read",
        Severity.MEDIUM,
        "It has more levels, attributes or elements than any model.",
    ),
    _rule(
        "xml-script", "Script in XML", Severity.HIGH, "An element, an attribute or an extension carries code to be run."
    ),
    _rule(
        "xml-not-understood",
        "XML of no known vocabulary",
        Severity.LOW,
        "It is well-formed; what reads it is not known.",
    ),
    _rule(
        "pmml-java-function",
        "PMML that names a class as a function",
        Severity.MEDIUM,
        "JPMML takes a dotted function for a Java class, loads it and calls it.",
    ),
    _rule(
        "openvino-custom-layer",
        "OpenVINO layer of no published operation set",
        Severity.MEDIUM,
        "Only a native extension library can run it; what that does is not known.",
    ),
    _rule(
        "openvino-custom-kernel",
        "OpenVINO custom kernel",
        Severity.HIGH,
        "The configuration makes a device compile and run source code from a file.",
    ),
    _rule(
        "openvino-offset", "OpenVINO tensor at no valid place", Severity.HIGH, "It is outside of any file of weights."
    ),
)
_BY_ID: Final = {rule.id: rule for rule in RULES}


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_FIRST_TAG = re.compile(rb"(?:\xef\xbb\xbf)?\s*<(?:\?xml\s|PMML[\s>]|net\s|CustomLayer\s|!DOCTYPE\s(?!html)|!ENTITY)")
_SUFFIXES = frozenset((".xml", ".pmml"))
_SCRIPT = re.compile(
    r"""<\s*script\b|javascript:|vbscript:|\beval\s*\(|\bexec\s*\(|os\.system|subprocess\.|__import__|Runtime\.getRuntime|
        ProcessBuilder|java\.lang\.(?:Runtime|ProcessBuilder|reflect|ClassLoader)|/bin/(?:ba)?sh\b|powershell|cmd\.exe|
        \bnew\s+Function\s*\(|ScriptEngine|(?:curl|wget)\s+-?\S*\s*https?:""",
    re.IGNORECASE | re.VERBOSE,
)
_DATA_ROOTS = _words(
    """annotation annotations opencv_storage tei teiheader corpus dataset votable gifti caret kml gpx quakeml seiscomp
       fdsnstationxml alto pcgts score-partwise mzml mzxml graphml gexf metadata citation record sentiment lexicon dictionary
       wordlist wordnet rss feed"""
)
"""Vocabularies that hold data, whatever their elements are called."""
_ACTING_ROOTS = _words(
    """project beans bean configuration stylesheet transform window application page java web-app server context module
       target targets build settings plist assembly asmv1 manifest scxml process definitions policy rules hibernate-mapping
       persistence log4j workflow-app coordinator-app job jobs task extension package product fragment robot mujoco sdf
       grammar schema wsdl envelope soap html xhtml svg object objects customlayer unattend worksheet workbook"""
)
_ACTING = re.compile(
    r"(?i)^(?:on[a-z]{3,20}|x?link|href|src|include|import|uri|url|ref|schema_?location|no_?namespace_?schema_?location|data)$"
    r"|class|command|cmd|exec|eval|script|handler|listener|bean|invoke|method|function|import|include|plugin|library|module|macro"
    r"|action|task|shell|process|program|code|expression|query|extern|entity|jndi|ldap|\brmi|loader|factory|object|assembly|deserial"
)
"""Words in names by which readers of other vocabularies load, call or fetch something."""
_ACTING_VALUE = re.compile(
    r"(?i)(?:file|jar|jndi|ldaps?|rmi|data|php|expect|gopher|ftp):|\\\\|[a-z_]\w*(?:\.[a-z_]\w*){2,}\Z|\$\{|#\{|%\{"
)
_NOT_A_PLACE = re.compile(r"\d{1,15}\Z")


class XmlModels:
    """The inspector `xml-models`; see the module."""

    name = NAME

    def inspect(self, subject: Subject) -> Report | None:
        """Clean with full coverage for PMML and OpenVINO IR that name no code; None for what is no XML.

        Raises:
            Truncated: the reader returned less than the artifact's size promises.
        """
        kind = subject.kind
        xml = _FIRST_TAG.match(subject.head) or subject.suffix in _SUFFIXES
        if not xml or kind.name not in ("structured-text", "other-text", "unrecognised", "utf-16-text"):
            return None
        notes = Notes(subject, _BY_ID)
        if subject.size_bytes > MAX_BYTES:
            notes.say("xml-limit", f"the text has {subject.size_bytes} bytes")
            return notes.report(NAME, 0)
        try:
            understood = _read(subject, notes)
        except XmlProblem as problem:
            notes.say(f"xml-{problem.rule}", problem.message)
            understood = False
        return notes.report(NAME, subject.size_bytes if understood else 0)


def _read(subject: Subject, notes: Notes) -> bool:
    judge: Callable[[Element], None] | None = None
    weights, acting = _Weights(subject, notes), ""
    for element in read_elements(subject):
        acting = acting or _acting(element)
        if len(element.path) == 1 and not element.ended:
            judge = {"PMML": lambda one: _pmml(one, notes), "net": weights.take}.get(element.tag)
            if element.tag == "CustomLayer":
                notes.say(
                    "openvino-custom-kernel",
                    f"the file describes the custom layer {shown(element.attributes.get('name', ''))}",
                )
        _script(element, notes)
        if judge is not None:
            judge(element)
    if judge is None and acting:
        notes.say("xml-not-understood", f"the text is neither PMML nor OpenVINO IR, and says {shown(acting)}")
    weights.finish()
    return judge is not None or not acting


def _acting(element: Element) -> str:
    """The name in an element of no known vocabulary by which some reader may act; "" where it only holds data."""
    root = element.path[0].rpartition(":")[2].lower()
    if root in _ACTING_ROOTS:
        return element.path[0]
    for name in () if root in _DATA_ROOTS else (element.tag, *element.attributes):
        # Where a schema may be found is a hint for validators.
        if name not in ("xsi:schemaLocation", "xsi:noNamespaceSchemaLocation") and _ACTING.search(
            name.rpartition(":")[2]
        ):
            return name
    for value in () if root in _DATA_ROOTS else element.attributes.values():
        if _ACTING_VALUE.match(value):
            return value
    return ""


def _script(element: Element, notes: Notes) -> None:
    line = f"line {element.line}"
    if element.tag.lower() == "script" and not element.ended:
        notes.say("xml-script", "there is a script element", location=line)
    for said in (element.text, *element.attributes.values()):
        found = _SCRIPT.search(said) if said else None
        if found:
            notes.say("xml-script", f"{shown(element.tag)} says {shown(said[found.start() :])}", location=line)


def _pmml(element: Element, notes: Notes) -> None:
    if element.tag == "Apply" and "." in element.attributes.get("function", ""):
        name = element.attributes["function"]
        notes.say("pmml-java-function", f"a field applies {shown(name)}", location=f"line {element.line}")


class _Weights:
    """Judges the layers of an OpenVINO IR, and sums up where its tensors lie."""

    def __init__(self, subject: Subject, notes: Notes) -> None:
        self._subject = subject
        self._notes = notes
        self._end = 0
        self._constants = 0

    def take(self, element: Element) -> None:
        if element.ended:
            return
        if element.tag == "layer":
            self._layer(element)
        elif element.tag == "data" and "offset" in element.attributes and len(element.path) > 2:
            self._place(element)

    def _layer(self, element: Element) -> None:
        kind, version = element.attributes.get("type", ""), element.attributes.get("version", "opset1")
        known = kind in OPERATIONS and re.fullmatch(r"opset\d{1,2}|ie_internal_opset|SCALE|experimental", version)
        if not known and not (version == "extension" and kind in TOKENIZER_OPERATIONS):
            message = f"a layer is {shown(kind)} of {shown(version)}"
            self._notes.say("openvino-custom-layer", message, location=f"line {element.line}")

    def _place(self, element: Element) -> None:
        offset, size = element.attributes["offset"], element.attributes.get("size", "")
        if not (_NOT_A_PLACE.match(offset) and _NOT_A_PLACE.match(size)):
            message = f"a tensor has {shown(size)} bytes at {shown(offset)}"
            self._notes.say("openvino-offset", message, location=f"line {element.line}")
            return
        self._end = max(self._end, int(offset) + int(size))
        self._constants += 1

    def finish(self) -> None:
        """States what the file of weights must hold."""
        if self._constants:
            stem = self._subject.path.rpartition("/")[2].rpartition(".")[0]
            self._subject.fact("file-reference", f"{stem}.bin", location="openvino weights")
            self._subject.fact("openvino-weights-bytes", str(self._end), location=f"{stem}.bin")
