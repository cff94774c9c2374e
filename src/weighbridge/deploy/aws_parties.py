"""Who takes part in an installation on AWS: its account, buckets and keys, and one role for each part.

Names are checked by shape, because they end up in policies: a `*` in a bucket's prefix would widen what a role may read.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Final

from weighbridge.core.errors import ConfigError

MAX_SIGNATURE_SECONDS: Final = 604_800
"""AWS lets no signature live longer."""
DEFAULT_SIGNATURE_SECONDS: Final = 3_600
"""The longest that the gateway signs an address for."""
_ACCOUNT: Final = re.compile(r"\d{12}")
_REGION: Final = re.compile(r"[a-z]{2,4}(?:-[a-z]+)+-\d{1,2}")
_BUCKET: Final = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
_PREFIX: Final = re.compile(r"[A-Za-z0-9._/-]{0,512}")
_ROLE: Final = re.compile(r"arn:aws[a-z0-9-]*:iam::(\d{12}):role/[\w+=,.@/-]{1,576}", re.ASCII)
_KEY: Final = re.compile(r"arn:aws[a-z0-9-]*:kms:[a-z0-9-]+:(\d{12}):key/[A-Za-z0-9-]{1,64}")
_ENDPOINT: Final = re.compile(r"vpce-[0-9a-f]{8,17}")
_SUBNET: Final = re.compile(r"subnet-[0-9a-f]{8,17}")
_GROUP: Final = re.compile(r"sg-[0-9a-f]{8,17}")
_REPOSITORY: Final = re.compile(r"arn:aws[a-z0-9-]*:ecr:[a-z0-9-]+:\d{12}:repository/[a-z0-9._/-]{2,256}")


@dataclass(frozen=True, slots=True)
class Place:
    """A store's bucket, the KMS key of its objects, and the prefix of the store within it (without slashes around it)."""

    bucket: str
    key: str
    prefix: str = ""


@dataclass(frozen=True, slots=True)
class Parties:
    """Who takes part, as ARNs of roles. Those that write are of the buckets' account; who only reads may be of others.

    Raises:
        ConfigError: from the constructor, when something is not what it should be.
    """

    account: str
    region: str
    quarantine: Place
    approved: Place
    administrator: str
    """Changes settings of buckets and keys; reads and writes no model."""
    ingest: str
    inspect: str
    promote: str
    gateway: str = ""
    inference: tuple[str, ...] = ()
    collect: str = ""
    """Removes from quarantine what was never sealed (`weighbridge gc`); empty: nobody."""
    vpc_endpoints: tuple[str, ...] = ()
    """The only ways to the buckets; empty: any network."""
    signature_seconds: int = DEFAULT_SIGNATURE_SECONDS

    def __post_init__(self) -> None:
        _match(_ACCOUNT, self.account, "account", "12 digits")
        _match(_REGION, self.region, "region", "for example eu-central-1")
        for what, place in (("quarantine", self.quarantine), ("approved", self.approved)):
            _match(_BUCKET, place.bucket, f"{what} bucket", "a bucket's name")
            _match(_PREFIX, place.prefix, f"{what} prefix", "letters, digits, and . _ - / between them")
            _match(_KEY, place.key, f"{what} key", "a key's ARN: an alias can be pointed elsewhere")
        if self.quarantine.key == self.approved.key:
            raise ConfigError(
                "quarantine and the approved store have one key, so whoever reads the one could decrypt the other",
                hint="Give each a key of its own.",
            )
        if self.quarantine.bucket == self.approved.bucket:
            raise ConfigError(
                "quarantine and the approved store are in one bucket, whose policy cannot hold for both",
                hint="Give each a bucket of its own.",
            )
        writers = {"administrator": self.administrator, "ingest": self.ingest, "inspect": self.inspect}
        for what, arn in {**writers, "promote": self.promote, "collect": self.collect or self.promote}.items():
            found = _match(_ROLE, arn, f"{what} role", "the ARN of a role")
            if found[1] != self.account:
                raise ConfigError(f"the {what} role {arn!a} is not of the buckets' account {self.account}")
        for arn in self.readers:
            _match(_ROLE, arn, "reading role", "the ARN of a role")
        for endpoint in self.vpc_endpoints:
            _match(_ENDPOINT, endpoint, "VPC endpoint", "for example vpce-0123456789abcdef0")
        if not 1 <= self.signature_seconds <= MAX_SIGNATURE_SECONDS:
            raise ConfigError(f"signatures cannot be made to last {self.signature_seconds} seconds: 1 to 604800")
        acting = [self.administrator, self.ingest, self.inspect, self.promote, self.collect, *self.readers]
        named = [arn for arn in acting if arn]
        if len(set(named)) != len(named):
            raise ConfigError(
                "one role is given two parts: then nothing keeps the two apart", hint="Give each part its own."
            )

    @property
    def partition(self) -> str:
        """`aws`, `aws-cn` or `aws-us-gov`, as the region says."""
        special = {"cn": "aws-cn", "us-gov": "aws-us-gov", "eusc": "aws-eusc"}
        return next((name for start, name in special.items() if self.region.startswith(f"{start}-")), "aws")

    @property
    def readers(self) -> tuple[str, ...]:
        """Who only reads the approved store."""
        return tuple(arn for arn in (self.gateway, *self.inference) if arn)

    @property
    def strangers(self) -> tuple[str, ...]:
        """Readers of other accounts: both sides must allow them."""
        return tuple(arn for arn in self.readers if account_of_role(arn) != self.account)

    def bucket_arn(self, place: Place) -> str:
        """The bucket."""
        return f"arn:{self.partition}:s3:::{place.bucket}"

    def arn(self, place: Place, *keys: str) -> str:
        """The objects under a key of the store, all of them without one; `*` is appended."""
        prefix = f"{place.prefix.strip('/')}/" if place.prefix.strip("/") else ""
        return f"{self.bucket_arn(place)}/{prefix}{''.join(keys)}*"


