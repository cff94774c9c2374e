"""What the Hub route answers to each question: an engine that downloads the model by its name from the Hub.

The checks are those that a person could look up: settings of the reference, the owner, the Hub's own scan, the formats, and what
a recorded client contacted. Some can only ever be partly met there, and say why; others the Hub answers better than a bucket.
"""

from __future__ import annotations

from typing import Final

from weighbridge.posture.hub_checks import (
    BRING_IN,
    DISABLED,
    FLAGGED,
    LOOK,
    NOT_MET,
    PARTLY,
    TAKEN_OVER,
    UNPINNED,
    UNSAFE_FORMATS,
)
from weighbridge.posture.judging import Check, Judge, some
from weighbridge.posture.report import Words
from weighbridge.posture.route_checks import ASSESS_AGAIN, BEHAVIOUR_CHECKS, latency

CONTROL: Final = Judge(
    Words("The recorded client contacted nobody."),
    (
        Check(
            NOT_MET,
            ("hub.egress.hosts",),
            lambda view: bool(view.items("hub.egress.hosts")),
            Words("The engine must reach hosts that others run: %(hosts)s."),
            BRING_IN,
            lambda view: {"hosts": some(view.names("hub.egress.hosts"))},
        ),
        Check(
            PARTLY,
            ("hub.owner.name", "hub.private"),
            lambda view: isinstance(view.text("hub.owner.name"), str) and not view.flag("hub.private"),
            Words("%(owner)s and the Hub decide who may read and change the repository, and for how long it is there."),
            BRING_IN,
            lambda view: {"owner": view.text("hub.owner.name")},
        ),
    ),
)
SCANNING: Final = Judge(
    Words(""),
    (
        FLAGGED,
        UNPINNED,
        Check(
            NOT_MET,
            ("hub.scan.files", "hub.scan.not_scanned"),
            lambda view: bool(view.items("hub.scan.not_scanned")) or not view.items("hub.scan.files"),
            Words(
                "Nothing stands between the repository and the engine, and the Hub itself has not scanned: %(paths)s."
            ),
            LOOK,
            lambda view: {"paths": some(view.names("hub.scan.not_scanned")) or "*"},
        ),
        Check(
            PARTLY,
            (),
            lambda _view: True,
            Words("The Hub scanned every file, but its scan shows a badge and stops no download."),
            LOOK,
        ),
    ),
)
LATENCY: Final = latency("hub.load_seconds")
RESPONSIBILITY: Final = Judge(
    Words(""),
    (
        Check(
            NOT_MET,
            ("hub.egress.token_sent", "hub.egress.token_hosts"),
            lambda view: view.flag("hub.egress.token_sent") and len(view.items("hub.egress.token_hosts")) > 1,
            Words("The engine holds a token of the Hub and sends it to more than one host: %(hosts)s."),
            Words("Give the engine no token, or one that reads this model alone."),
            lambda view: {"hosts": some(view.names("hub.egress.token_hosts"))},
        ),
        Check(
            PARTLY,
            (),
            lambda _view: True,
            Words(
                "The Hub's operator looks after storage and its scans; tokens, network and engine stay with you all the same."
            ),
            Words(
                "Write down who answers for the token, the network and the engine; or bring the model in and answer for all of it."
            ),
        ),
    ),
)
TAMPER: Final = Judge(
    Words(""),
    (
        UNPINNED,
        Check(
            PARTLY,
            ("hub.commit.signed",),
            lambda _view: True,
            Words(
                "A commit names its content by digests, but no common client checks the weights against them when it loads. "
                "The commit is %(signed)s."
            ),
            BRING_IN,
            lambda view: {"signed": Words("signed") if view.flag("hub.commit.signed") else Words("not signed")},
        ),
    ),
)
VERSIONS: Final = Judge(
    Words("The commit is named, and the history (commits: %(count)s) says what changed."),
    (
        UNPINNED,
        Check(
            PARTLY,
            ("hub.history.commits",),
            lambda view: view.number("hub.history.commits") == 0,
            Words("The Hub shows no history to tell versions apart by."),
            BRING_IN,
        ),
    ),
    lambda view: {"count": view.number("hub.history.commits")},
)
CONVENIENCE: Final = Judge(
    Words("One name is enough: every common library loads it, with nothing to set up."),
    (
        DISABLED,
        Check(
            PARTLY,
            ("hub.gated",),
            lambda view: bool(view.word("hub.gated")),
            Words(
                "The repository is gated: a person has to ask for access, and every engine needs that person's token."
            ),
            BRING_IN,
        ),
        Check(
            PARTLY,
            ("hub.private",),
            lambda view: view.flag("hub.private"),
            Words("The repository is private: every engine needs a token."),
            BRING_IN,
        ),
    ),
)
COMMUNITY: Final = Judge(
    Words(
        "Many use it (downloads: %(downloads)s, likes: %(likes)s). A weak signal: numbers can be bought, and say nothing of a new commit."
    ),
    (
        Check(
            NOT_MET,
            ("hub.downloads", "hub.likes"),
            lambda view: view.number("hub.downloads") < 100 and view.number("hub.likes") < 10,
            Words("Hardly anybody uses it (downloads: %(downloads)s, likes: %(likes)s)."),
            Words(
                "Look for the model under its publisher's own name, or look at it the harder: weighbridge scan hf://%(model)s"
            ),
            lambda view: {"downloads": view.number("hub.downloads"), "likes": view.number("hub.likes")},
        ),
        Check(
            PARTLY,
            ("hub.downloads", "hub.likes"),
            lambda view: (
                (view.number("hub.downloads") < 10_000 or view.number("hub.likes") < 100)
                and (view.number("hub.downloads") >= 100 or view.number("hub.likes") >= 10)
            ),
            Words("Some use it (downloads: %(downloads)s, likes: %(likes)s): too few to go by."),
            Words(
                "Look for the model under its publisher's own name, or look at it the harder: weighbridge scan hf://%(model)s"
            ),
            lambda view: {"downloads": view.number("hub.downloads"), "likes": view.number("hub.likes")},
        ),
    ),
    lambda view: {"downloads": view.number("hub.downloads"), "likes": view.number("hub.likes")},
)
BUILT_IN_SCANNING: Final = Judge(
    Words("The Hub scanned every file (%(count)s) and warns of none: one signal, and a weak one."),
    (
        FLAGGED,
        Check(
            NOT_MET,
            ("hub.scan.files",),
            lambda view: not view.items("hub.scan.files"),
            Words("The Hub tells of no scan at all."),
            LOOK,
        ),
        Check(
            PARTLY,
            ("hub.scan.not_scanned",),
            lambda view: bool(view.items("hub.scan.not_scanned")),
            Words("Not scanned, which is not the same as clean: %(paths)s."),
            LOOK,
            lambda view: {"paths": some(view.names("hub.scan.not_scanned"))},
        ),
    ),
    lambda view: {"count": len(view.items("hub.scan.files"))},
)
DEPENDENCY: Final = Judge(
    Words(""),
    (
        Check(
            NOT_MET,
            ("hub.revision.commit", "hub.gated", "hub.private"),
            lambda view: bool(view.word("hub.gated")) or view.flag("hub.private"),
            Words("Each start needs the Hub, and a token whose grant others can take back."),
            BRING_IN,
        ),
        Check(
            NOT_MET,
            ("hub.revision.commit",),
            lambda view: isinstance(view.text("hub.revision.commit"), str),
            Words(
                "Each start with an empty cache needs the Hub: when it is away, limits you or removes the model, nothing starts."
            ),
            BRING_IN,
        ),
    ),
)
MALICIOUS: Final = Judge(
    Words(""),
    (
        FLAGGED,
        TAKEN_OVER,
        UNSAFE_FORMATS,
        UNPINNED,
        Check(
            NOT_MET,
            ("hub.secrets",),
            lambda view: bool(view.items("hub.secrets")),
            Words("Credentials lie open in the repository, so its account may be in other hands: %(paths)s."),
            Words(
                "Tell the owner, and take no newer commit before a person has compared the two: weighbridge diff %(model)s hf://%(model)s"
            ),
            lambda view: {"paths": some(view.names("hub.secrets"))},
        ),
        Check(
            PARTLY,
            (),
            lambda _view: True,
            Words(
                "A pinned commit cannot be changed by a stolen account; that the commit itself is harmless, only the Hub's badges say."
            ),
            LOOK,
        ),
    ),
)
AUTHENTICITY: Final = Judge(
    Words(""),
    (
        Check(
            NOT_MET,
            ("hub.history.renamed",),
            lambda view: view.flag("hub.history.renamed"),
            Words("Another repository answers to this name: it was renamed, or the name was taken over."),
            Words("Name the repository that you mean, and find out who owns it now."),
        ),
        TAKEN_OVER,
        Check(
            NOT_MET,
            ("hub.owner.verified", "hub.commit.signed"),
            lambda view: not view.flag("hub.owner.verified") and not view.flag("hub.commit.signed"),
            Words(
                "The owner is not verified and the commit is not signed: nothing ties it to its publisher but a name."
            ),
            Words(
                "Compare the digests with what the publisher says elsewhere, and keep them: weighbridge ingest hf://%(model)s@%(commit)s"
            ),
        ),
        Check(
            PARTLY,
            ("hub.owner.verified", "hub.commit.signed"),
            lambda view: view.flag("hub.owner.verified") or view.flag("hub.commit.signed"),
            Words("Owner: %(verified)s. Commit: %(signed)s. A client that loads checks neither."),
            BRING_IN,
            lambda view: {
                "verified": Words("verified by the Hub") if view.flag("hub.owner.verified") else Words("not verified"),
                "signed": Words("signed") if view.flag("hub.commit.signed") else Words("not signed"),
            },
        ),
    ),
)
EXPOSURE: Final = Judge(
    Words("The recorded client contacted nobody, so it told nobody anything."),
    (
        Check(
            NOT_MET,
            ("hub.egress.token_sent", "hub.egress.hosts"),
            lambda view: view.flag("hub.egress.token_sent"),
            Words("A token was sent to hosts of others; contacted were: %(hosts)s."),
            BRING_IN,
            lambda view: {"hosts": some(view.names("hub.egress.hosts"))},
        ),
        Check(
            PARTLY,
            ("hub.egress.model_named", "hub.egress.user_agent", "hub.egress.hosts"),
            lambda view: view.flag("hub.egress.model_named"),
            Words("Others learn which model you run, from where, and with what software: %(agent)s."),
            BRING_IN,
            lambda view: {"agent": view.text("hub.egress.user_agent") or "-"},
        ),
        Check(
            PARTLY,
            ("hub.egress.hosts",),
            lambda view: bool(view.items("hub.egress.hosts")),
            Words("Hosts of others were contacted: %(hosts)s."),
            BRING_IN,
            lambda view: {"hosts": some(view.names("hub.egress.hosts"))},
        ),
    ),
)
REMOTE_CODE: Final = Judge(
    Words("No code comes with it, and none of its formats can run any."),
    (
        Check(
            NOT_MET,
            ("hub.code",),
            lambda view: any("#" in one for one in view.names("hub.code")),
            Words("Its configuration asks loaders to run code of the repository: %(paths)s."),
            Words(
                "Load without trust_remote_code, or take the code out, with proof: weighbridge remediate %(model)s --strip-remote-code"
            ),
            lambda view: {"paths": some(view.names("hub.code"))},
        ),
        UNSAFE_FORMATS,
        Check(
            PARTLY,
            ("hub.code",),
            lambda view: bool(view.items("hub.code")) and not any("#" in one for one in view.names("hub.code")),
            Words("Python files come with it, though no configuration asks for them: %(paths)s."),
            Words(
                "Load without trust_remote_code, or take the code out, with proof: weighbridge remediate %(model)s --strip-remote-code"
            ),
            lambda view: {"paths": some(view.names("hub.code"))},
        ),
    ),
)
BEHAVIOUR: Final = Judge(
    Words(""),
    (
        *BEHAVIOUR_CHECKS,
        UNPINNED,
        Check(
            PARTLY,
            ("evaluation.result", "hub.revision.commit"),
            lambda view: view.text("evaluation.result", "commit") != view.text("hub.revision.commit"),
            Words("Another commit was evaluated than the one that the Hub gives."),
            ASSESS_AGAIN,
        ),
        Check(
            PARTLY,
            (),
            lambda _view: True,
            Words(
                "The commit was evaluated and nothing failed; that the engine loaded those very bytes, nothing proves."
            ),
            BRING_IN,
        ),
    ),
)
CHANGES: Final = Judge(
    Words(""),
    (
        UNPINNED,
        Check(
            PARTLY,
            ("hub.owner.kind", "hub.owner.name"),
            lambda view: isinstance(view.text("hub.owner.kind"), str),
            Words(
                "Whoever holds an account of %(owner)s may push and delete; who that is, you neither see nor decide."
            ),
            BRING_IN,
            lambda view: {"owner": view.text("hub.owner.name")},
        ),
    ),
)
LOSS: Final = Judge(
    Words(""),
    (
        DISABLED,
        Check(
            NOT_MET,
            ("hub.revision.still_there",),
            lambda view: view.flag_or_none("hub.revision.still_there") is False,
            Words("The commit that your revision came from is no longer in the history there."),
            Words("Keep the sealed one, and find out why the history was rewritten: weighbridge watch run %(model)s"),
        ),
        Check(
            NOT_MET,
            ("hub.history.renamed",),
            lambda view: view.flag("hub.history.renamed"),
            Words("The repository moved already: the old name works only as long as nobody takes it."),
            BRING_IN,
        ),
        Check(
            PARTLY,
            (),
            lambda _view: True,
            Words("It is there today; its owner or the Hub may delete, hide or gate it at any time."),
            BRING_IN,
        ),
    ),
)
ACCOUNTABILITY: Final = Judge(
    Words(""),
    (
        Check(
            NOT_MET,
            ("hub.history.commits",),
            lambda view: view.number("hub.history.commits") == 0,
            Words("The Hub shows no history."),
            BRING_IN,
        ),
        Check(
            PARTLY,
            (),
            lambda _view: True,
            Words(
                "The history says who published what and when; who looked at it, who let it pass and who loaded it, nobody records."
            ),
            BRING_IN,
        ),
    ),
)
TERMS: Final = Judge(
    Words("The card names a licence: %(licence)s. Whether it fits your use, a person has to say."),
    (
        Check(
            NOT_MET,
            ("hub.licence",),
            lambda view: not view.text("hub.licence"),
            Words("The card names no licence."),
            Words("Ask the publisher for one before you use it."),
        ),
    ),
    lambda view: {"licence": view.text("hub.licence")},
)
