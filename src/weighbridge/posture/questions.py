"""The questions of a posture report, and the report that a dossier gives: what is asked, who answers for each route."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from weighbridge.core.shown import plain
from weighbridge.posture import judge_bucket, judge_hub
from weighbridge.posture.evidence import Dossier
from weighbridge.posture.judging import Judge
from weighbridge.posture.recommending import recommend
from weighbridge.posture.report import Posture, Route, Row, Words


@dataclass(frozen=True, slots=True)
class Question:
    """One question: its stable id, its title, what `met` takes, and the judge of each route."""

    id: str
    title: Words
    asks: Words
    hub: Judge
    bucket: Judge

    def judge(self, route: Route) -> Judge:
        """Who answers for a route."""
        return self.hub if route is Route.HUB else self.bucket


def _question(id_: str, title: Words, asks: Words) -> Question:
    name = id_.upper()
    return Question(id_, title, asks, getattr(judge_hub, name), getattr(judge_bucket, name))


QUESTIONS: Final = (
    _question(
        "control",
        Words("Control and isolation"),
        Words("You alone decide who reads and changes it, and the engine reaches nothing outside."),
    ),
    _question(
        "scanning",
        Words("Scanning before deployment"),
        Words("Every byte is inspected before anything loads it, and what is bad or unknown is stopped."),
    ),
    _question("latency", Words("Load latency"), Words("The whole model is loaded within ten minutes.")),
    _question(
        "responsibility",
        Words("Responsibility for internal security"),
        Words("It is settled who answers for what, and what falls to you is done."),
    ),
    _question(
        "tamper",
        Words("Tamper protection"),
        Words("What was judged cannot be replaced unseen: it is named by digests, checked, and locked."),
    ),
    _question(
        "versions",
        Words("Updates and versions"),
        Words("The version is named and stays; news from upstream are seen; there is a way back."),
    ),
    _question("convenience", Words("Convenience"), Words("A name is enough to load it, with nothing to run yourself.")),
    _question("community", Words("Community signals"), Words("Many others use it and would notice what is wrong with it.")),
    _question(
        "built_in_scanning",
        Words("Built-in scanning"),
        Words("Where the model lies, every file is scanned by itself, and nothing is flagged."),
    ),
    _question("dependency", Words("External dependency"), Words("The engine starts while everything outside is away.")),
    _question(
        "malicious",
        Words("Malicious model or stolen account"),
        Words("A harmful commit does not reach the engine, however it was published."),
    ),
    _question(
        "authenticity", Words("Authenticity"), Words("The bytes are proven to be those of the publisher's commit.")
    ),
    _question("exposure", Words("Data exposure"), Words("Nobody outside learns what you run, nor gets at it.")),
    _question("remote_code", Words("Remote code"), Words("No code that came with the model can run.")),
    _question(
        "behaviour", Words("Behaviour"), Words("The very revision was evaluated, and what it answers is within your limits.")
    ),
    _question("changes", Words("Who may change or delete it"), Words("Only named people and roles can, and nobody by an old link.")),
    _question("loss", Words("Loss and deletion"), Words("It is still there after a mistake, an attack, or a change of mind elsewhere.")),
    _question("accountability", Words("Audit trail"), Words("Who brought it in, let it pass and read it is on record, and the record is proven.")),
    _question("terms", Words("Licence"), Words("The terms are known, and were judged.")),
)  # fmt: skip
BY_ID: Final = {one.id: one for one in QUESTIONS}


def judge(dossier: Dossier) -> Posture:
    """The report that a dossier gives: the same facts, the same report."""
    rows = tuple(
        Row(one.id, one.title, one.hub(dossier), one.bucket(dossier), one.asks) for one in QUESTIONS
    )  # fmt: skip
    return Posture(_text(dossier, "report.model"), _revision(dossier), rows, recommend(rows), dossier)


def _text(dossier: Dossier, id_: str) -> str:
    fact = dossier.facts.get(id_)
    return plain(fact.value) if fact is not None and isinstance(fact.value, str) else ""


def _revision(dossier: Dossier) -> str:
    """The sealed revision, else the Hub's commit, else nothing."""
    fact = dossier.facts.get("crossing.manifest")
    if fact is not None and isinstance(fact.value, dict) and isinstance(found := fact.value.get("revision"), str):
        return plain(found)
    return _text(dossier, "hub.revision.commit")
