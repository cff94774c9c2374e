"""Reads what a model card says of its model: the YAML front matter of a README.md, as the Hub understands it.

- A card begins with a line `---` and its front matter ends with the next one; a text without both has no front matter.
- The YAML is followed as events of PyYAML's parser in pure Python; nothing is constructed. Scalars are text as written: the
  language `no` is Norwegian, a version stays `1.10`. Only `null`, `~` and nothing at all stand for an absent value.
- Aliases are never followed, so nothing can multiply; a tag, an alias, a merge key or a repeated key among the fields that
  are read is an error, because readers differ on them. Elsewhere they are passed by.
- At most `MAX_FRONT_BYTES`, of which `MAX_PARSED_BYTES` are parsed: the table of results (`model-index`), by far the
  longest part of long cards, is left out where the rest would not fit otherwise.

What a card says is its publisher's claim; nothing here checks it. Fields: https://huggingface.co/docs/hub/model-cards.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Iterator
from dataclasses import field
from typing import Final, TypeAlias

import yaml

from weighbridge.core.dataclass import dataclass
from weighbridge.core.errors import LimitExceeded, Malformed

MAX_FRONT_BYTES: Final = 2 * 1024 * 1024
MAX_PARSED_BYTES: Final = 96 * 1024
MAX_DEPTH: Final = 32
MAX_ITEMS: Final = 2_000
"""Values in one list of a card; the longest honest one names some hundred languages."""
MAX_TEXT: Final = 2_048
MAX_METRICS: Final = 200

_OPENING = re.compile(rb"\A(?:\xef\xbb\xbf)?\s{0,64}---[ \t]{0,64}\r?\n")
_CLOSING = re.compile(rb"^---[ \t]{0,64}\r?(?:\n|\Z)", re.MULTILINE)
_RESULTS = re.compile(rb"^model-index[ \t]{0,8}:[ \t]{0,8}\r?\n(?:(?:[ \t-][^\n]*)?\n)*", re.MULTILINE)
_HUB_OPENING: Final = re.compile(r"\s*---[\r\n]")
_HUB_CLOSING: Final = re.compile(r"[\r\n]---(?=[\r\n]|\Z)")
"""As `huggingface_hub` has them; https://github.com/huggingface/huggingface_hub/blob/main/src/huggingface_hub/repocard.py."""
_LAX_OPENING: Final = re.compile(r"[\s\ufeff]*---[ \t]*[\r\n]")
_LAX_CLOSING: Final = re.compile(r"[\r\n](?:---|\.\.\.)[ \t]*(?=[\r\n]|\Z)")
"""As the most generous reader would have them."""
_NOTHING: Final = frozenset(("", "~", "null", "Null", "NULL"))
_REORDERING: Final = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


@dataclass(frozen=True, slots=True)
class Metric:
    """One measured result of a card's `model-index`: what was measured, on which data set, and the value as written."""

    task: str
    dataset: str
    name: str
    value: str


@dataclass(frozen=True, slots=True)
class Card:
    """What a card's front matter says; "" and () where it does not say it.

    `licences` are as written (Hub identifiers such as `apache-2.0`, `llama3`, `other`); with `other`, `licence_name` and
    `licence_link` say which. `base_models` are `org/name`; `base_model_relation` is `finetune`, `quantized`, `adapter` or `merge`
    where the publisher says so.
    """

    licences: tuple[str, ...] = ()
    licence_name: str = ""
    licence_link: str = ""
    base_models: tuple[str, ...] = ()
    base_model_relation: str = ""
    datasets: tuple[str, ...] = ()
    languages: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    library: str = ""
    pipeline_tag: str = ""
    metrics: tuple[Metric, ...] = ()

    @property
    def licence(self) -> str:
        """The licence as written; of several, all of them joined by ` AND `, as one has to keep to each."""
        return " AND ".join(self.licences)


@dataclass(frozen=True, slots=True)
class _Odd:
    """A value that readers of YAML understand differently; an error where it is needed."""

    reason: str


_Node: TypeAlias = "str | _Odd | list[_Node] | dict[str, _Node] | None"


