"""What breaks: every verb strikes one fault, and `heal` mends all that lasts.

Each kind is counted when it takes effect, not when it is planned: a link that is cut counts when it
swallows a batch, a process that shall die when it dies.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from gateway.kernel.errors import PeerUnreachable
from gateway.trust.keys import Purpose
from tests.simulation import newer
from tests.simulation.hostile import HOSTILE
from tests.simulation.network import Link
from tests.simulation.node import TROUBLES, Node

if TYPE_CHECKING:
    from tests.simulation.world import World

SKEW_MAX = 5 * 60  # seconds
CRASH_POINTS = ("before_commit", "after_commit", "before_send", "after_send", "before_receipt")

RESTORED = "restored"

ALWAYS = (
    *(f"crash {point}" for point in CRASH_POINTS),
    *(f"disk {trouble}" for trouble in TROUBLES),
    "clock set",
    "clogged",
    "cut off",
    "earlier version",
    "flapped",
    "forged receipt",
    "held",
    "hostile flipped bit",
    "hostile fork",
    "hostile replay",
    "hostile replay from elsewhere",
    "hostile stale epoch",
    "hostile usurped ruling",
    "hostile wrong key",
    *HOSTILE,
    "late",
    "lost",
    "repeated",
    "restart",
    RESTORED,
    "revoked peer",
    "rotated",
    "rotated sealing",
    "shuffled",
    "unanswered",
    "unclogged",
    "unknown field",
)
"""Every kind of fault; a run of the size of CI in which one of them never fired has failed."""


class Faults:
    """Breaks a world, by the random stream that the world has just now."""

    def __init__(self, world: World) -> None:
        self._world = world

    def arm(self) -> None:
        """Let some process die, or its disk misbehave, at one of the next points."""
        rng, node = self._world.rng, self._node()
        if rng.random() < 0.6:
            node.crash_at = (rng.choice(CRASH_POINTS), rng.randint(1, 3))
        else:
            node.trouble = (rng.choice(TROUBLES), rng.randint(1, 3))

    def restart(self) -> None:
        """Stop a process and start it again."""
        node = self._node()
        self._world.fault("restart", node.id)
        self._world.note(f"restart {node.id}")
        node.start()

    def cut(self) -> None:
        """Cut a link one way, or mend what is cut."""
        network = self._world.network
        if network.cut:
            network.cut.clear()
        else:
            network.cut.add(self._link())

    def isolate(self) -> None:
        """Cut a node off: it may send but not hear, hear but not send, or neither."""
        network, rng = self._world.network, self._world.rng
        if network.cut:
            network.cut.clear()
            return
        node, way = self._node().id, rng.randrange(3)
        others = [other for other in self._world.nodes if other != node]
        if way != 0:
            network.cut |= {(node, other) for other in others}
        if way != 1:
            network.cut |= {(other, node) for other in others}

    def flap(self) -> None:
        """Let a link pass every other batch, or be as before."""
        network = self._world.network
        if network.flapping:
            network.flapping.clear()
        else:
            network.flapping[self._link()] = 0

    async def clog(self) -> None:
        """Clog a few links, or clear what is clogged, in any order (swizzle-clogging)."""
        network, rng = self._world.network, self._world.rng
        if not network.clogged:
            for _ in range(rng.randint(1, 4)):
                network.clogged.setdefault(self._link(), [])
            return
        links = list(network.clogged)
        rng.shuffle(links)
        for link in links[: rng.randint(1, len(links))]:
            await network.clear(link)

    def set_clock(self) -> None:
        """Step the clock of a node, forwards or backwards."""
        node, rng = self._node(), self._world.rng
        node.clock.skew = timedelta(seconds=rng.randint(-SKEW_MAX, SKEW_MAX))
        self._world.fault("clock set", node.id)

    def rotate(self) -> None:
        """Give an authority new keys, of which the others hear later."""
        rng = self._world.rng
        purpose = rng.choice([Purpose.STATEMENT, Purpose.STATEMENT, Purpose.SEALING])
        self._world.rotate(rng.choice(self._world.authorities), purpose)

    def revoke(self) -> None:
        """Let some nodes believe that an authority is no longer a member."""
        rng, nodes = self._world.rng, list(self._world.nodes.values())
        believers = rng.sample(nodes, rng.randint(1, len(nodes) - 1))
        self._world.strike_off(rng.choice(self._world.authorities), believers)

    def refresh(self) -> None:
        """Let a node read the newest roster."""
        self._node().old_roster = None

    def version(self) -> None:
        """Install another version on a node: the one before, this one, or a later one."""
        world, node, rng = self._world, self._node(), self._world.rng
        which = rng.randrange(3)
        is_earlier = which == 0 and not node.is_arbiter_only
        if is_earlier and not node.is_earlier_version:
            world.fault("earlier version", node.id)
        self._set_newer(node, is_newer=which == 2)
        world.upgrade(node, is_earlier_version=is_earlier)

    def _set_newer(self, node: Node, *, is_newer: bool) -> None:
        change = self._world.newer.add if is_newer else self._world.newer.discard
        change(node.id)
        for code in node.hosts:
            (newer.authors.add if is_newer else newer.authors.discard)(code)

    def heal(self) -> None:
        """Mend everything that lasts."""
        self._world.network.heal()
        for node in self._world.nodes.values():
            node.crash_at = node.trouble = node.old_roster = None
            self._set_newer(node, is_newer=False)
            if node.is_earlier_version:
                self._world.upgrade(node, is_earlier_version=False)

    async def late(self) -> None:
        """Let something that was held back arrive."""
        try:
            await self._world.network.arrive_late()
        except PeerUnreachable:
            self._world.note("nobody is there to take what came late")

    def _node(self) -> Node:
        return self._world.rng.choice(list(self._world.nodes.values()))

    def _link(self) -> Link:
        source, target = self._world.rng.sample(list(self._world.nodes), 2)
        return source, target
