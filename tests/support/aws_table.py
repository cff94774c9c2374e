"""Every request that the generated AWS policies are tried with, and by hand what must come of each: rules, not policies."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace

from weighbridge.deploy.aws_parties import Hosting, Parties, Place
from weighbridge.deploy.aws_policies import (
    approved_bucket_policy,
    approved_key_policy,
    collect_policy,
    execution_role_policy,
    gateway_policy,
    inference_endpoint_policy,
    inference_policy,
    ingest_policy,
    inspect_policy,
    promote_policy,
    quarantine_bucket_policy,
    quarantine_key_policy,
    sagemaker_trust_policy,
)
from weighbridge.deploy.iam import Outcome, PolicyDocument, PolicyKind, Principal, Request, evaluate

HOME, ABROAD = "111122223333", "444455556666"
REVISION = "models/org/name/" + "a" * 40 + "/"
OTHER_REVISION = "models/org/name/" + "a" * 39 + "b/"
SUITE = "models/org/name/" + "a" * 40 + "-extended/"
GOOD_ENDPOINT, OTHER_ENDPOINT = "vpce-0123456789abcdef0", "vpce-0ffffffffffffffff"
REGION = "eu-central-1"


def role(name: str, account: str = HOME) -> str:
    return f"arn:aws:iam::{account}:role/{name}"


def key_arn(name: str) -> str:
    return f"arn:aws:kms:{REGION}:{HOME}:key/{name}"


PARTIES = Parties(
    account=HOME,
    region=REGION,
    quarantine=Place("models-in", key_arn("in"), "q"),
    approved=Place("models-out", key_arn("out"), "a"),
    administrator=role("admin"),
    ingest=role("ingest"),
    inspect=role("inspect"),
    promote=role("promote"),
    gateway=role("gateway"),
    inference=(role("inference"), role("inference", ABROAD)),
    collect=role("collect"),
    vpc_endpoints=(GOOD_ENDPOINT,),
)
EVERYTHING = PolicyDocument.parse(
    '{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"*","Resource":"*"}}', kind=PolicyKind.IDENTITY
)

WHO: Mapping[str, Principal] = {
    "ingest": Principal.of(f"arn:aws:sts::{HOME}:assumed-role/ingest/worker-1"),
    "inspect": Principal.of(role("inspect")),
    "promote": Principal.of(role("promote")),
    "collect": Principal.of(role("collect")),
    "gateway": Principal.of(role("gateway")),
    "inference": Principal.of(role("inference")),
    "inference abroad": Principal.of(role("inference", ABROAD)),
    "inference abroad with everything": Principal.of(role("inference", ABROAD)),
    "admin": Principal.of(role("admin")),
    "too much": Principal.of(role("somebody-with-everything")),
    "ingest with everything": Principal.of(role("ingest")),
    "judge with everything": Principal.of(role("inspect")),
    "promote with everything": Principal.of(role("promote")),
    "collect with everything": Principal.of(role("collect")),
    "inference with everything": Principal.of(role("inference")),
    "stranger": Principal.of(role("stranger", "999988887777")),
    "nobody": Principal.anonymous(),
    "service": Principal.service("sagemaker.amazonaws.com"),
}
"""`with everything` is the same role after somebody attached AdministratorAccess to it."""
PART = {name: name.replace(" with everything", "").replace("judge", "inspect") for name in WHO}

OBJECT_ACTIONS = (
    "GetObject",
    "GetObjectVersion",
    "PutObject",
    "PutObjectAcl",
    "PutObjectTagging",
    "PutObjectRetention",
    "PutObjectLegalHold",
    "AbortMultipartUpload",
    "ListMultipartUploadParts",
    "DeleteObject",
    "DeleteObjectVersion",
    "DeleteObjectTagging",
    "BypassGovernanceRetention",
    "ReplicateObject",
    "RestoreObject",
)
BUCKET_ACTIONS = (
    "ListBucket",
    "ListBucketVersions",
    "ListBucketMultipartUploads",
    "GetBucketVersioning",
    "GetBucketPolicy",
    "PutBucketPolicy",
    "PutBucketVersioning",
    "PutLifecycleConfiguration",
    "DeleteBucket",
)
KEYS = {
    "approved": (
        f"a/{REVISION}model.safetensors",
        f"a/{OTHER_REVISION}model.safetensors",
        f"a/{SUITE}model.safetensors",
        f"a/records/org/name/{'a' * 40}/seal.dsse.json",
        "a/index/timestamp.json",
        "a/audit/1",
        "elsewhere/1",
    ),
    "quarantine": (
        f"q/{REVISION}model.safetensors",
        f"q/records/org/name/{'a' * 40}/seal.dsse.json",
        "q/incoming/1/model.safetensors",
        "elsewhere/1",
    ),
}
BUCKETS = {"approved": "models-out", "quarantine": "models-in"}


@dataclass(frozen=True)
class Asked:
    """How a request comes: what of it the policies could mind."""

    tls: bool = True
    tls_version: str = "1.3"
    age_milliseconds: str = "1000"
    endpoint: str = GOOD_ENDPOINT
    conditional: bool = True
    creates: bool = True
    encryption: str = ""
    key: str = ""
    customer_key: bool = False
    hold: str = "ON"
    listing: str | None = None

    def context(self, action: str) -> dict[str, str]:
        found = {"aws:SecureTransport": "true" if self.tls else "false", "s3:signatureAge": self.age_milliseconds}
        found |= {"s3:TlsVersion": self.tls_version} if self.tls else {}
        found |= {"aws:SourceVpce": self.endpoint} if self.endpoint else {}
        if action == "PutObject":
            found["s3:ObjectCreationOperation"] = "true" if self.creates else "false"
            found |= {"s3:if-none-match": "*"} if self.conditional else {}
            found |= {"s3:x-amz-server-side-encryption": self.encryption} if self.encryption else {}
            found |= {"s3:x-amz-server-side-encryption-aws-kms-key-id": self.key} if self.key else {}
            found |= {"s3:x-amz-server-side-encryption-customer-algorithm": "AES256"} if self.customer_key else {}
        if action == "PutObjectLegalHold":
            found["s3:object-lock-legal-hold"] = self.hold
        if action == "ListBucket" and self.listing is not None:
            found["s3:prefix"] = self.listing
        return found


ALWAYS = (
    Asked(),
    Asked(tls=False),
    Asked(tls_version="1.1"),
    Asked(tls_version="1.2"),
    Asked(age_milliseconds="3600000"),
    Asked(age_milliseconds="3600001"),
    Asked(endpoint=""),
    Asked(endpoint=OTHER_ENDPOINT),
)
PUTTING = (
    Asked(conditional=False),
    Asked(conditional=False, creates=False),
    Asked(encryption="aws:kms", key="THE KEY"),
    Asked(encryption="aws:kms", key=key_arn("another")),
    Asked(encryption="aws:kms"),
    Asked(encryption="AES256"),
    Asked(customer_key=True),
)
LISTING = tuple(
    Asked(listing=one)
    for one in ("", "a/", f"a/{REVISION}", f"a/{REVISION}sub/", f"a/{REVISION[:-1]}", f"a/{OTHER_REVISION}", "q/")
)


@dataclass(frozen=True)
class Cell:
    """One request. `key` is empty for the bucket itself."""

    who: str
    action: str
    place: str
    key: str
    asked: Asked = field(default_factory=Asked)

    def request(self) -> Request:
        arn = f"arn:aws:s3:::{BUCKETS[self.place]}"
        asked = self.asked
        if asked.key == "THE KEY":
            asked = replace(asked, key=key_arn("out" if self.place == "approved" else "in"))
        resource = f"{arn}/{self.key}" if self.key else arn
        return Request(WHO[self.who], f"s3:{self.action}", resource, HOME, asked.context(self.action))


def cells() -> Iterator[Cell]:
    """All of them."""
    for who in WHO:
        for place, keys in KEYS.items():
            for action in OBJECT_ACTIONS:
                asked = ALWAYS
                asked += PUTTING if action == "PutObject" else ()
                asked += (Asked(hold="OFF"),) if action == "PutObjectLegalHold" else ()
                # How a request comes is tried on one key; which key it is, with all of them.
                for key in keys:
                    for one in asked if key == keys[0] else (Asked(), *asked[len(ALWAYS) :]):
                        yield Cell(who, action, place, key, one)
            for action in BUCKET_ACTIONS:
                for one in (*ALWAYS, *LISTING) if action == "ListBucket" else ALWAYS:
                    yield Cell(who, action, place, "", one)


# What must be


LOOKS = {
    # Who: what beside ListBucket it asks of which bucket.
    ("ingest", "quarantine"): {"GetBucketVersioning", "ListBucketMultipartUploads"},
    ("inspect", "quarantine"): {"GetBucketVersioning"},
    ("inspect", "approved"): set(),
    ("promote", "quarantine"): {"GetBucketVersioning", "ListBucketMultipartUploads"},
    ("promote", "approved"): {"GetBucketVersioning", "ListBucketMultipartUploads"},
    ("collect", "quarantine"): {"GetBucketVersioning", "ListBucketMultipartUploads"},
    ("gateway", "approved"): set(),
}
READS = {"GetObject", "GetObjectVersion"}
WRITES = {"PutObject", "PutObjectRetention", "PutObjectLegalHold", "AbortMultipartUpload", "ListMultipartUploadParts"}
DELETES = {"DeleteObject", "DeleteObjectVersion"}
REMOVES = {*DELETES, "DeleteObjectTagging"}
SEES_OBJECTS = {*READS, "ListMultipartUploadParts"}
SERVED = ("a/models/", "a/records/", "a/index/")
NEVER = {"BypassGovernanceRetention", "DeleteBucket"}
READERS = {
    "approved": {"promote", "inspect", "gateway", "inference", "inference abroad"},
    "quarantine": {"ingest", "inspect", "promote", "collect"},
}


def expected(cell: Cell) -> bool:
    """Whether the request must be allowed."""
    return comes_well(cell) and not_forbidden(cell) and entitled(cell)


def comes_well(cell: Cell) -> bool:
    """Whether the request comes as every request must."""
    asked = cell.asked
    if not asked.tls or asked.tls_version < "1.2" or int(asked.age_milliseconds) > 3_600_000:
        return False
    return asked.endpoint == GOOD_ENDPOINT or cell.who == "admin"


def not_forbidden(cell: Cell) -> bool:
    """Whether a role that is allowed everything may do it."""
    part, action = PART[cell.who], cell.action
    if action in NEVER:
        return False
    if action.startswith(("Get", "List")):
        hidden = action in SEES_OBJECTS or action.startswith("ListBucket")
        return not hidden or part in READERS[cell.place]
    if not cell.key:
        return part == "admin"
    if action == "PutObjectLegalHold" and cell.asked.hold != "ON":
        return False
    if action == "PutObject" and not put_well(cell):
        return False
    return may_change_approved(part, action) if cell.place == "approved" else may_change_quarantine(part, cell)


def put_well(cell: Cell) -> bool:
    """Whether an object is written as objects must be: once, and with the store's key."""
    asked = cell.asked
    if asked.customer_key or asked.key not in ("", "THE KEY") or (asked.encryption and not asked.key):
        return False
    in_models = cell.key[2:].startswith("models/")
    return asked.conditional or not asked.creates or not in_models


