"""Options that every command takes, and the signals that long ones obey."""

from __future__ import annotations

import functools
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Concatenate, ParamSpec, TypeVar

import click

from weighbridge.cli.console import Output
from weighbridge.cli.settings import Home, find_home
from weighbridge.core.errors import Interrupted
from weighbridge.core.finding import Severity
from weighbridge.wire.signals import on_stop

Rest = ParamSpec("Rest")
Result = TypeVar("Result")


def common(
    command: Callable[Concatenate[Home, Output, Rest], Result],
) -> Callable[Rest, Result]:
    """Adds --home, --json, --quiet and --no-color; the command gets its home and output first."""

    @click.option("--home", default="", metavar="DIR", help="Where settings, keys and the embedded store live.")
    @click.option("--json", "as_json", is_flag=True, help="Write JSON to stdout; everything else goes to stderr.")
    @click.option("--quiet", "-q", is_flag=True, help="Say nothing but results and errors.")
    @click.option("--no-color", "no_colour", is_flag=True, help="Use no colour.")
    @functools.wraps(command)
    def with_output(*args: object, **kwargs: object) -> Result:
        home = find_home(str(kwargs.pop("home")))
        output = Output(
            as_json=bool(kwargs.pop("as_json")),
            quiet=bool(kwargs.pop("quiet")),
            colour=not kwargs.pop("no_colour"),
        )
        return command(home, output, *args, **kwargs)  # type: ignore[arg-type]

    return with_output


def fail_on_option(
    default: str | None, *, shown: str = ""
) -> Callable[[Callable[Rest, Result]], Callable[Rest, Result]]:
    """Adds --fail-on; `shown` is the default that help tells when the settings give it."""
    return click.option(
        "--fail-on",
        type=click.Choice([*(severity.label for severity in Severity), "never"]),
        default=default,
        help=f"Exit 11 to 14 when findings are at least this severe (default: {shown or default}).",
    )


def severity_code(highest: Severity | None, fail_on: str) -> int:
    """The exit code for the worst finding, 11 to 14; 0 when there is none as severe as `fail_on`."""
    if highest is None or fail_on == "never" or highest < Severity[fail_on.upper()]:
        return 0
    return int(highest)


def content_options(command: Callable[Rest, Result]) -> Callable[Rest, Result]:
    """Adds --deep and --without, which say what is looked for in content; see `content_settings`."""
    deep = click.option(
        "--deep", is_flag=True, default=None, help="Look for malware and secrets in tensor data too: reads every byte."
    )
    without = click.option(
        "--without",
        multiple=True,
        type=click.Choice(["malware", "secrets"]),
        help="Do not look for it; the result says so (may be repeated).",
    )
    return deep(without(command))


def content_settings(deep: bool | None, without: tuple[str, ...]) -> dict[str, object]:
    """The settings that the content options stand for; None where none was given."""
    return {
        "inspection.deep": deep,
        **{f"inspection.{name}": False if name in without else None for name in ("malware", "secrets")},
    }


@contextmanager
def cancellable(output: Output) -> Iterator[threading.Event]:
    """An event that Ctrl-C and SIGTERM set, so that work ends cleanly; a second signal ends it at once."""
    cancelled = threading.Event()
    received: list[int] = []

    def stop(number: int, _frame: FrameType | None) -> None:
        if received:
            raise KeyboardInterrupt
        received.append(number)
        cancelled.set()
        output.say("stopping; what was done so far is kept (once more to stop at once)")

    try:
        with on_stop(stop):
            yield cancelled
    except Interrupted as error:
        error.exit_code = 128 + (received[0] if received else signal.SIGINT)
        raise
