"""SQLite databases as the library itself writes them: honest ones, and what can be hidden in them, each with its rule."""

from __future__ import annotations

import pickle
import random
import sqlite3
import struct
import tempfile
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.support.archive_corpus import WEAPON, zipped

VECTORS = "create table embeddings(id integer primary key, vector blob, document text)"
INSERT = "insert into embeddings values(null, ?, ?)"


@dataclass(frozen=True, slots=True)
class Stored:
    """One database, and the rule that it breaks ("" for an honest one)."""

    name: str
    data: bytes
    rule: str = ""
    path: str = "chroma.sqlite3"


def database(*statements: str, rows: Sequence[tuple[str, tuple[object, ...]]] = (), first: Sequence[str] = (), edit: str = "") -> bytes:  # fmt: skip
    """What SQLite makes of statements and rows; `first` are settings, `edit` changes the schema's own table."""
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder) / "a.db"
        opened = sqlite3.connect(place, isolation_level=None)
        try:
            for statement in (*first, "pragma synchronous=off", "begin", *statements):
                opened.execute(statement)
            for statement, values in rows:
                opened.execute(statement, values)
            if edit:
                opened.execute("pragma writable_schema=on")
                opened.execute(edit)
            opened.execute("commit")
        finally:
            opened.close()
        return place.read_bytes()


def vectors(count: int, seed: int = 7) -> list[tuple[str, tuple[object, ...]]]:
    """Rows of a vector store: numbers of four bytes, and documents of some words or of several pages."""
    source = random.Random(seed)
    return [
        (INSERT, (struct.pack("<96f", *(source.gauss(0, 1) for _ in range(96))), "words, " * source.randrange(900)))
        for _ in range(count)
    ]


def wal() -> tuple[bytes, bytes]:
    """A database that is still open, and the log beside it."""
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder) / "a.db"
        opened = sqlite3.connect(place)
        try:
            opened.execute("pragma journal_mode=wal")
            opened.execute(VECTORS)
            opened.commit()
            return place.read_bytes(), Path(f"{place}-wal").read_bytes()
        finally:
            opened.close()


def holding(blob: bytes) -> bytes:
    return database(VECTORS, rows=[(INSERT, (blob, ""))])


_MLFLOW = (
    "create table alembic_version(version_num varchar(32) not null, constraint alembic_version_pkc primary key(version_num))",
    "create table experiments(experiment_id integer not null, name varchar(256) not null, artifact_location varchar(256),"
    " lifecycle_stage varchar(32), constraint experiment_pk primary key(experiment_id), unique(name),"
    " constraint experiments_lifecycle_stage check(lifecycle_stage in ('active', 'deleted')))",
    "create table metrics(key varchar(250) not null, value float not null, timestamp bigint not null, run_uuid varchar(32)"
    " not null, step bigint default 0 not null, is_nan boolean default 0 not null, primary key(key, timestamp, step, run_uuid, value, is_nan))",
    "create index index_metrics_run_uuid on metrics(run_uuid)",
)
_OPTUNA = (
    "create table studies(study_id integer not null, study_name varchar(512) not null, primary key(study_id))",
    "create unique index ix_studies_study_name on studies(study_name)",
    "create table trial_params(param_id integer not null, trial_id integer, param_name varchar(512), param_value float,"
    " distribution_json text, primary key(param_id), unique(trial_id, param_name))",
)
_CHROMA = (
    "create table collections(id text primary key, name text not null, dimension integer, database_id text not null, unique(name, database_id))",
    "create virtual table embedding_fulltext_search using fts5(string_value, tokenize='trigram')",
    "create table embedding_metadata(id integer references embeddings(id), key text not null, string_value text, primary key(id, key))",
)
_CHANGED = (
    "create trigger changed after insert on embeddings begin update embeddings set document = lower(new.document); end"
)
_TAKEN = "create trigger taken after insert on embeddings begin delete from embeddings where id < new.id; end"
HONEST = [
    Stored("an empty one", database("create table x(a)")),
    Stored("a vector store", database(VECTORS, *_CHROMA, "create index i on embeddings(document)", rows=vectors(150))),
    Stored("a tracker of experiments", database(*_MLFLOW, rows=[("insert into experiments values(?, ?, 'a', 'active')", (k, f"e{k}")) for k in range(300)]), path="mlflow.db"),
    Stored("a tuner's studies", database(*_OPTUNA, rows=[("insert into trial_params values(null, ?, 'lr', .5, '{}')", (k,)) for k in range(200)]), path="optuna.db"),
    *[
        Stored(f"{encoding}, pages of {size}, {vacuum}", database(VECTORS, rows=vectors(12), first=(f"pragma page_size={size}", f"pragma encoding='{encoding}'", f"pragma auto_vacuum={vacuum}")))
        for size, encoding, vacuum in ((512, "UTF-8", "full"), (1024, "UTF-16le", "none"), (65536, "UTF-16be", "incremental"))
    ],
    Stored("with pages that are free", database(VECTORS, "create table old as select 1 as a", rows=[*vectors(60), ("delete from embeddings where id % 3", ()), ("drop table old", ())])),
    Stored("without row ids", database("create table w(k text primary key, v blob) without rowid", rows=[("insert into w values(?, ?)", (str(k) * 40, bytes(k))) for k in range(99)])),
    Stored("a view of counts", database(VECTORS, "create view totals as select count(*) as n, lower(substr(document, 1, 9)) as d from embeddings group by d")),
    Stored("cached plain pickles", holding(pickle.dumps({"a": [1, 2.5, b"x"]}))),
    Stored("a trigger that keeps something up to date", database(VECTORS, _CHANGED)),
    Stored("a trigger that takes rows away", database(VECTORS, _TAKEN), "sqlite-trigger"),
    Stored("once written ahead", wal()[0][:18] + b"\2\2" + database(VECTORS)[20:]),
]  # fmt: skip

