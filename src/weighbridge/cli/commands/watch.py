"""`weighbridge watch` and `weighbridge updates`: what changed where models came from, and what was made of it."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import click

from weighbridge.cli.commands.watch_daemon import daemon_command, health_command, test_notify_command
from weighbridge.cli.console import Output, printable
from weighbridge.cli.options import cancellable, common, fail_on_option, severity_code
from weighbridge.cli.settings import Home
from weighbridge.core.counted import plural
from weighbridge.core.errors import ConfigError, NothingCollected, Unreachable
from weighbridge.core.names import Address, ModelName

if TYPE_CHECKING:
    from weighbridge.core.canonical import JsonValue
    from weighbridge.watch.news import News
    from weighbridge.watch.state import Watch
    from weighbridge.watch.updates import Update


@click.group("watch")
def watch_command() -> None:
    """Look again, and again, at where models came from; what changed there is judged before any of it comes in."""


for _command in (daemon_command, test_notify_command, health_command):
    watch_command.add_command(_command)


@watch_command.command(
    "add",
    epilog="\b\nExamples:\n  weighbridge watch add org/name\n  weighbridge watch add org/name org/other --channel production\n"
    "  weighbridge watch add org/name --ref v1.2",
)
@click.argument("models", nargs=-1, required=True, metavar="MODEL...")
@click.option("--ref", default="", metavar="REF", help="The branch or tag to look at (default: main).")
@click.option("--channel", default="", metavar="NAME", help="Compare with the revision that this channel points to.")
@common
def add_command(home: Home, output: Output, /, *, models: tuple[str, ...], ref: str, channel: str) -> int:
    """Watch models on the Hub: org/name, or hf://org/name@REF. A second time changes the ref or channel."""
    from weighbridge.cli.yard import OpenYard
    from weighbridge.watch.state import Watch, WatchBook

    watches = []
    for model in models:
        name, named = _named(model)
        if ref and named and ref != named:
            raise click.UsageError(f"'{model}' and --ref {ref} name two refs")
        watches.append(Watch(name, ref or named or "main", channel))
    with OpenYard(home, output) as yard:
        book = WatchBook(yard.ledger(writing=True))
        records: list[JsonValue] = []
        for watch in watches:
            new = book.add(watch, actor=yard.actor)
            records.append({**_record(book.get(watch.model_name)), "new": new})
            if not output.as_json:
                output.line(f"{watch.model_name}\t{watch.ref}\t{'watched' if new else 'watched already'}")
            catalog = yard.ledger().catalog()
            if not catalog.revisions(watch.model_name):
                output.say(f"  nothing of it is here to compare with: weighbridge ingest hf://{watch.model_name}")
            elif watch.channel and watch.channel not in catalog.channels(watch.model_name):
                output.say(
                    f"  channel '{watch.channel}' points to nothing of it yet: until then another revision is compared"
                )
        if output.as_json:
            output.document(records)
        output.say("Look now: weighbridge watch run")
    return 0


@watch_command.command("list", epilog="\b\nExamples:\n  weighbridge watch list\n  weighbridge watch list --json")
@common
def list_command(home: Home, output: Output, /) -> int:
    """List what is watched."""
    from weighbridge.cli.yard import OpenYard
    from weighbridge.watch.state import WatchBook

    with OpenYard(home, output) as yard:
        book = WatchBook(yard.ledger()).refresh() if yard.has_ledger else None
        watches = book.watches() if book is not None else []
        if output.as_json:
            output.document([_record(one) for one in watches])
            return 0
        looks = {one.model_name: book.checked(one.model_name) for one in watches} if book is not None else {}
        rows = []
        for one in watches:
            look = looks[one.model_name]
            at = look.at[:16] if look is not None else "never"
            rows.append((str(one.model_name), one.ref, one.channel or "-", one.added_by, at))
        columns = ("model", "ref", "channel", "added by", "last recorded look")
        output.table(columns, rows, spare=("added by", "channel", "ref"))
        if not watches:
            output.say("Nothing is watched: weighbridge watch add org/name")
    return 0


@watch_command.command("remove", epilog="\b\nExample:\n  weighbridge watch remove org/name")
@click.argument("models", nargs=-1, required=True, metavar="MODEL...")
@common
def remove_command(home: Home, output: Output, /, *, models: tuple[str, ...]) -> int:
    """Watch models no longer; what was told of them stays in the ledger."""
    from weighbridge.cli.yard import OpenYard
    from weighbridge.watch.state import WatchBook

    names = [_named(model)[0] for model in models]
    with OpenYard(home, output) as yard:
        book = WatchBook(yard.ledger(writing=True)).refresh()
        for name in names:
            book.get(name)
        for name in dict.fromkeys(names):
            book.remove(name, actor=yard.actor)
            if not output.as_json:
                output.line(f"{name}\tno longer watched")
        if output.as_json:
            output.document([str(name) for name in dict.fromkeys(names)])
    return 0


