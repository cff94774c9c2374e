"""Every rule of deployments, of lint and of rendering, in one place: what findings, reports and pages look rules up in."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from weighbridge.deploy.lint import rules as lint_rules
from weighbridge.deploy.targets import rules as target_rules
from weighbridge.deploy.targets import sagemaker_rules
from weighbridge.inspectors.rule import Rule

RULES: Final[Mapping[str, Rule]] = MappingProxyType(
    {rule.id: rule for rule in (*lint_rules.ALL, *target_rules.RULES, *sagemaker_rules.RULES)}
)
"""By id: those of `deploy lint` first, then what only rendering finds."""
OF_RENDERING: Final = frozenset(RULES) - frozenset(lint_rules.RULES)
"""What `deploy plan` and `render` find, and lint of the files alone cannot."""