def may_change_approved(part: str, action: str) -> bool:
    return part == "promote" and action not in REMOVES


def may_change_quarantine(part: str, cell: Cell) -> bool:
    if cell.action in REMOVES:
        return part == "collect" or (part == "ingest" and cell.key.startswith("q/incoming/"))
    if part in ("inspect", "promote"):
        return cell.key.startswith("q/records/")
    return part in ("ingest", "collect")


def entitled(cell: Cell) -> bool:
    """Whether the role's own policy, or the bucket's for another account, gives it."""
    who, action, key = cell.who, cell.action, cell.key
    if who == "inference abroad with everything":
        # Another account's administrators decide for their role; the bucket's policy says how far that goes.
        return cell.place == "approved" and (action == "ListBucket" or (action in READS and key.startswith(SERVED)))
    if who in ("admin", "too much") or who.endswith("with everything"):
        return True
    if who in ("stranger", "nobody", "service"):
        return False
    if who in ("inference", "inference abroad"):
        mine_only = "a/models/" if who == "inference abroad" else f"a/{REVISION}"
        if cell.place != "approved":
            return False
        if action == "ListBucket":
            return (cell.asked.listing or "").startswith(mine_only)
        return action in READS and key.startswith(mine_only)
    if not key:
        beside = LOOKS.get((who, cell.place))
        return beside is not None and (action == "ListBucket" or action in beside)
    mine = key.startswith(("a/", "q/"))
    if cell.place == "approved":
        return entitled_in_approved(who, action, key, mine=mine)
    return entitled_in_quarantine(who, action, key, mine=mine)


