"""Fake secrets of many kinds, as model repositories leak them, and texts that only look so.

Nothing here is or was a credential: every value comes from a seeded generator, with the length, the alphabet and the
checksum of its kind. No whole value stands in this source, so that scanners of sources have nothing to find.
"""

from __future__ import annotations

import base64
import functools
import hashlib
import json
import pickle
import random
import string
import struct
import uuid
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

LETTERS = string.ascii_letters
ALNUM = LETTERS + string.digits
UPPER = string.ascii_uppercase + "234567"
LOWER = string.ascii_lowercase + string.digits
HEX = "0123456789abcdef"
URL = ALNUM + "-_"
B64 = ALNUM + "+/"


@dataclass(frozen=True, slots=True)
class Secret:
    """One secret: the words around it as a person writes them, and the part that must never be shown."""

    kind: str
    name: str
    text: str
    hidden: str
    rule: str


@dataclass(frozen=True, slots=True)
class Leak:
    """A file that holds one secret (or none, for a control)."""

    name: str
    path: str
    data: bytes
    secret: Secret | None = None


class Maker:
    """Draws from one seeded generator."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)

    def draw(self, alphabet: str, length: int) -> str:
        return "".join(self.random.choices(alphabet, k=length))

    def github(self, prefix: str) -> str:
        body = self.draw(ALNUM, 30)
        return f"{prefix}_{body}{_base62(zlib.crc32(body.encode()), 6)}"

    def npm(self) -> str:
        body = self.draw(ALNUM, 30)
        return f"npm_{body}{_base62(zlib.crc32(body.encode()), 6)}"

    def jwt(self) -> str:
        def part(value: object) -> str:
            return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()

        claims = {"sub": self.draw(LOWER, 12), "iat": 1_700_000_000, "scope": "repo.write", "aud": "inference"}
        return f"{part({'alg': 'HS256', 'typ': 'JWT'})}.{part(claims)}.{self.draw(URL, 43)}"

    def password(self) -> str:
        return self.draw(LETTERS, 5) + self.draw(string.digits, 3) + "!" + self.draw(LETTERS, 6) + "7q"


def _base62(number: int, width: int) -> str:
    digits = string.digits + string.ascii_uppercase + string.ascii_lowercase
    text = ""
    while number:
        number, rest = divmod(number, 62)
        text = digits[rest] + text
    return text.rjust(width, "0")


TOKEN, KEY, GENERIC = "secret-provider-token", "secret-private-key", "secret-generic"
PASSWORD, LIKELY = "secret-password", "secret-likely-token"

# Kind, the name it goes by, how it is made, and the rule that names it.
_VALUES: tuple[tuple[str, str, Callable[[Maker], str], str], ...] = (
    ("aws-access-key", "AWS_ACCESS_KEY_ID", lambda m: "AKIA" + m.draw(UPPER, 16), TOKEN),
    ("aws-secret-key", "AWS_SECRET_ACCESS_KEY", lambda m: m.draw(B64, 40), TOKEN),
    ("gcp-api-key", "GOOGLE_API_KEY", lambda m: "AIza" + m.draw(URL, 34) + m.draw(ALNUM, 1), TOKEN),
    ("gcp-client-secret", "GOOGLE_CLIENT_SECRET", lambda m: "GOCSPX-" + m.draw(ALNUM, 28), TOKEN),
    ("azure-storage", "AZURE_STORAGE_CONNECTION_STRING", lambda m: "DefaultEndpointsProtocol=https;AccountName=modelstore;"
     "AccountKey=" + m.draw(B64, 86) + "==;EndpointSuffix=core.windows.net", TOKEN),
    ("azure-client-secret", "AZURE_CLIENT_SECRET", lambda m: m.draw(ALNUM, 3) + "8Q~" + m.draw(ALNUM, 34), TOKEN),
    ("hugging-face", "HF_TOKEN", lambda m: "hf_" + m.draw(LETTERS, 34), TOKEN),
    ("hugging-face-org", "HF_ORG_TOKEN", lambda m: "api_org_" + m.draw(LETTERS, 34), TOKEN),
    ("openai-project", "OPENAI_API_KEY", lambda m: "sk-proj-" + m.draw(URL, 74) + "T3Blbk" + "FJ" + m.draw(URL, 73) + "A", TOKEN),
    ("openai-legacy", "OPENAI_API_KEY", lambda m: "sk-" + m.draw(ALNUM, 20) + "T3Blbk" + "FJ" + m.draw(ALNUM, 20), TOKEN),
    ("anthropic", "ANTHROPIC_API_KEY", lambda m: "sk-ant-api03-" + m.draw(URL, 93) + "AA", TOKEN),
    ("github-classic", "GITHUB_TOKEN", lambda m: m.github("ghp"), TOKEN),
    ("github-oauth", "GH_TOKEN", lambda m: m.github("gho"), TOKEN),
    ("github-fine", "GITHUB_TOKEN", lambda m: "github_pat_" + m.draw(ALNUM, 22) + "_" + m.draw(ALNUM, 59), TOKEN),
    ("gitlab", "GITLAB_TOKEN", lambda m: "glpat-" + m.draw(ALNUM, 20), TOKEN),
    ("slack-bot", "SLACK_TOKEN", lambda m: "xoxb-" + m.draw("123456789", 12) + "-" + m.draw("123456789", 13) + "-"
     + m.draw(ALNUM, 24), TOKEN),
    ("slack-hook", "SLACK_WEBHOOK", lambda m: "https://hooks.slack.com/services/T" + m.draw(UPPER, 10) + "/B"
     + m.draw(UPPER, 10) + "/" + m.draw(ALNUM, 24), TOKEN),
    ("stripe", "STRIPE_KEY", lambda m: "sk_live_" + m.draw(ALNUM, 24), TOKEN),
    ("twilio", "TWILIO_API_KEY", lambda m: "SK" + m.draw(HEX, 32), TOKEN),
    ("sendgrid", "SENDGRID_API_KEY", lambda m: "SG." + m.draw(ALNUM, 22) + "." + m.draw(ALNUM, 43), TOKEN),
    ("npm", "NPM_TOKEN", lambda m: m.npm(), TOKEN),
    ("pypi", "TWINE_PASSWORD", lambda m: "pypi-AgEIcHlwaS5vcmc" + m.draw(URL, 120) + "Q", TOKEN),
    ("digitalocean", "DIGITALOCEAN_TOKEN", lambda m: "dop_v1_" + m.draw(HEX, 64), TOKEN),
    ("databricks", "DATABRICKS_TOKEN", lambda m: "dapi" + m.draw(HEX, 32), TOKEN),
    ("wandb", "WANDB_API_KEY", lambda m: m.draw(HEX, 40), LIKELY),
    ("cohere", "COHERE_API_KEY", lambda m: m.draw(ALNUM, 40), LIKELY),
    ("replicate", "REPLICATE_API_TOKEN", lambda m: "r8_" + m.draw(ALNUM, 37), TOKEN),
    ("groq", "GROQ_API_KEY", lambda m: "gsk_" + m.draw(ALNUM, 52), TOKEN),
    ("xai", "XAI_API_KEY", lambda m: "xai-" + m.draw(ALNUM, 80), TOKEN),
    ("perplexity", "PERPLEXITY_API_KEY", lambda m: "pplx-" + m.draw(ALNUM, 48), TOKEN),
    ("nvidia", "NVIDIA_API_KEY", lambda m: "nvapi-" + m.draw(URL, 63) + "a", TOKEN),
    ("langsmith", "LANGSMITH_API_KEY", lambda m: "lsv2_pt_" + m.draw(HEX, 32) + "_" + m.draw(HEX, 10), TOKEN),
    ("pinecone", "PINECONE_API_KEY", lambda m: "pcsk_" + m.draw(ALNUM, 5) + "_" + m.draw(ALNUM, 63), TOKEN),
    ("vault", "VAULT_TOKEN", lambda m: "hvs." + m.draw(URL, 94) + "a", TOKEN),
    ("grafana", "GRAFANA_TOKEN", lambda m: "glsa_" + m.draw(ALNUM, 32) + "_" + m.draw(HEX, 8), TOKEN),
    ("shopify", "SHOPIFY_TOKEN", lambda m: "shpat_" + m.draw(HEX, 32), TOKEN),
    ("telegram", "TELEGRAM_BOT_TOKEN", lambda m: m.draw("123456789", 10) + ":AA" + m.draw(URL, 32) + "a", TOKEN),
    ("discord-hook", "DISCORD_WEBHOOK", lambda m: "https://discord.com/api/webhooks/" + m.draw("123456789", 18) + "/"
     + m.draw(URL, 67) + "a", TOKEN),
    ("mailgun", "MAILGUN_API_KEY", lambda m: "key-" + m.draw(HEX, 32), TOKEN),
    ("kaggle", "KAGGLE_KEY", lambda m: m.draw(HEX, 32), LIKELY),
    ("snowflake", "SNOWFLAKE_PASSWORD", lambda m: m.password(), GENERIC),
    ("jwt", "ACCESS_TOKEN", lambda m: m.jwt(), TOKEN),
    ("postgres-url", "DATABASE_URL", lambda m: f"postgresql://trainer:{m.draw(ALNUM, 14)}@db7.mlops.internal:5432/runs",
     PASSWORD),
    ("mysql-url", "MYSQL_URL", lambda m: f"mysql://root:{m.draw(ALNUM, 12)}@10.4.2.9:3306/features", PASSWORD),
    ("mongodb-url", "MONGO_URI", lambda m: f"mongodb+srv://svc:{m.draw(ALNUM, 16)}@cluster0.q7abz.mongodb.net/prod",
     PASSWORD),
    ("redis-url", "REDIS_URL", lambda m: f"redis://:{m.draw(ALNUM, 18)}@cache.prod.internal:6379/0", PASSWORD),
    ("snowflake-url", "SNOWFLAKE_URL", lambda m: f"snowflake://etl:{m.draw(ALNUM, 14)}@xy12345.eu-west-1/warehouse",
     PASSWORD),
    ("basic-auth-url", "MODEL_MIRROR", lambda m: f"https://deploy:{m.draw(ALNUM, 16)}@artifacts.corp.net/models", PASSWORD),
    ("generic-password", "password", lambda m: m.password(), GENERIC),
    ("generic-api-key", "api_key", lambda m: m.draw(ALNUM, 32), GENERIC),
    ("generic-secret", "client_secret", lambda m: m.draw(ALNUM, 30), GENERIC),
    ("generic-token", "auth_token", lambda m: m.draw(LOWER, 36), GENERIC),
)  # fmt: skip


def _hidden(text: str) -> str:
    """The part of a value that is secret: for a URL what stands between name and host."""
    if "://" in text and "@" in text:
        return text.split("://", 1)[1].rpartition("@")[0].rpartition(":")[2]
    if "AccountKey=" in text:
        return text.split("AccountKey=", 1)[1].split(";", 1)[0]
    return text


@functools.cache
def _pem(kind: str) -> str:
    pkcs8, pkcs1 = serialization.PrivateFormat.PKCS8, serialization.PrivateFormat.TraditionalOpenSSL
    keys: dict[str, tuple[Callable[[], object], serialization.PrivateFormat]] = {
        "pem-rsa": (lambda: rsa.generate_private_key(65537, 2048), pkcs1),
        "pem-pkcs8": (lambda: rsa.generate_private_key(65537, 2048), pkcs8),
        "pem-ec": (lambda: ec.generate_private_key(ec.SECP256R1()), pkcs1),
        "openssh": (ed25519.Ed25519PrivateKey.generate, serialization.PrivateFormat.OpenSSH),
    }
    make, layout = keys[kind]
    key = make()
    assert isinstance(key, rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey)
    return key.private_bytes(serialization.Encoding.PEM, layout, serialization.NoEncryption()).decode()


def _private_keys(maker: Maker) -> Iterator[Secret]:
    for kind in ("pem-rsa", "pem-pkcs8", "pem-ec", "openssh"):
        text = _pem(kind)
        yield Secret(kind, "DEPLOY_KEY", text, text.splitlines()[1], KEY)
    body = "\n".join(maker.draw(B64, 64) for _ in range(14))
    pgp = f"-----BEGIN PGP PRIVATE KEY {'BLOCK'}-----\n\n{body}\n={maker.draw(B64, 4)}\n-----END PGP PRIVATE KEY BLOCK-----\n"
    yield Secret("pgp", "SIGNING_KEY", pgp, body.splitlines()[3], KEY)
    lines = "\n".join(maker.draw(B64, 64) for _ in range(8))
    mac = maker.draw(HEX, 64)
    putty = (
        f"PuTTY-User-Key-File-{3}: ssh-rsa\nEncryption: none\nComment: rsa-key-2026\nPublic-Lines: 2\n"
        f"{maker.draw(B64, 64)}\n{maker.draw(B64, 64)}\nPrivate-Lines: 8\n{lines}\nPrivate-MAC: {mac}\n"
    )
    yield Secret("putty", "PUTTY_KEY", putty, lines.splitlines()[2], KEY)


def secrets(maker: Maker) -> Iterator[Secret]:
    """One of each kind that is a value under a name."""
    for kind, name, make, rule in _VALUES:
        text = make(maker)
        yield Secret(kind, name, text, _hidden(text), rule)
    yield from _private_keys(maker)


# --- where they leak --------------------------------------------------------------------------------


def _json_file(secret: Secret) -> bytes:
    return json.dumps({"model_type": "llama", secret.name.lower(): secret.text, "hidden_size": 4096}, indent=2).encode()


def _readme(secret: Secret) -> bytes:
    return (
        f"# Our model\n\nBefore you start:\n\n```bash\nexport {secret.name}={_shell(secret)}\npython run.py\n```\n"
    ).encode()


def _shell(secret: Secret) -> str:
    return f"'{secret.text}'" if "\n" in secret.text or ";" in secret.text else secret.text


def _notebook(secret: Secret) -> bytes:
    source = f"import os\nos.environ[{secret.name!r}] = {secret.text!r}\nmodel.push_to_hub('x')\n"
    cell = {"cell_type": "code", "id": "a1b2c3d4", "source": source.splitlines(keepends=True), "outputs": []}
    return json.dumps({"cells": [cell], "nbformat": 4, "nbformat_minor": 5}, indent=1).encode()


def _yaml(secret: Secret) -> bytes:
    if "\n" in secret.text:
        body = "".join(f"    {line}\n" for line in secret.text.splitlines())
        return f"train:\n  epochs: 3\n  {secret.name.lower()}: |\n{body}".encode()
    return f'train:\n  epochs: 3\n  {secret.name.lower()}: "{secret.text}"\n  lr: 1e-4\n'.encode()


def _env(secret: Secret) -> bytes:
    return f"DEBUG=1\n{secret.name}={_shell(secret)}\nPORT=8080\n".encode()


def _pickled(secret: Secret) -> bytes:
    return pickle.dumps({"epochs": 3, "args": {secret.name.lower(): secret.text}, "noise": bytes(range(256)) * 4}, 4)


def _safetensors(secret: Secret) -> bytes:
    header = json.dumps(
        {
            "__metadata__": {"format": "pt", secret.name.lower(): secret.text},
            "w": {"dtype": "F32", "shape": [16], "data_offsets": [0, 64]},
        },
        separators=(",", ":"),
    ).encode()
    header += b" " * (-len(header) % 8)
    return struct.pack("<Q", len(header)) + header + random.Random(1).randbytes(64)


def _gguf(secret: Secret) -> bytes:
    def text(value: str) -> bytes:
        return struct.pack("<Q", len(value.encode())) + value.encode()

    pairs = (("general.architecture", "llama"), (f"general.{secret.name.lower()}", secret.text))
    entries = b"".join(text(key) + struct.pack("<I", 8) + text(value) for key, value in pairs)
    return b"GGUF" + struct.pack("<IQQ", 3, 0, len(pairs)) + entries


def _script(secret: Secret) -> bytes:
    return f"#!/bin/bash\nset -e\nexport {secret.name}={_shell(secret)}\ntorchrun train.py --bf16\n".encode()


def _python(secret: Secret) -> bytes:
    quoted = f'"""{secret.text}"""' if "\n" in secret.text else f'"{secret.text}"'
    return f"import requests\n\n{secret.name} = {quoted}\n\n\ndef main():\n    return 1\n".encode()


def _trainer_state(secret: Secret) -> bytes:
    log = [{"epoch": i / 10, "loss": 2.1 / (i + 1), "step": i} for i in range(20)]
    return json.dumps({"log_history": log, "trial_params": {secret.name.lower(): secret.text}}).encode()


def _dockerfile(secret: Secret) -> bytes:
    return f"FROM python:3.11\nENV {secret.name}={_shell(secret)}\nCMD serve\n".encode()


CONTEXTS: tuple[tuple[str, Callable[[Secret], bytes]], ...] = (
    ("config.json", _json_file),
    ("README.md", _readme),
    ("demo.ipynb", _notebook),
    ("train.yaml", _yaml),
    (".env", _env),
    ("training_args.bin", _pickled),
    ("model.safetensors", _safetensors),
    ("model.gguf", _gguf),
    ("run.sh", _script),
    ("upload.py", _python),
    ("trainer_state.json", _trainer_state),
    ("Dockerfile", _dockerfile),
)


def _whole_files(maker: Maker) -> Iterator[Leak]:
    """Secrets that come in a file of their own shape."""

    def leak(kind: str, path: str, text: str, hidden: str, rule: str) -> Leak:
        return Leak(f"{kind} in {path}", path, text.encode(), Secret(kind, "", text, hidden, rule))

    word = maker.draw(ALNUM, 20)
    yield leak("netrc", ".netrc", f"machine artifacts.corp.net\n  login deploy\n  password {word}\n", word, PASSWORD)
    word = maker.draw(ALNUM, 18)
    yield leak("netrc-line", "_netrc", f"machine api.corp.net login user password {word}\n", word, PASSWORD)
    word = "pypi-AgEIcHlwaS5vcmc" + maker.draw(URL, 120) + "Q"
    yield leak("pypirc", ".pypirc", f"[pypi]\nusername = __token__\npassword = {word}\n", word, TOKEN)
    word = maker.draw(ALNUM, 16)
    yield leak("pypirc-password", ".pypirc", f"[corp]\nusername = build\npassword = {word}\n", word, GENERIC)
    word = base64.b64encode(f"deploy:{maker.draw(ALNUM, 24)}".encode()).decode()
    docker = json.dumps({"auths": {"registry.corp.net": {"auth": word}}}, indent=1)
    yield leak("docker", ".docker/config.json", docker, word, PASSWORD)
    word = maker.draw(ALNUM, 24)
    docker = json.dumps({"auths": {"registry.corp.net": {"username": "deploy", "password": word}}})
    yield leak("docker-password", ".dockerconfigjson", docker, word, GENERIC)
    word = base64.b64encode(_pem("pem-ec").encode()).decode()
    kube = f"apiVersion: v1\nkind: Config\nusers:\n- name: admin\n  user:\n    client-key-data: {word}\n"
    yield leak("kubeconfig-key", "kubeconfig", kube, word, KEY)
    word = maker.jwt()
    yield leak("kubeconfig-token", "kubeconfig", f"users:\n- name: ci\n  user:\n    token: {word}\n", word, TOKEN)
    word = "hf_" + maker.draw(LETTERS, 34)
    remote = f'[remote "origin"]\n\turl = https://user:{word}@huggingface.co/org/model\n\tfetch = +refs/heads/*\n'
    yield leak("git-remote", ".git/config", remote, word, TOKEN)
    word = maker.github("ghp")
    yield leak("git-credentials", ".git-credentials", f"https://someone:{word}@github.com\n", word, TOKEN)
    word = _pem("pem-pkcs8")
    account = {"type": "service_account", "project_id": "ml-prod-1", "private_key_id": maker.draw(HEX, 40),
               "private_key": word, "client_email": "svc@ml-prod-1.iam.gserviceaccount.com"}  # fmt: skip
    yield leak("gcp-service-account", "credentials.json", json.dumps(account), word.splitlines()[1], KEY)
    key, word = "AKIA" + maker.draw(UPPER, 16), maker.draw(B64, 40)
    ini = f"[default]\naws_access_key_id = {key}\naws_secret_access_key = {word}\n"
    yield leak("aws-credentials", ".aws/credentials", ini, word, TOKEN)
    word = maker.draw(HEX, 32)
    yield leak("kaggle-json", "kaggle.json", json.dumps({"username": "someone", "key": word}), word, LIKELY)
    word = "hf_" + maker.draw(LETTERS, 34)
    yield leak("hf-cache", ".cache/huggingface/token", word, word, TOKEN)
    word = "npm_" + maker.npm()[4:]
    yield leak("npmrc", ".npmrc", f"//registry.corp.net/:_authToken={word}\n", word, TOKEN)
    word = "Basic " + base64.b64encode(f"admin:{maker.password()}".encode()).decode()
    yield leak(
        "basic-header", "call.sh", f'curl -H "Authorization: {word}" https://api.corp.net/v1\n', word[6:], PASSWORD
    )
    word = "hf_" + maker.draw(LETTERS, 34)
    header = f'headers = {{"Authorization": f"Bearer {word}"}}\n'
    yield leak("bearer-header", "client.py", header, word, TOKEN)
    word = "hf_" + maker.draw(LETTERS, 34)
    yield Leak(
        "utf-16",
        "notes.txt",
        f"\ufeffmy token: {word}\r\n".encode("utf-16-le"),
        Secret("utf-16", "", word, word, TOKEN),
    )
    word = "hf_" + maker.draw(LETTERS, 34)
    archive = b"\x00\x01" + random.Random(3).randbytes(700) + b"\x00token\x00" + word.encode() + b"\x00" * 9
    yield Leak("binary", "blob.bin", archive, Secret("binary", "", word, word, TOKEN))


def leaks(seed: int = 2026) -> tuple[Leak, ...]:
    """Every kind in several of the places; more than 300 files with one secret each."""
    maker = Maker(seed)
    found = list(_whole_files(maker))
    for round_ in range(6):
        for number, secret in enumerate(secrets(maker)):
            path, write = CONTEXTS[(number + 2 * round_) % len(CONTEXTS)]
            found.append(Leak(f"{secret.kind} in {path}", path, write(secret), secret))
    return tuple(found)


# --- what only looks so -----------------------------------------------------------------------------


def _vocabulary(rng: random.Random, size: int) -> list[str]:
    words = [
        "token",
        "password",
        "secret",
        "api",
        "key",
        "bearer",
        "Ġpassword",
        "_token",
        "apikey",
        "▁secret",
        "hf_",
        "sk-",
    ]
    letters = LETTERS + "Ġ▁_-.0123456789"
    return words + ["".join(rng.choices(letters, k=rng.randint(1, 14))) for _ in range(size)]


def controls(seed: int = 7) -> tuple[Leak, ...]:
    """Files without a secret, as honest repositories have them."""
    rng = random.Random(seed)
    maker = Maker(seed)
    found: list[Leak] = []

    def add(path: str, data: str | bytes, name: str = "") -> None:
        found.append(Leak(name or path, path, data.encode() if isinstance(data, str) else data))

    words = list(dict.fromkeys(_vocabulary(rng, 12_000)))
    add("vocab.json", json.dumps({word: i for i, word in enumerate(words)}, ensure_ascii=False))
    add("tokenizer.json", json.dumps({
        "version": "1.0",
        "added_tokens": [{"id": i, "content": f"<|reserved_special_token_{i}|>", "special": True} for i in range(256)],
        "model": {"type": "BPE", "vocab": {word: i for i, word in enumerate(words)},
                  "merges": [f"{words[rng.randrange(5000)]} {words[rng.randrange(5000)]}" for _ in range(4000)]},
    }, ensure_ascii=False, indent=1))  # fmt: skip
    add(
        "merges.txt",
        "#version: 0.2\n"
        + "".join(f"{words[rng.randrange(9000)]} {words[rng.randrange(9000)]}\n" for _ in range(9000)),
    )
    add("vocab.txt", "\n".join(words))
    names = [f"model.layers.{i}.self_attn.{p}_proj.weight" for i in range(80) for p in "qkvo"]
    add(
        "model.safetensors.index.json",
        json.dumps(
            {"metadata": {"total_size": 1}, "weight_map": dict.fromkeys(names, "model-00001-of-00030.safetensors")},
            indent=2,
        ),
    )
    add("SHA256SUMS", "".join(f"{maker.draw(HEX, 64)}  model-{i:05d}-of-00163.safetensors\n" for i in range(163)))
    add(
        "checksums.json",
        json.dumps(
            {
                f"shard-{i}": {"sha256": maker.draw(HEX, 64), "sha1": maker.draw(HEX, 40), "md5": maker.draw(HEX, 32)}
                for i in range(100)
            }
        ),
    )
    add("pointer", f"version https://git-lfs.github.com/spec/v1\noid sha256:{maker.draw(HEX, 64)}\nsize 4976698672\n")
    add("cache.json", json.dumps({"keys": [str(uuid.UUID(int=rng.getrandbits(128))) for _ in range(200)]}))
    image = base64.b64encode(b"\x89PNG\r\n\x1a\n" + rng.randbytes(40_000)).decode()
    add("plot.ipynb", json.dumps({"cells": [{"cell_type": "code", "id": maker.draw(HEX, 8), "source": ["plt.show()"],
        "outputs": [{"output_type": "display_data", "data": {"image/png": image}}]}], "nbformat": 4}))  # fmt: skip
    add("image.md", f"![plot](data:image/png;base64,{image[:8000]})\n")
    add("config.json", json.dumps({
        "_name_or_path": "org/model", "architectures": ["LlamaForCausalLM"], "_commit_hash": maker.draw(HEX, 40),
        "bos_token_id": 128000, "eos_token_id": [128001, 128009], "pad_token": "<|finetune_right_pad_id|>",
        "transformers_version": "4.44.2", "auto_map": {"AutoModel": "modeling_x.XModel"}, "key_value_heads": 8,
        "secret_size": 12, "token_dropout": 0.1, "use_auth_token": None, "attn_key_proj": "key_projection_layer_norm",
    }, indent=2))  # fmt: skip
    add("tokenizer_config.json", json.dumps({
        "bos_token": "<｜begin▁of▁sentence｜>", "eos_token": "<|im_end|>", "unk_token": {"content": "<unk>", "lstrip": False},
        "additional_special_tokens": ["<|im_start|>", "<|tool_call|>"], "tokenizer_class": "PreTrainedTokenizerFast",
        "chat_template": "{% for message in messages %}{{ '<|' + message['role'] + '|>' + message['content'] }}{% endfor %}",
    }, ensure_ascii=False))  # fmt: skip
    placeholders = (
        "export HF_TOKEN=hf_" + "x" * 34, "export HF_TOKEN=<your token>", "OPENAI_API_KEY=sk-...",
        "OPENAI_API_KEY=YOUR_API_KEY", 'api_key="YOUR_API_KEY"', "token = os.environ['HF_TOKEN']", "HF_TOKEN=hf_xxx",
        "api_key=os.getenv('OPENAI_API_KEY')", "password: <your password>", "password: ********", "password = None",
        "AWS_ACCESS_KEY_ID=AKIA" + "IOSFODNN7EXAMPLE", "AWS_SECRET_ACCESS_KEY=wJalrXUtnFEMI/K7MDENG/" + "bPxRfiCYEXAMPLEKEY",
        "postgres://user:password@localhost:5432/db", "mysql://root:root@localhost/test", "https://user:pass@example.com/x",
        "WANDB_API_KEY=your_wandb_key_here", "token: ${{ secrets.HF_TOKEN }}", "password: $DB_PASSWORD",
        "password=changeme", "api_key: {{ api_key }}", "--api-key $OPENAI_API_KEY", "use_auth_token=True", "token=True",
        "ANTHROPIC_API_KEY=sk-ant-xxxxxxxx", "login(token='hf_...')", "client = OpenAI(api_key='EMPTY')",
        "secret_key = get_secret('prod/db')", "Authorization: Bearer $TOKEN", "Authorization: Bearer <token>",
        "Password: the password is asked for at login", "key: value", "GITHUB_TOKEN=ghp_" + "x" * 36,
        "password = getpass.getpass()", "redis://localhost:6379/0", "redis://:${REDIS_PASSWORD}@cache:6379/0",
        "token = tokenizer.convert_ids_to_tokens(5)", "access_token = response.json()['access_token']",
        "hf_hub_download(repo_id='org/model', filename='model.safetensors')", "api_key = 'sk-no-key-required'",
    )  # fmt: skip
    for number, line in enumerate(placeholders):
        add("README.md", f"# Usage\n\n```bash\n{line}\n```\n", f"placeholder {number}: {line[:40]}")
        if number % 3 == 0:
            add("example.py", f"# {line}\n{line}\n", f"placeholder in code {number}")
    public = ed25519.Ed25519PrivateKey.generate().public_key()
    add("signing.pub", public.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo))
    add("id.pub", public.public_bytes(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH))
    add("KEYS.md", "Paste the key between `-----BEGIN PRIVATE KEY-----` and `-----END PRIVATE KEY-----`.\n")
    add(
        "cert.pem",
        "-----BEGIN CERTIFICATE-----\n"
        + "\n".join(maker.draw(B64, 64) for _ in range(20))
        + "\n-----END CERTIFICATE-----\n",
    )
    add("requirements.txt", "".join(f"pkg{i}==1.{i} --hash=sha256:{maker.draw(HEX, 64)}\n" for i in range(60)))
    add(
        "package-lock.json",
        json.dumps({"packages": {f"p{i}": {"integrity": "sha512-" + maker.draw(B64, 86) + "=="} for i in range(60)}}),
    )
    add(
        "trainer_state.json",
        json.dumps({"log_history": [{"loss": rng.random(), "step": i, "grad_norm": rng.random()} for i in range(400)]}),
    )
    add("weights.pkl", pickle.dumps({f"layer.{i}.key.weight": rng.randbytes(2000) for i in range(40)}, 4))
    add("random.bin", rng.randbytes(400_000))
    add("random.b64", "\n".join(maker.draw(B64, 76) for _ in range(600)))
    add("ids.txt", "\n".join(maker.draw(ALNUM, 24) for _ in range(600)))
    add("bigwords.txt", " ".join(maker.draw(LETTERS, rng.randint(3, 40)) for _ in range(4000)))
    hashed = hashlib.sha256(b"x").hexdigest()
    add(
        "model_card.md",
        f"Base revision `{maker.draw(HEX, 40)}`; digest sha256:{hashed}; run wandb.ai/org/p/runs/{maker.draw(LOWER, 8)}\n",
    )
    add("modeling.py", "class Attention(nn.Module):\n    def __init__(self):\n        self.key = nn.Linear(768, 768)\n        self.token_type = 'x'\n"
        "        self.secret = None\n    def forward(self, key_states, value_states, past_key_value=None):\n        return key_states\n")  # fmt: skip
    add(
        "ci.yml",
        "env:\n  HF_TOKEN: ${{ secrets.HF_TOKEN }}\n  key: ${{ hashFiles('**/lock') }}\n  token: ${{ github.token }}\n",
    )
    add("model.safetensors", _safetensors(Secret("", "note", "ordinary text about tokens and keys", "", "")))
    add("model.gguf", _gguf(Secret("", "name", "DeepSeek R1 Distill Llama 8B", "", "")))
    add(
        "generation_config.json",
        json.dumps({"eos_token_id": 2, "bos_token_id": 1, "temperature": 0.6, "forced_eos_token_id": None}),
    )
    add(
        "spiece.vocab",
        "".join(f"▁{maker.draw(LETTERS, rng.randint(2, 9))}\t{-rng.random() * 12:.4f}\n" for _ in range(6000)),
    )
    add(
        "dataset.jsonl",
        "".join(
            json.dumps({"id": maker.draw(HEX, 32), "key": f"example-{i}", "text": "how do I reset my password?"}) + "\n"
            for i in range(200)
        ),
    )
    add(
        "emails.txt",
        "contact: team@org.ai\nkeyserver: keys.openpgp.org\nfingerprint: "
        + " ".join(maker.draw(HEX.upper(), 4) for _ in range(10))
        + "\n",
    )
    for i in range(24):
        add("adapter_config.json", json.dumps({"base_model_name_or_path": "org/m", "revision": maker.draw(HEX, 40), "peft_type": "LORA",
            "task_type": "CAUSAL_LM", "target_modules": ["q_proj", "k_proj", "v_proj"], "r": i}), f"adapter {i}")  # fmt: skip
        add("metadata.json", json.dumps({"run_id": maker.draw(LOWER, 8), "commit": maker.draw(HEX, 40), "uuid": str(uuid.UUID(int=rng.getrandbits(128))),
            "etag": maker.draw(HEX, 32), "token_count": rng.randrange(10**9), "created": "2026-01-02T03:04:05Z"}), f"metadata {i}")  # fmt: skip
    return tuple(found)
