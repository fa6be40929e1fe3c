"""One run: a seed draws what people decide and what breaks; then everything heals and settles.

The first phase is for safety: after every commit all `S` and `C` properties must hold. The second
heals the network, decides what is open and lets every window end; then `L` properties must hold.

**Decisions.** What happens is a list of decisions, each a verb with a random stream of its own. So
a run can be played again without some of them and the others stay as they were: that is how a
failing run is shrunk (`shrink.py`). A run is deterministic up to the bytes of sealed blocks, whose
entropy is the operating system's.
"""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from inspect import isawaitable

from gateway.custody import store
from gateway.custody.model import Holding
from gateway.custody.rows import chain_of
from gateway.database.memory import Snapshot
from gateway.database.timers import TIMERS
from gateway.delivery.store import OUTBOX
from gateway.kernel.errors import InvariantViolated, LubiaoError, PeerUnreachable
from gateway.kernel.ids import AuthorityCode, NodeId, TicketNumber
from tests.simulation import backups, memo
from tests.simulation.adversary import Adversary, Taken
from tests.simulation.checkers import Checkers, Violation
from tests.simulation.disputes import Disputes
from tests.simulation.faults import RESTORED, SKEW_MAX, Faults
from tests.simulation.hostile import HostileParties
from tests.simulation.network import Crashed
from tests.simulation.people import WINDOW, People
from tests.simulation.world import COPIES, Copy, Defect, Node, World

STEPS = 2000  # protocol steps before everything heals
QUIET_ROUNDS_MAX = 1500  # a case that cannot be ruled yet is tried every half hour for days
LOG_MAX = 60
PASSES_MAX = 5
PEACE_EVERY = 16  # one seed of so many is without disputes of people
NUMBERS_PER_DECISION = 4  # none gives away more numbers, so none moves those of a later one

Verb = Callable[[], Awaitable[object] | object]


@dataclass(frozen=True, slots=True)
class Decision:
    """One thing that happens; `index` names its random stream."""

    index: int
    verb: str

    def __str__(self) -> str:
        return f"{self.index}:{self.verb}"


