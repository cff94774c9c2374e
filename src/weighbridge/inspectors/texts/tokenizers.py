"""What does this tokenizer do to a text that nobody would expect, and which control tokens can be forged or mistaken?

Reads `tokenizer.json` (of the tokenizers library) whole, and the tokens in `tokenizer_config.json`,
`special_tokens_map.json` and `added_tokens.json`: numbers and texts given twice, control tokens that are ordinary words or
look like others, parts that rewrite words on the way in or out, expressions that run for ever, parts of unknown type.

Not assessed: whether the vocabulary is that of the base model (two numbers exchanged change what the model reads), and
what a precompiled normaliser maps.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from weighbridge.core.finding import Finding, Report
from weighbridge.formats.json_text import Json, JsonProblem, read_json
from weighbridge.inspectors.subject import Subject, report_of
from weighbridge.inspectors.texts.config_findings import about_text, base_name, findings_of, not_understood
from weighbridge.inspectors.texts.config_walk import judge
from weighbridge.inspectors.texts.token_judges import Noticed, Token, judge_part, judge_tokens
from weighbridge.inspectors.texts.token_rules import BY_ID, NAME, RULES

__all__ = ["NAME", "RULES", "Tokenizers"]

MAX_NOTICED: Final = 200
_PARTS: Final = ("normalizer", "pre_tokenizer", "post_processor", "decoder", "model")
_ROLES: Final = ("bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token")
_BESIDE: Final = ("tokenizer_config.json", "special_tokens_map.json", "added_tokens.json")


class Tokenizers:
    """The inspector `tokenizers`; see the module."""

    name = NAME

    def inspect(self, subject: Subject) -> Report | None:
        """The account of a `tokenizer.json`; of the files beside it, the tokens only.

        Raises:
            LimitExceeded: the text is longer, or holds more, than is read.
            Truncated: the reader returned less than the artifact's size promises.
        """
        base = base_name(subject.path)
        if subject.kind.name != "json" or base not in (*_BESIDE, "tokenizer.json"):
            return None
        try:
            text = read_json(subject)
        except JsonProblem as problem:
            # Of the files beside, the configurations inspector has said so.
            return not_understood(NAME, subject, problem) if base == "tokenizer.json" else None
        if base != "tokenizer.json":
            return _report(subject, _bounded(_beside(base, text.value)), ())
        rest, noticed = text.value, list[Noticed]()
        if isinstance(rest, dict) and isinstance(rest.get("model"), dict):
            noticed = _bounded(_tokenizer(rest))
            rest = {key: one for key, one in rest.items() if key not in ("model", "added_tokens")}
        said = (*about_text(subject, text), *findings_of(subject, judge(rest, strict=isinstance(rest, dict))))
        return _report(subject, noticed, said, kind="json")


def _bounded(noticed: Iterator[Noticed]) -> list[Noticed]:
    return [one for _, one in zip(range(MAX_NOTICED), noticed, strict=False)]


def _report(subject: Subject, noticed: list[Noticed], said: tuple[Finding, ...], *, kind: str = "") -> Report:
    findings = [BY_ID[f"token-{one.rule}"].finding(subject.path, one.message, location=one.location) for one in noticed]
    # What an unknown part does to a text is not known, so neither are the bytes that describe it.
    lost = any(one.rule == "component-not-understood" for one in noticed)
    return report_of(NAME, subject, (*findings, *said), 0 if lost else subject.size_bytes, kind=kind)


def _tokenizer(value: dict[str, Json]) -> Iterator[Noticed]:
    model = value["model"]
    vocabulary = model.get("vocab") if isinstance(model, dict) else None
    added = value.get("added_tokens")
    tokens: list[Token] = []
    for number, one in enumerate(added if isinstance(added, list) else []):
        where = f"added_tokens[{number}]"
        token = _token(one, where)
        if token is None:
            yield Noticed("malformed", "an added token has no text, or no number", where)
        else:
            tokens.append(token)
    yield from judge_tokens(tokens, vocabulary)
    for part in _PARTS:
        yield from judge_part(part, value.get(part))


def _token(value: Json, where: str) -> Token | None:
    if not isinstance(value, dict):
        return None
    text, number = value.get("content"), value.get("id")
    if not isinstance(text, str) or isinstance(number, bool) or not isinstance(number, int):
        return None
    return Token(text, number, bool(value.get("special", False)), where)


def _beside(base: str, value: Json) -> Iterator[Noticed]:
    if not isinstance(value, dict):
        return
    if base == "added_tokens.json":
        tokens = [
            Token(text, number, special=False, location="")
            for text, number in value.items()
            if isinstance(number, int) and not isinstance(number, bool)
        ]
        yield from judge_tokens(tokens, None)
        return
    decoder = value.get("added_tokens_decoder")
    tokens = []
    for key, one in decoder.items() if isinstance(decoder, dict) else ():
        where = f"added_tokens_decoder.{key[:20]}"
        number = int(key) if key.isdecimal() and key.isascii() and len(key) < 12 else None
        text = one.get("content") if isinstance(one, dict) else None
        if number is None or not isinstance(text, str) or not isinstance(one, dict):
            yield Noticed("malformed", "an added token has no text, or no number", where)
        else:
            tokens.append(Token(text, number, bool(one.get("special", False)), where))
    yield from judge_tokens(tokens, None)
    yield from judge_tokens([*_named(value, {token.text for token in tokens})], None)


def _named(value: dict[str, Json], seen: set[str]) -> Iterator[Token]:
    """The control tokens by role, those left out that were judged by number."""
    roles: list[tuple[str, Json]] = [(role, value.get(role)) for role in _ROLES]
    for key in ("additional_special_tokens", "extra_special_tokens", "model_specific_special_tokens"):
        more = value.get(key)
        if isinstance(more, (list, dict)):
            roles += [(key, one) for one in (more.values() if isinstance(more, dict) else more)]
    for role, one in roles:
        text = one.get("content") if isinstance(one, dict) else one
        if isinstance(text, str) and text not in seen:
            seen.add(text)
            yield Token(text, None, special=True, location=role)
