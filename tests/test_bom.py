"""Bills of materials: accepted by the standards' own libraries, equal to the manifest, and the same whenever they are made."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import blake3
import pytest
import spdx_python_model
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from hypothesis import given, settings
from hypothesis import strategies as st
from license_expression import get_spdx_licensing

from tests.conftest import Command
from tests.support import deepseek
from tests.support.inspecting import inspection_of
from weighbridge.attest.bom import BomFacts, cyclonedx, gather, spdx, write
from weighbridge.attest.bom_facts import MAX_READ_BYTES, MAX_TEXT
from weighbridge.cli.commands.bom import bom_command
from weighbridge.core.digests import CHUNK_BYTES
from weighbridge.core.errors import ConfigError, DigestMismatch
from weighbridge.core.finding import Inspection
from weighbridge.core.manifest import Artifact, Manifest
from weighbridge.core.names import ModelName
from weighbridge.core.snapshot import Origin

REVISION = "0123456789abcdef0123456789abcdef01234567"
SEALED_AT = "2025-01-21T12:00:00.123456Z"
HUB = Origin(
    "hub",
    "hf://acme/tiny",
    endpoint="https://huggingface.co",
    repository="acme/tiny",
    repository_id="65f0",
    owner="acme",
    owner_id="65e0",
    owner_kind="org",
    requested_ref="main",
    commit=REVISION,
    published_at="2025-01-20T12:00:00.000Z",
)
CARD = b"""---
license: llama3
license_link: https://example.org/licence
base_model:
- acme/base
base_model_relation: finetune
datasets:
- squad
- acme/words
language:
- en
- no
library_name: transformers
pipeline_tag: text-generation
tags:
- tiny
model-index:
- name: tiny
  results:
  - task:
      type: question-answering
    dataset:
      name: squad
    metrics:
    - type: exact_match
      value: 0.5