def entitled_in_approved(who: str, action: str, key: str, *, mine: bool) -> bool:
    if who == "gateway":
        return action in READS and key.startswith(SERVED)
    if who == "inspect":
        return action in READS and mine
    return who == "promote" and action in {*READS, *WRITES} and mine


def entitled_in_quarantine(who: str, action: str, key: str, *, mine: bool) -> bool:
    if who == "ingest":
        staged = action in DELETES and key.startswith("q/incoming/")
        return staged or (action in {*READS, *WRITES} and mine)
    if who in ("inspect", "promote"):
        return (action in READS and mine) or (action == "PutObject" and key.startswith("q/records/"))
    return who == "collect" and mine and action in {*READS, *DELETES, "AbortMultipartUpload"}


# Keys, endpoints, roles of services


KMS_ADMINISTRATION = (
    "DescribeKey",
    "GetKeyPolicy",
    "GetKeyRotationStatus",
    "ListResourceTags",
    "PutKeyPolicy",
    "EnableKeyRotation",
    "TagResource",
    "UntagResource",
)
KMS_NEVER = ("Encrypt", "ReEncryptFrom", "CreateGrant", "ScheduleKeyDeletion", "DisableKey", "GenerateDataKeyPair")
KMS_WRITERS = {"approved": {"promote"}, "quarantine": {"ingest", "inspect", "promote"}}
KMS_READERS = {
    "approved": {"promote", "inspect", "gateway", "inference", "inference abroad"},
    "quarantine": {"ingest", "inspect", "promote"},
}
THROUGH = f"s3.{REGION}.amazonaws.com"
EXECUTION = "execution role"
LAYERS = f"arn:aws:s3:::prod-{REGION}-starport-layer-bucket/1/layer"


