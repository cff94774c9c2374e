"""Writes a bill of materials as CycloneDX 1.6 JSON, by the official library (`cyclonedx-python-lib`).

The library has no model cards and no `data` of components yet; these two fields are added to what it writes, and the
library's own strict validator accepts the whole (see the tests). Arrays are in the library's order, keys are sorted.
Source: https://cyclonedx.org/docs/1.6/json/ and https://cyclonedx.org/capabilities/mlbom/.
"""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Iterable
from datetime import datetime
from typing import Final

from cyclonedx.exception.model import InvalidUriException
from cyclonedx.model import ExternalReference, ExternalReferenceType, HashAlgorithm, HashType, Property, XsUri
from cyclonedx.model.bom import Bom, BomMetaData
from cyclonedx.model.component import Component, ComponentType, Pedigree
from cyclonedx.model.contact import OrganizationalContact, OrganizationalEntity
from cyclonedx.model.license import DisjunctiveLicense, LicenseAcknowledgement
from cyclonedx.output.json import JsonV1Dot6
from packageurl import PackageURL

from weighbridge import __version__
from weighbridge.attest.bom_facts import CARD, Ancestor, BomFacts, Licence, Part, plain
from weighbridge.core.canonical import JsonValue

SERIAL_NAMESPACE: Final = uuid.uuid5(uuid.NAMESPACE_URL, "https://weighbridge.dev/bom/v1")
_MODEL: Final = "model"


def document(facts: BomFacts) -> bytes:
    """The document; see `weighbridge.attest.bom.cyclonedx`."""
    datasets = [_dataset(facts, number, name) for number, name in enumerate(facts.card.datasets)]
    model = _model(facts)
    bom = Bom(
        serial_number=uuid.uuid5(SERIAL_NAMESPACE, facts.identity),
        version=1,
        metadata=BomMetaData(
            timestamp=datetime.fromisoformat(facts.sealed_at),
            tools=None,
            component=model,
            supplier=_supplier(facts),
        ),
        components=datasets,
    )
    bom.metadata.tools.components.add(
        Component(type=ComponentType.APPLICATION, name="weighbridge", version=__version__, bom_ref="weighbridge")
    )
    bom.register_dependency(model, datasets)
    written = json.loads(JsonV1Dot6(bom).output_as_string())
    written["metadata"]["component"]["modelCard"] = _model_card(facts)
    for component in written.get("components", ()):
        component["data"] = [_data(component)]
    return json.dumps(written, ensure_ascii=False, sort_keys=True, indent=2).encode("utf-8") + b"\n"


def _model(facts: BomFacts) -> Component:
    name = facts.manifest.model_name
    owner = plain(facts.manifest.origin.owner)
    ancestors = [_ancestor(facts, number, one) for number, one in enumerate(facts.ancestors)]
    return Component(
        type=ComponentType.MACHINE_LEARNING_MODEL,
        bom_ref=_MODEL,
        group=name.organisation,
        name=name.name,
        version=facts.manifest.revision,
        purl=PackageURL.from_string(facts.purl) if facts.purl else None,
        supplier=_supplier(facts),
        authors=[OrganizationalContact(name=owner)] if owner else None,
        licenses=[_licence(one) for one in facts.licences],
        external_references=list(_references(facts)),
        pedigree=Pedigree(ancestors=ancestors, notes=facts.changes or None) if ancestors else None,
        tags=[plain(tag) for tag in facts.card.tags],
        properties=_properties(facts.properties()),
        components=[_file(part) for part in facts.parts],
    )


def _file(part: Part) -> Component:
    artifact = part.artifact
    pairs = [
        ("weighbridge:size-bytes", str(artifact.size_bytes)),
        ("weighbridge:kind", part.kind),
        ("weighbridge:verdict", part.verdict),
        ("weighbridge:proven-by", artifact.proven),
        ("weighbridge:git-blob-sha1", artifact.git_sha1),
    ]
    return Component(
        type=ComponentType.FILE,
        bom_ref=f"file:{artifact.path}",
        name=artifact.path,
        hashes=[HashType(alg=HashAlgorithm.SHA_256, content=artifact.sha256)],
        properties=_properties((name, value) for name, value in pairs if value),
    )


