"""Every setting, its default, its unit and where its value came from.

Values come from one TOML file, overridden by the environment (`WEIGHBRIDGE_<SECTION>_<NAME>`), overridden by flags. This
module knows the settings and their types; reading files and the environment is the command line's.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Final, TypeVar

from weighbridge.core.dataclass import dataclass
from weighbridge.core.digests import CHUNK_BYTES
from weighbridge.core.errors import ConfigError

MIB: Final = 1024 * 1024


@dataclass(frozen=True, slots=True)
class HubSettings:
    """The upstream Hub."""

    endpoint: str = ""
    """Base URL; empty: `HF_ENDPOINT`, then the public Hub."""
    allow_pull_requests: bool = False
    """Whether `refs/pr/*`, which anyone may open, can be ingested."""


@dataclass(frozen=True, slots=True)
class StoreSettings:
    """Where artifacts and records are kept."""

    quarantine: str = ""
    """A folder, `s3://bucket/prefix`, `gs://…` or `az://…`; empty: `store` under the home."""
    approved: str = ""
    """Where promoted revisions lie, an address like `quarantine`; empty: `approved` under the home."""
    s3_endpoint: str = ""
    """Base URL of an S3-compatible server; empty: what the AWS configuration says."""
    s3_region: str = ""
    """The bucket's region; empty: what the AWS configuration says."""
    allow_unversioned: bool = False
    """Whether a bucket that keeps no versions is good enough."""
    s3_encryption: str = ""
    """`aws:kms`, `AES256`, or empty for the bucket's default."""
    s3_kms_key: str = ""
    """Id or ARN of the key for `aws:kms`; empty: the bucket's default key."""
    object_lock_mode: str = ""
    """`GOVERNANCE`, `COMPLIANCE`, or empty for the bucket's default."""
    object_lock_days: int = 0
    """How long an object is locked, with `object_lock_mode`."""
    legal_hold: bool = False
    """Whether every object is put under legal hold."""
    approved_lock_mode: str = ""
    """`object_lock_mode` for the approved store; empty: the same as for quarantine."""
    approved_lock_days: int = 0
    """`object_lock_days` for the approved store, with `approved_lock_mode`."""
    approved_legal_hold: bool = False
    """Whether every object of the approved store is put under legal hold."""


@dataclass(frozen=True, slots=True)
class TransferSettings:
    """How bytes are moved."""

    streams: int = 0
    """Ranges read from the source at once; 0: two for each processor, at least 4 and at most 16."""
    uploads: int = 0
    """Parts sent to the store at once; 0: half as many as streams."""
    part_bytes: int = 16 * MIB
    """Size of a part; a multiple of the chunk size. Raised by itself where a file would need over 10,000 parts."""
    memory_bytes: int = 256 * MIB
    """All part buffers together."""
    attempts: int = 8
    """Tries of one range or part without any progress."""
    retry_wait_seconds: float = 1.0
    """First wait before trying again; doubled each time, with jitter."""
    retry_wait_limit_seconds: float = 300.0
    """No single wait is longer, whatever Retry-After says."""
    connect_timeout_seconds: float = 10.0
    """How long to wait for a connection."""
    read_timeout_seconds: float = 60.0
    """How long to wait for the next bytes."""
    minimum_rate_bytes_per_second: int = 1024
    """A stream slower than this over the read timeout is cut and tried again."""


@dataclass(frozen=True, slots=True)
class LedgerSettings:
    """Where history is kept."""

    url: str = ""
    """SQLAlchemy URL (`sqlite:///…`, `postgresql+psycopg://…`); empty: `ledger.sqlite` under the home."""


@dataclass(frozen=True, slots=True)
class SigningSettings:
    """What signs."""

    key: str = ""
    """What signs: the path of a PEM private key (EC), `pkcs11:…` (RFC 7512), `awskms:///alias/…` or a KMS key's ARN; empty:
    `keys/signing.pem` under the home."""
    password_file: str = ""
    """File that holds the key's password or the token's PIN; empty: none."""
    certificate_chain: str = ""
    """PEM file with the key's X.509 certificate and those above it; empty: the bare key signs."""