def read_card(data: bytes) -> Card | None:
    """What the card in `data`, the bytes of a README.md, says; None where it has no front matter.

    Raises:
        Malformed: the front matter is no YAML mapping, or a field of it has no value of its kind.
        LimitExceeded: it is larger, deeper or has more values than a card needs.
    """
    front = _front_matter(data)
    if front is None:
        return None
    fields = _compose(_text(front))
    if fields is None:
        return Card()
    if not isinstance(fields, dict):
        raise Malformed("the front matter of the model card is not a mapping")
    return Card(
        licences=_texts(fields, "license"),
        licence_name=_one(fields, "license_name"),
        licence_link=_one(fields, "license_link"),
        base_models=_texts(fields, "base_model"),
        base_model_relation=_one(fields, "base_model_relation"),
        datasets=_texts(fields, "datasets"),
        languages=_texts(fields, "language"),
        tags=_texts(fields, "tags"),
        library=_one(fields, "library_name"),
        pipeline_tag=_one(fields, "pipeline_tag"),
        metrics=tuple(_metrics(fields.get("model-index"))),
    )


def fields_of(data: bytes) -> dict[str, str]:
    """Every field of the front matter by its key, each as a digest of what stands there.

    Fields that refer to others by aliases, or have keys that are no texts, are those of the whole. Raises as `read_card`.
    """
    front = _front_matter(data)
    text = _text(front) if front is not None else ""
    found: dict[str, str] = {}
    try:
        key, depth, parts = "", 0, list[str]()
        for event in yaml.parse(text, Loader=yaml.SafeLoader):
            if isinstance(event, yaml.AliasEvent) or (depth == 1 and not parts and not isinstance(event, _KEYS)):
                return {"": _digest([text])}
            if isinstance(event, yaml.CollectionEndEvent):
                depth -= 1
            if depth == 1 and not parts and isinstance(event, yaml.ScalarEvent):
                key, parts = event.value, [""]
                continue
            if parts:
                parts.append(_written(event))
            if isinstance(event, yaml.CollectionStartEvent):
                depth += 1
            if depth == 1 and parts:
                found[key] = _digest([found.get(key, ""), *parts])
                parts = []
    except yaml.YAMLError as error:
        raise Malformed("the front matter of the model card is no YAML") from error
    return found


_KEYS: Final = (yaml.ScalarEvent, yaml.MappingEndEvent)


def _written(event: yaml.Event) -> str:
    """What stands there, without how it is set: the value, its tag, and whether it is a plain one."""
    if isinstance(event, yaml.ScalarEvent):
        return repr((event.value, event.tag, event.implicit))
    return repr((type(event).__name__, getattr(event, "tag", None)))


def _digest(parts: list[str]) -> str:
    return hashlib.sha256("\0".join(parts).encode("utf-8", "surrogatepass")).hexdigest()


def is_read_one_way(data: bytes) -> bool:
    """Whether this, the Hub's own library and the most generous reader find the same front matter in a card, or none.

    A byte order mark, ends of lines of another age, or blanks behind the dashes make one reader see fields where another sees
    words. Raises `LimitExceeded` as `read_card`.
    """
    text = data.decode("utf-8", "surrogateescape")
    whole = _whole_front_matter(data)
    ours = None if whole is None else whole.decode("utf-8", "surrogateescape").strip("\r\n")
    return ours == _between(text, _HUB_OPENING, _HUB_CLOSING) == _between(text, _LAX_OPENING, _LAX_CLOSING)


def _between(text: str, opening: re.Pattern[str], closing: re.Pattern[str]) -> str | None:
    begins = opening.match(text)
    ends = closing.search(text, begins.end() - 1) if begins is not None else None
    return text[begins.end() : ends.start()].strip("\r\n") if begins is not None and ends is not None else None


def _whole_front_matter(data: bytes) -> bytes | None:
    opening = _OPENING.match(data)
    if opening is None:
        return None
    closing = _CLOSING.search(data, opening.end(), opening.end() + MAX_FRONT_BYTES + 1)
    if closing is None:
        if len(data) - opening.end() > MAX_FRONT_BYTES:
            raise LimitExceeded(f"the front matter of the model card does not end within {MAX_FRONT_BYTES} bytes")
        return None
    return data[opening.end() : closing.start()]


def _front_matter(data: bytes) -> bytes | None:
    front = _whole_front_matter(data)
    if front is None:
        return None
    if len(front) > MAX_PARSED_BYTES:
        front = _RESULTS.sub(b"", front, count=1)
    if len(front) > MAX_PARSED_BYTES:
        raise LimitExceeded(f"the front matter of the model card has more than {MAX_PARSED_BYTES} bytes to parse")
    return front


def _text(front: bytes) -> str:
    try:
        return front.decode("utf-8")
    except UnicodeDecodeError as error:
        raise Malformed(f"the front matter of the model card is not UTF-8 at byte {error.start}") from error


