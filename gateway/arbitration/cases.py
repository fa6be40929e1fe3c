"""Cases at rest: read, written and listed; the reasons of rulings are sealed with a case's key."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from gateway.arbitration import rows
from gateway.arbitration.filters import CaseFilter
from gateway.arbitration.model import Case, CaseKey, CaseRuling, Party
from gateway.arbitration.store import (
    CASE_OF_RULING,
    CASE_OPEN_ON,
    CASE_VISIBLE,
    CASES,
    CASES_NEWEST,
    CASES_ON,
    ENTRIES,
    ENTRIES_OF_CASE,
    RULINGS,
    RULINGS_OF_CASE,
    CaseRow,
    KeyRow,
)
from gateway.database.uow import UnitOfWork
from gateway.kernel.codes import CaseLevel
from gateway.kernel.errors import InvariantViolated, ResourceNotFound
from gateway.kernel.ids import AuthorityCode, TicketNumber
from gateway.kernel.time import Instant
from gateway.privacy.vault import ContentKey, ContentVault

REVISIONS_PER_LIFE = 1 << 20  # no case changes that often: entries, rulings and stages are bounded


class Cases:
    """The cases of the arbiters of one node."""

    def __init__(self, *, vault: ContentVault, incarnation: int = 1) -> None:
        """Seal reasons with `vault`; `changed` is told of every change, inside its unit.

        `incarnation` is this life of the node. A node that was restored from an older backup has
        forgotten revisions that its parties keep, so those of each life are above all of the last.
        """
        self._vault = vault
        self._first_revision = (incarnation - 1) * REVISIONS_PER_LIFE
        self.changed: Callable[[UnitOfWork, Case], None] = _nobody_is_told
        self.said: Callable[[UnitOfWork, Case, ContentKey], None] = _nobody_signs

    async def find(self, uow: UnitOfWork, key: CaseKey) -> Case | None:
        """Return a case without the reasons of its rulings, or None."""
        row = await uow.get(CASES, key.scope, key.case)
        if row is None:
            return None
        found = await uow.select(RULINGS_OF_CASE, scope=key.scope, case_id=key.case)
        said = await uow.rows(ENTRIES_OF_CASE, key.scope, key.case)
        entries = sorted((rows.entry_of(item) for item in said), key=lambda item: item.number)
        return rows.case_of(row, tuple(rows.ruling_of(item) for item in found), entries)

    async def open_on(
        self, uow: UnitOfWork, *, scope: AuthorityCode, ticket: TicketNumber, chain: int
    ) -> Case | None:
        """Return the one case of a chain that waits for a ruling, or None."""
        found = await uow.select(CASE_OPEN_ON, scope=scope, ticket=ticket, chain=chain)
        return await self.find(uow, _key(found[0])) if found else None

    async def all_on(
        self, uow: UnitOfWork, *, scope: AuthorityCode, ticket: TicketNumber, chain: int
    ) -> list[Case]:
        """Return all cases of a chain, the oldest first."""
        found = await uow.select(CASES_ON, scope=scope, ticket=ticket, chain=chain)
        cases = [await self.find(uow, _key(row)) for row in found]
        return [case for case in cases if case is not None]

    async def find_by_ruling(
        self,
        uow: UnitOfWork,
        *,
        scope: AuthorityCode,
        ticket: TicketNumber,
        chain: int,
        number: int,
    ) -> Case | None:
        """Return the case that a ruling of a chain decided, or None for one of no case."""
        found = await uow.select(
            CASE_OF_RULING, scope=scope, ticket=ticket, chain=chain, number=number
        )
        return await self.find(uow, _key(found[0])) if found else None

    async def visible(self, uow: UnitOfWork, authority: AuthorityCode, case_id: str) -> Case:
        """Return the case that the staff of an authority sees under this number.

        Raises:
            ResourceNotFound: there is none, or it is not for them; none can tell which.
        """
        found = await uow.select(CASE_VISIBLE, authority=authority, case_id=case_id)
        case = await self.find(uow, _key(found[0])) if found else None
        if case is None:
            raise ResourceNotFound(kind="case", name=f"cases/{case_id}")
        return case

    async def page(
        self,
        uow: UnitOfWork,
        authority: AuthorityCode,
        wanted: CaseFilter,
        *,
        before: tuple[Instant, str, str] | None,
        now: Instant,
        limit: int,
        level: CaseLevel | None = None,
        units: tuple[Party, ...] | None = None,
    ) -> list[Case]:
        """Return cases that the staff of an authority sees, newest first.

        With `level` only those of it, with `units` only those that one of them is a party of.
        """
        places = await uow.select(
            CASES_NEWEST,
            authority=authority,
            before_time=before[0] if before else None,
            before_scope=before[1] if before else "",
            before_case=before[2] if before else "",
            state=None if wanted.state is None else int(wanted.state),
            overdue=wanted.overdue,
            now=now,
            limit=limit,
            level=None if level is None else int(level),
            units=None if units is None else list(units),
        )
        keys = [CaseKey(AuthorityCode(place.scope), place.case_id) for place in places]
        return [case for key in keys if (case := await self.find(uow, key)) is not None]

    def create(self, uow: UnitOfWork, case: Case) -> None:
        """Stage a new case with a key of its own."""
        _, wrapped = self._vault.create(_place(case.key))
        uow.insert(CASES, rows.case_row(self._of_this_life(case), wrapped_key=wrapped))
        self.changed(uow, case)

    async def save(self, uow: UnitOfWork, case: Case) -> None:
        """Stage a changed case and when its rulings were taken."""
        row = await self._row(uow, case.key)
        kept_row = rows.case_row(
            self._of_this_life(case), wrapped_key=row.wrapped_key, told=row.told
        )
        uow.put(CASES, kept_row)
        for ruling in case.rulings:
            kept = await uow.get(RULINGS, case.key.scope, case.key.case, ruling.number)
            if kept is not None and kept.taken != ruling.taken:
                uow.put(RULINGS, replace(kept, taken=ruling.taken))
        self.changed(uow, case)

    async def add_ruling(self, uow: UnitOfWork, case: Case, ruling: CaseRuling) -> None:
        """Stage a case with a new ruling, its reasons sealed."""
        key = await self._opened(uow, case.key)
        sealed = key.seal(_field(ruling), ruling.reasons.encode())
        uow.insert(RULINGS, rows.ruling_row(case.key, ruling, reasons=sealed))
        await self.save(uow, case)

    async def add_entry(self, uow: UnitOfWork, case: Case) -> None:
        """Stage a case whose last entry is new, the words sealed."""
        entry, key = case.entries[-1], await self._opened(uow, case.key)
        sealed = key.seal(f"words/{entry.number}", entry.words.encode())
        uow.insert(ENTRIES, rows.entry_row(case.key, entry, words=sealed))
        await self.save(uow, case)
        self.said(uow, case, key)

    async def tell_once(self, uow: UnitOfWork, key: CaseKey, due: Instant) -> bool:
        """Note that the alarm of a time is given; return whether it was not given before."""
        row = await self._row(uow, key)
        if row.told == due:
            return False
        uow.put(CASES, replace(row, told=due))
        return True

    async def with_reasons(self, uow: UnitOfWork, case: Case) -> Case:
        """Return the case with the reasons of its rulings and all words opened."""
        key = await self._opened(uow, case.key)
        for ruling in case.rulings:
            row = await uow.get(RULINGS, case.key.scope, case.key.case, ruling.number)
            if row is not None:
                text = key.open(_field(ruling), row.reasons).decode()
                case = case.with_ruling(replace(ruling, reasons=text))
        said = {
            row.number: key.open(f"words/{row.number}", row.words).decode()
            for row in await uow.rows(ENTRIES_OF_CASE, case.key.scope, case.key.case)
        }
        entries = tuple(replace(item, words=said.get(item.number, "")) for item in case.entries)
        return replace(case, entries=entries)

    async def seal(self, uow: UnitOfWork, key: CaseKey, field: str, content: bytes) -> bytes:
        """Return something beside a case, sealed with the case's own key."""
        return (await self._opened(uow, key)).seal(field, content)

    async def open(self, uow: UnitOfWork, key: CaseKey, field: str, sealed: bytes) -> bytes:
        """Return what `seal` sealed."""
        return (await self._opened(uow, key)).open(field, sealed)

    def _of_this_life(self, case: Case) -> Case:
        if case.revision > self._first_revision:
            return case
        return replace(case, revision=self._first_revision + case.revision)

    async def _opened(self, uow: UnitOfWork, key: CaseKey) -> ContentKey:
        return self._vault.open(_place(key), (await self._row(uow, key)).wrapped_key)

    async def _row(self, uow: UnitOfWork, key: CaseKey) -> CaseRow:
        row = await uow.get(CASES, key.scope, key.case)
        if row is None:
            raise InvariantViolated(invariant="a case has its row", got=key.name)
        return row


def _key(row: KeyRow) -> CaseKey:
    return CaseKey(AuthorityCode(row.scope), row.case_id)


def _place(key: CaseKey) -> str:
    return f"{key.scope}/{key.name}"


def _field(ruling: CaseRuling) -> str:
    return f"reasons/{ruling.number}"


def _nobody_signs(_uow: UnitOfWork, _case: Case, _key: ContentKey) -> None:
    """Keep the words, whose last are new, without a signature of whoever said them."""


def _nobody_is_told(_uow: UnitOfWork, _case: Case) -> None:
    """Have no party on another node."""