@watch_command.command(
    "run",
    epilog="\b\nExamples:\n  weighbridge watch run                       one look at everything that is watched\n"
    "  weighbridge watch run org/name --fail-on high\n  weighbridge watch run --json                one document for each news",
)
@click.argument("models", nargs=-1, metavar="[MODEL]...")
@click.option("--hub", default=None, metavar="URL", help="The Hub's endpoint, instead of HF_ENDPOINT.")
@fail_on_option("never")
@common
def run_command(home: Home, output: Output, /, *, models: tuple[str, ...], hub: str | None, fail_on: str) -> int:
    """Look upstream once, and tell what is new.

    A new revision is compared with the stored one and judged by policy where it lies, by ranged reads. What policy lets pass by
    itself comes in; for the rest a request is filed. Stored revisions that older rules inspected are inspected again. News are
    told once; `weighbridge updates` shows what stands. Exits 0, or 1 when there was no answer about any model; with --fail-on
    11 to 14 by the gravest news.
    """
    from weighbridge.cli.noticing import telling
    from weighbridge.cli.watching import surroundings
    from weighbridge.cli.yard import OpenYard
    from weighbridge.watch.rounds import run_round

    names = [_named(model)[0] for model in models]
    risks = []
    count = 0
    with (
        OpenYard(home, output, {"hub.endpoint": hub}) as yard,
        cancellable(output) as cancelled,
        surroundings(yard, cancelled) as around,
        telling(yard, cancelled),
    ):
        if output.rich_talk:
            around = replace(
                around, begins=lambda name, number, count: output.say(f"looking at {name} ({number} of {count})")
            )
        for news in run_round(around, names, cancelled=cancelled):
            count += 1
            risks += [news.risk] if news.risk else []
            if output.as_json:
                output.document(news.to_json())
            else:
                _show(output, news)
        book = around.book.refresh()
        looks = {one.model_name: book.checked(one.model_name) for one in book.watches()}
        asked = [look for name, look in looks.items() if not names or name in names]
        silent = sum(look is not None and bool(look.failing_since) for look in asked)
        if not output.as_json:
            output.say(_came_to(count, len(asked), silent))
    code = severity_code(max(risks, default=None), fail_on)
    return code or (Unreachable.exit_code if silent and silent == len(asked) else 0)


@click.command("updates", epilog="\b\nExamples:\n  weighbridge updates\n  weighbridge updates org/name --json")
@click.argument("models", nargs=-1, metavar="[MODEL]...")
@common
def updates_command(home: Home, output: Output, /, *, models: tuple[str, ...]) -> int:
    """Show how what is here stands to what is upstream, as the last look saw it; nobody is asked anything."""
    from weighbridge.admit.requests import RequestBook
    from weighbridge.cli.yard import OpenYard
    from weighbridge.store.ledger import now_rfc3339
    from weighbridge.watch.state import WatchBook
    from weighbridge.watch.updates import updates

    names = {_named(model)[0] for model in models}
    with OpenYard(home, output) as yard:
        found: list[Update] = []
        if yard.has_ledger:
            book = WatchBook(yard.ledger()).refresh()
            for name in names:
                book.get(name)
            approved, requests = yard.approved().address, RequestBook(yard.ledger())
            found = list(updates(yard.ledger(), book, requests, approved=approved, now=now_rfc3339(), of=names or None))
        elif names:
            raise NothingCollected(f"{min(names)} is not watched", hint=f"Watch it: weighbridge watch add {min(names)}")
        if output.as_json:
            output.document([one.to_json() for one in found])
            return 0
        columns = ("model", "ours", "upstream", "what changed", "risk", "judgement", "request")
        rows = [row for one in found for row in _rows(one)]
        output.table(columns, rows, spare=("ours", "request", "upstream", "risk"))
        for one in found:
            for before in one.superseded:
                taken = before.superseded
                by = f"request {taken.request}" if taken and taken.request else one.upstream[:12]
                output.say(f"request {before.number} for {before.wanted} is superseded by {by}")
            if one.failing_since:
                output.say(f"{one.model_name}: no answer from upstream since {one.failing_since[:16]}")
        if not found:
            output.say("Nothing is watched: weighbridge watch add org/name")
        elif any(one.request for update in found for one in update.news):
            output.say("Decide on a request: weighbridge requests show NUMBER")
    return 0


def _came_to(news: int, models: int, silent: int) -> str:
    """What a round came to, in a line."""
    if not models:
        return "Nothing is watched: weighbridge watch add org/name"
    found = f"{news} news" if news else "nothing new"
    return f"{found}; no answer about {silent} of {plural(models, 'model')}" if silent else found


def _rows(update: Update) -> list[tuple[str, ...]]:
    head = (str(update.model_name), update.ours[:12] or "-", update.upstream[:12] or "-")
    if not update.news:
        same = bool(update.ours) and update.ours == update.upstream
        words = "never looked at" if not update.checked_at else "nothing" if same else "nothing new"
        if update.checked_at and not update.ours:
            words = "nothing of it is here to compare with"
        return [(*head, words, "-", "-", "-")]
    return [
        (
            *head,
            printable(one.summary.removeprefix(f"{one.model_name} has a ")),
            one.risk.label if one.risk else "none",
            one.judgement.value,
            str(one.request or "-"),
        )
        for one in update.news
    ]


def _show(output: Output, news: News) -> None:
    risk = news.risk.label if news.risk else "none"
    request = f"\trequest {news.request}" if news.request else ""
    output.line(
        f"{news.model_name}\t{news.kind.value}\t{risk}\t{news.judgement.value}\t{printable(news.summary)}{request}"
    )
    for reason in news.reasons:
        output.say(f"  {printable(reason)}")


def _record(watch: Watch) -> dict[str, JsonValue]:
    return {
        "model": str(watch.model_name),
        "ref": watch.ref,
        "channel": watch.channel,
        "added_at": watch.added_at,
        "added_by": watch.added_by,
    }


def _named(text: str) -> tuple[ModelName, str]:
    """A model on the Hub and the ref that is named, "" for none.

    Raises:
        ConfigError: it is none.
    """
    address = Address.parse(text if "://" in text else f"hf://{text}")
    if address.scheme != "hf":
        raise ConfigError(f"'{text}' is no model on the Hub", hint="Write org/name, or hf://org/name@REF.")
    return ModelName.parse(address.location), address.ref
