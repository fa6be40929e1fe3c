"""Filing cases: a custodian asks the arbiter of the scope instead of moving the ticket.

A filing proves the filer's term and tells what the arbiter may know: the ticket's header and the
path, never a text (I7). It waits here until the scope has an arbiter.
"""

from __future__ import annotations

from collections.abc import Callable

from gateway.custody import bodies, chains, codec, machine, store
from gateway.custody.coupling import Coupling
from gateway.custody.model import CaseOpened, Chain, ChainKey, Verdict
from gateway.custody.ports import ContentSource
from gateway.custody.rows import chain_of, made_of
from gateway.custody.writer import StepWriter
from gateway.database.uow import UnitOfWork
from gateway.delivery.codec import statement_from_bytes
from gateway.kernel.errors import InvariantViolated, ResourceNotFound
from gateway.kernel.ids import GENESIS, AuthorityCode
from gateway.kernel.time import Instant
from gateway.kernel.values import replace
from gateway.trust.roster import Roster

FILINGS_PER_PASS_MAX = 100  # a newly joined arbiter gets waiting cases in bounded transactions


class Filings:
    """Files cases for the authorities of one node."""

    def __init__(
        self,
        *,
        writer: StepWriter,
        coupling: Coupling,
        content: ContentSource,
        roster: Callable[[], Roster],
    ) -> None:
        """Make it."""
        self._writer = writer
        self._coupling = coupling
        self._content = content
        self._roster = roster

    async def file_case(
        self, uow: UnitOfWork, chain: Chain, *, cause: str, target: str, now: Instant
    ) -> tuple[Chain, CaseOpened]:
        """File a case at the arbiter of the scope; it waits here until an arbiter has joined."""
        era = chain.term_epoch.era if chain.term_epoch else 0
        era = max(era, chain.ruling)  # what was ruled is decided: a later dispute is another case
        case = f"{chain.key.ticket}-{chain.key.scope}-{chain.key.number}-{era}"
        case += await self._after_consent(uow, chain)
        arbiter = self._roster().arbiter_of(chain.key.scope)
        step = machine.file_case(
            chain, case=case, cause=cause, target=target, arbiter=chain.key.scope
        )
        step = replace(step, says=tuple([await self._full(uow, chain, say) for say in step.says]))
        if arbiter is None:
            step = replace(step, says=tuple(replace(say, audience=()) for say in step.says))
        filed = await self._writer.write(uow, step, now=now)
        filed = replace(filed, filing_due=arbiter is None)
        self._writer.save(uow, filed)
        return filed, CaseOpened(chain.key, case, cause, AuthorityCode(target or chain.key.scope))

    async def _after_consent(self, uow: UnitOfWork, chain: Chain) -> str:
        """Return what tells a case from the one of its era that ended by consent, or nothing."""
        consent = await self._coupling.newest_consent(uow, chain)
        return f".{consent.count}" if consent is not None else ""

    async def post_waiting_filings(self, uow: UnitOfWork, *, now: Instant) -> int:
        """File the cases that waited for an arbiter; call after a roster change."""
        waiting = await uow.select(store.CHAINS_FILING_DUE, limit=FILINGS_PER_PASS_MAX)
        posted = 0
        for row in waiting:
            key = chain_of(row).key
            if self._roster().arbiter_of(key.scope) is None:
                continue
            await uow.lock(f"ticket/{key.ticket}")
            chain = await chains.find_chain(uow, key)  # as it is now that it is ours
            if chain is None or not chain.filing_due:
                continue
            await self._post_filing(uow, chain, now=now)
            posted += 1
        return posted

    async def _post_filing(self, uow: UnitOfWork, chain: Chain, *, now: Instant) -> None:
        """Say the filing again, as it was signed for nobody, to the arbiter of the scope."""
        key, epoch = chain.key, chain.term_epoch or GENESIS
        kept = await chains.said(uow, key, issuer=key.authority, kind="CaseFiling", epoch=epoch)
        filed = [
            body
            for row in kept
            if isinstance(
                body := codec.body_from_bytes(
                    "CaseFiling", statement_from_bytes(row.statement).body
                ),
                bodies.CaseFiling,
            )
            and body.case == chain.case
        ]
        if not filed:
            raise InvariantViolated(invariant="a case has its filing", got=f"{chain.case} is lost")
        filing = machine.Say("CaseFiling", epoch, (key.scope,), filed[-1])
        say = await self._full(uow, chain, filing)
        await self._writer.write(
            uow, machine.Step(chain=replace(chain, filing_due=False), says=(say,)), now=now
        )

    async def _full(self, uow: UnitOfWork, chain: Chain, say: machine.Say) -> machine.Say:
        """Return the filing with the ticket's header and the proof of the filer's term."""
        key, body = chain.key, say.body
        if not isinstance(body, bodies.CaseFiling):
            return say
        body = replace(
            body,
            header=await self._header(uow, key),
            path=chain.path,
            attached=await self._coupling.records(uow, chain),
            refused_by=await self._refused_by(uow, chain),
        )
        return replace(say, body=body)

    async def _header(self, uow: UnitOfWork, key: ChainKey) -> bytes:
        """Return the ticket's header; of a ticket whose text a restore lost, as an Offer has it."""
        try:
            return await self._content.header(uow, key.authority, key.ticket)
        except ResourceNotFound:
            if not self._writer.was_restored:
                raise  # it is on its way
            for row in await chains.of_kind(uow, key, "Offer"):
                body = codec.body_from_bytes("Offer", statement_from_bytes(row.statement).body)
                if isinstance(body, bodies.Offer) and body.header:
                    return body.header
            raise

    async def _refused_by(self, uow: UnitOfWork, chain: Chain) -> tuple[str, ...]:
        """Return who declined an offer of this authority in the present era, each once."""
        key, era = chain.key, chain.term_epoch.era if chain.term_epoch else 0
        rows = await uow.rows(store.OFFERS_MADE_OF_TICKET, key.authority, key.ticket)
        declined = (
            made.target
            for made in map(made_of, rows)
            if made.key == key and made.epoch.era == era and made.verdict is Verdict.DECLINED
        )
        return tuple(dict.fromkeys(declined))
