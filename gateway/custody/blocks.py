"""Opening sealed blocks: content arrives sealed to one authority and must match what was signed."""

from __future__ import annotations

from gateway.custody import bodies, codec
from gateway.custody.model import ChainKey
from gateway.custody.store import InvitationRow
from gateway.delivery.codec import block_from_pb, block_to_pb
from gateway.delivery.model import SealedBlock, Statement
from gateway.kernel.errors import CommitmentMismatch
from gateway.kernel.ids import AuthorityCode, Epoch, TicketNumber
from gateway.trust.commitments import SALT_BYTES, check_commitment
from gateway.trust.key_ring import KeyRing
from gateway.trust.keys import KeyId
from gateway.trust.sealing import Sealed, SealingContext, open_block
from hotline.type.v1 import statement_pb2 as type_pb

CASE = "case_block"
IDENTITY = "identity_block"  # the one block that need not come: callers may be anonymous
FRESH_MAX = 64  # case blocks of invitations; one that waits for a person is soon forgotten


class BlockOpener:
    """Opens blocks for the authorities that live on this node."""

    def __init__(self, *, keys: KeyRing) -> None:
        """Make the opener."""
        self._keys = keys
        # Opened with its offer, and mostly asked for a moment later, when a rule accepts it.
        self._fresh: dict[tuple[SealingContext, bytes], bytes] = {}

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
        context = _context(key, epoch, source, kind)
        opened = self._opened(block, context, promised.digest)
        codec.check_block(kind, opened)
        return opened

    def open_offered(
        self, block: SealedBlock | None, *, key: ChainKey, statement: Statement, body: bodies.Offer
    ) -> None:
        """Return if the case block of an offer is what it promises.

        Raises:
            CommitmentMismatch, StatementMalformed, KeyUnknown: as `open`.
        """
        epoch, source = statement.epoch, statement.issuer
        opened = self.open(
            block, key=key, epoch=epoch, source=source, kind=CASE, commitments=body.commitments
        )
        if block is not None:
            self._fresh[_context(key, epoch, source, CASE), block.ciphertext] = opened
            if len(self._fresh) > FRESH_MAX:
                del self._fresh[next(iter(self._fresh))]

    def _opened(self, block: SealedBlock, context: SealingContext, commitment: bytes) -> bytes:
        """Return the content that was promised, however it came."""
        if block.opened is None:
            sealed = Sealed(block.ciphertext, block.suite, KeyId(block.key_id))
            keys = self._keys.sealing_keys(AuthorityCode(context.target))
            return open_block(sealed, keys, context, commitment=commitment).block
        salt, content = block.opened[:SALT_BYTES], block.opened[SALT_BYTES:]
        check_commitment(kind=context.kind, block=content, salt=salt, commitment=commitment)
        return content

    def open_kept(
        self,
        stored: bytes,
        *,
        key: ChainKey,
        epoch: Epoch,
        source: AuthorityCode,
        kind: str,
        commitments: tuple[bodies.Commitment, ...],
    ) -> bytes:
        """Return the plaintext of a block in its stored form, as `open`."""
        block = block_from_pb(type_pb.Block.FromString(stored))
        return self.open(
            block, key=key, epoch=epoch, source=source, kind=kind, commitments=commitments
        )

    def open_stored(self, row: InvitationRow, body: bodies.Offer) -> bytes:
        """Return the plaintext of the case block that was kept sealed with an invitation."""
        block = block_from_pb(type_pb.Block.FromString(row.case_block))
        key = ChainKey(
            AuthorityCode(row.authority),
            TicketNumber(row.ticket),
            AuthorityCode(row.scope),
            row.number,
        )
        epoch, source = Epoch.from_key(row.epoch), AuthorityCode(row.source)
        context = _context(key, epoch, source, CASE)
        opened = self._fresh.pop((context, block.ciphertext), None)
        if opened is not None:
            return opened
        return self.open(
            block, key=key, epoch=epoch, source=source, kind=CASE, commitments=body.commitments
        )


def _context(key: ChainKey, epoch: Epoch, source: AuthorityCode, kind: str) -> SealingContext:
    return SealingContext(
        ticket=key.ticket,
        scope=key.scope,
        chain=key.number,
        epoch=epoch,
        source=source,
        target=key.authority,
        kind=kind,
    )


def stored_form(block: SealedBlock) -> bytes:
    """Return a sealed block as it is kept with an invitation."""
    return block_to_pb(block).SerializeToString(deterministic=True)
