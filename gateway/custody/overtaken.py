"""Overtaken acts: what an overruled custodian did, and what the new one makes of it.

Until a ruling reaches the old custodian it acts in good faith. Its acts stay valid history of its
term, and have no force over the new one (docs/custody.md#overtaken). Its StandDown lists them; the
new custodian keeps the list and answers each once, with an exclusive act of its own: ADOPTED gives
the act force by that act, REVERSED says that it was undone. A province's StandDown outside lists
what was done inside its term, by itself and by its cities; what a city reports later goes after it
in a further part. There an act is known by its place in the list.
"""

from __future__ import annotations

import hashlib

from gateway.custody import bodies, chains, codec, rulings, store
from gateway.custody.machine import Step, require
from gateway.custody.model import Chain, ChainKey, Holding
from gateway.custody.states import Local
from gateway.custody.writer import StepWriter
from gateway.database.uow import UnitOfWork
from gateway.delivery.codec import statement_from_bytes
from gateway.delivery.model import SignedBytes
from gateway.kernel.errors import ResourceNotFound, TransitionNotAllowed
from gateway.kernel.ids import GENESIS, AuthorityCode, Epoch, TicketNumber
from gateway.kernel.time import Instant
from gateway.kernel.values import dataclass

ACTS_PER_PART_MAX = 64  # the standard's bound; more go into further parts
ADOPTED, REVERSED = "overtaken.adopted", "overtaken.reversed"


@dataclass(frozen=True, slots=True)
class Overtaken:
    """An act without force that waits for an answer of the present custodian."""

    key: ChainKey
    actor: AuthorityCode
    epoch: Epoch
    row: int
    kind: str
    digest: bytes

    def identity(self) -> bytes:
        """Return the digest that an answer to this act names."""
        parts = (
            self.key.ticket,
            self.key.scope,
            str(self.key.number),
            self.actor,
            str(self.epoch),
            str(self.row),
            self.kind,
            self.digest.hex(),
        )
        return hashlib.sha256("/".join(("lubiao/overtaken/1", *parts)).encode()).digest()


# --- at the old custodian ---------------------------------------------------------------------


async def done_inside(uow: UnitOfWork, held: chains.TicketChains) -> tuple[bodies.Act, ...]:
    """Return the acts in a province's newest inner chain, as its StandDown outside lists them."""
    inner, outer = held.inner, held.outer
    if inner is None or outer is None:
        return ()
    place = (inner.key.scope, inner.key.number)
    own = await uow.rows(store.OWN_ACTS_OF_TICKET, held.authority, held.ticket)
    told = await uow.rows(store.ACTS_OF_TICKET, held.authority, held.ticket)
    done = [
        *(
            (row.epoch, row.sequence, row.authority, row.kind, row.digest)
            for row in own
            if (row.scope, row.number) == place
        ),
        *(
            (row.epoch, row.act_row, row.actor, row.kind, row.digest)
            for row in told
            if (row.scope, row.number) == place
        ),
    ]
    last = outer.term_epoch or GENESIS
    return tuple(
        bodies.Act(row=number, epoch=last, kind=kind, digest=digest)
        for number, (_, _, _, kind, digest) in enumerate(sorted(done), start=1)
    )


def parts_of(acts: tuple[bodies.Act, ...]) -> list[tuple[bodies.Act, ...]]:
    """Return the acts as the parts of a report have room for them; at least one part."""
    size = ACTS_PER_PART_MAX
    return [acts[at : at + size] for at in range(0, len(acts), size)] or [()]