class Play:
    """Plays one seed, or what is left of it."""

    def __init__(self, seed: int, schedule: Sequence[Decision] | None = None) -> None:
        memo.forget()
        self.world = World(seed)
        self.schedule: list[Decision] = []  # what was decided so far
        self._given = schedule
        self._weights = _weights(seed)
        self._choices = random.Random(f"{seed}/choices")
        for node in self.world.nodes.values():
            seconds = self.world.rng.randint(-SKEW_MAX, SKEW_MAX)
            node.clock.skew = timedelta(seconds=seconds)
        self.checkers = Checkers(self.world)
        self._broken: Violation | None = None
        self.world.on_commit = self._look
        self.people = People(self.world)
        self.disputes = Disputes(self.world)
        self.faults = Faults(self.world)
        self.adversary = Adversary(self.world)
        self.hostile = HostileParties(self.world)
        self._backups: dict[NodeId, Snapshot] = {}
        self._verbs: dict[str, Verb] = {
            "create": self.people.create,
            "split": self.people.split,
            "merge": self.people.merge,
            "offer": self.people.offer,
            "decide": self.people.decide,
            "revoke": self.people.revoke,
            "act": self.people.act,
            "care": self.people.care,
            "file": self.people.file,
            "rule": self.disputes.rule,
            "panel": self.disputes.panel,
            "speak": self.disputes.speak,
            "assume": self.people.assume,
            "seal": self.people.seal,
            "send": self._send,
            "late": self.faults.late,
            "advance": self._advance,
            "jump": self._jump,
            "arm": self.faults.arm,
            "restart": self.faults.restart,
            "cut": self.faults.cut,
            "isolate": self.faults.isolate,
            "flap": self.faults.flap,
            "clog": self.faults.clog,
            "set_clock": self.faults.set_clock,
            "rotate": self.faults.rotate,
            "revoke_peer": self.faults.revoke,
            "refresh": self.faults.refresh,
            "version": self.faults.version,
            "attack": self.adversary.attack,
            "cheat": self.hostile.cheat,
            "back_up": self._back_up,
            "restore": self._restore,
        }

    async def run(self, steps: int = STEPS) -> dict[str, int]:
        """Play the run and return how often each fault fired.

        Args:
            steps: protocol steps to take before everything heals; a given schedule has its own end.

        Raises:
            Violation: a property does not hold; its text ends with the log of the run.
        """
        try:
            if self._given is None:
                while self.world.taken < steps:
                    await self._take(Decision(len(self.schedule), self._choose()))
            for decision in self._given or ():
                await self._take(decision)
            self._stream("settling")
            await self._settle()
            self._check()
            self.checkers.check_settled()
        except LubiaoError as error:
            raise self._told("L0", f"settling is refused: {error}") from error
        except Defect as defect:
            raise self._told("ASSERTION", str(defect)) from defect
        except Taken as taken:
            raise self._told("HOSTILE", str(taken)) from taken
        except Violation as violation:
            raise self._told(violation.name, str(violation)) from None
        except AssertionError as error:
            raise self._told("ASSERTION", str(error)) from error
        return self.world.faults

    def _look(self) -> None:
        """Check after a commit; inside a unit nobody would let the violation through."""
        if self._broken is None:
            try:
                self.checkers.check()
            except Violation as violation:
                self._broken = violation

    def _check(self) -> None:
        if self._broken is not None:
            raise self._broken
        self.checkers.check()

    def _told(self, name: str, text: str) -> Violation:
        said = text.removeprefix(f"{name}: ")
        return Violation(name, "\n".join([said, *self.world.log[-LOG_MAX:]]))

    # --- one decision -------------------------------------------------------------------------

    def _choose(self) -> str:
        weights = dict(self._weights)
        if not self.people.wants_more():
            weights["create"] = 0
        [verb] = self._choices.choices(list(weights), list(weights.values()))
        return verb

    def _stream(self, name: str) -> None:
        self.world.rng = random.Random(f"{self.world.seed}/{name}")
        self.people.salt = self.disputes.salt = name

    async def _take(self, decision: Decision) -> None:
        self.schedule.append(decision)
        world = self.world
        self._stream(str(decision.index))
        world.number_from(decision.index * NUMBERS_PER_DECISION)
        try:
            result = self._verbs[decision.verb]()
            if isawaitable(result):
                await result
        except Crashed as crash:
            world.note(f"{crash} dies")
            world.nodes[crash.args[0]].start()
        except InvariantViolated as error:
            raise Violation("ASSERTION", f"the product stopped itself: {error}") from error
        except LubiaoError as error:
            world.step("refused")
            world.note(f"refused {decision.verb}: {error.reason}")
        self._check()

    async def _send(self) -> None:
        await self._send_from(self.world.rng.choice(list(self.world.nodes.values())))

    async def _send_from(self, node: Node) -> bool:
        """Let a node's pump send to everybody for whom something waits."""
        waiting = {row.node for row in node.database.rows(OUTBOX)}
        others = [other for other in self.world.nodes if other != node.id and other in waiting]
        self.world.rng.shuffle(others)
        return any([await node.pump.send_once(other) for other in others])

    def _back_up(self) -> None:
        node = self.world.rng.choice(list(self.world.nodes.values()))
        self._backups[node.id] = node.database.snapshot()

    async def _restore(self) -> None:
        """Put an older backup in the place of a node's disk; it serves when peers have answered."""
        if not self._backups or self.world.network.cut:
            return
        node = self.world.nodes[self.world.rng.choice(sorted(self._backups))]
        backup = self._backups.pop(node.id)
        before, waiting = node.database.rows(COPIES), node.database.rows(OUTBOX)
        self.world.on_commit = lambda: None  # until it has recovered it may be behind
        try:
            while True:
                try:
                    await backups.restore(node, backup)
                    break
                except (Crashed, PeerUnreachable):  # its first commit fails: once more
                    continue
            self.world.fault(RESTORED, node.id)
            self.world.note(f"{node.id} is restored from a backup")
            await backups.carry_through(node)
        finally:
            self.world.on_commit = self._look
        self._forget(node, before)
        kept = {(row.target, row.statement_digest) for row in node.database.rows(OUTBOX)}
        lost = (row for row in waiting if (row.target, row.statement_digest) not in kept)
        self.world.lost_callers.update(row.ticket for row in lost if row.kind == "Release")
        self.world.excuse_copies(node)
        self.checkers.restored(node.id)

    def _forget(self, node: Node, before: list[Copy]) -> None:
        """Note what only the lost disk knew: docs/custody.md#recovery says what that is."""
        world = self.world
        world.tickets = [ticket for ticket in world.tickets if self._is_known(ticket)]
        tables = node.database.tables.get(COPIES.name, {})
        for copy in before:
            left = tables.get((copy.authority, copy.ticket))
            if left is None:
                world.lost_texts.add(copy.ticket)
            if copy.identity and not (left and left.identity):
                world.lost_callers.add(copy.ticket)

    def _is_known(self, ticket: TicketNumber) -> bool:
        nodes = self.world.nodes.values()
        return any(node.database.of_ticket(store.CHAINS, ticket) for node in nodes)

    async def _advance(self) -> None:
        self.world.clock.advance(timedelta(minutes=self.world.rng.randint(1, 90)))
        await self._timers()

    async def _jump(self) -> bool:
        """Let time pass until the next clock of a case rings; tell whether there was one.

        The days of a dispute pass in jumps: between them everything happens as fast as ever.
        """
        due = [
            timer.due - node.clock.skew
            for node in self.world.nodes.values()
            for timer in node.database.rows(TIMERS)
            if timer.kind.startswith("arbitration.")
        ]
        if not due:
            return False
        wait = max(min(due) - self.world.clock.now(), timedelta(0))
        self.world.clock.advance(wait + timedelta(seconds=1))
        self.world.step("jump")
        await self._timers()
        return True

    async def _timers(self) -> None:
        for node in self.world.nodes.values():
            faults, now = self.world.faults.total(), node.clock.now()
            try:
                for _ in range(PASSES_MAX):  # a clock that rang late may have set one that is late
                    if not await node.timers.run_due():
                        break
            except Crashed as crash:
                self.world.note(f"{crash} dies")
                node.start()
            if faults == self.world.faults.total() and not node.timers._failures:
                self._check()
                self.checkers.cases.rang(node, now)

    # --- settling -----------------------------------------------------------------------------

    async def _settle(self) -> None:
        self.faults.heal()
        world = self.world
        world.note("healed")
        fenced = False
        for _ in range(QUIET_ROUNDS_MAX):
            world.clock.advance(timedelta(seconds=20))
            busy = False
            for node in world.nodes.values():
                busy = await self._send_from(node) or busy
            busy = await self.people.decide_all() or busy
            self._check()
            if busy:
                continue
            if await self._jump():
                continue
            if fenced and not self._pending():
                await self._last_words()
                return
            fenced = True
            world.clock.advance(WINDOW)
            await self._timers()
        name = "L2" if self._pending() else "L0"
        raise Violation(name, f"the run does not settle: {self._unsettled()}")

    def _unsettled(self) -> str:
        """Say what is still in the way, for the reader of the log."""
        nodes = self.world.nodes.values()
        sent = [
            f"{row.kind} {row.source}>{row.target}"
            for n in nodes
            for row in n.database.rows(OUTBOX)
        ]
        rows = [
            f"{row.authority} {row.holding} {row.ticket[-6:]} {row.scope}-{row.number}"
            f" term {row.term_epoch} pending {row.pending_epoch} ruling {row.ruling}"
            f" case {row.case_id}"
            for n in nodes
            for row in n.database.rows(store.CHAINS)
            if row.pending_epoch is not None or row.holding == Holding.YIELDING.value
        ]
        invited = [row.authority for n in nodes for row in n.database.rows(store.INVITATIONS)]
        return f"on the way {sent[:9]}, chains {rows[:9]}, invited {invited[:9]}"

    def _pending(self) -> bool:
        return any(
            row.pending_epoch is not None
            for node in self.world.nodes.values()
            for row in node.database.rows(store.CHAINS)
        )

    async def _last_words(self) -> None:
        """Each final custodian changes the ticket once more; everybody must see it."""
        world = self.world
        for ticket in world.tickets:
            holder = self._holder(ticket)
            if world.is_text_lost(holder, ticket):
                continue  # it lies before a person
            await world.node_of(holder).change(holder, ticket)
        for authority in world.authorities:
            await world.node_of(authority).seal(authority)
        for _ in range(QUIET_ROUNDS_MAX):
            world.clock.advance(timedelta(seconds=20))
            sent = [await self._send_from(node) for node in world.nodes.values()]
            if not any(sent):
                return
        raise Violation("L0", "the last words do not arrive")

    def _holder(self, ticket: TicketNumber) -> AuthorityCode:
        for node in self.world.nodes.values():
            for row in node.database.of_ticket(store.CHAINS, ticket).values():
                chain = chain_of(row)
                if not chain.key.is_outer and chain.holding is Holding.HELD:
                    return chain.key.authority
        raise Violation("L1", f"{ticket}: nobody holds it")


