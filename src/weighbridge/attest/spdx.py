"""Writes a bill of materials as SPDX 3.0.1 JSON-LD, by the SPDX project's own bindings (`spdx-python-model`).

The bindings are generated from the specification's SHACL model: they refuse unknown properties, values of another type and
missing mandatory ones, here and when the document is read back. The document conforms to the profiles it names: each
AI package and each data set has exactly one declared and one concluded licence, mostly "no assertion".
Elements are in order of their identifier; those of files count from 0 in the manifest's order.
Source: https://spdx.github.io/spdx-spec/v3.0.1/.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Final

from spdx_python_model import v3_0_1 as model

from weighbridge import __version__
from weighbridge.attest.bom_facts import Ancestor, BomFacts, Licence, Part, plain, whole_seconds

SPEC_VERSION: Final = "3.0.1"
PROFILES: Final = ("core", "software", "simpleLicensing", "ai", "dataset", "extension")
_PURPOSES: Final = {
    "python": "source",
    "notebook": "source",
    "script": "source",
    "markdown": "documentation",
    "text": "documentation",
    "json": "configuration",
    "yaml": "configuration",
    "toml": "configuration",
    "safetensors": "data",
    "gguf": "data",
    "pickle": "data",
    "zip": "archive",
    "tar": "archive",
}
"""What a file is for, by its kind; of any other kind nothing is said."""


def document(facts: BomFacts) -> bytes:
    """The document; see `weighbridge.attest.bom.spdx`."""
    written = _Writing(facts)
    written.document()
    objects = model.SHACLObjectSet()
    for element in written.elements:
        objects.add(element)
    data = model.JSONLDSerializer().serialize_data(objects, force_at_graph=True)
    data["@graph"].sort(key=lambda one: str(one.get("spdxId", one.get("@id", ""))))
    return json.dumps(data, ensure_ascii=False, sort_keys=True, indent=2).encode("utf-8") + b"\n"


class _Writing:
    """The elements of one document, each with an identifier made of the facts and its place."""

    def __init__(self, facts: BomFacts) -> None:
        self._facts = facts
        self._base = f"https://weighbridge.dev/spdx/{facts.identity}"
        self.elements: list[model.Element] = []
        self._creation = model.CreationInfo(
            created=datetime.fromisoformat(whole_seconds(facts.sealed_at)), specVersion=SPEC_VERSION
        )
        maker = self.add(model.SoftwareAgent, "maker", name=f"weighbridge {__version__}")
        self._creation.createdBy = [maker]

    def add(self, kind: type[model.Element], place: str, /, **properties: object) -> str:
        """Adds an element at that place and returns its identifier; properties without a value are left out."""
        spdx_id = f"{self._base}#{place}"
        element = kind(spdxId=spdx_id, creationInfo=self._creation)
        for key, value in properties.items():
            if value not in (None, "", [], ()):
                setattr(element, key, value)
        self.elements.append(element)
        return spdx_id

    def document(self) -> None:
        """All elements."""
        package = self._package()
        self.add(
            model.SpdxDocument,
            "document",
            name=self._facts.manifest.reference,
            rootElement=[package],
            element=sorted(str(element.spdxId) for element in self.elements),
            profileConformance=[getattr(model.ProfileIdentifierType, name) for name in PROFILES],
        )

    def _package(self) -> str:
        """The model with all that belongs to it; its identifier."""
        facts, architecture = self._facts, self._facts.architecture
        supplier = self._supplier()
        package = self.add(
            model.ai_AIPackage,
            "model",
            name=str(facts.manifest.model_name),
            software_packageVersion=facts.manifest.revision,
            software_primaryPurpose=model.software_SoftwarePurpose.model,
            software_packageUrl=facts.purl,
            software_downloadLocation=facts.url,
            suppliedBy=supplier,
            originatedBy=[supplier] if supplier else None,
            releaseTime=_time(facts.manifest.origin.published_at),
            ai_typeOfModel=list(dict.fromkeys(filter(None, (*architecture.architectures, architecture.model_type)))),
            ai_domain=[plain(facts.card.pipeline_tag)] if facts.card.pipeline_tag else None,
            ai_hyperparameter=[_entry(name, str(size)) for name, size in architecture.sizes],
            ai_metric=[_entry(_of(one.name, one.dataset), plain(one.value)) for one in facts.card.metrics],
            comment=facts.changes,
            extension=[_extension(facts.properties())],
        )
        files = [self._file(number, part) for number, part in enumerate(facts.parts)]
        self._relate("contains", package, "contains", files, complete=True)
        self._licences(package, facts.licences)
        ancestors = [self._ancestor(number, one) for number, one in enumerate(facts.ancestors)]
        self._relate("lineage", package, "descendantOf", ancestors)
        datasets = [self._dataset(number, name) for number, name in enumerate(facts.card.datasets)]
        self._relate("training", package, "trainedOn", datasets)
        return package

    def _supplier(self) -> str | None:
        origin = self._facts.manifest.origin
        if not origin.owner:
            return None
        kind = model.Person if origin.owner_kind == "user" else model.Organization
        return self.add(kind, "owner", name=plain(origin.owner))

    def _file(self, number: int, part: Part) -> str:
        artifact = part.artifact
        pairs = (
            ("weighbridge:size-bytes", str(artifact.size_bytes)),
            ("weighbridge:kind", part.kind),
            ("weighbridge:verdict", part.verdict),
            ("weighbridge:proven-by", artifact.proven),
        )
        return self.add(
            model.software_File,
            f"file-{number}",
            name=artifact.path,
            software_fileKind=model.software_FileKindType.file,
            software_primaryPurpose=_purpose(part.kind),
            verifiedUsing=[model.Hash(algorithm=model.HashAlgorithm.sha256, hashValue=artifact.sha256)],
            extension=[_extension([(name, value) for name, value in pairs if value])],
        )

    def _ancestor(self, number: int, one: Ancestor) -> str:
        pairs = (("weighbridge:lineage", one.how), ("weighbridge:manifest-digest", one.manifest_digest))
        ancestor = self.add(
            model.ai_AIPackage,
            f"ancestor-{number}",
            name=one.name,
            software_packageVersion=one.revision,
            software_primaryPurpose=model.software_SoftwarePurpose.model,
            software_packageUrl=one.purl,
            software_downloadLocation=one.url or self._facts.hub_page("", one.name),
            extension=[_extension([(name, value) for name, value in pairs if value])],
        )
        self._licences(ancestor, ())
        return ancestor

    def _dataset(self, number: int, name: str) -> str:
        dataset = self.add(
            model.dataset_DatasetPackage,
            f"dataset-{number}",
            name=plain(name),
            software_primaryPurpose=model.software_SoftwarePurpose.data,
            software_downloadLocation=self._facts.hub_page("datasets/", name),
            dataset_datasetType=[model.dataset_DatasetType.noAssertion],
        )
        self._licences(dataset, ())
        return dataset

    def _licences(self, package: str, licences: Sequence[Licence]) -> None:
        """What is declared of a package, and that nothing is concluded."""
        nothing = model.expandedlicensing_IndividualLicensingInfo.NAMED_INDIVIDUALS["NoAssertionLicense"]
        name = package.rpartition("#")[2]
        declared = self._expression(name, licences) if licences else nothing
        self._relate(f"{name}-declared", package, "hasDeclaredLicense", [declared])
        self._relate(f"{name}-concluded", package, "hasConcludedLicense", [nothing])

    def _expression(self, name: str, licences: Sequence[Licence]) -> str:
        customs = {one.reference: one for one in licences if not one.spdx_id}
        entries = []
        for number, (reference, one) in enumerate(customs.items()):
            text = f"The model card names the licence '{one.name}'" + (f", at {one.url}." if one.url else ".")
            custom = self.add(
                model.simplelicensing_SimpleLicensingText,
                f"{name}-licence-text-{number}",
                name=one.name,
                simplelicensing_licenseText=f"{text} Its text is not part of this document.",
            )
            entries.append(_entry(reference, custom))
        return self.add(
            model.simplelicensing_LicenseExpression,
            f"{name}-licence",
            simplelicensing_licenseExpression=" AND ".join(dict.fromkeys(one.reference for one in licences)),
            simplelicensing_customIdToUri=entries,
        )

    def _relate(self, name: str, start: str, kind: str, ends: Sequence[str], *, complete: bool = False) -> None:
        if not ends:
            return
        known = model.RelationshipCompleteness
        self.add(
            model.Relationship,
            name,
            from_=start,
            relationshipType=getattr(model.RelationshipType, kind),
            to=list(ends),
            completeness=known.complete if complete else known.noAssertion,
        )


def _entry(key: str, value: str) -> model.DictionaryEntry:
    return model.DictionaryEntry(key=key, value=value)


def _extension(pairs: Iterable[tuple[str, str]]) -> model.extension_CdxPropertiesExtension:
    entries = [
        model.extension_CdxPropertyEntry(extension_cdxPropName=name, extension_cdxPropValue=value)
        for name, value in pairs
    ]
    return model.extension_CdxPropertiesExtension(extension_cdxProperty=entries)


def _of(metric: str, dataset: str) -> str:
    return plain(f"{metric} on {dataset}" if dataset else metric)


def _purpose(kind: str) -> str:
    return str(getattr(model.software_SoftwarePurpose, _PURPOSES[kind])) if kind in _PURPOSES else ""


def _time(text: str) -> datetime | None:
    try:
        return datetime.fromisoformat(whole_seconds(text)) if text else None
    except ValueError:
        return None
