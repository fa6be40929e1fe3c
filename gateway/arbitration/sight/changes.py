"""The stream of changes of cases: who watches is told each, once, and can go on where it stopped.

A change is a row for each authority of this node that sees the case, written in the unit that
changes it; a watch reads the rows by their cursor, (transaction, position) below the horizon of
running transactions, so it skips none (gateway/database/table.py). It shows the case as it is now,
without words: who was away gets one message for each change, and the newest state in all of them.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

from gateway.arbitration.cases import Cases
from gateway.arbitration.copies import Copies
from gateway.arbitration.model import Case, CaseKey
from gateway.database.table import Query, RowsOf, Table, load_queries
from gateway.database.uow import Database, UnitOfWork
from gateway.kernel.ids import AuthorityCode
from gateway.tickets.service import ChangeSignal
from gateway.tickets.tokens import Tokens
from gateway.trust.principal import Principal

_SQL = load_queries(Path(__file__).with_name("queries.sql"))
WATCH_ROWS_MAX = 100  # one read of a watch; a client that is far behind gets many
POLL_INTERVAL = timedelta(seconds=1)  # other processes of the node change cases too
HEARTBEAT_INTERVAL = timedelta(seconds=15)  # well below the minute after which clients reconnect


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangeRow:
    """A change of a case, for the staff of one authority."""

    position: int = 0
    txid: int = 0
    authority: str
    scope: str
    case_id: str
    revision: int


CASE_CHANGES = Table(
    "case_changes", ChangeRow, key=("position",), generated="position", transaction="txid"
)


def _after(rows: RowsOf, given: Mapping[str, Any]) -> Iterable[ChangeRow]:
    place = (given["txid"], given["position"])
    found = [
        row
        for row in rows(CASE_CHANGES)
        if row.authority == given["authority"]
        and row.txid < given["horizon"]
        and (row.txid, row.position) > place
    ]
    return sorted(found, key=lambda row: (row.txid, row.position))[: given["limit"]]


CHANGES_AFTER = Query("case_changes_after", ChangeRow, _SQL["case_changes_after"], _after)


@dataclass(frozen=True, slots=True)
class WatchedCase:
    """One item of a watch: a case that changed, or a sign of life without one."""

    case: Case | None
    resume_token: str


class CaseChanges:
    """Notes the changes of the cases of one node, and tells them."""

    def __init__(
        self,
        *,
        database: Database,
        cases: Cases,
        copies: Copies,
        tokens: Tokens,
        hosted: Callable[[], Collection[str]],
    ) -> None:
        """Make it; `hosted` are the authorities whose staff this node serves."""
        self._database = database
        self._cases = cases
        self._copies = copies
        self._tokens = tokens
        self._hosted = hosted
        self._signal = ChangeSignal()

    def note(self, uow: UnitOfWork, case: Case) -> None:
        """Note a change of a case at its arbiter, for everybody on this node who sees it then."""
        uow.before_commit(partial(self._note_all, uow, case.key), once=("case-change", case.key))

    def note_copy(self, uow: UnitOfWork, authority: AuthorityCode, case: Case) -> None:
        """Note that a party on this node was told a newer revision."""
        self._note(uow, authority, case)

    async def watch(
        self, principal: Principal, *, resume_token: str
    ) -> AsyncGenerator[WatchedCase, None]:
        """Yield every change of the cases of the principal's authority after the token, for ever.

        Raises:
            PageTokenInvalid: the token is of another watch.
        """
        authority = principal.authority
        binding = ("watch-cases", authority)
        txid, position = -1, -1
        if resume_token:
            opened = self._tokens.open(binding, resume_token, field="resume_token")
            txid, position = int(opened[0]), int(opened[1])
        token, quiet = resume_token, timedelta(0)
        while True:
            items = await self._read(authority, txid, position)
            for row, case in items:
                txid, position = row.txid, row.position
                token = self._tokens.issue(binding, txid, position)
                if case is not None:
                    yield WatchedCase(case, token)
            if items:
                quiet = timedelta(0)
                continue
            if quiet >= HEARTBEAT_INTERVAL:
                quiet = timedelta(0)
                yield WatchedCase(None, token)
            await self._signal.wait(POLL_INTERVAL.total_seconds())
            quiet += POLL_INTERVAL

    # --- parts --------------------------------------------------------------------------------

    async def _note_all(self, uow: UnitOfWork, key: CaseKey) -> None:
        case, here = await self._cases.find(uow, key), self._hosted()
        if case is not None:
            for authority in dict.fromkeys((key.scope, *case.audience)):
                if authority in here:
                    self._note(uow, authority, case)

    def _note(self, uow: UnitOfWork, authority: str, case: Case) -> None:
        row = ChangeRow(
            authority=authority,
            scope=case.key.scope,
            case_id=case.key.case,
            revision=case.revision,
        )
        uow.insert(CASE_CHANGES, row)
        uow.after_commit(self._signal.wake)

    async def _read(
        self, authority: AuthorityCode, txid: int, position: int
    ) -> list[tuple[ChangeRow, Case | None]]:
        async with self._database.unit() as uow:
            rows = await uow.select(
                CHANGES_AFTER,
                authority=authority,
                txid=txid,
                position=position,
                limit=WATCH_ROWS_MAX,
            )
            seen = {
                key: await self._seen(uow, authority, key)
                for key in dict.fromkeys(_key(row) for row in rows)
            }
        return [(row, seen[_key(row)]) for row in rows]

    async def _seen(self, uow: UnitOfWork, authority: AuthorityCode, key: CaseKey) -> Case | None:
        return await self._cases.find(uow, key) or await self._copies.find_told(uow, authority, key)


def _key(row: ChangeRow) -> CaseKey:
    return CaseKey(AuthorityCode(row.scope), row.case_id)
