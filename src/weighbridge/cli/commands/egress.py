"""`weighbridge egress`: runs a command and records what it contacts and sends."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import FrameType
from typing import IO, TYPE_CHECKING, Final

import click

from weighbridge.cli.console import Output, printable, write_whole
from weighbridge.cli.options import common
from weighbridge.cli.settings import Home
from weighbridge.core.canonical import JsonValue
from weighbridge.core.errors import ConfigError, WeighbridgeError
from weighbridge.wire.signals import on_stop

if TYPE_CHECKING:
    from collections.abc import Sequence

    from weighbridge.posture.recorder import Recorded

CONFINED_SECONDS: Final = 30.0
MAX_SHOWN: Final = 40
_PROXIES: Final = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy")
_BUNDLES: Final = ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "GIT_SSL_CAINFO", "NODE_EXTRA_CA_CERTS")


Go = Callable[[Mapping[str, str]], "subprocess.Popen[bytes]"]
"""Lets the command run with these variables added to its own."""


@click.command(
    "egress",
    epilog="\b\nExamples:\n  weighbridge egress --output run.json -- hf download org/name\n"
    "  weighbridge egress --output run.json --confine -- python load.py\n"
    "  weighbridge posture org/name --egress run.json\n"
    "\b\nExit codes: those of the command; 127 when it cannot be run, 2 for wrong usage, 1 when nothing could be recorded",
)
@click.argument("command", nargs=-1, type=click.UNPROCESSED, metavar="-- COMMAND…")
@click.option(
    "--output",
    "file",
    required=True,
    type=click.Path(path_type=Path, dir_okay=False),
    help="Where the recording is written.",
)
@click.option(
    "--confine",
    is_flag=True,
    help="Let the command reach the recorder alone, whatever it tries (Linux: a network namespace).",
)
@click.option("--unread", is_flag=True, help="Do not look into TLS: of such requests only the host is recorded.")
@common
def egress_command(
    _home: Home, output: Output, /, *, command: tuple[str, ...], file: Path, confine: bool, unread: bool
) -> int:
    """Run a command that loads a model, and record which hosts it contacts, by which paths and names, and where a token goes.

    The command gets a proxy of its own and trusts the recording's certificate, both for this run alone. No header's value and no
    body is kept. `posture --egress` reads the recording.
    """
    from weighbridge.posture.interception import Authority
    from weighbridge.posture.recorder import Recorder, connect_directly

    if not command:
        raise click.UsageError("name the command after --")
    if not file.parent.is_dir():
        raise ConfigError(f"'{file.parent}' is no folder, so '{file.name}' cannot be written there")
    ready = _confined if confine else _unconfined
    with tempfile.TemporaryDirectory(prefix="weighbridge-egress-") as name, ready(command, output) as (listening, go):
        folder = Path(name)
        authority = None if unread else Authority(folder)
        bundle = None if authority is None else _bundle(folder, authority.certificate)
        with Recorder(listening, connect_directly, authority).serving() as recorder:
            code = _ended(go(_environment(listening.getsockname()[1], bundle)))
    write_whole(file, recorder.to_bytes())
    _show(output, recorder.requests, file, code)
    return code


def _bundle(folder: Path, certificate: str) -> Path:
    """The certificates that the command trusts: the machine's, and the recording's."""
    usual = ssl.get_default_verify_paths().cafile
    with contextlib.suppress(OSError):
        certificate += Path(usual).read_text(encoding="utf-8", errors="replace") if usual else ""
    bundle = folder / "trusted.pem"
    bundle.write_text(certificate, encoding="utf-8")
    return bundle


def _environment(port: int, bundle: Path | None) -> dict[str, str]:
    proxy = f"http://127.0.0.1:{port}"
    given = {**dict.fromkeys(_PROXIES, proxy), "NO_PROXY": "", "no_proxy": ""}
    return given if bundle is None else {**given, **dict.fromkeys(_BUNDLES, str(bundle))}


# --- where it runs


@contextlib.contextmanager
def _unconfined(command: tuple[str, ...], output: Output) -> Iterator[tuple[socket.socket, Go]]:
    def go(given: Mapping[str, str]) -> subprocess.Popen[bytes]:
        try:
            return subprocess.Popen(command, env={**os.environ, **given}, stdout=_stdout(output))
        except OSError as error:
            raise ConfigError(f"'{command[0]}' cannot be run: {error.strerror}") from error

    with socket.create_server(("127.0.0.1", 0), backlog=256) as listening:
        yield listening, go


@contextlib.contextmanager
def _confined(command: tuple[str, ...], output: Output) -> Iterator[tuple[socket.socket, Go]]:
    """As `_unconfined`, in a network whose only socket is the recorder's."""
    if sys.platform != "linux":
        raise ConfigError("--confine needs Linux", hint="Leave it out; what ignores the proxy is then not recorded.")
    ours, theirs = socket.socketpair()
    with ours, theirs:
        words = (sys.executable, "-P", "-m", "weighbridge.posture.confinement", str(theirs.fileno()), *command)
        process = subprocess.Popen(words, stdout=_stdout(output), pass_fds=(theirs.fileno(),))
        theirs.close()
        ours.settimeout(CONFINED_SECONDS)
        try:
            said, descriptors, _, _ = socket.recv_fds(ours, 4096, 1)
        except OSError:
            said, descriptors = b"", []
        if not descriptors:
            process.kill()
            process.wait()
            why = said.decode("utf-8", "replace").removeprefix("error ") or "it does not answer"
            raise WeighbridgeError(
                f"no network of its own could be made for the command: {why}",
                hint="Run it where users may make namespaces, or leave --confine out.",
            )

        def go(given: Mapping[str, str]) -> subprocess.Popen[bytes]:
            ours.sendall(b"\0".join(f"{name}={value}".encode() for name, value in given.items()))
            return process

        try:
            with socket.socket(fileno=descriptors[0]) as listening:
                yield listening, go
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()


