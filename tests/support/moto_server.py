"""AWS's settings APIs in one process: moto's server on a loopback port, with S3, STS, KMS, EC2 and IAM of one account."""

from __future__ import annotations

import contextlib
import os
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

ACCOUNT = "123456789012"


@dataclass(frozen=True)
class AwsServer:
    """A running server. Whoever asks may do everything, except while `enforcing`."""

    endpoint: str

    def client(self, service: str, **credentials: str) -> Any:
        """A boto3 client."""
        import boto3

        keys = {"aws_access_key_id": "weighbridge-tests", "aws_secret_access_key": "weighbridge-tests", **credentials}
        return boto3.client(service, endpoint_url=self.endpoint, region_name="us-east-1", **keys)

    def bucket(self, **more: Any) -> str:
        """A new bucket."""
        name = f"wb-{uuid.uuid4().hex[:12]}"
        self.client("s3").create_bucket(Bucket=name, **more)
        return name

    def endpoints(self, *services: str) -> dict[str, str]:
        """The server as the endpoint of these services."""
        return dict.fromkeys(services, self.endpoint)

    @contextlib.contextmanager
    def enforcing(self) -> Iterator[None]:
        """Within the block, identity policies are enforced."""
        self._after("0")
        try:
            yield
        finally:
            self._after("inf")

    def _after(self, requests: str) -> None:
        import urllib.request

        request = urllib.request.Request(f"{self.endpoint}/moto-api/reset-auth", data=requests.encode(), method="POST")
        request.add_header("Content-Type", "text/plain")
        with urllib.request.urlopen(request) as response:
            response.read()


@contextlib.contextmanager
def running() -> Iterator[AwsServer]:
    """A server, stopped at the end."""
    from moto.server import ThreadedMotoServer

    before = dict(os.environ)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    try:
        host, port = server.get_host_and_port()
        yield AwsServer(f"http://{host}:{port}")
    finally:
        server.stop()
        os.environ.clear()
        os.environ.update(before)
