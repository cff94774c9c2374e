"""`weighbridge fetch` and `weighbridge run`: a verified folder on an inference node, and the engine that loads it."""

from __future__ import annotations

import os
import shutil
import signal
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from weighbridge.cli.console import Output, duration, size
from weighbridge.cli.loading import NodeOptions, node_options, opened_node
from weighbridge.cli.options import cancellable, common
from weighbridge.cli.settings import Home
from weighbridge.core.dataclass import dataclass
from weighbridge.core.errors import ConfigError
from weighbridge.core.folders import cache_folder

if TYPE_CHECKING:
    from weighbridge.serve.loading.folder import Fetched
    from weighbridge.serve.loading.node import Node
    from weighbridge.vault.records import SealedRevision

_STREAMS = click.option(
    "--streams",
    type=click.IntRange(0, 256),
    default=0,
    metavar="N",
    help="Ranges read at once (default: by processors).",
)
_NO_PROGRAM = "Is the engine installed, and on the PATH?"
_REPLACE = click.option(
    "--replace",
    is_flag=True,
    help="Exchange the model that lies there, in one step; without it, other content is refused.",
)


@click.command(
    "fetch",
    epilog="\b\nExamples:\n  weighbridge fetch org/name /models/name\n"
    "  weighbridge fetch org/name@staging /models/name --replace\n"
    "  weighbridge fetch org/name /models/name --trust trust.json --store s3://models-approved\n"
    "\b\nExit codes: 0 the folder is whole · 1 the store or the folder cannot be reached, read or written ·\n"
    "2 something else lies there, or no trust file · 3 no such model or channel ·\n"
    "6 bytes are missing, or are not what was approved · 7 revoked, expired, rolled back or not trusted ·\n"
    "130 or 143 stopped: the same command goes on",
)
@click.argument("model", metavar="MODEL[@CHANNEL]")
@click.argument("folder", type=click.Path(path_type=Path), metavar="DIR")
@_REPLACE
@click.option(
    "--no-weights", "no_weights", is_flag=True, help="Leave the weights out; the folder is marked as partial."
)
@_STREAMS
@node_options
@common
def fetch_command(
    home: Home,
    output: Output,
    /,
    *,
    model: str,
    folder: Path,
    replace: bool,
    no_weights: bool,
    streams: int,
    node: NodeOptions,
) -> int:
    """Bring an approved revision into a folder, every byte proven; the folder appears when it is whole.

    Run again, it goes on where it was stopped; a folder that holds the revision already is read and proven, and left alone.
    """
    started = time.monotonic()
    with opened_node(home, output, node) as opened:
        sealed = opened.resolve(model)
        fetched = _fetch(output, opened, sealed, folder, _Chosen(replace, streams, weights=not no_weights))
    _show(output, fetched, time.monotonic() - started)
    return 0


@click.command(
    "run",
    epilog="\b\nExamples:\n  weighbridge run org/name -- vllm serve {}\n"
    "  weighbridge run org/name@staging --dir /models/name -- transformers serve --force-model '$MODEL_DIR'\n"
    "  weighbridge run org/name --trust trust.json -- python -m my_engine {}\n"
    "\b\nExit codes: those of `weighbridge fetch` until the engine runs, then the engine's own;\n"
    "5 the command would run the model's own code",
)
@click.argument("model", metavar="MODEL[@CHANNEL]")
@click.argument("command", nargs=-1, type=click.UNPROCESSED, metavar="-- COMMAND…")
@click.option(
    "--dir",
    "folder",
    type=click.Path(path_type=Path),
    default=None,
    metavar="DIR",
    help="Where the model lies or is brought to (default: a cache, by revision).",
)
@_REPLACE
@click.option(
    "--allow-remote-code", is_flag=True, help="Let the command run the model's own code, if policy accepted that code."
)
@click.option("--keep-env", multiple=True, metavar="NAME", help="Let the engine have this variable (may be repeated).")
@_STREAMS
@node_options
@common
def run_command(
    home: Home,
    output: Output,
    /,
    *,
    model: str,
    command: tuple[str, ...],
    folder: Path | None,
    replace: bool,
    allow_remote_code: bool,
    keep_env: tuple[str, ...],
    streams: int,
    node: NodeOptions,
) -> int:
    """Fetch an approved revision or prove what lies there, then become the engine: offline, without tokens or proxies.

    `{}`, `$MODEL_DIR` and `${MODEL_DIR}` in the command stand for the folder.
    """
    from weighbridge.serve.loading.engine import check_remote_code, engine_command, engine_environment

    with opened_node(home, output, node) as opened:
        sealed = opened.resolve(model)
        _check_there(engine_command(command, Path())[0], named=command[0])
        check_remote_code(command, sealed, allowed=allow_remote_code)
        target = (folder or _cached(sealed)).absolute()
        started = time.monotonic()
        fetched = _fetch(output, opened, sealed, target, _Chosen(replace, streams))
        _show(output, fetched, time.monotonic() - started)
    environment, taken = engine_environment(os.environ, target, keep=keep_env, remote_code=allow_remote_code)
    if taken:
        output.say(f"the engine does not get: {', '.join(taken)}")
    return _become(engine_command(command, target), environment)