@dataclass(frozen=True, slots=True)
class PolicySettings:
    """What revisions are judged by."""

    file: str = ""
    """Path of a policy file (TOML); empty: the preset."""
    preset: str = "balanced"
    """`strict`, `balanced` or `research`, where no file is named."""


@dataclass(frozen=True, slots=True)
class IdentitySettings:
    """Who approves, when several people share one home."""

    name: str = ""
    """The name a person acts under; empty: the only one whose private key is in this home."""


@dataclass(frozen=True, slots=True)
class ChannelSettings:
    """How long the signed index of channels is good without being signed again."""

    expires_days: int = 365
    """Days until the lists of channels and revocations expire."""
    timestamp_expires_hours: int = 168
    """Hours until a reader refuses an index whose writer fell silent."""


@dataclass(frozen=True, slots=True)
class GatewaySettings:
    """Who may log in to the gateway's catalog by OpenID Connect, how downloads go, and what a miss does."""

    oidc_issuer: str = ""
    """The provider's issuer, an https URL; empty: people look with tokens, and act on the command line."""
    oidc_client_id: str = ""
    """The gateway's name at the provider."""
    oidc_client_secret_file: str = ""
    """File that holds the gateway's secret at the provider; empty: a public client."""
    oidc_name: str = "single sign-on"
    """What the login page calls the provider."""
    redirects: bool = False
    """Whether large downloads go straight to an approved store in S3, by a redirect to a short-lived address, where the policy
    allows it (`serve.redirects`). The gateway then proves nothing of these bytes; the client must."""
    redirect_min_bytes: int = 64 * MIB
    """Downloads and ranges of fewer bytes always come through the gateway, proven."""
    redirect_seconds: int = 300
    """How long such an address can be used, 1 to 3600; a revocation does not call back those that are out."""
    requests: bool = False
    """Whether asking for what is not approved files a request for a reviewer; else the answer only says how to ask."""


@dataclass(frozen=True, slots=True)
class AdmissionSettings:
    """What the gateway's webhook wants of objects that a Kubernetes cluster is to admit. Lists are separated by commas."""

    unknown: str = "refuse"
    """`refuse` or `warn`: what is done about a model that cannot be known from the object."""
    pinned: bool = False
    """Whether a model must be named by its commit; else a channel will do."""
    remote_code: bool = False
    """Whether a server may be told to run a repository's code."""
    images_by_digest: bool = True
    """Whether what serves a model must be an image by digest."""
    images: str = ""
    """Images that may serve a model, `registry.example/team/name` or `registry.example/team/*`; empty: any."""
    exempt_namespaces: str = ""
    """Namespaces in which everything is admitted, by their exact names."""
    cluster_endpoint: bool = False
    """Whether KServe's storage initializer is known to have `HF_ENDPOINT` set to this gateway."""
    endpoints: str = ""
    """More addresses of this gateway that `HF_ENDPOINT` may name, beside the one it is started with."""
    stores: str = ""
    """More addresses of the approved store that a storage URI may begin with, as `s3://bucket/prefix`."""


@dataclass(frozen=True, slots=True)
class DeploySettings:
    """Where models are deployed by default, and what a plan works out load times from."""

    target: str = ""
    """`sagemaker`, `vllm`, `tgi`, `lmi`, `kserve` or `compose`, where no target is named; empty: it must be."""
    choices: str = ""
    """Path of a TOML file with choices of targets, where no file is named; empty: none."""
    hub_bytes_per_second: int = 100_000_000
    """What the way from the Hub to a node gives."""
    hub_round_trip_seconds: float = 0.05
    """The round trip from a node to the Hub."""
    store_bytes_per_second: int = 0
    """What the store gives one node; 0: the target's `transfer_rate`."""
    store_round_trip_seconds: float = 0.005
    """The round trip from a node to the store."""
    node_processors: int = 8
    """Processors of a node: they prove what is loaded."""
    node_disk_bytes_per_second: int = 0
    """What a node's disk takes and gives; 0: as much as is asked of it."""


