"""Splits a shell script into its commands, within bounds, and refuses what it does not follow.

Knows words with quotes, variables and substitutions, comments, pipes, lists, redirections, `if`, `for`, `while`, `case`,
functions, `[[ ]]`, and here-documents of text. Nothing is expanded and nothing is run. Written after the POSIX
shell's grammar (XCU 2); whatever else a script has (process substitution, `eval`-like nesting of quotes, arithmetic
with side effects) ends the reading: what is not followed is not known.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from weighbridge.core.errors import LimitExceeded, Malformed

MAX_COMMANDS: Final = 5_000
MAX_DEPTH: Final = 8

_PLAIN = re.compile(r"[^\s\"'\\$`;&|<>(){}#]+|[{}#]")
_VARIABLE = re.compile(
    r"\$(?:[A-Za-z_]\w*|[0-9@*#?$!-]|\{[#!]?[\w@*]+(?:\[[\w@*]{1,40}\])?(?:[:#%/^,+=?-][^{}$`\"'\\]*|:?[-=+]\$\w+)?\})"
)
_ARITHMETIC = re.compile(r"\$\(\([\w\s+*/%<>=!&|$.-]{0,200}\)\)")
_HERE = re.compile(r"<<-?\s*([\"']?)(\w+)\1")
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
        self.text = text.replace("\\\r\n", " ").replace("\\\n", " ").replace("\r\n", "\n")
        self.at = 0
        self.found = found
        self.depth = depth
        self.waiting: list[tuple[str, bool]] = []

    def read(self) -> None:
        piped = False
        while self.at < len(self.text):
            words, targets, closed = self._words()
            self._take(words, targets, piped)
            piped = closed in ("|", "|&")
            if closed == "\n":
                self._bodies()

    def _words(self) -> tuple[list[Word], list[Word], str]:
        """The words up to the next separator, the redirections among them, and the separator."""
        words: list[Word] = []
        targets: list[Word] = []
        while self.at < len(self.text):
            letter = self.text[self.at]
            if letter in " \t":
                self.at += 1
                continue
            if letter == "#":
                end = self.text.find("\n", self.at)
                self.at = len(self.text) if end < 0 else end
                continue
            here = _HERE.match(self.text, self.at)
            if here:
                self.waiting.append((here.group(2), bool(here.group(1))))
                self.at = here.end()
                continue
            if any(one.text == "[[" for one in words) and words[-1].text != "]]":
                words.append(self._tested())
                continue
            closed = next((one for one in _SEPARATORS if self.text.startswith(one, self.at)), None)
            redirected = _REDIRECTION.match(self.text, self.at)
            if redirected and not (closed == "&" and redirected.group()[0] != "&"):
                self._redirected(redirected, targets)
                continue
            if closed is not None:
                self.at += len(closed)
                return words, targets, closed
            if letter in "()":
                words.append(self._bracket(words))
                continue
            words.append(self._word())
        return words, targets, ""

    def _tested(self) -> Word:
        """Inside `[[ ]]` brackets, pipes and angles compare."""
        for sign in ("&&", "||", "=~", "==", "!=", "<", ">", "(", ")", "!", "\n"):
            if self.text.startswith(sign, self.at):
                self.at += len(sign)
                return Word(sign)
        return self._word()

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
        while True:
            blank = re.compile(r"(?:\s|(?<=\s)#[^\n]*)*").match(self.text, self.at)
            self.at = blank.end() if blank else self.at
            if self.text.startswith(")", self.at):
                self.at += 1
                return Word(name.text + " ".join(parts), fixed=False)
            parts.append(self._word().text)

    def _in_case(self, words: list[Word]) -> bool:
        return len(words) == 1 and any(one.words and one.words[0].text == "case" for one in self.found)

    def _redirected(self, match: re.Match[str], targets: list[Word]) -> None:
        self.at = match.end()
        while self.text[self.at : self.at + 1] in (" ", "\t"):
            self.at += 1
        if self.text.startswith("(", self.at) or self.at >= len(self.text):
            raise Malformed("a process is substituted")
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
                parts.append(self._until("'"))
            elif letter == '"':
                text, same = self._double()
                parts.append(text)
                fixed = fixed and same
            elif letter == "\\":
                parts.append(self.text[self.at + 1 : self.at + 2])
                self.at += 2
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
        return found

    def _double(self) -> tuple[str, bool]:
        self.at += 1
        parts, fixed = [], True
        while self.text[self.at : self.at + 1] != '"':
            letter = self.text[self.at : self.at + 1]
            if not letter:
                raise Malformed("a quote does not end")
            if letter == "\\":
                parts.append(self.text[self.at + 1 : self.at + 2])
                self.at += 2
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
        for name, quoted in self.waiting:
            end = re.compile(rf"^\t*{re.escape(name)}[ \t]*$", re.MULTILINE).search(self.text, self.at)
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


def commands(text: str) -> list[Command]:
    """All simple commands of a script, those of substitutions and functions too.

    Raises:
        LimitExceeded: there are more, or they are nested deeper, than is followed.
        Malformed: something in it is not followed.
    """
    found: list[Command] = []
    _Reading(text, found, 0).read()
    return found
