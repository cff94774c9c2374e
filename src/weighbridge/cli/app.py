"""The `weighbridge` command: finds the subcommand, runs it, and turns what went wrong into words and an exit code."""

from __future__ import annotations

import errno
import importlib
import os
import sys
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

import click

from weighbridge import __version__
from weighbridge.cli.console import Output, let_go
from weighbridge.core.errors import Interrupted, WeighbridgeError

_SECTIONS = {
    "Bring in and look": {
        "ingest": "ingest:ingest_command",
        "scan": "scan:scan_command",
        "ls": "show:ls_command",
        "show": "show:show_command",
        "diff": "diff:diff_command",
        "inventory": "inventory:inventory_command",
        "fingerprint": "fingerprint:fingerprint_command",
        "bom": "bom:bom_command",
        "export": "export:export_command",
        "rules": "rules:rules_command",
        "request": "requests:request_command",
    },
    "Judge and let pass": {
        "decide": "decide:decide_command",
        "requests": "requests:requests_command",
        "policy": "policy:policy_command",
        "remediate": "remediate:remediate_command",
        "approve": "approve:approve_command",
        "reject": "approve:reject_command",
        "attest": "attest:attest_command",
        "promote": "promote:promote_command",
        "channels": "channels:channels_command",
        "rollback": "channels:rollback_command",
        "revoke": "channels:revoke_command",
    },
    "Serve": {
        "serve": "serve:serve_command",
        "token": "token:token_command",
    },
    "Deploy": {
        "deploy": "deploy:deploy_command",
    },
    "Load on an inference node": {
        "fetch": "fetch:fetch_command",
        "run": "fetch:run_command",
        "trust": "trust:trust_command",
    },
    "Watch": {
        "watch": "watch:watch_command",
        "updates": "watch:updates_command",
    },
    "Prove and keep": {
        "verify": "verify:verify_command",
        "check": "verify:check_command",
        "rescan": "rescan:rescan_command",
        "audit": "audit:audit_command",
        "posture": "posture:posture_command",
        "egress": "egress:egress_command",
        "gc": "housekeeping:gc_command",
        "rebuild": "housekeeping:rebuild_command",
    },
    "Set up": {
        "init": "home:init_command",
        "config": "home:config_command",
        "doctor": "home:doctor_command",
        "people": "people:people_command",
        "keys": "keys:keys_command",
    },
}
_NOT_WRITTEN: Final = (errno.ENOSPC, errno.EIO, errno.EBADF, errno.EFBIG, errno.EDQUOT)
_COMMANDS = {name: where for section in _SECTIONS.values() for name, where in section.items()}

EPILOG = """\b
Exit codes: 0 done · 1 failed · 2 usage · 3 nothing was collected · 4 an inspector could not answer ·
5 denied by policy · 6 integrity · 7 trust · 11 to 14 the highest severity found · 128+N ended by a signal

\b
Examples:
  weighbridge ingest hf://org/name              bring a model in from the Hub
  weighbridge ingest ./folder --as acme/tiny    or from a folder
  weighbridge scan hf://org/name                look into it first, by ranged reads
  weighbridge show org/name                     what came in, and what was found
  weighbridge verify org/name --deep            prove that every byte is still the same
  weighbridge decide org/name                   what policy says, and what would change it
  weighbridge approve org/name --reason "…"     let it pass, as a person
  weighbridge promote org/name --channel production
"""


class _LazyGroup(click.Group):
    """Imports a command's module only when the command is asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        where = _COMMANDS.get(cmd_name)
        if where is None:
            return None
        module, _, attribute = where.partition(":")
        found = getattr(importlib.import_module(f"weighbridge.cli.commands.{module}"), attribute)
        assert isinstance(found, click.Command)
        return found

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        for section, names in _SECTIONS.items():
            found = [(name, self.get_command(ctx, name)) for name in names]
            room = formatter.width - 6 - max(map(len, _COMMANDS))
            with formatter.section(section):
                formatter.write_dl([(name, one.get_short_help_str(room)) for name, one in found if one is not None])


@click.group(
    cls=_LazyGroup,
    name="weighbridge",
    epilog=EPILOG,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(__version__, prog_name="weighbridge")
def cli() -> None:
    """Brings open-weight models across one bridge: pinned to a commit, streamed once into a private store, proven,
    inspected, signed, and verified again whenever you ask.
    """


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command line and returns its exit code."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    own = given[: given.index("--")] if "--" in given else given
    output = Output(as_json="--json" in own, colour="--no-color" not in own and "NO_COLOR" not in os.environ)
    _occupy_standard_files()
    try:
        code = cli.main(args=given, prog_name="weighbridge", standalone_mode=False)
        sys.stdout.flush()
        return code if isinstance(code, int) else 0
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.ctx.get_help(), err=True)
        return 2
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except (click.Abort, KeyboardInterrupt):
        return _end(output, Interrupted("stopped"))
    except WeighbridgeError as error:
        return _end(output, error)
    except (BrokenPipeError, SystemExit):  # click makes the one into the other
        let_go(sys.stdout)
        return 141
    except Exception as error:
        if os.environ.get("WEIGHBRIDGE_DEBUG"):
            raise
        if isinstance(error, OSError) and error.errno in _NOT_WRITTEN and error.filename is None:
            let_go(sys.stdout)
            return _end(replace(output, as_json=False), WeighbridgeError(f"the output was cut: {error.strerror}"))
        return _end(
            output,
            WeighbridgeError(
                f"weighbridge itself made a mistake ({type(error).__name__})",
                hint="Please report it, with what WEIGHBRIDGE_DEBUG=1 prints. Nothing was left looking whole.",
            ),
        )


def _end(output: Output, error: WeighbridgeError) -> int:
    """Says what went wrong, where that can still be said; the exit code."""
    try:
        output.error(error)
        sys.stdout.flush()
    except OSError:
        let_go(sys.stdout)
        if output.as_json:
            return _end(replace(output, as_json=False), error)
        let_go(sys.stderr)
    return error.exit_code


def _occupy_standard_files() -> None:
    """Gives stdin, stdout and stderr that were closed (`>&-`) a file: stdout one on which writing fails.

    Otherwise the next file that is opened would get their number, and what is written to them.
    """
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        if getattr(sys, name) is None:
            os.open(os.devnull, os.O_WRONLY if name == "stderr" else os.O_RDONLY)  # the lowest number that is free
            setattr(sys, name, open(number, "w" if number else "r"))  # noqa: SIM115, PTH123 - for as long as it runs


def entry_point() -> None:
    """What the installed script runs."""
    sys.exit(main())