def _weights(seed: int) -> dict[str, float]:
    """Return how often each verb is drawn; each seed leaves out some faults, or has more of them.

    A run in which everything breaks all the time gets nowhere; one in which only one thing breaks,
    but often, gets far in a corner.
    """
    rng = random.Random(f"{seed}/weights")
    weights: dict[str, float] = {**PEOPLE, **NETWORK}
    for verb, weight in FAULTS.items():
        weights[verb] = weight * rng.choice([0, 0.5, 1, 1, 3])
    if seed % PEACE_EVERY == PEACE_EVERY - 1:  # nobody files, no days pass: the hops go on and on
        weights |= {"file": 0.0, "jump": 0.0}
    return weights


PEOPLE = {
    "create": 3.0,
    "split": 0.4,
    "merge": 0.3,
    "offer": 6.0,
    "decide": 6.0,
    "revoke": 2.0,
    "act": 4.0,
    "care": 1.0,
    "file": 3.0,
    "rule": 2.5,
    "panel": 1.5,
    "speak": 3.0,
    "assume": 1.5,
    "seal": 0.3,
}
NETWORK = {"send": 16.0, "late": 3.0, "advance": 1.0, "jump": 0.8, "refresh": 2.0, "back_up": 1.0}
FAULTS = {
    "arm": 2.0,
    "restart": 1.0,
    "cut": 0.7,
    "isolate": 0.4,
    "flap": 0.4,
    "clog": 1.0,
    "set_clock": 0.5,
    "rotate": 0.5,
    "revoke_peer": 0.5,
    "version": 0.6,
    "attack": 1.5,
    "cheat": 1.5,
    "restore": 0.5,
}
