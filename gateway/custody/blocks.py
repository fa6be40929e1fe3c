"""Opening sealed blocks: content arrives sealed to one authority and must match what was signed."""

from __future__ import annotations

from gateway.custody import bodies, codec
from gateway.custody.model import ChainKey
from gateway.custody.store import InvitationRow
from gateway.delivery.codec import block_from_pb, block_to_pb
from gateway.delivery.model import SealedBlock
from gateway.kernel.errors import CommitmentMismatch
from gateway.kernel.ids import AuthorityCode, Epoch, TicketNumber
from gateway.trust.key_ring import KeyRing
from gateway.trust.keys import KeyId
from gateway.trust.sealing import Sealed, SealingContext, open_block
from hotline.type.v1 import statement_pb2 as type_pb

IDENTITY = "identity_block"  # the one block that need not come: callers may be anonymous


class BlockOpener:
    """Opens blocks for the authorities that live on this node."""

    def __init__(self, *, keys: KeyRing) -> None:
        """Make the opener."""
        self._keys = keys

    def lives_here(self, authority: AuthorityCode) -> bool:
        """Tell whether an authority is hosted here: what it says comes within its own step."""
        return authority in self._keys.codes()

    def open(
        self,
        block: SealedBlock | None,
        *,
        key: ChainKey,
        epoch: Epoch,
        source: AuthorityCode,
        kind: str,
        commitments: tuple[bodies.Commitment, ...],
    ) -> bytes:
        """Return the plaintext of a block; only an identity may be missing, then it is empty.

        Raises:
            CommitmentMismatch: the block is missing, was not promised, or is another one.
            StatementMalformed: it is not a block of its kind, or breaks the standard's limits.
            KeyUnknown: it was sealed to a key that this authority does not have.
        """
        promised = next((item for item in commitments if item.kind == kind), None)
        if promised is None and block is None and kind == IDENTITY:
            return b""
        if promised is None or block is None or block.kind != kind:
            raise CommitmentMismatch(block=kind)
        context = SealingContext(
            ticket=key.ticket,
            scope=key.scope,
            chain=key.number,
            epoch=epoch,
            source=source,
            target=key.authority,
            kind=kind,
        )
        opened = open_block(
            Sealed(block.ciphertext, block.suite, KeyId(block.key_id)),
            self._keys.sealing_keys(key.authority),
            context,
            commitment=promised.digest,
        )
        codec.check_block(kind, opened.block)
        return opened.block

    def open_stored(self, row: InvitationRow, body: bodies.Offer) -> bytes:
        """Return the plaintext of the case block that was kept sealed with an invitation."""
        message = type_pb.Block.FromString(row.case_block)
        return self.open(
            block_from_pb(message),
            key=ChainKey(
                AuthorityCode(row.authority),
                TicketNumber(row.ticket),
                AuthorityCode(row.scope),
                row.number,
            ),
            epoch=Epoch.from_key(row.epoch),
            source=AuthorityCode(row.source),
            kind="case_block",
            commitments=body.commitments,
        )


def stored_form(block: SealedBlock) -> bytes:
    """Return a sealed block as it is kept with an invitation."""
    return block_to_pb(block).SerializeToString(deterministic=True)