@dataclass(frozen=True, slots=True)
class WatchSettings:
    """How upstream is looked at again, and what is made of what changed there."""

    pause_seconds: float = 0.5
    """The pause between two models of a round, so that no Hub is asked in a burst."""
    unreachable_hours: int = 24
    """For how long upstream may give no answer about a model before that is news."""
    sample_bytes: int = 8 * MIB
    """How much of the weights' values is read to compare a new revision with the stored one, both sides together."""
    rejudge: bool = True
    """Whether stored revisions that older rules inspected are inspected again, by ranged reads."""
    interval_seconds: int = 900
    """The daemon's time from one round to the next; a tenth more or less, and longer while upstream gives no answer."""
    sinks: str = ""
    """Path of a TOML file that says who is told of news; empty: `sinks.toml` under the home, where there is one."""
    notify_hours: int = 72
    """For how long news are handed again to whom could not be reached, before that is given up."""
    webhook_secret_file: str = ""
    """File that holds the secret of the Hub's webhooks, for a daemon that listens."""
    webhook_gap_seconds: float = 10.0
    """The least time between two looks at a model that webhooks ask for."""


@dataclass(frozen=True, slots=True)
class InspectionSettings:
    """How artifacts are inspected, and when findings fail a command."""

    fail_on: str = "high"
    """`low`, `medium`, `high`, `critical` or `never`: findings from this severity on make `ingest` exit 11 to 14."""
    preflight: str = "auto"
    """Whether `ingest` looks at the model at its source, by ranged reads, before it stores anything: `always`, `never`,
    or `auto`: models of 256 MiB and more."""
    secrets: bool = True
    """Whether secrets are looked for (needs the extra `secrets`)."""
    malware: bool = True
    """Whether malware is looked for by rules (needs the extra `malware`)."""
    malware_rules: str = ""
    """A folder with more YARA rules (`*.yar`, `*.yara`); empty: none."""
    deep: bool = False
    """Whether secrets and malware are looked for in tensor data as well: every byte is read."""
    clamd: str = ""
    """A ClamAV daemon that sees what is looked into: `unix:///run/clamav/clamd.ctl` or `tcp://host:3310`; empty: none."""
    seconds: float = 120.0
    """How long one artifact may keep its inspection busy; what takes longer is unknown."""
    memory_bytes: int = 1024 * MIB
    """Memory of one inspecting process; what needs more is unknown."""


@dataclass(frozen=True, slots=True)
class Config:
    """All settings, resolved once."""

    hub: HubSettings = HubSettings()
    store: StoreSettings = StoreSettings()
    transfer: TransferSettings = TransferSettings()
    ledger: LedgerSettings = LedgerSettings()
    signing: SigningSettings = SigningSettings()
    policy: PolicySettings = PolicySettings()
    identity: IdentitySettings = IdentitySettings()
    channels: ChannelSettings = ChannelSettings()
    gateway: GatewaySettings = GatewaySettings()
    admission: AdmissionSettings = AdmissionSettings()
    deploy: DeploySettings = DeploySettings()
    watch: WatchSettings = WatchSettings()
    inspection: InspectionSettings = InspectionSettings()


@dataclass(frozen=True, slots=True)
class Origins:
    """Where each value came from: `default`, `file <path>`, `environment <NAME>` or `flag <--name>`."""

    by_name: Mapping[str, str]

    def of(self, section: str, name: str) -> str:
        """The origin of one value."""
        return self.by_name.get(f"{section}.{name}", "default")


@dataclass(frozen=True, slots=True)
class Layer:
    """Settings from one place, as `section.name` to raw value (text from the environment, typed from TOML)."""

    origin: str
    values: Mapping[str, object]


Section = TypeVar("Section")

_SECRET_NAMES = frozenset({"ledger.url"})
"""Settings that may carry a password; shown without it."""


