"""Reads the resources of a CloudFormation template: references, conditions and functions are written out where the template says them.

A parameter stands for its default, or for the one value that it may have; a condition for what those come to. What only the
deployment knows stays open: `${Name}` a parameter, `${Ref Name}` something that certainly is one thing (a resource, an id, an ARN),
`${If … else …}` what a condition chooses. Where such a condition chooses between objects, the first is read, and that is told.

Source: CloudFormation User Guide, "Intrinsic function reference" and "Parameters".
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from weighbridge.deploy.lint.parts import Document, Json, Place, Resource, mapping, pointer_of, sequence, text_of

MAX_TEXT: Final = 8_192
_MAX_CONDITIONS: Final = 50
"""So many conditions may refer to one another."""
_SUBSTITUTED: Final = re.compile(r"\$\{([A-Za-z0-9_.:]+)\}")
_KEPT: Final = re.compile(r"\$\{!([^{}]*)\}")
_NO_VALUE: Final = {"Ref": "AWS::NoValue"}
NOTHING: Final = "nothing"
"""What stands in `${If … else …}` for a property that is left out."""


def cloudformation(document: Document) -> Iterator[Resource]:
    """The resources of a template."""
    template = _Template(document)
    for name, one in mapping(template.root.get("Resources")).items():
        kind = text_of(mapping(one).get("Type")) or ""
        pointer = pointer_of("Resources", name, "Properties")
        template.doubts = []
        properties = mapping(template.written(mapping(one).get("Properties"), pointer))
        yield Resource(kind, name, properties, document, pointer, doubts=tuple(template.doubts))


class _Template:
    """A template's parameters, mappings and conditions."""

    def __init__(self, document: Document) -> None:
        self.document = document
        self.root = mapping(document.value)
        self.known: dict[str, Json] = {}
        self.doubts: list[tuple[Place, str]] = []
        self.answers: dict[str, bool | None] = {}
        for name in mapping(self.root.get("Resources")):
            self.known[name] = f"${{Ref {name}}}"
        for name, one in mapping(self.root.get("Parameters")).items():
            self._take_parameter(name, mapping(one))

    def _take_parameter(self, name: str, one: dict[str, Json]) -> None:
        kind, pattern = text_of(one.get("Type")) or "", text_of(one.get("AllowedPattern")) or ""
        allowed = [text_of(value) for value in sequence(one.get("AllowedValues"))]
        default = text_of(one.get("Default"))
        is_id = re.match(r"(?:List<)?AWS::(?!SSM::)", kind) is not None or pattern.lstrip("^").startswith("arn:")
        if default is not None and one.get("NoEcho") not in (True, "true"):
            is_list = kind.startswith(("List<", "CommaDelimited"))
            self.known[name] = [part.strip() for part in default.split(",")] if is_list and default else default
        elif len(allowed) == 1 and allowed[0] is not None:
            self.known[name] = allowed[0]
        elif is_id:
            self.known[name] = f"${{Ref {name}}}"

    def written(self, value: Json, at: str) -> Json:
        """The value with functions written out; as deep as the value, which is bounded."""
        if isinstance(value, list):
            return [
                one
                for place, item in enumerate(value)
                if (one := self.written(item, f"{at}/{place}")) is not None or item is None
            ]
        if not isinstance(value, dict):
            return value
        if len(value) == 1:
            ((key, inner),) = value.items()
            if key == "Ref" and isinstance(inner, str):
                return None if inner == "AWS::NoValue" else self.known.get(inner, f"${{{inner}}}")
            if key == "Fn::If" and len(sequence(inner)) == 3:
                return self._chosen(sequence(inner), at)
            if key.startswith("Fn::"):
                return self._called(key, self.written(inner, at), inner)
        return {key: self.written(one, at + pointer_of(key)) for key, one in value.items()}

    def _chosen(self, parts: list[Json], at: str) -> Json:
        """What a condition chooses, where the template says it."""
        name = text_of(parts[0]) or ""
        answer = self.holds(name)
        if answer is not None:
            return self.written(parts[1] if answer else parts[2], at)
        first, second = self.written(parts[1], at), self.written(parts[2], at)
        if first == second:
            return first
        if isinstance(first, (dict, list)) or isinstance(second, (dict, list)):
            self.doubts.append((self.document.place(at), f"the condition {name[:100]!a} chooses what stands here"))
            return first if isinstance(first, (dict, list)) else second
        shown = [
            NOTHING if one == _NO_VALUE else (text_of(text) or "")
            for one, text in zip(parts[1:], (first, second), strict=True)
        ]
        return f"${{If {shown[0]} else {shown[1]}}}"[:MAX_TEXT]

    def holds(self, name: str) -> bool | None:
        """Whether a condition holds; None where that is known only when it is deployed."""
        return self._truth({"Condition": name}, 0)

    def _named(self, name: str, depth: int) -> bool | None:
        """As `holds`; each condition is looked at once, and one that refers to itself is not known."""
        if name not in self.answers:
            self.answers[name] = None
            self.answers[name] = self._truth(mapping(self.root.get("Conditions")).get(name), depth + 1)
        return self.answers[name]

    def _truth(self, value: Json, depth: int) -> bool | None:
        if depth > _MAX_CONDITIONS or not isinstance(value, dict) or len(value) != 1:
            return None
        ((key, inner),) = value.items()
        if key == "Condition":
            return self._named(text_of(inner) or "", depth)
        parts = sequence(inner)
        if key == "Fn::Equals" and len(parts) == 2:
            first, second = (text_of(self.written(part, "")) for part in parts)
            if first is None or second is None:
                return None
            return None if "${" in first + second and first != second else first == second
        answers = [self._truth(part, depth + 1) for part in parts]
        if key == "Fn::Not" and len(answers) == 1:
            return None if answers[0] is None else not answers[0]
        if key == "Fn::And" and answers:
            return False if False in answers else None if None in answers else True
        if key == "Fn::Or" and answers:
            return True if True in answers else None if None in answers else False
        return None

    def _called(self, name: str, inner: Json, raw: Json) -> Json:
        if name == "Fn::Sub":
            return self._substituted(inner)
        parts = sequence(inner)
        if name == "Fn::Join" and len(parts) == 2:
            separator = text_of(parts[0]) or ""
            return separator.join(text_of(part) or "${}" for part in sequence(parts[1]))[:MAX_TEXT]
        if name == "Fn::FindInMap" and len(parts) >= 3:
            found: Json = mapping(self.root.get("Mappings"))
            for part in parts[:3]:
                found = mapping(found).get(text_of(part) or "")
            if found is not None:
                return found
        if name == "Fn::Select" and len(parts) == 2 and isinstance(parts[1], list):
            at = text_of(parts[0]) or ""
            if at.isdecimal() and len(at) < 5 and int(at) < len(parts[1]):
                return parts[1][int(at)]
        shown = text_of(raw) or text_of(inner) or ".".join(text_of(one) or "" for one in parts)
        return f"${{{name.removeprefix('Fn::')} {shown}}}"[:MAX_TEXT]

    def _substituted(self, inner: Json) -> str:
        parts = sequence(inner)
        text = text_of(parts[0] if parts else inner) or ""
        names = {**self.known}
        for key, one in mapping(parts[1] if len(parts) > 1 else None).items():
            names[key] = text_of(one) or f"${{{key}}}"

        def value(found: re.Match[str]) -> str:
            return (text_of(names.get(found[1])) or found[0])[:MAX_TEXT]

        return _KEPT.sub(r"${\1}", _SUBSTITUTED.sub(value, text[:MAX_TEXT]))[: 4 * MAX_TEXT]
