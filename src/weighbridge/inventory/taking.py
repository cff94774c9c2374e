"""Takes an inventory: finds models in a place, and says of each whether it is a sealed revision, a copy of one, or unknown.

A model is `sealed` when each of its weight files is a file of one revision: by size and samples of chunks (at most `MAX_SAMPLED_FILES`
of 8 MiB for each model), or by SHA-256 of every byte. Else its fingerprint is held against those of all sealed revisions. The files
beside the weights are compared whole with those of the same path, up to 8 MiB each.
"""

from __future__ import annotations

import hashlib
import secrets
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Final

from blake3 import blake3

from weighbridge.core.counted import plural
from weighbridge.core.digests import CHUNK_BYTES
from weighbridge.core.errors import Interrupted, WeighbridgeError
from weighbridge.core.manifest import Manifest
from weighbridge.drift.change import listed
from weighbridge.drift.fingerprint import Fingerprint, fingerprint
from weighbridge.drift.likeness import Likeness, Verdict, compare
from weighbridge.formats.bounded import blocks
from weighbridge.inventory.known import KnownRevision, artifacts_by_size, holding
from weighbridge.inventory.models import FoundModel, SaidOfItself, ollama_names, read_about, sort_models
from weighbridge.inventory.places import Found, Place, Troubles
from weighbridge.inventory.report import Inventory, Line, Status
from weighbridge.inventory.weight_files import LOOKERS, MIN_BYTES, chosen, format_of, stem_of

MAX_LOOKED_AT: Final = 200_000
MAX_MODELS: Final = 10_000
MAX_CANDIDATES: Final = 64
MAX_SAMPLED_FILES: Final = 8
MAX_BESIDE: Final = 200
WHOLE: Final = -1
_EVERY: Final = 500


@dataclass(frozen=True, slots=True)
class Against:
    """What models are held against. `manifest_of` opens a revision's verified manifest."""

    known: Sequence[KnownRevision] = ()
    manifest_of: Callable[[KnownRevision], Manifest] | None = None


@dataclass(frozen=True, slots=True)
class _Proof:
    """What was read of the files of a model: size, chunk (or `WHOLE`) and digest of each."""

    read: tuple[tuple[int, int, str], ...]
    basis: str

    def fits(self, manifest: Manifest) -> bool:
        """Whether a revision has a file with each of them."""
        by_size = artifacts_by_size(manifest)
        return all(
            digest in {one.sha256 if number == WHOLE else one.chunks[number] for one in by_size.get(size, ())}
            for size, number, digest in self.read
        )