def resolve(layers: list[Layer]) -> tuple[Config, Origins]:
    """Lays the layers over the defaults, later ones winning.

    Raises:
        ConfigError: an unknown name, a value of the wrong type, or one outside its bounds; the message names the origin.
    """
    known = {
        f"{section.name}.{setting.name}": str(setting.type)
        for section in fields(Config)
        for setting in fields(getattr(Config(), section.name))
    }
    chosen: dict[str, object] = {}
    origins: dict[str, str] = {}
    for layer in layers:
        for name, raw in layer.values.items():
            if name not in known:
                raise ConfigError(
                    f"there is no setting '{name}' ({layer.origin})",
                    hint="`weighbridge config` lists all settings.",
                )
            chosen[name] = _typed(name, known[name], raw, layer.origin)
            origins[name] = layer.origin
    config = Config(
        hub=_section(HubSettings, "hub", chosen),
        store=_section(StoreSettings, "store", chosen),
        transfer=_section(TransferSettings, "transfer", chosen),
        ledger=_section(LedgerSettings, "ledger", chosen),
        signing=_section(SigningSettings, "signing", chosen),
        policy=_section(PolicySettings, "policy", chosen),
        identity=_section(IdentitySettings, "identity", chosen),
        channels=_section(ChannelSettings, "channels", chosen),
        gateway=_section(GatewaySettings, "gateway", chosen),
        admission=_section(AdmissionSettings, "admission", chosen),
        deploy=_section(DeploySettings, "deploy", chosen),
        watch=_section(WatchSettings, "watch", chosen),
        inspection=_section(InspectionSettings, "inspection", chosen),
    )
    _check(config)
    return config, Origins(origins)


def _section(kind: type[Section], prefix: str, chosen: Mapping[str, object]) -> Section:
    start = f"{prefix}."
    return kind(**{name[len(start) :]: value for name, value in chosen.items() if name.startswith(start)})


def _typed(name: str, kind: str, raw: object, origin: str) -> object:
    problem = ConfigError(f"'{name}' must be {_KIND_WORDS[kind]}, not {raw!r} ({origin})")
    if kind == "str":
        if isinstance(raw, str):
            return raw
    elif kind == "bool":
        if isinstance(raw, bool):
            return raw
        if isinstance(raw, str) and raw.lower() in ("1", "true", "yes", "on", "0", "false", "no", "off"):
            return raw.lower() in ("1", "true", "yes", "on")
    elif isinstance(raw, int | float | str) and not isinstance(raw, bool):
        try:
            if kind == "int" and not (isinstance(raw, float) and raw != int(raw)):
                return int(raw)
            if kind == "float":
                return float(raw)
        except (ValueError, OverflowError):
            raise problem from None
    raise problem


_BOUNDS = (
    ("streams", 0, 256),
    ("uploads", 0, 256),
    ("attempts", 1, 256),
    ("retry_wait_seconds", 0.0, 3_600.0),
    ("retry_wait_limit_seconds", 0.0, 86_400.0),
    ("connect_timeout_seconds", 0.001, 3_600.0),
    ("read_timeout_seconds", 0.001, 86_400.0),
    ("minimum_rate_bytes_per_second", 0, 10**12),
)
"""Least and most of the transfer's counts, waits and rates; what is no number at all lies outside of every bound."""

_KIND_WORDS = {"str": "text", "bool": "true or false", "int": "a whole number", "float": "a number"}


