"""The stream of changes of cases: who watches is told each, once, and can go on where it stopped.

A change is a row for each authority of this node that sees the case, written in the unit that
changes it; a watch reads the rows by their cursor, (transaction, position) below the horizon of
running transactions, so it skips none (gateway/database/table.py). It shows the case as it is now,
without words: who was away gets one message for each change, and the newest state in all of them.
Changes are told for a month (`retention.py`); whose token is older is told to begin anew.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Collection
from dataclasses import dataclass
from datetime import timedelta
from functools import partial

from gateway.arbitration.cases import Cases
from gateway.arbitration.copies import Copies
from gateway.arbitration.model import Case, CaseKey
from gateway.arbitration.sight.retention import keep_clock
from gateway.arbitration.sight.store import CASE_CHANGES, CHANGES_AFTER, FORGOTTEN, ChangeRow
from gateway.database.uow import Database, UnitOfWork
from gateway.kernel.errors import PageTokenInvalid
from gateway.kernel.ids import AuthorityCode
from gateway.kernel.time import Clock
from gateway.tickets.service import ChangeSignal
from gateway.tickets.tokens import Tokens
from gateway.trust.principal import Principal

WATCH_ROWS_MAX = 100  # one read of a watch; a client that is far behind gets many
POLL_INTERVAL = timedelta(seconds=1)  # other processes of the node change cases too
HEARTBEAT_INTERVAL = timedelta(seconds=15)  # well below the minute after which clients reconnect


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
        clock: Clock,
    ) -> None:
        """Make it; `hosted` are the authorities whose staff this node serves."""
        self._clock = clock
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
        uow.before_commit(
            partial(keep_clock, uow, authority, now=self._clock.now()),
            once=("case-changes", authority),
        )

    async def watch(
        self, principal: Principal, *, resume_token: str
    ) -> AsyncGenerator[WatchedCase, None]:
        """Yield every change of the cases of the principal's authority after the token, for ever.

        Raises:
            PageTokenInvalid: the token is of another watch, or so old that changes after it are
                kept no longer.
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
                    await keep_clock(uow, authority, now=self._clock.now())

    def _note(self, uow: UnitOfWork, authority: str, case: Case) -> None:
        row = ChangeRow(
            authority=authority,
            scope=case.key.scope,
            case_id=case.key.case,
            revision=case.revision,
            noted=self._clock.now(),
        )
        uow.insert(CASE_CHANGES, row)
        uow.after_commit(self._signal.wake)

    async def _read(
        self, authority: AuthorityCode, txid: int, position: int
    ) -> list[tuple[ChangeRow, Case | None]]:
        async with self._database.unit() as uow:
            forgotten = await uow.get(FORGOTTEN, authority)
            last = (forgotten.txid, forgotten.position) if forgotten is not None else (-1, -1)
            if (-1, -1) < (txid, position) < last:
                hint = "changes after this token are kept no longer: list the cases, then watch"
                raise PageTokenInvalid(field="resume_token", hint=hint)
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
