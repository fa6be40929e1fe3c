"""Nodes restored from older backups at random places: what they signed is never contradicted.

A story of random acts on a faultless network, in which nodes lose their newest history and recover.
In the end nobody has evidence against anybody, nobody holds beside another, and every open chain
is cared for. A node that forgets, and goes on, is caught within few seeds: mutant 4.
"""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Awaitable, Callable
from datetime import timedelta

import pytest

from gateway.custody import store
from gateway.custody.model import CARING, OfferReason
from gateway.delivery.store import EVIDENCE
from gateway.kernel.errors import LubiaoError
from gateway.kernel.ids import NATION, AuthorityCode, NodeId, TicketNumber
from tests.simulation import backups
from tests.simulation.stage import Stage
from tests.simulation.world import Defect

SEEDS, MUTANT_SEEDS = range(24), range(40)
PROVINCES = ("120000", "130000", "310000", "320000")
AUTHORITIES = (*PROVINCES, "130100", "131000", "320100")
TICKETS, RESTORES = 2, 2


class Story:
    """Random acts of people, and of time."""

    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)
        self.stage = Stage(seed=seed)
        self.tickets: list[TicketNumber] = []
        self.acts: tuple[Callable[[TicketNumber], Awaitable[object]], ...] = (
            *(self.offer,) * 4,
            *(self.accept,) * 4,
            self.decline,
            self.revoke,
            self.file,
            self.rule,
            *(self.send,) * 3,
            self.settle,
            self.wait,
            self.change,
        )

    async def begin(self) -> None:
        for _ in range(TICKETS):
            self.tickets.append(await self.stage.create(self.rng.choice(AUTHORITIES)))
        await self.stage.settle()

    async def some(self, most: int) -> None:
        """Let some things happen; what is not allowed does not."""
        for _ in range(self.rng.randrange(1, most)):
            act, ticket = self.rng.choice(self.acts), self.rng.choice(self.tickets)
            try:
                await act(ticket)
            except LubiaoError:
                continue

    def node(self) -> NodeId:
        """Draw a node, rather one that took part."""
        if self.rng.random() < 0.6:
            return self.stage.node_of(self.tickets[0][:2] + "0000").id
        return self.rng.choice(list(self.stage.nodes))

    async def offer(self, ticket: TicketNumber) -> None:
        source, target = self._one_of(self._caring(ticket)), self.rng.choice(AUTHORITIES)
        is_home = source[:2] + "0000" == target != source
        reason = OfferReason.OUTBOUND if is_home else OfferReason.PLACE
        await self.stage.offer(source, ticket, target, reason)

    async def accept(self, ticket: TicketNumber) -> None:
        await self.stage.accept(self._one_of(self._invited(ticket)), ticket)

    async def decline(self, ticket: TicketNumber) -> None:
        await self.stage.decline(self._one_of(self._invited(ticket)), ticket)

    async def revoke(self, ticket: TicketNumber) -> None:
        await self.stage.revoke(self._one_of(self._caring(ticket)), ticket)

    async def file(self, ticket: TicketNumber) -> None:
        await self.stage.file(self._one_of(self._caring(ticket)), ticket)

    async def rule(self, ticket: TicketNumber) -> None:
        await self.stage.rule(ticket, self.rng.choice(PROVINCES))

    async def change(self, ticket: TicketNumber) -> None:
        await self.stage.change(self._one_of(self._caring(ticket)), ticket)

    async def send(self, _ticket: TicketNumber) -> None:
        await self.stage.only(self.rng.choice(list(self.stage.nodes)))

    async def settle(self, _ticket: TicketNumber) -> None:
        await self.stage.settle()

    async def wait(self, _ticket: TicketNumber) -> None:
        self.stage.clock.advance(timedelta(hours=3))
        await self.stage.timers()

    def _caring(self, ticket: TicketNumber) -> list[str]:
        names = {holding.value for holding in CARING}
        return [row.authority for row in self.chains(ticket) if row.holding in names]

    def _invited(self, ticket: TicketNumber) -> list[str]:
        nodes = self.stage.nodes.values()
        rows = (row for node in nodes for row in node.database.rows(store.INVITATIONS))
        return [row.authority for row in rows if row.ticket == ticket]

    def _one_of(self, found: list[str]) -> str:
        return AuthorityCode(self.rng.choice(found or list(AUTHORITIES)))

    def chains(self, ticket: TicketNumber) -> list[store.ChainRow]:
        """Return every row of a ticket's chains, at whoever has it."""
        nodes = self.stage.nodes.values()
        rows = (row for node in nodes for row in node.database.rows(store.CHAINS))
        return [row for row in rows if row.ticket == ticket]

    def wrong(self) -> list[str]:
        """Return what does not hold when everything has come to rest."""
        found = [
            f"{row.kind} of {row.source} is {row.reason} at {node.id}"
            for node in self.stage.nodes.values()
            for row in node.database.rows(EVIDENCE)
        ]
        for ticket in self.tickets:
            scopes: dict[tuple[str, int], list[store.ChainRow]] = defaultdict(list)
            for row in self.chains(ticket):
                if row.authority != NATION:
                    scopes[row.scope, row.number].append(row)
            for scope, rows in scopes.items():
                held = [row.authority for row in rows if row.holding == "HELD"]
                if len(held) > 1:
                    found.append(f"{held} hold in {scope}")
                is_open = not any(row.closed for row in rows)
                if is_open and all(row.holding in {"ABSENT", "RELEASED"} for row in rows):
                    found.append(f"nobody cares in {scope}")
        return found


async def told(seed: int, *, forgets: bool) -> list[str]:
    """Tell one story and return what is wrong in the end."""
    story = Story(seed)
    await story.begin()
    for _ in range(RESTORES):
        await story.some(25)
        node = story.stage.nodes[story.node()]
        backup = node.database.snapshot()
        await story.some(30)
        await backups.restore(node, backup, forgets=forgets)
        if not forgets:
            await backups.recover(node)
    await story.some(20)
    await story.stage.settle()
    return story.wrong()


@pytest.mark.parametrize("seed", SEEDS)
async def test_a_node_that_recovers_never_contradicts_what_it_signed(seed: int) -> None:
    assert await told(seed, forgets=False) == []


async def test_a_node_that_forgets_is_caught_within_few_seeds() -> None:
    for seed in MUTANT_SEEDS:
        try:
            if await told(seed, forgets=True):
                return
        except (Defect, AssertionError):  # it also comes upon its own forgotten statements
            return
    raise AssertionError("no seed noticed it")
