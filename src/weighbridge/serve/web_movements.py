"""Promotes and rolls back by running this program's own commands, each in a process of its own.

A promotion then has the rules, the record and the key of the command line, goes on when the gateway restarts, and holds no
thread of it: after `PATIENCE_SECONDS` the page says that it is under way. Nothing goes through a shell, and what people wrote
is one argument each.
"""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import Final

from weighbridge.admit.index import check_channel
from weighbridge.core.errors import Busy, Denied
from weighbridge.serve.web_acts import Order

PATIENCE_SECONDS: Final = 20.0
AT_ONCE: Final = 4
MAX_SAID: Final = 2_000


class CommandMovements:
    """`web_acts.Movements` of the home at `home`. Thread-safe; at most `AT_ONCE` commands run."""

    def __init__(self, home: Path, *, patience_seconds: float = PATIENCE_SECONDS) -> None:
        self._home = home
        self._patience = patience_seconds
        self._places = threading.BoundedSemaphore(AT_ONCE)

    def promote(self, order: Order, person: str) -> str:
        """Promotes a revision and points a channel to it; says what was done, or that it is under way.

        Raises:
            ConfigError: the channel has no name that is one.
            Denied: the command refused; says why. Busy: too many are under way.
        """
        channel = check_channel(order.channel)
        reference = f"{order.model_name}@{order.revision}"
        done = self._run("promote", reference, person, f"--channel={channel}", f"--reason={order.reason}")
        short = f"{order.model_name}@{order.revision[:12]}"
        return f"Promoted {short}: @{channel} points to it." if done else f"{short} is being promoted to @{channel}."

    def rollback(self, order: Order, person: str) -> str:
        """Points a channel to what it pointed to before. Raises as `promote`."""
        channel = check_channel(order.channel)
        done = self._run("rollback", str(order.model_name), person, f"--channel={channel}", f"--reason={order.reason}")
        return f"@{channel} of {order.model_name} {'points back' if done else 'is being pointed back'}."

    def _run(self, command: str, reference: str, person: str, *options: str) -> bool:
        if not self._places.acquire(blocking=False):
            raise Busy("too many promotions are under way", hint="Try again in a minute.")
        environment = {
            **os.environ,
            "WEIGHBRIDGE_HOME": str(self._home),
            "WEIGHBRIDGE_IDENTITY_NAME": person,
            "NO_COLOR": "1",
        }
        try:
            process = subprocess.Popen(
                [sys.executable, "-m", "weighbridge", command, *options, "--quiet", "--", reference],
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                start_new_session=True,
            )
        except OSError as error:
            self._places.release()
            raise Busy(f"the command cannot be started: {error.strerror}") from error
        said: list[bytes] = []
        waiting = threading.Thread(target=self._attend, args=(process, said), name="web-promote", daemon=True)
        waiting.start()
        waiting.join(self._patience)
        if waiting.is_alive():
            return False
        if process.returncode != 0:
            words = b"".join(said).decode("utf-8", "replace")[:MAX_SAID].strip()
            message, _, hint = words.removeprefix("error: ").partition("\n")
            raise Denied(message or f"`weighbridge {command}` failed", rules=(command,), hint=hint)
        return True

    def _attend(self, process: subprocess.Popen[bytes], said: list[bytes]) -> None:
        """Waits for the end, keeps the first words, and drops the rest so that the command never waits for a reader."""
        try:
            assert process.stderr is not None
            said.append(process.stderr.read(MAX_SAID))
            while process.stderr.read(65_536):
                pass
            process.wait()
        finally:
            self._places.release()