@dataclass(frozen=True, slots=True)
class _Chosen:
    """What the command line said of the folder."""

    replace: bool
    streams: int
    weights: bool = True


def _fetch(output: Output, node: Node, sealed: SealedRevision, folder: Path, chosen: _Chosen) -> Fetched:
    from weighbridge.cli.progress import watching
    from weighbridge.serve.loader import streams_for
    from weighbridge.serve.loading.folder import FetchOptions, fetch

    streams = chosen.streams or streams_for(os.cpu_count())
    with cancellable(output) as cancelled, watching(output, "fetching") as observer:
        options = FetchOptions(observer, cancelled, streams, chosen.replace, chosen.weights)
        return fetch(node.approved, sealed, folder, options)


def _cached(sealed: SealedRevision) -> Path:
    """Where a revision lies when nobody says where."""
    name = sealed.manifest.model_name
    return Path(cache_folder()) / "models" / f"{name.organisation}--{name.name}" / sealed.manifest.revision


def _show(output: Output, fetched: Fetched, seconds: float) -> None:
    manifest = fetched.manifest
    if output.as_json:
        output.document(
            {
                "event": "fetched",
                "model": str(manifest.model_name),
                "revision": manifest.revision,
                "manifest_sha256": manifest.digest,
                "folder": str(fetched.folder),
                "how": fetched.how,
                "read_bytes": fetched.read_bytes,
                "resumed_bytes": fetched.resumed_bytes,
                "milliseconds": round(seconds * 1000),
            }
        )
        return
    if fetched.how == "kept":
        output.say(f"{fetched.folder} holds {manifest.reference} already: every byte was read and proven")
        return
    rate = size(int(fetched.read_bytes / max(seconds, 0.001)))
    resumed = f", {size(fetched.resumed_bytes)} were there" if fetched.resumed_bytes else ""
    output.say(
        f"{fetched.how} {manifest.reference} in {fetched.folder}: {size(fetched.read_bytes)} in {duration(seconds)}"
        f" ({rate}/s){resumed}"
    )


def _check_there(program: str, *, named: str) -> None:
    """Returns when the program is here, or comes with the model: nobody is to wait for a fetch to learn that it is not.

    Raises:
        ConfigError: it is not.
    """
    if program == named and shutil.which(program) is None:
        raise ConfigError(f"'{program}' is no program that can be run here", hint=_NO_PROGRAM)


def _become(command: list[str], environment: dict[str, str]) -> int:
    """Replaces this process, so that signals and the exit code are the engine's own."""
    sys.stdout.flush()
    sys.stderr.flush()
    for number in (signal.SIGPIPE, signal.SIGXFSZ):
        # Python ignores them, and what is ignored stays so in the engine.
        signal.signal(number, signal.SIG_DFL)
    try:
        os.execvpe(command[0], command, environment)  # noqa: S606 (no shell is wanted)
    except OSError as error:
        raise ConfigError(f"'{command[0]}' cannot be run: {error.strerror}", hint=_NO_PROGRAM) from error
