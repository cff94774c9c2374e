"""Judges what policies of AWS allow: each is read strictly and evaluated, with its denials and conditions, never matched by its looks.

- Of a role, user or policy: whether it may do to something that no policy names what a role that reads a model never does.
- Of a bucket, a key or a role's trust: whether a stranger may do anything, which nothing bounds and no certain denial stops.
- A permissions boundary among the files bounds those that have it, and allows nothing by itself. Whether there is none is no question.
- A reference to one thing (a resource, an ARN's part) is one thing. Where a whole action, principal or resource is known only when
  it is deployed, and where a policy or a statement is not understood, that is told: it is never taken for fine.

Source: IAM User Guide, "Policy evaluation logic"; S3 User Guide, "The meaning of 'public'".
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from weighbridge.core.errors import FormatError, LimitExceeded
from weighbridge.deploy.iam import PolicyDocument, PolicyKind, Principal, Request, Truth, opened, unproved
from weighbridge.deploy.iam.access import DELETE, LIST, READ, SETTINGS, WRITE
from weighbridge.deploy.iam.document import Effect, Statement
from weighbridge.deploy.iam.evaluation import apply
from weighbridge.deploy.lint import rules
from weighbridge.deploy.lint.parts import Findings, Json, Place, Resource, mapping, sequence, shown, text_of
from weighbridge.deploy.lint.unresolved import say_unknown, switch_of
from weighbridge.formats.json_text import texts

BUCKET_POLICY: Final = "AWS::S3::BucketPolicy"
ATTACHMENT: Final = "AWS::IAM::Attachment"
_ACCOUNT: Final = "111122223333"
_NAMED: Final = "weighbridge-named"
"""Stands for what a reference names: no probe matches it."""
_OTHER: Final = "weighbridge-other"
"""What no policy names."""
_HOLDER: Final = Principal.of(f"arn:aws:iam::{_ACCOUNT}:role/{_OTHER}")
_POWERS: Final = (
    ("read every bucket", "s3:GetObject", f"arn:aws:s3:::{_OTHER}/{_OTHER}"),
    ("write to every bucket", "s3:PutObject", f"arn:aws:s3:::{_OTHER}/{_OTHER}"),
    ("delete from every bucket", "s3:DeleteObject", f"arn:aws:s3:::{_OTHER}/{_OTHER}"),
    ("change every bucket's policy", "s3:PutBucketPolicy", f"arn:aws:s3:::{_OTHER}"),
    ("change every role", "iam:PutRolePolicy", f"arn:aws:iam::{_ACCOUNT}:role/{_OTHER}"),
    ("hand on every role", "iam:PassRole", f"arn:aws:iam::{_ACCOUNT}:role/{_OTHER}"),
    ("take every role", "sts:AssumeRole", f"arn:aws:iam::{_ACCOUNT}:role/{_OTHER}"),
    (
        "read every secret",
        "secretsmanager:GetSecretValue",
        f"arn:aws:secretsmanager:us-east-1:{_ACCOUNT}:secret:{_OTHER}",
    ),
    ("decrypt with every key", "kms:Decrypt", f"arn:aws:kms:us-east-1:{_ACCOUNT}:key/{_OTHER}"),
    ("hand on every key", "kms:CreateGrant", f"arn:aws:kms:us-east-1:{_ACCOUNT}:key/{_OTHER}"),
    ("change every key's policy", "kms:PutKeyPolicy", f"arn:aws:kms:us-east-1:{_ACCOUNT}:key/{_OTHER}"),
)
_NARROWING: Final = re.compile(
    r"aws:resource.*|s3:existingobjecttag/.*|s3:resourceaccount|s3:prefix|s3:dataaccesspoint.*|iam:passedtoservice"
    r"|iam:associatedresourcearn|secretsmanager:resourcetag/.*|iam:resourcetag/.*|secretsmanager:secretid"
    # Through a service a key opens what the service may read for who asks.
    r"|kms:(?:viaservice|grantisforawsresource|requestalias|resourcealiases|encryptioncontext.*)",
    re.IGNORECASE,
)
"""Keys of conditions that bound what is done it to, or what for; all others bound who asks, when and how."""
_WIDE_OF_AWS: Final[Mapping[str, str]] = {
    "AdministratorAccess": "everything",
    "PowerUserAccess": "everything but people and roles",
    "IAMFullAccess": "every role",
    "AmazonS3FullAccess": "every bucket",
    "AmazonS3ReadOnlyAccess": "reading every bucket",
    "AmazonSageMakerFullAccess": "every bucket with sagemaker in its name, all of SageMaker, and handing on roles",
    "SecretsManagerReadWrite": "every secret",
    "AWSKeyManagementServicePowerUser": "making and administering keys",
}
_NARROW_OF_AWS: Final = frozenset(
    (
        *(
            "AmazonECSTaskExecutionRolePolicy",
            "AmazonEC2ContainerRegistryReadOnly",
            "AmazonEC2ContainerRegistryPullOnly",
        ),
        *("AmazonEKSWorkerNodePolicy", "AmazonEKSClusterPolicy", "AmazonEKS_CNI_Policy", "CloudWatchAgentServerPolicy"),
        *("AWSLambdaBasicExecutionRole", "AWSLambdaVPCAccessExecutionRole", "AmazonSSMManagedInstanceCore"),
    )
)
MAX_STATEMENTS: Final = 300
MAX_CHARACTERS: Final = 64 * 1024
"""AWS takes no policy of half the size."""
_MAX_BESIDE: Final = 50
"""Of a role's other policies, so many are asked whether they deny."""
_TRUSTING: Final = ("sts:AssumeRole", "sts:AssumeRoleWithWebIdentity", "sts:AssumeRoleWithSAML", "sts:TagSession")


