"""Does a SQLite database hold more than rows: schemas that act, objects that are loaded, pages that nothing owns?

Vector stores, trackers of experiments and tuning keep one. Every page is walked (`formats.sqlite`); the schema's SQL is
looked at for what programs run without asking for it (triggers, views in the place of tables, functions that reach out);
blobs that are pickles, archives or programs are inspected as artifacts of their own. Texts that lie on several pages, or
are UTF-16, are put together once more, so that content inspectors see them whole.

A log or journal beside the database holds pages that replace its own when it is opened: it is unknown, and so is a
database that is encrypted or larger than is read.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterator
from itertools import islice
from typing import Final

from weighbridge.core.errors import LimitExceeded, Malformed
from weighbridge.core.finding import Report, Severity
from weighbridge.core.ports import RangeReader
from weighbridge.formats.held import Held
from weighbridge.formats.kinds import HEAD_BYTES, kind_of
from weighbridge.formats.members import Slice
from weighbridge.formats.pickle_walker import walk
from weighbridge.formats.sqlite import Database, Field, Row
from weighbridge.inspectors.notes import Notes, shown
from weighbridge.inspectors.rule import Rule
from weighbridge.inspectors.subject import Subject

NAME: Final = "databases"
MAX_DESCENDED: Final = 2_000
"""Blobs that are inspected as artifacts of their own; with more of them the database is unknown."""
MAX_TEXTS_BYTES: Final = 8 * 1024 * 1024
"""Of texts that are put together at a time."""
MIN_BLOB: Final = 4
_RISKY: Final = frozenset(("executable", "serialised", "archive"))


def _rule(name: str, title: str, severity: Severity, explanation: str, remedy: str = "") -> Rule:
    remedy = (
        remedy or "Have the database made anew from its rows (`.dump`, read, and load), or leave it out with --exclude."
    )
    return Rule(f"sqlite-{name}", title, severity, NAME, explanation, remedy)


RULES: Final[tuple[Rule, ...]] = (
    _rule(
        "dangerous-sql",
        "Schema that reaches out of the database",
        Severity.HIGH,
        "A view, trigger, table or index calls a function that loads a library, or reads or writes files; querying the "
        "table runs it.",
        "Do not open the database with extensions allowed. Report the repository.",
    ),
    _rule(
        "unknown-function",
        "Schema that calls functions that SQLite has not",
        Severity.MEDIUM,
        "The program that opens the database must bring the function, and runs it when the table is used.",
    ),
    _rule(
        "virtual-table",
        "Table of an extension that is not known",
        Severity.MEDIUM,
        "To open it a library must be loaded, which then reads what the publisher wrote.",
    ),
    _rule(
        "trigger",
        "Trigger that takes rows away",
        Severity.LOW,
        "Whoever writes to the table loses rows of it or of another, or writes elsewhere than it says.",
    ),
    _rule(
        "schema-oddity",
        "Schema that SQLite did not write",
        Severity.MEDIUM,
        "A row of the schema was edited by hand, or a view stands where programs expect a table: their queries run its SQL.",
    ),
    _rule("broken", "Database that breaks its format", Severity.MEDIUM, "It cannot be followed to its end."),
    _rule(
        "unowned-pages",
        "Pages that belong to nothing",
        Severity.MEDIUM,
        "SQLite keeps account of every page. Bytes behind the last one, or outside of every table, are put there by others.",
    ),
    _rule(
        "journal",
        "Log or journal beside a database",
        Severity.MEDIUM,
        "Its pages replace those of the database when that is opened; they were not judged.",
        "Have the publisher close the database (`PRAGMA wal_checkpoint(TRUNCATE)`), and leave the journal out.",
    ),
    _rule(
        "not-understood",
        "Part of a database that was not looked at",
        Severity.LOW,
        "It is larger than is read, or holds more objects than are inspected.",
    ),
)
_BY_ID: Final = {rule.id: rule for rule in RULES}


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_STARTS: Final = {
    "table": re.compile(r"(?i)CREATE\s+(?:VIRTUAL\s+)?TABLE\b"),
    "index": re.compile(r"(?i)CREATE\s+(?:UNIQUE\s+)?INDEX\b"),
    "view": re.compile(r"(?i)CREATE\s+VIEW\b"),
    "trigger": re.compile(r"(?i)CREATE\s+TRIGGER\b"),
}
_TOKEN: Final = re.compile(
    r"'(?:[^']|'')*+(?:'|\Z)|\"(?:[^\"]|\"\")*+(?:\"|\Z)|`(?:[^`]|``)*+(?:`|\Z)|\[[^\]]*+(?:\]|\Z)|--[^\n]*|/\*.*?(?:\*/|\Z)",
    re.DOTALL,
)
"""What SQLite reads as one: texts and names in quotes, and comments."""
_QUOTES: Final = re.compile(r"[\"`\[\]']")
_REACHING: Final = re.compile(
    r"(?i)\b(load_extension|writefile|readfile|edit|fts3_tokenizer|fsdir|zipfile|sqlar_\w+|eval|exec|system|shell|popen"
    r"|http_\w+|py_\w+|lsmode|readlob|dbpath|pg_read_\w+)[\"`\]]?\s*\("
)
_READING_MODULES: Final = frozenset(
    ("csv", "fsdir", "zipfile", "fs", "lines", "lines_read", "exec", "http", "spellfix1_file")
)
_MODULE: Final = re.compile(
    r"(?is)CREATE\s+VIRTUAL\s+TABLE\s+(?:IF\s+NOT\s+EXISTS\s+)?.{1,300}?\sUSING\s+[\"`\[]?(\w+)[\"`\]]?\s*(?:\((.{0,4000}))?"
)
_MODULES: Final = _words(
    "fts3 fts4 fts4aux fts5 fts5vocab rtree rtree_i32 geopoly vec0 vss0 json_each json_tree dbstat spellfix1"
)
_TOKENIZER: Final = re.compile(r"(?i)\btokenize\s*=?\s*[\"'`]{0,2}\s*(\w+)")
_TOKENIZERS: Final = frozenset(("simple", "porter", "unicode61", "icu", "ascii", "trigram"))
_CALLED: Final = re.compile(
    r"(?i)(?:\b(into|table|view|on|references|as|of|update|from|join)\s+)?[\"`\[]?\b([a-z_]\w*)[\"`\]]?\s*\("
)
_TAKING: Final = re.compile(r"(?i)\bINSTEAD\s+OF\b|\bDELETE\s+FROM\b|\bREPLACE\s+INTO\b")
"""What a trigger does that is worth a word; caches and indexes of words keep their counts by others."""
_FUNCTIONS: Final = _words(
    """
    abs changes char coalesce concat concat_ws format glob hex if ifnull iif instr last_insert_rowid length like likelihood
    likely lower ltrim max min nullif octet_length printf quote random randomblob replace round rtrim sign soundex
    sqlite_version substr substring total_changes trim typeof unhex unicode unistr unlikely upper zeroblob
    date time datetime julianday unixepoch strftime timediff
    avg count group_concat string_agg sum total median percentile
    acos acosh asin asinh atan atan2 atanh ceil ceiling cos cosh degrees exp floor ln log log10 log2 mod pi pow power radians
    sin sinh sqrt tan tanh trunc
    row_number rank dense_rank percent_rank cume_dist ntile lag lead first_value last_value nth_value
    json jsonb json_array json_array_length json_error_position json_extract json_insert json_object json_patch json_pretty
    json_remove json_replace json_set json_type json_valid json_quote json_group_array json_group_object json_each json_tree
    jsonb_array jsonb_extract jsonb_insert jsonb_object jsonb_patch jsonb_remove jsonb_replace jsonb_set jsonb_group_array
    jsonb_group_object jsonb_each jsonb_tree highlight snippet bm25 offsets matchinfo optimize raise cast exists rtreecheck
    vec_distance_l2 vec_distance_cosine vec_to_json vec_f32 vec_length
    st_isempty st_minx st_maxx st_miny st_maxy
    in and or not values when then else select case over filter key unique check primary foreign where on as by using union
    all except intersect like glob between is having set default partition order group limit offset from join return
    returning conflict distinct with recursive materialized match escape collate
    """
)
_EXPECTED_TABLES: Final = _words(
    """
    alembic_version alembic_version.default migrations collections collection_metadata segments segment_metadata embeddings
    embedding_metadata embeddings_queue max_seq_id tenants databases studies study_user_attributes study_system_attributes
    trials trial_params trial_values trial_user_attributes trial_system_attributes trial_intermediate_values version_info
    experiments experiment_tags runs metrics params tags latest_metrics registered_models model_versions
    checkpoints writes messages documents items cache settings
    """
)


class Databases:
    """The inspector `databases`; see the module."""

    name = NAME

    def inspect(self, subject: Subject) -> Report | None:
        """Clean with full coverage for rows alone; None for what is no database.

        Raises:
            Truncated: the reader returned less than the artifact's size promises.
        """
        kind = subject.kind.name
        notes = Notes(subject, _BY_ID)
        if kind == "sqlite-journal":
            notes.say("sqlite-journal", "the file is the log or journal of a database")
            return notes.report(NAME, 0)
        if kind != "sqlite":
            return None
        look = _Look(subject, notes)
        try:
            covered = look.all()
        except Malformed as problem:
            notes.say("sqlite-broken", problem.message)
            covered = 0
        except LimitExceeded as problem:
            notes.say("sqlite-not-understood", problem.message)
            covered = 0
        return notes.report(NAME, covered)


class _Look:
    """One database under inspection."""

    def __init__(self, subject: Subject, notes: Notes) -> None:
        self._subject = subject
        self._notes = notes
        self._descended = 0
        self._texts: list[bytes] = []
        self._gathered = 0
        self._parts = 0
        self._whole = True

    def all(self) -> int:
        """Looks at every page; how many bytes are understood."""
        database = Database(self._subject)
        header = database.header
        self._wide = header.encoding != "utf-8"
        end = header.pages * header.page_bytes
        roots = list(islice(self._schema(database), 100_000))
        for root in roots:
            for row in database.rows(root):
                self._row(row)
        database.follow_free_pages()
        self._flush()
        unowned = database.pages_of_nobody
        if unowned:
            self._notes.say("sqlite-unowned-pages", f"{unowned} pages belong to no table, index or free list")
        self._behind(end)
        understood = self._whole and not unowned
        return end if understood else 0

    def _schema(self, database: Database) -> Iterator[int]:
        """Judges the rows of the schema; the roots of what has pages."""
        for row in database.rows(1):
            self._row(row)
            if len(row.values) != 5:
                raise Malformed("a row of the schema has not five values")
            sort, name, _, root, sql = (_plain(value) for value in row.values)
            self._object(str(sort), str(name), sql)
            if isinstance(root, int) and root:
                yield root

    def _object(self, sort: str, name: str, sql: object) -> None:
        say = self._notes.say
        start = _STARTS.get(sort)
        if start is None:
            say("sqlite-schema-oddity", f"the schema has an object of the sort {shown(sort)}", location=shown(name))
            return
        if not isinstance(sql, str):
            if sql is not None or not name.startswith("sqlite_autoindex_"):
                say("sqlite-schema-oddity", "an object of the schema has no SQL", location=shown(name))
            return
        plain = _TOKEN.sub(_without_comment, sql)
        if not start.match(plain) or _QUOTES.sub("", name).lower() not in _QUOTES.sub("", sql).lower():
            say("sqlite-schema-oddity", f"what is called a {sort} is {shown(sql)}", location=shown(name))
        if sort == "view" and name.lower() in _EXPECTED_TABLES:
            say("sqlite-schema-oddity", "a view stands where programs expect a table", location=shown(name))
        found = _REACHING.search(plain)
        if found:
            say("sqlite-dangerous-sql", f"the {sort} calls {shown(found[1])}", location=shown(name))
        module = _MODULE.match(plain.lstrip())
        if module:
            self._module(name, module[1].lower(), module[2] or "")
        elif sort in ("view", "trigger"):
            self._calls(sort, name, plain)

    def _module(self, name: str, module: str, arguments: str) -> None:
        tokenizer = _TOKENIZER.search(arguments)
        if module in _READING_MODULES:
            self._notes.say(
                "sqlite-dangerous-sql", f"the table is read from files by {shown(module)}", location=shown(name)
            )
        elif module not in _MODULES:
            self._notes.say("sqlite-virtual-table", f"the table is of the module {shown(module)}", location=shown(name))
        elif tokenizer and tokenizer[1].lower() not in _TOKENIZERS:
            self._notes.say(
                "sqlite-virtual-table", f"the table's words are cut by {shown(tokenizer[1])}", location=shown(name)
            )

    def _calls(self, sort: str, name: str, sql: str) -> None:
        unknown = sorted(
            {
                match[2].lower()
                for match in _CALLED.finditer(sql)
                if not match[1] and match[2].lower() not in _FUNCTIONS and not _REACHING.match(f"{match[2]}(")
            }
            - {_QUOTES.sub("", name).lower()}
        )
        if unknown:
            self._notes.say(
                "sqlite-unknown-function", f"the {sort} calls {shown(', '.join(unknown))}", location=shown(name)
            )
        elif sort == "trigger" and _TAKING.search(sql):
            self._notes.say("sqlite-trigger", f"the trigger is {shown(sql)}", location=shown(name))

    # --- rows ---------------------------------------------------------------------------------------------------

    def _row(self, row: Row) -> None:
        for value in row.values:
            if not isinstance(value, Field):
                continue
            if isinstance(value.value, str):
                if value.value and (self._wide or value.offset < 0):
                    self._text(value.value)
            elif len(value.value) >= MIN_BLOB and _is_object(value.value):
                self._blob(row, value, value.value)

    def _text(self, text: str) -> None:
        raw = text.encode("utf-8", "replace")
        self._texts.append(raw)
        self._gathered += len(raw)
        if self._gathered >= MAX_TEXTS_BYTES:
            self._flush()

    def _flush(self) -> None:
        """Shows the content inspectors what was gathered, as prose: nothing in it is read by a loader."""
        if self._texts:
            self._parts += 1
            prose = re.sub(rb"[\x00-\x08\x0b-\x1f\x7f]", b" ", b"\n".join(self._texts))
            # What would be taken for something else by its first bytes is not.
            self._inspect(Held(f"texts-{self._parts}.txt", b"texts of rows\n" + prose + b"\n"), len(prose))
            self._texts, self._gathered = [], 0

    def _blob(self, row: Row, field: Field, data: bytes) -> None:
        self._descended += 1
        if self._descended > MAX_DESCENDED:
            self._whole = False
            self._notes.say("sqlite-not-understood", f"more than {MAX_DESCENDED} blobs are objects of their own")
            return
        name = f"page-{row.page}-blob"
        if field.offset >= 0:
            self._inspect(Slice(name, self._subject.reader, field.offset, len(data)), 0)
        else:
            self._inspect(Held(name, data), len(data))

    def _inspect(self, member: RangeReader, unpacked: int) -> None:
        try:
            self._subject.descend(member, unpacked_bytes=unpacked)
        except LimitExceeded as problem:
            self._whole = False
            self._notes.say("sqlite-not-understood", problem.message)

    def _behind(self, end: int) -> None:
        rest = self._subject.size_bytes - end
        if rest > 0:
            self._notes.say("sqlite-unowned-pages", f"{rest} bytes follow the last page")
            self._inspect(Slice("trailing-data", self._subject.reader, end, rest), 0)


def _without_comment(token: re.Match[str]) -> str:
    return " " if token[0].startswith(("--", "/*")) else token[0]


def _plain(value: Field | float | None) -> object:
    return value.value if isinstance(value, Field) else value


def _is_object(blob: bytes) -> bool:
    """Whether a blob begins as something that is loaded, unpacked or run; vectors of numbers may do so by chance."""
    kind = kind_of("", blob[:HEAD_BYTES], len(blob))
    if kind.family not in _RISKY or kind.name == "cpio":
        return False
    if kind.name == "zlib":
        return _unpacks(blob)
    return not (kind.name == "pickle" and len(blob) % 4 == 0 and _is_vector(blob)) or _is_pickle(blob)


def _unpacks(blob: bytes) -> bool:
    try:
        return len(zlib.decompressobj().decompress(blob, 1024 * 1024)) > 0
    except zlib.error:
        return False


def _is_vector(blob: bytes) -> bool:
    """Whether every four bytes are a number of the size that embeddings have."""
    with memoryview(blob) as view, view.cast("f") as numbers:
        return all(-1e4 < number < 1e4 for number in numbers)


def _is_pickle(blob: bytes) -> bool:
    """Whether a second reading comes to an end, or names anything on the way."""
    seen = walk(Held("", blob), 0, len(blob))
    return seen.end >= 0 or bool(seen.named or seen.stacked) or seen.unsure
