"""Gathers what a bill of materials says of a revision: proven files, what was found, and what the publisher claims.

Proven are the manifest's sizes and digests, and the inspection. Claimed are the model card (licence, base models, data sets,
results) and `config.json` (architecture); the documents keep them apart. Each text that is read is held against the
manifest's digest first. A claim that cannot be read is named as such in `unread`; it never stops a bill of materials.

Text of strangers is cut to `MAX_TEXT` characters, without control characters. Limits: see `formats.card`, `MAX_READ_BYTES`.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Final, TypeVar
from urllib.parse import quote

from weighbridge.core import canonical
from weighbridge.core.errors import ConfigError, DigestMismatch, FormatError, LimitExceeded, Malformed
from weighbridge.core.finding import Inspection, Report, Severity, combine
from weighbridge.core.manifest import Artifact, Manifest
from weighbridge.core.names import Reference, is_revision
from weighbridge.formats import json_text
from weighbridge.formats.card import Card, read_card
from weighbridge.formats.json_text import Json

CARD: Final = "README.md"
CONFIG: Final = "config.json"
INDEX: Final = "model.safetensors.index.json"
MAX_READ_BYTES: Final = 32 * 1024 * 1024
"""The index of 163 shards takes 9 MB."""
MAX_TEXT: Final = 500
MAX_LINEAGE: Final = 16
_SIZES: Final = (
    "hidden_size",
    "intermediate_size",
    "num_hidden_layers",
    "num_attention_heads",
    "num_key_value_heads",
    "n_routed_experts",
    "num_experts",
    "vocab_size",
    "max_position_embeddings",
)
_HUB_ID = re.compile(r"\w[\w.-]{0,95}(?:/\w[\w.-]{0,95})?", re.ASCII)
_WEB = re.compile(r"https?://[\w.-]+(?::\d{1,5})?(?:/[\w./~%?=&+#,;:@!$'()*-]*)?", re.ASCII)
_LATER_THAN_SECONDS = re.compile(r"\.\d+(?=Z|[+-]\d\d:\d\d$)")

Answer = TypeVar("Answer")
Read = Callable[[str], bytes | None]
"""Returns all bytes of an artifact, or None where there is none."""


@dataclass(frozen=True, slots=True)
class Architecture:
    """What `config.json` and the index say of the model; "" and 0 where they do not. `sizes` are layers, heads and such."""

    model_type: str = ""
    architectures: tuple[str, ...] = ()
    dtype: str = ""
    quantisation: str = ""
    parameters: int = 0
    sizes: tuple[tuple[str, int], ...] = ()
    remote_code: tuple[str, ...] = ()
    """Names of `auto_map`: classes that only code of the repository, or of another, provides."""


@dataclass(frozen=True, slots=True)
class Part:
    """One file: the manifest's record, and what the inspection made of it ("" where it does not say)."""

    artifact: Artifact
    kind: str
    verdict: str


@dataclass(frozen=True, slots=True)
class Ancestor:
    """A model that this one was made from: `org/name` and, where it is known, its 40-hex revision and manifest digest.

    `how` says in which way: `remediated` for the parent of a derived revision, else as the card says, or `base model`.
    """

    name: str
    revision: str = ""
    how: str = "base model"
    manifest_digest: str = ""
    url: str = ""
    purl: str = ""


@dataclass(frozen=True, slots=True)
class Licence:
    """A licence as the card declares it: an identifier of the SPDX list, or a name of another with its address or ""."""

    spdx_id: str = ""
    name: str = ""
    url: str = ""

    @property
    def reference(self) -> str:
        """How an SPDX licence expression names it."""
        words = (
            re.sub(r"[^A-Za-z0-9.]+", "-", self.name).strip("-.") or hashlib.sha256(self.name.encode()).hexdigest()[:12]
        )
        return self.spdx_id or f"LicenseRef-{words[:100]}"


