"""What rendering for SageMaker finds: what the service would take, and then fail with hours later."""

from __future__ import annotations

from typing import Final

from weighbridge.core.finding import Severity
from weighbridge.deploy.targets.rules import INSPECTOR
from weighbridge.inspectors.rule import Rule

DISK_TOO_SMALL: Final = Rule(
    "deploy-sagemaker-disk-too-small",
    "The model does not fit the instance's disk or volume",
    Severity.HIGH,
    INSPECTOR,
    "SageMaker copies every object under the prefix to the instance: to its local disk, or to a volume of at most 512 GB.",
    "Use an instance with a local disk that is large enough.",
    "breaks it: 690 GB on ml.p3.16xlarge (a volume, 512 GB at most); does not: on ml.p5en.48xlarge (30 TB of local disk)",
)
LOAD_TOO_SLOW: Final = Rule(
    "deploy-sagemaker-load-too-slow",
    "The model does not arrive before the time limit",
    Severity.HIGH,
    INSPECTOR,
    "SageMaker gives the download at most 3,600 seconds, and fails the endpoint then.",
    "Use a store and a network that are fast enough, or a quantised revision; say what was measured with transfer_rate.",
    "breaks it: 690 GB at 150 MB/s (4,600 s); does not: at 500 MB/s (1,380 s)",
)
MODEL_CONFIGURES_ENGINE: Final = Rule(
    "deploy-model-configures-engine",
    "The model brings files that the image obeys",
    Severity.HIGH,
    INSPECTOR,
    "A `serving.properties` beside the weights overrides every variable of LMI, and may name a model on the Hub or code; "
    "`model.py`, `requirements.txt` and `code/` are run or installed by images that find them in /opt/ml/model.",
    "Take them out (`weighbridge remediate`, or --exclude when ingesting) and approve the revision that is left.",
    "breaks it: serving.properties with option.model_id=org/name; does not: weights, configuration and tokenizer alone",
)
RULES: Final = (DISK_TOO_SMALL, LOAD_TOO_SLOW, MODEL_CONFIGURES_ENGINE)
