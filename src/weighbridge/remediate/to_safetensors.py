"""Plans safetensors in place of a revision's pickled weights, without unpickling and without computing what need not be.

What each pickle says of its tensors is read symbolically (`formats.torch_checkpoint`); the plan made of it copies spans
of the parent's bytes, or gathers them where strides say so. Anything not fully understood is an error that names file
and tensor: there is no partial conversion. What was dropped, left behind or left alone is in the proof.

- A name that shares its tensor with another (tied weights) is written like any other. The file has then what the pickle
  had under every name, so that whoever could load the pickle can load the file; which names a model ties is known to its
  code only. Metadata says which are one, as safetensors' `save_model` does.
- Where safetensors of the same name exist already, loaders prefer them and the pickle is a second copy: it is dropped,
  and the proof says whether names, types and shapes are the same, but claims nothing of values.
- State of a training run (`optimizer.pt`, `training_args.bin`, ...) is dropped unread: nothing that serves reads it.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Final

from weighbridge.core.canonical import JsonValue
from weighbridge.core.errors import Ambiguous, LimitExceeded, Malformed, MissingShard
from weighbridge.formats import json_text
from weighbridge.formats.bounded import read_whole
from weighbridge.formats.safetensors import read_header
from weighbridge.remediate.checkpoints import Weight, Weights, read_weights
from weighbridge.remediate.plan import Literal, Made, ReaderOf, Step
from weighbridge.remediate.safetensors_layout import laid_out
from weighbridge.remediate.strides import Tiles
from weighbridge.remediate.weight_files import Family, Listed, shard_of, sorted_files, target_of

REMEDY: Final = "to-safetensors"
MAX_INDEX_BYTES: Final = 64 * 1024 * 1024
_MAX_NAMED = 20
_HINT = "The index and the files are of different revisions, or the upload is incomplete. Ingest a whole revision."

Described = tuple[str, tuple[int, ...]]
"""The element type and the shape of a tensor."""


class _Plan:
    """What has been decided so far."""

    def __init__(self, listed: Sequence[Listed], readers: ReaderOf) -> None:
        self.sizes = {one.path: one.size_bytes for one in listed}
        self.readers = readers
        self.tiles = Tiles()
        self.dropped: dict[str, JsonValue] = {}
        self.made: list[Made] = []
        self.artifacts: list[JsonValue] = []

    def drop(self, path: str, why: str, **more: JsonValue) -> None:
        """Leaves an artifact of the parent out."""
        self.dropped[path] = {"path": path, "why": why, **more}

    def make(self, made: Made) -> None:
        """Adds an artifact.

        Raises:
            Ambiguous: the parent has another one of that name.
        """
        if made.path in self.sizes:
            raise Ambiguous(
                f"'{made.path}' is already there, and is not what it would be made of",
                hint="Ingest the revision again and --exclude the one of the two that is not meant.",
            )
        self.made.append(made)


def to_safetensors(paths_and_sizes: Sequence[Listed], readers: ReaderOf) -> Step | None:
    """The step that replaces all pickled weights of a revision; None when there are none.

    Raises:
        Malformed, Ambiguous, LimitExceeded: something is not fully understood; the message names file and tensor.
        MissingShard: an index, or the number in a name, promises a file that the revision does not hold.
        Truncated, SourceError, StoreError: the parent's bytes cannot be read.
    """
    files = sorted_files(paths_and_sizes, readers)
    if not files.families and not files.training:
        return None
    plan = _Plan(paths_and_sizes, readers)
    for path in files.training:
        plan.drop(path, "state of a training run, known by its name; not read")
    for family in files.families:
        if family.safe or family.safe_index:
            _drop_copies(plan, family)
        else:
            _convert(plan, family)
    proof: dict[str, JsonValue] = {
        "artifacts": plan.artifacts,
        "dropped": [plan.dropped[path] for path in sorted(plan.dropped)],
        "left_alone": [{"path": path, "why": why} for path, why in files.left_alone],
    }
    return Step(REMEDY, tuple(sorted(plan.dropped)), tuple(plan.made), proof)


# --- converting ----------------------------------------------------------------------------------


def _convert(plan: _Plan, family: Family) -> None:
    listed = _check_shards(plan, family)
    everything: dict[str, str] = {}
    total_bytes = 0
    for path in family.pickles:
        weights = read_weights(plan.readers(path))
        target = target_of(path)
        for weight in weights.tensors:
            if weight.name in everything:
                message = f"the tensor {weight.name[:100]!a} is in '{path}' and in '{everything[weight.name]}'"
                raise Ambiguous(message, hint=_HINT)
            everything[weight.name] = target
            total_bytes += weight.size_bytes
        tied = tied_names(weights.tensors)
        plan.make(laid_out(target, weights.tensors, plan.sizes[path], tied, plan.tiles))
        plan.drop(path, f"converted to '{target}'")
        plan.artifacts.append(_account(target, weights, tied))
    if family.sharded:
        _index(plan, family, listed, everything, total_bytes)


def tied_names(weights: Sequence[Weight]) -> dict[str, str]:
    """For each name that is the very same view as an earlier one (in order of names): that one."""
    first: dict[tuple[object, ...], str] = {}
    tied: dict[str, str] = {}
    for weight in sorted(weights, key=lambda one: one.name):
        if weight.size_bytes and first.setdefault(weight.view, weight.name) != weight.name:
            tied[weight.name] = first[weight.view]
    return tied


def _account(target: str, weights: Weights, tied: dict[str, str]) -> JsonValue:
    tensors: list[JsonValue] = []
    for weight in sorted(weights.tensors, key=lambda one: one.name):
        entry: dict[str, JsonValue] = {
            "name": weight.name,
            "dtype": weight.dtype,
            "shape": list(weight.shape),
            "bytes": weight.size_bytes,
            "offset": weight.begin,
            "how": "span" if weight.contiguous else "gathered",
        }
        if not weight.contiguous:
            entry["strides"] = list(weight.strides)
        if weight.name in tied:
            entry["tied_to"] = tied[weight.name]
        tensors.append(entry)
    return {
        "path": target,
        "source": weights.path,
        "form": weights.form,
        "tensors": tensors,
        "left_behind": list(weights.left_behind),
    }


def _check_shards(plan: _Plan, family: Family) -> dict[str, str]:
    """Checks that all shards are there and that the index knows them; returns what the index says."""
    numbers = [number for path in family.pickles if (number := shard_of(path))]
    if numbers and {number for number, _ in numbers} != set(range(1, numbers[0][1] + 1)):
        raise MissingShard(f"of the {numbers[0][1]} shards of '{family.stem}' there are {len(numbers)}", hint=_HINT)
    if not family.index:
        return {}
    listed = _weight_map(plan, family.index)
    folder = family.index[: family.index.rfind("/") + 1]
    named = {folder + shard for shard in listed.values()}
    if missing := sorted(named - set(family.pickles)):
        raise MissingShard(f"'{family.index}' names {missing[0][:200]!a}, which is not there", hint=_HINT)
    if extra := sorted(set(family.pickles) - named):
        raise Ambiguous(f"'{extra[0]}' is not in the index '{family.index}': is it a part of the model?", hint=_HINT)
    return {name: target_of(folder + shard) for name, shard in listed.items()}


def _weight_map(plan: _Plan, path: str) -> dict[str, str]:
    text = json_text.parse(read_whole(plan.readers(path), MAX_INDEX_BYTES))
    if text.repeated:
        raise Ambiguous(f"'{path}' says {text.repeated[0][:100]!a} twice", hint=_HINT)
    table = text.value.get("weight_map") if isinstance(text.value, dict) else None
    if not isinstance(table, dict) or not table:
        raise Malformed(f"'{path}' has no map from tensors to files", hint=_HINT)
    found: dict[str, str] = {}
    for name, shard in table.items():
        if not isinstance(shard, str) or "/" in shard:
            raise Malformed(f"'{path}' maps {name[:100]!a} to what is no file beside it", hint=_HINT)
        found[name] = shard
    return found


def _index(plan: _Plan, family: Family, listed: dict[str, str], everything: dict[str, str], total_bytes: int) -> None:
    """Adds the index of the made shards, written as transformers writes it."""
    for name, target in listed.items():
        if everything.get(name) != target:
            raise Malformed(
                f"'{family.index}' says that {name[:100]!a} is in the source of '{target}', where it is not", hint=_HINT
            )
    folder = len(family.stem[: family.stem.rfind("/") + 1])
    weight_map = {name: everything[name][folder:] for name in sorted(everything)}
    content = {"metadata": {"total_size": total_bytes}, "weight_map": weight_map}
    text = json.dumps(content, indent=2, sort_keys=True) + "\n"
    plan.make(Made(family.index_target, (Literal(text.encode("utf-8")),)))
    account: dict[str, JsonValue] = {"path": family.index_target, "tensors": [], "left_behind": []}
    if family.index:
        plan.drop(family.index, f"rewritten as '{family.index_target}'")
        account["source"] = family.index
        account["not_in_source"] = sorted(everything.keys() - listed.keys())
    plan.artifacts.append(account)


# --- second copies -------------------------------------------------------------------------------


def _drop_copies(plan: _Plan, family: Family) -> None:
    """Drops pickles beside which the same model lies as safetensors already, and says how far they are known to agree."""
    present = _safetensors(plan, family)
    compared = _compared(plan, family, present)
    beside = family.safe_index or family.safe[0]
    for path in family.pickles:
        plan.drop(path, f"a second copy of '{beside}', which loaders prefer; values were not compared", **compared)
    if family.index:
        plan.drop(family.index, f"the index of pickles that are dropped; '{beside}' takes its place")


def _safetensors(plan: _Plan, family: Family) -> dict[str, Described]:
    """What the safetensors beside the pickles hold.

    Raises:
        MissingShard: they are not all there; then the pickles are the only whole copy, and nothing is dropped.
    """
    folder = family.stem[: family.stem.rfind("/") + 1]
    wanted = set(family.safe)
    if family.safe_index:
        wanted = {folder + shard for shard in _weight_map(plan, family.safe_index).values()}
    if missing := sorted(wanted - plan.sizes.keys()):
        raise MissingShard(f"'{family.safe_index}' names {missing[0][:200]!a}, which is not there", hint=_HINT)
    whole = f"{family.stem}.safetensors" in wanted
    if not family.safe_index and not whole:
        raise MissingShard(f"the safetensors of '{family.stem}' are shards without an index", hint=_HINT)
    present: dict[str, Described] = {}
    for path in sorted(wanted):
        for tensor in read_header(plan.readers(path)).tensors:
            present[tensor.name] = (tensor.dtype, tensor.shape)
    return present


def _compared(plan: _Plan, family: Family, present: dict[str, Described]) -> dict[str, JsonValue]:
    pickled: dict[str, Described] = {}
    try:
        for path in family.pickles:
            weights = read_weights(plan.readers(path))
            pickled |= {one.name: (one.dtype, one.shape) for one in weights.tensors}
    except (Malformed, Ambiguous, LimitExceeded) as problem:
        return {"compared": "nothing", "because": problem.message}
    different = sorted(name for name in pickled.keys() | present.keys() if pickled.get(name) != present.get(name))
    return {
        "compared": "names, element types and shapes",
        "same": not different,
        "different": different[:_MAX_NAMED],
        "different_count": len(different),
    }
