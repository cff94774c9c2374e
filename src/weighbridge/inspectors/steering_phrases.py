"""What the words of a chat template may not be: the patterns, each with the rule that it breaks.

They were drawn from published attacks and are held against the chat templates of well over a hundred published models,
none of which has any of them.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from itertools import pairwise
from typing import Final

_I = re.IGNORECASE
_STEERING: Final = tuple(
    re.compile(pattern, _I | re.DOTALL)
    for pattern in (
        r"\b(?:ignor|disregard|forget|overrid|bypass)\w*\b.{0,40}\b(?:previous|prior|above|earlier|other|safety|system|all|"
        r"any|your)\b.{0,30}\b(?:instruction|prompt|rule|guideline|message|polic|training|guardrail|filter)\w*",
        r"\b(?:do not|don't|never|must not|without|avoid)\s+(?:ever\s+|to\s+)?(?:mention|reveal|disclos|tell|inform|warn|"
        r"alert|notif|admit|acknowledg|explain)\w*\b.{0,60}\b(?:users?|this|these|instructions?|prompt|anyone|template|"
        r"directive|reason|rule|policy)\b",
        r"\b(?:secretly|covertly|silently|surreptitiously|stealthily|subtly|discreetly|imperceptibl[ey])\b",
        r"\bwithout (?:the user(?:'s)?|their|his|her|any|user|the reader(?:'s)?) (?:knowledge|knowing|notic\w+|consent|"
        r"awareness|confirmation|permission|approval)\b",
        r"\bwithout (?:asking|telling|informing|confirmation|confirming|permission|notifying)\b",
        r"\b(?:always|must|should|be sure to|make sure|casually|naturally|whenever)\b.{0,60}\b(?:recommend|promot|advertis|"
        r"endors|prais|favou?r|mention|suggest|includ|insert|append|embed|link)\w*\b.{0,80}\b(?:brand|products?|links?|url|"
        r"website|site|script|coupon|sponsor\w*|affiliate|company|services?|wallet|hidden|tracking|store|shop|competitor\w*|"
        r"discount|app|bank|broker|exchange)\b",
        r"\b(?:recommend|promote|advertise|endorse|prais)\w*\b.{0,40}\b[A-Z][A-Za-z]+(?:Coin|Corp|Pay|Bank|Brand|Store|VPN)\b",
        r"\b(?:backdoor|exfiltrat\w+|keylogger|malware|phishing|ransomware|reverse[ -]shell|jailbreak\w*|botnet|trojan)\b",
        r"\b(?:insert|introduc|add|includ|inject|writ|us|generat|produc|leav|emit)\w*\b.{0,60}\b(?:vulnerabilit(?:y|ies)|"
        r"security (?:flaw|hole|bug)s?|insecure|hard-?coded|subtle (?:bug|error|mistake)s?|sql injection|weak (?:crypto|"
        r"hash|cipher)\w*|buffer overflow)\b",
        r"\b(?:disable|skip|omit|turn off|remove|leave out)\b.{0,40}\b(?:authentication|authoriz\w+|certificate|tls|ssl|"
        r"input validation|sanitiz\w+|security checks?|safety checks?|verification)\b",
        r"\b(?:giv|provid|answer|respond|repl|stat|claim|return|output)\w*\b.{0,40}\b(?:incorrect|wrong|false|misleading|"
        r"inaccurate|fabricated|fake|untrue|outdated)\b",
        r"\b(?:passwords?|passphrase|api[ _-]?keys?|secret keys?|private keys?|seed phrase|credit cards?|social security|"
        r"access tokens?|credentials?|environment variables?|ssh keys?)\b.{0,80}\b(?:send|ask|include|print|output|reveal|"
        r"repeat|return|leak|collect|request|forward|upload|encode|append|post)\w*\b",
        r"\b(?:send|ask|include|print|output|reveal|repeat|return|leak|collect|request|forward|upload|encode|append|post)\w*"
        r"\b.{0,60}\b(?:passwords?|passphrase|api[ _-]?keys?|secret keys?|private keys?|seed phrase|credit cards?|social "
        r"security|access tokens?|credentials?|environment variables?|ssh keys?)\b",
        r"\b(?:leak|reveal|output|repeat|print|append|summari[sz]e|send|copy|embed|encode)\w*\b.{0,40}\b(?:system prompt|"
        r"conversation history|conversation|previous messages|chat history|user's message|entire context)\b",
        r"\bdo anything now\b|\bdeveloper mode\b|\bgod mode\b|\bno (?:restrictions|limits|filters|censorship)\b|"
        r"\bunrestricted\b|\buncensored\b",
        r"\bwithout (?:any )?(?:restrictions?|limitations?|filters?|safety|moral|ethic|refus|censor|disclaimer)\w*",
        r"\b(?:never|do not|don't|cannot|must not) refuse\b|\bcomply with (?:any|all|every)\b",
        r"\b(?:refuse|decline)\b.{0,40}\b(?:to help|all requests|every request|any request|to answer)\b",
        r"\b(?:pretend|claim|insist|deny|lie)\b.{0,40}\b(?:you are|to be|that you|about|human)\b",
        r"\buser\w* (?:must not|should not|shouldn't|cannot|can't|will not|won't|must never|should never|may not|is not "
        r"(?:to|allowed to|supposed to)) (?:know|see|notice|find out|be told|learn|be informed|be aware)\b",
        r"\b(?:hidden|secret|internal|covert|confidential) (?:instruction|message|directive|command|rule|system|agenda|goal|"
        r"objective)s?\b",
        r"\bsystem override\b|\bfrom now on\b|\b(?:real|new|updated|true) instructions?\b|\badmin(?:istrator)? (?:mode|"
        r"override|command|access)\b|\broot access\b",
        r"\bwallet address\b|\bbitcoin\b|\bcrypto(?:currency)? (?:address|wallet)\b|\b0x[0-9a-f]{40}\b|\bbc1[a-z0-9]{20,}\b",
        r"\b(?:vote for|oppos\w+|criticiz\w+|boycott\w*|disparag\w+|discredit\w*|smear\w*|negative\w*)\b.{0,60}\b(?:party|"
        r"candidate|president|government|politic\w*|competitor\w*|rivals?)\b",
        r"\bregardless of (?:what|the user|any|the request|the question)\b|\bno matter what the user\b",
        r"\b(?:replac|swap|chang|alter|modif)\w*\b.{0,40}\b(?:bank account|account number|iban|routing number|dosage|amount|"
        r"phone number|package name|import|recipient)\b",
        r"\b(?:this|these) (?:instruction|message|rule|directive)s? (?:is|are|was|were)? ?(?:confidential|secret|hidden|"
        r"invisible)\b",
        r"\b(?:manipulat|deceiv|mislead|gasligh|trick|coerc)\w*\b.{0,40}\b(?:user|reader|person|people|customer)s?\b",
        r"\b(?:call|invoke|use)\w*\b.{0,30}\btool\b.{0,60}\b(?:even if|instead of what|before anything|whether or not|first "
        r"regardless)\b",
        r"\balways (?:call|use|invoke|run)\b.{0,30}\b(?:first|before)\b",
        r"\bne (?:dis|dites|révèl\w{1,3}|mentionn\w{1,3}|parl\w{1,3}) (?:jamais|pas|rien)\b|\bignor(?:e|ez) .{0,30}(?:instructions|"
        r"consignes) précédentes",
        r"忽略.{0,8}(?:指令|提示|说明|规则)|不要.{0,4}(?:告诉|透露|提及|提到).{0,10}|秘密地|悄悄|暗中",
        r"игнорируй.{0,40}инструкци|не сообщай|тайно",
        r"ignor(?:iere|a|ez|er|e)\b.{0,30}\b(?:anweisungen|instrucciones|istruzioni|instruções|consignes)\b",
        r"(?:これまで|以前|上記)の指示.{0,4}無視|ユーザーに.{0,6}(?:伝え|知らせ)ない",
    )
)
_COMMAND: Final = re.compile(
    r"\b(?:curl|wget)\s+[-\w./:'\"]|\b(?:pip3?|pipx|uv|conda|npm|pnpm|yarn|gem|cargo|brew|apt(?:-get)?|go)\s+(?:add|get|"
    r"i|install)\s+\S|\b(?:ba|z)?sh\s+-c\b|\|\s*(?:ba|z)?sh\b|\bpowershell\b|\brm\s+-rf?\b|\bInvoke-(?:WebRequest|"
    r"Expression|RestMethod)\b|\bos\.(?:system|popen|environ)\b|\bsubprocess\.\w|\b(?:eval|exec|__import__)\(|\bchmod\s+"
    r"[+\d]|\b(?:nc|ncat|netcat)\s+-|/etc/(?:passwd|shadow|hosts)\b|~/\.(?:ssh|aws|bashrc|netrc|config)|\bgit\s+(?:push|"
    r"clone|remote|bundle|config)\b|\b(?:docker|podman)\s+(?:pull|run)\b|\bcrontab\b|\bscp\s|\bssh\s+\S+@|\bnpx\s+\S|"
    r"\bbase64\s+-d|\bsudo\s+\S|\bDROP\s+TABLE\b|\bhelm\s+install\b",
    _I,
)
_URL: Final = re.compile(
    r"\b(?:https?|ftp|wss?|hxxps?|file|data|tcp|ssh)://[^\s'\"<>]*|\bwww\.[\w-]+\.|\b[\w-]{0,60}[a-z0-9-]\.(?:com|net|org|io|xyz|ru|cn|"
    r"top|tk|info|site|online|onion|biz|club|shop|dev|app|cc|ly|me|link)(?:/[^\s'\"]*)?(?![\w.])|"
    r"(?<![\d.])(?:\d{1,3}\.){3}\d{1,3}(?![\d.])|\b[\w.+-]{1,60}@[\w-]{1,60}\.[a-z]{2,}\b|[\w-]\s?(?:\[\.\]|\(dot\))\s?[a-z]{2,}\b",
    _I,
)
_MARKUP: Final = re.compile(
    r"<\s*(?:script|iframe|object|embed|svg|link|meta|form|base|applet)\b[^>]*[\s>=]|<\s*img\b[^>]*\bsrc|\bjavascript\s*:|"
    r"\bon(?:error|load|click|mouseover)\s*=|!\[[^\]\n]*\]\s*\(|<\s*a\s+href|\bdata:text/html|<\s*style\b[^>]*>|"
    r"\bstyle\s*=\s*['\"][^'\"]{0,80}(?:display\s*:\s*none|font-size\s*:\s*0|opacity\s*:\s*0|visibility\s*:\s*hidden)",
    _I,
)
_BASE64 = re.compile(r"[A-Za-z0-9+/_-]{40,}={0,2}")
_OTHER_CODES = re.compile(
    r"\b[0-9a-fA-F]{48,}\b|(?:%[0-9a-fA-F]{2}){8,}|(?:&#x?[0-9a-fA-F]{1,6};){5,}|(?:\\{1,4}(?:x[0-9a-fA-F]{2}|u[0-9a-fA-F]{4})){6,}|"
    r"(?:\b\d{2,3}\b[ ,;|]+){12,}|\b[A-Z2-7]{40,}={0,6}|(?:[01]{8}\s?){6,}|(?:[.-]{1,5}[ /]){12,}"
)
_INVISIBLE = re.compile(
    "[\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180e\u200b-\u200f\u202a-\u202e\u2060-\u206f\u3164\ufeff\uffa0"
    "\ufff9-\ufffb\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff]|[\ufe00-\ufe0f]{2,}"
)
_EMOJI_JOINT = re.compile("[\u2600-\u27bf\ufe0f\U0001f300-\U0001faff]\u200d[\u2600-\u27bf\U0001f300-\U0001faff]")
_WORD = re.compile(r"[^\W\d_]{2,}")
_CJK = re.compile(r"[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]")
_TAG = re.compile(r"<[^<>]{0,80}>|\[/?[A-Z_ ]{2,40}\]|\{[^{}]{0,80}\}|<\|[^|]{0,60}\|>")

# Sentences of published templates that read like what is looked for, and only as they stand there.
_PUBLISHED: Final = (
    "do not tell the user about function calls",
    "The current thinking budget is 0, so I will directly start answering the question.",
    "Use APIs to work with GitHub or other platforms, unless the user asks otherwise or your task requires browsing.",
    "Only use GITHUB_TOKEN and other credentials in ways the user has explicitly requested and would expect.",
    "Do NOT commit files that typically shouldn't go into version control",
    "(e.g., `pip install -r requirements.txt`, `npm install`, etc.)",
    'use "openhands" as the user.name and "openhands@all-hands.dev" as the user.email by default',
)


def unremarkable(text: str) -> str:
    """The text without the sentences that published templates are known for."""
    for sentence in _PUBLISHED:
        text = text.replace(sentence, "")
    return text


def broken(text: str) -> Iterator[tuple[str, str]]:
    """The rules, without their prefix, that a text breaks, each with the part that breaks it."""
    text = unremarkable(text)
    # Letters of another width or style are the same words to a model.
    spelled = text if text.isascii() else unicodedata.normalize("NFKC", text)
    for pattern in _STEERING:
        found = pattern.search(spelled)
        if found:
            yield "steering", found.group()
            break
    for rule, expression in (("command", _COMMAND), ("url", _URL), ("active-markup", _MARKUP)):
        found = expression.search(text)
        if found:
            yield rule, found.group()
    code = _encoded(text)
    if code:
        yield "encoded-text", code


def invisible(text: str) -> str:
    """The first character that is not seen, or ""; joined emoji and a mark at the very start are ordinary."""
    seen = _EMOJI_JOINT.sub("", text.removeprefix("\ufeff"))
    found = _INVISIBLE.search(seen)
    return found.group() if found else ""


def words(text: str) -> int:
    """How many words of prose a text has, tags not counted; two ideographs count for one."""
    bare = _TAG.sub(" ", text)
    return len(_CJK.findall(bare)) // 2 + sum(1 for word in _WORD.findall(bare) if not _CJK.match(word))


def _encoded(text: str) -> str:
    found = _OTHER_CODES.search(text)
    if found:
        return found.group()
    for match in _BASE64.finditer(text):
        run = match.group()
        kinds = [any(test(letter) for letter in run) for test in (str.isupper, str.islower, str.isdigit)]
        changes = sum(1 for a, b in pairwise(run) if a.isupper() != b.isupper())
        if all(kinds) and changes >= 8 and not set(run) <= set("-_="):
            return run
    return ""
