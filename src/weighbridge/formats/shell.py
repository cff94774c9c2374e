"""Splits a shell script into its commands, within bounds, and refuses what it does not follow.

Knows words with quotes, variables and substitutions, comments, pipes, lists, redirections, `if`, `for`, `while`, `case`,
functions, `[[ ]]`, and here-documents of text. Nothing is expanded and nothing is run. Written after the POSIX
shell's grammar (XCU 2); whatever else a script has ends the reading: process substitution, commands written as text,
arithmetic on variables, which shells evaluate as far as the commands in it. What is not followed is not known.
"""

from __future__ import annotations

import re
from typing import Final

from weighbridge.core.dataclass import dataclass
from weighbridge.core.errors import LimitExceeded, Malformed

MAX_COMMANDS: Final = 5_000
MAX_DEPTH: Final = 8

_PLAIN = re.compile(r"[^\s\"'\\$`;&|<>(){}#]+|[{}#]")
_VARIABLE = re.compile(
    r"\$(?:[A-Za-z_]\w*|[0-9@*#?$!-]|\{#?(?:\w+|[@*#])(?:\[(?:\d{1,6}|[@*])\])?"
    r"(?::?[-=+?][^{}$`\"'\\\n]*|:\s?-?\d{1,6}(?::-?\d{1,6})?|[#%/^,][^{}$`\"'\\\n]*|:?[-=+]\$\w+)?\})"
)
_ARITHMETIC = re.compile(r"\$\(\((?:[\d\s+*/%-]|\$#|\$?RANDOM\b){0,60}\)\)")
_HERE = re.compile(r"<<(-?)[ \t]*([\"']?)(\w+)\2(?=[\s;|&>)]|\Z)")
_TABS: Final = "\t*"
_TESTS: Final = ("&&", "||", "=~", "==", "!=", "<", ">", "(", ")", "!")
_ARITHMETIC_TESTS: Final = frozenset(("-eq", "-ne", "-lt", "-le", "-gt", "-ge"))
_REDIRECTION = re.compile(r"(?:\d|&)?(?:>>|>\||>&|<&|>|<)")
_SEPARATORS = ("&&", "||", ";;", ";", "|&", "|", "&", "\n")
_OPENERS: Final = frozenset(("if", "then", "else", "elif", "do", "while", "until", "!", "{", "time"))
_CLOSERS: Final = frozenset(("fi", "done", "esac", "}"))


@dataclass(frozen=True, slots=True)
class Word:
    """A word as it stands, without its quotes; `fixed` when no part of it is known only when the script runs."""

    text: str
    fixed: bool = True


@dataclass(slots=True)
class Command:
    """What one simple command is made of. `targets` are the files that it is told to read or write."""

    words: list[Word]
    targets: list[Word]
    assigned: list[tuple[str, Word]]
    piped: bool = False
    """Whether it reads what another command writes."""


