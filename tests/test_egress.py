"""What a client gives away is recorded: which hosts, which paths, which name, whether a token; and no secret with it."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, cast

import pytest

from tests.conftest import Command
from tests.support.hub import HubServer
from weighbridge.cli.console import write_whole
from weighbridge.core.errors import ConfigError
from weighbridge.posture.interception import Authority
from weighbridge.posture.recorder import Recorder

SECRET = "hf_" + "v3ryS3cretT0ken" * 2
DOWNLOAD = (
    "from huggingface_hub import snapshot_download; snapshot_download('acme/tiny', local_dir=__import__('sys').argv[1])"
)


class _Server(BaseHTTPRequestHandler):
    """Answers with what it was sent."""

    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        if self.headers.get("transfer-encoding") == "chunked":
            body = b""
            while size := int(self.rfile.readline(), 16):
                body += self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
        else:
            body = self.rfile.read(int(self.headers.get("content-length", 0)))
        self._answer(body)

    def do_GET(self) -> None:
        self._answer(self.path.encode())

    def _answer(self, body: bytes) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_arguments: object) -> None:
        pass


@pytest.fixture
def secured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """A TLS server called localhost, whose issuer this machine trusts for the test."""
    folder = tmp_path / "issuer"
    folder.mkdir()
    issuer = Authority(folder)
    (tmp_path / "issuer.pem").write_text(issuer.certificate)
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "issuer.pem"))
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Server)
    server.socket = issuer.context("localhost").wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server.server_address[1]
    server.shutdown()


def rows(file: Path) -> list[dict[str, Any]]:
    return cast("list[dict[str, Any]]", json.loads(file.read_bytes()))


def test_a_real_download_is_recorded_with_its_hosts_and_where_the_token_went(
    weighbridge: Command, tmp_path: Path
) -> None:
    with HubServer() as hub:
        hub.repository("acme/tiny").commit({"config.json": b"{}", "model.safetensors": b"\0" * 4096})
        hub.token(SECRET)
        weighbridge.environment.update({"HF_ENDPOINT": hub.endpoint, "HF_TOKEN": SECRET})
        file = tmp_path / "run.json"
        done = weighbridge(
            "egress", "--output", str(file), "--json", "--", sys.executable, "-c", DOWNLOAD, str(tmp_path / "got")
        )
    assert done.code == 0, done.err
    assert (tmp_path / "got" / "config.json").read_bytes() == b"{}"
    document = done.json
    assert document["exit_code"] == 0
    assert document["hosts"][0]["token"] is True
    found = rows(file)
    assert {row["outcome"] for row in found} == {"answered"}
    assert any("/acme/tiny/resolve/" in row["path"] and row["authorization"] for row in found)
    assert all("hf_hub/" in row["user_agent"] for row in found if row["authorization"])
    assert SECRET not in file.read_text()


GET = """
import os, ssl, sys, http.client
from urllib.parse import urlsplit
proxy = urlsplit(os.environ["HTTPS_PROXY"])
for _ in range(int(sys.argv[3])):
    try:
        c = http.client.HTTPSConnection(proxy.hostname, proxy.port, timeout=20,
            context=ssl.create_default_context(cafile=sys.argv[2]))
        c.set_tunnel("localhost", int(sys.argv[1]))
        for body in (b"x" * 100_000, iter([b"y" * 70_000, b"z"])):
            c.request("POST", "/a?X-Amz-Signature=abcdef&page=2&name=" + "n" * 60, body=body, encode_chunked=not isinstance(body, bytes),
                headers={"User-Agent": "test/1", "Authorization": "Bearer s3cret", **({} if isinstance(body, bytes) else {"Transfer-Encoding": "chunked"})})
            print(len(c.getresponse().read()))
    except ssl.SSLError as error:
        print("refused")
