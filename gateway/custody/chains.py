"""Reading chains: what one authority has of a ticket, and how its two levels hang together.

A province takes part in up to two kinds of chain of a ticket: the outer one among provinces and its
inner ones with its cities; a city in inner ones only (docs/custody.md#scopes). *Open* is the newest
inner chain while it is not closed.
"""

from __future__ import annotations

from gateway.custody import store
from gateway.custody.model import OUTER_CHAIN_NUMBER, Chain, ChainKey, Holding
from gateway.custody.rows import chain_of
from gateway.database.uow import UnitOfWork
from gateway.delivery.model import SignedBytes
from gateway.kernel.errors import NotCustodian, ResourceNotFound
from gateway.kernel.ids import NATION, AuthorityCode, Epoch, TicketNumber, province_of_number
from gateway.kernel.values import dataclass


def province_of(code: str) -> AuthorityCode:
    """Return the province whose area holds the authority."""
    return AuthorityCode(code[:2] + "0000")


def is_province(code: str) -> bool:
    """Tell whether the authority is a province."""
    return code.endswith("0000") and code != NATION


def is_in_scope(code: str, scope: str) -> bool:
    """Tell whether an authority may take part in the chains of a scope."""
    return is_province(code) if scope == NATION else province_of(code) == scope


def may_begin(origin: str, key: ChainKey) -> bool:
    """Tell whether a chain of this ticket may begin at `origin` (docs/custody.md#scopes).

    The outer chain begins at the province of the ticket number. An inner chain begins at its
    province; the first one of the number's own province also at the city that received the ticket.
    Without this rule anybody could begin a chain of its own and speak for the ticket in it.
    """
    home = province_of_number(key.ticket)
    if key.is_outer:
        return key.number == OUTER_CHAIN_NUMBER and origin == home
    is_city_of_number = key.scope == home and origin[:4] == key.ticket[:4]
    return origin == key.scope or (key.number == 1 and is_city_of_number)


@dataclass(frozen=True, slots=True)
class TicketChains:
    """All chains of one ticket at one authority."""

    authority: AuthorityCode
    ticket: TicketNumber
    chains: tuple[Chain, ...]

    @property
    def outer(self) -> Chain | None:
        """The chain among provinces, if there is one."""
        return next((chain for chain in self.chains if chain.key.is_outer), None)

    @property
    def inner(self) -> Chain | None:
        """The newest inner chain, open or closed."""
        inner = [chain for chain in self.chains if not chain.key.is_outer]
        return max(inner, key=lambda chain: chain.key.number, default=None)

    @property
    def open_inner(self) -> Chain | None:
        """The newest inner chain while it is not closed."""
        inner = self.inner
        return inner if inner is not None and not inner.closed else None

    @property
    def is_home(self) -> bool:
        """Tell whether the inner chain is home: held here, nothing pending, no case (rule 2)."""
        inner = self.open_inner
        return (
            inner is not None
            and inner.key.is_home
            and inner.holding is Holding.HELD
            and inner.pending_epoch is None
            and not inner.case
        )

    @property
    def has_contact(self) -> bool:
        """Tell whether it is known here who calls, or that nobody says so."""
        return any(chain.contact for chain in self.chains)

    @property
    def is_origin(self) -> bool:
        """Tell whether the widest chain known here began at this authority."""
        inner = (chain for chain in self.chains if not chain.key.is_outer)
        first = self.outer or min(inner, key=lambda chain: chain.key.number, default=None)
        return first is not None and first.origin == self.authority

    @property
    def may_know_caller(self) -> bool:
        """Tell whether who calls may be kept here: it came in here, or this authority cares.

        So may a province that a city told of its ticket and that never held it. All others let go.
        """
        has_held = any(chain.term_epoch is not None for chain in self.chains)
        return not has_held or self.is_origin or any(chain.is_caring for chain in self.chains)

    @property
    def case(self) -> str:
        """The open case of the ticket here, or an empty text."""
        return next((chain.case for chain in self.chains if chain.case), "")

    def find(self, key: ChainKey) -> Chain | None:
        """Return the chain with this key."""
        return next((chain for chain in self.chains if chain.key == key), None)

    def is_closed_from(self, key: ChainKey) -> bool:
        """Tell whether this chain, or a later one of its scope, is known to be closed (rule 5)."""
        return any(
            chain.closed and chain.key.scope == key.scope and chain.key.number >= key.number
            for chain in self.chains
        )

    def cares_after(self, key: ChainKey) -> bool:
        """Tell whether this authority cares in a later chain of the scope.

        Then whatever an earlier chain tells of the ticket is old news here.
        """
        return any(
            chain.is_caring and chain.key.scope == key.scope and chain.key.number > key.number
            for chain in self.chains
        )

    def has_force(self, chain: Chain, epoch: Epoch) -> bool:
        """Tell whether a city's act at `epoch`, recorded now in `chain`, has outer force (rule 3).

        The province must be free to act itself, the chain must be the open one, and the act must be
        of the newest ruling's era and later than the province's own last term.
        """
        inner, outer = self.open_inner, self.outer
        return (
            (outer is None or outer.holding is Holding.HELD)
            and (inner is not None and inner.key == chain.key)
            and epoch.era == chain.ruling
            and (chain.term_epoch is None or epoch > chain.term_epoch)
        )

    def acting(self) -> Chain:
        """Return the chain in which this authority's acts have their place, with force (rule 3).

        Raises:
            NotCustodian: the ticket is not held here, or the province is not custodian outside.
        """
        inner, outer = self.open_inner, self.outer
        if inner is None:
            raise self._not_custodian(outer or self.inner)
        if inner.key.is_home and outer is not None and outer.holding is not Holding.HELD:
            raise self._not_custodian(outer)
        return inner

    def _not_custodian(self, chain: Chain | None) -> NotCustodian | ResourceNotFound:
        if chain is None:
            return ResourceNotFound(kind="ticket", name=f"tickets/{self.ticket}")
        return NotCustodian(
            ticket=self.ticket,
            holding=chain.holding.value,
            event="this act",
            custodian=chain.custodian or "unknown",
        )


