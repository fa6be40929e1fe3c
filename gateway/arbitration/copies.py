"""Cases of other nodes' arbiters at rest: the newest revision of each, as it was signed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gateway.arbitration import exchange_codec as codec
from gateway.arbitration.filters import CaseFilter
from gateway.arbitration.model import Case, CaseKey
from gateway.database.table import Query, RowsOf, Table, load_queries
from gateway.database.uow import UnitOfWork
from gateway.delivery.codec import statement_from_bytes
from gateway.delivery.model import SignedBytes
from gateway.kernel.ids import AuthorityCode
from gateway.kernel.time import Instant
from gateway.privacy.vault import ContentVault

_SQL = load_queries(Path(__file__).with_name("queries.sql"))


@dataclass(frozen=True, slots=True)
class CopyRow:
    """A case as its arbiter told a party: the newest signed statement, and its words, sealed."""

    authority: str
    scope: str
    case_id: str
    revision: int
    ticket: str
    state: int
    filed: Instant
    due: Instant | None
    statement: bytes
    key_id: str
    signature: bytes
    wrapped_key: bytes
    words: bytes


@dataclass(frozen=True, slots=True)
class CopyKey:
    """The key of a copy."""

    authority: str
    scope: str
    case_id: str


COPIES = Table("case_copies", CopyRow, key=("authority", "scope", "case_id"))


def _named(rows: RowsOf, given: Mapping[str, Any]) -> Iterable[CopyKey]:
    found = [
        CopyKey(row.authority, row.scope, row.case_id)
        for row in rows(COPIES)
        if (row.authority, row.case_id) == (given["authority"], given["case_id"])
    ]
    return sorted(found, key=lambda key: key.scope)[:1]


def _newest(rows: RowsOf, given: Mapping[str, Any]) -> Iterable[CopyKey]:
    before = (given["before_time"], given["before_scope"], given["before_case"])
    found = [
        row
        for row in rows(COPIES)
        if row.authority == given["authority"]
        and (before[0] is None or (row.filed, row.scope, row.case_id) < before)
        and given["state"] in (None, row.state)
        and given["overdue"] in (None, row.due is not None and given["now"] > row.due)
    ]
    found.sort(key=lambda row: (row.filed, row.scope, row.case_id), reverse=True)
    return [CopyKey(row.authority, row.scope, row.case_id) for row in found[: given["limit"]]]


COPY_NAMED = Query("case_copy_named", CopyKey, _SQL["case_copy_named"], _named)
COPIES_NEWEST = Query("case_copies_newest", CopyKey, _SQL["case_copies_newest"], _newest)


class Copies:
    """The copies of the parties of one node."""

    def __init__(self, *, vault: ContentVault) -> None:
        """Seal words with `vault`; `changed` is told of every change, inside its unit."""
        self._vault = vault
        self.changed: Callable[[UnitOfWork, AuthorityCode, Case], None] = _nobody_is_told

    async def keep(
        self,
        uow: UnitOfWork,
        authority: AuthorityCode,
        case: Case,
        *,
        signed: SignedBytes,
        words: bytes,
    ) -> None:
        """Keep a case unless a newer revision is here."""
        known = await uow.get(COPIES, authority, case.key.scope, case.key.case)
        if known is not None and known.revision >= case.revision:
            return
        key, wrapped = self._vault.create(_place(authority, case))
        row = CopyRow(
            authority=authority,
            scope=case.key.scope,
            case_id=case.key.case,
            revision=case.revision,
            ticket=case.ticket,
            state=int(case.state),
            filed=case.filed,
            due=case.due.instant if case.due else None,
            statement=signed.statement,
            key_id=signed.key_id,
            signature=signed.signature,
            wrapped_key=wrapped,
            words=key.seal("words", words),
        )
        uow.put(COPIES, row)
        self.changed(uow, authority, case)

    async def find(self, uow: UnitOfWork, authority: AuthorityCode, case_id: str) -> Case | None:
        """Return a party's copy of a case, with words and reasons; or None."""
        found = await uow.select(COPY_NAMED, authority=authority, case_id=case_id)
        return await self._read(uow, found[0]) if found else None

    async def find_told(
        self, uow: UnitOfWork, authority: AuthorityCode, key: CaseKey
    ) -> Case | None:
        """Return a party's copy of a case as its arbiter signed it, without words; or None."""
        row = await uow.get(COPIES, authority, key.scope, key.case)
        return _told(row) if row is not None else None

    async def page(
        self,
        uow: UnitOfWork,
        authority: AuthorityCode,
        wanted: CaseFilter,
        *,
        before: tuple[Instant, str, str] | None,
        now: Instant,
        limit: int,
    ) -> list[Case]:
        """Return a party's copies, newest first."""
        found = await uow.select(
            COPIES_NEWEST,
            authority=authority,
            before_time=before[0] if before else None,
            before_scope=before[1] if before else "",
            before_case=before[2] if before else "",
            state=None if wanted.state is None else int(wanted.state),
            overdue=wanted.overdue,
            now=now,
            limit=limit,
        )
        read = [await self._read(uow, key) for key in found]
        return [case for case in read if case is not None]

    async def _read(self, uow: UnitOfWork, key: CopyKey) -> Case | None:
        row = await uow.get(COPIES, key.authority, key.scope, key.case_id)
        if row is None:
            return None
        case = _told(row)
        sealed = self._vault.open(_place(AuthorityCode(row.authority), case), row.wrapped_key)
        return codec.with_words(case, sealed.open("words", row.words))


def _told(row: CopyRow) -> Case:
    content, _ = codec.case_file_of(statement_from_bytes(row.statement).body)
    return codec.case_of_file(content)


def _place(authority: AuthorityCode, case: Case) -> str:
    return f"{authority}/{case.key.scope}/{case.name}"


def _nobody_is_told(_uow: UnitOfWork, _authority: AuthorityCode, _case: Case) -> None:
    """Have nobody who watches."""