def _check(config: Config) -> None:
    _check_transfer(config.transfer)
    _check_deploy(config.deploy)
    _check_watch(config.watch)
    store = config.store
    if not 1 <= config.inspection.seconds <= 86_400:
        raise ConfigError("'inspection.seconds' must lie between 1 and 86400")
    if config.inspection.memory_bytes < 128 * MIB:
        raise ConfigError(f"'inspection.memory_bytes' must be at least {128 * MIB}")
    if not (1 <= config.channels.expires_days <= 3_650 and 1 <= config.channels.timestamp_expires_hours <= 87_600):
        raise ConfigError("'channels.expires_days' must lie between 1 and 3650, 'timestamp_expires_hours' up to 87600")
    if not (config.gateway.redirect_min_bytes >= 0 and 1 <= config.gateway.redirect_seconds <= 3_600):
        raise ConfigError("'gateway.redirect_seconds' must lie between 1 and 3600, 'redirect_min_bytes' from 0 on")
    for name, value, allowed in (
        ("inspection.fail_on", config.inspection.fail_on, ("low", "medium", "high", "critical", "never")),
        ("inspection.preflight", config.inspection.preflight, ("auto", "always", "never")),
        ("admission.unknown", config.admission.unknown, ("refuse", "warn")),
        ("policy.preset", config.policy.preset, ("strict", "balanced", "research")),
        ("deploy.target", config.deploy.target, ("", "sagemaker", "vllm", "tgi", "lmi", "kserve", "compose")),
        ("store.s3_encryption", store.s3_encryption, ("", "aws:kms", "AES256")),
        ("store.object_lock_mode", store.object_lock_mode, ("", "GOVERNANCE", "COMPLIANCE")),
        ("store.approved_lock_mode", store.approved_lock_mode, ("", "GOVERNANCE", "COMPLIANCE")),
    ):
        if value not in allowed:
            raise ConfigError(f"'{name}' must be {', '.join(filter(None, allowed))}{' or empty' * ('' in allowed)}")
    for mode, name in (("object_lock_mode", "object_lock_days"), ("approved_lock_mode", "approved_lock_days")):
        if getattr(store, name) < bool(getattr(store, mode)):
            raise ConfigError(f"'store.{name}' must be at least 1 when a lock mode is set, and never negative")


def _check_watch(watch: WatchSettings) -> None:
    for name, value, least, most in (
        ("pause_seconds", watch.pause_seconds, 0, 3_600),
        ("unreachable_hours", watch.unreachable_hours, 1, 8_760),
        ("sample_bytes", watch.sample_bytes, 0, 4_096 * MIB),
        ("interval_seconds", watch.interval_seconds, 10, 30 * 86_400),
        ("notify_hours", watch.notify_hours, 1, 8_760),
        ("webhook_gap_seconds", watch.webhook_gap_seconds, 0, 3_600),
    ):
        if not least <= value <= most:
            raise ConfigError(f"'watch.{name}' must lie between {least} and {most}")


def _check_deploy(deploy: DeploySettings) -> None:
    for name, value, least, most in (
        ("hub_bytes_per_second", deploy.hub_bytes_per_second, 1, 10**13),
        ("store_bytes_per_second", deploy.store_bytes_per_second, 0, 10**13),
        ("node_disk_bytes_per_second", deploy.node_disk_bytes_per_second, 0, 10**13),
        ("node_processors", deploy.node_processors, 1, 4096),
        ("hub_round_trip_seconds", deploy.hub_round_trip_seconds, 0, 60),
        ("store_round_trip_seconds", deploy.store_round_trip_seconds, 0, 60),
    ):
        if not least <= value <= most:
            raise ConfigError(f"'deploy.{name}' must lie between {least} and {most}")


def _check_transfer(transfer: TransferSettings) -> None:
    if transfer.part_bytes < CHUNK_BYTES or transfer.part_bytes % CHUNK_BYTES:
        raise ConfigError(f"'transfer.part_bytes' must be a multiple of {CHUNK_BYTES}")
    if transfer.memory_bytes < 2 * transfer.part_bytes:
        raise ConfigError("'transfer.memory_bytes' must hold at least two parts ('transfer.part_bytes')")
    for name, least, most in _BOUNDS:
        if not least <= getattr(transfer, name) <= most:
            raise ConfigError(f"'transfer.{name}' must lie between {least:g} and {most:g}")


def may_hold_secret(name: str) -> bool:
    """Whether the value of a setting must be shown without its password."""
    return name in _SECRET_NAMES
