"""Each party's node and the ruling node keep the same case, byte for byte (I4).

Whatever the lines do meanwhile: statements are lost and sent again, come twice, come late, come in
the wrong order, or an old one comes after all others.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from typing import Any, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.in_process import YEAR
from gateway.arbitration import exchange_codec
from gateway.arbitration.copies import COPIES
from gateway.delivery.codec import numbered_envelope, statement_from_bytes
from gateway.delivery.store import OUTBOX, OUTBOX_DUE, OutboxRow
from gateway.kernel.codes import CaseState
from gateway.kernel.ids import NATION
from hotline.peer.v1 import peer_service_pb2
from tests.fixtures.nodes import NOW, ArbiterNode, Federation, Node
from tests.integration.arbitration.test_parties_elsewhere import OBJECTION, Dispute, a_dispute
from tests.integration.arbitration.test_the_nation_rules import HEBEI, SHANGHAI, TIANJIN

PARTIES = (TIANJIN, HEBEI, SHANGHAI)
ROUNDS = 12  # of a bad line between two settled moments
Sent = tuple[str, str, bytes]  # from which node, to which, the envelope


@dataclass
class BadLines:
    """Carries envelopes as bad lines do, and remembers all of them."""

    federation: Federation
    rng: random.Random
    sent: list[Sent] = field(default_factory=list)

    def __getattr__(self, name: str) -> Any:
        """Be the federation in everything but its lines."""
        return getattr(self.federation, name)

    async def settle(self) -> None:
        """Carry for a while, and do not settle: lose, repeat, delay, turn around."""
        for _ in range(ROUNDS):
            node = self.rng.choice(self.federation.everybody)
            rows = await self._waiting(node)
            if not rows:
                continue
            row = self.rng.choice(rows)  # not in order
            for _ in range(self.rng.choice((0, 1, 1, 2))):  # lost with its answer, once, twice
                await self._deliver(node, row)
            if self.rng.random() < 0.5:  # else the answer was lost: it is sent again
                async with node.database.unit() as uow:
                    uow.delete(OUTBOX, row.position)
        for source, target, raw in self.rng.sample(self.sent, min(3, len(self.sent))):
            await self._take(source, target, raw)  # late: all it says is known

    async def _waiting(self, node: Node | ArbiterNode) -> list[OutboxRow]:
        found: list[OutboxRow] = []
        for peer in self.federation.everybody:
            async with node.database.unit() as uow:
                found += await uow.select(OUTBOX_DUE, node=peer.name, now=NOW + YEAR, limit=100)
        return [row for row in found if row.kind in {"CaseFile", "Position", "Objection"}]

    async def _deliver(self, node: Node | ArbiterNode, row: OutboxRow) -> None:
        raw = numbered_envelope(row.envelope, incarnation=1, sequence=row.position)
        self.sent.append((node.name, row.node, raw))
        await self._take(node.name, row.node, raw)

    async def _take(self, source: str, target: str, raw: bytes) -> None:
        [peer] = [node for node in self.federation.everybody if node.name == target]
        envelope = peer_service_pb2.Envelope.FromString(raw)
        await peer.inbox.take(envelope, peer=source)  # type: ignore[arg-type] # a node id


def kept(dispute: Dispute, authority: str) -> bytes:
    """Return the case as a party keeps it."""
    node = dispute.federation.node_of(authority)
    [row] = [
        row
        for row in node.database.rows(COPIES)  # type: ignore[attr-defined] # memory
        if row.authority == authority
    ]
    return exchange_codec.case_file_of(statement_from_bytes(row.statement).body)[0]


async def ruling_node_s(dispute: Dispute) -> bytes:
    """Return the case as its arbiter keeps it."""
    arbiter = dispute.federation.arbiter
    assert arbiter is not None
    cases = dispute.rooms[NATION].arbitration._cases
    key = exchange_codec.case_of_file(kept(dispute, HEBEI)).key
    async with arbiter.database.unit() as uow:
        case = await cases.find(uow, key)
    assert case is not None
    return exchange_codec.file_to_bytes(case)


async def speak_all_at_once(dispute: Dispute, lines: BadLines) -> None:
    """Let parties speak, the panel rule and one object, while the lines are bad."""
    federation, dispute.federation = dispute.federation, cast("Federation", lines)
    try:
        await dispute.say(HEBEI, proposed_owner=SHANGHAI)
        await dispute.say(SHANGHAI, proposed_owner=TIANJIN)
        await dispute.rule(SHANGHAI)
        await dispute.say(HEBEI, OBJECTION)
    finally:
        dispute.federation = federation  # healed
    await federation.settle()


@pytest.mark.parametrize("seed", range(4))
async def test_all_sides_have_the_same_bytes_after_bad_lines(seed: int) -> None:
    dispute = await a_dispute()
    lines = BadLines(dispute.federation, random.Random(seed))
    await speak_all_at_once(dispute, lines)
    newest = await ruling_node_s(dispute)
    for authority in PARTIES:
        assert kept(dispute, authority) == newest
    case = exchange_codec.case_of_file(newest)
    assert case.state in {CaseState.RULED, CaseState.CLOSED, CaseState.OBJECTED}
    assert len({(entry.party, entry.kind) for entry in case.entries}) == len(case.entries)


async def test_every_old_file_that_comes_again_changes_nothing() -> None:
    dispute = await a_dispute()
    lines = BadLines(dispute.federation, random.Random(0))
    await speak_all_at_once(dispute, lines)
    before = [kept(dispute, authority) for authority in PARTIES]
    for source, target, raw in reversed(lines.sent):
        await lines._take(source, target, raw)
    await dispute.federation.settle()
    assert [kept(dispute, authority) for authority in PARTIES] == before
    assert await ruling_node_s(dispute) == before[0]


class Backwards(BadLines):
    """Carries nothing until the end, and then the newest first."""

    async def settle(self) -> None:
        """Carry nothing."""

    async def arrive(self) -> None:
        """Carry all, in the wrong order."""
        for node in self.federation.everybody:
            for row in sorted(await self._waiting(node), key=lambda row: -row.position):
                await self._deliver(node, row)
                async with node.database.unit() as uow:
                    uow.delete(OUTBOX, row.position)


async def test_the_newest_that_comes_first_stays() -> None:
    dispute = await a_dispute()
    lines = Backwards(dispute.federation, random.Random(0))
    federation, dispute.federation = dispute.federation, cast("Federation", lines)
    name = (await dispute.case(NATION)).name
    await dispute.rule(SHANGHAI)
    await dispute.rule(HEBEI)  # ruled again before anybody took it
    dispute.federation = federation
    await lines.arrive()
    newest = await ruling_node_s(dispute)
    assert {kept(dispute, authority) for authority in PARTIES} == {newest}
    assert exchange_codec.case_of_file(newest).name == name


@settings(max_examples=3)
@given(st.integers(0, 10**6))
async def test_all_sides_agree_under_any_seed(seed: int) -> None:
    dispute = await a_dispute()
    await speak_all_at_once(dispute, BadLines(dispute.federation, random.Random(seed)))
    newest = await ruling_node_s(dispute)
    assert {kept(dispute, authority) for authority in PARTIES} == {newest}