@dataclass(slots=True)
class Taking:
    """One inventory under way. `tell` is told how far it is; `stop` ends it."""

    place: Place
    against: Against
    deep: bool = False
    tell: Callable[[str], None] = lambda _line: None
    stop: threading.Event = field(default_factory=threading.Event)
    _hashes: dict[str, str] = field(default_factory=dict)

    def take(self) -> Inventory:
        """The inventory.

        Raises:
            SourceError, StoreError: nothing can be listed. Interrupted: `stop` was set.
        """
        troubles = Troubles()
        files: list[Found] = []
        for file in self.place.walk(troubles):
            files.append(file)
            if not len(files) % _EVERY:
                self._go_on(f"{len(files)} files found")
        formats = self._formats(files, troubles)
        models = sort_models(files, formats)
        if len(models) > MAX_MODELS:
            troubles.add("", f"{len(models)} models were found, and {MAX_MODELS} are looked at")
        names = ollama_names(files, self.place.reader)
        lines: list[Line] = []
        for number, model in enumerate(models[:MAX_MODELS]):
            self._go_on(f"model {number + 1} of {len(models)}: {model.place}")
            lines.append(self._line(model, names))
        total = sum(file.size_bytes for file in files if not file.target)
        return Inventory(
            self.place.address,
            tuple(lines),
            tuple(troubles.kept),
            troubles.count,
            len(files),
            total,
            len(self.against.known),
        )

    def _go_on(self, line: str) -> None:
        if self.stop.is_set():
            raise Interrupted("stopped")
        self.tell(line)

    def _formats(self, files: Sequence[Found], troubles: Troubles) -> dict[str, str]:
        """The format of each file that holds weights; a file that several links name is looked at once."""
        wanted = [file for file in files if file.size_bytes >= MIN_BYTES]
        if len(wanted) > MAX_LOOKED_AT:
            troubles.add("", f"{len(wanted)} files are large enough, and {MAX_LOOKED_AT} were looked into")
        targets = {file.target for file in wanted if file.target}
        wanted = [file for file in wanted[:MAX_LOOKED_AT] if file.path not in targets]

        def look(file: Found) -> str | WeighbridgeError:
            if self.stop.is_set():
                return ""
            try:
                return format_of(self.place.reader(file.path))
            except WeighbridgeError as error:
                return error

        found: dict[str, str] = {}
        with ThreadPoolExecutor(LOOKERS, thread_name_prefix="heads") as threads:
            for number, (file, answer) in enumerate(zip(wanted, threads.map(look, wanted), strict=True)):
                if not number % _EVERY:
                    self._go_on(f"{number} of {len(wanted)} files looked into")
                if isinstance(answer, WeighbridgeError):
                    troubles.add(file.path, answer.message)
                elif answer:
                    found[file.path] = answer
        return found

    # --- one model ---------------------------------------------------------------------------

    def _line(self, model: FoundModel, names: Mapping[str, str]) -> Line:
        try:
            about = read_about(model, self.place.reader, names)
            candidates = holding(self.against.known, [file.size_bytes for file in model.weight_files])
            sealed = self._sealed(model, about, candidates[:MAX_CANDIDATES])
            if sealed is not None:
                return sealed
            if candidates:
                about = _noted(about, [f"its weights have the sizes of {candidates[0].reference}, and other bytes"])
            return self._by_fingerprint(model, about)
        except WeighbridgeError as error:
            return Line(model, SaidOfItself(notes=(f"it cannot be read: {error.message}",)), Status.UNKNOWN)

    def _sealed(self, model: FoundModel, about: SaidOfItself, candidates: Sequence[KnownRevision]) -> Line | None:
        """The revision whose files these are; of several with the same weights the one that most of the other files fit."""
        found: list[Line] = []
        if not candidates:
            return None
        proof = self._digests(model) if self.deep else self._chunks(model)
        for known in candidates:
            assert self.against.manifest_of is not None
            manifest = self.against.manifest_of(known)
            if proof.fits(manifest):
                differing = (*_missing(model, manifest), *self._beside(model, manifest))
                found.append(Line(model, about, Status.SEALED, known.reference, proof.basis, differing=differing))
        return min(found, key=lambda line: len(line.differing), default=None)

    def _digests(self, model: FoundModel) -> _Proof:
        files = model.weight_files
        wanted = tuple((file.size_bytes, WHOLE, self._sha256(file)) for file in files)
        return _Proof(wanted, f"every byte of {plural(len(files), 'weight file')} (SHA-256)")

    def _chunks(self, model: FoundModel) -> _Proof:
        """All sizes, and one chunk of some files, drawn at random: nobody can know which one will not be read."""
        files = sorted(model.weight_files, key=lambda file: file.path)
        step = -(-len(files) // MAX_SAMPLED_FILES)
        wanted = []
        for file in files[::step]:
            number = secrets.randbelow(-(-file.size_bytes // CHUNK_BYTES))
            data = self.place.reader(file.path).read(number * CHUNK_BYTES, CHUNK_BYTES)
            wanted.append((file.size_bytes, number, blake3(data).hexdigest()))
        what = f"sizes of {plural(len(files), 'weight file')}, and {plural(len(wanted), 'chunk')} of up to 8 MiB"
        return _Proof(tuple(wanted), what)

    def _sha256(self, file: Found) -> str:
        if file.path not in self._hashes:
            digest = hashlib.sha256()
            for block in blocks(self.place.reader(file.path)):
                if self.stop.is_set():
                    raise Interrupted("stopped")
                digest.update(block)
            self._hashes[file.path] = digest.hexdigest()
        return self._hashes[file.path]

    def _beside(self, model: FoundModel, manifest: Manifest) -> Iterable[str]:
        """Files beside the weights that are not the revision's."""
        own = {artifact.path: artifact.sha256 for artifact in manifest.artifacts}
        prefix = f"{model.root}/" if model.root else ""
        beside = [file for file in model.files if file.path not in model.weights and file.size_bytes <= CHUNK_BYTES]
        for file in sorted(beside, key=lambda one: one.path)[:MAX_BESIDE]:
            path = file.path.removeprefix(prefix)
            if path in own and self._sha256(file) != own[path]:
                yield f"{path} differs"
            elif path not in own and path.endswith((".py", ".json", ".jinja", ".model")):
                yield f"{path} is not part of it"

    def _by_fingerprint(self, model: FoundModel, about: SaidOfItself) -> Line:
        files = chosen(model.weights.items())
        if not files:
            formats = ", ".join(model.formats)
            return Line(model, _noted(about, [f"weights in {formats} have no fingerprint"]), Status.UNKNOWN)
        others = sorted(set(model.weights) - {path for path, _ in files})
        if others:
            about = _noted(about, [f"not part of its fingerprint: {listed(others)}"])
        made = fingerprint(files, self.place.reader)
        nearest = nearest_of(made, self.against.known)
        about = _noted(about, made.left_out)
        if nearest is None or nearest[1].verdict not in (Verdict.SAME, Verdict.RELATED):
            alike = sorted(
                one.reference for one in self.against.known if one.fingerprint.names_digest == made.names_digest
            )
            what = "with other weights" if made.tensors else "whose weights could not be compared"
            about = _noted(about, [f"the architecture of {alike[0]}, {what}"] if alike else [])
            if nearest is not None and nearest[1].alike:
                shared = f"{nearest[1].alike} of its {plural(len(made.tensors), 'sampled tensor')} alike"
                about = _noted(about, [f"too little to tell, but {shared} those of {nearest[0].reference}"])
            return Line(model, about, Status.UNKNOWN, fingerprint=made)
        known, likeness = nearest
        status = Status.COPY if likeness.verdict is Verdict.SAME else Status.RELATED
        differing = tuple(self._strange(model, known))
        quantised = "" if made.quantised == known.fingerprint.quantised else made.quantised
        return Line(
            model, about, status, known.reference, described(likeness), likeness, made, differing, quantised=quantised
        )

    def _strange(self, model: FoundModel, known: KnownRevision) -> Iterable[str]:
        """Weight files that came from elsewhere, where the others have the sizes of the revision's."""
        assert self.against.manifest_of is not None
        sizes = artifacts_by_size(self.against.manifest_of(known))
        others = [file.path for file in model.weight_files if file.size_bytes not in sizes]
        if 0 < len(others) < len(model.weights):
            yield f"{listed(sorted(others))}: no part of it"


def _missing(model: FoundModel, manifest: Manifest) -> Iterable[str]:
    """How many shards of the revision are not here, of those that belong to what is here, by name and size."""
    here = Counter(file.size_bytes for file in model.weight_files)
    stems = {stem_of(one.path) for one in manifest.artifacts if one.size_bytes in here}
    shards = Counter(one.size_bytes for one in manifest.artifacts if stem_of(one.path) in stems)
    if missing := (shards - here).total():
        yield f"{missing} of {plural(shards.total(), 'weight file')} missing"


def _noted(about: SaidOfItself, more: Iterable[str]) -> SaidOfItself:
    return SaidOfItself(about.architecture, about.claims, about.risks, (*about.notes, *more))


def nearest_of(made: Fingerprint, known: Iterable[KnownRevision]) -> tuple[KnownRevision, Likeness] | None:
    """The revision whose weights are nearest."""
    compared = ((one, compare(made, one.fingerprint)) for one in known)
    return max(compared, key=lambda pair: pair[1].rank, default=None)


def described(likeness: Likeness) -> str:
    """A comparison in words."""
    share = f"{likeness.alike} of {likeness.of} sampled tensors are alike"
    if likeness.verdict is Verdict.SAME:
        return f"{share}, and none differs beyond {likeness.grain}"
    if likeness.verdict is Verdict.RELATED:
        return f"{share}, similarity {likeness.similarity / 10:.1f} %, {likeness.agreeing} the same"
    return share if likeness.verdict is Verdict.DIFFERENT else "no tensor could be compared"
