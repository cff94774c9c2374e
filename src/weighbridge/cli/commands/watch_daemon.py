"""`weighbridge watch daemon`, `watch test-notify` and `watch health`: watching without end, and who is told."""

from __future__ import annotations

import os
import re
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from weighbridge.cli.console import Output
from weighbridge.cli.options import cancellable, common
from weighbridge.cli.settings import Home
from weighbridge.core.errors import ConfigError

if TYPE_CHECKING:
    from weighbridge.cli.yard import OpenYard
    from weighbridge.core.canonical import JsonValue
    from weighbridge.core.names import ModelName
    from weighbridge.watch.daemon import Daemon
    from weighbridge.watch.news import News
    from weighbridge.watch.pokes import Pokes
    from weighbridge.watch.rounds import Surroundings

_UNITS: Final = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}
_INTERVAL: Final = re.compile(r"(\d{1,7})([smhd])")
_FILE: Final = click.Path(path_type=Path, dir_okay=False)


@dataclass(frozen=True, slots=True)
class _Server:
    """Where the daemon listens; `host` is empty where it does not."""

    host: str = ""
    port: int = 0
    certificate: Path | None = None
    private_key: Path | None = None
    plain_http: bool = False


@click.command(
    "daemon",
    epilog="\b\nExamples:\n  weighbridge watch daemon\n  weighbridge watch daemon --interval 1h --json\n"
    "  weighbridge watch daemon --listen 127.0.0.1:8090",
)
@click.option(
    "--interval", metavar="TIME", help="From one round to the next: 90s, 15m, 6h, 1d (default: the settings')."
)
@click.option("--listen", metavar="HOST:PORT", help="Take the Hub's webhooks, and answer /healthz; port 0 is any.")
@click.option("--tls-cert", type=_FILE, metavar="FILE", help="Certificate of that server with its chain, PEM.")
@click.option("--tls-key", type=_FILE, metavar="FILE", help="Its private key, PEM.")
@click.option("--allow-plain-http", is_flag=True, help="Listen without TLS, behind a proxy that ends it.")
@common
def daemon_command(
    home: Home,
    output: Output,
    /,
    *,
    interval: str | None,
    listen: str | None,
    tls_cert: Path | None,
    tls_key: Path | None,
    allow_plain_http: bool,
) -> int:
    """Look at every watched model again and again, tell who is to be told, and go on until a signal ends it.

    One daemon for a home. SIGTERM and SIGINT end it within seconds, with exit code 0; what a round had recorded stands.
    """
    from weighbridge.cli.yard import OpenYard
    from weighbridge.watch.daemon import only_one

    if (tls_cert is None) != (tls_key is None):
        raise ConfigError("a certificate and its key go together", hint="Give --tls-cert and --tls-key.")
    host, port = _parse_listen(listen) if listen else ("", 0)
    server = _Server(host, port, tls_cert, tls_key, allow_plain_http)
    flags = {"watch.interval_seconds": _seconds(interval) if interval else None}
    home.path.mkdir(parents=True, exist_ok=True, mode=0o700)
    with OpenYard(home, output, flags) as yard, cancellable(output) as cancelled, ExitStack() as closing:
        closing.enter_context(only_one(home.watch_lock))
        whole = _run(yard, server, cancelled, closing)
        if not whole:
            # The round's thread hangs on something slow. All that was recorded is safe, as it is after a kill.
            output.say("the round did not end in time, and is left; nothing that was recorded is lost")
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(0)
    return 0


def _run(yard: OpenYard, server: _Server, cancelled: threading.Event, closing: ExitStack) -> bool:
    from weighbridge.cli.noticing import follow_sinks, open_notifier
    from weighbridge.cli.watching import surroundings
    from weighbridge.watch.daemon import Daemon, Terms
    from weighbridge.watch.pokes import Pokes

    settings, output = yard.config.watch, yard.output
    sinks = follow_sinks(yard)
    notifier = open_notifier(yard, sinks.sinks)
    rounds = _HomeRounds(closing.enter_context(surroundings(yard, cancelled)))
    pokes = Pokes(gap_seconds=settings.webhook_gap_seconds)
    terms = Terms(float(settings.interval_seconds), yard.home.watch_health)
    journal = _Journal(output)
    daemon = Daemon(rounds, notifier, pokes, journal, cancelled, terms, sinks=sinks)
    address = _listen(yard, server, daemon, pokes, closing) if server.host else ""
    told = len(notifier.sinks)
    watched = len(rounds.watched())
    record: dict[str, JsonValue] = {
        "address": address,
        "models": watched,
        "sinks": told,
        "interval_seconds": settings.interval_seconds,
    }
    words = f"watching {watched} models every {settings.interval_seconds} s; {told} sinks are told"
    journal.event("watching", words + (f"; webhooks at {address}/webhooks/hub" if address else ""), record)
    return daemon.run()