@dataclass(frozen=True)
class Trial:
    """A request, the documents that decide it by name, and what must come of it."""

    request: Request
    identity: tuple[str, ...]
    resource: str
    wanted: bool
    endpoint: str = ""


def trials() -> Iterator[Trial]:
    """Everything that is tried."""
    for cell in cells():
        yield Trial(cell.request(), identity_of(cell.who), cell.place, expected(cell))
    yield from key_trials()
    yield from endpoint_trials()
    yield from execution_trials()
    yield from trust_trials()


def identity_of(who: str) -> tuple[str, ...]:
    if who in ("admin", "too much", "stranger") or who.endswith("with everything"):
        return ("everything",)
    return () if who in ("nobody", "service") else (who,)


def key_trials() -> Iterator[Trial]:
    contexts = [{}] + [
        {"kms:ViaService": via, "kms:EncryptionContext:aws:s3:arn": arn}
        for via in (THROUGH, "s3.us-east-1.amazonaws.com")
        for arn in ("BUCKET", "BUCKET/a/key", "BUCKETS", "arn:aws:s3:::another/key")
    ]
    for who, principal in WHO.items():
        for place, name in (("approved", "out"), ("quarantine", "in")):
            bucket = f"arn:aws:s3:::{BUCKETS[place]}"
            for action in ("GenerateDataKey", "Decrypt", *KMS_ADMINISTRATION, *KMS_NEVER):
                for one in contexts:
                    context = {key: value.replace("BUCKET", bucket) for key, value in one.items()}
                    through_s3 = one.get("kms:ViaService") == THROUGH and one["kms:EncryptionContext:aws:s3:arn"] in (
                        "BUCKET",
                        "BUCKET/a/key",
                    )
                    request = Request(principal, f"kms:{action}", key_arn(name), HOME, context)
                    wanted = may_use_key(PART[who], place, action, through_s3=through_s3)
                    yield Trial(request, identity_of(who), f"{place} key", wanted)


