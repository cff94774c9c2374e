"""The rules of `deploy lint`: what each means, how grave it is, what to do, and an example before and after.

Critical is what hands secrets or the machine to strangers; high is what lets other bytes or other code be served than those
that were approved, or opens data to everybody; medium needs a decision; low is worth a word.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from weighbridge.core.finding import Severity
from weighbridge.deploy.targets.rules import MUTABLE_IMAGE, VULNERABLE_ENGINE
from weighbridge.inspectors.rule import Rule

VERSION: Final = "2026.11.3"
"""Of the rules as a whole."""
INSPECTOR: Final = "deploy"
_HIGH, _MEDIUM, _LOW = Severity.HIGH, Severity.MEDIUM, Severity.LOW


def _rule(name: str, title: str, severity: Severity, explanation: str, remedy: str, example: str) -> Rule:
    return Rule(f"deploy-{name}", title, severity, INSPECTOR, explanation, remedy, example)


HUB_MODEL: Final = _rule(
    "hub-model",
    "The model comes from a public hub",
    _HIGH,
    "The engine fetches it when it starts: whatever lies under the name then, with nothing checked, and not at all when the "
    "hub is away.",
    "Serve an approved revision: mount what `weighbridge fetch` proved, or point HF_ENDPOINT at the gateway.",
    "before  --model deepseek-ai/DeepSeek-R1\nafter   --model /models/deepseek-r1        (mounted, read-only)",
)
HUB_BESIDE_MOUNT: Final = _rule(
    "hub-beside-mount",
    "A hub's name beside a mounted model",
    _HIGH,
    "Which of the two is served depends on the image's precedence (vLLM on SageMaker: SM_VLLM_MODEL, then the mounted model, "
    "then HF_MODEL_ID; LMI: serving.properties, then the environment; TGI: HF_MODEL_ID): an approved model is mounted, and "
    "another may be served.",
    "Name the mounted folder, or nothing.",
    'before  HF_MODEL_ID: "org/model"       beside ModelDataSource\nafter   HF_MODEL_ID: "/opt/ml/model"',
)
AMBIGUOUS: Final = _rule(
    "model-ambiguous",
    "Two settings name different models",
    _MEDIUM,
    "One of them wins by a precedence that differs between images and versions; readers take the other for true.",
    "Leave one of them.",
    "before  option.model_id=/opt/ml/model in serving.properties, OPTION_MODEL_ID=/models/b in the environment\n"
    "after   option.model_id=/opt/ml/model",
)
OTHER_HUB: Final = _rule(
    "other-hub",
    "Models are fetched from another hub",
    _HIGH,
    "The switch makes the engine ask another hub than the Hugging Face Hub, whatever HF_ENDPOINT says.",
    "Take it out.",
    "before  VLLM_USE_MODELSCOPE: True\nafter   (not set)",
)
HUB_ENDPOINT: Final = _rule(
    "hub-endpoint",
    "HF_ENDPOINT names a public hub or mirror",
    _MEDIUM,
    "Every name that is not in a cache is fetched from there.",
    "Name the gateway, or take it out where the model is mounted.",
    "before  HF_ENDPOINT=https://huggingface.co\nafter   HF_ENDPOINT=https://models.example.internal",
)
PLAIN_HTTP: Final = _rule(
    "plain-http",
    "Models or tokens travel without encryption",
    _MEDIUM,
    "Whoever is on the way can read tokens and put other bytes in the place of the model's.",
    "Use https.",
    "before  HF_ENDPOINT=http://models.example.internal\nafter   HF_ENDPOINT=https://models.example.internal",
)
UNPINNED: Final = _rule(
    "model-unpinned",
    "A model of a hub without its commit",
    _MEDIUM,
    "A branch or tag moves: two starts of the same deployment may serve different weights, tokenizers and templates.",
    "Name the 40-digit commit, or better an approved revision.",
    "before  --model org/model\nafter   --model org/model --revision 0123456789abcdef0123456789abcdef01234567",
)
REMOTE_CODE: Final = _rule(
    "remote-code",
    "Code that the model brings is run",
    _HIGH,
    "With trust_remote_code an engine imports and runs Python from the model's repository, with the engine's own rights.",
    "Take it out. Where a model cannot do without, use a remediated revision.",
    "before  vllm serve /models/m --trust-remote-code\nafter   vllm serve /models/m",
)
CODE_BY_NAME: Final = _rule(
    "code-by-name",
    "An option imports Python by name",
    _MEDIUM,
    "The engine imports and calls what the option names: a plug-in, a middleware, a worker class.",
    "Build what is needed into the image, where it is reviewed; or take the option out.",
    "before  --tool-parser-plugin /models/m/parser.py\nafter   --tool-call-parser hermes",
)
PICKLE: Final = _rule(
    "pickle-weights",
    "Weights are loaded in a way that can run code",
    _HIGH,
    "Pickled weights call whatever they name while they are loaded; several engines and versions do not stop them.",
    "Load safetensors only (`weighbridge remediate` converts).",
    "before  --load-format pt\nafter   --load-format safetensors",
)
EMBEDS: Final = _rule(
    "prompt-embeds",
    "Callers may send embeddings",
    _HIGH,
    "Embeddings of a request are loaded with torch.load, which let requests corrupt memory (CVE-2025-62164) and end the "
    "engine.",
    "Take the option out.",
    "before  --enable-prompt-embeds\nafter   (not set)",
)
HUB_TOKEN: Final = _rule(
    "hub-token",
    "A token of the Hub is written out",
    Severity.CRITICAL,
    "Whoever reads the file, its history, the process list or the environment has the token and what it opens.",
    "Revoke it. An engine that serves a mounted model needs none; what must have one gets it from a place for secrets.",
    "before  HF_TOKEN: hf_…\nafter   (not set)",
)
TOKEN_GIVEN: Final = _rule(
    "hub-token-given",
    "The engine is given a token of the Hub",
    _MEDIUM,
    "An engine that loads a mounted or approved model needs none; with one, a fall-through to the Hub succeeds, and code in "
    "the engine can take the token away.",
    "Take it out of the engine's environment.",
    "before  HF_TOKEN from secretKeyRef hf-token\nafter   (not set)",
)
NOT_OFFLINE: Final = _rule(
    "not-offline",
    "The engine may ask the Hub",
    _MEDIUM,
    "Without HF_HUB_OFFLINE=1 libraries ask the Hub for files that the mounted folder lacks, and take what they get.",
    "Set HF_HUB_OFFLINE=1 and TRANSFORMERS_OFFLINE=1.",
    "before  env: []\nafter   env: [{name: HF_HUB_OFFLINE, value: '1'}, {name: TRANSFORMERS_OFFLINE, value: '1'}]",
)
DOWNLOAD: Final = _rule(
    "download-at-start",
    "A model is downloaded by a command",
    _HIGH,
    "What lies under the name at that moment is served, unproven, and nothing starts when the hub is away.",
    "Fetch an approved revision: weighbridge fetch MODEL@CHANNEL DIR proves every byte.",
    "before  hf download org/model --local-dir /models/m\nafter   weighbridge fetch org/model@production /models/m",
)
UNVERIFIED: Final = _rule(
    "unverified-copy",
    "A model is copied without being proven",
    _LOW,
    "The bucket's bytes are taken as they are: swapped, truncated or mixed objects are served.",
    "Use `weighbridge fetch`, which holds every chunk against the signed manifest.",
    "before  aws s3 sync s3://models/m /models/m\nafter   weighbridge fetch org/m@production /models/m",
)
UNPINNED_GIT: Final = _rule(
    "unpinned-git",
    "Code is taken from a branch of a repository",
    _MEDIUM,
    "The branch moves: the next build or start runs other code.",
    "Name a commit.",
    "before  pip install git+https://host.example/engine.git\nafter   pip install git+https://host.example/engine.git@<commit>",
)
PREFIX_SLASH: Final = _rule(
    "prefix-without-slash",
    'A prefix without "/" at its end',
    _HIGH,
    "Every object whose key begins so is copied, those of its neighbours too: s3://b/m also takes s3://b/m-old/…. KServe does as SageMaker"
    " does; there it is medium, and an address that ends like a file is taken for one object.",
    'End it with "/".',
    "before  S3Uri: s3://models/approved/m\nafter   S3Uri: s3://models/approved/m/",
)
NOT_APPROVED: Final = _rule(
    "prefix-not-approved",
    "The address is no approved revision",
    _HIGH,
    "Nothing says that what lies there was inspected, approved, or is whole.",
    "Name the prefix of an approved revision: `weighbridge deploy plan` prints it.",
    "before  s3://models/drafts/m/\nafter   s3://models-approved/models/org/m/<commit>/",
)
EXTRA_OBJECTS: Final = _rule(
    "prefix-extra-objects",
    "The prefix holds more, or less, than the approved revision",
    _HIGH,
    "An engine is given every object under it: a file that nobody approved may be preferred over one that was.",
    "Find out who wrote it, remove it, and run `weighbridge verify`.",
    "before  models/org/m/<commit>/pytorch_model.bin, which is in no manifest\nafter   exactly the manifest's files",
)
COMPRESSED: Final = _rule(
    "compressed-model",
    "The model is one archive",
    _LOW,
    "A model.tar.gz is none of the files that were inspected and approved, is unpacked by the platform, and is slow to start.",
    "Use an uncompressed S3DataSource under the approved prefix.",
    "before  ModelDataUrl: s3://models/m/model.tar.gz\nafter   ModelDataSource: {S3DataSource: {CompressionType: None, …}}",
)
PUBLIC_BUCKET: Final = _rule(
    "public-bucket",
    "A bucket is open to everybody",
    Severity.CRITICAL,
    "An ACL, a policy or a lifted block lets strangers read the models, or write them.",
    "Block all public access, and name who may read.",
    "before  AccessControl: PublicRead\nafter   PublicAccessBlockConfiguration: {BlockPublicAcls: true, …}",
)
NO_ACCESS_BLOCK: Final = _rule(
    "no-public-access-block",
    "A bucket does not say that public access is blocked",
    _LOW,
    "Buckets made since April 2023 block it by default; older ones, and other stores, do not.",
    "Say it: all four settings true.",
    "before  (no PublicAccessBlockConfiguration)\nafter   BlockPublicAcls, BlockPublicPolicy, IgnorePublicAcls, "
    "RestrictPublicBuckets: true",
)
NO_KMS: Final = _rule(
    "no-kms",
    "Nothing says which key encrypts",
    _MEDIUM,
    "Without a key of one's own there is no second permission beside the bucket's or volume's, and no record of its use.",
    "Name a KMS key.",
    "before  (no KmsKeyId)\nafter   KmsKeyId: arn:aws:kms:…:key/…",
)
NO_ISOLATION: Final = _rule(
    "no-network-isolation",
    "The container may reach any network",
    _HIGH,
    "Without network isolation the engine can fetch other models and code, and send out what it is asked.",
    "EnableNetworkIsolation: true.",
    "before  EnableNetworkIsolation: false\nafter   EnableNetworkIsolation: true",
)
NO_VPC: Final = _rule(
    "no-vpc",
    "The model runs in the platform's network",
    _MEDIUM,
    "Traffic to the bucket does not pass your endpoints, so that endpoint policies and flow logs say nothing of it.",
    "Give VpcConfig: subnets and security groups.",
    "before  (no VpcConfig)\nafter   VpcConfig: {Subnets: […], SecurityGroupIds: […]}",
)
TIMEOUT: Final = _rule(
    "timeout-short",
    "A time limit that the model's size does not allow",
    _MEDIUM,
    "The platform gives up, or starts anew, while the weights are still being read. It is high where no link is fast enough: more "
    "than 100 Gbit/s would be needed, and the engine is never ready.",
    "Give it the time that size and rate need.",
    "before  690 GB and ModelDataDownloadTimeoutInSeconds: 600 (needs 1150 MB/s)\nafter   3600 (needs 192 MB/s)",
)
VOLUME: Final = _rule(
    "volume-small",
    "A volume that does not hold the model",
    _HIGH,
    "The copy fails when the volume is full.",
    "Make it larger than the model; SageMaker's largest is 512 GB, beyond which the instance needs its own disks.",
    "before  690 GB and VolumeSizeInGB: 512\nafter   an instance type with local NVMe",
)
SSM: Final = _rule(
    "ssm-access",
    "A shell into the serving container is allowed",
    _HIGH,
    "With EnableSSMAccess people can log in to the container, change what it serves and read what it is asked.",
    "Take it out.",
    "before  EnableSSMAccess: true\nafter   (not set)",
)
WIDE_ROLE: Final = _rule(
    "wide-role",
    "A role may do more than read a model",
    _MEDIUM,
    "With any action on any resource, or all of S3, what takes over the engine takes over the account's data.",
    "Allow s3:GetObject on the prefix and s3:ListBucket with that prefix; `weighbridge deploy render` writes such a role.",
    'before  "Action": "s3:*", "Resource": "*"\nafter   "Action": "s3:GetObject", "Resource": "arn:aws:s3:::b/models/org/m/*"',
)
OPEN_ROLE: Final = _rule(
    "open-role",
    "A role that everybody may take",
    Severity.CRITICAL,
    "Whoever takes it has all that it may do; without a condition that bounds who asks, that is anybody with an account, or any "
    "repository or user that the provider of identities knows.",
    "Name who may take it, or bound it: aws:SourceArn for a service, the provider's sub for federated identities.",
    'before  "Principal": {"AWS": "*"}\nafter   "Principal": {"Service": "sagemaker.amazonaws.com"}, with aws:SourceArn',
)
OPEN_KEY: Final = _rule(
    "open-key",
    "A key that everybody may use",
    Severity.CRITICAL,
    "A key's policy decides alone who may use the key: with everybody in it and nothing that bounds who asks, whoever gets at encrypted "
    "objects or volumes reads them, and whoever may change the policy or make a grant keeps everybody else out.",
    "Name the account and the roles, or bound it: kms:CallerAccount, aws:PrincipalOrgID.",
    'before  "Principal": "*", "Action": "kms:*"\nafter   "Principal": {"AWS": "arn:aws:iam::<account>:root"}, and roles by name',
)
KEY_NOT_ROTATED: Final = _rule(
    "key-not-rotated",
    "A key is never exchanged",
    _LOW,
    "Without rotation, one piece of key material protects everything for ever. AWS exchanges it once a year, and old data stay readable.",
    "EnableKeyRotation: true.",
    "before  (no EnableKeyRotation)\nafter   EnableKeyRotation: true",
)
EGRESS: Final = _rule(
    "egress-open",
    "The engine may reach any network",
    _MEDIUM,
    "No NetworkPolicy in these files denies it egress (or the compose network is not internal): what falls through to a hub, "
    "or is smuggled out, is not stopped.",
    "Add a NetworkPolicy with policyTypes [Egress] that lets out nothing, or the store alone.",
    "before  (no NetworkPolicy)\nafter   policyTypes: [Ingress, Egress], egress: []",
)
WRITABLE: Final = _rule(
    "writable-model",
    "The engine may write to the model",
    _MEDIUM,
    "What takes over the engine can change the weights that the next start serves.",
    "Mount it read-only.",
    "before  {name: models, mountPath: /models}\nafter   {name: models, mountPath: /models, readOnly: true}",
)
PRIVILEGED: Final = _rule(
    "privileged",
    "A container has the machine's rights",
    _HIGH,
    "privileged, CAP_SYS_ADMIN, the container runtime's socket or the host's root: code in the engine owns the node.",
    "Take it out; devices come from the device plugin or runtime.",
    "before  securityContext: {privileged: true}\nafter   securityContext: {allowPrivilegeEscalation: false, capabilities: {drop: [ALL]}}",
)
HOST_NAMESPACE: Final = _rule(
    "host-namespace",
    "A container shares the host's network or processes",
    _MEDIUM,
    "Network policies do not hold in the host's network; the host's processes can be seen and signalled.",
    "Take it out.",
    "before  hostNetwork: true\nafter   (not set)",
)
DUPLICATE_KEY: Final = _rule(
    "duplicate-key",
    "A mapping has a key twice",
    _MEDIUM,
    "Readers take the first, the last, or refuse: what a person reads may not be what is deployed.",
    "Leave one of them.",
    "before  env: […] … env: […]\nafter   env: [… all of them …]",
)
UNKNOWN_ARGUMENT: Final = _rule(
    "unknown-argument",
    "An argument that the engine does not know",
    _LOW,
    "Most engines do not start with it; LMI ignores an unknown property in silence, so that what it was to set is not set.",
    "Write it as the engine does; `--help` of its version lists all.",
    "before  vllm serve /models/m --gpu-memory-utilisation 0.9\nafter   vllm serve /models/m --gpu-memory-utilization 0.9",
)
DOOR: Final = _rule(
    "open-door",
    "An argument that lets more in or out than requests and answers",
    _MEDIUM,
    "With it the engine opens a tunnel, starts other programs, lets callers read files of the node or send code or templates, or "
    "calls other servers.",
    "Take it out, or say why it is needed and confine the engine accordingly.",
    "before  text-generation-launcher --ngrok\nafter   text-generation-launcher",
)
WRITTEN_KEY: Final = _rule(
    "key-written-out",
    "A key of the engine is written out",
    _MEDIUM,
    "Whoever reads the file or its history has the key; what stands in an argument is read by everybody who lists processes.",
    "Exchange it, and give the new one through a place for secrets, as a variable or file.",
    "before  vllm serve /models/m --api-key s3cret\nafter   VLLM_API_KEY from secretKeyRef",
)
TLS_UNCHECKED: Final = _rule(
    "tls-unchecked",
    "Certificates are not checked",
    _MEDIUM,
    "Whoever is on the way can take the place of the store or the hub: read tokens, and give other bytes.",
    "Take it out; give the store's certificate authority (AWS_CA_BUNDLE, SSL_CERT_FILE) where it is your own.",
    "before  S3_VERIFY_SSL: '0'\nafter   AWS_CA_BUNDLE: /etc/ssl/store.pem",
)
NOT_READ: Final = _rule(
    "not-read",
    "Something could not be read",
    _LOW,
    "Nothing is known of what it does. A deployment with such a part is not clean.",
    "Lint what it becomes: `helm template`, `kustomize build`, `docker compose config`, `terraform show -json`. Give parameters "
    "and variables their defaults.",
    "before  deploy lint templates/deployment.yaml\nafter   helm template . > out.yaml; weighbridge deploy lint out.yaml",
)

ALL: Final = (
    HUB_MODEL, HUB_BESIDE_MOUNT, AMBIGUOUS, OTHER_HUB, HUB_ENDPOINT, PLAIN_HTTP, UNPINNED, REMOTE_CODE, CODE_BY_NAME, PICKLE,
    EMBEDS, HUB_TOKEN, TOKEN_GIVEN, NOT_OFFLINE, DOWNLOAD, UNVERIFIED, UNPINNED_GIT, MUTABLE_IMAGE, VULNERABLE_ENGINE,
    PREFIX_SLASH, NOT_APPROVED, EXTRA_OBJECTS, COMPRESSED, PUBLIC_BUCKET, NO_ACCESS_BLOCK, NO_KMS, NO_ISOLATION, NO_VPC,
    TIMEOUT, VOLUME, SSM, WIDE_ROLE, OPEN_ROLE, OPEN_KEY, KEY_NOT_ROTATED, EGRESS, WRITABLE, PRIVILEGED, HOST_NAMESPACE, DUPLICATE_KEY, UNKNOWN_ARGUMENT,
    DOOR, WRITTEN_KEY, TLS_UNCHECKED, NOT_READ,
)  # fmt: skip
RULES: Final[Mapping[str, Rule]] = MappingProxyType({rule.id: rule for rule in ALL})
"""Every rule of `deploy lint`, by id."""