---
# Tiny
"""
CONFIG = b"""{"architectures": ["LlamaForCausalLM"], "model_type": "llama", "torch_dtype": "bfloat16", "hidden_size": 64,
"num_hidden_layers": 2, "auto_map": {"AutoModel": "modeling.Tiny"}, "quantization_config": {"quant_method": "fp8"}}"""
FILES = {
    "README.md": CARD,
    "config.json": CONFIG,
    "model.safetensors.index.json": b'{"metadata": {"total_parameters": 1234, "total_size": 2468}, "weight_map": {}}',
    "model-00001-of-00001.safetensors": b"\x02\0\0\0\0\0\0\0{}",
    "sub folder/\xc3\xbc.txt".encode().decode(): b"words\n",
}
NOTHING = Inspection((), "2025.1")


def manifest_of(files: dict[str, bytes], origin: Origin = HUB, name: str = "acme/tiny") -> Manifest:
    artifacts = [
        Artifact(
            path,
            len(data),
            hashlib.sha256(data).hexdigest(),
            tuple(blake3.blake3(data[at : at + CHUNK_BYTES]).hexdigest() for at in range(0, len(data), CHUNK_BYTES)),
            proven="sha256",
        )
        for path, data in sorted(files.items())
    ]
    return Manifest(ModelName.parse(name), REVISION, origin, tuple(artifacts), created_at="2025-01-21T11:00:00Z")


def facts_of(files: dict[str, bytes], origin: Origin = HUB, **more: Any) -> BomFacts:
    given = {"inspection": NOTHING, "sealed_at": SEALED_AT, **more}
    return gather(files.get, manifest_of(files, origin), **given)


def with_card(card: bytes) -> BomFacts:
    return facts_of({"README.md": card})


def read_cyclonedx(data: bytes) -> dict[str, Any]:
    """The document, once the official strict validator has accepted it, and all its references lead somewhere."""
    problem = JsonStrictValidator(SchemaVersion.V1_6).validate_str(data.decode())
    assert problem is None, str(problem)[:2000]
    document: dict[str, Any] = json.loads(data)
    references = [one["bom-ref"] for one in walk(document) if "bom-ref" in one]
    assert len(references) == len(set(references))
    card = document["metadata"]["component"]["modelCard"]["modelParameters"]
    assert {one["ref"] for one in card.get("datasets", [])} <= set(references)
    return document


def walk(value: Any) -> list[dict[str, Any]]:
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return [*([value] if isinstance(value, dict) else []), *(one for part in inner for one in walk(part))]


class Spdx:
    """A document, once the official bindings have read it without leaving anything out."""

    def __init__(self, data: bytes) -> None:
        self.model, self.objects = spdx_python_model.load_data(json.loads(data))
        assert not self.objects.missing_ids
        self.document = self.one("SpdxDocument")
        self.package = self.document.rootElement[0]
        elements = {element.spdxId for element in self.all("Element")} - {self.document.spdxId}
        assert {element.spdxId for element in self.document.element} == elements
        again = json.loads(json.dumps(self.model.JSONLDSerializer().serialize_data(self.objects, force_at_graph=True)))
        assert count(again) == count(json.loads(data))

    def all(self, kind: str) -> list[Any]:
        return list(self.objects.foreach_type(kind, match_subclass=True))

    def one(self, kind: str) -> Any:
        (found,) = self.all(kind)
        return found

    def related(self, kind: str, start: Any = None) -> list[Any]:
        wanted = getattr(self.model.RelationshipType, kind)
        start = start or self.package
        return [
            end
            for one in self.all("Relationship")
            if one.relationshipType == wanted and one.from_ is start
            for end in one.to
        ]

    def properties(self, element: Any) -> dict[str, str]:
        return {
            entry.extension_cdxPropName: entry.extension_cdxPropValue
            for extension in element.extension
            for entry in extension.extension_cdxProperty
        }


def count(value: Any) -> int:
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return 1 + sum(map(count, inner))


@pytest.fixture(scope="module")
def facts() -> BomFacts:
    return facts_of(FILES, inspection=inspection_of(FILES))


@pytest.fixture(scope="module")
def cdx(facts: BomFacts) -> dict[str, Any]:
    return read_cyclonedx(cyclonedx(facts))


@pytest.fixture(scope="module")
def spd(facts: BomFacts) -> Spdx:
    return Spdx(spdx(facts))


# --- what is in it ------------------------------------------------------------------------------


def test_digests_of_every_file_are_those_of_the_bytes(cdx: dict[str, Any], spd: Spdx) -> None:
    expected = {path: hashlib.sha256(data).hexdigest() for path, data in FILES.items()}
    components = cdx["metadata"]["component"]["components"]
    assert {one["name"]: one["hashes"] for one in components} == {
        path: [{"alg": "SHA-256", "content": digest}] for path, digest in expected.items()
    }
    sizes = {one["name"]: properties(one)["weighbridge:size-bytes"] for one in components}
    assert sizes == {path: str(len(data)) for path, data in FILES.items()}
    contained = spd.related("contains")
    assert {one.name: [value.hashValue for value in one.verifiedUsing] for one in contained} == {
        path: [digest] for path, digest in expected.items()
    }


def properties(component: dict[str, Any]) -> dict[str, str]:
    return {one["name"]: one["value"] for one in component["properties"]}


def test_the_model_is_the_revision_at_its_hub(cdx: dict[str, Any], spd: Spdx, facts: BomFacts) -> None:
    model = cdx["metadata"]["component"]
    purl, page = f"pkg:huggingface/acme/tiny@{REVISION}", f"https://huggingface.co/acme/tiny/tree/{REVISION}"
    assert (model["type"], model["group"], model["name"]) == ("machine-learning-model", "acme", "tiny")
    assert (model["version"], model["purl"], model["supplier"]["name"]) == (REVISION, purl, "acme")
    assert {one["type"]: one["url"] for one in model["externalReferences"]} == {
        "vcs": page,
        "model-card": page.replace("/tree/", "/blob/") + "/README.md",
    }
    assert (spd.package.name, spd.package.software_packageVersion) == ("acme/tiny", REVISION)
    assert (spd.package.software_packageUrl, spd.package.software_downloadLocation) == (purl, page)
    assert spd.package.suppliedBy.name == "acme"
    for known in (properties(model), spd.properties(spd.package)):
        assert known["weighbridge:manifest-digest"] == facts.manifest.digest
        assert known["weighbridge:verdict"] == facts.verdict
        assert known["weighbridge:rules-version"] == facts.rules_version
        assert known["weighbridge:origin:owner_id"] == "65e0"
        assert known["weighbridge:config:parameters"] == "1234"
        assert known["weighbridge:config:remote-code"] == "AutoModel"


def test_architecture_and_claims_of_the_card(cdx: dict[str, Any], spd: Spdx) -> None:
    card = cdx["metadata"]["component"]["modelCard"]
    assert card["modelParameters"] == {
        "task": "text-generation",
        "architectureFamily": "llama",
        "modelArchitecture": "LlamaForCausalLM",
        "datasets": [{"ref": "dataset:0"}, {"ref": "dataset:1"}],
    }
    metrics = card["quantitativeAnalysis"]["performanceMetrics"]
    assert metrics == [{"type": "exact_match", "value": "0.5", "slice": "question-answering / squad"}]
    assert sorted(spd.package.ai_typeOfModel) == ["LlamaForCausalLM", "llama"]
    assert {one.key: one.value for one in spd.package.ai_hyperparameter} == {
        "hidden_size": "64",
        "num_hidden_layers": "2",
    }
    assert [(one.key, one.value) for one in spd.package.ai_metric] == [("exact_match on squad", "0.5")]


def test_data_sets_and_base_models(cdx: dict[str, Any], spd: Spdx) -> None:
    data = {one["bom-ref"]: one for one in cdx["components"]}
    assert [data[f"dataset:{number}"]["name"] for number in (0, 1)] == ["squad", "acme/words"]
    assert data["dataset:1"]["data"][0]["contents"]["url"] == "https://huggingface.co/datasets/acme/words"
    (base,) = cdx["metadata"]["component"]["pedigree"]["ancestors"]
    assert (base["group"], base["name"], properties(base)["weighbridge:lineage"]) == ("acme", "base", "finetune")
    assert [one.name for one in spd.related("trainedOn")] == ["squad", "acme/words"]
    assert [one.name for one in spd.related("descendantOf")] == ["acme/base"]


def test_each_package_has_exactly_one_declared_and_one_concluded_licence(spd: Spdx) -> None:
    """SPDX 3.0.1, conformance with the AI and the Dataset profiles."""
    packages = [*spd.all("ai_AIPackage"), *spd.all("dataset_DatasetPackage")]
    assert len(packages) == 4
    for package in packages:
        assert len(spd.related("hasDeclaredLicense", package)) == 1
        assert len(spd.related("hasConcludedLicense", package)) == 1


@pytest.mark.parametrize(
    ("front", "licences", "expression"),
    [
        ("license: apache-2.0", [{"id": "Apache-2.0"}], "Apache-2.0"),
        ("license: [mit, cc-by-4.0]", [{"id": "CC-BY-4.0"}, {"id": "MIT"}], "MIT AND CC-BY-4.0"),
        ("license: gemma", [{"name": "gemma"}], "LicenseRef-gemma"),
        (
            "license: other\nlicense_name: Acme Licence 1.0\nlicense_link: https://a.example/l",
            [{"name": "Acme Licence 1.0", "url": "https://a.example/l"}],
            "LicenseRef-Acme-Licence-1.0",
        ),
        ("license: other\nlicense_link: LICENSE", [{"name": "other"}], "LicenseRef-other"),
        ("license: 法\nlicense_link: javascript:alert(1)", [{"name": "法"}], None),
    ],
)
def test_licences(front: str, licences: list[dict[str, str]], expression: str | None) -> None:
    facts = with_card(f"---\n{front}\n---\n".encode())
    found = read_cyclonedx(cyclonedx(facts))["metadata"]["component"]["licenses"]
    assert [one["license"] for one in found] == [{**one, "acknowledgement": "declared"} for one in licences]
    document = Spdx(spdx(facts))
    (declared,) = document.related("hasDeclaredLicense")
    written = declared.simplelicensing_licenseExpression
    assert written == expression or expression is None
    symbols = {str(one) for one in get_spdx_licensing().parse(written).symbols}
    own = {one.key for one in declared.simplelicensing_customIdToUri}
    assert own == {one for one in symbols if one.startswith("LicenseRef-")}
    assert not get_spdx_licensing().unknown_license_keys(written) or own == set(
        get_spdx_licensing().unknown_license_keys(written)
    )
    texts = {one.spdxId for one in document.all("simplelicensing_SimpleLicensingText")}
    assert {one.value for one in declared.simplelicensing_customIdToUri} <= texts


def test_without_a_card_nothing_is_claimed() -> None:
    facts = facts_of({"weights.bin": b"1"}, Origin("folder", "/models/tiny"))
    model = read_cyclonedx(cyclonedx(facts))["metadata"]["component"]
    assert not {"licenses", "pedigree", "purl", "supplier", "externalReferences"} & model.keys()
    document = Spdx(spdx(facts))
    assert not document.related("trainedOn")
    assert document.package.suppliedBy is None


# --- lineage ------------------------------------------------------------------------------------


def derived(parents: bool) -> BomFacts:
    parent = manifest_of({**FILES, "modeling.py": b"evil\n"})
    files = {**FILES, "config.json": b"{}", "PROOF.json": b"{}"}
    origin = Origin("derived", f"acme/tiny@{REVISION}")
    manifest = replace(manifest_of(files, origin), revision="f" * 40)
    return gather(files.get, manifest, inspection=NOTHING, sealed_at=SEALED_AT, parents=[parent] if parents else [])


@pytest.mark.parametrize("known", [True, False])
def test_a_derived_revision_names_its_parent(known: bool) -> None:
    facts = derived(known)
    pedigree = read_cyclonedx(cyclonedx(facts))["metadata"]["component"]["pedigree"]
    parent = next(one for one in pedigree["ancestors"] if properties(one)["weighbridge:lineage"] == "remediated")
    assert (parent["group"], parent["name"], parent["version"]) == ("acme", "tiny", REVISION)
    document = Spdx(spdx(facts))
    ancestors = {one.name: one for one in document.related("descendantOf")}
    assert ancestors["acme/tiny"].software_packageVersion == REVISION
    assert "acme/base" in ancestors
    if known:
        digest = manifest_of({**FILES, "modeling.py": b"evil\n"}).digest
        assert parent["purl"] == f"pkg:huggingface/acme/tiny@{REVISION}"
        assert properties(parent)["weighbridge:manifest-digest"] == digest
        assert document.properties(ancestors["acme/tiny"])["weighbridge:manifest-digest"] == digest
        said = f"Of acme/tiny@{REVISION}: 4 files as they were, 1 changed, 1 new, 1 left out."
        assert pedigree["notes"] == document.package.comment == said


def test_a_parent_of_no_known_form_is_still_named() -> None:
    facts = facts_of({"a": b""}, Origin("derived", "not a reference\x1b[2J"))
    assert [one.name for one in facts.ancestors] == ["not a reference\ufffd[2J"]
    read_cyclonedx(cyclonedx(facts))
    Spdx(spdx(facts))


# --- the same bytes -----------------------------------------------------------------------------


def test_equal_facts_give_equal_bytes_in_every_process() -> None:
    program = (
        "import hashlib\nfrom tests.test_bom import *\n"
        "facts = facts_of(FILES)\nprint(hashlib.sha256(cyclonedx(facts) + spdx(facts)).hexdigest())"
    )
    said = {
        subprocess.run(
            [sys.executable, "-c", program],
            env={"PYTHONHASHSEED": seed, "TZ": zone},
            cwd=Path(__file__).parent.parent,
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed, zone in (("1", "UTC"), ("2", "Asia/Kolkata"))
    }
    facts = facts_of(FILES)
    assert said == {hashlib.sha256(cyclonedx(facts) + spdx(facts)).hexdigest() + "\n"}


def test_whatever_differs_has_another_serial_number() -> None:
    variants = [
        facts_of(FILES),
        facts_of({**FILES, "more": b""}),
        facts_of(FILES, sealed_at="2025-01-22T12:00:00Z"),
        facts_of(FILES, inspection=Inspection((), "2025.2")),
    ]
    serials = {json.loads(cyclonedx(one))["serialNumber"] for one in variants}
    identifiers = {Spdx(spdx(one)).document.spdxId for one in variants}
    assert len(serials) == len(identifiers) == len(variants)


# --- hostile input ------------------------------------------------------------------------------


HOSTILE = {
    "alias bomb": b"---\na: &a [1,1]\nb: &b [*a,*a]\nlicense: *b\n---\n",
    "tag": b"---\nlicense: !!python/object/apply:os.system [id]\n---\n",
    "10 MB": b"---\n" + b"a" * 10_000_000,
    "control characters": b'---\nlicense: "a\\x1b[2J"\n---\n',
    "wrong types": b"---\nlicense: {a: b}\n---\n",
    "too large to read": bytes(MAX_READ_BYTES + 1),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_card_that_cannot_be_read_is_named_and_stops_nothing(name: str) -> None:
    facts = with_card(HOSTILE[name])
    assert len(facts.unread) == 1
    assert facts.unread[0].startswith("README.md: ")
    model = read_cyclonedx(cyclonedx(facts))["metadata"]["component"]
    assert properties(model)["weighbridge:not-read"].startswith("README.md: ")
    assert "licenses" not in model
    Spdx(spdx(facts))


@pytest.mark.parametrize(
    "config",
    [b"[" * 100_000, b"\xff", b"[]", b'{"architectures": [[1], null, {}], "model_type": 5, "hidden_size": true}', b"{", b'{"hidden_size": -1e999, "vocab_size": 1' + b"0" * 5_000 + b"}"],
)  # fmt: skip
def test_a_hostile_configuration_claims_nothing(config: bytes) -> None:
    facts = facts_of({"config.json": config, "model.safetensors.index.json": config})
    assert not facts.architecture.architectures
    assert not facts.architecture.sizes
    read_cyclonedx(cyclonedx(facts))
    Spdx(spdx(facts))


def test_bytes_that_are_not_the_manifests_stop_it() -> None:
    with pytest.raises(DigestMismatch):
        gather({**FILES, "README.md": CARD + b" "}.get, manifest_of(FILES), inspection=NOTHING, sealed_at=SEALED_AT)
    with pytest.raises(DigestMismatch):
        gather(lambda path: None, manifest_of(FILES), inspection=NOTHING, sealed_at=SEALED_AT)


TEXT = st.text(max_size=40) | st.sampled_from(
    ["../..", "a/../b", "urn:cdx:x/1#y", "x" * 600, "http://[", "a b", "\u202e"]
)


@settings(max_examples=25, deadline=None)
@given(st.lists(TEXT, max_size=3), TEXT, TEXT)
def test_any_text_of_a_stranger_gives_a_valid_document(texts: list[str], owner: str, link: str) -> None:
    quoted = json.dumps([text for text in texts if text.isprintable()])
    card = f"---\nlicense: {quoted}\nlicense_link: {json.dumps(link)}\ndatasets: {quoted}\nbase_model: {quoted}\ntags: {quoted}\n---\n"
    config = json.dumps({"architectures": texts, "model_type": link, "auto_map": dict.fromkeys(texts)})
    files = {"README.md": card.encode("utf-8", "replace"), "config.json": config.encode()}
    facts = facts_of(files, replace(HUB, owner=owner, repository=owner, endpoint=link))
    read_cyclonedx(cyclonedx(facts))
    document = Spdx(spdx(facts))
    assert all(len(value) <= MAX_TEXT for value in document.properties(document.package).values())


# --- the command --------------------------------------------------------------------------------


def run(home: Path, *arguments: str) -> int:
    code: int = bom_command.main([*arguments, "--home", str(home)], standalone_mode=False)
    return code


def test_the_command(weighbridge: Command, tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    folder = deepseek.build(tmp_path / "r1", shards=3)
    weighbridge("ingest", str(folder), "--as", "acme/r1", "--quiet")
    capfdbinary.readouterr()
    assert run(weighbridge.home, "acme/r1") == 0
    written = capfdbinary.readouterr().out
    model = read_cyclonedx(written)["metadata"]["component"]
    assert {one["name"]: one["hashes"][0]["content"] for one in model["components"]} == {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*")
        if path.is_file()
    }
    assert model["licenses"] == [{"license": {"id": "MIT", "acknowledgement": "declared"}}]
    assert model["modelCard"]["modelParameters"]["modelArchitecture"] == "DeepseekV3ForCausalLM"
    assert run(weighbridge.home, "acme/r1", "-q") == 0
    assert capfdbinary.readouterr() == (written, b"")
    target = tmp_path / "r1.spdx.json"
    assert run(weighbridge.home, "acme/r1", "--format", "spdx", "-o", str(target), "--json") == 0
    said = json.loads(capfdbinary.readouterr().out)
    assert said["sha256"] == hashlib.sha256(target.read_bytes()).hexdigest()
    assert len(Spdx(target.read_bytes()).related("contains")) == len(model["components"])
    with pytest.raises(ConfigError):
        run(weighbridge.home, "acme/r1", "-o", str(tmp_path / "nowhere" / "x"))
    stored = next((weighbridge.home / "store" / "models").rglob("config.json"))
    stored.write_bytes(stored.read_bytes().replace(b"DeepseekV3", b"DeepseekV2"))
    with pytest.raises(DigestMismatch):
        run(weighbridge.home, "acme/r1")


def test_an_unknown_format_is_no_format(facts: BomFacts) -> None:
    assert write(facts, "spdx") == spdx(facts)
    with pytest.raises(ConfigError):
        write(facts, "swid")


def test_without_the_extra_the_error_names_it(facts: BomFacts, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("weighbridge.attest.spdx", "weighbridge.attest.cyclonedx"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    monkeypatch.setitem(sys.modules, "spdx_python_model", None)
    monkeypatch.setitem(sys.modules, "cyclonedx.model", None)
    for form in ("spdx", "cyclonedx"):
        with pytest.raises(ConfigError) as caught:
            write(facts, form)
        assert "weighbridge[bom]" in caught.value.hint
