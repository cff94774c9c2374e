"""`weighbridge posture`: what would be risked from the Hub, and what from the bucket."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from weighbridge.cli.console import Output, printable, write_whole
from weighbridge.cli.options import common
from weighbridge.cli.settings import Home
from weighbridge.core.errors import ConfigError, NothingCollected

if TYPE_CHECKING:
    from rich.text import Text

    from weighbridge.posture.evidence import Dossier
    from weighbridge.posture.report import Cell, Posture
    from weighbridge.posture.speech import Speech

FORMATS: Final = ("table", "json", "markdown", "html")
LANGUAGES: Final = ("en", "ja")
STYLES: Final = {"met": "green", "partly": "yellow", "not_met": "bold red", "unproved": "cyan"}
FROM_THE_COMMAND_LINE: Final = ("report.model", "report.bucket", "hub.revision.ref", "hub.revision.pinned")
_FILE: Final = click.Path(path_type=Path, dir_okay=False)


@click.command(
    "posture",
    epilog="\b\nExamples:\n  weighbridge posture org/name --bucket s3://bucket/approved\n"
    "  weighbridge posture org/name@COMMIT --deployment deploy.yaml --egress run.json\n"
    "  weighbridge posture org/name --format html --lang ja --output posture.html\n"
    "  weighbridge posture org/name --save-evidence evidence.json\n"
    "  weighbridge posture org/name --save-evidence evidence.dsse.json --sign\n"
    "  weighbridge posture --evidence evidence.json --format markdown",
)
@click.argument("model", metavar="[MODEL[@REF]]", required=False, default="")
@click.option("--bucket", default="", metavar="s3://…", help="The bucket and prefix that engines would load from.")
@click.option("--deployment", multiple=True, type=_FILE, help="A file that deploys the model (may be repeated).")
@click.option("--egress", type=_FILE, help="A recorded run of a client: a JSON list of its requests.")
@click.option("--evidence", type=_FILE, help="Judge this stored evidence, and ask nobody.")
@click.option("--save-evidence", type=_FILE, help="Keep the evidence, to judge it again.")
@click.option("--sign", is_flag=True, help="Sign what --save-evidence keeps, with this home's key.")
@click.option("--hub", default=None, metavar="URL", help="The Hub's endpoint, instead of HF_ENDPOINT.")
@click.option("--offline", is_flag=True, help="Do not ask the Hub; what it would say is unproved.")
@click.option(
    "--measure-bytes",
    default=16_000_000,
    show_default=True,
    type=click.IntRange(0, 1 << 30),
    help="Read so much on each route to measure how fast it loads; 0 for not at all.",
)
@click.option("--format", "chosen", type=click.Choice(FORMATS), default=None, help="How to report.")
@click.option("--lang", type=click.Choice(LANGUAGES), default="en", show_default=True, help="JSON is always English.")
@click.option("--output", "file", type=_FILE, help="Write the report to a file.")
@common
def posture_command(home: Home, output: Output, /, *, model: str, **options: object) -> int:
    """Compare deploying MODEL from the Hub with deploying it from a bucket, question by question, with evidence.

    Each answer is met, partly, not_met or unproved, with the facts that it rests on and what to do next; without a fact
    nothing is better than unproved. The recommendation follows from the answers by rules.
    """
    from weighbridge.posture.questions import judge

    evidence = options["evidence"]
    gathering = ("bucket", "deployment", "egress", "hub", "offline")
    if isinstance(evidence, Path):
        if any(options[name] for name in gathering):
            raise click.UsageError("--evidence asks nobody: it goes with a format, --lang and --output alone")
        dossier = _stored(home, output, evidence, model)
    elif model:
        dossier = _gather(home, output, model, options)
    else:
        raise click.UsageError("name a model, or stored evidence with --evidence")
    posture = judge(dossier)
    _save(home, output, dossier, options)
    file = options["file"]
    chosen = str(options["chosen"] or ("json" if output.as_json else "table"))
    _write(output, posture, chosen, str(options["lang"]), file if isinstance(file, Path) else None)
    return 0


def _save(home: Home, output: Output, dossier: Dossier, options: dict[str, object]) -> None:
    from weighbridge.cli.yard import OpenYard
    from weighbridge.posture.signed import sign_dossier

    saved = options["save_evidence"]
    if not isinstance(saved, Path):
        if options["sign"]:
            raise click.UsageError("--sign goes with --save-evidence")
        return
    if options["sign"]:
        with OpenYard(home, output) as yard:
            data = sign_dossier(dossier, yard.key)
    else:
        data = (json.dumps(dossier.to_json(), ensure_ascii=False, indent=1) + "\n").encode("utf-8")
    write_whole(saved, data)
    output.say(f"wrote {saved}")


def _stored(home: Home, output: Output, evidence: Path, model: str) -> Dossier:
    from weighbridge.cli.posturing import Asked, read_evidence
    from weighbridge.cli.yard import OpenYard

    with OpenYard(home, output) as yard:
        dossier = read_evidence(evidence, trusted=lambda: yard.trusted)
    fact = dossier.facts.get("report.model")
    if model and (fact is None or str(Asked.parse(model).model_name) != fact.value):
        raise ConfigError(
            f"'{evidence}' is evidence about another model", hint="Leave the model out, or name that one."
        )
    return dossier


def _gather(home: Home, output: Output, model: str, options: dict[str, object]) -> Dossier:
    from weighbridge.cli.posturing import Asked, gather, keep
    from weighbridge.cli.yard import OpenYard

    deployment, egress = options["deployment"], options["egress"]
    asked = replace(
        Asked.parse(model),
        bucket=str(options["bucket"]).rstrip("/"),
        deployment=tuple(deployment) if isinstance(deployment, tuple) else (),
        egress=egress if isinstance(egress, Path) else None,
        offline=bool(options["offline"]),
        measure_bytes=int(str(options["measure_bytes"])),
    )
    with OpenYard(home, output, {"hub.endpoint": options["hub"]}) as yard:
        dossier = gather(yard, asked)
        if not any(fact.id not in FROM_THE_COMMAND_LINE for fact in dossier):
            raise NothingCollected(
                f"nothing could be learned about {asked.model_name}: "
                + (dossier.unobtained.get("hub.revision.commit") or "nobody was asked"),
                hint="Check the name and HF_ENDPOINT, or name what there is: --bucket, --deployment, --egress.",
            )
        keep(yard, asked, dossier)
    return dossier


def _write(output: Output, posture: Posture, chosen: str, language: str, file: Path | None) -> None:
    from weighbridge.posture.speech import Speech

    speech = Speech(language)
    if chosen == "html":
        from weighbridge.posture.render_html import as_html

        output.deliver(as_html(posture, speech) + "\n", file)
    elif chosen == "markdown":
        from weighbridge.posture.render_markdown import as_markdown

        output.deliver(as_markdown(posture, speech), file)
    elif chosen == "json":
        from weighbridge.posture.render_text import as_json

        output.deliver(as_json(posture), file)
    elif output.rich and file is None:
        _show(output, posture, speech)
    else:
        from weighbridge.posture.render_text import as_lines

        output.deliver("".join(f"{printable(line)}\n" for line in as_lines(posture, speech)), file)


def _show(output: Output, posture: Posture, speech: Speech) -> None:
    """The report for a person: the recommendation, then the answers side by side."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table
    from rich.text import Text

    from weighbridge.posture.report import Route, Standing, Words

    head = f"{posture.model_name} {posture.revision[:12]}"
    output.show(Text(printable(head), style="bold"))
    for number, words in enumerate(posture.recommendation):
        output.show(Text(printable(speech.say(words)), style="bold" if not number else ""))
    for route in Route:
        counts = [f"{speech.standing(one)} {posture.count(route, one)}" for one in Standing]
        output.show(Text(f"{speech.route(route)}: {', '.join(counts)}", style="dim"))
    table = Table(box=SIMPLE_HEAD, pad_edge=False, expand=True)
    table.add_column(speech.say(Words("Question")), ratio=2)
    for route in Route:
        table.add_column(speech.route(route), ratio=4, overflow="fold")
    for row in posture.rows:
        table.add_row(Text(speech.say(row.title), style="bold"), *(_cell(row.cell(route), speech) for route in Route))
    output.show(table)


def _cell(cell: Cell, speech: Speech) -> Text:
    from rich.text import Text

    text = Text.assemble((speech.standing(cell.standing), STYLES[cell.standing.value]), " ")
    text.append(printable(" ".join(speech.say(words) for words in (cell.why, *cell.also))))
    if cell.next_step.template:
        text.append("\n→ " + printable(speech.say(cell.next_step)), style="dim")
    return text