class Reconciling:
    """Reports late acts for old custodians, and answers acts for new ones."""

    def __init__(self, *, writer: StepWriter) -> None:
        """Make it."""
        self._writer = writer

    async def told_late(
        self,
        uow: UnitOfWork,
        held: chains.TicketChains,
        acts: tuple[bodies.Act, ...],
        *,
        records: tuple[SignedBytes, ...],
        now: Instant,
    ) -> None:
        """Report acts that a city told after its province was overruled and stood down."""
        outer = held.outer
        if not acts or outer is None or outer.holding is not Holding.RELEASED:
            return
        said = await self._reports(uow, outer)
        if not said or outer.ruling_target is None:
            return
        first = sum(len(body.acts) for body in said) + 1
        late = tuple(
            bodies.Act(row=number, epoch=said[-1].last_epoch, kind=act.kind, digest=act.digest)
            for number, act in enumerate(acts, start=first)
        )
        body = bodies.StandDown(
            part=len(said) + 1,
            final=True,
            last_epoch=said[-1].last_epoch,
            acts=late,
            attached=records,
        )
        audience = (outer.key.scope, chains.begun_by(outer.key))
        say = rulings.stand_down(outer, body, holder=outer.ruling_target, audience=audience)
        await self._writer.write(uow, Step(chain=outer, says=(say,)), now=now)

    async def _reports(self, uow: UnitOfWork, outer: Chain) -> list[bodies.StandDown]:
        key = outer.key
        rows = await chains.said(
            uow,
            key,
            issuer=key.authority,
            kind="StandDown",
            epoch=outer.term_epoch or GENESIS,
        )
        found = [
            codec.body_from_bytes(row.kind, statement_from_bytes(row.statement).body)
            for row in rows
        ]
        reports = [body for body in found if isinstance(body, bodies.StandDown)]
        return sorted(reports, key=lambda body: body.part)

    # --- at the new custodian -----------------------------------------------------------------

    async def waiting(
        self, uow: UnitOfWork, authority: AuthorityCode, ticket: TicketNumber
    ) -> tuple[Overtaken, ...]:
        """Return the overtaken acts of a ticket that this authority has not answered yet."""
        told = await uow.rows(store.ACTS_OF_TICKET, authority, ticket)
        own = await uow.rows(store.OWN_ACTS_OF_TICKET, authority, ticket)
        answered = {row.digest for row in own if row.kind in (ADOPTED, REVERSED)}
        # So are those that a city answered with force; an answer that was overtaken counts nothing.
        answered |= {
            row.digest for row in told if row.has_force and row.kind in (ADOPTED, REVERSED)
        }
        acts = (_overtaken(row) for row in told if not row.has_force)
        return tuple(act for act in acts if act.identity() not in answered)

    async def answer(self, uow: UnitOfWork, act: Overtaken, *, adopts: bool, now: Instant) -> None:
        """Adopt an overtaken act, or reverse it, by an exclusive act of the present custodian.

        Raises:
            NotCustodian: the ticket is not held here, freely and with force.
            ResourceNotFound: no such act is known here.
            TransitionNotAllowed: it was answered.
        """
        key = act.key
        held = await chains.load(uow, key.authority, key.ticket)
        chain = held.acting()
        require(chain, Local.EXCLUSIVE_ACT)
        if act not in await self.waiting(uow, key.authority, key.ticket):
            told = await uow.rows(store.ACTS_OF_TICKET, key.authority, key.ticket)
            name = f"tickets/{key.ticket}/acts/{act.actor}-{act.epoch}-{act.row}"
            if act not in [_overtaken(row) for row in told if not row.has_force]:
                raise ResourceNotFound(kind="overtaken act", name=name)
            raise TransitionNotAllowed(
                name=name, state="answered", event="answer", allowed="none: once is for ever"
            )
        kind = ADOPTED if adopts else REVERSED
        self._writer.act(uow, chain, kind=f"act.{kind}", subject=act.identity(), now=now)


def _overtaken(row: store.ActRow) -> Overtaken:
    return Overtaken(
        key=ChainKey(
            AuthorityCode(row.authority),
            TicketNumber(row.ticket),
            AuthorityCode(row.scope),
            row.number,
        ),
        actor=AuthorityCode(row.actor),
        epoch=Epoch.from_key(row.epoch),
        row=row.act_row,
        kind=row.kind,
        digest=row.digest,
    )
