"""Writes `tests/data/terraform-aws.json`: what Terraform's AWS provider says of the resources that are rendered here.

    terraform providers schema -json > schema.json        # in a folder whose required_providers name one version of hashicorp/aws
    python scripts/terraform_schema.py schema.json 5.100.0

Of each resource: its arguments, which of them are required, and its nested blocks with how often each may stand. Attributes that
the provider alone sets are left out.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

TARGET = Path(__file__).resolve().parent.parent / "tests/data/terraform-aws.json"
RESOURCES = (
    *("aws_sagemaker_model", "aws_sagemaker_endpoint_configuration", "aws_sagemaker_endpoint"),
    *("aws_cloudwatch_metric_alarm", "aws_appautoscaling_target", "aws_appautoscaling_policy"),
    *("aws_iam_role", "aws_iam_role_policy", "aws_s3_bucket_policy", "aws_kms_key_policy"),
)


def block(said: dict[str, Any]) -> dict[str, Any]:
    """A block's arguments (`required` or `optional`) and the blocks in it."""
    arguments = {
        name: "required" if one.get("required") else "optional"
        for name, one in sorted(said.get("attributes", {}).items())
        if one.get("required") or one.get("optional")
    }
    inner = {
        name: {"least": one.get("min_items", 0), "most": one.get("max_items", 0), **block(one["block"])}
        for name, one in sorted(said.get("block_types", {}).items())
    }
    return {"arguments": arguments, "blocks": inner}


def main() -> None:
    """Reads the provider's schema and writes the part that is needed."""
    schemas = json.loads(Path(sys.argv[1]).read_text("utf-8"))["provider_schemas"]
    [provider] = [one for name, one in schemas.items() if name.endswith("hashicorp/aws")]
    found = {name: block(provider["resource_schemas"][name]["block"]) for name in RESOURCES}
    source = f"terraform providers schema -json, hashicorp/aws {sys.argv[2]}"
    TARGET.write_text(json.dumps({"source": source, "resources": found}, separators=(",", ":")) + "\n")


if __name__ == "__main__":
    main()
