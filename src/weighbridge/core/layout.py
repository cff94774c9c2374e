"""Where things lie in a store, so that a person finds them in any S3 console.

- `models/<org>/<name>/<revision>/<path>`: exactly the model's files and nothing else, so that an engine can be pointed
  at the prefix;
- `records/<org>/<name>/<revision>/…`: manifest, signature, placement, inspection, and last of all the seal: a revision
  without its seal does not exist;
- `incoming/<id>/<path>`: artifacts of a source without commits, until their revision is known from the bytes;
- `index/…`: the signed index of channels, in an approved store;
- `audit/…`: copies of the ledger, in a store chosen for them.
"""

from __future__ import annotations

from weighbridge.core.names import ModelName, is_revision

MODELS = "models/"
RECORDS = "records/"
INCOMING = "incoming/"
INDEX = "index/"
AUDIT = "audit/"

MANIFEST = "manifest.json"
SIGNATURE = "model.sig"
PLACEMENT = "placement.json"
INSPECTION = "inspection.json"
SEAL = "seal.dsse.json"
SEALED_RECORDS = (MANIFEST, SIGNATURE, PLACEMENT, INSPECTION)


def model_prefix(model_name: ModelName, revision: str) -> str:
    """The prefix of a revision's artifacts, ending in a slash."""
    return f"{MODELS}{model_name}/{revision}/"


def record_key(model_name: ModelName, revision: str, record: str) -> str:
    """The key of one record of a revision."""
    return f"{RECORDS}{model_name}/{revision}/{record}"


def revision_of(key: str) -> tuple[ModelName, str] | None:
    """The model and revision that a key under `models/` or `records/` belongs to."""
    parts = key.split("/", 4)
    if len(parts) < 5 or f"{parts[0]}/" not in (MODELS, RECORDS) or not is_revision(parts[3]):
        return None
    return ModelName(parts[1], parts[2]), parts[3]