def _compose(text: str) -> _Node:
    """The one value of a YAML text."""
    building = _Building()
    try:
        for event in yaml.parse(text, Loader=yaml.SafeLoader):
            building.take(event)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f" in line {mark.line + 2}" if mark is not None else ""
        raise Malformed(f"the front matter of the model card is no YAML{where}") from error
    return building.value


@dataclass(slots=True)
class _Open:
    """A collection under way; `key` is set where a mapping waits for the value of it."""

    value: list[_Node] | dict[str, _Node]
    tagged: str
    key: str | None = None


@dataclass(slots=True)
class _Building:
    """Puts events together to one value; nothing is shared between two places."""

    value: _Node = None
    documents: int = 0
    stack: list[_Open] = field(default_factory=list)

    def take(self, event: yaml.Event) -> None:
        match event:
            case yaml.DocumentStartEvent():
                self.documents += 1
                if self.documents > 1:
                    raise Malformed("the front matter of the model card is more than one document")
            case yaml.MappingStartEvent() | yaml.SequenceStartEvent():
                if len(self.stack) >= MAX_DEPTH:
                    raise LimitExceeded(f"the front matter of the model card is nested deeper than {MAX_DEPTH} levels")
                value: dict[str, _Node] | list[_Node] = {} if isinstance(event, yaml.MappingStartEvent) else []
                self.stack.append(_Open(value, event.tag or ""))
            case yaml.MappingEndEvent() | yaml.SequenceEndEvent():
                done = self.stack.pop()
                self._put(_Odd("a tag") if done.tagged else done.value)
            case yaml.ScalarEvent():
                if event.tag and event.tag != "!":
                    self._put(_Odd("a tag"))
                else:
                    plain = event.implicit[0] and event.value in _NOTHING
                    self._put(None if plain and event.style is None else event.value)
            case yaml.AliasEvent():
                self._put(_Odd("an alias"))

    def _put(self, node: _Node) -> None:
        if not self.stack:
            self.value = node
            return
        top = self.stack[-1]
        if isinstance(top.value, list):
            top.value.append(node)
        elif top.key is None:
            # No field that is read has a key of another kind.
            top.key = node if isinstance(node, str) else "\0"
            if top.key == "<<":
                raise Malformed("the front matter of the model card merges mappings, which readers do differently")
        else:
            top.value[top.key] = _Odd("its key twice") if top.key in top.value and top.key != "\0" else node
            top.key = None


def _texts(fields: dict[str, _Node], name: str) -> tuple[str, ...]:
    """The values of a field that is a text or a list of texts, each once, in the order given."""
    node = fields.get(name)
    items = node if isinstance(node, list) else [node]
    if len(items) > MAX_ITEMS:
        raise LimitExceeded(f"'{name}' of the model card has more than {MAX_ITEMS} values")
    return tuple(dict.fromkeys(text for text in (_checked(item, name) for item in items) if text))


def _one(fields: dict[str, _Node], name: str) -> str:
    return _checked(fields.get(name), name)


def _checked(node: _Node, name: str) -> str:
    if node is None:
        return ""
    if isinstance(node, _Odd):
        raise Malformed(f"'{name}' of the model card holds {node.reason}, which readers understand differently")
    if not isinstance(node, str):
        raise Malformed(f"'{name}' of the model card is not a text")
    text = node.strip()
    if len(text) > MAX_TEXT:
        raise LimitExceeded(f"'{name}' of the model card has more than {MAX_TEXT} characters")
    if any(unicodedata.category(one) in ("Cc", "Cs", "Zl", "Zp") or one in _REORDERING for one in text):
        raise Malformed(f"'{name}' of the model card holds a control character")
    return text


def _metrics(index: _Node) -> Iterator[Metric]:
    """The results of a `model-index`, as far as they have the Hub's shape; the table is for show, so nothing is refused."""
    left = MAX_METRICS
    for model in _mappings(index):
        for result in _mappings(model.get("results")):
            task, dataset = (_named(result.get(part)) for part in ("task", "dataset"))
            for metric in _mappings(result.get("metrics")):
                name, value = _shown(metric.get("type")) or _shown(metric.get("name")), _shown(metric.get("value"))
                if name and value and left:
                    left -= 1
                    yield Metric(task, dataset, name, value)


def _mappings(node: _Node) -> list[dict[str, _Node]]:
    return [one for one in node if isinstance(one, dict)] if isinstance(node, list) else []


def _named(node: _Node) -> str:
    return (_shown(node.get("name")) or _shown(node.get("type"))) if isinstance(node, dict) else ""


def _shown(node: _Node) -> str:
    try:
        return _checked(node, "model-index")
    except (Malformed, LimitExceeded):
        return ""