async def load(uow: UnitOfWork, authority: AuthorityCode, ticket: TicketNumber) -> TicketChains:
    """Read all chains of a ticket at one authority; the ticket is locked."""
    rows = await uow.rows(store.CHAINS_OF_TICKET, authority, ticket)
    return TicketChains(authority, ticket, tuple(chain_of(row) for row in rows))


async def find_chain(uow: UnitOfWork, key: ChainKey) -> Chain | None:
    """Read one chain."""
    row = await uow.get(store.CHAINS, key.authority, key.ticket, key.scope, key.number)
    return chain_of(row) if row else None


def unknown_chain(key: ChainKey, custodian: AuthorityCode) -> Chain:
    """Return the row of a chain in which this authority has no part yet."""
    return Chain(
        key=key,
        origin=custodian,
        genesis_digest=b"",
        holding=Holding.ABSENT,
        term_epoch=None,
        floor=None,
        custodian=custodian,
    )


def begun_by(key: ChainKey) -> AuthorityCode:
    """Return the authority that surely has the content of a ticket in this scope.

    Outside it is the province of the number, where the ticket came in; inside it is the province,
    which follows every inner chain and opened all but the first.
    """
    return province_of_number(key.ticket) if key.is_outer else key.scope


def followers_of(key: ChainKey) -> tuple[AuthorityCode, ...]:
    """Return who follows the ticket in this chain whoever holds it: where it came in.

    Records begin with the ruling of an era and do not name them.
    """
    city = AuthorityCode(key.ticket[:4] + "00")
    is_origin = not key.is_outer and key.number == 1 and is_in_scope(city, key.scope)
    return (begun_by(key), city) if is_origin else (begun_by(key),)


async def closing_of(uow: UnitOfWork, held: TicketChains, key: ChainKey) -> tuple[SignedBytes, ...]:
    """Return the ChainClosed by which a chain is known to be closed here, or nothing (rule 5)."""
    for chain in held.chains:
        place = chain.key
        is_later = place.scope == key.scope and place.number >= key.number
        if not (chain.closed and is_later):
            continue
        rows = await of_kind(uow, place, "ChainClosed")
        if rows:
            return (SignedBytes(rows[-1].statement, rows[-1].key_id, rows[-1].signature),)
    return ()


async def said(
    uow: UnitOfWork, key: ChainKey, *, issuer: str, kind: str, epoch: Epoch
) -> list[store.StatementRow]:
    """Read what is kept here of an identity: the statements of a kind that an issuer made."""
    return await uow.rows(
        store.STATEMENT_IDENTITY,
        key.authority,
        key.ticket,
        key.scope,
        key.number,
        issuer,
        kind,
        epoch.key(),
    )


async def of_kind(uow: UnitOfWork, key: ChainKey, kind: str) -> list[store.StatementRow]:
    """Read what is kept here of a kind in a chain, by epoch and time."""
    found = await uow.rows(
        store.STATEMENTS_OF_KIND, key.authority, key.ticket, key.scope, key.number, kind
    )
    return sorted(found, key=lambda row: (row.epoch, row.recorded, row.digest))
