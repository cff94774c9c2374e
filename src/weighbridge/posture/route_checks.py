"""Checks that both routes share: how long loading takes, and what an evaluation found."""

from __future__ import annotations

from typing import Final

from weighbridge.posture.judging import Check, Judge, Values, View, some
from weighbridge.posture.report import Standing, Words

PARTLY, NOT_MET = Standing.PARTLY, Standing.NOT_MET

LATENCY_STEP: Final = Words("Keep the weights nearer to the engine, or load them in parallel ranges.")


def latency(id_: str) -> Judge:
    """The judge of a measured time to load the whole model, in seconds."""

    def shows(view: View) -> Values:
        return {"seconds": view.number(id_)}

    return Judge(
        Words("Seconds until the whole model is there, at the measured rate: %(seconds)s."),
        (
            Check(
                NOT_MET,
                (id_,),
                lambda view: view.number(id_) > 3600,
                Words(
                    "Seconds until the whole model is there, at the measured rate: %(seconds)s. That is more than the hour that managed endpoints allow."
                ),
                LATENCY_STEP,
                shows,
            ),
            Check(
                PARTLY,
                (id_,),
                lambda view: 600 < view.number(id_) <= 3600,
                Words(
                    "Seconds until the whole model is there, at the measured rate: %(seconds)s. Each start and each scaling waits for that."
                ),
                LATENCY_STEP,
                shows,
            ),
        ),
        shows,
    )


ASSESS_AGAIN: Final = Words(
    "Evaluate again after every change of the model or its template; keep what failed away from users."
)
BEHAVIOUR_MET: Final = Words("The evaluation of this very revision found nothing above its limits.")
BEHAVIOUR_CHECKS: Final = (
    Check(
        NOT_MET,
        ("evaluation.result",),
        lambda view: not view.holds("evaluation.result"),
        Words("The record of the evaluation does not hold: %(why)s."),
        ASSESS_AGAIN,
        lambda view: {"why": view.why("evaluation.result")},
    ),
    Check(
        NOT_MET,
        ("evaluation.result",),
        lambda view: bool(view.items("evaluation.result", "failed")),
        Words("The evaluation failed in: %(kinds)s."),
        ASSESS_AGAIN,
        lambda view: {"kinds": some(view.names("evaluation.result", "failed"))},
    ),
)
