"""What people decide in a run: whom to offer to, accept or not, rule, split, merge.

Choices among tickets and places are by name, not by position in a list: without one decision of a
run the others still choose the same ticket, as long as it exists.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import suppress
from datetime import timedelta
from typing import TYPE_CHECKING, TypeVar
from zlib import crc32

from gateway.custody import chains, model, store
from gateway.custody.model import Chain, Holding, OfferReason
from gateway.custody.rows import chain_of, invitation_of, made_of
from gateway.kernel.codes import RulingKind
from gateway.kernel.errors import FieldInvalid, TransitionNotAllowed
from gateway.kernel.ids import NATION, AuthorityCode, TicketNumber

if TYPE_CHECKING:
    from tests.simulation.node import Node
    from tests.simulation.world import World

RULINGS = (RulingKind.UPHOLD, RulingKind.REASSIGN, RulingKind.INTERIM, RulingKind.DEFAULT)
RULINGS_ENOUGH = 12  # a fork must still be ruled when all heals, below the bound of 16
WINDOW = timedelta(hours=2)
# In one seed of so many people stand by, ask and answer before they decide; the others stay the
# stories that they were.
TALK_EVERY = 5
FOCUS = 4  # tickets at which most decisions are aimed: the newest ones
STEPS_PER_TICKET = 110  # a new ticket comes when the ones before have lived that long
CHILDREN_MAX = 3

CARING = frozenset(holding.value for holding in model.CARING)

Item = TypeVar("Item")


class People:
    """Decides for all authorities of a world, by the random stream that it has just now."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.salt = ""
        self._children: dict[TicketNumber, list[TicketNumber]] = {}

    def wants_more(self) -> bool:
        """Tell whether it is time for another ticket."""
        tickets = len(self._world.tickets)
        return tickets < FOCUS or tickets * STEPS_PER_TICKET < self._world.taken

    # --- verbs --------------------------------------------------------------------------------

    async def create(self) -> None:
        """Hand in a ticket anywhere."""
        world = self._world
        authority = world.rng.choice(world.authorities)
        ticket = await world.node_of(authority).create(authority)
        self._new(ticket, f"create {ticket} at {authority}")

    async def split(self) -> None:
        """Split a child off a ticket that somebody holds."""
        chain = self._some_chain()
        if chain is None:
            return
        authority, parent = chain.key.authority, chain.key.ticket
        children = self._children.setdefault(parent, [])
        is_child = any(parent in born for born in self._children.values())
        if is_child or len(children) >= CHILDREN_MAX:
            return
        node = self._world.node_of(authority)
        child = await node.split(authority, parent, index=len(children) + 1)
        children.append(child)
        self._new(child, f"split {child} off {parent[-6:]} at {authority}")

    async def merge(self) -> None:
        """Merge two tickets that one authority holds."""
        world = self._world
        chain = self._some_chain()
        if chain is None:
            return
        authority, ticket = chain.key.authority, chain.key.ticket
        held = [
            row.ticket
            for row in world.node_of(authority).database.rows(store.CHAINS)
            if row.authority == authority and row.holding == Holding.HELD.value
        ]
        others = sorted({TicketNumber(number) for number in held if number != ticket})
        if not others:
            return
        into = self._pick(others, str)
        world.note(f"merge {ticket[-6:]} into {into[-6:]} at {authority}")
        await world.node_of(authority).merge(authority, ticket, into)
        world.step("local")

    async def offer(self) -> None:
        """Offer a ticket."""
        chain = self._some_chain()
        if chain is None:
            return
        authority, ticket = chain.key.authority, chain.key.ticket
        target, reason = self._some_target(authority)
        node = self._world.node_of(authority)
        now = node.clock.now()
        self._world.note(f"offer {ticket[-6:]} {authority} -> {target} {reason.name}")
        async with node.database.unit() as uow:
            await uow.lock(f"ticket/{ticket}")
            await node.custody.offer(
                uow,
                authority=authority,
                ticket=ticket,
                target=target,
                reason=reason,
                rule="simulated",
                trace_digest=b"",
                window_end=now + WINDOW,
                now=now,
            )
        self._world.step("local")

    async def decide(self) -> None:
        """Decide an invitation that is open somewhere."""
        if (self._world.seed + 1) % TALK_EVERY == 0:
            await self._talk()
            if self._world.rng.random() < 0.5:
                return  # people who talk take longer
        rows = self._invited()
        if rows:
            node, row = self._pick(rows, lambda pair: _named(pair[1]))
            accepts = self._world.rng.random() < 0.65
            await self._decide(node, row, accepts=accepts)

    async def _talk(self) -> None:
        """Let people stand by, ask, and answer questions; what is refused is no reason to stop."""
        for verb in (self.inform, self.ask, self.stand_by):
            if self._world.rng.random() < 0.7:
                with suppress(FieldInvalid, TransitionNotAllowed):
                    await verb()

    async def ask(self) -> None:
        """Let somebody who is offered a ticket ask about it."""
        rows = [pair for pair in self._invited() if not pair[0].is_earlier_version]
        if not rows:
            return
        node, row = self._pick(rows, lambda pair: _named(pair[1]))
        key = invitation_of(row).key
        self._world.note(f"ask {row.ticket[-6:]} {key.authority}")
        async with node.database.unit() as uow:
            await uow.lock(f"ticket/{key.ticket}")
            await node.custody.inquiring.ask(
                uow, key, question="simulated question", now=node.clock.now()
            )
        self._world.step("local")

    async def inform(self) -> None:
        """Let somebody who offers answer a question that waits."""
        asked = [
            (node, row)
            for node in self._world.nodes.values()
            for row in node.database.rows(store.OFFERS_MADE)
            if row.inquiry and row.told is None and not node.is_earlier_version
        ]
        if not asked:
            return
        node, row = self._pick(asked, lambda pair: _named(pair[1]))
        made = made_of(row)
        self._world.note(f"inform {row.ticket[-6:]} {row.authority}")
        async with node.database.unit() as uow:
            await uow.lock(f"ticket/{row.ticket}")
            await node.custody.inquiring.answer(
                uow,
                made.key,
                made.epoch,
                number=made.asked,
                answer="simulated answer",
                now=node.clock.now(),
            )
        self._world.step("local")

    async def stand_by(self) -> None:
        """Let somebody say that a person is deciding, some also twice, or for far too long."""
        rows = [pair for pair in self._invited() if not pair[0].is_earlier_version]
        if not rows:
            return
        node, row = self._pick(rows, lambda pair: _named(pair[1]))
        key = invitation_of(row).key
        for _ in range(self._world.rng.choice([1, 2])):
            windows, now = self._world.rng.choice([None, 0.5, 1.5, 20.0]), node.clock.now()
            self._world.note(f"stand by {row.ticket[-6:]} {key.authority}")
            async with node.database.unit() as uow:
                await uow.lock(f"ticket/{key.ticket}")
                await node.custody.stand_by(
                    uow,
                    key,
                    decider="dispatcher",
                    until=None if windows is None else now + windows * WINDOW,
                    now=now,
                )
            self._world.step("local")

    async def decide_all(self) -> bool:
        """Accept every open invitation; tell whether there was one."""
        waiting = self._invited()
        for node, row in waiting:
            if row in node.database.of_ticket(store.INVITATIONS, row.ticket).values():
                await self._decide(node, row, accepts=True)
        return bool(waiting)

    async def _decide(self, node: Node, row: store.InvitationRow, *, accepts: bool) -> None:
        key, now = invitation_of(row).key, node.clock.now()
        self._world.note(f"{'accept' if accepts else 'decline'} {row.ticket[-6:]} {key.authority}")
        async with node.database.unit() as uow:
            await uow.lock(f"ticket/{key.ticket}")
            if accepts:
                events = await node.custody.accept(
                    uow, authority=key.authority, ticket=key.ticket, now=now, key=key
                )
                for event in events:
                    await node.react(uow, event, now)
                await node.custody.publish(uow, authority=key.authority, ticket=key.ticket, now=now)
            else:
                await node.custody.decline(
                    uow,
                    authority=key.authority,
                    ticket=key.ticket,
                    reason=1,
                    clause="simulated clause",
                    proposed_owner=row.source,
                    now=now,
                    key=key,
                )
        self._world.step("local")

    async def revoke(self) -> None:
        """Ask a pending offer back."""
        chain = self._some_chain()
        if chain is None:
            return
        key, node = chain.key, self._world.node_of(chain.key.authority)
        self._world.note(f"revoke {key.ticket[-6:]} {key.authority}")
        async with node.database.unit() as uow:
            await uow.lock(f"ticket/{key.ticket}")
            await node.custody.revoke(
                uow, authority=key.authority, ticket=key.ticket, now=node.clock.now()
            )
        self._world.step("local")

    async def act(self) -> None:
        """Do an exclusive act; sometimes one that adopts or reverses an overtaken one."""
        chain = self._some_chain()
        if chain is not None:
            key, node = chain.key, self._world.node_of(chain.key.authority)
            adopts = self._world.rng.choice([True, False, None])
            if adopts is not None and await node.reconcile(
                key.authority, key.ticket, adopts=adopts
            ):
                self._world.note(f"reconcile {key.ticket[-6:]} {key.authority}")
                self._world.step("reconciled")
                return
            self._world.note(f"act {key.ticket[-6:]} {key.authority}")
            await node.change(key.authority, key.ticket)
            self._world.step("local")

    async def care(self) -> None:
        """Do an act of care."""
        chain = self._some_chain()
        if chain is not None:
            key = chain.key
            self._world.note(f"care {key.ticket[-6:]} {key.authority}")
            await self._world.node_of(key.authority).care(key.authority, key.ticket)
            self._world.step("local")

    async def file(self) -> None:
        """File a case."""
        chain = self._some_chain()
        if chain is None:
            return
        key, node = chain.key, self._world.node_of(chain.key.authority)
        self._world.note(f"file {key.ticket[-6:]} {key.authority}")
        async with node.database.unit() as uow:
            await uow.lock(f"ticket/{key.ticket}")
            await node.custody.file_case(
                uow,
                authority=key.authority,
                ticket=key.ticket,
                cause="dispute",
                target=self._some_target(key.authority)[0],
                now=node.clock.now(),
            )
        self._world.step("local")

    async def assume(self) -> None:
        """Let an authority ask for a ticket that another holds."""
        rows = [row for row in self._rows() if row.authority != NATION]
        if not rows:
            return
        key = chain_of(self._pick(rows, _named)).key
        node = self._world.node_of(key.authority)
        if node.is_earlier_version:  # it knows no Assumption
            return
        self._world.note(f"assume {key.ticket[-6:]} {key.authority}")
        async with node.database.unit() as uow:
            await uow.lock(f"ticket/{key.ticket}")
            await node.custody.assume(
                uow, authority=key.authority, ticket=key.ticket, now=node.clock.now()
            )
        self._world.step("local")

    async def rule(self) -> None:
        """Let an arbiter decide about a chain that it knows of."""
        rng = self._world.rng
        known = self._ruled_here()
        if not known:
            return
        chain = chain_of(self._pick(known, _named))
        ruled = self._world.node_of(chain.key.scope).database.of_ticket(
            store.RULINGS, chain.key.ticket
        )
        if len(ruled) >= RULINGS_ENOUGH:
            return
        kind = rng.choice(RULINGS)
        inside = self._inside(chain)
        target = rng.choice(inside)
        if kind is RulingKind.UPHOLD and chain.custodian in inside:
            target = AuthorityCode(str(chain.custodian))
        mandates = tuple(rng.sample(inside, 1)) if rng.random() < 0.2 else ()
        allowed = rng.random() < 0.6
        await self._rule(chain, kind, target, allowed=allowed, mandates=mandates)

    async def rule_on_forks(self) -> bool:
        """Rule where a custodian stopped acting because its term is forked; tell if one did."""
        tickets = self._world.tickets
        forked = {
            (row.ticket, row.scope, row.number): AuthorityCode(row.authority)
            for row in self._rows(tickets)
            if row.holding == Holding.YIELDING.value and _era(row) == row.ruling
        }
        places = {(row.ticket, row.scope, row.number): row for row in self._ruled_here(tickets)}
        ruled = False
        for place, holder in forked.items():
            row = places.get(place)
            if row is not None and not self._is_ruling_on_its_way(place):
                await self._rule(
                    chain_of(row), RulingKind.UPHOLD, holder, allowed=True, mandates=()
                )
                ruled = True
        return ruled

    def _is_ruling_on_its_way(self, place: tuple[str, str, int]) -> bool:
        """Tell whether the newest ruling in a chain was not taken yet: no need of another."""
        ticket, scope, number = place
        ruled = [
            row
            for row in self._world.node_of(scope).database.of_ticket(store.RULINGS, ticket).values()
            if (row.scope, row.chain) == (scope, number)
        ]
        newest = max(ruled, key=lambda row: row.number, default=None)
        return newest is not None and not newest.taken_digest

    async def _rule(
        self,
        chain: Chain,
        kind: RulingKind,
        target: AuthorityCode,
        *,
        allowed: bool,
        mandates: tuple[AuthorityCode, ...],
    ) -> None:
        key, scope = chain.key, chain.key.scope
        self._world.note(f"rule {key.ticket[-6:]} {scope}-{key.number} {kind.name} {target}")
        node = self._world.node_of(scope)
        async with node.database.unit() as uow:
            await uow.lock(f"ticket/{key.ticket}")
            await node.arbiter.rule(
                uow,
                scope=scope,
                ticket=key.ticket,
                number=key.number,
                case=chain.case,
                kind=kind,
                target=target,
                offers_allowed=allowed,
                mandates=mandates,
                legal_basis="simulated basis",
                reasons="",
                now=node.clock.now(),
            )
        self._world.step("local")

    async def seal(self) -> None:
        """Make a ledger entry somewhere."""
        authority = self._world.rng.choice(self._world.authorities)
        await self._world.node_of(authority).seal(authority)

    # --- choosing -----------------------------------------------------------------------------

    def _new(self, ticket: TicketNumber, text: str) -> None:
        self._world.tickets.append(ticket)
        self._world.note(text)
        self._world.step("local")

    def _pick(self, items: Iterable[Item], name: Callable[[Item], str]) -> Item:
        """Return the item whose name this decision likes best, whatever else is there."""
        return min(items, key=lambda item: crc32(f"{self.salt}/{name(item)}".encode()))

    def _tickets(self) -> list[TicketNumber]:
        """Return the tickets among which to choose: mostly the newest."""
        tickets = self._world.tickets
        return tickets if self._world.rng.random() < 0.1 else tickets[-FOCUS:]

    def _rows(self, tickets: Iterable[TicketNumber] | None = None) -> list[store.ChainRow]:
        wanted = self._tickets() if tickets is None else tickets
        return [
            row
            for ticket in wanted
            for node in self._world.nodes.values()
            for row in node.database.of_ticket(store.CHAINS, ticket).values()
        ]

    def _ruled_here(self, tickets: Iterable[TicketNumber] | None = None) -> list[store.ChainRow]:
        """Return the chains as their arbiters know them."""
        return [row for row in self._rows(tickets) if row.authority == row.scope and not row.closed]

    def _inside(self, chain: Chain) -> list[AuthorityCode]:
        authorities = self._world.authorities
        return [code for code in authorities if chains.is_in_scope(code, chain.key.scope)]

    def _invited(self) -> list[tuple[Node, store.InvitationRow]]:
        return [
            (node, row)
            for node in self._world.nodes.values()
            for row in node.database.rows(store.INVITATIONS)
        ]

    def _some_chain(self) -> Chain | None:
        """Return a chain at an authority, mostly one where something can be done."""
        rows = [row for row in self._rows() if row.authority != NATION]
        caring = [row for row in rows if row.holding in CARING] or rows
        pool = caring if self._world.rng.random() < 0.9 else rows
        return chain_of(self._pick(pool, _named)) if pool else None

    def _some_target(self, authority: AuthorityCode) -> tuple[AuthorityCode, OfferReason]:
        """Return a target, mostly one that the scopes allow, and a reason."""
        world, rng = self._world, self._world.rng
        others = [code for code in world.authorities if code != authority]
        if rng.random() < 0.1:
            return rng.choice(others), rng.choice(list(OfferReason))
        home = chains.province_of(authority)
        inside = [code for code in others if chains.province_of(code) == home]
        outside = [code for code in others if chains.is_province(code) and code != home]
        pool = inside + (outside if authority == home else [home])
        target = rng.choice(pool or others)
        homeward = target == home
        return target, OfferReason.OUTBOUND if homeward else OfferReason.PLACE


def _named(row: store.ChainRow | store.InvitationRow | store.OfferMadeRow) -> str:
    return f"{row.authority}/{row.ticket}/{row.scope}/{row.number}"


def _era(row: store.ChainRow) -> int:
    term = chain_of(row).term_epoch
    return term.era if term is not None else 0
