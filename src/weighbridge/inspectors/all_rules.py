"""Every rule of every inspector, by id."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Final

from weighbridge.inspectors import census, media
from weighbridge.inspectors.archives import inspector as archives
from weighbridge.inspectors.code import notebooks, python_code, scripts, templates
from weighbridge.inspectors.content import antivirus, malware, secrets
from weighbridge.inspectors.examples import EXAMPLES
from weighbridge.inspectors.families import (
    boosters,
    columnar,
    coreml,
    data_stores,
    databases,
    device_engines,
    executables,
    java_files,
    library_parts,
    older_frameworks,
    r_data,
    skops,
    xml_models,
)
from weighbridge.inspectors.graphs import hdf5, keras, onnx, tensorflow, tflite
from weighbridge.inspectors.pickles import inspector as pickles
from weighbridge.inspectors.registry import COULD_NOT_ANSWER, CRASHED, TIMED_OUT
from weighbridge.inspectors.repository import inspector as repository
from weighbridge.inspectors.rule import Rule
from weighbridge.inspectors.texts import (
    cards,
    configs,
    environments,
    plain_texts,
    serving_files,
    tokenizer_files,
    tokenizers,
    wide_texts,
    yaml_files,
)
from weighbridge.inspectors.weights import arrays, flax, gguf
from weighbridge.inspectors.weights import safetensors as weights

RULES: Final[Mapping[str, Rule]] = MappingProxyType(
    {
        rule.id: replace(rule, example=EXAMPLES.get(rule.id, ""))
        for rule in (
            *census.RULES,
            *weights.RULES,
            *gguf.RULES,
            *flax.RULES,
            *arrays.RULES,
            *pickles.RULES,
            *archives.RULES,
            *media.RULES,
            *onnx.RULES,
            *hdf5.RULES,
            *keras.RULES,
            *tensorflow.RULES,
            *tflite.RULES,
            *configs.RULES,
            *tokenizers.RULES,
            *templates.RULES,
            *python_code.RULES,
            *notebooks.RULES,
            *scripts.RULES,
            *tokenizer_files.RULES,
            *yaml_files.RULES,
            *boosters.RULES,
            *columnar.RULES,
            *coreml.RULES,
            *data_stores.RULES,
            *databases.RULES,
            *device_engines.RULES,
            *executables.RULES,
            *java_files.RULES,
            *library_parts.RULES,
            *older_frameworks.RULES,
            *r_data.RULES,
            *skops.RULES,
            *xml_models.RULES,
            *cards.RULES,
            *plain_texts.RULES,
            *environments.RULES,
            *serving_files.RULES,
            *wide_texts.RULES,
            *malware.RULES,
            *secrets.RULES,
            *antivirus.RULES,
            *repository.RULES,
            COULD_NOT_ANSWER,
            CRASHED,
            TIMED_OUT,
        )
    }
)