# --- what is only known when it is deployed --------------------------------------------------------

_PSEUDO: Final = (
    (re.compile(r"AWS::Partition|data\.aws_partition\.\w+\.partition"), "aws"),
    (re.compile(r"AWS::AccountId|data\.aws_caller_identity\.\w+\.account_id"), _ACCOUNT),
    (re.compile(r"AWS::Region|data\.aws_region\.\w+\.(?:name|region|id)"), "us-east-1"),
    (re.compile(r"AWS::URLSuffix|data\.aws_partition\.\w+\.dns_suffix"), "amazonaws.com"),
)
_OF_IAM: Final = re.compile(r"[a-z0-9.-]+:[A-Za-z0-9/_.-]+(?:\s*,.*)?|[*?$]")
"""Variables of IAM itself: `aws:username`, `*`."""
_ONE_THING: Final = re.compile(
    r"(?:Ref |GetAtt |(?:data|resource)\.)[\w.:\[\]\"*-]+|aws_\w+\.[\w.\[\]\"-]+"
    r"|(?!var\.|local\.|module\.|each\.|self\.|path\.|count\.)[A-Za-z0-9]+\.[A-Za-z.]+"
)


def _holes(text: str) -> Iterator[tuple[int, int]]:
    """Where `${…}` begin and end; what stands within one is part of it."""
    at = text.find("${")
    while at >= 0:
        depth, end = 1, at + 2
        while end < len(text) and depth:
            depth += {"{": 1, "}": -1}.get(text[end], 0)
            end += 1
        yield at, end
        at = text.find("${", end)


