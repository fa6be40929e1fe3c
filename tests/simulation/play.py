"""One run: a seed draws what people decide and what breaks; then everything heals and settles.

The first phase is for safety: after every step all `S` and `C` properties must hold. The second
heals the network, decides what is open and lets every window end; then `L` properties must hold.
A run is deterministic up to the bytes of sealed blocks, whose entropy is the operating system's.
"""

from __future__ import annotations

from datetime import timedelta

from gateway.custody import chains, store
from gateway.custody.model import Holding, OfferReason
from gateway.custody.rows import chain_of, invitation_of
from gateway.kernel.codes import RulingKind
from gateway.kernel.errors import InvariantViolated, LubiaoError
from gateway.kernel.ids import NATION, AuthorityCode, TicketNumber
from tests.simulation.checkers import Checkers, Violation
from tests.simulation.network import Crashed
from tests.simulation.world import Defect, Node, World

STEPS = 160
RULINGS = (RulingKind.UPHOLD, RulingKind.REASSIGN, RulingKind.INTERIM, RulingKind.DEFAULT)
TICKETS_MAX = 4
QUIET_ROUNDS_MAX = 400
WINDOW = timedelta(hours=2)
SKEW_MAX = 120  # minutes; far more than any node's clock may be wrong


class Play:
    """Plays one seed."""

    def __init__(self, seed: int) -> None:
        self.world = World(seed)
        for node in self.world.nodes.values():
            node.clock.skew = timedelta(minutes=self.world.rng.randint(-SKEW_MAX, SKEW_MAX))
        self.checkers = Checkers(self.world)

    async def run(self, steps: int = STEPS) -> dict[str, int]:
        """Play the run and return how often each fault fired.

        Raises:
            Violation: a property does not hold; its text ends with the log of the run.
        """
        try:
            for _ in range(steps):
                await self._step()
                self.checkers.check()
            await self._settle()
            self.checkers.check_settled()
        except LubiaoError as error:
            raise Violation("L0", f"settling is refused: {error}") from error
        except Defect as defect:
            raise Violation("ASSERTION", str(defect)) from defect
        except Violation as violation:
            log = "\n".join(self.world.log[-60:])
            raise Violation(violation.name, f"{violation}\n{log}") from None
        return self.world.faults

    # --- one step -----------------------------------------------------------------------------

    async def _step(self) -> None:
        world, rng = self.world, self.world.rng
        verbs = [
            (self._create, 2 if len(world.tickets) < TICKETS_MAX else 0),
            (self._offer, 6),
            (self._decide, 6),
            (self._revoke, 2),
            (self._act, 4),
            (self._file, 2),
            (self._rule, 2),
            (self._assume, 1),
            (self._send, 16),
            (self._late, 4),
            (self._crash, 2),
            (self._advance, 1),
            (self._cut, 1),
            (self._rotate, 1),
            (self._refresh, 2),
        ]
        [verb] = rng.choices([verb for verb, _ in verbs], [weight for _, weight in verbs])
        node = rng.choice(list(world.nodes.values()))
        if rng.random() < 0.05:  # this step may be this process's last one
            node.crash_at = (rng.choice(["before_commit", "after_commit"]), rng.randint(1, 3))
        try:
            await verb()
        except Crashed as crash:
            self._note(f"crashed {crash}")
            world.nodes[crash.args[0]].start()
        except InvariantViolated as error:
            raise Violation("ASSERTION", f"the product stopped itself: {error}") from error
        except LubiaoError as error:
            self._note(f"refused {verb.__name__} {error.reason}")

    async def _create(self) -> None:
        authority = self.world.rng.choice(self.world.authorities)
        node = self.world.node_of(authority)
        ticket = await node.create(authority)
        self.world.tickets.append(ticket)
        self._note(f"create {ticket} at {authority}")

    async def _offer(self) -> None:
        world = self.world
        place = self._some_ticket()
        if place is None:
            return
        authority, ticket = place
        target, reason = self._some_target(authority)
        node = world.node_of(authority)
        now = node.clock.now()
        self._note(f"offer {ticket[-6:]} {authority} -> {target} {reason.name}")
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

    async def _decide(self, *, always_accept: bool = False) -> None:
        world, rng = self.world, self.world.rng
        rows = [
            (node, row)
            for node in world.nodes.values()
            for row in node.database.rows(store.INVITATIONS)
        ]
        if not rows:
            return
        node, row = rng.choice(rows)
        key, now = invitation_of(row).key, node.clock.now()
        accepts = always_accept or rng.random() < 0.65
        self._note(f"decide {row.ticket[-6:]} {key.authority} {'accept' if accepts else 'decline'}")
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

    async def _revoke(self) -> None:
        place = self._some_ticket()
        if place is None:
            return
        authority, ticket = place
        node = self.world.node_of(authority)
        now = node.clock.now()
        self._note(f"revoke {ticket[-6:]} {authority}")
        async with node.database.unit() as uow:
            await uow.lock(f"ticket/{ticket}")
            await node.custody.revoke(uow, authority=authority, ticket=ticket, now=now)

    async def _act(self) -> None:
        place = self._some_ticket()
        if place is not None:
            authority, ticket = place
            self._note(f"act {ticket[-6:]} {authority}")
            await self.world.node_of(authority).change(authority, ticket)

    async def _file(self) -> None:
        place = self._some_ticket()
        if place is None:
            return
        authority, ticket = place
        node = self.world.node_of(authority)
        self._note(f"file {ticket[-6:]} {authority}")
        async with node.database.unit() as uow:
            await uow.lock(f"ticket/{ticket}")
            await node.custody.file_case(
                uow,
                authority=authority,
                ticket=ticket,
                cause="dispute",
                target=self._some_target(authority)[0],
                now=node.clock.now(),
            )

    async def _assume(self) -> None:
        """Let an authority ask for a ticket that another holds."""
        rows = [
            chain_of(row).key
            for node in self.world.nodes.values()
            for row in node.database.rows(store.CHAINS)
            if row.authority != NATION
        ]
        if not rows:
            return
        key = self.world.rng.choice(rows)
        node = self.world.node_of(key.authority)
        self._note(f"assume {key.ticket[-6:]} {key.authority}")
        async with node.database.unit() as uow:
            await uow.lock(f"ticket/{key.ticket}")
            await node.custody.assume(
                uow, authority=key.authority, ticket=key.ticket, now=node.clock.now()
            )

    async def _rule(self) -> None:
        """Let an arbiter decide about any chain that it knows of."""
        world, rng = self.world, self.world.rng
        known = [
            chain
            for node in world.nodes.values()
            for row in node.database.rows(store.CHAINS)
            if (chain := chain_of(row)).key.authority == chain.key.scope and not chain.closed
        ]
        if not known:
            return
        chain = rng.choice(known)
        scope, kind = chain.key.scope, rng.choice(RULINGS)
        inside = [code for code in world.authorities if chains.is_in_scope(code, scope)]
        target = rng.choice(inside)
        if kind is RulingKind.UPHOLD and chain.custodian in inside:
            target = AuthorityCode(str(chain.custodian))
        mandates = tuple(rng.sample(inside, 1)) if rng.random() < 0.2 else ()
        self._note(f"rule {chain.key.ticket[-6:]} {scope}-{chain.key.number} {kind.name} {target}")
        node = world.node_of(scope)
        async with node.database.unit() as uow:
            await uow.lock(f"ticket/{chain.key.ticket}")
            await node.arbiter.rule(
                uow,
                scope=scope,
                ticket=chain.key.ticket,
                number=chain.key.number,
                case=chain.case,
                kind=kind,
                target=target,
                offers_allowed=rng.random() < 0.6,
                mandates=mandates,
                legal_basis="simulated basis",
                reasons="",
                now=node.clock.now(),
            )
        world.faults["ruled"] += 1

    async def _send(self) -> None:
        node = self.world.rng.choice(list(self.world.nodes.values()))
        await self._send_from(node)

    async def _send_from(self, node: Node) -> bool:
        others = [other for other in self.world.nodes if other != node.id]
        self.world.rng.shuffle(others)
        results = [await node.pump.send_once(other) for other in others]
        return any(results)

    async def _late(self) -> None:
        await self.world.network.arrive_late()

    async def _crash(self) -> None:
        node = self.world.rng.choice(list(self.world.nodes.values()))
        self.world.faults["restart"] += 1
        self._note(f"restart {node.id}")
        node.start()

    async def _advance(self) -> None:
        self.world.clock.advance(timedelta(minutes=self.world.rng.randint(1, 90)))
        await self._timers()

    async def _timers(self) -> None:
        for node in self.world.nodes.values():
            await node.timers.run_due()

    async def _cut(self) -> None:
        network, rng = self.world.network, self.world.rng
        if network.cut:
            network.cut.clear()
            return
        names = list(self.world.nodes)
        source, target = rng.sample(names, 2)
        network.cut.add((source, target))  # one way: an asymmetric partition
        self.world.faults["cut"] += 1

    async def _rotate(self) -> None:
        authority = self.world.rng.choice(self.world.authorities)
        self.world.rotate(authority)
        self._note(f"rotate {authority}")

    async def _refresh(self) -> None:
        self.world.rng.choice(list(self.world.nodes.values())).old_roster = None

    # --- settling -----------------------------------------------------------------------------

    async def _settle(self) -> None:
        self.world.network.heal()
        for node in self.world.nodes.values():
            node.crash_at = None
            node.old_roster = None
        self._note("healed")
        fenced = False
        for _ in range(QUIET_ROUNDS_MAX):
            self.world.clock.advance(timedelta(seconds=20))
            busy = False
            for node in self.world.nodes.values():
                busy = await self._send_from(node) or busy
            busy = await self._decide_all() or busy
            self.checkers.check()
            if not busy and not self._pending() and fenced:
                await self._last_words()
                return
            if not busy:
                fenced = True
                self.world.clock.advance(WINDOW)
                await self._timers()
        raise Violation("L0", "the run does not settle")

    async def _decide_all(self) -> bool:
        waiting = [
            row
            for node in self.world.nodes.values()
            for row in node.database.rows(store.INVITATIONS)
        ]
        for _ in waiting:
            await self._decide(always_accept=True)
        return bool(waiting)

    def _pending(self) -> bool:
        return any(
            row.pending_epoch is not None
            for node in self.world.nodes.values()
            for row in node.database.rows(store.CHAINS)
        )

    async def _last_words(self) -> None:
        """Each final custodian changes the ticket once more; everybody must see it."""
        for ticket in self.world.tickets:
            holder = self._holder(ticket)
            await self.world.node_of(holder).change(holder, ticket)
        for _ in range(QUIET_ROUNDS_MAX):
            self.world.clock.advance(timedelta(seconds=20))
            sent = [await self._send_from(node) for node in self.world.nodes.values()]
            if not any(sent):
                return
        raise Violation("L0", "the last words do not arrive")

    def _holder(self, ticket: TicketNumber) -> AuthorityCode:
        for node in self.world.nodes.values():
            for row in node.database.rows(store.CHAINS):
                chain = chain_of(row)
                inner = not chain.key.is_outer
                if row.ticket == ticket and inner and chain.holding is Holding.HELD:
                    return chain.key.authority
        raise Violation("L1", f"{ticket}: nobody holds it")

    # --- parts --------------------------------------------------------------------------------

    def _some_ticket(self) -> tuple[AuthorityCode, TicketNumber] | None:
        """Return a place of a ticket, mostly one where something can be done."""
        rows = [
            chain_of(row)
            for node in self.world.nodes.values()
            for row in node.database.rows(store.CHAINS)
            if row.authority != NATION
        ]
        caring = [row for row in rows if row.is_caring] or rows
        pool = caring if self.world.rng.random() < 0.9 else rows
        if not pool:
            return None
        chain = self.world.rng.choice(pool)
        return chain.key.authority, chain.key.ticket

    def _some_target(self, authority: AuthorityCode) -> tuple[AuthorityCode, OfferReason]:
        """Return a target, mostly one that the scopes allow, and a reason."""
        world, rng = self.world, self.world.rng
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

    def _note(self, text: str) -> None:
        self.world.log.append(text)
