"""Requests in the catalog: the list, asking for a model, and a reviewer's word on it. Blocks, so it runs in threads.

Rules:

- a person of the ledger may ask, whatever the role; whoever the provider knows and nobody here does may not, nor an access token;
- accepting and declining need a reviewer's login, passed on by the gateway's key as an approval is, and are about the state
  that the page showed;
- a model that a visitor's token does not cover is not there for that visitor.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from weighbridge.admit.approvals import Speaker
from weighbridge.admit.asking import Asking, Request, Source, State, Wanted, next_steps
from weighbridge.admit.requests import RequestBook
from weighbridge.core.errors import ConfigError, Denied, NothingCollected
from weighbridge.core.names import ModelName
from weighbridge.serve.web_acts import gateway_of
from weighbridge.serve.web_data import Shelf, WebSources
from weighbridge.serve.web_rows import Page, paged, pager
from weighbridge.serve.web_session import Visitor
from weighbridge.serve.web_views import MAX_WORDS

REQUESTS_A_PAGE: Final = 20
ON_THE_QUEUE: Final = 3
ANY_STATE: Final = "all"
STATES: Final = tuple(state.value for state in State)
_ACTS: Final = {"accept": True, "decline": False}
_DIGITS: Final = 15


@dataclass(frozen=True, slots=True)
class Shown:
    """A request as a page shows it: with the command that brings it in, and whether something of the model is here."""

    request: Request
    ingest: str
    here: bool


class Desk:
    """Where requests are seen and settled. Thread-safe. Raises `WeighbridgeError` for what cannot be read or done."""

    def __init__(self, sources: WebSources, shelf: Shelf) -> None:
        self._sources = sources
        self._shelf = shelf
        self._book = RequestBook(sources.ledger)

    def page(self, words: Mapping[str, str], visitor: Visitor) -> Page:
        """All requests, searched and by state."""
        asked = {name: words.get(name, "")[:MAX_WORDS].strip() for name in ("q", "state", "model")}
        seen = self._seen(visitor)
        state = asked["state"] if asked["state"] in (*STATES, ANY_STATE) else State.OPEN.value
        fits = [one for one in seen if one.mentions(asked["q"])]
        chosen = [one for one in fits if state in (one.state.value, ANY_STATE)]
        number, shown = paged(chosen, words, REQUESTS_A_PAGE)
        context = {
            "requests": [self._shown(one) for one in shown],
            "asked": {**asked, "state": state},
            "counts": {name: sum(one.state.value == name for one in fits) for name in STATES} | {ANY_STATE: len(fits)},
            **self._rights(visitor),
            **pager(number, len(chosen), REQUESTS_A_PAGE, {"q": asked["q"], "state": state}),
        }
        return Page("web_requests", context)

    def waiting(self, visitor: Visitor) -> Mapping[str, object]:
        """What the queue's page says of open requests: the newest ones, and how many there are."""
        opened = [one for one in self._seen(visitor) if one.state is State.OPEN]
        rights = {f"requests_{name}": value for name, value in self._rights(visitor).items()}
        return {"requests": [self._shown(one) for one in opened[:ON_THE_QUEUE]], "open_requests": len(opened), **rights}

    def find(self, number: int) -> Request | None:
        """The request of that number, None where there is none."""
        try:
            return self._book.refresh().get(number)
        except NothingCollected:
            return None

    def perform(self, act: str, visitor: Visitor, form: Mapping[str, str]) -> str:
        """Does what a form asks for, and says what was done.

        Raises:
            Denied: the visitor may not, or says nothing where a reason is needed.
            Conflict: the request is no longer as it was shown.
            NothingCollected: there is no such act, model or request.
        """
        if act == "ask":
            return self._ask(visitor, form)
        if act not in _ACTS:
            raise NothingCollected("there is no such act")
        return self._decide(visitor, form, accepts=_ACTS[act])

    def _ask(self, visitor: Visitor, form: Mapping[str, str]) -> str:
        person = visitor.person and self._shelf.roster().person(visitor.person)
        if not visitor.login or not person or visitor.login not in person.logins:
            raise Denied("you may not ask for models here", rules=("unknown-person",), hint=_why_not_ask(visitor))
        try:
            model = ModelName.parse(form.get("model", "").strip().removeprefix("hf://"))
            wanted = Wanted.of(model, form.get("ref", "").strip())
        except ConfigError as error:
            raise ConfigError(error.message.encode("ascii", "backslashreplace").decode(), hint=error.hint) from error
        asking = Asking(wanted, Source.PERSON, person.name, note=form.get("reason", "").strip())
        request, new = self._book.file(asking, again=form.get("again", "") == "yes")
        if new:
            return f"You asked for {wanted}: request {request.number} waits for a reviewer."
        state = "waits for a reviewer" if request.state is State.OPEN else f"was {request.state.value}"
        return f"{wanted} is asked for already: request {request.number} {state}."

    def _decide(self, visitor: Visitor, form: Mapping[str, str], *, accepts: bool) -> str:
        roster, signer = self._shelf.roster(), self._sources.gateway_signer
        if not visitor.login or not visitor.may_decide:
            raise Denied("you may not decide here", rules=("not-a-reviewer",), hint=_why_not_decide(visitor))
        gateway = gateway_of(self._sources, roster)
        if gateway is None or signer is None:
            raise Denied(
                "this gateway may not pass on what people say",
                rules=("not-a-gateway",),
                hint="An admin admits it: weighbridge people add NAME --role gateway --key FILE.pub",
            )
        number, seen = form.get("number", ""), form.get("seen", "")
        if not (number.isascii() and number.isdecimal() and len(number) <= _DIGITS) or seen not in STATES:
            raise NothingCollected("there is no such request")
        request = self._book.refresh().get(int(number))
        if not visitor.sees(request.wanted.model_name):
            raise NothingCollected("there is no such request")
        speaker = Speaker(visitor.person, signer, gateway.name, visitor.login)
        reason = form.get("reason", "").strip()
        done = self._book.decide(request.number, speaker, roster, accepts=accepts, reason=reason, seen=State(seen))
        if not accepts:
            return f"You declined request {done.number}. Whoever asks for {done.wanted} is told why."
        return f"You accepted request {done.number}. Bring it in: {self._shown(done).ingest}"

    # --- shared

    def _seen(self, visitor: Visitor) -> list[Request]:
        return [one for one in self._book.refresh().all() if visitor.sees(one.wanted.model_name)]

    def _shown(self, request: Request) -> Shown:
        steps = next_steps(request, is_channel=self._book.is_channel(request.wanted.ref))
        here = bool(self._sources.ledger.catalog().revisions(request.wanted.model_name))
        return Shown(request, " ".join(steps[0]), here)

    def _rights(self, visitor: Visitor) -> dict[str, object]:
        """Which forms are shown, and why not the others."""
        passes = gateway_of(self._sources, self._shelf.roster()) is not None
        return {
            "may_settle": visitor.may_decide and passes,
            "may_ask": bool(visitor.person),
            "why_not_ask": "" if visitor.person else _why_not_ask(visitor),
        }


def _why_not_ask(visitor: Visitor) -> str:
    if not visitor.known:
        return "Log in to ask for a model."
    if visitor.kind == "token":
        return "An access token reads these pages. To ask for a model, log in by single sign-on, or let a client ask for it."
    return f"Nobody here has the login {visitor.login}. An admin adds it to a person."


def _why_not_decide(visitor: Visitor) -> str:
    if visitor.person:
        return "An admin makes you a reviewer: weighbridge people add NAME --role reviewer"
    return "Log in by single sign-on, as a person whom an admin made a reviewer."