@dataclass(slots=True)
class _Closing:
    """Puts names for what is not known; `doubts` tell what could be anything."""

    doubts: list[str] = field(default_factory=list)

    def document(self, value: Json) -> Json:
        """The policy with names for what references name."""
        root = mapping(value)
        statements = root.get("Statement")
        many = [statements] if isinstance(statements, dict) else statements
        if not isinstance(many, list):
            self._whole("Statement", many)
            return value
        return {**root, "Statement": [self._statement(mapping(one)) if isinstance(one, dict) else one for one in many]}

    def _statement(self, one: dict[str, Json]) -> dict[str, Json]:
        found: dict[str, Json] = {}
        for key, value in one.items():
            if key in ("Principal", "NotPrincipal"):
                found[key] = self._principals(key, value)
            elif key == "Condition":
                found[key] = self._names(value)
            else:
                found[key] = self._element(key, value, f"arn:aws:s3:::{_NAMED}" if "Resource" in key else _NAMED)
        return found

    def _principals(self, key: str, value: Json) -> Json:
        name = f"arn:aws:iam::{_ACCOUNT}:role/{_NAMED}"
        if isinstance(value, dict):
            return {
                kind: self._element(f"{key} {kind}", one, name if kind == "AWS" else _NAMED)
                for kind, one in value.items()
            }
        return {"AWS": self._element(key, value, name)} if isinstance(value, str) and "${" in value else value

    def _element(self, key: str, value: Json, name: str) -> Json:
        if isinstance(value, list):
            return [self._element(key, one, name) for one in value]
        if not isinstance(value, str):
            return value
        self._whole(key, value)
        return self._named(value, name)

    def _whole(self, key: str, value: Json) -> None:
        """Notes a doubt where all of a value is something that nothing is known of."""
        text = value if isinstance(value, str) else ""
        span = next(_holes(text), None)
        if span == (0, len(text)) and text and not _is_one_thing(text[2:-1]):
            self.doubts.append(f"{key} is {shown(text)}")

    def _named(self, text: str, name: str) -> str:
        pieces, end = [], 0
        for start, after in _holes(text[:65_536]):
            inner = text[start + 2 : after - 1].strip()
            known = next((word for pattern, word in _PSEUDO if pattern.fullmatch(inner)), _NAMED)
            # What begins the value is a whole name; what stands within one is a part of it.
            pieces += [text[end:start], name if start == 0 and known == _NAMED else known]
            end = after
        return "".join((*pieces, text[end:65_536]))

    def _names(self, value: Json) -> Json:
        """Values of conditions: variables of IAM stay, references become names."""
        if isinstance(value, dict):
            return {key: self._names(one) for key, one in value.items()}
        if isinstance(value, list):
            return [self._names(one) for one in value]
        if not isinstance(value, str) or "${" not in value:
            return value
        whole = all(_OF_IAM.fullmatch(value[start + 2 : end - 1]) for start, end in _holes(value))
        return value if whole else self._named(value, _NAMED)


def _is_one_thing(inner: str) -> bool:
    """Whether what stands in a `${…}` certainly names one thing."""
    text = inner.strip()
    known = any(pattern.fullmatch(text) for pattern, _ in _PSEUDO)
    return known or _OF_IAM.fullmatch(text) is not None or _ONE_THING.fullmatch(text) is not None


@dataclass(frozen=True, slots=True)
class _Read:
    """A policy that was read, and where it stands."""

    policy: PolicyDocument
    place: Place


def _read(value: Json, place: Place, kind: PolicyKind, findings: Findings) -> _Read | None:
    """The policy; where it cannot be read, or could be anything, that is told."""
    if isinstance(value, str) or not mapping(value):
        said = shown(value) if isinstance(value, str) else "no value"
        findings.say(rules.NOT_READ, place, f"the policy is {said}: what it allows cannot be told from these files")
        return None
    closing = _Closing()
    document = closing.document(_unmarked(value))
    for doubt in closing.doubts:
        findings.say(rules.NOT_READ, place, f"{doubt}: what it allows cannot be told from these files")
    try:
        policy = PolicyDocument.of(document, kind=kind)
        if len(policy.statements) > MAX_STATEMENTS or sum(map(len, texts(document))) > MAX_CHARACTERS:
            raise LimitExceeded("it is larger than any that AWS takes")
        return _Read(policy, place)
    except FormatError as error:
        if not closing.doubts:
            findings.say(rules.NOT_READ, place, f"the policy is not evaluated: {error.message}")
        return None


def _unmarked(value: Json) -> Json:
    """Terraform's `$${` was kept apart from its own `${`; here it is a variable of IAM."""
    if isinstance(value, str):
        return value.replace("$\u200b{", "${").replace("&{", "${")
    if isinstance(value, list):
        return [_unmarked(one) for one in value]
    return {key: _unmarked(one) for key, one in value.items()} if isinstance(value, dict) else value