class _Reading:
    def __init__(self, text: str, found: list[Command], depth: int) -> None:
        if depth > MAX_DEPTH:
            raise LimitExceeded("commands are nested too deeply")
        if "\\\r" in text:
            raise Malformed("a line is continued as on another system")
        self.text = text.replace("\r\n", "\n")
        self.at = 0
        self.found = found
        self.depth = depth
        self.waiting: list[tuple[str, bool, bool]] = []
        self.comments: list[tuple[int, int]] = []

    def read(self) -> None:
        piped = False
        while self.at < len(self.text):
            words, targets, closed = self._words()
            self._take(words, targets, piped)
            piped = closed in ("|", "|&")
            if closed == "\n":
                self._bodies()
        if self.waiting:
            raise Malformed("a here-document does not begin")

    def _words(self) -> tuple[list[Word], list[Word], str]:
        """The words up to the next separator, the redirections among them, and the separator."""
        words: list[Word] = []
        targets: list[Word] = []
        while self.at < len(self.text):
            if self._blank():
                continue
            here = _HERE.match(self.text, self.at)
            if here:
                self.waiting.append((here.group(3), bool(here.group(2)), bool(here.group(1))))
                self.at = here.end()
                continue
            if re.compile(r"\[\[\s").match(self.text, self.at) and all(one.text in _OPENERS for one in words):
                words += self._tested()
                continue
            closed = next((one for one in _SEPARATORS if self.text.startswith(one, self.at)), None)
            redirected = _REDIRECTION.match(self.text, self.at)
            if redirected and not (closed == "&" and redirected.group()[0] != "&"):
                self._redirected(redirected, targets)
                continue
            if closed is not None:
                self.at += len(closed)
                return words, targets, closed
            if self.text[self.at] in "()":
                words.append(self._bracket(words))
                continue
            words.append(self._word())
        return words, targets, ""

    def _blank(self) -> bool:
        """Goes over blanks, a line's continuation or a comment, where one is."""
        letter, at = self.text[self.at], self.at
        if letter in " \t":
            self.at += 1
        elif self.text.startswith("\\\n", self.at):
            self.at += 2
        elif letter == "#":
            end = self.text.find("\n", self.at)
            self.at = len(self.text) if end < 0 else end
            self.comments.append((at, self.at))
        return self.at > at

    def _tested(self) -> list[Word]:
        """From `[[` to `]]`, where brackets, pipes and angles compare."""
        self.at += 2
        words = [Word("[[")]
        while not re.compile(r"\]\](?=[\s;&|)]|\Z)").match(self.text, self.at):
            if self.at >= len(self.text) or self.text[self.at] == "\n":
                raise Malformed("a test does not end")
            if self._blank():
                continue
            sign = next((one for one in _TESTS if self.text.startswith(one, self.at)), "")
            self.at += len(sign)
            words.append(Word(sign) if sign else self._word())
        self.at += 2
        for place, one in enumerate(words):
            beside = (words[place - 1], *words[place + 1 : place + 2])
            if one.text in _ARITHMETIC_TESTS and not all(_is_number(other) for other in beside):
                raise Malformed("variables are compared as numbers")
        return [*words, Word("]]")]

    def _bracket(self, words: list[Word]) -> Word:
        """`name()` begins a function, `name=(` a list; everything else in brackets is not followed."""
        if self.text[self.at] == "(" and words and re.fullmatch(r"[A-Za-z_]\w*\+?=", words[-1].text):
            return self._list(words.pop())
        if self.text.startswith("()", self.at) and len(words) == 1 and re.fullmatch(r"[\w-]+", words[0].text):
            self.at += 2
            return Word("()")
        if self.text[self.at] == ")" and words and self._in_case(words):
            self.at += 1
            words.clear()
            return Word("then")
        raise Malformed("brackets that are not followed")

    def _list(self, name: Word) -> Word:
        self.at += 1
        parts: list[str] = []
        if self.waiting:
            raise Malformed("a list behind a here-document")
        while True:
            blank = re.compile(r"(?:\s|(?<=\s)#[^\n]*)*").match(self.text, self.at)
            self.at = blank.end() if blank else self.at
            if self.text.startswith(")", self.at):
                self.at += 1
                return Word(name.text + " ".join(parts), fixed=False)
            if self.text.startswith("[", self.at):
                raise Malformed("a list with places")
            parts.append(self._word().text)

    def _in_case(self, words: list[Word]) -> bool:
        return len(words) == 1 and any(one.words and one.words[0].text == "case" for one in self.found)

    def _redirected(self, match: re.Match[str], targets: list[Word]) -> None:
        self.at = match.end()
        while self.text[self.at : self.at + 1] in (" ", "\t"):
            self.at += 1
        if self.at >= len(self.text) or self.text[self.at] in "(\\<>&|;\n":
            raise Malformed("what is redirected is not followed")
        target = self._word()
        if not (match.group().endswith("&") and re.fullmatch(r"\d|-", target.text)):
            targets.append(target)

    def _word(self) -> Word:
        parts: list[str] = []
        fixed, start = True, self.at
        while self.at < len(self.text):
            letter = self.text[self.at]
            plain = _PLAIN.match(self.text, self.at)
            if plain and not (plain.group() == "#" and self.at == start):
                parts.append(plain.group())
                self.at = plain.end()
            elif letter == "'":
                parts.append(_plain_text(self._until("'")))
            elif letter == '"':
                text, same = self._double()
                parts.append(text)
                fixed = fixed and same
            elif letter == "\\":
                parts.append(self._escaped())
            elif letter in "$`":
                parts.append(self._substituted())
                fixed = False
            else:
                break
        if self.at == start:
            raise Malformed(f"a character that is not followed: {self.text[start : start + 1]!a}")
        return Word("".join(parts), fixed)

    def _until(self, mark: str) -> str:
        end = self.text.find(mark, self.at + 1)
        if end < 0:
            raise Malformed("a quote does not end")
        found = self.text[self.at + 1 : end]
        self.at = end + 1
        if self.waiting and "\n" in found:
            raise Malformed("a quote over lines behind a here-document")
        return found

    def _escaped(self) -> str:
        """What a backslash leaves: nothing of a line's end, the letter itself otherwise."""
        found = self.text[self.at + 1 : self.at + 2]
        if found == "`" or self.text.startswith("$(", self.at + 1):
            raise Malformed("a command is written as text")
        self.at += 2
        return "" if found == "\n" else found

    def _double(self) -> tuple[str, bool]:
        self.at += 1
        parts, fixed = [], True
        while self.text[self.at : self.at + 1] != '"':
            letter = self.text[self.at : self.at + 1]
            if not letter:
                raise Malformed("a quote does not end")
            if letter == "\n" and self.waiting:
                raise Malformed("a quote over lines behind a here-document")
            if letter == "\\":
                parts.append(self._escaped())
            elif letter in "$`" and (letter == "`" or self.text[self.at + 1 : self.at + 2] not in ("", " ", '"', "\n")):
                parts.append(self._substituted())
                fixed = False
            else:
                parts.append(letter)
                self.at += 1
        self.at += 1
        return "".join(parts), fixed

    def _substituted(self) -> str:
        """A variable, which stays; or a command, which is read like any other and leaves `$()`."""
        simple = _ARITHMETIC.match(self.text, self.at) or _VARIABLE.match(self.text, self.at)
        if simple:
            self.at = simple.end()
            return simple.group()
        if self.text.startswith("`", self.at):
            inner = self._until("`")
            if "\\" in inner:
                raise Malformed("a substitution that is not followed")
        elif self.text.startswith("$(", self.at):
            end = self._closing(self.at + 2)
            inner = self.text[self.at + 2 : end]
            self.at = end + 1
        else:
            raise Malformed("a substitution that is not followed")
        _Reading(inner, self.found, self.depth + 1).read()
        return "$()"

    def _closing(self, at: int) -> int:
        deep, quote = 1, ""
        while at < len(self.text):
            letter = self.text[at]
            if letter == "\\" and quote != "'":
                at += 1
            elif quote:
                quote = "" if letter == quote else quote
            elif letter in "'\"":
                quote = letter
            elif letter in "()":
                deep += 1 if letter == "(" else -1
                if not deep:
                    return at
            at += 1
        raise Malformed("a substitution does not end")

    def _bodies(self) -> None:
        """Here-documents: text, in which nothing may be substituted but variables."""
        for name, quoted, tabs in self.waiting:
            mark = f"^{_TABS if tabs else ''}{re.escape(name)}$"
            end = re.compile(mark, re.MULTILINE).search(self.text, self.at)
            if end is None:
                raise Malformed("a here-document does not end")
            if not quoted and re.search(r"`|\$\(", self.text[self.at : end.start()]):
                raise Malformed("a here-document with commands in it")
            self.at = end.end()
        self.waiting.clear()

    def _take(self, words: list[Word], targets: list[Word], piped: bool) -> None:
        while words and (words[0].text in _OPENERS or words[0].text in _CLOSERS or words[0].text == "()"):
            words = words[1:]
        if len(words) > 1 and words[1].text == "()":
            # A function: its body follows as commands; its name may be called.
            self.found.append(Command([Word("()"), words[0]], [], []))
            words = [one for one in words[2:] if one.text != "{"]
        if words and words[0].text == "function":
            raise Malformed("a function by its word")
        if words and words[0].text in ("for", "select"):
            words = [Word("for"), *words[1:]]
        assigned = []
        while words and (match := re.match(r"([A-Za-z_]\w*)\+?=", words[0].text)):
            assigned.append((match.group(1), Word(words[0].text[match.end() :], words[0].fixed)))
            words = words[1:]
        if words or assigned or targets:
            self.found.append(Command(words, targets, assigned, piped))
        if len(self.found) > MAX_COMMANDS:
            raise LimitExceeded("the script has more commands than are read")


def _is_number(word: Word) -> bool:
    """Whether nothing but a number can come of a word."""
    return re.fullmatch(r"-?\d{1,18}|\$[#?]", word.text) is not None


def _plain_text(text: str) -> str:
    if "$(" in text or "`" in text:
        # Shells evaluate commands in the text of variables, where they take it for a number or a prompt.
        raise Malformed("a command is written as text")
    return text


def without_comments(text: str) -> str:
    """A script without its comments, as far as it can be read; all of it, where it cannot."""
    reading = _Reading(text, [], 0)
    try:
        reading.read()
    except (LimitExceeded, Malformed):
        return text
    parts, at = [], 0
    for start, end in reading.comments:
        parts.append(reading.text[at:start])
        at = end
    return "".join(parts) + reading.text[at:]


def commands(text: str) -> list[Command]:
    """All simple commands of a script, those of substitutions and functions too.

    Raises:
        LimitExceeded: there are more, or they are nested deeper, than is followed.
        Malformed: something in it is not followed.
    """
    found: list[Command] = []
    _Reading(text, found, 0).read()
    return found
