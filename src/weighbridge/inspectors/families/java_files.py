"""Java: classes, start classes and serialised objects, whatever they are packed in.

Classes are code (H2O POJOs, UDFs, jars beside Spark models). A serialised object names classes that reading it
constructs; with the right library beside it, that runs anything, so the stream is bad and the classes it names are
told. A jar is a zip archive, whose members are inspected one by one; its manifest may name what starts by itself.
"""

from __future__ import annotations

import re
from typing import Final

from weighbridge.core.finding import Report, Severity
from weighbridge.formats.bounded import read_whole
from weighbridge.inspectors.notes import Notes, shown
from weighbridge.inspectors.rule import Rule
from weighbridge.inspectors.subject import Subject, report_of

NAME: Final = "java"
LOOK_BYTES: Final = 1024 * 1024
MAX_MANIFEST_BYTES: Final = 256 * 1024
_MAX_CLASSES: Final = 10


def _rule(name: str, title: str, severity: Severity, explanation: str) -> Rule:
    remedy = "Leave the file out with --exclude; take Java code from where software comes from."
    return Rule(f"java-{name}", title, severity, NAME, explanation, remedy)


RULES: Final[tuple[Rule, ...]] = (
    _rule("class", "Compiled Java class", Severity.HIGH, "It runs when a Java program loads it."),
    _rule(
        "serialised-object", "Serialised Java object", Severity.HIGH, "Reading it constructs whatever classes it names."
    ),
    _rule(
        "gadget",
        "Serialised Java object with a known gadget",
        Severity.CRITICAL,
        "It names a class whose construction, with a common library beside it, runs any command.",
    ),
    _rule(
        "start-class",
        "Java archive that starts a class",
        Severity.HIGH,
        "The manifest names a class that starts with the archive.",
    ),
    Rule(
        "java-spark-class",
        "Spark pipeline of a class that is not Spark's",
        Severity.MEDIUM,
        NAME,
        "Loading the pipeline imports the class by its name (in Python, any module that can be imported) and calls it.",
        "Find out which library the class is from, and decide whether it is one you use.",
    ),
)
_BY_ID: Final = {rule.id: rule for rule in RULES}

_GADGETS: Final = re.compile(
    rb"(?:org\.apache\.commons\.collections4?\.(?:functors|keyvalue|map\.LazyMap|comparators)"
    rb"|org\.apache\.commons\.beanutils\.BeanComparator|com\.sun\.org\.apache\.xalan[\w.]*TemplatesImpl"
    rb"|org\.codehaus\.groovy\.runtime|org\.springframework\.(?:beans|core|aop)|java\.lang\.(?:Runtime|ProcessBuilder)"
    rb"|sun\.reflect\.annotation\.AnnotationInvocationHandler|java\.rmi\.|javax\.management\.BadAttributeValueExpException"
    rb"|com\.mchange\.v2\.c3p0|org\.hibernate\.(?:engine|tuple|property)|bsh\.|org\.mozilla\.javascript|clojure\."
    rb"|javax\.naming\.|java\.net\.URLClassLoader|org\.python\.core|com\.rometools|java\.lang\.invoke\.SerializedLambda"
    rb"|sun\.rmi\.|scala\.sys\.process|org\.apache\.xbean|com\.zaxxer\.hikari|org\.jboss\.)"
)
_CLASS_DESCRIPTION: Final = re.compile(rb"\x72(..)([\w.$\[;]{1,300})", re.DOTALL)
_SPARK_CLASS: Final = re.compile(rb'"class"\s{0,20}:\s{0,20}"([^"\n]{0,300})"')
_SPARK_OWN: Final = re.compile(
    rb"(?:org\.apache\.spark\.ml|pyspark\.ml|com\.johnsnowlabs\.(?:nlp|ml)|ml\.dmlc\.xgboost4j|xgboost\.spark"
    rb"|com\.microsoft\.azure\.synapse\.ml|synapse\.ml|org\.mleap|ml\.combust)\.[\w.$]+\Z"
)
_STARTS: Final = re.compile(rb"^(Main-Class|Premain-Class|Agent-Class|Launcher-Agent-Class):\s*(\S+)", re.MULTILINE)


class JavaFiles:
    """The inspector `java`; see the module."""

    name = NAME

    def inspect(self, subject: Subject) -> Report | None:
        """Bad for classes, objects and start classes; None for what is no Java.

        Raises:
            Truncated: the reader returned less than the artifact's size promises.
        """
        kind, notes = subject.kind.name, Notes(subject, _BY_ID)
        if kind == "java-class":
            major = int.from_bytes(subject.head[6:8], "big")
            notes.say("java-class", f"the file is a class of version {major}")
            return notes.report(NAME, len(subject.head))
        if kind == "java-serialization":
            data = subject.read_exactly(0, min(LOOK_BYTES, subject.size_bytes))
            _object(data, notes)
            return notes.report(NAME, len(data))
        if subject.path.endswith("META-INF/MANIFEST.MF") and subject.kind.family == "text":
            return _manifest(subject, notes)
        if kind == "json" and b'"sparkVersion"' in subject.head:
            _spark(subject.head, notes)
            # Others give the account of the text.
            return report_of(NAME, subject, notes.found, subject.size_bytes) if notes else None
        return None


def _spark(head: bytes, notes: Notes) -> None:
    for found in _SPARK_CLASS.finditer(head):
        if not _SPARK_OWN.match(found.group(1)):
            notes.say("java-spark-class", f"the pipeline is a {shown(found.group(1))}")


def _object(data: bytes, notes: Notes) -> None:
    names: list[bytes] = []
    for found in _CLASS_DESCRIPTION.finditer(data):
        length = int.from_bytes(found.group(1), "big")
        name = found.group(2)[:length]
        if len(name) == length and b"." in name and name not in names and len(names) < _MAX_CLASSES:
            names.append(name)
    gadget = _GADGETS.search(data)
    if gadget:
        notes.say("java-gadget", f"the object names {shown(gadget.group())}", location=f"offset {gadget.start()}")
    said = f", of {shown(b', '.join(names))}" if names else ""
    notes.say("java-serialised-object", f"the file is a serialised object{said}")


def _manifest(subject: Subject, notes: Notes) -> Report:
    data = read_whole(subject, MAX_MANIFEST_BYTES)
    for found in _STARTS.finditer(data):
        notes.say("java-start-class", f"{found.group(1).decode()} is {shown(found.group(2))}")
    return notes.report(NAME, len(data))