@dataclass(frozen=True, slots=True)
class BomFacts:
    """All that a document is made from: equal facts give equal bytes. `sealed_at` is RFC 3339 in UTC."""

    manifest: Manifest
    sealed_at: str
    verdict: str
    rules_version: str
    inspection_digest: str
    findings: tuple[tuple[str, int], ...]
    parts: tuple[Part, ...]
    card: Card
    architecture: Architecture
    ancestors: tuple[Ancestor, ...]
    changes: str
    unread: tuple[str, ...]

    @property
    def identity(self) -> str:
        """64 hex digits that no other revision, inspection or time of sealing shares."""
        return canonical.digest([self.manifest.digest, self.inspection_digest, self.sealed_at])

    @property
    def url(self) -> str:
        """The page of the repository at the exact commit, for revisions of a Hub."""
        return _page(self.manifest)

    @property
    def purl(self) -> str:
        """The package URL of the upstream revision, for revisions of a Hub."""
        return _purl(self.manifest)

    @property
    def licences(self) -> tuple[Licence, ...]:
        """What the card declares; `other` is named by its `license_name`.

        Raises:
            ConfigError: the extra `bom`, which has the SPDX list, is not installed.
        """
        try:
            from cyclonedx.spdx import fixup_id
        except ModuleNotFoundError as error:
            raise missing_extra() from error

        found = []
        for written in self.card.licences:
            spdx_id = fixup_id(written) or ""
            name = self.card.licence_name if written == "other" and self.card.licence_name else written
            url = "" if spdx_id else web_address(self.card.licence_link)
            found.append(Licence(spdx_id, "" if spdx_id else plain(name), url))
        return tuple(dict.fromkeys(found))

    def hub_page(self, kind: str, name: str) -> str:
        """The page of another repository (`kind` is "" for models, `datasets/`) at the Hub this one came from."""
        endpoint = self.manifest.origin.endpoint.rstrip("/")
        return f"{endpoint}/{kind}{name}" if _WEB.fullmatch(endpoint) and _HUB_ID.fullmatch(name) else ""

    def properties(self) -> list[tuple[str, str]]:
        """What the standards have no field for, as (`weighbridge:...`, value), in order; no empty values."""
        origin, architecture = self.manifest.origin, self.architecture
        pairs = [
            ("manifest-digest", self.manifest.digest),
            ("revision", self.manifest.revision),
            ("verdict", self.verdict),
            ("rules-version", self.rules_version),
            ("inspection-digest", self.inspection_digest),
            ("sealed-at", self.sealed_at),
            ("total-bytes", str(self.manifest.total_bytes)),
            *((f"findings:{severity}", str(count)) for severity, count in self.findings),
            *((f"origin:{name}", getattr(origin, name)) for name in origin.__slots__),
            ("config:parameters", str(architecture.parameters or "")),
            ("config:dtype", architecture.dtype),
            ("config:quantisation", architecture.quantisation),
            *((f"config:{name}", str(size)) for name, size in architecture.sizes),
            *(("config:remote-code", name) for name in architecture.remote_code),
            *(("card:licence", licence) for licence in self.card.licences),
            ("card:licence-name", self.card.licence_name),
            ("card:licence-link", self.card.licence_link),
            ("card:library", self.card.library),
            *(("card:language", language) for language in self.card.languages),
            ("card:base-model-relation", self.card.base_model_relation),
            *(("not-read", reason) for reason in self.unread),
        ]
        return [(f"weighbridge:{name}", plain(value)) for name, value in pairs if value]


def gather(
    read: Read,
    manifest: Manifest,
    *,
    inspection: Inspection,
    sealed_at: str,
    parents: Sequence[Manifest] = (),
) -> BomFacts:
    """The facts of a revision. `read` is asked for at most three texts, none larger than `MAX_READ_BYTES`.

    `parents` are the manifests of what a derived revision was made from, the nearest first, as far as they are at hand.

    Raises:
        DigestMismatch: `read` gave other bytes than the manifest names.
        SourceError, StoreError: from `read`.
    """
    texts = _Texts(read, manifest)
    card = _answer(texts, CARD, _card) or Card()
    architecture = _answer(texts, CONFIG, _architecture) or Architecture()
    total = _answer(texts, INDEX, _parameters) or 0
    if total:
        architecture = replace(architecture, parameters=total)
    severities = [finding.severity for finding in inspection.findings]
    return BomFacts(
        manifest=manifest,
        sealed_at=sealed_at,
        verdict=inspection.verdict.value,
        rules_version=inspection.rules_version,
        inspection_digest=hashlib.sha256(inspection.to_bytes()).hexdigest(),
        findings=tuple((one.label, severities.count(one)) for one in reversed(Severity)),
        parts=tuple(_parts(manifest, inspection)),
        card=card,
        architecture=architecture,
        ancestors=tuple(_ancestors(manifest, card, parents)),
        changes=_changes(manifest, parents),
        unread=tuple(texts.unread),
    )


def missing_extra() -> ConfigError:
    """What to say where the libraries of the standards are not installed."""
    return ConfigError(
        "a bill of materials needs the 'bom' extra, which is not installed", hint="pip install 'weighbridge[bom]'"
    )


def plain(text: str) -> str:
    """A stranger's text on one line: no control or formatting characters, at most `MAX_TEXT` characters."""
    shown = "".join(
        one if unicodedata.category(one) not in ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp") else "\ufffd"
        for one in text[: MAX_TEXT + 1]
    )
    return shown if len(shown) <= MAX_TEXT else shown[: MAX_TEXT - 1] + "…"


def web_address(text: str) -> str:
    """`text` if it is a plain address of the web, else ""."""
    return text if len(text) <= 2_048 and _WEB.fullmatch(text) else ""


def whole_seconds(time: str) -> str:
    """An RFC 3339 time in UTC, cut to seconds, `YYYY-MM-DDTHH:MM:SSZ`."""
    return _LATER_THAN_SECONDS.sub("", time).removesuffix("+00:00").removesuffix("Z") + "Z"


# --- the texts ----------------------------------------------------------------------------------


