"""Reading and writing copies of tickets, their sealed texts and events, inside a unit of work.

Whoever calls has locked `ticket/{number}`. Saving a change writes the copy, its assignments and its
events together and wakes the watchers of this process after the commit. Texts stay sealed until
somebody asks for them by `texts`.
"""

from __future__ import annotations

import asyncio
import hmac
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import field

from gateway.database.uow import UnitOfWork
from gateway.kernel.errors import InvariantViolated, ResourceNotFound
from gateway.kernel.ids import AuthorityCode, TicketNumber
from gateway.kernel.values import dataclass, replace
from gateway.privacy.vault import ContentKey, ContentVault
from gateway.tickets import rows
from gateway.tickets.disputes import ENDED
from gateway.tickets.model import Change, Child, Ticket, TicketEvent
from gateway.tickets.requests import VOID
from gateway.tickets.store import (
    ASSIGNMENTS,
    ASSIGNMENTS_OF,
    BY_EXTERNAL_ID,
    CHILDREN_OF,
    CONTENTS,
    EVENTS,
    TICKETS,
    VISIBLE,
    ContentRow,
)
from gateway.trust.principal import Principal, PrincipalKind


@dataclass(frozen=True, slots=True)
class Scope:
    """The rows a principal sees: all of its authority, or those of its platform."""

    authority: AuthorityCode
    platform: str | None

    @classmethod
    def of(cls, principal: Principal) -> Scope:
        """Return the scope of a principal."""
        is_platform = principal.kind is PrincipalKind.PLATFORM
        return cls(principal.authority, principal.id if is_platform else None)


@dataclass(frozen=True, slots=True)
class Texts:
    """The opened texts of a copy, each the bytes of its message of the standard."""

    content: bytes
    citizen: bytes | None = None
    resolution: bytes | None = None
    referral: bytes | None = None
    letters: Mapping[str, str] = field(default_factory=dict)


DisputeEnded = Callable[[UnitOfWork, Ticket, TicketEvent], None]
"""Is told, as the event says, of a dispute of units that ended otherwise than by a ruling, and of a
request that needs no answer any more."""


class ChangeSignal:
    """Wakes the watchers of this process; those of others find changes by polling."""

    def __init__(self) -> None:
        """Begin with nobody waiting."""
        self._waiting: set[asyncio.Future[None]] = set()

    def wake(self) -> None:
        """Wake everybody who waits."""
        waiting, self._waiting = self._waiting, set()
        for turn in waiting:
            if not turn.done():
                turn.set_result(None)

    async def wait(self, seconds_max: float) -> None:
        """Return at the next change, or after `seconds_max`."""
        turn = asyncio.get_running_loop().create_future()
        self._waiting.add(turn)
        try:
            async with asyncio.timeout(seconds_max):
                await turn
        except TimeoutError:
            pass
        finally:
            self._waiting.discard(turn)