def may_use_key(part: str, place: str, action: str, *, through_s3: bool) -> bool:
    if action in KMS_ADMINISTRATION:
        return part == "admin"
    if not through_s3:
        return False
    if action == "GenerateDataKey":
        return part in KMS_WRITERS[place]
    return action == "Decrypt" and part in KMS_READERS[place]


def endpoint_trials() -> Iterator[Trial]:
    """Whoever is allowed everything elsewhere, through inference's VPC endpoint."""
    mine = "arn:aws:s3:::models-out"
    for who, principal in WHO.items():
        if not principal.account:
            continue
        for action in ("GetObject", "GetObjectVersion", "PutObject", "DeleteObject"):
            for arn in (
                f"{mine}/a/models/x",
                f"{mine}/elsewhere",
                "arn:aws:s3:::models-in/q/x",
                LAYERS,
                LAYERS.replace("bucket/", "buckets/"),
            ):
                reads = PART[who] in ("gateway", "inference", "inference abroad") and arn == f"{mine}/a/models/x"
                wanted = (reads and action.startswith("Get")) or (arn == LAYERS and action == "GetObject")
                request = Request(principal, f"s3:{action}", arn, principal.account)
                yield Trial(request, ("everything",), "", wanted, "endpoint")
        for bucket in (mine, "arn:aws:s3:::models-in", "arn:aws:s3:::another"):
            wanted = PART[who] in ("gateway", "inference", "inference abroad") and bucket == mine
            request = Request(principal, "s3:ListBucket", bucket, principal.account)
            yield Trial(request, ("everything",), "", wanted, "endpoint")


def execution_trials() -> Iterator[Trial]:
    """A SageMaker endpoint's role: exactly these, and nothing else of what is tried."""
    image = f"arn:aws:ecr:{REGION}:{HOME}:repository/vllm"
    logs = f"arn:aws:logs:{REGION}:{HOME}:log-group:/aws/sagemaker/Endpoints/e:log-stream:1"
    ec2 = f"arn:aws:ec2:{REGION}:{HOME}:"
    bucket = "arn:aws:s3:::models-out"
    interface, subnet, group = f"{ec2}network-interface/eni-1", f"{ec2}subnet/{SUBNET}", f"{ec2}security-group/{GROUP}"
    listing, space = {"s3:prefix": f"a/{REVISION}"}, {"cloudwatch:namespace": "/aws/sagemaker/Endpoints"}
    allowed: list[tuple[str, str, dict[str, str]]] = [
        ("s3:GetObject", f"{bucket}/a/{REVISION}config.json", {}),
        ("s3:GetObjectVersion", f"{bucket}/a/{REVISION}config.json", {}),
        ("s3:ListBucket", bucket, listing),
        *(
            (f"ecr:{one}", image, {})
            for one in ("BatchGetImage", "GetDownloadUrlForLayer", "BatchCheckLayerAvailability")
        ),
        ("ecr:GetAuthorizationToken", "*", {}),
        *(
            (f"logs:{one}", logs, {})
            for one in ("CreateLogGroup", "CreateLogStream", "PutLogEvents", "DescribeLogStreams")
        ),
        ("cloudwatch:PutMetricData", "*", space),
        ("cloudwatch:PutMetricData", "*", {"cloudwatch:namespace": "AWS/SageMaker"}),
        *(("ec2:CreateNetworkInterface", one, {}) for one in (interface, subnet, group)),
        ("ec2:CreateNetworkInterfacePermission", interface, {}),
        ("ec2:DeleteNetworkInterface", interface, {}),
        ("ec2:DeleteNetworkInterfacePermission", interface, {}),
        *(
            (f"ec2:Describe{one}", "*", {})
            for one in ("NetworkInterfaces", "Vpcs", "DhcpOptions", "Subnets", "SecurityGroups")
        ),
    ]
    for action, resource, context in allowed:
        yield Trial(Request(WHO["too much"], action, resource, HOME, context), (EXECUTION,), "", wanted=True)
    refused: list[tuple[str, str, dict[str, str]]] = [
        ("s3:GetObject", f"{bucket}/a/{SUITE}config.json", {}),
        ("s3:GetObject", f"{bucket}/a/records/x", {}),
        ("s3:GetObject", "arn:aws:s3:::another/x", {}),
        ("s3:PutObject", f"{bucket}/a/{REVISION}config.json", {}),
        ("s3:ListBucket", bucket, {}),
        ("s3:ListBucket", bucket, {"s3:prefix": "a/models/"}),
        ("ecr:BatchGetImage", f"{image}-other", {}),
        ("ecr:PutImage", image, {}),
        ("logs:PutLogEvents", f"arn:aws:logs:{REGION}:{HOME}:log-group:other:log-stream:1", {}),
        ("logs:DeleteLogGroup", logs, {}),
        ("cloudwatch:PutMetricData", "*", {"cloudwatch:namespace": "Billing"}),
        ("ec2:CreateNetworkInterface", f"{ec2}subnet/subnet-0fffffffffffffff0", {}),
        ("ec2:CreateNetworkInterface", f"{ec2}security-group/sg-0fffffffffffffff0", {}),
        ("ec2:RunInstances", f"{ec2}instance/*", {}),
        ("sts:AssumeRole", role("promote"), {}),
        ("iam:PassRole", role("promote"), {}),
        ("secretsmanager:GetSecretValue", "arn:aws:secretsmanager:x:1:secret:hub", {}),
    ]
    for action, resource, context in refused:
        yield Trial(Request(WHO["too much"], action, resource, HOME, context), (EXECUTION,), "", wanted=False)


