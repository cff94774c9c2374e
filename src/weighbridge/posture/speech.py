"""Says the words of a report in a language: English as written, others through gettext catalogues in `locale`.

A catalogue is `locale/LANG/posture.po`, compiled to `posture.mo` beside it by `python scripts/translations.py`. What a catalogue
does not translate is said in English. Values within sentences are shown as they are.
"""

from __future__ import annotations

import gettext
import io
from functools import cache
from importlib.resources import files
from typing import Final

from weighbridge.posture.report import Route, Shown, Standing, Words

LANGUAGES: Final = ("en", "ja")
_COMMA: Final = {"ja": "、"}

STANDINGS: Final = {
    Standing.MET: Words("met"),
    Standing.PARTLY: Words("partly met"),
    Standing.NOT_MET: Words("not met"),
    Standing.UNPROVED: Words("unproved"),
}
ROUTES: Final = {Route.HUB: Words("From the Hub"), Route.BUCKET: Words("From the bucket")}


class Speech:
    """One language. Immutable."""

    def __init__(self, language: str = "en") -> None:
        """`language` is one of `LANGUAGES`."""
        self.language = language
        self._catalogue = _catalogue(language)

    def say(self, words: Words) -> str:
        """The sentence in this language."""
        if not words.template:
            return ""
        template = self._catalogue.gettext(words.template)
        if not words.values:
            return template
        return template % {key: self._shown(value) for key, value in words.values.items()}

    def standing(self, standing: Standing) -> str:
        """What a cell's standing is called."""
        return self.say(STANDINGS[standing])

    def route(self, route: Route) -> str:
        """What a route is called."""
        return self.say(ROUTES[route])

    def _shown(self, value: Shown) -> str:
        if isinstance(value, Words):
            return self.say(value)
        if isinstance(value, tuple):
            return _COMMA.get(self.language, ", ").join(self.say(one) for one in value)
        return f"{value:,}" if isinstance(value, int) else value


@cache
def _catalogue(language: str) -> gettext.NullTranslations:
    if language == "en":
        return gettext.NullTranslations()
    data = files("weighbridge.posture").joinpath("locale", language, "posture.mo").read_bytes()
    return gettext.GNUTranslations(io.BytesIO(data))