# --- resources -------------------------------------------------------------------------------------


def judge_policies(resources: Sequence[Resource], everything: Sequence[Resource], findings: Findings) -> None:
    """What the policies among resources allow to too many, or too much of; denials of a role's other policies count.

    `everything` are the resources among which those may be.
    """
    identities: list[tuple[Resource, list[_Read]]] = []
    attached = _attached(everything)
    denials = _denials_by_holder(everything, attached)
    bounds = _bounds_by_holder(everything)
    bounding = _only_bounding(everything)
    for resource in resources:
        if resource.kind == BUCKET_POLICY:
            _judge_bucket(
                _read(resource.get("PolicyDocument"), resource.place("PolicyDocument"), _ON, findings), findings
            )
        elif resource.kind.startswith("AWS::KMS::"):
            _judge_key(resource, findings)
        elif resource.kind.startswith("AWS::IAM::") and not _only_bounds(resource, bounding):
            _judge_managed(resource, findings)
            _judge_trust_of(resource, findings)
            identities.append((resource, [one for one in _identities(resource, findings) if one is not None]))
    for resource, read in identities:
        holders = sorted(_holders(resource) | attached.get(resource.name, set()))
        others = [one for holder in holders for one in denials.get(holder, ())[:_MAX_BESIDE]]
        _judge_identity(read, others, findings, [bounds.get(holder) for holder in holders])


def _attached(everything: Sequence[Resource]) -> dict[str, set[str]]:
    """To whom managed policies of these files are attached by what stands beside them: by the policies' names."""
    policies = {one.name for one in everything if one.kind == "AWS::IAM::ManagedPolicy"}
    found: dict[str, set[str]] = {}
    for resource in everything:
        named = resource.get("ManagedPolicyArns")
        for one in (*(named if isinstance(named, list) else [named]), resource.get("PolicyArn")):
            if (name := _policy_named(one)) in policies:
                found.setdefault(name, set()).update(_holders(resource))
    return found


def _denials_by_holder(
    everything: Sequence[Resource], attached: Mapping[str, set[str]]
) -> dict[str, list[PolicyDocument]]:
    """What is denied to roles, users and groups, by their names in these files."""
    found: dict[str, list[PolicyDocument]] = {}
    for resource in everything:
        is_policy = resource.kind.startswith("AWS::IAM::")
        holders = _holders(resource) | attached.get(resource.name, set()) if is_policy else set()
        for one in _identities(resource, Findings()) if holders else ():
            denying = tuple(said for said in one.policy.statements if said.effect is Effect.DENY) if one else ()
            for holder in holders if one and denying else ():
                found.setdefault(holder, []).append(PolicyDocument(denying))
    return found


def _bounds_by_holder(everything: Sequence[Resource]) -> dict[str, PolicyDocument]:
    """The permissions boundaries of roles and users, by the names of those who have them, as far as they are in these files."""
    policies = {one.name: one for one in everything if one.kind == "AWS::IAM::ManagedPolicy"}
    found = {}
    for resource in everything:
        bound = policies.get(_policy_named(resource.get("PermissionsBoundary")))
        read = next(_identities(bound, Findings()), None) if bound is not None else None
        if read is not None:
            found.update(dict.fromkeys(_holders(resource), read.policy))
    return found


def _only_bounds(resource: Resource, bounding: Collection[str]) -> bool:
    """Whether a policy is the boundary of somebody, and attached to nobody: what it allows is then given by others."""
    return resource.kind == "AWS::IAM::ManagedPolicy" and resource.name in bounding and not _holders(resource)


def _only_bounding(everything: Sequence[Resource]) -> set[str]:
    """The names of policies that others have as their boundary, and that nobody is said to have otherwise."""
    attached = set()
    for one in everything:
        named = one.get("ManagedPolicyArns")
        said = [*(named if isinstance(named, list) else [named]), one.get("PolicyArn")]
        attached |= {_policy_named(value) for value in said}
    return {_policy_named(one.get("PermissionsBoundary")) for one in everything} - attached


