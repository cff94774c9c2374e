"""The inspectors of the smaller families of model formats, one module each, in one list for the registry.

They do not know each other; two never give the account of the same kind of content.
"""

from __future__ import annotations

from typing import Final

from weighbridge.inspectors import (
    boosters,
    columnar,
    coreml,
    data_stores,
    device_engines,
    executables,
    java_files,
    older_frameworks,
    r_data,
    skops,
    tokenizer_files,
    xml_models,
    yaml_files,
)
from weighbridge.inspectors.rule import Rule
from weighbridge.inspectors.subject import Inspector

INSPECTORS: Final[tuple[Inspector, ...]] = (
    tokenizer_files.TokenizerFiles(),
    yaml_files.YamlFiles(),
    executables.Executables(),
    boosters.Boosters(),
    skops.SkopsSchemas(),
    xml_models.XmlModels(),
    coreml.CoreMl(),
    r_data.RData(),
    older_frameworks.OlderFrameworks(),
    device_engines.DeviceEngines(),
    java_files.JavaFiles(),
    columnar.ColumnarTables(),
    data_stores.DataStores(),
)
RULES: Final[tuple[Rule, ...]] = (
    *tokenizer_files.RULES,
    *yaml_files.RULES,
    *executables.RULES,
    *boosters.RULES,
    *skops.RULES,
    *xml_models.RULES,
    *coreml.RULES,
    *r_data.RULES,
    *older_frameworks.RULES,
    *device_engines.RULES,
    *java_files.RULES,
    *columnar.RULES,
    *data_stores.RULES,
)
