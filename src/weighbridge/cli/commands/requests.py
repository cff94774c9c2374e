"""`weighbridge request` and `weighbridge requests`: ask for a model, and settle what others asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from weighbridge.cli.console import Output
from weighbridge.cli.options import common
from weighbridge.cli.settings import Home
from weighbridge.core.names import ModelName

if TYPE_CHECKING:
    from weighbridge.admit.asking import Request
    from weighbridge.admit.requests import RequestBook
    from weighbridge.cli.yard import OpenYard
    from weighbridge.core.canonical import JsonValue

STATES = ("open", "accepted", "declined", "done", "superseded")


@click.command(
    "request",
    epilog="\b\nExamples:\n  weighbridge request org/name --reason 'for the support desk'\n"
    "  weighbridge request org/name@staging\n"
    "  weighbridge request org/name@1d86952e1cd81aed9a17ec35fa23e3506c305fff",
)
@click.argument("model", metavar="MODEL[@REF]")
@click.option("--reason", default="", metavar="TEXT", help="What for; the reviewer reads it.")
@click.option("--again", is_flag=True, help="Ask once more for what was declined.")
@common
def request_command(home: Home, output: Output, /, *, model: str, reason: str, again: bool) -> int:
    """Ask for a model that is not approved here, for a reviewer to act on.

    Without a REF for what `main` is at its source; with a channel's name or a commit for that.
    """
    from weighbridge.admit.asking import Asking, Source, State, Wanted
    from weighbridge.admit.requests import RequestBook
    from weighbridge.cli.yard import OpenYard

    name, _, ref = model.partition("@")
    wanted = Wanted.of(ModelName.parse(name), ref)
    with OpenYard(home, output) as yard:
        asking = Asking(wanted, Source.PERSON, yard.actor, note=reason)
        book = RequestBook(yard.ledger(writing=True))
        request, new = book.file(asking, again=again)
        if output.as_json:
            output.document({**_record(request, book), "new": new})
            return 0
        output.line(f"{request.number}\t{wanted}\t{request.state.value}")
        if new:
            output.say("A reviewer acts on it: weighbridge requests list")
        elif request.state is State.DECLINED and request.word is not None:
            output.say(f"'{request.word.person}' declined it: {request.word.reason}")
            output.say("Ask once more with --again, and say what is different.")
        else:
            output.say(f"It was asked for on {request.first_at[:10]} already.")
        return 0


@click.group("requests")
def requests_command() -> None:
    """See and settle what people and clients asked for."""


@requests_command.command(
    "list",
    epilog="\b\nExamples:\n  weighbridge requests list\n  weighbridge requests list --state declined\n"
    "  weighbridge requests list --search llama --all --json",
)
@click.option("--state", "states", multiple=True, type=click.Choice(STATES), help="May be repeated (default: open).")
@click.option("--all", "everything", is_flag=True, help="In whatever state.")
@click.option("--search", default="", metavar="TEXT", help="Only models or askers with that in their name.")
@common
def list_command(home: Home, output: Output, /, *, states: tuple[str, ...], everything: bool, search: str) -> int:
    """List requests, the newest first."""
    from weighbridge.admit.requests import RequestBook
    from weighbridge.cli.yard import OpenYard

    wanted = STATES if everything else states or ("open",)
    with OpenYard(home, output) as yard:
        if not yard.has_ledger:
            found, book = [], None
        else:
            book = RequestBook(yard.ledger()).refresh()
            found = [one for one in book.all() if one.state.value in wanted and one.mentions(search)]
        if output.as_json:
            output.document([_record(one, book) for one in found if book is not None])
            return 0
        output.table(
            ("number", "model", "ref", "state", "asked by", "first", "last", "times"),
            [
                (
                    str(one.number),
                    str(one.wanted.model_name),
                    one.wanted.ref[:12] if not one.wanted.channel else one.wanted.ref,
                    one.state.value,
                    _askers(one),
                    one.first_at[:16].replace("T", " "),
                    one.last_at[:16].replace("T", " "),
                    str(one.times),
                )
                for one in found
            ],
            right=("number", "times"),
            spare=("first", "times", "asked by"),
        )
        if not found:
            output.say(f"No requests that are {' or '.join(wanted)}. `weighbridge request org/name` files one.")
        return 0


@requests_command.command(
    "show", epilog="\b\nExamples:\n  weighbridge requests show 17\n  weighbridge requests show 17 --json"
)
@click.argument("number", type=click.IntRange(min=1))
@common
def show_command(home: Home, output: Output, /, *, number: int) -> int:
    """Show one request: who asked, what was said, what came in since, what to do next."""
    from weighbridge.admit.asking import State
    from weighbridge.cli.yard import OpenYard

    with OpenYard(home, output) as yard:
        book = _book(yard, writing=False)
        request = book.get(number)
        rows = yard.ledger().catalog().revisions(request.wanted.model_name)
        there = [row for row in rows if request.wanted.channel or row.revision == request.wanted.ref]
        if output.as_json:
            came = [{"revision": one.revision, "store": one.store, "verdict": one.verdict} for one in there]
            record: dict[str, JsonValue] = {**_record(request, book), "revisions": [*came]}
            output.document(record)
            return 0
        for line in _described(request):
            output.line(line)
        for row in there[-5:]:
            output.line(f"here already: {row.model_name}@{row.revision[:12]} ({row.verdict}) in {row.store}")
        if request.state in (State.OPEN, State.ACCEPTED):
            _say_steps(output, request, book)
        return 0


@requests_command.command(
    "accept",
    epilog="\b\nExamples:\n  weighbridge requests accept 17\n  weighbridge requests accept 17 --ingest",
)
@click.argument("number", type=click.IntRange(min=1))
@click.option("--reason", default="", metavar="TEXT", help="Why, for the ledger and for who asked.")
@click.option("--person", default=None, metavar="NAME", help="Who accepts (default: the one whose key is here).")
@click.option("--ingest", is_flag=True, help="Bring it in now.")
@common
def accept_command(home: Home, output: Output, /, *, number: int, reason: str, person: str | None, ingest: bool) -> int:
    """Accept a request, as a reviewer or admin: it is to be brought in. That approves nothing yet."""
    from weighbridge.admit.asking import next_steps

    with _deciding(home, output, person) as yard:
        book = _book(yard)
        request = _decide(yard, book, number, accepts=True, reason=reason)
        steps = next_steps(request, is_channel=book.is_channel(request.wanted.ref))
        if output.as_json:
            output.document(_record(request, book))
        else:
            output.line(f"{request.number}\t{request.wanted}\taccepted")
            if not ingest:
                _say_steps(output, request, book)
    if not ingest:
        return 0
    from weighbridge.cli.commands.ingest import ingest_command

    more = [word for word, given in (("--json", output.as_json), ("--quiet", output.quiet)) if given]
    code = ingest_command.main(
        ["--home", str(home.path), *more, steps[0][-1]], prog_name="weighbridge ingest", standalone_mode=False
    )
    return code if isinstance(code, int) else 0


@requests_command.command(
    "decline",
    epilog="\b\nExamples:\n  weighbridge requests decline 17 --reason 'its licence forbids our use'\n"
    "  weighbridge requests decline --by token:ci --reason 'names that nobody publishes'",
)
@click.argument("numbers", metavar="[NUMBER]...", nargs=-1, type=click.IntRange(min=1))
@click.option("--by", default="", metavar="ASKER", help="All open requests that this asker filed.")
@click.option("--reason", required=True, metavar="TEXT", help="Why; whoever asks for the model is told.")
@click.option("--person", default=None, metavar="NAME", help="Who declines (default: the one whose key is here).")
@common
def decline_command(
    home: Home, output: Output, /, *, numbers: tuple[int, ...], by: str, reason: str, person: str | None
) -> int:
    """Decline requests, as a reviewer or admin. Clients that ask for the model are told the reason."""
    from weighbridge.admit.asking import State

    if bool(numbers) == bool(by):
        raise click.UsageError("name the numbers of requests, or an asker with --by")
    with _deciding(home, output, person) as yard:
        book = _book(yard)
        if by:
            numbers = tuple(one.number for one in book.all() if one.state is State.OPEN and one.asking.by == by)
        declined = [_decide(yard, book, number, accepts=False, reason=reason) for number in numbers]
        if output.as_json:
            output.document([_record(one, book) for one in declined])
            return 0
        for one in declined:
            output.line(f"{one.number}\t{one.wanted}\tdeclined")
        if not declined:
            output.say(f"There is no open request of {by}.")
        return 0


def _deciding(home: Home, output: Output, person: str | None) -> OpenYard:
    from weighbridge.cli.yard import OpenYard

    return OpenYard(home, output, {"identity.name": person})


def _book(yard: OpenYard, *, writing: bool = True) -> RequestBook:
    from weighbridge.admit.requests import RequestBook
    from weighbridge.core.errors import NothingCollected

    if not yard.has_ledger:
        raise NothingCollected(
            "nothing was ever asked for here", hint="`weighbridge request org/name` files a request."
        )
    return RequestBook(yard.ledger(writing=writing)).refresh()


def _decide(yard: OpenYard, book: RequestBook, number: int, *, accepts: bool, reason: str) -> Request:
    from weighbridge.admit.approvals import Speaker
    from weighbridge.admit.people import roster_of
    from weighbridge.cli.identity import acting

    book.get(number)
    speaker = Speaker(*acting(yard))
    return book.decide(number, speaker, roster_of(yard.ledger()), accepts=accepts, reason=reason)


def _record(request: Request, book: RequestBook) -> dict[str, JsonValue]:
    from weighbridge.admit.asking import next_steps

    asking, word, taken = request.asking, request.word, request.superseded
    steps = next_steps(request, is_channel=book.is_channel(request.wanted.ref))
    return {
        "number": request.number,
        "model": str(request.wanted.model_name),
        "ref": request.wanted.ref,
        "state": request.state.value,
        "source": asking.source.value,
        "by": asking.by,
        "address": asking.address,
        "note": asking.note,
        "evidence": asking.evidence,
        "first_at": request.first_at,
        "last_at": request.last_at,
        "times": request.times,
        "askers": list(request.askers),
        "person": word.person if word else "",
        "reason": word.reason if word else "",
        "decided_at": word.at if word else "",
        "done_revision": request.done_revision,
        "done_at": request.done_at,
        "superseded_by": taken.by if taken else "",
        "superseded_by_request": taken.request if taken else 0,
        "superseded_at": taken.at if taken else "",
        "next": [list(step) for step in steps],
    }


def _described(request: Request) -> list[str]:
    asking, word = request.asking, request.word
    whence = {"gateway": "at the gateway", "person": "by hand", "watch": "by watching upstream"}[asking.source.value]
    lines = [
        f"request {request.number}: {request.wanted}, {request.state.value}",
        f"asked {whence} by {_askers(request)}, {_often(request)}",
    ]
    if asking.note:
        lines.append(f"reason: {asking.note}")
    for name, value in asking.evidence.items():
        lines += _shown(name, value)
    if word is not None:
        said = "accepted" if word.accepts else "declined"
        lines.append(f"{said} by {word.person} at {word.at[:16]}" + (f": {word.reason}" if word.reason else ""))
    if request.superseded is not None:
        taken = request.superseded
        asked = f" (request {taken.request})" if taken.request else ""
        lines.append(f"superseded at {taken.at[:16]} by {taken.by}{asked}")
    if request.done_revision:
        lines.append(f"done at {request.done_at[:16]}: {request.wanted} is {request.done_revision}")
    return lines


def _shown(name: str, value: JsonValue) -> list[str]:
    """A piece of evidence: a line, or one for each part of it."""
    if isinstance(value, list):
        return [f"{name}:", *(f"  {_flat(one)}" for one in value)] if value else []
    return [f"{name}: {_flat(value)}"]


def _flat(value: JsonValue) -> str:
    return "  ".join(str(one) for one in value.values() if one != "") if isinstance(value, dict) else str(value)


def _often(request: Request) -> str:
    if request.times == 1:
        return f"once, at {request.first_at[:16]}"
    return f"{request.times} times from {request.first_at[:16]} to {request.last_at[:16]}"


def _askers(request: Request) -> str:
    first = request.asking.by + (f" ({request.asking.address})" if request.asking.address else "")
    return f"{first} and {len(request.askers) - 1} more" if len(request.askers) > 1 else first


def _say_steps(output: Output, request: Request, book: RequestBook) -> None:
    from weighbridge.admit.asking import next_steps

    output.say("next:")
    for step in next_steps(request, is_channel=book.is_channel(request.wanted.ref)):
        output.say("  " + " ".join('"…"' if word == "…" else word for word in step))