def _policy_named(value: Json) -> str:
    """The name of a policy of these files that a value refers to; empty where it refers to none."""
    found = re.fullmatch(r"\$\{\s*(?:Ref |aws_iam_policy\.)([\w-]+)(?:\.\w+)?\s*\}", text_of(value) or "")
    return found[1] if found else ""


def _judge_key(resource: Resource, findings: Findings) -> None:
    """Who may use a key, by its own policy; and whether it is ever exchanged."""
    key = "KeyPolicy" if resource.get("KeyPolicy") is not None else "PolicyDocument"
    if resource.get(key) is not None:
        _judge_key_policy(_read(resource.get(key), resource.place(key), _ON, findings), findings)
    spec = text_of(resource.get("KeySpec")) or text_of(resource.get("CustomerMasterKeySpec")) or "SYMMETRIC_DEFAULT"
    origin = text_of(resource.get("Origin")) or "AWS_KMS"
    if resource.kind == "AWS::KMS::Key" and (spec, origin) == ("SYMMETRIC_DEFAULT", "AWS_KMS"):
        rotated = switch_of(resource.get("EnableKeyRotation"))
        where = resource.place("EnableKeyRotation")
        if rotated is None:
            say_unknown(findings, where, "EnableKeyRotation", resource.get("EnableKeyRotation"))
        elif not rotated:
            findings.say(rules.KEY_NOT_ROTATED, where, f"the material of {shown(resource.name)} is not exchanged")


def _judge_key_policy(read: _Read | None, findings: Findings) -> None:
    if read is None:
        return
    key = f"arn:aws:kms:us-east-1:{_ACCOUNT}:key/{_NAMED}"
    requests = [Request(_HOLDER, action, key, _ACCOUNT, complete=False) for action in _USING]
    for statement in opened(read.policy, requests):
        findings.say(rules.OPEN_KEY, read.place, f"{statement} lets everybody use the key, and nothing bounds who asks")
    _unproved(read.policy, read.place, findings)


_USING: Final = (
    *("kms:Decrypt", "kms:Encrypt", "kms:GenerateDataKey", "kms:ReEncryptFrom", "kms:CreateGrant", "kms:PutKeyPolicy"),
    *("kms:ScheduleKeyDeletion", "kms:DisableKey"),
)


def judge_document(value: Json, place: Place, findings: Findings) -> None:
    """A policy by itself: what it is attached to follows from what it says."""
    statements = mapping(value).get("Statement")
    many = [mapping(one) for one in ([statements] if isinstance(statements, dict) else sequence(statements))]
    with_principal = any("Principal" in one or "NotPrincipal" in one for one in many)
    with_resource = any("Resource" in one or "NotResource" in one for one in many)
    kind = _ON if with_principal and with_resource else PolicyKind.TRUST if with_principal else PolicyKind.IDENTITY
    read = _read(value, place, kind, findings)
    if read is None:
        return
    if kind is PolicyKind.IDENTITY:
        _judge_identity([read], (), findings)
    elif kind is PolicyKind.TRUST:
        _judge_trust(read, findings)
    elif all(action.lower().startswith("kms:") for one in read.policy.statements for action in one.action.values):
        _judge_key_policy(read, findings)
    elif _is_of_a_bucket(read.policy):
        _judge_bucket(read, findings)


_ON: Final = PolicyKind.RESOURCE


def _identities(resource: Resource, findings: Findings) -> Iterator[_Read | None]:
    kind = PolicyKind.IDENTITY
    if resource.kind in ("AWS::IAM::Policy", "AWS::IAM::ManagedPolicy", "AWS::IAM::RolePolicy"):
        yield _read(resource.get("PolicyDocument"), resource.place("PolicyDocument"), kind, findings)
    policies = resource.get("Policies")
    if isinstance(policies, str):
        findings.say(rules.NOT_READ, resource.place("Policies"), f"Policies are {shown(policies)}, which is not known")
    for at, one in enumerate(sequence(policies)):
        place = resource.place("Policies", str(at), "PolicyDocument")
        yield _read(mapping(one).get("PolicyDocument"), place, kind, findings)


