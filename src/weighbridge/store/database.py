"""One database, SQLite or PostgreSQL, opened so that what is committed stays committed.

Rules:

- SQLite: write-ahead log, `synchronous=FULL`, writers take the write lock when they begin; PostgreSQL: writers take one
  advisory lock and `synchronous_commit` is never off. Both wait a bounded time for a lock.
- Every failure of a driver becomes an error of this project, whose text never carries the password of the URL.
- A `Database` must be opened after a fork, not before.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import URL, Connection, Engine, Text, column, create_engine, event, inspect, make_url, select, table
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import ArgumentError, DBAPIError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.pool import ConnectionPoolEntry

from weighbridge.core.errors import (
    AccessRefused,
    Busy,
    ConfigError,
    LedgerError,
    OutOfSpace,
    StoreUnreachable,
    WeighbridgeError,
)
from weighbridge.store.tables import SCHEMA_VERSIONS, VERSION_TABLE, create_schema

_LOCK = int.from_bytes(hashlib.sha256(b"weighbridge ledger").digest()[:8], "big", signed=True)
_WRITE = "weighbridge_write"
_SQLITE = "sqlite:///"

_URL_HINT = "Write sqlite:///path/to/ledger.db or postgresql+psycopg://user:password@host/database."
_BUSY_HINT = "Another process is writing; try again, or end the process that holds the lock."
_DAMAGED_HINT = "Restore the database from a backup and verify it; keep the damaged one for the inquiry."

_Fault = tuple[type[WeighbridgeError], str, str]
_SQLITE_FAULTS: dict[int, _Fault] = {
    3: (AccessRefused, "may not be used", "Check the owner and the permissions of the file and its folder."),
    5: (Busy, "is locked by another process", _BUSY_HINT),
    6: (Busy, "is locked by another process", _BUSY_HINT),
    8: (AccessRefused, "may not be written to", "Check the owner and the permissions of the file and its folder."),
    10: (LedgerError, "cannot be read or written", "Check the disk; then verify the ledger."),
    11: (LedgerError, "is damaged", _DAMAGED_HINT),
    13: (OutOfSpace, "cannot grow: the disk is full", "Free some space and try again; nothing was recorded."),
    14: (LedgerError, "cannot be opened", "Check that the folder exists and that its permissions allow it."),
    26: (LedgerError, "is not a database", _DAMAGED_HINT),
}
_POSTGRES_FAULTS: dict[str, _Fault] = {
    "28": (AccessRefused, "refused the login", "Check user and password of the ledger's URL."),
    "3D": (LedgerError, "does not exist", "Create the database, or correct the ledger's URL."),
    "40": (Busy, "was busy with another transaction", _BUSY_HINT),
    "42501": (AccessRefused, "may not be written to", "Grant the user the rights to create and change its tables."),
    "53100": (OutOfSpace, "cannot grow: the disk is full", "Free some space and try again; nothing was recorded."),
    "55P03": (Busy, "is locked by another process", _BUSY_HINT),
    "08": (StoreUnreachable, "does not answer", "Check that the server runs and that host and port are right."),
    "57P": (StoreUnreachable, "is shutting down or starting", "Try again when the server is up."),
}
_SCHEMA_FAULT: _Fault = (
    LedgerError,
    "does not have the expected tables",
    "Rebuild the catalog; if that fails, restore the database from a backup and verify it.",
)


class Database:
    """Connections to one database. Thread-safe.

    Raises:
        ConfigError: the URL is none of the two kinds, or the driver it needs is not installed.
    """

    def __init__(self, url: str, *, wait_seconds: float = 30.0) -> None:
        self._url = _parse(url)
        self._wait_milliseconds = max(1, int(wait_seconds * 1000))
        self.path = Path(str(self._url.database)) if self._url.drivername == "sqlite" else None
        """The file of an SQLite database, else None."""
        shown = self._url.set(query={}).render_as_string(hide_password=True)
        self.shown = shown if self.path is None else f"{_SQLITE}{self.path}"
        """The URL without what must not be shown."""
        self._engine = self._create_engine()

    def _create_engine(self) -> Engine:
        try:
            if self.path is not None:
                engine = create_engine(self._url, hide_parameters=True)
                event.listen(engine, "connect", self._set_up_sqlite)
                event.listen(engine, "begin", _begin_sqlite)
                return engine
            waiting = {} if "connect_timeout" in self._url.query else {"connect_timeout": 10}
            return create_engine(self._url, hide_parameters=True, pool_pre_ping=True, connect_args=waiting)
        except ImportError:
            raise ConfigError(
                f"the ledger {self.shown} needs the PostgreSQL driver, which is not installed",
                hint="Install it with: pip install 'weighbridge[postgres]'",
            ) from None

    def _set_up_sqlite(self, connection: DBAPIConnection, _entry: ConnectionPoolEntry) -> None:
        # Transactions are begun explicitly below: the driver's own would begin too late, after the first read.
        connection.isolation_level = None
        cursor = connection.cursor()
        for pragma in (
            f"busy_timeout = {self._wait_milliseconds}",
            "synchronous = FULL",
            "foreign_keys = ON",
            "trusted_schema = OFF",
        ):
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """A connection in a transaction that reads.

        Raises:
            LedgerError, StoreError: the database cannot be used, of the kind that fits.
        """
        with self._translated(), self._engine.connect() as connection, connection.begin():
            yield connection

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """A connection in the one transaction that writes; durable once the block was left without an error.

        Raises:
            Busy: another writer did not finish in time.
            LedgerError, StoreError: the database cannot be used, of the kind that fits.
        """
        with self._translated(), self._engine.connect() as connection:
            connection.execution_options(**{_WRITE: True})
            with connection.begin():
                if self.path is None:
                    connection.exec_driver_sql(
                        "SELECT set_config('lock_timeout', %s, true), CASE WHEN current_setting('synchronous_commit') "
                        "= 'off' THEN set_config('synchronous_commit', 'on', true) END",
                        (str(self._wait_milliseconds),),
                    )
                    connection.exec_driver_sql("SELECT pg_advisory_xact_lock(%s)", (_LOCK,))
                yield connection

    def holds_data(self) -> bool:
        """Whether the file of an SQLite database is there and not empty; true for every other database."""
        if self.path is None:
            return True
        try:
            return self.path.stat().st_size > 0
        except FileNotFoundError:
            return False
        except OSError as error:
            raise LedgerError(
                f"the ledger {self.shown} cannot be opened ({error.strerror})",
                hint="Check that the path is right and that its permissions allow it.",
            ) from error

    def is_current(self) -> bool:
        """Whether the schema is the one this code knows.

        Raises:
            ConfigError: it is of a version this code does not know.
        """
        if self.path is not None and not self.holds_data():
            return False
        with self.reading() as connection:
            if self.path is not None and connection.exec_driver_sql("PRAGMA journal_mode").scalar() != "wal":
                return False
            return self._version(connection) == SCHEMA_VERSIONS[-1]

    def bring_up_to_date(self) -> None:
        """Creates or migrates the schema. Several processes may call it at once."""
        if self.path is not None:
            with self._translated(), self._engine.connect() as connection:
                # A change of the journal is no part of a transaction, hence the driver's own connection.
                driver = connection.connection.driver_connection
                if driver is not None:
                    driver.execute("PRAGMA journal_mode = WAL")
        with self.writing() as connection:
            version = self._version(connection)
            if not version:
                # Nothing to migrate from. Importing Alembic would double the time that a first command takes.
                create_schema(connection)
            elif version != SCHEMA_VERSIONS[-1]:
                from weighbridge.store.migrations import migrate

                migrate(connection)

    def _version(self, connection: Connection) -> str:
        if not inspect(connection).has_table(VERSION_TABLE):
            return ""
        query = select(column("version_num", Text)).select_from(table(VERSION_TABLE))
        versions: list[str] = [str(version) for version in connection.execute(query).scalars()]
        if len(versions) > 1 or any(version not in SCHEMA_VERSIONS for version in versions):
            raise ConfigError(
                f"the ledger {self.shown} has a schema this weighbridge does not know ({', '.join(versions)})",
                hint="It was written by a newer weighbridge; upgrade this one.",
            )
        return versions[0] if versions else ""

    def close(self) -> None:
        """Lets go of all connections."""
        self._engine.dispose()

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except DBAPIError as error:
            raise self._judge(error.orig or error) from None
        except PoolTimeout:
            raise Busy(f"the ledger {self.shown} has no free connection", hint=_BUSY_HINT) from None
        except SQLAlchemyError as error:
            raise LedgerError(
                f"the ledger {self.shown} cannot be used ({type(error).__name__})", hint=_DAMAGED_HINT
            ) from None

    def _judge(self, error: BaseException) -> WeighbridgeError:
        reason = " ".join(str(error).split())
        for secret in _secrets(self._url):
            reason = reason.replace(secret, "***")
        kind, what, hint = self._fault(error, reason)
        return kind(f"the ledger {self.shown} {what} ({reason})", hint=hint)

    def _fault(self, error: BaseException, reason: str) -> _Fault:
        general: _Fault = (LedgerError, "cannot be used", _DAMAGED_HINT)
        if self.path is not None:
            if "no such table" in reason or "no such column" in reason:
                return _SCHEMA_FAULT
            code = getattr(error, "sqlite_errorcode", 0)
            return _SQLITE_FAULTS.get(code & 0xFF, general)
        state = getattr(error, "sqlstate", None) or ""
        if not state and type(error).__name__ == "OperationalError":
            state = _connection_state(reason)
        if state in ("42P01", "42703"):
            return _SCHEMA_FAULT
        return next((fault for prefix, fault in _POSTGRES_FAULTS.items() if state.startswith(prefix)), general)


def _parse(text: str) -> URL:
    if text.startswith(_SQLITE):
        # Taken as it stands: whether a library decodes '%' in a path depends on its version.
        path = text.removeprefix(_SQLITE)
        if not path or path == ":memory:" or path.startswith("file:") or "?" in path or "\x00" in path:
            raise ConfigError("an SQLite ledger is a file and takes no options", hint=_URL_HINT)
        return URL.create("sqlite", database=path)
    try:
        url = make_url(text)
    except (ArgumentError, ValueError):
        # The library's own words would quote the URL, and with it the password.
        raise ConfigError("the ledger's URL cannot be read", hint=_URL_HINT) from None
    if url.drivername in ("postgres", "postgresql"):
        url = url.set(drivername="postgresql+psycopg")
    if url.drivername != "postgresql+psycopg":
        raise ConfigError(f"'{url.drivername}' is not a kind of ledger", hint=_URL_HINT)
    return url


def _begin_sqlite(connection: Connection) -> None:
    writes = connection.get_execution_options().get(_WRITE, False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


def _connection_state(reason: str) -> str:
    """The SQLSTATE of a failure to connect, which the driver only tells in words."""
    if "authentication failed" in reason or "no password supplied" in reason or "pg_hba" in reason:
        return "28"
    if "database" in reason and "does not exist" in reason:
        return "3D"
    return "08"


def _secrets(url: URL) -> list[str]:
    hidden = [url.password or ""]
    for name, value in url.query.items():
        if "password" in name:
            hidden.extend([value] if isinstance(value, str) else value)
    return [secret for secret in hidden if secret]