"""


def test_tls_is_looked_into_and_answers_come_through_whole(weighbridge: Command, tmp_path: Path, secured: int) -> None:
    file = tmp_path / "run.json"
    script = GET.replace("cafile=sys.argv[2]", "cafile=os.environ['SSL_CERT_FILE']")
    weighbridge.environment["SSL_CERT_FILE"] = str(tmp_path / "issuer.pem")
    done = weighbridge("egress", "--output", str(file), "--", sys.executable, "-c", script, str(secured), "-", "1")
    assert done.code == 0, done.err
    assert done.out.split() == ["100000", "70001"]
    found = rows(file)
    assert [row["method"] for row in found] == ["POST", "POST"]
    assert found[0]["path"] == "/a?<redacted>&page=2&name=…"
    assert found[0]["host"] == "localhost"
    assert found[0]["user_agent"] == "test/1"
    assert found[0]["authorization"] is True
    assert "s3cret" not in file.read_text()


def test_a_client_that_trusts_nobody_else_is_recorded_by_its_host_and_then_let_through(
    weighbridge: Command, tmp_path: Path, secured: int
) -> None:
    file = tmp_path / "run.json"
    weighbridge.environment["SSL_CERT_FILE"] = str(tmp_path / "issuer.pem")
    own = str(tmp_path / "issuer.pem")
    done = weighbridge("egress", "--output", str(file), "--", sys.executable, "-c", GET, str(secured), own, "2")
    assert done.out.split() == ["refused", "100000", "70001"], done.err
    assert [(row["method"], row["outcome"]) for row in rows(file)] == [("CONNECT", "unread"), ("CONNECT", "unread")]
    assert "2 unread" in done.err


def test_a_client_that_comes_back_at_once_is_let_through_like_one_that_waits(tmp_path: Path) -> None:
    ours, theirs = socket.socketpair()
    with (
        socket.create_server(("127.0.0.1", 0)) as listening,
        Recorder(listening, lambda _host, _port: ours, Authority(tmp_path)).serving() as recorder,
        contextlib.ExitStack() as clients,
    ):

        def connected() -> socket.socket:
            client = clients.enter_context(socket.create_connection(listening.getsockname(), 10))
            client.sendall(b"CONNECT closed.example:443 HTTP/1.1\r\nHost: closed.example\r\n\r\n")
            assert b" 200 " in client.recv(65536)
            return client

        first, second = connected(), connected()
        # The second is here before it is known that the first does not trust us.
        second.sendall(b"hello")
        first.sendall(b"no TLS of yours\r\n\r\n")
        theirs.settimeout(10)
        assert theirs.recv(5) == b"hello"
        theirs.close()
        assert [(one.host, one.outcome) for one in recorder.requests] == [("closed.example", "unread")] * 2


def test_a_pipe_or_device_is_written_to_and_stays_what_it_is(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with os.fdopen(os.open(pipe, os.O_RDONLY | os.O_NONBLOCK), "rb") as reader:
        write_whole(pipe, b"[]\n")
        assert reader.read() == b"[]\n"
    assert pipe.is_fifo()
    with pytest.raises(ConfigError, match="cannot be written"):
        write_whole(tmp_path, b"")


def test_confined_nothing_but_the_recorder_is_reached(weighbridge: Command, tmp_path: Path) -> None:
    script = (
        "import socket, urllib.request\n"
        "try: socket.create_connection(('127.0.0.1', PORT), 5); print('reached')\n"
        "except OSError: print('closed')\n"
        "print(urllib.request.urlopen('http://127.0.0.1:PORT/through').read().decode())"
    )
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Server)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    file = tmp_path / "run.json"
    words = (sys.executable, "-c", script.replace("PORT", str(server.server_address[1])))
    done = weighbridge("egress", "--output", str(file), "--confine", "--", *words, code=None)
    server.shutdown()
    if "no network of its own" in done.err:
        pytest.skip("NETWORK NAMESPACES ARE NOT PERMITTED HERE")
    assert done.out.split() == ["closed", "/through"], done.err
    assert [row["path"] for row in rows(file)] == ["/through"]


def test_the_exit_code_is_the_commands_own_and_a_miss_is_said(weighbridge: Command, tmp_path: Path) -> None:
    file = tmp_path / "run.json"
    code = "import sys, urllib.request as r\ntry: r.urlopen('http://nowhere.invalid/x')\nexcept Exception: sys.exit(7)"
    done = weighbridge("egress", "--output", str(file), "--", sys.executable, "-c", code, code=7)
    assert [(row["host"], row["outcome"]) for row in rows(file)] == [("nowhere.invalid", "refused")]
    gone = tmp_path / "other.json"
    done = weighbridge("egress", "--output", str(gone), "--", "no-such-program-here", code=2)
    assert not gone.exists()
    assert "cannot be run" in done.err
    weighbridge("egress", "--output", str(gone), code=2)


@pytest.mark.parametrize(
    "sent",
    [
        b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
        b"CONNECT nonsense HTTP/1.1\r\nHost: x\r\n\r\n",
        b"\x16\x03\x01\x00\x05hello",
        b"GET http://a/ HTTP/1.1\r\n" + b"X: " + b"y" * 200_000,
        b"GET http://[::1/ HTTP/1.1\r\nHost: x\r\n\r\n",
    ],
)
def test_what_is_no_request_to_a_proxy_is_refused_and_not_recorded(sent: bytes) -> None:
    def nobody(host: str, port: int) -> socket.socket:
        raise AssertionError((host, port))

    with (
        socket.create_server(("127.0.0.1", 0)) as listening,
        Recorder(listening, nobody).serving() as recorder,
        socket.create_connection(listening.getsockname()) as client,
    ):
        client.settimeout(10)
        with contextlib.suppress(OSError):
            client.sendall(sent)
            assert b" 200 " not in client.recv(65536).partition(b"\r\n")[0]
        assert recorder.requests == []
