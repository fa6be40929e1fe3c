"""Content to send: a block with its salt, promised in a body and sealed for whoever gets it.

A block for an authority of this very node never leaves the process, so it travels as it is, beside
its commitment, which is compared as that of any other. What may wait on disk, the case block of an
offer, is sealed all the same: an invitation that a person decides about keeps it so.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from gateway.custody import bodies
from gateway.custody.model import ChainKey
from gateway.delivery.model import SealedBlock
from gateway.kernel.ids import AuthorityCode, Epoch
from gateway.kernel.time import Clock
from gateway.kernel.values import dataclass
from gateway.trust.commitments import commit
from gateway.trust.roster import Roster
from gateway.trust.sealing import SealingContext, seal_block

STORED = frozenset({"case_block", "inquiry_block"})  # kept with an offer, sealed as it came


@dataclass(frozen=True, slots=True)
class Content:
    """A block to send, with the salt of its commitment."""

    kind: str
    block: bytes
    salt: bytes

    def commitment(self) -> bodies.Commitment:
        """Return what the body of the statement promises about the block."""
        return bodies.Commitment(self.kind, commit(self.block, self.salt))


@dataclass(frozen=True, slots=True)
class Encloser:
    """Seals content; keys are judged by machine time."""

    roster: Callable[[], Roster]
    machine_clock: Clock

    def enclose(
        self,
        key: ChainKey,
        epoch: Epoch,
        target: AuthorityCode,
        contents: Iterable[Content],
        *,
        is_here: bool,
    ) -> tuple[SealedBlock, ...]:
        """Return blocks for one receiver; `is_here` says that it lives on this node."""
        return tuple(
            self._enclosed(key, epoch, target, content, is_here=is_here) for content in contents
        )

    def _enclosed(
        self,
        key: ChainKey,
        epoch: Epoch,
        target: AuthorityCode,
        content: Content,
        *,
        is_here: bool,
    ) -> SealedBlock:
        recipient = self.roster().current_sealing_key(target, now=self.machine_clock.now())
        opened = content.salt + content.block if is_here else None
        if is_here and content.kind not in STORED:
            return SealedBlock(content.kind, b"", recipient.suite.value, recipient.key_id, opened)
        context = SealingContext(
            ticket=key.ticket,
            scope=key.scope,
            chain=key.number,
            epoch=epoch,
            source=key.authority,
            target=target,
            kind=content.kind,
        )
        sealed = seal_block(
            block=content.block, salt=content.salt, recipient=recipient, context=context
        )
        return SealedBlock(content.kind, sealed.ciphertext, sealed.suite, sealed.key_id, opened)
