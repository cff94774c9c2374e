"""What lies in the Hub's own files at one commit: code that a loader would import, secrets in texts, and how fast they come.

Read through `source.hub`, which holds every answer against the pinned commit. Texts of at most `MAX_TEXT_BYTES` are looked at;
an inspection of exactly that commit, where there is one, says more and is taken instead.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Final

from weighbridge.core.canonical import JsonValue
from weighbridge.core.errors import FormatError, NothingCollected, WeighbridgeError
from weighbridge.core.finding import Inspection
from weighbridge.core.names import Address, ModelName
from weighbridge.core.ports import Source
from weighbridge.core.shown import plain
from weighbridge.core.snapshot import Entry, Snapshot
from weighbridge.formats.json_text import Json, parse
from weighbridge.posture.evidence import Evidence, Unobtained
from weighbridge.posture.gathering import Gathered, Notes, bounded, gathered, listed, sha256
from weighbridge.transfer.scan import Scanner
from weighbridge.wire.http import Http

CODE_IDS: Final = ("hub.code",)
SECRET_IDS: Final = ("hub.secrets",)
LOAD_IDS: Final = ("hub.load_seconds", "hub.load.measured")
IDS: Final = (*CODE_IDS, *SECRET_IDS)
MAX_TEXT_BYTES: Final = 1024 * 1024
MAX_TEXTS: Final = 200
MAX_MEASURED_BYTES: Final = 1 << 30
MAX_MEASURED_SECONDS: Final = 60.0
_BLOCK: Final = 1024 * 1024
TEXT_ENDINGS: Final = (
    *(
        ".json",
        ".jsonl",
        ".yaml",
        ".yml",
        ".toml",
        ".ini",
        ".cfg",
        ".md",
        ".txt",
        ".py",
        ".sh",
        ".env",
        ".ipynb",
        ".jinja",
    ),
    *(
        ".gitattributes",
        ".gitignore",
        ".conf",
        ".properties",
        ".netrc",
        ".npmrc",
        ".pem",
        ".key",
        ".xml",
        ".html",
        ".csv",
    ),
)
CODE_ENDINGS: Final = (".py", ".ipynb", ".sh", ".so", ".dll", ".pyc", ".pyx")
CONFIGURATIONS: Final = (
    *("config.json", "tokenizer_config.json", "processor_config.json", "preprocessor_config.json"),
    *("generation_config.json", "model_index.json", "adapter_config.json", "video_preprocessor_config.json"),
)
"""Configurations in which `auto_map`, or a `custom_pipelines`, has a loader import Python."""
_ASKS: Final = ("auto_map", "custom_pipelines", "custom_generate")


@dataclass(frozen=True, slots=True)
class FilesQuestion:
    """Which files: those of a model at a commit; `inspection` is one of exactly that commit."""

    http: Http
    endpoint: str
    model_name: ModelName
    commit: str
    inspection: Inspection | None = None


def read_files(notes: Notes, asked: FilesQuestion, *, scanner: Scanner | None, measure_bytes: int) -> Gathered:
    """The facts of the files; never raises for what cannot be read."""
    from weighbridge.source.hub import HubSource

    address = Address("hf", str(asked.model_name), asked.commit)
    try:
        source = HubSource(address, http=asked.http, endpoint=asked.endpoint)
        snapshot = source.pin()
    except WeighbridgeError as error:
        for id_ in (*IDS, *LOAD_IDS):
            yield Unobtained(id_, plain(error.diagnostics(), 400))
        return
    yield from gathered(CODE_IDS, lambda: _code(notes, source, snapshot))
    yield from gathered(SECRET_IDS, lambda: _secrets(notes, asked, source, snapshot, scanner))
    yield from gathered(LOAD_IDS, lambda: measured(notes, "hub", source, snapshot, measure_bytes))


def _code(notes: Notes, source: Source, snapshot: Snapshot) -> Iterator[Evidence]:
    found = [entry.path for entry in snapshot.entries if entry.path.lower().endswith(CODE_ENDINGS)]
    for entry in snapshot.entries:
        if entry.path.rpartition("/")[2] not in CONFIGURATIONS:
            continue
        found += [f"{entry.path}#{key}" for key in _asks(_text(source, entry))]
    yield notes.saw("hub.code", listed(found), f"{snapshot.source}: names of files, and configurations")


def _asks(data: bytes) -> list[str]:
    """The keys by which a configuration asks for code. One that cannot be read may ask for anything."""
    try:
        value = parse(data).value
    except FormatError:
        return ["unreadable"]
    found: list[str] = []
    waiting: list[Json] = [value]
    while waiting:
        one = waiting.pop()
        if isinstance(one, dict):
            found += [key for key in _ASKS if one.get(key)]
            waiting += one.values()
        elif isinstance(one, list):
            waiting += one
    return sorted(set(found))


def _text(source: Source, entry: Entry) -> bytes:
    """A small file whole; of a larger one nothing, which then is unreadable."""
    if entry.size_bytes > MAX_TEXT_BYTES:
        return b""
    data = bytearray(entry.size_bytes)
    filled = 0
    with source.open(entry, 0, entry.size_bytes) as stream:
        while filled < len(data) and (count := stream.readinto(memoryview(data)[filled:])):
            filled += count
    return bytes(data[:filled])


def _secrets(
    notes: Notes, asked: FilesQuestion, source: Source, snapshot: Snapshot, scanner: Scanner | None
) -> Iterator[Evidence]:
    inspection, how = asked.inspection, "the newest inspection of this commit"
    if inspection is None:
        if scanner is None:
            raise NothingCollected(
                "no inspection of this commit is here, and none was asked for",
                hint=f"weighbridge scan hf://{asked.model_name}@{asked.commit} looks for secrets.",
            )
        texts = [one for one in snapshot.entries if one.size_bytes <= MAX_TEXT_BYTES and _is_text(one.path)][:MAX_TEXTS]
        selected = replace(snapshot, entries=tuple(texts))
        inspection = scanner.inspect(source, snapshot, selected).inspection
        how = f"{len(texts)} texts of at most {MAX_TEXT_BYTES} bytes, by rules {inspection.rules_version}"
    blind = sorted({one.rule for one in inspection.findings if one.rule in _BLIND})
    if blind:
        raise NothingCollected(f"not everything was searched for secrets ({', '.join(blind)})")
    pairs = sorted({(one.path, one.rule) for one in inspection.findings if one.rule.startswith("secret-")})
    found: list[JsonValue] = [{"path": plain(path), "rule": rule} for path, rule in pairs]
    yield notes.saw("hub.secrets", bounded(found), how, digest=sha256(inspection.to_bytes()))


_BLIND: Final = ("secrets-engine-missing", "secrets-engine-failed", "secrets-not-all-searched")


def _is_text(path: str) -> bool:
    return path.lower().endswith(TEXT_ENDINGS) or "." not in path.rpartition("/")[2]


def measured(notes: Notes, route: str, source: Source, snapshot: Snapshot, measure_bytes: int) -> Iterator[Evidence]:
    """How long the whole would take at the rate at which a part of its largest file came, just now, from here.

    Raises:
        NothingCollected: no measuring was asked for, or there is nothing to read. Others: it cannot be read.
    """
    if measure_bytes <= 0:
        raise NothingCollected("it was not measured", hint="Ask for it: --measure.")
    largest = max(snapshot.entries, key=lambda entry: (entry.size_bytes, entry.path), default=None)
    if largest is None or not largest.size_bytes:
        raise NothingCollected("there is nothing to read")
    wanted = min(measure_bytes, MAX_MEASURED_BYTES, largest.size_bytes)
    buffer, count = bytearray(_BLOCK), 0
    began = time.monotonic()
    with source.open(largest, 0, wanted) as stream:
        while count < wanted and (got := stream.readinto(memoryview(buffer)[: wanted - count])):
            count += got
            if time.monotonic() - began > MAX_MEASURED_SECONDS:
                break
    if not count:
        raise NothingCollected("nothing came")
    milliseconds = max(1, round((time.monotonic() - began) * 1000))
    whole = snapshot.total_bytes
    where = f"{count} bytes of {snapshot.source}/{largest.path}, by one stream"
    seconds = -(-whole * milliseconds // (count * 1000))
    yield notes.saw(f"{route}.load_seconds", max(1, seconds), where)
    values: dict[str, JsonValue] = {"read_bytes": count, "milliseconds": milliseconds, "model_bytes": whole}
    yield notes.saw(f"{route}.load.measured", values, where)
