"""A statement leaves through the outbox, or takes effect at once if its target lives here."""

from __future__ import annotations

import pytest

from gateway.database.memory import MemoryDatabase
from gateway.delivery.model import STATEMENT_BYTES_MAX
from gateway.delivery.store import OUTBOX
from gateway.kernel.errors import ChainForked, DestinationNotJoined, InvariantViolated
from tests.unit.delivery.builders import (
    AT_TIANJIN,
    HEBEI,
    LANGFANG,
    NOW,
    TAKEN,
    TIANJIN,
    Office,
    Peers,
)


@pytest.fixture
def office() -> Office:
    """河北's node, which hosts 廊坊."""
    return Office(Peers())


def rows(office: Office) -> tuple[int, int]:
    """Return how many wait for a peer, and how many took effect here."""
    database = office.database
    assert isinstance(database, MemoryDatabase)
    return len(database.rows(OUTBOX)), len(database.rows(TAKEN))


async def test_a_statement_to_another_node_waits_for_its_receipt(office: Office) -> None:
    async with office.database.unit() as uow:
        office.post(uow, office.peers.signed(issuer=HEBEI, audience=(TIANJIN,), signer=HEBEI))
        assert office.woken == []
    assert rows(office) == (1, 0)
    assert office.woken == [AT_TIANJIN], "after the commit"


async def test_what_rolled_back_never_leaves(office: Office) -> None:
    with pytest.raises(LookupError):
        await _failing_post(office)
    assert rows(office) == (0, 0)
    assert office.woken == []


async def _failing_post(office: Office) -> None:
    async with office.database.unit() as uow:
        office.post(uow, office.peers.signed(issuer=HEBEI, audience=(TIANJIN,), signer=HEBEI))
        raise LookupError


async def test_a_statement_within_the_node_takes_effect_in_the_same_step(office: Office) -> None:
    async with office.database.unit() as uow:
        signed = office.peers.signed(issuer=HEBEI, audience=(LANGFANG,), signer=HEBEI)
        office.post(uow, signed, target=LANGFANG)
        assert rows(office) == (0, 0), "not before the step is whole"
    assert rows(office) == (0, 1)


async def test_a_hosted_authority_that_breaks_the_protocol_fails_the_step(office: Office) -> None:
    """The step may have been caused by a peer's statement, which must not be blamed for it."""
    office.raises = ChainForked(signer=HEBEI, kind="Offer", epoch="0.1")
    with pytest.raises(InvariantViolated, match="hosted authority"):
        await _local_post(office)
    assert rows(office) == (0, 0)


async def test_a_hosted_authority_signs_with_its_own_key(office: Office) -> None:
    with pytest.raises(InvariantViolated):
        await _local_post(office, signer=LANGFANG)
    assert rows(office) == (0, 0)


async def _local_post(office: Office, signer: str = HEBEI) -> None:
    async with office.database.unit() as uow:
        signed = office.peers.signed(
            issuer=HEBEI, audience=(LANGFANG,), signer=HEBEI if signer == HEBEI else LANGFANG
        )
        office.post(uow, signed, target=LANGFANG)


async def test_nothing_is_posted_to_who_has_not_joined(office: Office) -> None:
    async with office.database.unit() as uow:
        with pytest.raises(DestinationNotJoined):
            office.post(uow, office.peers.signed(), target="440000", now=NOW)


async def test_a_statement_that_no_peer_would_take_stops_here(office: Office) -> None:
    async with office.database.unit() as uow:
        with pytest.raises(InvariantViolated):
            office.post(uow, office.peers.sign(bytes(STATEMENT_BYTES_MAX + 1)))
