"""Starts a real server that speaks AWS KMS (`ministack`, a PyPI package) on a free loopback port, and makes keys in it.

It is installed into `.run/` on first use, beside the environment: it pins another botocore than ours.
"""

from __future__ import annotations

import contextlib
import fcntl
import importlib.util
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.support.seaweed import free_port

PACKAGE = "ministack==1.5.33"
CACHE = Path(__file__).resolve().parents[2] / ".run" / PACKAGE.replace("==", "@")
START_SECONDS = 60.0


@dataclass(frozen=True)
class KmsServer:
    """A running server."""

    endpoint: str

    @property
    def environment(self) -> dict[str, str]:
        """What botocore needs to reach it."""
        return {
            "AWS_ACCESS_KEY_ID": "kms-test",
            "AWS_SECRET_ACCESS_KEY": "kms-test-secret",
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_ENDPOINT_URL_KMS": self.endpoint,
        }

    def client(self) -> Any:
        """A boto3 client."""
        import boto3

        return boto3.client(
            "kms",
            endpoint_url=self.endpoint,
            region_name="us-east-1",
            aws_access_key_id="kms-test",
            aws_secret_access_key="kms-test-secret",
        )

    def key(self, alias: str = "", *, spec: str = "ECC_NIST_P256", usage: str = "SIGN_VERIFY") -> str:
        """A new key, and its ARN; the alias, where given, stands for it from now on."""
        client = self.client()
        made = client.create_key(KeySpec=spec, KeyUsage=usage)["KeyMetadata"]
        if alias:
            known = {one["AliasName"] for one in client.list_aliases()["Aliases"]}
            act = client.update_alias if f"alias/{alias}" in known else client.create_alias
            act(AliasName=f"alias/{alias}", TargetKeyId=made["KeyId"])
        return str(made["Arn"])


def _installed() -> Path:
    """The folder of the package, installed on first use; one process at a time."""
    CACHE.mkdir(parents=True, exist_ok=True)
    with (CACHE / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (CACHE / "complete").exists():
            command = [*_installer(), "--quiet", "--target", str(CACHE / "packages"), PACKAGE, "cryptography"]
            subprocess.run(command, check=True, timeout=600)
            (CACHE / "complete").touch()
    return CACHE / "packages"


def _installer() -> list[str]:
    """uv where it is there; else pip of this environment, or of the interpreter that it was made with."""
    uv = shutil.which("uv") or shutil.which("uv", path=str(Path(sys.executable).parent))
    if uv:
        return [uv, "pip", "install", "--python", sys.executable]
    base = str(Path(sys.base_prefix) / "bin" / f"python{sys.version_info.major}.{sys.version_info.minor}")
    python = sys.executable if importlib.util.find_spec("pip") else base
    return [python, "-m", "pip", "install", "--disable-pip-version-check"]


@contextlib.contextmanager
def running() -> Iterator[KmsServer]:
    """A server with no keys, stopped at the end."""
    packages, port = _installed(), free_port()
    folder = Path(tempfile.mkdtemp(prefix="wb-kms-"))
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("AWS_")},
        "PYTHONPATH": str(packages),
        "GATEWAY_PORT": str(port),
        "MINISTACK_HOST": "127.0.0.1",
        "SERVICES": "kms",
    }
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "ministack"],
            cwd=folder,
            env=environment,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    try:
        endpoint = f"http://127.0.0.1:{port}"
        _wait(process, endpoint, folder / "log")
        yield KmsServer(endpoint)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        shutil.rmtree(folder, ignore_errors=True)


def _wait(process: subprocess.Popen[bytes], endpoint: str, log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    ask = urllib.request.Request(
        endpoint,
        data=b"{}",
        headers={
            "X-Amz-Target": "TrentService.ListKeys",
            "Content-Type": "application/x-amz-json-1.1",
            "Authorization": "AWS4-HMAC-SHA256 Credential=a/20260101/us-east-1/kms/aws4_request, SignedHeaders=host, Signature=0",
        },
    )
    while time.monotonic() < deadline and process.poll() is None:
        try:
            with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(ask, timeout=5) as answer:
                if "Keys" in json.load(answer):
                    return
        except (OSError, ValueError):
            pass
        time.sleep(0.05)
    raise RuntimeError(f"the KMS server did not start:\n{log.read_text(errors='replace')[-2000:]}")
