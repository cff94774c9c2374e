"""What the cells recommend, by rule: a route is fit when every question that decides is met or partly met by it.

Rules:

1. of the questions that decide (`DECIDING`), one that is not met makes a route unfit; else one that is unproved leaves it open;
2. one fit route is recommended over one that is not; of two fit routes the one with more questions met; where they are even the Hub,
   because it is less work; of two that are not fit, neither is, and the nearer one is named;
3. what stands against each route, and what nobody proved, is listed whatever the recommendation;
4. the first step is the next step of the first question that decides and is worst on the route that was named.

No other fact goes into it, and no route is preferred by its name but where the two are even.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from weighbridge.posture.report import Route, Row, Standing, Words

DECIDING: Final = ("scanning", "tamper", "malicious", "authenticity", "exposure", "remote_code", "changes")
"""What an attacker would come through. The others weigh, but do not exclude a route."""
NAMES: Final = {Route.HUB: Words("the Hub"), Route.BUCKET: Words("the bucket")}
_AGAINST: Final = {
    Route.HUB: Words("Against the Hub: %(titles)s."),
    Route.BUCKET: Words("Against the bucket: %(titles)s."),
}
_UNPROVED: Final = {
    Route.HUB: Words("Not proven of the Hub: %(titles)s."),
    Route.BUCKET: Words("Not proven of the bucket: %(titles)s."),
}
_ONE: Final = {
    (Route.BUCKET, Standing.NOT_MET): Words(
        "Deploy from the bucket: it holds on every question that decides, and the Hub does not."
    ),
    (Route.BUCKET, Standing.UNPROVED): Words(
        "Deploy from the bucket: it holds on every question that decides; of the Hub that is not proven."
    ),
    (Route.HUB, Standing.NOT_MET): Words(
        "Deploy from the Hub, at this commit: it holds on every question that decides, and the bucket does not."
    ),
    (Route.HUB, Standing.UNPROVED): Words(
        "Deploy from the Hub, at this commit: it holds on every question that decides; of the bucket that is not proven."
    ),
}
_BOTH: Final = {
    Route.BUCKET: Words("Both routes hold on every question that decides; the bucket meets more (%(bucket)s against %(hub)s)."),
    Route.HUB: Words("Both routes hold on every question that decides; the Hub meets as many or more (%(hub)s against %(bucket)s) and is less work."),
}  # fmt: skip


def recommend(rows: Sequence[Row]) -> tuple[Words, ...]:
    """The recommendation: what to do first, then what stands against each route and what is not proven."""
    states = {route: _state(rows, route) for route in Route}
    chosen, first = _choice(rows, states)
    said = [first]
    worst = _worst(rows, chosen)
    if worst is not None:
        said.append(
            Words("First, for %(question)s: %(step)s", {"question": worst.title, "step": worst.cell(chosen).next_step})
        )
    for templates, standing in ((_AGAINST, Standing.NOT_MET), (_UNPROVED, Standing.UNPROVED)):
        for route in Route:
            titles = tuple(row.title for row in rows if row.cell(route).standing is standing)
            if titles:
                said.append(Words(templates[route].template, {"titles": titles}))
    behaviour = next(row for row in rows if row.question == "behaviour")
    if all(behaviour.cell(route).standing is Standing.UNPROVED for route in Route):
        said.append(
            Words(
                "Neither route says how the model behaves: the weights are the same. Evaluate it before people rely on it."
            )
        )
    return tuple(said)


def _state(rows: Sequence[Row], route: Route) -> Standing:
    """`NOT_MET` for unfit, `UNPROVED` for open, `MET` for fit."""
    standings = {row.cell(route).standing for row in rows if row.question in DECIDING}
    return next((one for one in (Standing.NOT_MET, Standing.UNPROVED) if one in standings), Standing.MET)


def _met(rows: Sequence[Row], route: Route) -> int:
    return sum(row.cell(route).standing is Standing.MET for row in rows)


def _choice(rows: Sequence[Row], states: dict[Route, Standing]) -> tuple[Route, Words]:
    fit = [route for route in Route if states[route] is Standing.MET]
    if len(fit) == 1:
        other = Route.HUB if fit[0] is Route.BUCKET else Route.BUCKET
        return fit[0], _ONE[fit[0], states[other]]
    counts = {route: _met(rows, route) for route in Route}
    if fit:
        chosen = Route.BUCKET if counts[Route.BUCKET] > counts[Route.HUB] else Route.HUB
        return chosen, Words(_BOTH[chosen].template, {route.value: counts[route] for route in Route})
    lacking = {
        route: sum(
            row.question in DECIDING and row.cell(route).standing in (Standing.NOT_MET, Standing.UNPROVED)
            for row in rows
        )
        for route in Route
    }
    nearer = Route.BUCKET if lacking[Route.BUCKET] < lacking[Route.HUB] else Route.HUB
    if lacking[Route.BUCKET] == lacking[Route.HUB]:
        nearer = Route.BUCKET if counts[Route.BUCKET] > counts[Route.HUB] else Route.HUB
    template = Words(
        "Deploy from neither yet: on questions that decide, %(hub)s are open or not met by the Hub and %(bucket)s by the bucket. Nearer is %(nearer)s."
    )
    return nearer, Words(
        template.template, {**{route.value: lacking[route] for route in Route}, "nearer": NAMES[nearer]}
    )


def _worst(rows: Sequence[Row], route: Route) -> Row | None:
    """What to begin with: those that decide before the others, not met before unproved before partly."""
    for deciding in (True, False):
        for standing in (Standing.NOT_MET, Standing.UNPROVED, Standing.PARTLY):
            for row in rows:
                if (row.question in DECIDING) is deciding and row.cell(route).standing is standing:
                    if deciding and standing is Standing.PARTLY:
                        continue
                    return row
    return next((row for row in rows if row.cell(route).next_step.template), None)