class _Texts:
    """Reads texts of the revision, and keeps what could not be read and why."""

    def __init__(self, read: Read, manifest: Manifest) -> None:
        self._read = read
        self._manifest = manifest
        self.unread: list[str] = []

    def get(self, path: str) -> bytes | None:
        artifact = self._manifest.artifact(path)
        if artifact is None:
            return None
        if artifact.size_bytes > MAX_READ_BYTES:
            raise LimitExceeded(f"it has {artifact.size_bytes} bytes, and at most {MAX_READ_BYTES} are read")
        data = self._read(path)
        if data is None or hashlib.sha256(data).hexdigest() != artifact.sha256:
            raise DigestMismatch(
                f"'{path}' of {self._manifest.reference} is not what the manifest names",
                hint="It was altered or removed in the store: see `weighbridge verify --deep`.",
            )
        return data


def _answer(texts: _Texts, path: str, reading: Callable[[bytes], Answer]) -> Answer | None:
    try:
        data = texts.get(path)
        return None if data is None else reading(data)
    except FormatError as error:
        texts.unread.append(f"{path}: {error.message}")
        return None


def _card(data: bytes) -> Card:
    return read_card(data) or Card()


def _object(data: bytes) -> dict[str, Json]:
    value = json_text.parse(data).value
    if not isinstance(value, dict):
        raise Malformed("the text is not a JSON object")
    return value


def _architecture(data: bytes) -> Architecture:
    config = _object(data)
    quantisation = config.get("quantization_config")
    auto_map = config.get("auto_map")
    return Architecture(
        model_type=_word(config.get("model_type")),
        architectures=_words(config.get("architectures")),
        dtype=_word(config.get("dtype")) or _word(config.get("torch_dtype")),
        quantisation=_word(quantisation.get("quant_method")) if isinstance(quantisation, dict) else "",
        sizes=tuple((name, size) for name in _SIZES if (size := _count(config.get(name)))),
        remote_code=tuple(sorted(plain(name) for name in auto_map))[:20] if isinstance(auto_map, dict) else (),
    )


def _parameters(data: bytes) -> int:
    metadata = _object(data).get("metadata")
    return _count(metadata.get("total_parameters")) if isinstance(metadata, dict) else 0


def _word(value: Json) -> str:
    return plain(value) if isinstance(value, str) else ""


def _words(value: Json) -> tuple[str, ...]:
    return tuple(word for word in map(_word, value[:20]) if word) if isinstance(value, list) else ()


def _count(value: Json) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 < value < 1 << 53 else 0


# --- files and lineage --------------------------------------------------------------------------


def _parts(manifest: Manifest, inspection: Inspection) -> Iterable[Part]:
    by_path: dict[str, list[Report]] = {}
    for report in inspection.reports:
        by_path.setdefault(report.path, []).append(report)
    for artifact in manifest.artifacts:
        reports = by_path.get(artifact.path, [])
        kind = next((report.kind for report in reports if report.kind), "")
        yield Part(artifact, plain(kind), combine(report.settled_verdict for report in reports).value)


def _ancestors(manifest: Manifest, card: Card, parents: Sequence[Manifest]) -> Iterable[Ancestor]:
    if manifest.origin.kind == "derived" and not parents:
        yield _named_parent(manifest.origin.address)
    for parent in parents[:MAX_LINEAGE]:
        yield Ancestor(
            str(parent.model_name), parent.revision, "remediated", parent.digest, _page(parent), _purl(parent)
        )
    how = plain(card.base_model_relation) or "base model"
    for name in card.base_models:
        yield Ancestor(plain(name), how=how)


def _named_parent(address: str) -> Ancestor:
    """The parent of a derived revision by its reference alone."""
    try:
        reference = Reference.parse(address)
    except ConfigError:
        return Ancestor(plain(address), how="remediated")
    revision = reference.selector if is_revision(reference.selector) else ""
    return Ancestor(str(reference.model_name), revision, "remediated")


def _changes(manifest: Manifest, parents: Sequence[Manifest]) -> str:
    """What became of the parent's files, in one sentence."""
    if not parents:
        return ""
    before = {artifact.path: artifact.sha256 for artifact in parents[0].artifacts}
    after = {artifact.path: artifact.sha256 for artifact in manifest.artifacts}
    kept = sum(before.get(path) == digest for path, digest in after.items())
    changed = sum(path in before and before[path] != digest for path, digest in after.items())
    added, dropped = len(after.keys() - before.keys()), len(before.keys() - after.keys())
    return f"Of {parents[0].reference}: {kept} files as they were, {changed} changed, {added} new, {dropped} left out."


def _page(manifest: Manifest) -> str:
    origin = manifest.origin
    endpoint = origin.endpoint.rstrip("/")
    if origin.kind != "hub" or not _WEB.fullmatch(endpoint) or not _HUB_ID.fullmatch(origin.repository):
        return ""
    return f"{endpoint}/{origin.repository}/tree/{manifest.revision}"


def _purl(manifest: Manifest) -> str:
    """By the purl type `huggingface`; an endpoint of one's own is its `repository_url`."""
    origin = manifest.origin
    if not _page(manifest):
        return ""
    endpoint = origin.endpoint.rstrip("/")
    elsewhere = f"?repository_url={quote(endpoint, safe='')}" if endpoint != "https://huggingface.co" else ""
    return f"pkg:huggingface/{quote(origin.repository)}@{manifest.revision}{elsewhere}"
