"""Text of manifests: YAML with a heading, the same for the same input, without anchors."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import yaml

from weighbridge.core.canonical import JsonValue
from weighbridge.deploy.deployable import Deployable


class _Plain(yaml.SafeDumper):
    """Writes what occurs twice twice: people read these files."""

    def ignore_aliases(self, data: object) -> bool:
        return True

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:
        super().increase_indent(flow, False)


def heading(deployable: Deployable, mark: str = "#") -> str:
    """Lines of comment that say what is deployed."""
    lines = (
        f"{deployable.reference}{f' (channel {deployable.channel})' if deployable.channel else ''}",
        f"manifest {deployable.manifest_digest}",
        "Rendered by `weighbridge deploy`: change the options, not this file.",
    )
    return "".join(f"{mark} {line}\n" for line in lines)


def yaml_text(documents: Iterable[Mapping[str, JsonValue]], deployable: Deployable) -> str:
    """Documents of one file, in order."""
    parts = [
        yaml.dump(dict(document), Dumper=_Plain, sort_keys=False, width=160, allow_unicode=True)
        for document in documents
    ]
    return heading(deployable) + "---\n".join(parts)