def _holders(resource: Resource) -> set[str]:
    """The roles, users and groups that a policy is attached to, or that a resource is, by their names in these files."""
    own = resource.kind in ("AWS::IAM::Role", "AWS::IAM::User", "AWS::IAM::Group")
    found = {resource.name} if own else set()
    for key in ("Roles", "Users", "Groups", "Role", "User", "Group", "RoleName"):
        value = resource.get(key)
        for one in value if isinstance(value, list) else [value]:
            text = text_of(one) or ""
            reference = re.fullmatch(r"\$\{\s*(?:Ref |aws_iam_\w+\.)([\w-]+)(?:\.\w+)?\s*\}", text)
            found.add(reference[1] if reference else text)
    return found - {""}


def _judge_managed(resource: Resource, findings: Findings) -> None:
    """Policies that are named by their ARN: AWS's own are known by name, those of these files are judged where they stand."""
    named = resource.get("ManagedPolicyArns")
    said = [*(named if isinstance(named, list) else [named]), resource.get("PolicyArn")]
    for one in said if resource.kind in (ATTACHMENT, "AWS::IAM::Role", "AWS::IAM::User", "AWS::IAM::Group") else ():
        text = text_of(one) or ""
        of_aws = re.fullmatch(r"arn:[^:]+:iam::aws:policy/(?:[\w-]+/)*([\w-]+)", text)
        place = resource.place("PolicyArn" if resource.kind == ATTACHMENT else "ManagedPolicyArns")
        name = of_aws[1] if of_aws else ""
        if name in _WIDE_OF_AWS:
            findings.say(rules.WIDE_ROLE, place, f"{name} allows {_WIDE_OF_AWS[name]}")
        elif (
            text and name not in _NARROW_OF_AWS and not re.fullmatch(r"\$\{\s*(?:Ref |aws_iam_policy\.)[^{}]*\}", text)
        ):
            findings.say(rules.NOT_READ, place, f"what the policy {shown(text)} allows is not among these files")


# --- what they allow -------------------------------------------------------------------------------


def _judge_identity(
    read: Iterable[_Read],
    others: Sequence[PolicyDocument],
    findings: Findings,
    bounds: Sequence[PolicyDocument | None] = (),
) -> None:
    """Whether these policies together allow something to what no policy names; `others` deny beside them.

    `bounds` are the boundaries of all who have the policies; None is somebody without one.
    """
    within = [None if bound is None else _widened(bound) for bound in bounds]
    together = list(read)
    requests = [Request(_HOLDER, action, on, _ACCOUNT, complete=False) for _, action, on in _POWERS]
    denied = [
        any(
            said.effect is Effect.DENY and said.truth is Truth.YES
            for policy in (*(one.policy for one in together), *others)
            for said in apply(policy, request)
        )
        or (bool(within) and not any(bound is None or _lets(bound, request) for bound in within))
        for request in requests
    ]
    for one in together:
        widened = _widened(one.policy)
        may: dict[str, list[str]] = {}
        for request, (power, _, _), stopped in zip(requests, _POWERS, denied, strict=True):
            for said in () if stopped else apply(widened, request):
                if said.effect is Effect.ALLOW and said.truth is Truth.YES:
                    may.setdefault(said.statement, []).append(power)
        for statement, powers in may.items():
            findings.say(rules.WIDE_ROLE, one.place, f"{statement} may {', '.join(powers)}")


def _lets(bound: PolicyDocument, request: Request) -> bool:
    """Whether a boundary may let a request pass: it does where that is not certain."""
    applied = apply(bound, request)
    denied = any(said.effect is Effect.DENY and said.truth is Truth.YES for said in applied)
    return not denied and any(said.effect is Effect.ALLOW and said.truth is not Truth.NO for said in applied)


def _widened(policy: PolicyDocument) -> PolicyDocument:
    """The policy without conditions of who asks and how: whatever takes over the engine asks as the engine does."""
    statements = tuple(
        replace(one, conditions=tuple(test for test in one.conditions if _NARROWING.fullmatch(test.key)))
        if one.effect is Effect.ALLOW
        else one
        for one in policy.statements
    )
    return replace(policy, statements=statements)


