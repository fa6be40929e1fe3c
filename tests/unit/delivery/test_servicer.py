"""The edge: each envelope of a batch is answered alone, in the order of the request."""

from __future__ import annotations

from typing import Any, cast

import pytest

from gateway.delivery.model import ENVELOPES_PER_BATCH_MAX, Outcome
from gateway.delivery.servicer import PeerServicer
from gateway.kernel.errors import BatchTooLarge
from gateway.trust.principal import Principal, PrincipalKind
from hotline.peer.v1 import peer_service_pb2 as peer_pb
from tests.unit.delivery.builders import AT_TIANJIN, TIANJIN, Office, Peers

CALLER = Principal(kind=PrincipalKind.NODE, authority=TIANJIN, id=AT_TIANJIN)


@pytest.fixture
def office() -> Office:
    """河北's node."""
    return Office(Peers())


def servicer(office: Office) -> PeerServicer:
    return PeerServicer(inbox=office.inbox, principal_of=lambda _context: CALLER)


async def test_one_bad_envelope_fails_alone(office: Office) -> None:
    peers = office.peers
    request = peer_pb.DeliverEnvelopesRequest(
        envelopes=[
            peers.envelope(),
            peers.envelope(peers.sign(b"\xff\xff")),
            peers.envelope(target=TIANJIN),
            peers.envelope(sequence=4),
        ]
    )
    response = await servicer(office).DeliverEnvelopes(request, cast("Any", None))
    first, second, third, fourth = [r.SerializeToString() for r in response.receipts]
    assert peers.opened(first).outcome is Outcome.RECEIVED
    assert peers.opened(second).outcome is Outcome.REFUSED
    assert third == b"", "nobody here can sign for it"
    assert peers.opened(fourth).outcome is Outcome.RECEIVED


async def test_a_batch_over_its_bound_is_refused_whole(office: Office) -> None:
    envelope = office.peers.envelope()
    request = peer_pb.DeliverEnvelopesRequest(envelopes=[envelope] * (ENVELOPES_PER_BATCH_MAX + 1))
    with pytest.raises(BatchTooLarge):
        await servicer(office).DeliverEnvelopes(request, cast("Any", None))
    assert office.counts == []
