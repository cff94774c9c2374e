"""Reads who is told: a TOML file with rows `[[webhook]]`, `[[email]]` and `[[slack]]`, strictly.

Rules:

- secrets are never in this file but in files that it names, relative to its own folder; they are read when something is sent,
  so that one can be exchanged while a daemon runs. The address of a chat's webhook is such a secret;
- what is unknown, of the wrong type or impossible is an error that names file, line and key, and never a value that may be a
  secret;
- names are unique over all rows: what was told to whom is recorded under them.
"""

from __future__ import annotations

import base64
import binascii
import fnmatch
import re
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from email.errors import MessageError
from email.headerregistry import Address
from pathlib import Path
from typing import Final, cast

from weighbridge.admit.policy_file import lines_of
from weighbridge.admit.policy_spec import Flag, Node, Problem, Several, Table, Text, Whole
from weighbridge.core.errors import ConfigError
from weighbridge.core.finding import Severity
from weighbridge.watch.news import Judgement, Kind, News
from weighbridge.wire.files import read_small
from weighbridge.wire.outbound import Target

MAX_BYTES: Final = 256 * 1024
MAX_SINKS: Final = 64
MAX_RECIPIENTS: Final = 50
SECRET_BYTES: Final = (24, 64)
"""Of a webhook's key, as Standard Webhooks wants it."""
_HINT: Final = "docs/how-to/be-told-of-updates.md shows such a file."
_RISKS: Final = ("none", *(severity.label for severity in Severity))
_NAME: Final = Text("Lowercase letters, digits and '-'.", pattern=r"^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$")
_PATTERN: Final = Text(
    "org/name, where * stands for anything.", pattern=r"^[A-Za-z0-9_.*-]{1,96}/[A-Za-z0-9_.*-]{1,96}$"
)
_HOST: Final = Text(
    "A host's name or address.", pattern=r"^[A-Za-z0-9](?:[A-Za-z0-9.-]{0,251}[A-Za-z0-9])?|[0-9a-f:]{2,39}$"
)
_PATH: Final = Text("A file's path.")
_MAILBOX: Final = Text("A mail address, user@host.example.")
SECURITY: Final = ("tls", "starttls", "none")

