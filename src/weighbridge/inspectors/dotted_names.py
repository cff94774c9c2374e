"""What is known of a Python name that a configuration asks a loader to import and call.

Three answers: a known weapon, a class or function of a library that configurations ordinarily name, or neither. The
weapons are those of the pickle inspector; the ordinary ones are packages, because what they hold builds models and
reads its arguments as data. A package is ordinary only as a whole dotted prefix.
"""

from __future__ import annotations

import re
from enum import Enum
from typing import Final

from weighbridge.formats.pickle_values import Global
from weighbridge.inspectors.dangers import danger_of

_NAME: Final = re.compile(r"[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*\Z")
_DUNDER: Final = re.compile(r"(?:^|\.)__\w+__(?:\.|$)")


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


_ORDINARY: Final = _words(
    "nemo.collections. nemo.core. nemo.utils.exp_manager torch.optim. torch.nn. torchvision.transforms."
    " torchvision.models. torchaudio.transforms. torchmetrics. speechbrain. sentencepiece.SentencePieceProcessor"
    " cosyvoice. matcha. random.seed numpy.random.seed torch.cuda.manual_seed torch.cuda.manual_seed_all"
    " collections.Counter datasets.features. torch.utils.data.DataLoader torch.distributions. omegaconf.dictconfig.DictConfig"
    " lightning.pytorch.callbacks."
    " lightning.pytorch.loggers. pytorch_lightning.callbacks. pytorch_lightning.loggers. ldm.models. ldm.modules."
    " ldm.lr_scheduler. sgm.models. sgm.modules. sgm.lr_scheduler. taming.models. taming.modules. cldm.cldm."
    " cldm.ddim_hacked. torch.manual_seed torch.Tensor torch.device diffusers.models. diffusers.schedulers."
    " transformers.models. audiocraft.models. audiocraft.modules. espnet2. fairseq.models. fairseq.modules."
    " sentence_transformers.models. peft.tuners. monai.networks. monai.losses. monai.transforms. monai.inferers."
)
_RUNS: Final = frozenset(
    _words("eval exec compile __import__ getattr setattr globals locals open input breakpoint vars")
)
_LOADING: Final = re.compile(
    r"(?:^|\.)(?:load|loads|unpickle|from_pretrained|run|system|popen|call|check_output|exec|eval|import_module|"
    r"load_module|load_library|instantiate|get_class|get_method|run_shell|shell_command|run_on_main|"
    r"download_file|fetch|symlink_with_override|save_pkl|load_pkl|load_hyperpyyaml|import_from_path)\Z",
    re.IGNORECASE,
)


class Standing(Enum):
    """How a name stands."""

    ORDINARY = "ordinary"
    UNKNOWN = "unknown"
    WEAPON = "weapon"


def standing_of(name: str) -> Standing:
    """How a dotted name stands; what is no name at all is unknown."""
    name = name.strip()
    if not _NAME.match(name):
        return Standing.UNKNOWN
    module, _, last = name.rpartition(".")
    if (not module or module in ("builtins", "__builtins__")) and last in _RUNS:
        return Standing.WEAPON
    if module and danger_of(Global(module, last)) is not None:
        return Standing.WEAPON
    if _DUNDER.search(name):
        return Standing.WEAPON
    ordinary = any(name.startswith(known) if known.endswith(".") else name == known for known in _ORDINARY)
    return Standing.ORDINARY if ordinary and not _LOADING.search(name) else Standing.UNKNOWN