def _stdout(output: Output) -> IO[str] | None:
    """With --json, stdout is for the one document."""
    return sys.stderr if output.as_json else None


def _ended(process: subprocess.Popen[bytes]) -> int:
    """Waits for the command; what ends us ends it first. The exit code, 128+N for a signal."""

    def pass_on(number: int, _frame: FrameType | None) -> None:
        # A terminal has told the command of Ctrl-C already.
        if number == signal.SIGTERM:
            process.terminate()

    with on_stop(pass_on):
        code = process.wait()
    return code if code >= 0 else 128 - code


# --- what was seen


def _show(output: Output, requests: Sequence[Recorded], file: Path, code: int) -> None:
    from weighbridge.core.counted import plural

    by_host: dict[str, list[Recorded]] = {}
    for one in requests:
        by_host.setdefault(one.host, []).append(one)
    hosts: list[JsonValue] = [
        {
            "host": host,
            "requests": len(rows),
            "token": any(one.authorization for one in rows),
            "unread": sum(one.outcome == "unread" for one in rows),
            "refused": sum(one.outcome == "refused" for one in rows),
            "user_agents": list[JsonValue](sorted({one.user_agent for one in rows if one.user_agent})[:MAX_SHOWN]),
        }
        for host, rows in sorted(by_host.items())
    ]
    if output.as_json:
        output.document({"event": "recorded", "file": str(file), "exit_code": code, "hosts": hosts})
        return
    for host, rows in sorted(by_host.items())[:MAX_SHOWN]:
        told = [plural(len(rows), "request")]
        told += ["token sent"] if any(one.authorization for one in rows) else []
        told += [
            f"{count} {word}" for word in ("unread", "refused") if (count := sum(one.outcome == word for one in rows))
        ]
        output.say(printable(f"  {host}: {', '.join(told)}"))
    output.say(f"wrote {file}: {plural(len(requests), 'request')} to {plural(len(by_host), 'host')}")