_COMMON: Final[dict[str, Node]] = {
    "name": _NAME,
    "lowest_risk": Text("News with at least this risk.", choices=_RISKS),
    "kinds": Several("Only news of these kinds.", Text("A kind.", choices=tuple(kind.value for kind in Kind)), 1),
    "judgements": Several(
        "Only news that were judged so.", Text("A judgement.", choices=tuple(one.value for one in Judgement)), 1
    ),
    "models": Several("Only news of these models.", _PATTERN, 1),
    "private": Flag("Whether it may lie at an address that is not public."),
}
_FILE: Final = Table(
    "Who is told.",
    {
        "webhook": Several(
            "News as JSON, signed.",
            Table(
                "A webhook.",
                {**_COMMON, "url": Text("Its address."), "url_file": _PATH, "secret_file": _PATH},
                ("name", "secret_file"),
            ),
        ),
        "email": Several(
            "News by mail.",
            Table(
                "A mail server, and who gets mail.",
                {
                    **_COMMON,
                    "host": _HOST,
                    "port": Whole("Its port.", 1, 65_535),
                    "security": Text("How the connection is protected.", choices=SECURITY),
                    "login": Text("The user's name there."),
                    "password_file": _PATH,
                    "from": _MAILBOX,
                    "to": Several("Who gets mail.", _MAILBOX, 1),
                },
                ("name", "host", "from", "to"),
            ),
        ),
        "slack": Several(
            "News to a chat that takes Slack's messages.",
            Table("A chat's webhook.", {**_COMMON, "url_file": _PATH}, ("name", "url_file")),
        ),
    },
)


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which news a sink wants; an empty list is all of them."""

    lowest_risk: Severity | None = None
    kinds: frozenset[Kind] = frozenset()
    judgements: frozenset[Judgement] = frozenset()
    models: tuple[str, ...] = ()

    def wants(self, news: News) -> bool:
        """Whether these news are among them."""
        if self.lowest_risk is not None and (news.risk is None or news.risk < self.lowest_risk):
            return False
        if self.kinds and news.kind not in self.kinds:
            return False
        if self.judgements and news.judgement not in self.judgements:
            return False
        model_name = str(news.model_name)
        return not self.models or any(fnmatch.fnmatchcase(model_name, pattern) for pattern in self.models)


@dataclass(frozen=True, slots=True)
class WebhookSink:
    """A receiver of signed JSON (Standard Webhooks). `url` is empty where the address is in a file."""

    name: str
    wanted: Wanted
    private: bool
    secret_file: Path
    url: str = ""
    url_file: Path | None = None
    type = "webhook"

    def target(self) -> Target:
        """Where to.

        Raises:
            ConfigError: the file with the address cannot be read, or it is none.
        """
        url = _line(self.url_file, f"the address of '{self.name}'") if self.url_file else self.url
        return Target.parse(url, private=self.private)

    def key(self) -> bytes:
        """What is signed with.

        Raises:
            ConfigError: the file cannot be read, or does not hold `whsec_` and Base64 of 24 to 64 bytes.
        """
        what = f"the secret of '{self.name}'"
        text = _line(self.secret_file, what)
        least, most = SECRET_BYTES
        try:
            key = base64.b64decode(text.removeprefix("whsec_"), validate=True)
        except (binascii.Error, ValueError):
            key = b""
        if not text.startswith("whsec_") or not least <= len(key) <= most:
            raise ConfigError(
                f"{what} is not 'whsec_' and the Base64 of {least} to {most} bytes",
                hint="Make one: echo whsec_$(openssl rand -base64 32)",
            )
        return key

    def place(self) -> str:
        """What may be shown of where it is."""
        return str(self.target())


@dataclass(frozen=True, slots=True)
class EmailSink:
    """A mail server that is handed messages, and who gets them."""

    name: str
    wanted: Wanted
    private: bool
    host: str
    port: int
    security: str
    sender: str
    recipients: tuple[str, ...]
    login: str = ""
    password_file: Path | None = None
    type = "email"

    def password(self) -> str:
        """The password of `login`.

        Raises:
            ConfigError: the file cannot be read.
        """
        return _line(self.password_file, f"the password of '{self.name}'") if self.password_file else ""

    def place(self) -> str:
        """What may be shown of where it is."""
        return f"{self.host} port {self.port}"


@dataclass(frozen=True, slots=True)
class SlackSink:
    """A webhook of Slack, or of a chat that takes Slack's messages."""

    name: str
    wanted: Wanted
    private: bool
    url_file: Path
    type = "slack"

    def target(self) -> Target:
        """Where to.

        Raises:
            ConfigError: the file with the address cannot be read, or it is none.
        """
        return Target.parse(_line(self.url_file, f"the address of '{self.name}'"), private=self.private)

    def place(self) -> str:
        """What may be shown of where it is."""
        return str(self.target())


Sink = WebhookSink | EmailSink | SlackSink


def read_sinks(file: Path) -> tuple[Sink, ...]:
    """All sinks of a file, in its order; whether their secrets can be read is seen when something is sent.

    Raises:
        ConfigError: it cannot be read, or says what it must not.
    """
    if file.exists() and not file.is_file():
        # A pipe would be waited for, and a daemon with it.
        raise ConfigError(f"'{file}', which says who is told, is no file", hint=_HINT)
    data = read_small(file, f"'{file}', which says who is told,", limit=MAX_BYTES)
    try:
        text = data.decode("utf-8")
        document = tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"'{file}' is not valid TOML: {error}", hint=_HINT) from error
    try:
        _FILE.check(document, "")
        return _sinks(cast("Mapping[str, list[dict[str, object]]]", document), file.absolute().parent)
    except Problem as problem:
        lines = lines_of(text)
        line = next((lines[known] for known in (problem.key, problem.key.rpartition(".")[0]) if known in lines), 0)
        where = f"'{file}', line {line}" if line else f"'{file}'"
        raise ConfigError(f"{where}: '{problem.key}': {problem.message}", hint=_HINT) from problem


