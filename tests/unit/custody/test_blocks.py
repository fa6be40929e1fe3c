"""Content for a neighbour stays in the process; what may leave it, or lie on disk, is sealed."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gateway.custody.blocks import BlockOpener
from gateway.custody.enclosing import Content, Encloser
from gateway.custody.model import ChainKey
from gateway.delivery.codec import block_to_pb
from gateway.delivery.model import SealedBlock
from gateway.kernel.errors import CommitmentMismatch
from gateway.kernel.ids import AuthorityCode, Epoch, TicketNumber
from gateway.trust.commitments import SALT_BYTES
from hotline.custody.v1 import custody_pb2
from tests.fixtures.nodes import Federation, a_federation

HEBEI, LANGFANG = AuthorityCode("130000"), AuthorityCode("131000")
TICKET = TicketNumber("13000020260302000000014")
SAID_BY = ChainKey(HEBEI, TICKET, HEBEI, 1)
TAKEN_BY = ChainKey(LANGFANG, TICKET, HEBEI, 1)
EPOCH = Epoch(0, 1)


def content(kind: str = "identity_block", salt: bytes = bytes(SALT_BYTES)) -> Content:
    """Return synthetic content."""
    message = custody_pb2.IdentityBlock()
    message.citizen.display_name = "测试人员甲"
    return Content(kind, message.SerializeToString(), salt)


def enclosed(federation: Federation, given: Content, *, is_here: bool) -> SealedBlock:
    """Return the block as 河北 sends it to 廊坊."""
    encloser = Encloser(lambda: federation.roster, federation.clock)
    [block] = encloser.enclose(SAID_BY, EPOCH, LANGFANG, (given,), is_here=is_here)
    return block


def opened(federation: Federation, block: SealedBlock, promised: Content) -> bytes:
    """Return what 廊坊 opens."""
    return BlockOpener(keys=federation.nodes["hebei"].keys).open(
        block,
        key=TAKEN_BY,
        epoch=EPOCH,
        source=HEBEI,
        kind=promised.kind,
        commitments=(promised.commitment(),),
    )


@pytest.mark.parametrize("is_here", [True, False])
def test_a_block_opens_with_a_neighbour_as_anywhere(is_here: bool) -> None:
    federation = a_federation()
    block = enclosed(federation, content(), is_here=is_here)
    assert (block.opened is not None, bool(block.ciphertext)) == (is_here, not is_here)
    assert opened(federation, block, content()) == content().block


@pytest.mark.parametrize("is_here", [True, False])
def test_other_content_than_was_promised_is_refused(is_here: bool) -> None:
    federation = a_federation()
    block = enclosed(federation, content(), is_here=is_here)
    with pytest.raises(CommitmentMismatch):
        opened(federation, block, content(salt=b"1" * SALT_BYTES))


def test_what_an_invitation_keeps_is_sealed_for_a_neighbour_too() -> None:
    assert enclosed(a_federation(), content("case_block"), is_here=True).ciphertext


def test_open_content_never_travels_and_is_never_shown() -> None:
    block = enclosed(a_federation(), content(), is_here=True)
    assert content().block not in block_to_pb(block).SerializeToString()
    assert "测试人员甲" not in repr(block)
    assert block == replace(block, opened=None)
