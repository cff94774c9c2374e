"""What changed in configurations: keys added, removed and changed, each with the risk that its name tells.

Every JSON file is one, but for what other areas read: chat templates, vocabularies, the map from tensors to shards.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import islice
from typing import Final

from weighbridge.core.counted import plural
from weighbridge.core.errors import FormatError
from weighbridge.core.finding import Severity
from weighbridge.drift.change import Area, Change, Compared, bounded, listed, not_compared, shown
from weighbridge.drift.documents import MISSING, Leaf, Missing, differences, keys_in, read_both, same
from weighbridge.drift.files import Pairing
from weighbridge.drift.side import Side
from weighbridge.formats.json_text import Json

MAX_CHANGES: Final = 200
"""Keys listed for one file; the rest are counted."""
_OTHERS: Final = frozenset(
    ("tokenizer.json", "vocab.json", "added_tokens.json", "special_tokens_map.json", "chat_template.json")
)
_ELSEWHERE: Final = {
    "tokenizer_config.json": frozenset(("chat_template", "added_tokens_decoder")),
    "processor_config.json": frozenset(("chat_template",)),
}
"""Top keys that the template and tokenizer areas read."""
_MAP: Final = "weight_map"
_RISKS: Final = (
    (
        Severity.HIGH,
        re.compile(
            r"(?i)(?:^|[._])(?:auto_map|trust_remote_code|custom_pipelines?|code_revision|allow_pickle|weights_only|_target_"
            r"|__class__|class_path|py_module|use_safetensors|base_model_name_or_path|_name_or_path|custom_object_registry"
            r"|custom_generate|kernel_config|auto_mapping|parent_library)(?:$|[.\[_])"
        ),
    ),
    (
        Severity.MEDIUM,
        re.compile(
            r"(?i)(?:^|\.)(?:architectures|model_type|quantization_config|compression_config|(?:torch_)?dtype|rope_scaling"
            r"|rope_theta|rope_parameters|(?:eos|bos|pad|unk|sep|cls|mask|decoder_start|forced_\w+)_token(?:_id)?|vocab_size"
            r"|max_position_embeddings|model_max_length|tokenizer_class|processor_class|sliding_window|tie_word_embeddings"
            r"|num_hidden_layers|hidden_size|hidden_act|num_experts\w*|suppress_tokens|begin_suppress_tokens|bad_words_ids"
            r"|forced_decoder_ids|sequence_bias|additional_special_tokens|extra_special_tokens|add_(?:bos|eos)_token|peft_type"
            r"|target_modules|lora_alpha|task_type|r)(?:$|[.\[])"
        ),
    ),
)  # fmt: skip
"""By key, the first that fits; every other key is of low risk."""
_HARMLESS: Final = re.compile(r"(?:^|\.)(?:transformers_version|_commit_hash|library_version|diffusers_version)$")


def is_configuration(path: str) -> bool:
    """Whether the keys of a file are compared here."""
    base = path.rpartition("/")[2].lower()
    return base.endswith(".json") and base not in _OTHERS


def compare_configurations(before: Side, after: Side, pairing: Pairing) -> tuple[Compared, set[str]]:
    """The changes in keys, and the paths they are about. A file that is on one side only has all its keys there."""
    paths = [path for path in (*pairing.differing, *pairing.added, *pairing.removed) if is_configuration(path)]
    changes: list[Change] = []
    for path in bounded(Area.CONFIG, paths, changes):
        changes += _file(before, after, path)
    grave = [change.location for change in changes if (change.risk or 0) >= Severity.MEDIUM and change.location]
    words = f"{plural(len(grave), 'telling key')} changed: {listed(grave, limit=4)}" if grave else ""
    if changes and not grave:
        words = f"{plural(len(changes), 'key')} changed"
    return Compared(tuple(changes), words), set(paths)


def _file(before: Side, after: Side, path: str) -> Iterator[Change]:
    whole_old, whole_new, why = read_both(before, after, path)
    if why:
        yield not_compared(Area.CONFIG, path, why)
        return
    elsewhere = _ELSEWHERE.get(path.rpartition("/")[2], frozenset())
    if path.endswith(".index.json"):
        yield from _shards(path, whole_old, whole_new)
        elsewhere = frozenset((_MAP,))
    old, new = _without(whole_old, elsewhere), _without(whole_new, elsewhere)
    try:
        leaves = list(differences(*_aligned(old, new)))
    except FormatError as error:
        yield not_compared(Area.CONFIG, path, error.message)
        return
    changes = sorted((_change(path, leaf) for leaf in leaves), key=lambda change: change.rank)
    yield from islice(changes, MAX_CHANGES)
    if len(changes) > MAX_CHANGES:
        # Ranked before they are cut: a flood of harmless keys pushes no grave one out.
        yield Change(Area.CONFIG, path, f"{len(changes) - MAX_CHANGES} more keys changed", changes[MAX_CHANGES].risk)
    if not changes and MISSING in (old, new):
        yield Change(Area.CONFIG, path, "removed" if new == MISSING else "added", Severity.LOW)
    elif not changes and same(whole_old, whole_new):
        yield Change(Area.CONFIG, path, "written differently, and says the same")


def _shards(path: str, *values: Json | Missing) -> Iterator[Change]:
    """Tensors that the index now looks for in other files. Where they lie is read from the files themselves."""
    old, new = (value.get(_MAP) if isinstance(value, dict) else {} for value in values)
    if same(old, new):
        return
    if not isinstance(old, dict) or not isinstance(new, dict):
        yield Change(Area.CONFIG, path, "the map from tensors to shards is another, or none", Severity.MEDIUM, _MAP)
        return
    moved = [
        name for name in sorted(old.keys() | new.keys()) if not same(old.get(name, MISSING), new.get(name, MISSING))
    ]
    # New shards come with new names; the same names in other places are what a swap looks like.
    again = {str(one) for one in old.values()} == {str(one) for one in new.values()}
    what = f"the index looks for {plural(len(moved), 'tensor')} in other files: {listed(moved, limit=4)}"
    yield Change(Area.CONFIG, path, what, Severity.MEDIUM if again else Severity.LOW, _MAP)


def _without(value: Json | Missing, elsewhere: frozenset[str]) -> Json | Missing:
    return {key: one for key, one in value.items() if key not in elsewhere} if isinstance(value, dict) else value


def _aligned(old: Json | Missing, new: Json | Missing) -> tuple[Json | Missing, Json | Missing]:
    """A side without the file is an object without keys, so that each key is told with its own risk."""
    if isinstance(old, Missing) and isinstance(new, dict):
        return {}, new
    if isinstance(new, Missing) and isinstance(old, dict):
        return old, {}
    return old, new


def _change(path: str, leaf: Leaf) -> Change:
    if isinstance(leaf.before, Missing):
        what = "key added"
    else:
        what = "key removed" if isinstance(leaf.after, Missing) else "key changed"
    where = leaf.path or "(the whole document)"
    return Change(
        Area.CONFIG,
        path,
        what,
        _risk(leaf),
        location=shown(where),
        before=_value(leaf.before),
        after=_value(leaf.after),
    )


def _risk(leaf: Leaf) -> Severity | None:
    """By the path, and by the keys within what was added or removed there: the gravest."""
    if _HARMLESS.search(leaf.path):
        return None
    found = [_risk_of(leaf.path, Severity.LOW if leaf.path else Severity.MEDIUM)]
    found += [_risk_of(key, Severity.LOW) for value in (leaf.before, leaf.after) for key in keys_in(value)]
    return max(found)


def _risk_of(path: str, otherwise: Severity) -> Severity:
    return next((risk for risk, pattern in _RISKS if pattern.search(path)), otherwise)


def _value(value: Json | Missing) -> str:
    return "" if isinstance(value, Missing) else shown(value)