def trust_trials() -> Iterator[Trial]:
    mine = f"arn:aws:sagemaker:{REGION}:{HOME}:endpoint/e"
    for service in ("sagemaker.amazonaws.com", "ec2.amazonaws.com"):
        for source in (mine, mine.replace(HOME, ABROAD), mine.replace(REGION, "us-east-1"), ""):
            wanted = service.startswith("sagemaker") and source == mine
            context = {"aws:SourceArn": source} if source else {}
            for action in ("AssumeRole", "TagSession"):
                request = Request(Principal.service(service), f"sts:{action}", role("execution"), HOME, context)
                yield Trial(request, (), "trust", wanted and action == "AssumeRole")
    for who in ("too much", "admin", "stranger", "nobody"):
        request = Request(WHO[who], "sts:AssumeRole", role("execution"), HOME, {"aws:SourceArn": mine})
        yield Trial(request, identity_of(who), "trust", wanted=False)


# What is


SUBNET, GROUP = "subnet-0123456789abcdef0", "sg-0123456789abcdef0"


def generated() -> dict[str, PolicyDocument]:
    """All policies, by the names that trials use."""
    repository = f"arn:aws:ecr:{REGION}:{HOME}:repository/vllm"
    return {
        "everything": EVERYTHING,
        "approved": approved_bucket_policy(PARTIES),
        "quarantine": quarantine_bucket_policy(PARTIES),
        "approved key": approved_key_policy(PARTIES),
        "quarantine key": quarantine_key_policy(PARTIES),
        "endpoint": inference_endpoint_policy(PARTIES),
        "ingest": ingest_policy(PARTIES),
        "inspect": inspect_policy(PARTIES),
        "promote": promote_policy(PARTIES),
        "collect": collect_policy(PARTIES),
        "gateway": gateway_policy(PARTIES),
        "inference": inference_policy(PARTIES, (REVISION,)),
        "inference abroad": inference_policy(PARTIES, foreign=True),
        EXECUTION: execution_role_policy(PARTIES, (REVISION,), Hosting((repository,), (SUBNET,), (GROUP,))),
        "trust": sagemaker_trust_policy(PARTIES),
    }


def outcome(trial: Trial, documents: Mapping[str, PolicyDocument]) -> Outcome:
    """What comes of it."""
    return evaluate(
        trial.request,
        [documents[name] for name in trial.identity],
        documents[trial.resource] if trial.resource else None,
        endpoint_policy=documents[trial.endpoint] if trial.endpoint else None,
    ).outcome
