"""Lists the approved models as `GET /api/models` does, with as much of each as is asked for.

A revision that cannot be proven now is listed by its name alone; it is refused when somebody asks for it. All of it blocks.
"""

from __future__ import annotations

from weighbridge.admit.asking import PRODUCTION
from weighbridge.core.canonical import JsonValue
from weighbridge.core.errors import WeighbridgeError
from weighbridge.core.names import ModelName
from weighbridge.serve import documents
from weighbridge.serve.access import Permit
from weighbridge.serve.approved import Approved
from weighbridge.serve.claims import NOTHING, Claims, ClaimsOf
from weighbridge.serve.documents import Served
from weighbridge.serve.hub_requests import Request
from weighbridge.serve.listing import Wanted


class Listed:
    """See above; `claims` is what is known of revisions."""

    def __init__(self, approved: Approved, claims: ClaimsOf) -> None:
        self._approved = approved
        self._claims = claims

    def names(self, wanted: Wanted, permit: Permit | None) -> list[documents.Record]:
        """Name and revision of the models that fit, in order of name or as dates want it.

        Raises:
            TrustError, StoreError: what is approved cannot be read.
        """
        found: list[tuple[str, documents.Record]] = []
        for model_name, channels in self._shown(permit):
            if not wanted.names(model_name):
                continue
            revision = channels.get(PRODUCTION) or next(iter(channels.values()))
            date = ""
            if wanted.by_claims or wanted.dated:
                claims = self._claimed(model_name, revision)
                if claims is None or not wanted.fits(claims):
                    continue
                date = documents.hub_time(claims.dated)
            found.append((date, {"id": str(model_name), "sha": revision}))
        if wanted.dated:
            found.sort(key=lambda one: one[0], reverse=wanted.newest_first)
            return [{**record, "rank": f"{rank:09}"} for rank, (_, record) in enumerate(found)]
        return [record for _, record in found]

    def told(self, request: Request, cut: list[documents.Record]) -> list[JsonValue]:
        """What is said of each model of a page."""
        expand = tuple(request.query.get("expand", ()))
        more = [name for flag, name in (("cardData", "cardData"), ("config", "config")) if request.flag(flag)]
        said: list[JsonValue] = []
        for one in cut:
            model_name, revision = ModelName.parse(str(one["id"])), str(one["sha"])
            claims = self._claimed(model_name, revision)
            record = documents.listed(model_name, revision, claims or NOTHING)
            wanted = claims is not None and (expand or more or request.flag("full"))
            served = self._served(model_name, revision) if wanted else None
            if claims is not None and served is not None:
                whole = documents.model_info(served, claims, blobs=False, expand=expand)
                known = more if more and not request.flag("full") else list(whole)
                record = whole if expand else {**record, **{name: whole[name] for name in known if name in whole}}
            said.append(record)
        return said

    def _served(self, model_name: ModelName, revision: str) -> Served | None:
        try:
            return Served.of(self._approved.resolve(model_name, revision))
        except WeighbridgeError:
            return None

    def _claimed(self, model_name: ModelName, revision: str) -> Claims | None:
        """The claims of a revision; None of one that cannot be proven now: it is listed without, and refused when asked for."""
        known = self._claims.named(model_name, revision)
        if known is not None:
            return known
        try:
            return self._claims.of(self._approved.resolve(model_name, revision))
        except WeighbridgeError:
            return None

    def _shown(self, permit: Permit | None) -> list[tuple[ModelName, dict[str, str]]]:
        shown = []
        for model_name in self._approved.models():
            channels = self._approved.channels(model_name)
            if permit is not None:
                channels = permit.shown(model_name, channels)
            if channels:
                shown.append((model_name, channels))
        return shown