def _sinks(document: Mapping[str, list[dict[str, object]]], folder: Path) -> tuple[Sink, ...]:
    readers: Mapping[str, Callable[[Mapping[str, object], Path, str], Sink]] = {
        "webhook": _webhook,
        "email": _email,
        "slack": _slack,
    }
    found: list[Sink] = []
    for type_, rows in document.items():
        for number, row in enumerate(rows):
            sink = readers[type_](row, folder, f"{type_}[{number}]")
            if any(sink.name == other.name for other in found):
                raise Problem(f"{type_}[{number}].name", "another one has that name")
            found.append(sink)
    if len(found) > MAX_SINKS:
        raise Problem("", f"there are more than {MAX_SINKS}")
    return tuple(found)


def _wanted(row: Mapping[str, object]) -> Wanted:
    risk = str(row.get("lowest_risk", "none"))
    return Wanted(
        None if risk == "none" else Severity[risk.upper()],
        frozenset(Kind(one) for one in _texts(row, "kinds")),
        frozenset(Judgement(one) for one in _texts(row, "judgements")),
        _texts(row, "models"),
    )


def _texts(row: Mapping[str, object], key: str) -> tuple[str, ...]:
    return tuple(cast("list[str]", row.get(key, [])))


def _path(row: Mapping[str, object], key: str, folder: Path, where: str) -> Path | None:
    if key not in row:
        return None
    try:
        return folder / Path(str(row[key])).expanduser()
    except RuntimeError:
        raise Problem(f"{where}.{key}", "there is no such home folder") from None


def _webhook(row: Mapping[str, object], folder: Path, where: str) -> WebhookSink:
    url_file, secret_file = _path(row, "url_file", folder, where), _path(row, "secret_file", folder, where)
    assert secret_file is not None
    if ("url" in row) == (url_file is not None):
        raise Problem(where, "either 'url' or 'url_file' says where to")
    url, private = str(row.get("url", "")), bool(row.get("private"))
    if url:
        _checked(url, private, f"{where}.url")
    return WebhookSink(str(row["name"]), _wanted(row), private, secret_file, url, url_file)


def _checked(url: str, private: bool, where: str) -> None:
    try:
        Target.parse(url, private=private)
    except ConfigError as error:
        raise Problem(where, f"{error.message}. {error.hint}") from error


def _email(row: Mapping[str, object], folder: Path, where: str) -> EmailSink:
    security = str(row.get("security", "starttls"))
    recipients = _texts(row, "to")
    for number, mailbox in enumerate(recipients):
        _check_mailbox(mailbox, f"{where}.to[{number}]")
    _check_mailbox(str(row["from"]), f"{where}.from")
    if len(recipients) > MAX_RECIPIENTS:
        raise Problem(f"{where}.to", f"has more than {MAX_RECIPIENTS} entries")
    password_file = _path(row, "password_file", folder, where)
    if ("login" in row) != (password_file is not None):
        raise Problem(where, "'login' and 'password_file' go together")
    private = bool(row.get("private"))
    if security == "none" and (password_file is not None or not private):
        raise Problem(
            f"{where}.security",
            "'none' is for servers without a login, at an address that is not public (private = true)",
        )
    port = row.get("port", {"tls": 465, "starttls": 587, "none": 25}[security])
    return EmailSink(
        name=str(row["name"]),
        wanted=_wanted(row),
        private=private,
        host=str(row["host"]),
        port=int(str(port)),
        security=security,
        sender=str(row["from"]),
        recipients=recipients,
        login=str(row.get("login", "")),
        password_file=password_file,
    )


def _check_mailbox(text: str, where: str) -> None:
    fits = re.fullmatch(r"[!-~]{1,64}@[A-Za-z0-9.-]{1,253}", text)
    try:
        if fits and Address(addr_spec=text).addr_spec == text:
            return
    except (MessageError, ValueError, IndexError):
        pass
    raise Problem(where, "is no mail address of plain ASCII, user@host.example")


def _slack(row: Mapping[str, object], folder: Path, where: str) -> SlackSink:
    url_file = _path(row, "url_file", folder, where)
    assert url_file is not None
    return SlackSink(str(row["name"]), _wanted(row), bool(row.get("private")), url_file)


def _line(path: Path, what: str) -> str:
    """The one line of a file that holds a secret, which no error shows."""
    try:
        text = read_small(path.expanduser(), f"{what} ('{path}')").decode("utf-8").strip()
    except UnicodeDecodeError:
        raise ConfigError(f"{what} ('{path}') is not UTF-8") from None
    if not text or not text.isprintable():
        raise ConfigError(f"{what} ('{path}') is not one line of text")
    return text
