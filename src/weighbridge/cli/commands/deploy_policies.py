"""`weighbridge deploy policies`: the AWS policies of an installation as files, and what a bucket's policy comes to."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import click

from weighbridge.cli.console import Output
from weighbridge.cli.options import common
from weighbridge.cli.settings import Home
from weighbridge.core.canonical import JsonValue

_ROWS: Final = (
    ("public", "anybody at all is allowed something"),
    ("readers", "the policy lets read"),
    ("writers", "the policy lets write"),
    ("deleters", "the policy lets delete"),
    ("cross_account", "of other accounts"),
    ("write_denied", "writing is denied to everyone not named"),
    ("write_exempt", "named"),
    ("delete_denied", "deleting is denied to everyone not named"),
    ("delete_exempt", "named"),
    ("settings_exempt", "may change the bucket's settings"),
    ("tls_only", "every request without TLS is denied"),
    ("presigned_seconds", "signatures are denied after seconds"),
    ("endpoints", "requests must come through"),
    ("unproved", "not decided"),
)


@click.command(
    "policies",
    epilog="\b\nExamples:\n  weighbridge deploy policies parties.toml --output policies\n"
    "  weighbridge deploy policies parties.toml --json\n"
    "  aws s3api get-bucket-policy --bucket B --query Policy --output text > policy.json\n"
    "  weighbridge deploy policies --explain policy.json --account 111122223333 --bucket B --prefix a/",
)
@click.argument("parties", required=False, type=click.Path(path_type=Path, dir_okay=False))
@click.option("--output", "folder", type=click.Path(path_type=Path), help="A folder that is made for the policies.")
@click.option(
    "--explain",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="POLICY",
    help="Say what a bucket's policy does.",
)
@click.option("--account", default="", metavar="ID", help="With --explain: who owns the bucket.")
@click.option("--bucket", default="", metavar="NAME", help="With --explain: whose policy it is.")
@click.option("--prefix", default="", metavar="KEY/", help="With --explain: only for these objects.")
@common
def policies_command(
    _home: Home,
    output: Output,
    /,
    *,
    parties: Path | None,
    folder: Path | None,
    explain: Path | None,
    account: str,
    bucket: str,
    prefix: str,
) -> int:
    """Write the AWS policies for the accounts, roles, buckets and keys in a TOML file: least privilege, proved cell by cell.

    Nothing is created: the files are for CloudFormation, Terraform, or the AWS command line.
    """
    if explain is not None:
        if not account or not bucket:
            raise click.UsageError("--explain needs --account and --bucket")
        _explain(output, explain, account=account, bucket=bucket, prefix=prefix)
        return 0
    if parties is None:
        raise click.UsageError("name the file that says who takes part, or a policy with --explain")
    _write(output, parties, folder)
    return 0


def _write(output: Output, parties: Path, folder: Path | None) -> None:
    import json

    from weighbridge.cli.deploying import write_folder
    from weighbridge.deploy.aws_parties import read_parties
    from weighbridge.deploy.aws_policies import policy_files

    files = policy_files(read_parties(_read(parties), name=f"'{parties}'"))
    if folder is not None:
        write_folder(folder, {file.name: file.text for file in files})
        output.say(f"wrote {folder} ({len(files)} files)")
    if output.as_json:
        output.document({file.name: json.loads(file.text) for file in files})
    elif folder is None:
        for file in files:
            output.line(f"{file.name}\n{file.text}")


def _explain(output: Output, file: Path, *, account: str, bucket: str, prefix: str) -> None:
    from weighbridge.deploy.iam import PolicyDocument, PolicyKind, explain

    policy = PolicyDocument.parse(_read(file), kind=PolicyKind.RESOURCE)
    record = explain(policy, account=account, bucket=bucket, prefix=prefix).to_json()
    if output.as_json:
        output.document(record)
        return
    output.table(("", "", ""), [(key, what, _word(record[key])) for key, what in _ROWS])


def _word(value: JsonValue) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return ", ".join(str(one) for one in value) or "-"
    return "-" if value is None else str(value)


def _read(path: Path) -> bytes:
    from weighbridge.deploy.aws_parties import MAX_FILE_BYTES
    from weighbridge.wire.files import read_small

    return read_small(path, f"'{path}'", limit=MAX_FILE_BYTES)