_EDIT = "update sqlite_master set {} where name = 'embeddings'"
_HONEST = HONEST[1].data
HOSTILE = [
    *[
        Stored(f"a pickle, {name}", holding(data), "pickle-dangerous-callable")
        for name, data in {
            "plain": WEAPON,
            "long": pickle.dumps(b"x" * 9_000)[:-1] + b"0" + WEAPON[2:],
            "packed": zlib.compress(WEAPON),
            "without an end": WEAPON[:-1] + b"\xff" * 3,
            "of the first protocol": b"cos\nsystem\n(S'id'\ntR.",
        }.items()
    ],
    Stored("an archive of a pickle", holding(zipped({"data.pkl": WEAPON})), "pickle-dangerous-callable"),
    Stored("a program", holding(b"\x7fELF\x02\x01\x01" + bytes(60)), "executable-native"),
    *[
        Stored(f"SQL: {statement[:60]}", database(VECTORS, statement), "sqlite-dangerous-sql")
        for statement in (
            "create view v as select load_extension('./x.so')",
            "create view v as select \"load_extension\"('./x.so')",
            "create view v as select [load_extension] ('./x.so')",
            "create view v as select load_extension/* ( */('./x.so')",
            "create view v as select '--', load_extension/**/('./x.so')",
            "create view v as select writefile('/tmp/x', 'y')",
            "create view v as select hex(readfile('/etc/passwd'))",
            "create trigger t after insert on embeddings begin select load_extension('./x.so'); end",
            "create trigger t before delete on embeddings when edit('a', 'sh') begin select 1; end",
            "create view v as select fts3_tokenizer('simple', x'4141414141414141')",
        )
    ],
    Stored("a function of nobody", database(VECTORS, "create view v as select my_function(document) from embeddings"), "sqlite-unknown-function"),
    Stored("a function of nobody in a trigger", database(VECTORS, "create trigger t after insert on embeddings begin select my_function(new.id); end"), "sqlite-unknown-function"),
    Stored("a view in a table's place", database("create table x(a)", "create view collections as select a from x"), "sqlite-schema-oddity"),
    Stored("a table that is a view", database(VECTORS, edit=_EDIT.format("sql = 'create view embeddings as select 1'")), "sqlite-schema-oddity"),
    Stored("a table of another name", database(VECTORS, edit=_EDIT.format("sql = 'create table other(a)'")), "sqlite-schema-oddity"),
    Stored("an object of no sort", database(VECTORS, edit=_EDIT.format("type = 'program'")), "sqlite-schema-oddity"),
    Stored("an object without SQL", database(VECTORS, edit=_EDIT.format("sql = null")), "sqlite-schema-oddity"),
    Stored("a table read from files", database(VECTORS, edit=_EDIT.format("rootpage = 0, sql = 'create virtual table embeddings using csv(filename=''/etc/passwd'')'")), "sqlite-dangerous-sql"),
    Stored("a table of a module", database(VECTORS, edit=_EDIT.format("rootpage = 0, sql = 'create virtual table embeddings using my_module(a)'")), "sqlite-virtual-table"),
    Stored("words cut by a stranger", database(VECTORS, edit=_EDIT.format("rootpage = 0, sql = 'create virtual table embeddings using fts3(a, tokenize=mine)'")), "sqlite-virtual-table"),
    Stored("a table without its pages", database(VECTORS, edit=_EDIT.format("rootpage = 0")), "sqlite-unowned-pages"),
    Stored("a table of another's pages", database(VECTORS, "create table x(a)", edit=_EDIT.format("rootpage = 3")), "sqlite-broken"),
    Stored("a table beyond the end", database(VECTORS, edit=_EDIT.format("rootpage = 900")), "sqlite-broken"),
    Stored("bytes behind", _HONEST + b"hidden things", "sqlite-unowned-pages"),
    Stored("a program behind", _HONEST + b"\x7fELF\x02\x01\x01" + bytes(4096), "sqlite-unowned-pages"),
    Stored("a page behind", _HONEST + bytes(4096), "sqlite-unowned-pages"),
    Stored("cut by a byte", _HONEST[:-1], "sqlite-broken"),
    Stored("cut by a page", _HONEST[:-4096], "sqlite-broken"),
    Stored("cut in its header", _HONEST[:90], "sqlite-broken"),
    Stored("pages of no size", _HONEST[:16] + b"\x03\xe8" + _HONEST[18:], "sqlite-broken"),
    Stored("a free list that is none", _HONEST[:32] + struct.pack(">LL", 2, 1) + _HONEST[40:], "sqlite-broken"),
    Stored("the log beside one", wal()[1], "sqlite-journal", "chroma.sqlite3-wal"),
    Stored("the journal beside one", bytes.fromhex("d9d505f920a163d7") + bytes(504), "sqlite-journal", "chroma.sqlite3-journal"),
    Stored("encrypted", random.Random(1).randbytes(8192), "kind-unrecognised"),
]  # fmt: skip