def _match(shape: re.Pattern[str], value: str, what: str, hint: str) -> re.Match[str]:
    found = shape.fullmatch(value)
    if found is None:
        raise ConfigError(f"the {what} {value[:100]!a} is not one", hint=f"Expected: {hint}.")
    return found


def account_of_role(arn: str) -> str:
    """The account in a role's ARN."""
    return arn.split(":", 5)[4]


MAX_FILE_BYTES: Final = 64 * 1024


def read_parties(data: bytes, *, name: str = "the parties") -> Parties:
    """The parties in a TOML file: the fields of `Parties` as keys, `[quarantine]` and `[approved]` as tables.

    Raises:
        ConfigError: it is no such file; `name` is what the message calls it.
    """
    if len(data) > MAX_FILE_BYTES:
        raise ConfigError(f"{name} has {len(data)} bytes, and at most {MAX_FILE_BYTES} are read")
    try:
        document = tomllib.loads(data.decode("utf-8"))
    except (UnicodeDecodeError, tomllib.TOMLDecodeError, RecursionError) as error:
        raise ConfigError(f"{name} is not TOML: {error}") from error
    known = {field.name for field in fields(Parties)}
    _complete(document, known, ("gateway", "inference", "collect", "vpc_endpoints", "signature_seconds"), name)
    seconds = document.get("signature_seconds", DEFAULT_SIGNATURE_SECONDS)
    if not isinstance(seconds, int) or isinstance(seconds, bool):
        raise ConfigError(f"'signature_seconds' of {name} is not a whole number")

    def text(key: str) -> str:
        return _text(document.get(key, ""), f"'{key}' of {name}")

    def texts(key: str) -> tuple[str, ...]:
        return _texts(document.get(key, []), f"'{key}' of {name}")

    return Parties(
        account=text("account"),
        region=text("region"),
        quarantine=_place(document["quarantine"], f"[quarantine] of {name}"),
        approved=_place(document["approved"], f"[approved] of {name}"),
        administrator=text("administrator"),
        ingest=text("ingest"),
        inspect=text("inspect"),
        promote=text("promote"),
        gateway=text("gateway"),
        inference=texts("inference"),
        collect=text("collect"),
        vpc_endpoints=texts("vpc_endpoints"),
        signature_seconds=seconds,
    )


def _complete(table: Mapping[str, object], known: set[str], optional: tuple[str, ...], what: str) -> None:
    for key in table:
        if key not in known:
            raise ConfigError(
                f"{what} has the key {key[:100]!a}, which is not known", hint=f"Known: {', '.join(sorted(known))}."
            )
    for key in sorted(known - set(optional)):
        if key not in table:
            raise ConfigError(f"{what} has no '{key}'")


def _place(value: object, what: str) -> Place:
    if not isinstance(value, dict):
        raise ConfigError(f"{what} is not a table")
    _complete(value, {"bucket", "key", "prefix"}, ("prefix",), what)
    return Place(**{key: _text(held, f"'{key}' of {what}") for key, held in value.items()})


def _text(value: object, what: str) -> str:
    if not isinstance(value, str):
        raise ConfigError(f"{what} is not text")
    return value


def _texts(value: object, what: str) -> tuple[str, ...]:
    if not isinstance(value, list):
        raise ConfigError(f"{what} is not a list of texts")
    return tuple(_text(one, what) for one in value)


def is_key_prefix(text: str) -> bool:
    """Whether it can stand in a policy as a prefix of keys: nothing in it is a wildcard or a variable."""
    return bool(_PREFIX.fullmatch(text))


@dataclass(frozen=True, slots=True)
class Hosting:
    """What an execution role needs beside the model: image repositories' ARNs, and the VPC's subnets and security groups."""

    repositories: tuple[str, ...] = ()
    subnets: tuple[str, ...] = ()
    security_groups: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for shape, what, values in (
            (_REPOSITORY, "repository", self.repositories),
            (_SUBNET, "subnet", self.subnets),
            (_GROUP, "security group", self.security_groups),
        ):
            for value in values:
                _match(shape, value, what, f"the {'ARN' if shape is _REPOSITORY else 'id'} of a {what}")
        if bool(self.subnets) != bool(self.security_groups):
            raise ConfigError("a VPC needs subnets and security groups, both")