def _ancestor(facts: BomFacts, number: int, one: Ancestor) -> Component:
    group, slash, name = one.name.rpartition("/")
    url = one.url or facts.hub_page("", one.name)
    pairs = (("weighbridge:lineage", one.how), ("weighbridge:manifest-digest", one.manifest_digest))
    return Component(
        type=ComponentType.MACHINE_LEARNING_MODEL,
        bom_ref=f"ancestor:{number}",
        group=group if slash else None,
        name=name or one.name,
        version=one.revision or None,
        purl=PackageURL.from_string(one.purl) if one.purl else None,
        external_references=_references_to(url),
        properties=_properties((key, value) for key, value in pairs if value),
    )


def _dataset(facts: BomFacts, number: int, name: str) -> Component:
    return Component(
        type=ComponentType.DATA,
        bom_ref=f"dataset:{number}",
        name=plain(name),
        external_references=_references_to(facts.hub_page("datasets/", name)),
    )


def _data(component: dict[str, JsonValue]) -> JsonValue:
    """The `data` of a component that is a data set."""
    references = component.get("externalReferences")
    found: dict[str, JsonValue] = {"type": "dataset", "name": component["name"]}
    if isinstance(references, list):
        found["contents"] = {"url": references[0]["url"]}
    return found


def _model_card(facts: BomFacts) -> JsonValue:
    card, architecture = facts.card, facts.architecture
    parameters: dict[str, JsonValue] = {
        "task": plain(card.pipeline_tag),
        "architectureFamily": architecture.model_type,
        "modelArchitecture": ", ".join(architecture.architectures),
        "datasets": [{"ref": f"dataset:{number}"} for number in range(len(card.datasets))],
    }
    metrics: list[JsonValue] = [
        {
            "type": plain(one.name),
            "value": plain(one.value),
            "slice": plain(" / ".join(filter(None, (one.task, one.dataset)))),
        }
        for one in card.metrics
    ]
    written: dict[str, JsonValue] = {
        "bom-ref": "model-card",
        "modelParameters": {name: value for name, value in parameters.items() if value},
    }
    if metrics:
        written["quantitativeAnalysis"] = {"performanceMetrics": metrics}
    return written


def _supplier(facts: BomFacts) -> OrganizationalEntity | None:
    owner = plain(facts.manifest.origin.owner)
    if not owner:
        return None
    page = facts.hub_page("", facts.manifest.origin.owner)
    return OrganizationalEntity(name=owner, urls=[XsUri(page)] if page else None)


def _licence(licence: Licence) -> DisjunctiveLicense:
    """A licence is named by its SPDX identifier, or else by its name: a name of ours would be no identifier of the list."""
    uri = _uri(licence.url)
    declared = LicenseAcknowledgement.DECLARED
    if licence.spdx_id:
        return DisjunctiveLicense(id=licence.spdx_id, acknowledgement=declared)
    return DisjunctiveLicense(name=licence.name, url=uri, acknowledgement=declared)


def _references(facts: BomFacts) -> Iterable[ExternalReference]:
    if not facts.url:
        return
    yield from _references_to(facts.url, ExternalReferenceType.VCS)
    card = facts.manifest.artifact(CARD)
    if card is not None:
        yield ExternalReference(
            type=ExternalReferenceType.MODEL_CARD,
            url=XsUri(re.sub(r"/tree/(?=[0-9a-f]{40}\Z)", "/blob/", facts.url) + f"/{CARD}"),
            hashes=[HashType(alg=HashAlgorithm.SHA_256, content=card.sha256)],
        )


def _references_to(
    url: str, kind: ExternalReferenceType = ExternalReferenceType.DISTRIBUTION
) -> list[ExternalReference]:
    uri = _uri(url)
    return [ExternalReference(type=kind, url=uri)] if uri is not None else []


def _uri(url: str) -> XsUri | None:
    try:
        return XsUri(url) if url else None
    except InvalidUriException:
        return None


def _properties(pairs: Iterable[tuple[str, str]]) -> list[Property]:
    return [Property(name=name, value=value) for name, value in pairs]