class Tickets:
    """The copies of the authorities of one node."""

    def __init__(self, *, vault: ContentVault, signal: ChangeSignal) -> None:
        """Seal texts with `vault`; wake `signal` after every committed change."""
        self._vault = vault
        self._signal = signal
        self.dispute_ended: DisputeEnded | None = None  # of units; set by `dispatch/disputes.py`

    async def find(
        self, uow: UnitOfWork, authority: AuthorityCode, number: TicketNumber
    ) -> Ticket | None:
        """Return a copy, or None."""
        row = await uow.get(TICKETS, authority, number)
        if row is None:
            return None
        found = await uow.rows(ASSIGNMENTS_OF, authority, number)
        return rows.ticket_of(row, tuple(rows.assignment_of(item) for item in found))

    async def read_ahead(self, uow: UnitOfWork, places: Sequence[tuple[str, str]]) -> None:
        """Read the copies of (authority, number) with texts, assignments and children at once."""
        for what in (TICKETS, CONTENTS, ASSIGNMENTS_OF, CHILDREN_OF):
            await uow.prefetch(what, places)

    async def get(self, uow: UnitOfWork, authority: AuthorityCode, number: TicketNumber) -> Ticket:
        """Return a copy that must exist."""
        ticket = await self.find(uow, authority, number)
        if ticket is None:
            raise ResourceNotFound(kind="ticket", name=f"tickets/{number}")
        return ticket

    async def get_visible(self, uow: UnitOfWork, scope: Scope, number: TicketNumber) -> Ticket:
        """Return the copy that a principal's scope shows.

        Raises:
            ResourceNotFound: there is none, or it is not for this principal; none can tell which.
        """
        seen = await uow.select(
            VISIBLE, authority=scope.authority, number=number, platform=scope.platform
        )
        if not seen:
            raise ResourceNotFound(kind="ticket", name=f"tickets/{number}")
        return await self.get(uow, scope.authority, number)

    async def find_by_external_id(
        self, uow: UnitOfWork, *, authority: AuthorityCode, platform: str, external_id: str
    ) -> Ticket | None:
        """Return the copy with this natural key, or None."""
        found = await uow.rows(BY_EXTERNAL_ID, authority, platform, external_id)
        if not found:
            return None
        return await self.get(uow, authority, TicketNumber(found[0].number))

    def announce(self, uow: UnitOfWork, authority: AuthorityCode, number: TicketNumber) -> None:
        """Say that a number was minted in this unit, so that nobody looks for its rows."""
        uow.absent(TICKETS, authority, number)
        uow.absent(CONTENTS, authority, number)
        uow.absent(ASSIGNMENTS_OF, authority, number)
        uow.absent(CHILDREN_OF, authority, number)

    # --- writing ------------------------------------------------------------------------------

    def create(
        self, uow: UnitOfWork, change: Change, texts: Texts, *, identity: bytes = b""
    ) -> None:
        """Stage a new copy with its texts; `identity` is what a repeat must equal."""
        ticket = change.ticket
        key, wrapped = self._vault.create(_place(ticket.authority, ticket.number))
        row = ContentRow(
            authority=ticket.authority,
            number=ticket.number,
            wrapped_key=wrapped,
            fingerprint=key.fingerprint(identity or texts.content),
            content=key.seal("content", texts.content),
            citizen=_seal(key, "citizen", texts.citizen),
            resolution=_seal(key, "resolution", texts.resolution),
            referral=_seal(key, "referral", texts.referral),
        )
        uow.insert(TICKETS, rows.ticket_row(ticket))
        uow.insert(CONTENTS, row)
        self._write_parts(uow, ticket, change.events)

    def save(self, uow: UnitOfWork, change: Change) -> Ticket:
        """Stage a changed copy, its assignments and events; return the copy."""
        uow.put(TICKETS, rows.ticket_row(change.ticket))
        self._write_parts(uow, change.ticket, change.events)
        return change.ticket

    def _write_parts(self, uow: UnitOfWork, ticket: Ticket, events: Iterable[TicketEvent]) -> None:
        for item in ticket.assignments:
            uow.put(ASSIGNMENTS, rows.assignment_row(ticket, item))
        for event in events:
            uow.insert(EVENTS, rows.event_row(ticket, event))
            if event.kind in (ENDED, VOID) and self.dispute_ended is not None:
                self.dispute_ended(uow, ticket, event)
        uow.after_commit(self._signal.wake)

    # --- texts --------------------------------------------------------------------------------

    async def texts(self, uow: UnitOfWork, authority: AuthorityCode, number: TicketNumber) -> Texts:
        """Open the texts of a copy."""
        row, key = await self._opened(uow, authority, number)
        return Texts(
            content=key.open("content", row.content),
            citizen=_open(key, "citizen", row.citizen),
            resolution=_open(key, "resolution", row.resolution),
            referral=_open(key, "referral", row.referral),
            letters=_letters(key, row),
        )

    async def write_text(
        self, uow: UnitOfWork, ticket: Ticket, field: str, plaintext: bytes | None
    ) -> None:
        """Seal one text of a copy: `content`, `citizen`, `resolution`, `referral`; None forgets."""
        row, key = await self._opened(uow, ticket.authority, ticket.number)
        changes = {field: _seal(key, field, plaintext)}
        uow.put(CONTENTS, replace(row, **changes))  # type: ignore[arg-type] # all four are bytes

    async def write_letter(self, uow: UnitOfWork, ticket: Ticket, name: str, text: str) -> None:
        """Seal the text of a question, an answer or an act; `model.letter_key` names it."""
        row, key = await self._opened(uow, ticket.authority, ticket.number)
        letters = {**_letters(key, row), name: text}
        sealed = key.seal("letters", json.dumps(letters, ensure_ascii=False).encode())
        uow.put(CONTENTS, replace(row, letters=sealed))

    async def children(
        self, uow: UnitOfWork, authority: AuthorityCode, parent: TicketNumber
    ) -> tuple[Child, ...]:
        """Return the tickets that were split off from `parent`, as the parent shows them."""
        copies = await self.child_copies(uow, authority, parent)
        return tuple(
            Child(
                number=copy.number,
                purpose=copy.purpose,
                state=copy.state,
                custodian=copy.custodian,
            )
            for copy in copies
        )

    async def child_copies(
        self, uow: UnitOfWork, authority: AuthorityCode, parent: TicketNumber
    ) -> tuple[Ticket, ...]:
        """Return this authority's copies of the children of `parent`."""
        found = await uow.rows(CHILDREN_OF, authority, parent)
        return tuple([await self.get(uow, authority, TicketNumber(key.number)) for key in found])

    async def content_key(
        self, uow: UnitOfWork, authority: AuthorityCode, number: TicketNumber
    ) -> ContentKey:
        """Return the data key of a copy, for what is sealed beside its texts."""
        return (await self._opened(uow, authority, number))[1]

    async def fingerprint(self, uow: UnitOfWork, ticket: Ticket, content: bytes) -> bytes:
        """Return a digest of `content` that says nothing outside this copy."""
        _, key = await self._opened(uow, ticket.authority, ticket.number)
        return key.fingerprint(content)

    async def is_same_message(self, uow: UnitOfWork, ticket: Ticket, identity: bytes) -> bool:
        """Tell whether a repeated submission is the one that made this copy."""
        row, key = await self._opened(uow, ticket.authority, ticket.number)
        return hmac.compare_digest(key.fingerprint(identity), row.fingerprint)

    async def find_key(
        self, uow: UnitOfWork, authority: AuthorityCode, number: TicketNumber
    ) -> ContentKey | None:
        """Return the key of a copy's texts; None without a copy, or once the key is destroyed."""
        row = await uow.get(CONTENTS, authority, number)
        if row is None or not row.wrapped_key:
            return None
        return self._vault.open(_place(authority, number), row.wrapped_key)

    async def _opened(
        self, uow: UnitOfWork, authority: AuthorityCode, number: TicketNumber
    ) -> tuple[ContentRow, ContentKey]:
        row = await uow.get(CONTENTS, authority, number)
        if row is None:
            raise InvariantViolated(invariant="a copy has its texts", got=f"tickets/{number}")
        return row, self._vault.open(_place(authority, number), row.wrapped_key)


def _letters(key: ContentKey, row: ContentRow) -> dict[str, str]:
    if row.letters is None:
        return {}
    opened: dict[str, str] = json.loads(key.open("letters", row.letters))
    return opened


def _place(authority: str, number: str) -> str:
    return f"{authority}/tickets/{number}"


def _seal(key: ContentKey, field: str, plaintext: bytes | None) -> bytes | None:
    return None if plaintext is None else key.seal(field, plaintext)


def _open(key: ContentKey, field: str, sealed: bytes | None) -> bytes | None:
    return None if sealed is None else key.open(field, sealed)