def _listen(yard: OpenYard, server: _Server, daemon: Daemon, pokes: Pokes, closing: ExitStack) -> str:
    from weighbridge.wire.files import read_small

    try:
        from weighbridge.serve.server import address_of, listen
        from weighbridge.watch.hub_webhook import HubWebhook, check_secret
        from weighbridge.watch.listening import Listening, check_exposure, health_route
    except ImportError as error:
        raise ConfigError(
            "to listen, the daemon needs the 'gateway' extra, which is not installed",
            hint="pip install 'weighbridge[gateway]'",
        ) from error

    file = yard.config.watch.webhook_secret_file
    if not file:
        raise ConfigError(
            "a daemon that listens needs the secret that the Hub's webhooks come with",
            hint="Put one into a file (openssl rand -hex 32), and name the file: 'watch.webhook_secret_file'.",
        )
    check_exposure(server.host, tls=server.certificate is not None, plain_http=server.plain_http)
    try:
        secret = check_secret(
            read_small(Path(file).expanduser(), "the secret of the Hub's webhook").decode("ascii").strip()
        )
    except UnicodeDecodeError:
        raise ConfigError("the secret of the Hub's webhook is not plain ASCII") from None
    sock = listen(server.host, server.port)

    def refused(count: int) -> None:
        words = f"{count} calls of the webhook came without the secret that is set here"
        daemon.journal.event("refused", words, {"calls": count})

    hook = HubWebhook(secret, lambda: daemon.watched, pokes, refused=refused)
    routes = [hook.route, health_route(daemon.health)]
    closing.enter_context(Listening(sock, routes, certificate=server.certificate, private_key=server.private_key))
    return address_of(sock, tls=server.certificate is not None)


class _HomeRounds:
    """The rounds of a home."""

    def __init__(self, around: Surroundings) -> None:
        self._around = around
        self._book = around.book

    def watched(self) -> frozenset[ModelName]:
        """What is watched now."""
        return frozenset(watch.model_name for watch in self._book.refresh().watches())

    def failing(self) -> int:
        """About how many of them upstream gave no answer."""
        checks = [self._book.checked(watch.model_name) for watch in self._book.refresh().watches()]
        return sum(check is not None and bool(check.failing_since) for check in checks)

    def look(self, model_names: Sequence[ModelName], cancelled: threading.Event) -> Iterator[News]:
        """A round."""
        from weighbridge.watch.rounds import run_round

        if not model_names and not self.watched():
            return iter(())
        return run_round(self._around, model_names, cancelled=cancelled)


class _Journal:
    """One line for each event: words on stderr, or JSON on stdout."""

    def __init__(self, output: Output) -> None:
        self._output = output

    def event(self, name: str, words: str, record: Mapping[str, JsonValue]) -> None:
        """Says it."""
        if self._output.as_json:
            self._output.document({"event": name, **record})
        elif name == "trouble":
            sys.stderr.write(f"{_line(words)}\n")
            sys.stderr.flush()
        else:
            self._output.say(_line(words))


def _line(words: str) -> str:
    from weighbridge.watch.notices.wording import one_line

    return one_line(words, 1_000)


def _seconds(text: str) -> int:
    found = _INTERVAL.fullmatch(text.strip())
    if found is None:
        raise click.UsageError(f"'{text[:40]}' is no time; write 90s, 15m, 6h or 1d")
    return int(found[1]) * _UNITS[found[2]]


def _parse_listen(text: str) -> tuple[str, int]:
    host, colon, port = text.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    if not colon or not host or not port.isdecimal() or int(port) > 65_535:
        raise click.UsageError(f"'{text[:100]}' is no address; write 127.0.0.1:8090 or [::1]:8090")
    return host, int(port)


# --- notices ------------------------------------------------------------------------------------


@click.command(
    "test-notify",
    epilog="\b\nExamples:\n  weighbridge watch test-notify\n  weighbridge watch test-notify --json",
)
@common
def test_notify_command(home: Home, output: Output, /) -> int:
    """Send a test notice to every sink, and say what happened; exit 1 when one did not take it."""
    from weighbridge.cli.noticing import follow_sinks, open_handing, sinks_file
    from weighbridge.cli.yard import OpenYard

    with OpenYard(home, output) as yard, cancellable(output) as cancelled:
        sinks = follow_sinks(yard).sinks
        if not sinks:
            raise ConfigError(
                "nobody is to be told", hint=f"Say who in '{sinks_file(yard)}': docs/how-to/be-told-of-updates.md."
            )
        outcomes = open_handing(sinks).test(cancelled)
    if output.as_json:
        output.document({"sinks": [one.to_json() for one in outcomes]})
    else:
        output.table(
            ("sink", "type", "where", "taken", "what happened"),
            [
                (one.sink, one.type, one.place or "-", "ok" if one.delivered else "failed", one.words)
                for one in outcomes
            ],
        )
    return 0 if all(one.delivered for one in outcomes) else 1


@click.command(
    "health",
    epilog="\b\nExamples:\n  weighbridge watch health\n  weighbridge watch health --quiet || systemctl restart weighbridge-watch",
)
@common
def health_command(home: Home, output: Output, /) -> int:
    """Say whether the watch daemon of this home is well, by the file that it writes; exit 1 when it is not."""
    from weighbridge.watch.daemon import read_health

    well, words = read_health(home.watch_health)
    if output.as_json:
        output.document({"well": well, "words": words})
    elif not output.quiet:
        output.line(words)
    return 0 if well else 1
