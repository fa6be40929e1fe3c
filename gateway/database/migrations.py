"""Schema migrations: `migrations/NNNN_{pre,post}_name.sql`, applied once, in order of number.

A release ships *pre* files, which the code before them tolerates (add a table, a nullable column),
and *post* files, which only the code of this release tolerates (drop a column). A node applies
`pre` before it starts the new code and `post` when no old code runs any more; in between both run.
So code accepts a database with pre files it does not know, and refuses one with such a post file.
A post file left over from an earlier release is due before any later pre file and applied with it.

An applied file is never edited: its digest is recorded and compared. One advisory lock lets one
process migrate while the others wait. Each file is one transaction together with its record.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from enum import Enum
from pathlib import Path

import asyncpg

from gateway.database.faults import translate, translated_errors
from gateway.database.uow import ROLLED_BACK
from gateway.kernel.errors import InvariantViolated
from gateway.kernel.values import dataclass

FOLDER = Path(__file__).with_suffix("")
SERVER_VERSION_MIN = 150_000  # PostgreSQL 15
_LOCK_KEY = 0x6C75_6269_616F  # "lubiao"; any number that nobody else uses
_FILE_NAME = re.compile(r"^(?P<number>[0-9]{4})_(?P<phase>pre|post)_[a-z][a-z0-9_]*\.sql$")
_RECORDS = """
CREATE TABLE IF NOT EXISTS schema_migrations (
    name text PRIMARY KEY,
    digest text NOT NULL,
    applied timestamptz NOT NULL DEFAULT now()
)
"""


class Phase(Enum):
    """When a migration is applied: before the new code starts, or after the old code ended."""

    PRE = "pre"
    POST = "post"


@dataclass(frozen=True, slots=True)
class Migration:
    """One file."""

    name: str
    phase: Phase
    sql: str

    @property
    def digest(self) -> str:
        """The digest that is recorded when the file is applied."""
        return hashlib.sha256(self.sql.encode()).hexdigest()


def load_migrations(folder: Path = FOLDER) -> tuple[Migration, ...]:
    """Return the migrations of a folder in order; a wrong or repeated number is a defect."""
    found: list[Migration] = []
    numbers: set[str] = set()
    for path in sorted(folder.glob("*.sql")):
        match = _FILE_NAME.match(path.name)
        if match is None or match["number"] in numbers:
            raise InvariantViolated(invariant="migration file name", got=path.name)
        numbers.add(match["number"])
        sql = path.read_text(encoding="utf-8")
        found.append(Migration(name=path.stem, phase=Phase(match["phase"]), sql=sql))
    return tuple(found)


async def migrate(
    dsn: str, phase: Phase, *, migrations: Sequence[Migration] | None = None
) -> tuple[str, ...]:
    """Apply what is due in `phase` and return its names; nothing due is no error.

    Raises:
        InvariantViolated: an applied file was edited, the schema is newer than this code, or the
            server does not fit. Nothing was changed.
    """
    known = load_migrations() if migrations is None else migrations
    with translated_errors(outcome=ROLLED_BACK):
        connection = await asyncpg.connect(dsn)
        try:
            await _check_server(connection)
            await connection.execute("SELECT pg_advisory_lock($1)", _LOCK_KEY)
            await connection.execute(_RECORDS)
            due = _due(phase, known, _checked(known, await _applied(connection)))
            for migration in due:
                await _apply(connection, migration)
        finally:
            await connection.close()  # ends the advisory lock
    return tuple(migration.name for migration in due)


async def pending(dsn: str, *, migrations: Sequence[Migration] | None = None) -> tuple[str, ...]:
    """Return the names that are not applied yet, after the same checks as `migrate`."""
    known = load_migrations() if migrations is None else migrations
    with translated_errors(outcome=ROLLED_BACK):
        connection = await asyncpg.connect(dsn)
        try:
            await _check_server(connection)
            has_records = await connection.fetchval("SELECT to_regclass('schema_migrations')")
            applied = await _applied(connection) if has_records else {}
        finally:
            await connection.close()
    _checked(known, applied)
    return tuple(migration.name for migration in known if migration.name not in applied)


def _checked(known: Sequence[Migration], applied: dict[str, str]) -> dict[str, str]:
    """Return `applied`, or raise when it does not go with the known files."""
    digests = {migration.name: migration.digest for migration in known}
    for name, digest in applied.items():
        if name in digests and digests[name] != digest:
            raise InvariantViolated(
                invariant="migrations are never edited",
                got=f"{name} was applied with other content",
                hint="restore the file and put the change into a new migration",
            )
        match = _FILE_NAME.match(f"{name}.sql")
        if name not in digests and (match is None or match["phase"] == Phase.POST.value):
            raise InvariantViolated(
                invariant="the schema is not newer than the code",
                got=f"{name} is applied and unknown here",
                hint="run the release that applied it, or a later one",
            )
    return applied


def _due(
    phase: Phase, known: Sequence[Migration], applied: dict[str, str]
) -> tuple[Migration, ...]:
    missing = [migration for migration in known if migration.name not in applied]
    if phase is Phase.PRE:
        while missing and missing[-1].phase is Phase.POST:
            missing.pop()
    return tuple(missing)


async def _applied(connection: asyncpg.Connection) -> dict[str, str]:
    records = await connection.fetch("SELECT name, digest FROM schema_migrations ORDER BY name")
    return {record["name"]: record["digest"] for record in records}


async def _apply(connection: asyncpg.Connection, migration: Migration) -> None:
    record = "INSERT INTO schema_migrations (name, digest) VALUES ($1, $2)"
    try:
        async with connection.transaction():
            await connection.execute(migration.sql)
            await connection.execute(record, migration.name, migration.digest)
    except asyncpg.PostgresError as error:
        fault = translate(error, outcome=ROLLED_BACK)
        if isinstance(fault, InvariantViolated):
            fault = InvariantViolated(
                invariant=f"migration {migration.name}", got=fault.metadata["got"]
            )
        raise fault from None  # the original quotes values


async def _check_server(connection: asyncpg.Connection) -> None:
    """Refuse a server or database on which our queries would answer differently."""
    version = int(await connection.fetchval("SHOW server_version_num"))
    if version < SERVER_VERSION_MIN:
        raise InvariantViolated(invariant="PostgreSQL is 15 or newer", got=version)
    encoding = await connection.fetchval("SHOW server_encoding")
    if encoding != "UTF8":
        raise InvariantViolated(invariant="the database's encoding is UTF8", got=encoding)
    # Keys, cursors and the twins sort text by code point.
    if not await connection.fetchval("SELECT 'Z' < 'a' AND '\u4e00' < '\U00020000'"):
        raise InvariantViolated(
            invariant="the database sorts text by code point",
            got="another collation",
            hint="CREATE DATABASE … LOCALE 'C' ENCODING 'UTF8' TEMPLATE template0",
        )