def _judge_bucket(read: _Read | None, findings: Findings) -> None:
    if read is None:
        return
    policy = _of_one_bucket(read.policy)
    bucket = f"arn:aws:s3:::{_NAMED}"
    requests = [Request(_HOLDER, action, bucket, _ACCOUNT, complete=False) for action in (*SETTINGS, *LIST)]
    requests += [
        Request(_HOLDER, action, f"{bucket}/", _ACCOUNT, complete=False, under=True)
        for action in (*READ, *WRITE, *DELETE)
    ]
    for statement in opened(policy, requests):
        findings.say(rules.PUBLIC_BUCKET, read.place, f"{statement} allows everybody what nothing bounds")
    _unproved(policy, read.place, findings)


def _judge_trust_of(resource: Resource, findings: Findings) -> None:
    if resource.kind != "AWS::IAM::Role" or resource.get("AssumeRolePolicyDocument") is None:
        return
    place = resource.place("AssumeRolePolicyDocument")
    read = _read(resource.get("AssumeRolePolicyDocument"), place, PolicyKind.TRUST, findings)
    if read is not None:
        _judge_trust(read, findings)


def _judge_trust(read: _Read, findings: Findings) -> None:
    requests = [Request(_HOLDER, action, "*", _ACCOUNT, complete=False) for action in _TRUSTING]
    for statement in opened(read.policy, requests):
        findings.say(rules.OPEN_ROLE, read.place, f"{statement} lets everybody take the role")
    for place, one in enumerate(read.policy.statements):
        if _trusts_all_of_a_provider(one):
            label = read.policy.label(place)
            findings.say(rules.OPEN_ROLE, read.place, f"{label} lets everybody whom the provider knows take the role")
    _unproved(read.policy, read.place, findings)


def _trusts_all_of_a_provider(one: Statement) -> bool:
    """Whether people and repositories of a provider of identities are let in without a condition of who they are."""
    federated = one.principals is not None and any(kind == "Federated" for kind, _ in one.principals.values)
    by_token = any("WebIdentity" in action or "*" in action for action in one.action.values)
    named = any(test.key.lower().endswith((":sub", ":amr")) for test in one.conditions)
    return one.effect is Effect.ALLOW and federated and by_token and not named


def _unproved(policy: PolicyDocument, place: Place, findings: Findings) -> None:
    """Statements that allow and are not understood; a denial that is not understood was not believed."""
    for at, statement in enumerate(policy.statements):
        if statement.effect is Effect.ALLOW:
            for said in unproved(replace(policy, statements=(statement,))):
                why = said.partition(": ")[2]
                findings.say(rules.NOT_READ, place, f"{policy.label(at)} is not evaluated: {why}")


_S3: Final = re.compile(r"arn:[^:]*:s3:::([^/]+)(/.*)?", re.DOTALL)


def _of_one_bucket(policy: PolicyDocument) -> PolicyDocument:
    """The policy with one name for its bucket, however it is referred to: it can be about no other."""
    statements = []
    for one in policy.statements:
        if one.resource is not None:
            values = tuple(_renamed(value) for value in one.resource.values)
            one = replace(one, resource=replace(one.resource, values=values))
        statements.append(one)
    return replace(policy, statements=tuple(statements))


def _renamed(value: str) -> str:
    found = _S3.fullmatch(value)
    if found is None or "*" in found[1] or "?" in found[1]:
        return value
    return f"arn:aws:s3:::{_NAMED}{found[2] or ''}"


def _is_of_a_bucket(policy: PolicyDocument) -> bool:
    """Whether a policy with principals is a bucket's: all it names is of one bucket. A VPC endpoint's names several, or everything."""
    values = [value for one in policy.statements if one.resource is not None for value in one.resource.values]
    buckets = {found[1] if (found := _S3.fullmatch(value)) else value for value in values}
    only_s3 = all(action.lower().startswith("s3:") for one in policy.statements for action in one.action.values)
    return len(buckets) == 1 and (buckets != {"*"} or only_s3)
